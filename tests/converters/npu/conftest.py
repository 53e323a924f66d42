"""What the tests of the compilers share: files made once, and the installed compilers or a skip."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.converters.npu import models
from tfcompress.cache import Store, using
from tfcompress.converters.ethos_u import vela_version
from tfcompress.converters.snapdragon import VendorSdk, find_sdk
from tfcompress.converters.snapdragon.sdk import UnusableSdkError
from tfcompress.errors import MissingExtraError


@pytest.fixture(scope="session")
def modulo() -> bytes:
    return models.with_a_modulo()


@pytest.fixture(scope="session")
def plain() -> bytes:
    return models.without_any()


@pytest.fixture(scope="session")
def floats() -> bytes:
    return models.int8_file(lambda x: x, quantized=False)


@pytest.fixture(autouse=True)
def fresh_cache(tmp_path: Path) -> Iterator[Path]:
    """No result of an earlier run, and none left behind."""
    with using(Store(tmp_path / "cache")):
        yield tmp_path / "cache"


@pytest.fixture
def sdk() -> VendorSdk:
    try:
        return find_sdk()
    except (MissingExtraError, UnusableSdkError) as error:
        pytest.skip(str(error))


@pytest.fixture
def vela() -> str:
    try:
        return vela_version()
    except MissingExtraError as error:
        pytest.skip(str(error))
