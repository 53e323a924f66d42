"""States that are kept between runs: whatever was done to the file, it is read as it was written or refused."""

from __future__ import annotations

import io
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.data.test_mutations import damaged
from tfcompress.accuracy_diff.progress import FORMAT, Progress
from tfcompress.compression.training.checkpoint import Checkpoint, CheckpointFile
from tfcompress.data.kept_arrays import read_kept_arrays
from tfcompress.errors import InputError
from tfcompress.runtime import tf_keras


def test_what_was_written_is_read(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", a=np.arange(6).reshape(2, 3), b="text", c=3.5)
    arrays = read_kept_arrays(tmp_path / "a.npz", "a.npz")
    np.testing.assert_array_equal(arrays["a"], np.arange(6).reshape(2, 3))
    assert str(arrays["b"]) == "text"
    assert arrays["c"] == 3.5


def read_or_refused(content: bytes) -> dict[str, np.ndarray] | None:
    try:
        return read_kept_arrays(io.BytesIO(content), "state")
    except InputError:
        return None


def test_a_damaged_state_is_refused_or_unharmed() -> None:
    stream, chance = io.BytesIO(), random.Random(16)
    np.savez(stream, a=np.arange(60.0), b="text")
    refused = 0
    for _ in range(300):
        arrays = read_or_refused(damaged(stream.getvalue(), chance))
        refused += arrays is None
        for name, value in (arrays or {}).items():
            np.testing.assert_array_equal(value, {"a": np.arange(60.0), "b": np.array("text")}.get(name, value))
    assert refused > 200


def test_a_state_that_expands_is_refused(tmp_path: Path) -> None:
    np.savez_compressed(tmp_path / "bomb.npz", a=np.zeros(1 << 24))
    with pytest.raises(InputError, match="a member is compressed"):
        read_kept_arrays(tmp_path / "bomb.npz", "bomb.npz")


@pytest.mark.parametrize("arrays", [
    {}, {"names": ["batches"]}, {"names": ["batches"], "0": "x"},
    {"names": ["a", "a\x1fb", "batches"], "0": 1, "1": 2, "2": 3},
    {"names": 5.0, "0": 1}, {"names": ["outputs"], "0": 1},
])  # fmt: skip
def test_a_diff_does_not_go_on_from_a_state_that_it_did_not_write(arrays: dict[str, Any], tmp_path: Path) -> None:
    path = tmp_path / "state"
    with path.open("wb") as stream:
        np.savez(stream, format=FORMAT, key="k", **arrays)
    with pytest.raises(InputError, match=r"--resume=.*state: damaged; remove it: "):
        Progress(path, "k").load()


@pytest.mark.parametrize("change", [{"v0": np.zeros(9)}, {"v0": "x"}, {"epoch": [1, 2]}, {"epoch": "x"}])
def test_training_does_not_go_on_from_a_state_that_it_did_not_write(change: dict[str, Any], tmp_path: Path) -> None:
    model = tf_keras.Sequential([tf_keras.Input((3,)), tf_keras.layers.Dense(2)])
    model.compile("sgd", "mse")
    model.optimizer.build(model.trainable_variables)
    path = tmp_path / "c.npz"
    checkpoint = Checkpoint(CheckpointFile(path), "f", where=str(path))
    checkpoint.save(3, model)
    assert checkpoint.restore(model) == 3
    np.savez(path, **{**read_kept_arrays(path, ""), **change})
    with pytest.raises(InputError, match=r"c\.npz: not a readable checkpoint"):
        checkpoint.restore(model)
