"""Inputs that are not one thing: features of different scale, of which one 8-bit scale would leave the small ones none.

The first operators (a Normalization, or the first layer) then compute in float from a float32 input, and integers begin
behind them, where the values are alike.  Whether that is needed is measured: the float model is run with what enters
its integers rounded to 8 bits, and nothing else.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from tfcompress.data import Samples
from tfcompress.graphs.tflite import Operator, Subgraph, TfliteFile, read_tflite
from tfcompress.graphs.tflite.editor import GraphEditor, ModelEditor, OperatorNode, TensorNode, options
from tfcompress.graphs.tflite.extraction import extract
from tfcompress.graphs.tflite.interpreter import CANNOT_RUN, new_interpreter, run
from tfcompress.graphs.tflite.operators import traits
from tfcompress.graphs.tflite.quantization import fake_quantize
from tfcompress.native_output import silenced

__all__ = ["FloatHead", "first_layer", "float_head", "with_head", "without_head"]

COLUMN_DB = 30.0  # of a feature's own variation: below, its rounding is tried on the model
ENOUGH_DB = 25.0  # of the outputs' variation: what rounding the inputs alone has to leave
GAIN_DB = 6.0  # a bit: what a float head has to win
TRIED_SAMPLES = 128
MOST_ROWS = 8192  # of a batch: the pixels of an image are many
MOST_WEIGHTED = 2  # layers of a head
MOST_OPERATORS = 60  # of a head
_FRONT = "head/"  # before the names of the inputs behind a head


@dataclass(frozen=True)
class FloatHead:
    """The operators that stay in float behind the inputs.

    Attributes:
        operators: how many of the file's first operators they are.
        tensors: output tensors of those operators.
        note: what was done and why, one line.
    """

    operators: int
    tensors: tuple[str, ...]
    note: str


def float_head(content: bytes, samples: Samples) -> FloatHead | None:
    """The shortest head behind which 8 bits are enough; None where the inputs survive 8 bits, or no head would help.

    Args:
        content: the float .tflite.
        samples: representative inputs; `TRIED_SAMPLES` of them are used.
    """
    file = read_tflite(content)
    poor = _poor_features(file, samples)
    cuts = _cuts(file.main)
    if not poor or not cuts:
        return None
    try:
        before, kept = _tried(content, _inputs(file, samples), cuts)
    except CANNOT_RUN:  # operators of TensorFlow's own, which only a phone with the Flex delegate runs
        return None
    if not kept:
        return None
    best = next((cut for cut in cuts if kept[cut] >= ENOUGH_DB), max(cuts, key=lambda cut: kept[cut]))
    if kept[best] < before + GAIN_DB:
        return None
    return FloatHead(best, _computed(file.main, best), _note(file, best, poor, before, kept[best]))


def first_layer(content: bytes) -> FloatHead | None:
    """The shortest head with weights in it, whose input is not rounded; None where the file has no such layer.

    Args:
        content: the float .tflite.
    """
    graph = read_tflite(content).main
    ends = [_behind(graph, operator) for operator in graph.operators[:MOST_OPERATORS] if _multiplies(operator)]
    if not ends or ends[0] >= len(graph.operators) or any(graph.tensors[i].dtype != "float32" for i in graph.inputs):
        return None
    note = f"inputs are float32: rounding them costs most of what is lost; the first {ends[0]} operators are float too"
    return FloatHead(ends[0], _computed(graph, ends[0]), note)


def _computed(graph: Subgraph, cut: int) -> tuple[str, ...]:
    return tuple(graph.tensors[index].name for op in graph.operators[:cut] for index in op.outputs)


def _tried(
    content: bytes, values: Sequence[Mapping[int, np.ndarray]], cuts: Sequence[int]
) -> tuple[float, dict[int, float]]:
    """(decibels that rounding the inputs leaves, {cut: what rounding behind it leaves}); no cuts where it is enough."""
    model = ModelEditor.read(content)
    wanted = _outputs(model, 0, values, rounded=False)
    before = _kept_db(model, 0, values, wanted)
    return before, {cut: _kept_db(model, cut, values, wanted) for cut in cuts} if before < ENOUGH_DB else {}


def _note(file: TfliteFile, cut: int, poor: Mapping[str, float], before: float, after: float) -> str:
    first = ", ".join(dict.fromkeys(operator.name for operator in file.main.operators[:cut]))
    name, least = min(poor.items(), key=lambda item: item[1])
    return (
        f"input {name!r} is float32: its features differ in scale, one 8-bit scale would keep {max(least, 0.0):.1f} dB "
        f"of the least and {max(before, 0.0):.1f} dB of the outputs; the first {cut} operators ({first}) compute in "
        f"float, which leaves {after:.1f} dB"
    )


def _poor_features(file: TfliteFile, samples: Samples) -> dict[str, float]:
    """{input: decibels that 8 bits keep of the variation of its worst feature}, of those that keep too little."""
    seen: dict[str, list[np.ndarray]] = {}
    for batch in samples.spread(TRIED_SAMPLES).batches(32):
        for name, values in batch.inputs.items():
            if values.ndim > 1 and values.dtype.kind == "f":
                rows = values.reshape(-1, values.shape[-1])
                seen.setdefault(name, []).append(rows[:: max(1, len(rows) // MOST_ROWS)])
    poor: dict[str, float] = {}
    for name, index in file.signatures[0].inputs.items():
        if name in seen and file.main.tensors[index].dtype == "float32":
            values = np.concatenate(seen[name]).astype(np.float64)
            step, spread = _step([values]), values.var(axis=0)
            live = spread[spread > 0]
            least = float(10 * np.log10(live.min() / (step**2 / 12))) if live.size else np.inf
            if least < COLUMN_DB:
                poor[name] = least
    return poor


def _step(values: Sequence[np.ndarray]) -> float:
    """Of 8 bits over values and zero."""
    low, high = min(float(value.min()) for value in values), max(float(value.max()) for value in values)
    return max((max(high, 0.0) - min(low, 0.0)) / 255, 1e-30)


def _cuts(graph: Subgraph) -> list[int]:
    """Numbers of first operators that may stay in float: up to the first layer with weights, behind it, and so on."""
    before: list[int] = []
    weighted = 0
    for operator in graph.operators[:MOST_OPERATORS]:
        if _multiplies(operator):
            before.append(operator.index)
            weighted += 1
            if weighted > MOST_WEIGHTED:
                break
    ends = [_behind(graph, operator) for operator in graph.operators[:MOST_OPERATORS] if _multiplies(operator)]
    cuts = sorted({*before, *ends[:MOST_WEIGHTED]} - {0})
    return [cut for cut in cuts if cut < len(graph.operators)]


def _multiplies(operator: Operator) -> bool:
    return traits(operator.name).multiplies


def _behind(graph: Subgraph, operator: Operator) -> int:
    """The number of operators up to a layer, with an activation right behind it."""
    following = graph.operators[operator.index + 1 : operator.index + 2]
    squashing = ("TANH", "LOGISTIC", "RELU", "RELU6", "LEAKY_RELU", "ELU", "GELU", "HARD_SWISH", "SIN", "COS")
    activation = [op for op in following if op.name in squashing and operator.outputs[0] in op.inputs]
    return operator.index + 1 + len(activation)


def _inputs(file: TfliteFile, samples: Samples) -> list[dict[int, np.ndarray]]:
    """{input tensor: value} of single samples."""
    rows = []
    for batch in samples.spread(TRIED_SAMPLES).batches(1):
        tensors = file.signatures[0].inputs.items()
        rows.append({index: np.asarray(batch.inputs[name], file.main.tensors[index].dtype) for name, index in tensors})
    return rows


def _kept_db(
    model: ModelEditor,
    cut: int,
    values: Sequence[Mapping[int, np.ndarray]],
    wanted: list[np.ndarray],
) -> float:
    """The least decibels of any output's variation that rounding what enters behind a cut leaves."""
    rounded = _outputs(model, cut, values, rounded=True)
    kept = []
    for truth, value in zip(wanted, rounded, strict=True):
        spread, noise = truth.var(axis=0).sum(), np.square(truth - value).mean(axis=0).sum()
        if spread > 0:
            kept.append(10 * np.log10(spread / max(noise, 1e-12 * spread)))
    return float(min(kept, default=np.inf))


