"""What the tests of this room share."""

from __future__ import annotations

import keras
import pytest

from tfcompress.load.safety.vocabulary import supplied_names
from tfcompress.runtime import tf_keras


@pytest.fixture(autouse=True)
def nothing_of_the_users_is_registered(monkeypatch: pytest.MonkeyPatch) -> None:
    """Other tests register classes, as a user's code may; a model is then not taken for what it was."""
    for name in supplied_names({}):
        for library in (keras, tf_keras):
            monkeypatch.delitem(library.saving.get_custom_objects(), name, raising=False)
