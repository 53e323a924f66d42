"""The state that a conversion starts with."""

from pathlib import Path

from tfcompress.job.options import ConvertOptions
from tfcompress.job.state import State


def test_what_is_lost_on_the_way_is_collected_in_the_list_that_was_given(tmp_path: Path) -> None:
    options = ConvertOptions(model="model.keras", output=tmp_path, targets="phone")
    missing: list[str] = []
    state = State.start(options, tmp_path, missing=missing)
    missing.append("phone: the diff of its layers could not be made")
    assert state.missing == ["phone: the diff of its layers could not be made"]
    assert state.signing_key is None