def _outputs(
    model: ModelEditor, cut: int, values: Sequence[Mapping[int, np.ndarray]], *, rounded: bool
) -> list[np.ndarray]:
    """Outputs, float64 [samples, ...], where what enters behind a cut may be rounded to 8 bits of its range."""
    graph = model.main
    front = _front(graph, cut)
    entering = _entering(graph, cut, values, front)
    if rounded:
        entering = [_rounded(column) for column in entering]
    rest = new_interpreter(extract(graph.operators[cut:], inputs=front, outputs=graph.outputs), xnnpack=False)
    rows = [[value.astype(np.float64) for value in run(rest, row)] for row in zip(*entering, strict=True)]
    return [np.concatenate(column) for column in zip(*rows, strict=True)]


def _entering(
    graph: GraphEditor, cut: int, values: Sequence[Mapping[int, np.ndarray]], front: Sequence[TensorNode]
) -> list[list[np.ndarray]]:
    """For each tensor of the front its value in each sample."""
    places = {tensor: number for number, tensor in enumerate(graph.tensors)}
    computed = [tensor for tensor in front if tensor not in graph.inputs]
    inputs = [tensor for tensor in graph.inputs if _read_before(graph, tensor, cut)]
    first = None
    if computed:
        first = new_interpreter(extract(graph.operators[:cut], inputs=inputs, outputs=computed), xnnpack=False)
    rows = []
    for sample in values:
        by_tensor = {tensor: sample[places[tensor]] for tensor in graph.inputs}
        if first is not None:
            by_tensor.update(zip(computed, run(first, [by_tensor[tensor] for tensor in inputs]), strict=True))
        rows.append([by_tensor[tensor] for tensor in front])
    return [list(column) for column in zip(*rows, strict=True)]


