from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.wrappers.models import samples_for, small_cnn
from tfcompress.errors import InputError
from tfcompress.recipe import Pruning, Quantization, Recipe, Training
from tfcompress.wrappers import finetune
from tfcompress.wrappers.checkpoint import Checkpoint

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
    for one, other in zip(whole, trained(tmp_path), strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_checkpoint_of_another_recipe_is_refused(tmp_path: Path) -> None:
    recipe = Recipe(pruning=Pruning(), training=Training(epochs=1))
    trained(tmp_path, recipe)
    assert list((tmp_path / "logs" / "pruning").iterdir())  # for TensorBoard
    with pytest.raises(InputError, match="checkpoint of another"):
        trained(tmp_path, Recipe(pruning=Pruning(sparsity=0.7), training=Training(epochs=1)))


SCRIPT = """
import json, os, sys
from pathlib import Path
from tfcompress.recipe import Recipe
from tfcompress.wrappers import finetune, start_strategy
recipe = Recipe.from_json(sys.argv[1])
start_strategy(recipe.training.strategy)
from tests.wrappers.models import samples_for, small_cnn
model = small_cnn()
done = finetune(model, recipe, samples_for(model, 256), checkpoint_dir=Path(sys.argv[2]) if sys.argv[2] else None)
print(json.dumps([float(abs(w).sum()) for w in done.plain.get_weights()]))
"""


def start(recipe: Recipe, folder: str, **environment: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", SCRIPT, recipe.to_json(), folder],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2]), **environment},
        stdout=subprocess.PIPE,
        text=True,
    )


def sums(process: subprocess.Popen[str]) -> list[float]:
    output, _ = process.communicate(timeout=600)
    assert process.returncode == 0
    values: list[float] = json.loads(output.strip().splitlines()[-1])
    return values


@pytest.mark.slow
def test_sigkill_in_the_middle_and_resume(tmp_path: Path) -> None:
    recipe = Recipe(quantization=Quantization(), training=Training(epochs=30, batch_size=8))
    process = start(recipe, str(tmp_path))
    deadline = time.monotonic() + 300
    while not (tmp_path / "quantization.npz").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    assert sums(start(recipe, str(tmp_path))) == sums(start(recipe, ""))


@pytest.mark.slow
def test_two_workers_train_to_the_same_model_as_one() -> None:
    training = Training(epochs=2, batch_size=16)
    alone = sums(start(Recipe(quantization=Quantization(), training=training), ""))
    recipe = Recipe(quantization=Quantization(), training=replace(training, strategy="multi_worker"))
    cluster = {"worker": ["127.0.0.1:23461", "127.0.0.1:23462"]}
    processes = [
        start(recipe, "", TF_CONFIG=json.dumps({"cluster": cluster, "task": {"type": "worker", "index": index}}))
        for index in (0, 1)
    ]
    first, second = (sums(process) for process in processes)
    assert first == second
    np.testing.assert_allclose(first, alone, rtol=0.02)
