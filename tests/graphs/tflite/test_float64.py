"""The float64 forms of operators compute what LiteRT's kernels do, but for rounding."""

from __future__ import annotations

import numpy as np
import pytest

from tests.converters.edgetpu.graphs import GraphBuilder, single
from tests.converters.rewriting.test_edgetpu_rows import SAFE
from tests.converters.rewriting.test_edgetpu_rows import rewritten as rewritten_for_edgetpu
from tests.converters.rewriting.test_table import EXAMPLES
from tfcompress.converters.rewriting import FLOAT_FILE, rewrite_graph, rows_for
from tfcompress.graphs.tflite.editor import ModelEditor
from tfcompress.graphs.tflite.float64 import LacksFloat64Error, evaluate
from tfcompress.graphs.tflite.interpreter import new_interpreter, random_inputs, run

# Of the largest value: float32 has 7 digits, and RSQRT and means of many values lose some of them.
TOLERANCE = 1e-5

UNARY = [
    "ABS", "ELU", "EXP", "GELU", "HARD_SWISH", "LOGISTIC", "NEG", "RELU", "RELU6", "RELU_N1_TO_1", "SQUARE", "TANH",
]  # fmt: skip
BINARY = {
    "ADD": "AddOptions", "SUB": "SubOptions", "MUL": "MulOptions", "DIV": "DivOptions",
    "MAXIMUM": "MaximumMinimumOptions", "MINIMUM": "MaximumMinimumOptions", "SQUARED_DIFFERENCE": None, "PRELU": None,
}  # fmt: skip
# Rows with an operator that has no float64 form: the proof of these is the run in float32 alone.
WITHOUT = {"depth_to_space", "dilation", "repeated_channels", "resize_pixel", "resize_identity"}


def difference(content: bytes) -> float:
    """Largest difference between LiteRT's outputs and the float64 ones, relative to the largest value."""
    interpreter, graph = new_interpreter(content, xnnpack=False), ModelEditor.read(content).main
    inputs = random_inputs(interpreter, np.random.default_rng(0))
    given = dict(zip(graph.inputs, inputs, strict=True))
    worst = 0.0
    for tensor, wanted in zip(graph.outputs, run(interpreter, inputs), strict=True):
        output = evaluate(graph, tensor, given)
        assert output.shape == wanted.shape
        worst = max(worst, float(np.abs(output - wanted).max() / np.abs(wanted).max()))
    return worst


@pytest.mark.parametrize("name", UNARY)
def test_a_function_of_one_value(name: str) -> None:
    assert difference(single(name, [1, 4, 4, 3], [1, 4, 4, 3], dtype="float32")) < TOLERANCE


@pytest.mark.parametrize("name", BINARY)
@pytest.mark.parametrize("fused", [0, 1, 3])
def test_a_function_of_two_values(name: str, fused: int) -> None:
    graph, options = GraphBuilder(), BINARY[name]
    source, result = graph.input([1, 4, 4, 3], "float32"), graph.tensor([1, 4, 4, 3], "float32")
    other = graph.tensor([4, 4, 3], "float32", data=np.linspace(0.5, 2, 48, dtype=np.float32).reshape(4, 4, 3))
    fields = {"fusedActivationFunction": fused} if options not in (None, "MaximumMinimumOptions") else {}
    graph.operator(name, [source, other], [result], options, **fields)
    assert difference(graph.content(result)) < TOLERANCE


def test_a_softmax() -> None:
    content = single("SOFTMAX", [2, 5], [2, 5], dtype="float32", options="SoftmaxOptions", beta=1.5)
    assert difference(content) < TOLERANCE


@pytest.mark.parametrize("name", sorted(set(SAFE) - WITHOUT))
def test_the_graphs_of_a_row_before_and_after(name: str) -> None:
    before = SAFE[name]()
    after, _ = rewritten_for_edgetpu(before)
    assert difference(before) < TOLERANCE
    assert difference(after) < TOLERANCE


# Convolutions and products of matrices have no float64 form: their rows are proven in float32.
@pytest.mark.parametrize("name", sorted(set(EXAMPLES) - {"constants", "cumulative_sum", "depthwise", "same_padding"}))
def test_the_graphs_of_a_row_for_every_float_file(name: str) -> None:
    before = EXAMPLES[name][0]()
    assert difference(before) < TOLERANCE
    assert difference(rewrite_graph(before, rows_for(FLOAT_FILE)).content) < TOLERANCE


@pytest.mark.parametrize("half", [False, True])
@pytest.mark.parametrize("size", [[8, 12], [3, 7]])
def test_a_nearest_resize(size: list[int], half: bool) -> None:
    result, options = [1, *size, 3], "ResizeNearestNeighborOptions"
    content = single(
        "RESIZE_NEAREST_NEIGHBOR", [1, 4, 4, 3], result, size, dtype="float32", options=options, halfPixelCenters=half
    )
    assert difference(content) < TOLERANCE


@pytest.mark.parametrize("name", sorted(WITHOUT))
def test_an_operator_without_a_form_is_named(name: str) -> None:
    before = SAFE[name]()
    with pytest.raises(LacksFloat64Error, match="has no float64 form"):
        max(difference(before), difference(rewritten_for_edgetpu(before)[0]))


def test_the_tolerance_tells_functions_apart() -> None:
    content = single("RELU6", [1, 4, 4, 3], [1, 4, 4, 3], dtype="float32")
    graph = ModelEditor.read(content).main
    graph.operators[0] = graph.operator("RELU", graph.inputs, graph.outputs)
    values = np.full((1, 4, 4, 3), 6.001, np.float32)
    (wanted,) = run(new_interpreter(content), [values])
    output = evaluate(graph, graph.outputs[0], {graph.inputs[0]: values})
    assert np.abs(output - wanted).max() / 6 > TOLERANCE
