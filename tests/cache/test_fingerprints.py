"""Fingerprints tell values apart, by type and content, and say so of what they cannot tell."""

from __future__ import annotations

import enum
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from tfcompress.cache import fingerprint
from tfcompress.recipe import PostTraining, Recipe


@dataclass(frozen=True)
class One:
    a: int = 1


@dataclass(frozen=True)
class Two:
    a: int = 1


class Colour(enum.Enum):
    RED = 1


DIFFERENT = [
    None,
    False,
    0,
    0.0,
    -0.0,
    "",
    "0",
    b"",
    b"0",
    (),
    (0,),
    ((0,),),
    (0, 0),
    ("ab", "c"),
    ("a", "bc"),
    {},
    {"a": 1},
    {"a": 2},
    {"b": 1},
    One(),
    Two(),
    One(2),
    Colour.RED,
    Path("0"),
    np.zeros(2, np.int8),
    np.zeros(2, np.uint8),
    np.zeros((2, 1), np.int8),
    np.array(["a"], object),
    Recipe(),
    Recipe(post_training=PostTraining(scheme="float16")),
]


def test_different_values_have_different_fingerprints() -> None:
    assert len({fingerprint(value) for value in DIFFERENT}) == len(DIFFERENT)


def test_equal_values_have_equal_ones_whatever_the_order_of_keys() -> None:
    assert fingerprint({"a": 1, "b": 2}) == fingerprint({"b": 2, "a": 1})
    assert fingerprint(frozenset("abc")) == fingerprint(frozenset("cba"))
    assert fingerprint([1, 2]) == fingerprint((1, 2))
    assert fingerprint(np.arange(6).reshape(2, 3).T) == fingerprint(np.arange(6).reshape(2, 3).T.copy())


@pytest.mark.parametrize("value", [object(), lambda: 0, [object()], {"a": {1: object()}}])
def test_what_nobody_can_compare_is_refused(value: object) -> None:
    with pytest.raises(TypeError, match="has no fingerprint"):
        fingerprint(value)


def test_another_process_gives_the_same() -> None:
    code = "from tfcompress.cache import fingerprint; print(fingerprint({'x', 'y', 'z'}, 1.5, 'text'))"
    printed = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    assert printed.strip() == fingerprint({"x", "y", "z"}, 1.5, "text")