def _rounded(values: list[np.ndarray]) -> list[np.ndarray]:
    """The same rounded to 8 bits over all of them; integers stay."""
    if values[0].dtype != np.float32:
        return values
    step, low = _step(values), min(0.0, *(float(value.min()) for value in values))
    zero = round(-low / step)
    return [
        np.asarray(fake_quantize(value.astype(np.float64), step, zero_point=zero, limits=(0, 255)), np.float32)
        for value in values
    ]


def _front(graph: GraphEditor, cut: int) -> list[TensorNode]:
    """What the operators behind a cut read from before it: computed tensors and inputs."""
    before = {*graph.inputs, *(tensor for operator in graph.operators[:cut] for tensor in operator.outputs)}
    read = (tensor for operator in graph.operators[cut:] for tensor in operator.operands)
    ends = (tensor for tensor in graph.outputs if tensor in before)
    return list(dict.fromkeys(tensor for tensor in (*read, *ends) if tensor in before))


def without_head(content: bytes, head: FloatHead) -> bytes:
    """A float .tflite that begins behind the head: what it reads from there are its inputs."""
    model = ModelEditor.read(content)
    graph, signature = model.main, model.signatures[0]
    names = {tensor: name for name, tensor in signature.inputs}
    front = _front(graph, head.operators)
    graph.operators = graph.operators[head.operators :]
    signature.inputs = [(names.get(tensor, f"{_FRONT}{number}"), tensor) for number, tensor in enumerate(front)]
    graph.inputs = front
    model.drop_unused()
    return model.to_bytes()


def with_head(quantized: bytes, content: bytes, head: FloatHead) -> bytes:
    """The quantized file of `without_head(content, head)` with the head of `content` before it, in float."""
    source, model = ModelEditor.read(content), ModelEditor.read(quantized)
    graph, signature = model.main, model.signatures[0]
    names = {tensor: name for name, tensor in source.signatures[0].inputs}
    begins = dict(signature.inputs)
    front = _front(source.main, head.operators)
    twins: dict[TensorNode, TensorNode] = {}
    conversions = []
    for number, tensor in enumerate(front):
        own = begins[names.get(tensor, f"{_FRONT}{number}")]
        if tensor in names and not _read_before(source.main, tensor, head.operators):
            twins[tensor] = own  # an input that only the integers read stays as it is
            continue
        twins[tensor] = own if own.dtype == tensor.dtype else _twin(tensor, graph)
        if twins[tensor] is not own:
            conversion = graph.operator("QUANTIZE", [twins[tensor]], [own], options("QuantizeOptions"), version=1)
            conversions.append(conversion)
    moved = [_moved(graph, operator, twins) for operator in source.main.operators[: head.operators]]
    graph.operators = [*moved, *conversions, *graph.operators]
    signature.inputs = [(name, _given(twins, tensor, graph)) for name, tensor in source.signatures[0].inputs]
    graph.inputs = [tensor for _, tensor in signature.inputs]
    return model.to_bytes()


def _read_before(graph: GraphEditor, tensor: TensorNode, cut: int) -> bool:
    return any(tensor in operator.inputs for operator in graph.operators[:cut])


def _given(twins: dict[TensorNode, TensorNode], tensor: TensorNode, graph: GraphEditor) -> TensorNode:
    return twins.setdefault(tensor, _twin(tensor, graph))


def _twin(tensor: TensorNode, graph: GraphEditor) -> TensorNode:
    twin = tensor.copy(f"{tensor.name}/float" if not tensor.is_constant else tensor.name)
    twin.record.quantization = None
    if not tensor.is_constant:
        twin.buffer = graph.codes.empty_buffer
    return twin


def _moved(graph: GraphEditor, operator: OperatorNode, twins: dict[TensorNode, TensorNode]) -> OperatorNode:
    for tensor in (*operator.operands, *operator.outputs):
        _given(twins, tensor, graph)
    inputs = [None if tensor is None else twins[tensor] for tensor in operator.inputs]
    outputs = [twins[tensor] for tensor in operator.outputs]
    with silenced():
        return graph.operator(operator.name, inputs, outputs, operator.options, version=operator.version)
