"""LeakyReLU, PReLU and ReLU in every form that has one slope above zero and another below."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter

from tests.converters.edgetpu.graphs import GraphBuilder
from tfcompress.converters.edgetpu import convert
from tfcompress.converters.phone import convert as convert_for_phone
from tfcompress.converters.rewriting import EDGETPU, FLOAT_FILE, rewrite_graph, rows_for
from tfcompress.data import samples_from_arrays
from tfcompress.graphs.tflite import read_tflite
from tfcompress.graphs.tflite.proof import TOLERANCE, largest_difference
from tfcompress.load import float_model_from_keras
from tfcompress.recipe import PostTraining, Recipe
from tfcompress.runtime import keras

SHAPE = [1, 4, 4, 3]
BY_CHANNEL = [0.1, 0.2, 0.3]
RELU = schema.ActivationFunctionType.RELU
LEAST_DB, BROKEN_DB = 30.0, 25.0  # 0 to 22 dB before these were known


class Forms:
    """A graph of floats with few words."""

    def __init__(self) -> None:
        self.graph = GraphBuilder()
        self.x = self.graph.input(SHAPE, "float32")

    def constant(self, value: float | Sequence[float]) -> int:
        array = np.array(value, np.float32)
        return self.graph.tensor(list(array.shape), "float32", data=array)

    def __call__(self, name: str, *inputs: int, dtype: str = "float32", **fields: int) -> int:
        result = self.graph.tensor(SHAPE, dtype)
        kind = {"MUL": "MulOptions", "ADD": "AddOptions", "SUB": "SubOptions", "DIV": "DivOptions"}.get(name)
        self.graph.operator(name, list(inputs), [result], kind, **fields)
        return result

    def times(self, value: float | Sequence[float], **fields: int) -> int:
        return self("MUL", self.x, self.constant(value), dtype="float32", **fields)


def above_zero(f: Forms, name: str = "GREATER") -> int:
    return f(name, f.x, f.constant(0.0), dtype="bool")


LEAKY: dict[str, Callable[[Forms], int]] = {
    "maximum": lambda f: f("MAXIMUM", f.x, f.times(0.1)),
    "maximum the other way": lambda f: f("MAXIMUM", f.times(0.1), f.x),
    "maximum of a quotient": lambda f: f("MAXIMUM", f.x, f("DIV", f.x, f.constant(10.0))),
    "choice": lambda f: f("SELECT", above_zero(f), f.x, f.times(0.1)),
    "choice the other way": lambda f: f("SELECT_V2", above_zero(f, "LESS"), f.times(0.1), f.x),
    "choice with zero": lambda f: f("SELECT_V2", above_zero(f, "GREATER_EQUAL"), f.x, f.times(0.1)),
    "difference of ReLUs": lambda f: f(
        "SUB", f("RELU", f.x), f("MUL", f.times(-1.0, fusedActivationFunction=RELU), f.constant(0.1))
    ),
    "sum with a minimum": lambda f: f(
        "ADD", f("RELU", f.x), f("MUL", f("MINIMUM", f.x, f.constant(0.0)), f.constant(0.1))
    ),
    "absolute value": lambda f: f("ADD", f.times(0.55), f("MUL", f("ABS", f.x), f.constant(0.45))),
}
PRELU: dict[str, Callable[[Forms], int]] = {
    "maximum": lambda f: f("MAXIMUM", f.x, f.times(BY_CHANNEL)),
    "choice": lambda f: f("SELECT_V2", above_zero(f), f.x, f.times(BY_CHANNEL)),
    "difference of ReLUs": lambda f: f(
        "SUB", f("RELU", f.x), f("MUL", f("RELU", f("NEG", f.x)), f.constant(BY_CHANNEL))
    ),
}


def rewritten(form: Callable[[Forms], int]) -> tuple[list[str], float]:
    """The operators afterwards, and the largest relative difference to what was before."""
    forms = Forms()
    before = forms.graph.content(form(forms))
    after = rewrite_graph(before, rows_for(FLOAT_FILE)).content
    names = [operator.name for operator in read_tflite(after).main.operators]
    return names, largest_difference(before, after, seed=1)


@pytest.mark.parametrize("form", LEAKY.values(), ids=LEAKY)
def test_leaky_relu_in_any_form_is_one_operator(form: Callable[[Forms], int]) -> None:
    names, difference = rewritten(form)
    assert names == ["LEAKY_RELU"]
    assert difference <= TOLERANCE


@pytest.mark.parametrize("form", PRELU.values(), ids=PRELU)
def test_slopes_by_channel_are_prelu(form: Callable[[Forms], int]) -> None:
    names, difference = rewritten(form)
    assert names == ["PRELU"]
    assert difference <= TOLERANCE


@pytest.mark.parametrize(
    ("form", "expected"),
    [
        (lambda f: f("MAXIMUM", f.x, f.constant(0.0)), ["RELU"]),
        (lambda f: f("MAXIMUM", f.x, f.times(0.0)), ["RELU"]),
        (lambda f: f("ADD", f.x, f("ABS", f.x)), ["MUL", "RELU"]),
        (lambda f: f("SELECT", above_zero(f), f.times(0.5), f.times(0.1)), ["MUL", "LEAKY_RELU"]),
        (lambda f: f("SELECT", above_zero(f), f.x, f.times(2.0)), ["MUL", "MUL", "MINIMUM"]),
        (lambda f: f("SELECT", above_zero(f), f.x, f.times(-2.0)), ["MUL", "MUL", "MAXIMUM"]),
    ],
    ids=["zero", "zero below", "x + |x|", "slope above", "steeper below", "negative below"],
)
def test_other_slopes_are_written_in_the_fewest_operators(form: Callable[[Forms], int], expected: list[str]) -> None:
    names, difference = rewritten(form)
    assert sorted(names) == sorted(expected)
    assert difference <= TOLERANCE


@pytest.mark.parametrize(
    "form",
    [
        lambda f: f("ADD", f("RELU", f.x), f.constant(0.1)),  # a constant is added
        lambda f: f("SELECT", f("GREATER", f.x, f.constant(0.5), dtype="bool"), f.x, f.times(0.1)),  # elsewhere
        lambda f: f("ADD", f("RELU", f.x), f("TANH", f.x)),
        lambda f: f("ADD", f.x, f.times(0.1)),  # one slope
    ],
    ids=["shifted", "threshold", "tanh", "linear"],
)
def test_what_has_other_bends_or_none_stays(form: Callable[[Forms], int]) -> None:
    forms = Forms()
    before = forms.graph.content(form(forms))
    assert "two_slopes" not in {row.name for row in rewrite_graph(before, rows_for(FLOAT_FILE)).applied}


def test_an_operand_that_others_read_gets_a_range_of_its_own() -> None:
    forms = Forms()
    shared = forms("TANH", forms.x)
    result = forms("MINIMUM", shared, forms.constant(0.3))
    before = forms.graph.content(result, shared)
    done = rewrite_graph(before, rows_for(FLOAT_FILE))
    assert [row.name for row in done.applied] == ["own_range"]
    assert largest_difference(before, done.content, seed=1) == 0
    alone = Forms()
    result = alone("MINIMUM", alone("TANH", alone.x), alone.constant(0.3))
    assert not rewrite_graph(alone.graph.content(result), rows_for(FLOAT_FILE)).applied


def test_the_exponential_of_a_minimum_is_still_known_behind_a_range_of_its_own() -> None:
    forms = Forms()
    result = forms("EXP", forms("MINIMUM", forms.x, forms.constant(0.0)))
    content = rewrite_graph(forms.graph.content(result), rows_for(FLOAT_FILE)).content
    names = [op.name for op in read_tflite(rewrite_graph(content, rows_for(EDGETPU)).content).main.operators]
    assert {"EXP", "MINIMUM"}.isdisjoint(names)


def written_by_hand() -> Any:
    """Each activation beside a convolution of its own, as people write them in Keras 3."""
    ops, layers = keras.ops, keras.layers
    slopes = np.array([0.1, 0.2, 0.3, 0.4], np.float32)
    forms: tuple[Callable[[Any], Any], ...] = (
        lambda x: ops.maximum(0.1 * x, x),
        lambda x: ops.maximum(x, x * slopes),
        lambda x: ops.maximum(x, -0.2 * x),
        lambda x: ops.minimum(x, 0.3 * x),
        lambda x: ops.relu(x) + 0.1 * ops.minimum(x, 0.0),
        lambda x: ops.relu(x) - ops.relu(-x) * slopes,
        lambda x: ops.where(x > 0, x, 0.1 * x),
        lambda x: x + ops.minimum(x, 0.2),
    )
    picture = keras.Input((8, 8, 4))
    return keras.Model(picture, [form(layers.Conv2D(4, 1)(picture)) for form in forms])


def decibels(path: Path, pictures: np.ndarray, exact: Sequence[np.ndarray]) -> list[float]:
    """Of each output of an int8 file."""
    interpreter = Interpreter(model_path=str(path))
    interpreter.allocate_tensors()
    (source,), results = interpreter.get_input_details(), interpreter.get_output_details()
    scale, zero = source["quantization"]
    values: list[list[np.ndarray]] = []
    for picture in np.clip(np.round(pictures / scale) + zero, -128, 127).astype(np.int8):
        interpreter.set_tensor(source["index"], picture[None])
        interpreter.invoke()
        values.append([(interpreter.get_tensor(r["index"]) - float(r["quantization"][1])) * r["quantization"][0]
                       for r in results])  # fmt: skip
    pairs = zip(exact, (np.concatenate(each) for each in zip(*values, strict=True)), strict=True)
    return [float(10 * np.log10(np.square(a).sum() / np.square(a - b).sum())) for a, b in pairs]


@pytest.mark.slow
def test_activations_written_by_hand_map_and_are_as_exact_as_the_layers(tmp_path: Path) -> None:
    keras.utils.set_random_seed(0)
    network = written_by_hand()
    model = float_model_from_keras(network)
    pictures = np.random.default_rng(0).normal(size=(24, 8, 8, 4)).astype(np.float32)
    samples = samples_from_arrays(pictures, model_inputs=model.inputs, model_outputs=model.outputs)
    exact = [np.asarray(value) for value in network(pictures)]
    for name, converter in (("edgetpu", convert), ("phone", convert_for_phone)):
        folder = tmp_path / name
        folder.mkdir()
        facts: Any = converter(model, samples, Recipe(post_training=PostTraining(quality="fast")), folder).facts
        assert min(decibels(folder / "model.tflite", pictures, exact)) > LEAST_DB > BROKEN_DB
        if name == "edgetpu":
            assert facts["mapping"]["cpu_ops"] == 0
