"""What `quality` means, and how candidates are compared: by their output error on unlabelled calibration data."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator
from dataclasses import dataclass

import numpy as np

from tfcompress.cache import remembered
from tfcompress.calibration.activations import ActivationRunner
from tfcompress.converters.litert.rounding import (
    adapt_rounding,
    correct_biases,
    equalize,
    rounding_work,
    weighted_layers,
)
from tfcompress.converters.litert.rounding.moments import collect_moments
from tfcompress.converters.litert.rounding.own_biases import with_own_biases
from tfcompress.data import Samples
from tfcompress.graphs.tflite import TfliteFile, read_tflite
from tfcompress.graphs.tflite.editor import ModelEditor
from tfcompress.graphs.tflite.interpreter import Interpreter, new_interpreter
from tfcompress.graphs.tflite.operators import traits
from tfcompress.graphs.tflite.quantization import to_real, to_stored
from tfcompress.native_output import silenced
from tfcompress.recipe import PostTraining

__all__ = [
    "QualityPlan",
    "compared_outputs",
    "few_enough",
    "held_apart",
    "improve_weights",
    "is_closer",
    "lost_db",
    "output_error",
    "output_errors",
    "plan_for",
    "tail_tensors",
    "tied_share",
    "typical",
    "typical_error",
]

COMPARED_SAMPLES = 256
HELD_APART = 4  # every fourth sample
LEAST_TO_SPLIT = 64
LIGHT_WORK = 5e10  # multiplications of adaptive rounding: some two seconds
FEW_FAR_OFF = 10**0.05  # half a decibel of the mean squared error
TAIL_SHARE = 0.1  # of all activations: what may become 16 bit


@dataclass(frozen=True)
class QualityPlan:
    """Which improvements run.

    Attributes:
        equalize: cross-layer equalization; None does it for models with depthwise layers, whose channels differ most.
        bias_correction: biases make up for the mean error of rounding.
        adaptive_rounding: rounding that keeps each layer's output (and its bias to match).
        search: try several estimators, and 16-bit activations after the last convolution; keep the closest to float.
        compact: what adaptive rounding gains is spent on a smaller packed file.
        light_rounding: adaptive rounding of networks for which it takes seconds; small ones lose most by rounding.
    """

    equalize: bool | None
    bias_correction: bool
    adaptive_rounding: bool
    search: bool
    compact: bool = False
    light_rounding: bool = False


_BY_QUALITY = {
    "fast": QualityPlan(False, False, False, False),
    "balanced": QualityPlan(False, True, False, False, light_rounding=True),
    "best": QualityPlan(None, True, True, True),
}


def plan_for(options: PostTraining) -> QualityPlan:
    """The plan of a recipe: its explicit switches, else what its `quality` picks."""
    default = _BY_QUALITY[options.quality]

    def choose(asked: bool | None, otherwise: bool) -> bool:
        return otherwise if asked is None else asked

    return QualityPlan(
        default.equalize if options.cross_layer_equalization is None else options.cross_layer_equalization,
        choose(options.bias_correction, default.bias_correction),
        choose(options.adaptive_rounding, default.adaptive_rounding or options.compact_rounding),
        default.search,
        options.compact_rounding,
        default.light_rounding and options.adaptive_rounding is None and options.bias_correction is not False,
    )


def improve_weights(
    content: bytes,
    samples: Samples,
    plan: QualityPlan,
    *,
    dense_per_channel: bool = True,
    except_for: Collection[str] = (),
) -> tuple[bytes, tuple[str, ...]]:
    """The float .tflite with weights and biases that quantize better, and one note for each thing done.

    Args:
        content: the float .tflite.
        samples: representative inputs; no labels are used.
        plan: what to do.
        dense_per_channel: FULLY_CONNECTED will get one weight scale an output, not one in all.
        except_for: output tensors of operators that stay float, whose weights are not rounded.

    Raises:
        ConversionError: LiteRT cannot run the model.
    """
    kept = tuple(sorted(set(except_for)))
    return remembered(
        tuple[bytes, tuple[str, ...]],
        "improved weights",
        (content, samples.identity, plan, dense_per_channel, kept),
        lambda: _improved(content, samples, plan, dense_per_channel, kept),
    )


def _improved(
    content: bytes, samples: Samples, plan: QualityPlan, dense_per_channel: bool, kept: tuple[str, ...]
) -> tuple[bytes, tuple[str, ...]]:
    content = with_own_biases(content)
    model, notes = ModelEditor.read(content), []
    graph = read_tflite(content).main
    depthwise = any(operator.name == "DEPTHWISE_CONV_2D" for operator in graph.operators)
    if depthwise if plan.equalize is None else plan.equalize:
        pairs = equalize(model.main, graph, weighted_layers(graph))
        notes.append(f"cross-layer equalization of {pairs} pairs of layers")
        content = model.to_bytes()
        graph = read_tflite(content).main
    layers = [layer for layer in weighted_layers(graph) if graph.tensors[layer.operator.outputs[0]].name not in kept]
    adaptive = plan.adaptive_rounding or (plan.light_rounding and rounding_work(layers) <= LIGHT_WORK)
    if not layers or not (adaptive or plan.bias_correction):
        return content, tuple(notes)
    moments = collect_moments(content, layers, samples, second=adaptive)
    if adaptive:
        adapt_rounding(model.main, layers, moments, dense_per_channel=dense_per_channel, compact=plan.compact)
        notes.append(f"adaptive rounding of {len(layers)} layers{', for small packed files' if plan.compact else ''}")
    else:
        correct_biases(model.main, layers, moments, dense_per_channel=dense_per_channel)
        notes.append(f"bias correction of {len(layers)} layers")
    return model.to_bytes(), tuple(notes)


def tail_tensors(file: TfliteFile) -> tuple[str, ...]:
    """Output tensors of the operators behind the last convolution; empty when there is none.

    They cost next to nothing, and what is lost there nothing makes up for: two logits closer than one step of the 8-bit
    scale come out equal.
    """
    graph = file.main
    last = max(
        (operator.index for operator in graph.operators if traits(operator.name).kind == "convolution"), default=None
    )
    if last is None:
        return ()
    reached = {index for operator in graph.operators[last : last + 1] for index in operator.outputs}
    tail = []
    for operator in graph.operators[last + 1 :]:
        if reached.intersection(operator.inputs):
            reached.update(operator.outputs)
            tail.append(graph.tensors[operator.outputs[0]].name)
    names = tuple(tail[1:] if _is_sum(file, tail[:1]) else tail)
    return names if few_enough(file, names) else ()


def few_enough(file: TfliteFile, names: tuple[str, ...]) -> bool:
    """Whether tensors are so small a part of all activations that computing them with 16 bits costs little."""
    return _elements(file, names) <= TAIL_SHARE * _elements(file)


def _elements(file: TfliteFile, names: tuple[str, ...] | None = None) -> int:
    """Elements of the computed tensors with these names; None means all."""
    graph = file.main
    computed = [graph.tensors[index] for operator in graph.operators for index in operator.outputs]
    return sum(tensor.elements for tensor in computed if names is None or tensor.name in names)


def _is_sum(file: TfliteFile, names: list[str]) -> bool:
    """A residual sum right behind the convolution reads an 8-bit tensor that is large: it stays 8 bit."""
    return any(op.name == "ADD" and file.main.tensors[op.outputs[0]].name in names for op in file.main.operators)


def output_error(float_content: bytes, content: bytes, samples: Samples) -> float:
    """Mean squared error of the outputs against the float model's, each output relative to its own power.

    Args:
        float_content: the float .tflite.
        content: a quantized .tflite of the same model.
        samples: the first `COMPARED_SAMPLES` are used.

    Returns:
        Infinity for a file that LiteRT cannot run: XNNPACK refuses some combinations of scales.
    """
    return float(output_errors(float_content, content, samples).mean())


def lost_db(before: float, after: float) -> float:
    """Decibels that a file is further from float than another one, below zero where it is closer.

    Args:
        before: the other file's `output_error`.
        after: the file's own.

    Returns:
        0 where an error is 0, which no ratio can be taken of, and where LiteRT can run neither file; infinity for a
        file that it can run no more, and minus infinity for one that it could not run before.
    """
    if before == after or before <= 0 or after <= 0:
        return 0.0
    return -math.inf if math.isinf(before) else 10 * math.log10(after / before)


def output_errors(float_content: bytes, content: bytes, samples: Samples) -> np.ndarray:
    """What `output_error` is the mean of, float64 [samples]; infinity alone for a file that LiteRT cannot run.

    Args:
        float_content: the float .tflite.
        content: a quantized .tflite of the same model.
        samples: the first `COMPARED_SAMPLES` are used.
    """
    wrong, power = [], []
    try:
        for outputs in compared_outputs(float_content, content, samples.take(COMPARED_SAMPLES)):
            rows = _rows([truth for _, truth in outputs])
            wrong.append(np.stack([_squares(value - truth, rows) for value, truth in outputs], axis=1))
            power.append(np.stack([_squares(truth, rows) for _, truth in outputs], axis=1))
    except RuntimeError:  # LiteRT has no other
        return np.array([math.inf])
    if not wrong:
        return np.zeros(1)
    powers = np.concatenate(power).mean(axis=0)
    powers = np.where(powers > 0, powers, max(float(powers.max(initial=0.0)), 1e-30))  # an output of zeros has none
    return np.asarray((np.concatenate(wrong) / powers).mean(axis=1), np.float64)


def typical(errors: np.ndarray) -> float:
    """The square of the mean root of squared errors: what candidates for one file are compared by.

    Behind a softmax a few samples have squared errors a hundred times as large as the others', so that the mean of
    hundreds says little: of two ResNet8 files that gave float's answer 98.8 and 98.5 % of the time, squared errors of
    3,000 images took the worse one for the better (by 0.6 standard errors); their roots told them apart (by 4.6).

    Args:
        errors: as `output_errors` gives them.
    """
    return float(np.sqrt(errors).mean() ** 2)


def typical_error(float_content: bytes, content: bytes, samples: Samples) -> float:
    """The `typical` error of a file's outputs; infinity for a file that LiteRT cannot run.

    Args:
        float_content: as of `output_errors`.
        content: as of `output_errors`.
        samples: as of `output_errors`.
    """
    return typical(output_errors(float_content, content, samples))


def _rows(outputs: list[np.ndarray]) -> int:
    """How many samples a batch of outputs has; 1, for the batch as a whole, where they do not agree on it."""
    counts = {len(value) if value.ndim else 0 for value in outputs}
    return max(1, counts.pop()) if len(counts) == 1 else 1


def _squares(values: np.ndarray, rows: int) -> np.ndarray:
    """The mean square of each row, float64 [rows]; 0 for what is empty."""
    flat = values.astype(np.float64).reshape(rows, values.size // rows)
    return np.asarray(np.square(flat).sum(axis=1) / max(1, flat.shape[1]))


def is_closer(errors: np.ndarray, others: np.ndarray) -> bool:
    """Whether a candidate is closer to float than another by more than chance: a standard error of the difference.

    What is compared are roots, see `typical`.  Nor may it pay for that with a few samples that are far off: its mean
    squared error is at most `FEW_FAR_OFF` times the other one's.

    Args:
        errors: of the candidate, as `output_errors` gives them.
        others: of the other one, on the same samples.
    """
    if errors.shape != others.shape or len(errors) < 2:  # one of them cannot be run
        return bool(errors.mean() < others.mean())
    gains = np.sqrt(others) - np.sqrt(errors)
    surely = gains.mean() > gains.std(ddof=1) / math.sqrt(len(gains))
    return bool(surely and errors.mean() <= FEW_FAR_OFF * others.mean())


def compared_outputs(
    float_content: bytes, content: bytes, samples: Samples
) -> Iterator[list[tuple[np.ndarray, np.ndarray]]]:
    """For each batch, the outputs of a quantized file and of the float one, as pairs of real values.

    Args:
        float_content: the float .tflite.
        content: a quantized .tflite of the same model.
        samples: representative inputs, all of which are run.

    Raises:
        RuntimeError: LiteRT cannot run the quantized file.
        ConversionError: LiteRT cannot run the float one.
    """
    runner = ActivationRunner(float_content)
    candidate = _Candidate(content)
    for _ in runner.over(samples):
        inputs = [runner.value(index).copy() for index in runner.graph.inputs]
        wanted = [runner.value(index).astype(np.float64) for index in runner.graph.outputs]
        yield list(zip(candidate.run(inputs), wanted, strict=True))


def tied_share(float_content: bytes, content: bytes, samples: Samples) -> float:
    """Share of the samples whose best two values of an output are equal in the quantized file alone.

    Args:
        float_content: the float .tflite.
        content: a quantized .tflite of the same model.
        samples: the first `COMPARED_SAMPLES` are used.

    Returns:
        0.0 for a file that LiteRT cannot run, and for outputs that are no row of at least two values.
    """
    tied = rows = 0
    try:
        for outputs in compared_outputs(float_content, content, samples.take(COMPARED_SAMPLES)):
            for value, truth in outputs:
                if truth.ndim == 2 and truth.shape[1] > 1:
                    tied += int((_best_are_equal(value) & ~_best_are_equal(truth)).sum())
                    rows += len(truth)
    except RuntimeError:  # LiteRT has no other
        return 0.0
    return tied / rows if rows else 0.0


def _best_are_equal(values: np.ndarray) -> np.ndarray:
    best = np.sort(values, axis=1)[:, -2:]
    return np.asarray(best[:, 0] == best[:, 1])


def held_apart(samples: Samples) -> tuple[Samples, Samples]:
    """(samples to fit ranges and weights to, samples to choose by): every fourth is held apart for the choice.

    Few samples, or ones that cannot be picked from, serve for both.
    """
    if samples.count is None or samples.count < LEAST_TO_SPLIT:
        return samples, samples
    indices = list(range(samples.count) if samples.indices is None else samples.indices)[: samples.count]
    chosen = indices[HELD_APART - 1 :: HELD_APART]
    return samples.select(sorted(set(indices) - set(chosen))), samples.select(chosen)


class _Candidate:
    """A quantized file that is run batch by batch, or sample by sample where an operator has its batch built in."""

    def __init__(self, content: bytes) -> None:
        self._content = content
        self._interpreter = new_interpreter(content, allocate=False)
        self._alone = False

    def run(self, inputs: list[np.ndarray]) -> list[np.ndarray]:
        """The outputs' real values.

        Raises:
            RuntimeError: LiteRT cannot run the file, not even with one sample.
        """
        rows = max((len(value) for value in inputs if value.ndim), default=1)
        if not self._alone:
            try:
                return _run(self._interpreter, inputs)
            except RuntimeError:  # LiteRT has no other
                if rows == 1:
                    raise
                self._alone = True
                self._interpreter = new_interpreter(self._content, allocate=False)
        one_by_one = [_run(self._interpreter, [value[row : row + 1] for value in inputs]) for row in range(rows)]
        return [np.concatenate(values) for values in zip(*one_by_one, strict=True)]


def _run(interpreter: Interpreter, inputs: list[np.ndarray]) -> list[np.ndarray]:
    details = interpreter.get_input_details()
    with silenced():
        if any(tuple(detail["shape"]) != value.shape for detail, value in zip(details, inputs, strict=True)):
            for detail, value in zip(details, inputs, strict=True):
                interpreter.resize_tensor_input(detail["index"], value.shape)
        interpreter.allocate_tensors()
        for detail, value in zip(details, inputs, strict=True):
            interpreter.set_tensor(detail["index"], to_stored(value, detail))
        interpreter.invoke()
    return [to_real(interpreter.get_tensor(item["index"]), item) for item in interpreter.get_output_details()]
