from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.compression.models import samples_for, small_cnn
from tfcompress.compression import finetune
from tfcompress.compression.training.checkpoint import Checkpoint
from tfcompress.data.preprocess import preprocess_for
from tfcompress.errors import InputError
from tfcompress.recipe import Pruning, Quantization, Recipe, Training
from tfcompress.runtime import tf_keras

RECIPE = Recipe(quantization=Quantization(), training=Training(epochs=2, batch_size=32))


class Killed(Exception):
    """Stands for a signal in the middle of a run."""


def trained(folder: Path | None, recipe: Recipe = RECIPE) -> list[np.ndarray]:
    model = small_cnn()
    weights: list[np.ndarray] = finetune(model, recipe, samples_for(model), checkpoint_dir=folder).trained.get_weights()
    return weights


def test_a_killed_run_resumes_and_ends_with_the_same_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = trained(None)
    save = Checkpoint.save

    def save_once_then_die(self: Checkpoint, epoch: int, model: Any) -> None:
        save(self, epoch, model)
        raise Killed

    monkeypatch.setattr(Checkpoint, "save", save_once_then_die)
    with pytest.raises(Killed):  # after the first of two epochs
        trained(tmp_path)
    monkeypatch.setattr(Checkpoint, "save", save)
    for array, other in zip(whole, trained(tmp_path), strict=True):
        np.testing.assert_array_equal(array, other)


def test_a_checkpoint_of_another_recipe_is_refused(tmp_path: Path) -> None:
    recipe = Recipe(pruning=Pruning(), training=Training(epochs=1))
    trained(tmp_path, recipe)
    assert list((tmp_path / "logs" / "pruning").iterdir())  # for TensorBoard
    with pytest.raises(InputError, match="checkpoint of another"):
        trained(tmp_path, Recipe(pruning=Pruning(sparsity=0.7), training=Training(epochs=1)))


def test_a_checkpoint_of_other_data_is_refused_whatever_changed_in_it(tmp_path: Path) -> None:
    model = small_cnn()
    given = samples_for(model)
    finetune(model, RECIPE, given, checkpoint_dir=tmp_path)
    for other in (replace(given, preprocess=preprocess_for("unit")), given.take(40)):
        with pytest.raises(InputError, match="checkpoint of another"):
            finetune(model, RECIPE, other, checkpoint_dir=tmp_path)
    strided = tf_keras.models.clone_model(model)  # other settings, the same weights
    strided.get_layer(index=-1).activation = tf_keras.activations.linear
    strided.set_weights(model.get_weights())
    with pytest.raises(InputError, match="checkpoint of another"):
        finetune(strided, RECIPE, given, checkpoint_dir=tmp_path)


def test_a_finished_training_is_taken_up_where_it_ended(tmp_path: Path) -> None:
    first = trained(tmp_path)
    for array, other in zip(first, trained(tmp_path), strict=True):
        np.testing.assert_array_equal(array, other)


SCRIPT = """
import json, sys
from pathlib import Path
from tfcompress.recipe import Recipe
from tfcompress.compression import finetune, start_strategy
recipe = Recipe.from_json(sys.argv[1])
start_strategy(recipe.training.strategy)
from tests.compression.models import accuracy_of, bright_bands, small_cnn
model = small_cnn()
folder = Path(sys.argv[2]) if sys.argv[2] else None
done = finetune(model, recipe, bright_bands(model, 512), checkpoint_dir=folder)
print(json.dumps({
    "before": accuracy_of(model, bright_bands(model, 512, seed=1)),
    "accuracy": accuracy_of(done.trained, bright_bands(model, 512, seed=1)),
    "sums": [float(abs(w).sum()) for w in done.stripped.get_weights()],
}))
"""


def start(recipe: Recipe, folder: str, **environment: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", SCRIPT, recipe.to_json(), folder],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2]), **environment},
        stdout=subprocess.PIPE,
        text=True,
    )


def start_two_workers(recipe: Recipe, folder: str) -> list[subprocess.Popen[str]]:
    """Two processes that meet over the loopback, as TF_CONFIG tells them."""
    recipe = replace(recipe, training=replace(recipe.training, strategy="multi_worker"))
    cluster = {"worker": [f"127.0.0.1:{free_port()}" for _ in range(2)]}
    tasks = [{"cluster": cluster, "task": {"type": "worker", "index": index}} for index in (0, 1)]
    return [start(recipe, folder, TF_CONFIG=json.dumps(task)) for task in tasks]


def free_port() -> int:
    with socket.socket() as connection:
        connection.bind(("127.0.0.1", 0))
        port: int = connection.getsockname()[1]
        return port


def result(process: subprocess.Popen[str]) -> dict[str, Any]:
    output, _ = process.communicate(timeout=900)
    assert process.returncode == 0
    values: dict[str, Any] = json.loads(output.strip().splitlines()[-1])
    return values


def kill_after_the_first_epoch(processes: list[subprocess.Popen[str]], folder: Path) -> None:
    deadline = time.monotonic() + 600
    while not (folder / "quantization.npz").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    for process in processes:
        process.send_signal(signal.SIGKILL)
    for process in processes:
        process.communicate()
        assert process.returncode == -signal.SIGKILL


@pytest.mark.slow
def test_sigkill_in_the_middle_and_resume(tmp_path: Path) -> None:
    recipe = Recipe(quantization=Quantization(), training=Training(epochs=20, batch_size=8))
    kill_after_the_first_epoch([start(recipe, str(tmp_path))], tmp_path)
    assert result(start(recipe, str(tmp_path))) == result(start(recipe, ""))


@pytest.mark.slow
def test_two_workers_take_the_same_steps_as_one() -> None:
    recipe = Recipe(quantization=Quantization(), training=Training(epochs=1, batch_size=16, learning_rate=1e-3))
    alone = result(start(recipe, ""))
    first, second = (result(process) for process in start_two_workers(recipe, ""))
    assert first == second
    # Gradients are summed in another order, and no more than that.
    np.testing.assert_allclose(first["sums"], alone["sums"], rtol=1e-5)
    other = result(start(replace(recipe, training=replace(recipe.training, batch_size=32)), ""))
    assert not np.allclose(first["sums"], other["sums"], rtol=1e-5)


@pytest.mark.slow
def test_two_workers_train_to_the_same_accuracy_as_one_also_when_killed_and_resumed(tmp_path: Path) -> None:
    training = Training(epochs=6, batch_size=16, learning_rate=0.03)
    recipe = Recipe(quantization=Quantization(), training=training)
    alone = result(start(recipe, ""))
    first, second = (result(process) for process in start_two_workers(recipe, ""))
    kill_after_the_first_epoch(start_two_workers(recipe, str(tmp_path)), tmp_path)
    resumed, other = (result(process) for process in start_two_workers(recipe, str(tmp_path)))
    assert first == second == resumed == other
    assert alone["before"] < 0.5
    assert alone["accuracy"] > 0.8
    # Large steps make much of the last bit of a sum; 512 samples have a standard error of 0.015.
    assert first["accuracy"] == pytest.approx(alone["accuracy"], abs=0.02)
