"""Reading a file into objects and writing it again changes nothing, and edits change what they say and nothing else."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as some

from tests.converters.edgetpu.graphs import GraphBuilder
from tfcompress.graphs.tflite import TfliteFile, read_tflite
from tfcompress.graphs.tflite.editor import ModelEditor
from tfcompress.graphs.tflite.interpreter import new_interpreter, run
from tfcompress.graphs.tflite.records import read_tree, write_tree

UNARY = ("RELU", "TANH", "LOGISTIC", "RELU6")
BINARY = {"ADD": "AddOptions", "MUL": "MulOptions", "SUB": "SubOptions"}


@some.composite
def graphs(draw: some.DrawFn) -> bytes:
    """A random graph: several inputs, constants that may be alike, dead operators and dead tensors, several outputs."""
    graph = GraphBuilder()
    shape = draw(some.lists(some.integers(1, 4), max_size=4))
    tensors = [graph.input(shape, "float32") for _ in range(draw(some.integers(1, 3)))]
    values = draw(some.lists(some.floats(-2, 2, width=32), max_size=3))
    tensors += [graph.tensor(shape, "float32", data=np.full(shape, value, np.float32)) for value in values]
    computed = []
    for _ in range(draw(some.integers(1, 8))):
        name = draw(some.sampled_from([*UNARY, *BINARY]))
        operands = [draw(some.sampled_from(tensors)) for _ in range(2 if name in BINARY else 1)]
        result = graph.tensor(shape, "float32")
        graph.operator(name, operands, [result], BINARY.get(name))
        computed.append(result)
        tensors.append(result)
    if draw(some.booleans()):
        graph.tensor(shape, "float32")
    outputs = draw(some.lists(some.sampled_from(computed), min_size=1, max_size=3, unique=True))
    return graph.content(*outputs)


quick = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def answers(content: bytes) -> list[np.ndarray]:
    interpreter = new_interpreter(content, xnnpack=False)
    random = np.random.default_rng(0)
    shapes = [detail["shape"] for detail in interpreter.get_input_details()]
    return run(interpreter, [random.normal(size=shape).astype(np.float32) for shape in shapes])


def as_read(file: TfliteFile) -> list[object]:
    """All that the reader sees of a file, with constants as bytes."""
    seen: list[object] = [(s.key, dict(s.inputs), dict(s.outputs)) for s in file.signatures]
    for graph in file.subgraphs:
        seen += [
            (t.name, t.shape, t.shape_signature, t.dtype, None if t.data is None else t.data.tobytes(), t.is_variable)
            for t in graph.tensors
        ]
        seen += [(o.name, o.version, o.inputs, o.outputs) for o in graph.operators]
        seen += [graph.inputs, graph.outputs]
    return seen


@quick
@given(graphs())
def test_a_file_that_is_read_and_written_is_the_same(content: bytes) -> None:
    again = ModelEditor.read(content).to_bytes()
    assert again == write_tree(read_tree(content))
    assert as_read(read_tflite(again)) == as_read(read_tflite(content))


@quick
@given(graphs())
def test_dropping_what_nothing_uses_changes_no_answer_and_leaves_nothing_unused(content: bytes) -> None:
    model = ModelEditor.read(content)
    model.main.drop_unread()
    model.drop_unused()
    small = model.to_bytes()
    assert all(np.array_equal(a, b) for a, b in zip(answers(content), answers(small), strict=True))
    main = read_tflite(small).main
    used = {*main.inputs, *main.outputs, *(i for o in main.operators for i in (*o.inputs, *o.outputs))}
    assert used == set(range(len(main.tensors)))
    assert len(model.record.operatorCodes) == len({operator.name for operator in main.operators})


@quick
@given(graphs(), some.integers(0, 7))
def test_an_operator_that_does_nothing_can_be_put_anywhere(content: bytes, place: int) -> None:
    model = ModelEditor.read(content)
    graph = model.main
    operator = graph.operators[place % len(graph.operators)]
    inner = graph.like(operator.result, "inner")
    zero = graph.new_constant(np.zeros((), np.float32), operator.result, "zero")
    changed = operator.replaced(operator.inputs, [inner])
    graph.replace([operator], [changed, graph.plus(inner, zero, operator.result)])
    after = model.to_bytes()
    assert len(read_tflite(after).main.operators) == len(read_tflite(content).main.operators) + 1
    assert all(np.array_equal(a, b) for a, b in zip(answers(content), answers(after), strict=True))


@quick
@given(graphs())
def test_a_changed_constant_changes_no_other_that_had_the_same_content(content: bytes) -> None:
    model = ModelEditor.read(content)
    constants = [tensor for tensor in model.main.tensors if tensor.is_constant]
    if not constants:
        return
    before = [tensor.array() for tensor in constants]
    constants[0].set_array(before[0] + np.float32(1))  # type: ignore[operator]
    after = ModelEditor.read(model.to_bytes())
    now = [tensor.array() for tensor in after.main.tensors if tensor.is_constant]
    assert np.array_equal(now[0], before[0] + np.float32(1))  # type: ignore[arg-type, operator]
    assert all(np.array_equal(a, b) for a, b in zip(now[1:], before[1:], strict=True))  # type: ignore[arg-type]
    assert len(after.record.buffers) == len(read_tree(content).buffers), "the new content takes the old one's place"


def test_two_constants_that_share_their_content_can_be_told_apart() -> None:
    graph = GraphBuilder()
    source, result = graph.input([2], "float32"), graph.tensor([2], "float32")
    first, second = (graph.tensor([2], "float32", data=np.ones(2, np.float32)) for _ in range(2))
    graph.graph.tensors[second].buffer = graph.graph.tensors[first].buffer
    middle = graph.tensor([2], "float32")
    graph.operator("ADD", [source, first], [middle], "AddOptions")
    graph.operator("MUL", [middle, second], [result], "MulOptions")
    model = ModelEditor.read(graph.content(result))
    assert model.main.tensors[first].buffer is model.main.tensors[second].buffer
    model.main.tensors[second].set_array(np.full(2, 3, np.float32))
    (output,) = run(new_interpreter(model.to_bytes()), [np.array([1, 2], np.float32)])
    assert output.tolist() == [6, 9]


def test_no_two_tensors_that_are_made_have_the_same_name_nor_that_of_a_tensor_of_the_file() -> None:
    builder = GraphBuilder()
    source, result = builder.input([2], "float32"), builder.tensor([2], "float32")
    builder.operator("RELU", [source], [result])
    graph = ModelEditor.read(builder.content(result)).main
    graph.tensors[0].name = f"{graph.outputs[0].name}/factor"
    factors = [graph.new_constant(2.0, graph.outputs[0], "factor") for _ in range(2)]
    others = [graph.like(graph.outputs[0], "other") for _ in range(2)]
    names = [tensor.name for tensor in (*graph.tensors, *factors, *others)]
    assert len(set(names)) == len(names)
    assert others[0].name == f"{graph.outputs[0].name}/other"


def test_a_constant_of_another_dtype_is_refused() -> None:
    graph = GraphBuilder()
    index = graph.tensor([2], "float32", data=np.ones(2, np.float32))
    model = ModelEditor.read(graph.content(graph.input([2], "float32")))
    with pytest.raises(ValueError, match="a constant of int32, expected float32"):
        model.main.tensors[index].set_array(np.ones(2, np.int32))


def test_every_real_file_is_read_and_written_as_it_is(shared: Path) -> None:
    paths = sorted(shared.rglob("*.tflite"))
    assert paths
    for path in paths:
        content = path.read_bytes()
        again = ModelEditor.read(content).to_bytes()
        assert again == write_tree(read_tree(content)), path
        assert as_read(read_tflite(again)) == as_read(read_tflite(content)), path


@pytest.mark.parametrize(
    "name", ["mlperf_ic_resnet8/pretrainedResnet_quant", "mltk_kws_mobilenetv2/keyword_spotting_mobilenetv2"]
)
def test_a_real_file_answers_the_same_without_what_it_does_not_use(name: str, shared: Path) -> None:
    content = (shared / "models" / f"{name}.tflite").read_bytes()
    model = ModelEditor.read(content)
    model.drop_unused()
    first, second = (new_interpreter(each) for each in (content, model.to_bytes()))
    random = np.random.default_rng(0)
    inputs = [
        random.integers(-128, 128, detail["shape"]).astype(detail["dtype"]) for detail in first.get_input_details()
    ]
    assert all(np.array_equal(a, b) for a, b in zip(run(first, inputs), run(second, inputs), strict=True))
