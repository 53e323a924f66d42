"""``convert --suggest``: the repairs of the causes are tried, and what passes is what is written."""

from pathlib import Path

import numpy as np
import pytest

import tfcompress
from tfcompress.accuracy_diff import CandidateResult, compare, runner_for
from tfcompress.data import open_data
from tfcompress.recipe import Quantization, Recipe, Training
from tfcompress.runtime import tf_keras


def test_an_artifact_calibrated_on_too_little_is_repaired(cnn_folder: Path, tmp_path: Path) -> None:
    train, test = (np.load(cnn_folder / f"{name}.npz") for name in ("train", "test"))
    blank = np.concatenate([np.zeros_like(train["x"][:1]), train["x"][:255]])
    blank[0, :2, :2] = train["x"].max()  # the range of the input is right, those of the layers are not

    def converted(name: str, suggest: bool) -> tfcompress.Conversion:
        return tfcompress.convert(
            cnn_folder / "model.keras",
            targets="phone",
            calibration=blank,
            evaluation=(test["x"], test["y"]),
            calibration_samples=1,
            output=tmp_path / name,
            suggest=suggest,
        )

    failed = converted("failed", suggest=False)
    assert failed.exit_code == 3
    causes = failed.report["targets"]["phone"]["causes"]
    assert [cause["cause"] for cause in causes] == ["too_few_calibration_samples"]
    repaired = converted("repaired", suggest=True)
    assert repaired.exit_code == 0
    phone = repaired.report["targets"]["phone"]
    assert {cause["cause"]: cause["repaired"] for cause in phone["causes"]}["too_few_calibration_samples"] is True
    assert any(note.startswith("repaired: --calibration_samples=") for note in phone["notes"])
    assert tfcompress.verify(tmp_path / "repaired") == []


def _compared(folder: Path, model: Path, test: Path) -> CandidateResult:
    reference = runner_for(model)
    data = open_data(test, reference.inputs, reference.outputs)
    return compare(reference, {"it": runner_for(folder / "phone/model.tflite")}, data, layers=True).candidates["it"]


@pytest.mark.slow
def test_zeros_that_training_lost_are_kept_by_training_anew(cnn_folder: Path, tmp_path: Path) -> None:
    model = tfcompress.load_model(cnn_folder / "model.keras").keras_model
    data = np.load(cnn_folder / "train.npz")
    model.compile(tf_keras.optimizers.Adam(1e-3) if isinstance(model, tf_keras.Model) else "adam",
                  "sparse_categorical_crossentropy")  # fmt: skip
    layer = model.get_layer("conv_2")
    for _ in range(2):  # prune by hand, with a little training between
        kernel, bias = layer.get_weights()
        kernel[np.abs(kernel) < np.quantile(np.abs(kernel), 0.6)] = 0
        layer.set_weights([kernel, bias])
        model.fit(data["x"][:2000], data["y"][:2000], verbose=0)
    kernel, bias = layer.get_weights()
    kernel[np.abs(kernel) < np.quantile(np.abs(kernel), 0.6)] = 0
    layer.set_weights([kernel, bias])
    model.save(tmp_path / "sparse.keras")

    def converted(name: str, suggest: bool) -> CandidateResult:
        recipe = Recipe(quantization=Quantization(), training=Training(epochs=1, learning_rate=3e-3))
        tfcompress.convert(
            tmp_path / "sparse.keras",
            targets="phone",
            calibration=cnn_folder / "train.npz",
            evaluation=cnn_folder / "test.npz",
            recipe=recipe,
            output=tmp_path / name,
            suggest=suggest,
        )
        return _compared(tmp_path / name, tmp_path / "sparse.keras", cnn_folder / "test.npz")

    lost = converted("lost", suggest=False)
    assert "sparsity_lost" in {cause.kind for cause in lost.causes}
    kept = converted("kept", suggest=True)
    assert "sparsity_lost" not in {cause.kind for cause in kept.causes}
    assert not kept.gate.failed
