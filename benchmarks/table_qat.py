"""Quantization-aware training of real models with no configuration: wrap, one training step, int8 file, agreement.

Keras files of ../shared and one network of each keras.applications family at 96x96.  The simulation (the
quantization-aware Keras model) and the file, run by LiteRT as it comes, get the same held-out inputs.

The keras.applications networks are trained on digits for a few minutes, so that their classes mean something; the
files come trained.  `nudged_agreement` says how settled the answers are: how often the file agrees with itself when one
input value in a hundred moves by one step.  And `operator_max_error_steps` says whether simulation and file compute the
same, operator by operator.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.by_operator import compare_operators
from benchmarks.inputs import inputs_for
from benchmarks.models import PREFIX, applications, keras_files, load
from benchmarks.trained_networks import digits, pictures, trained_network
from tfcompress.accuracy_diff.litert_runner import LiteRtRunner
from tfcompress.accuracy_diff.tasks.choose import sums_to_one
from tfcompress.compression import finetune
from tfcompress.converters.phone import convert
from tfcompress.data import samples_from_arrays
from tfcompress.errors import TfCompressError
from tfcompress.graphs.tflite import read_tflite
from tfcompress.load import float_model_from_keras, to_tf_keras
from tfcompress.model import FloatModel, TensorInfo
from tfcompress.recipe import Distillation, Quantization, Recipe, Training

SECONDS = 7200  # ConvNeXtTiny takes over an hour on one core
STEP, EVALUATION, BATCH = 16, 256, 32
NUDGED = 0.01  # share of the input values

Arrays = dict[str, np.ndarray]


def names() -> list[str]:
    """One row per model."""
    return [*keras_files(), *applications()]


def row(name: str) -> dict[str, Any]:
    """Wrap, train one step, convert and compare one model."""
    recipe = Recipe(
        quantization=Quantization(), distillation=Distillation(), training=Training(epochs=1, batch_size=STEP)
    )
    try:
        model, inputs, classes = _model(name)
        few = {key: values[:STEP] for key, values in inputs.items()}
        held_out = {key: values[STEP:] for key, values in inputs.items()}
        samples = samples_from_arrays(few, model_inputs=model.inputs, model_outputs=model.outputs)
        done = finetune(model.keras_model, recipe, samples)
        trained = float_model_from_keras(done.trained)
        with tempfile.TemporaryDirectory() as folder:
            artifact = convert(trained, samples, recipe, Path(folder))
            compared = compare(float_model_from_keras(done.stripped), trained, artifact.runnable, held_out, classes)
    except TfCompressError as error:
        return {"status": "failed", "reason": str(error)}
    whole = artifact.facts["fully_integer"]
    return {
        "status": "fully_integer" if whole else "partly_float",
        "reason": "; ".join(done.notes or (() if whole else artifact.notes))[:300] or None,
        **compared,
    }


def _model(name: str) -> tuple[FloatModel, Arrays, np.ndarray | None]:
    """A tf_keras model, inputs for one step and the evaluation, and the classes of those for the evaluation."""
    if not name.startswith(PREFIX):
        model = float_model_from_keras(to_tf_keras(load(name).keras_model))
        return model, inputs_for(model, STEP + EVALUATION), None
    family = name.removeprefix(PREFIX)
    images, classes = digits()
    model = float_model_from_keras(trained_network(family, images, classes))
    (info,) = model.inputs
    return model, {info.name: pictures(family, images[-STEP - EVALUATION :])}, classes[-EVALUATION:]


def compare(
    plain: FloatModel, simulation: FloatModel, file: Path, inputs: Arrays, labels: np.ndarray | None = None
) -> dict[str, Any]:
    """How far the file's outputs are from the simulation's.

    Args:
        plain: the float model, whose outputs say what is a class score: what sums to one.
        simulation: the quantization-aware model.
        file: the .tflite made of it.
        inputs: `EVALUATION` samples.
        labels: their classes; None where the samples show no class of the model's.

    Returns:
        float_accuracy, file_accuracy: share of samples of the right class; None without labels.
        top1_agreement: share of samples for which both choose the same class, of the output where it is least; None
            without class scores.  nudged_agreement: the same of the file and the file on inputs of which one in a
            hundred is a step off.  float_agreement: of simulation and float model.  max_error_steps: largest
            difference, in quantization steps of the output, or None for outputs in float.  unequal_share: of the
            output values that are half a step or more apart.
    """
    runner = LiteRtRunner(file)
    exact = _outputs(plain, inputs)
    scales = _scales(runner, runner.outputs, runner.output_indices)
    classes = [
        name for name, values in exact.items() if values.ndim == 2 and values.shape[1] > 1 and sums_to_one(values)
    ]
    expected, got = _outputs(simulation, inputs), _outputs(runner, inputs)
    truth = None if labels is None else dict.fromkeys(classes, np.eye(10)[labels])
    steps, unequal = [], []
    for name, simulated in expected.items():
        first, other = (np.reshape(values, (EVALUATION, -1)) for values in (simulated, got[name]))
        if scales[name]:
            error = np.abs(first - other) / scales[name]
            steps.append(float(error.max()))
            unequal.append(float((error > 0.5).mean()))
    return {
        "float_accuracy": None if truth is None else _agreement(classes, exact, truth),
        "file_accuracy": None if truth is None else _agreement(classes, got, truth),
        "top1_agreement": _agreement(classes, expected, got),
        "nudged_agreement": _agreement(classes, _outputs(runner, _nudged(runner, inputs)), got) if classes else None,
        "float_agreement": _agreement(classes, exact, expected),
        "max_error_steps": round(max(steps), 2) if steps else None,
        "unequal_share": round(max(unequal), 5) if unequal else None,
        **compare_operators(simulation, runner.content, {name: values[:1] for name, values in inputs.items()}),
    }


def _agreement(classes: list[str], first: Arrays, other: Arrays) -> float | None:
    """Share of samples with the same class, of the output where it is least; None without one."""
    return min((float((first[name].argmax(1) == other[name].argmax(1)).mean()) for name in classes), default=None)


def _nudged(runner: LiteRtRunner, inputs: Arrays) -> Arrays:
    """The inputs, one value in a hundred a quantization step up or down; those that are not quantized as they are."""
    random = np.random.default_rng(0)
    nudged = {}
    for name, step in _scales(runner, runner.inputs, runner.input_indices).items():
        values = inputs[name]
        if step:
            sign = random.choice([-1.0, 0.0, 1.0], values.shape, p=[NUDGED / 2, 1 - NUDGED, NUDGED / 2])
            values = (values + sign * step).astype(np.float32)
        nudged[name] = values
    return nudged


def _scales(runner: LiteRtRunner, infos: tuple[TensorInfo, ...], indices: tuple[int, ...]) -> dict[str, float]:
    """{name of an input or output: step of its grid}, 0 for a float one."""
    tensors = read_tflite(runner.content).main.tensors
    scales = [tensors[index].quantization for index in indices]
    return {
        info.name: 0.0 if quantization is None else float(quantization.scales[0])
        for info, quantization in zip(infos, scales, strict=True)
    }


def _outputs(model: Any, inputs: Arrays) -> Arrays:
    """{output name: values} of a model or runner."""
    run = model.predict if isinstance(model, FloatModel) else model.run
    parts = [run({k: v[start : start + BATCH] for k, v in inputs.items()}) for start in range(0, EVALUATION, BATCH)]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
