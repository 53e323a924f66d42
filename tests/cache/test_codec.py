"""What is kept comes back equal, and bytes that hold something else are refused."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest

from tfcompress.cache import decode, encode
from tfcompress.cache.trees import pack_tree, unpack_tree


@dataclass(frozen=True)
class Inner:
    name: str
    value: float
    array: np.ndarray | None = field(default=None, compare=False)


@dataclass(frozen=True)
class Outer:
    kind: Literal["a", "b"]
    inner: tuple[Inner, ...]
    pair: tuple[int, str]
    counts: Mapping[int, float]
    raw: bytes
    free: Mapping[str, Any]
    missing: int | None = None


VALUE = Outer(
    "a",
    (Inner("x", 0.1, np.arange(6, dtype=np.int16).reshape(2, 3)),),
    (3, "y"),
    {4: 1e-300},
    b"\0\xff",
    {"k": [1, None]},
)


def test_a_dataclass_comes_back_equal() -> None:
    back = decode(Outer, encode(VALUE))
    assert back == VALUE
    assert back.inner[0].array is not None
    np.testing.assert_array_equal(back.inner[0].array, VALUE.inner[0].array)
    assert back.inner[0].array.dtype == np.int16


def test_floats_come_back_bit_for_bit() -> None:
    values = (0.1, 1 / 3, 5e-324, -0.0, math.inf)
    back = decode(tuple[float, ...], encode(values))
    assert [value.hex() for value in back] == [value.hex() for value in values]
    assert math.isnan(decode(float, encode(math.nan)))


def test_bytes_are_kept_as_they_are() -> None:
    assert encode(b"{") == b"{"
    assert decode(bytes, b"{") == b"{"


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b"null", b'{"kind":"c"}', encode(VALUE)[:-1], encode(VALUE).replace(b'"a"', b'"c"')]
)
def test_bytes_that_hold_something_else_are_refused(content: bytes) -> None:
    with pytest.raises(ValueError, match=r"Expecting|Unterminated|Outer|object"):
        decode(Outer, content)


def test_what_is_no_data_is_not_kept() -> None:
    for value in (object(), Path("x"), np.array(["text"], object)):
        with pytest.raises(TypeError, match="cannot be kept"):
            encode(value)
    with pytest.raises(ValueError, match="is no data"):
        decode(np.ndarray, b'{"dtype": "|O", "shape": [1], "data": "AAAAAAAAAAA="}')


def test_a_folder_comes_back_with_all_its_files(tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    (first / "deep/er").mkdir(parents=True)
    (first / "empty").mkdir(mode=0o750)
    (first / "a").write_bytes(b"")
    (first / "a").chmod(0o640)
    (first / "deep/er/b").write_bytes(b"\n\0[1]")
    second.mkdir()
    unpack_tree(pack_tree(first), second)
    assert pack_tree(second) == pack_tree(first)
    assert (second / "deep/er/b").read_bytes() == b"\n\0[1]"
    assert (second / "empty").is_dir()
    assert oct((second / "a").stat().st_mode)[-3:] == "640"


@pytest.mark.parametrize("name", ["/etc/x", "../x", "a/../../x", ""])
def test_a_file_cannot_leave_its_folder(tmp_path: Path, name: str) -> None:
    inside = tmp_path / "inside"
    inside.mkdir()
    with pytest.raises(ValueError, match="no name of a file"):
        unpack_tree(f'[["{name}", 1, 420]]\n!'.encode(), inside)
    assert [path.name for path in tmp_path.rglob("*")] == ["inside"]
