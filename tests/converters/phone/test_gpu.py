"""The forecast for a phone's GPU: LiteRT's rules, on files of one operator."""

from __future__ import annotations

import contextlib
import io
import json
import os
import subprocess
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema

from tests.converters.edgetpu.graphs import GraphBuilder
from tfcompress.cli import main
from tfcompress.converters.phone.gpu import RULES, forecast, gpu_facts, gpu_note
from tfcompress.graphs.tflite import read_tflite
from tfcompress.graphs.tflite.names import OPERATOR_CODES
from tfcompress.runtime import tf

Shape = Sequence[int]
TYPES = "OP is supported, but tensor type/shape isn't compatible."


def unary(name: str, shape: Shape, options: str | None = None, *, dtype: str = "float32", version: int = 1) -> bytes:
    graph = GraphBuilder()
    source, result = graph.input(shape, dtype), graph.tensor(shape, dtype)
    graph.operator(name, [source], [result], options, version=version)
    return graph.content(result)


def binary(name: str, first: Shape, second: Shape, *, constant: bool = False, version: int = 1) -> bytes:
    graph = GraphBuilder()
    after = np.broadcast_shapes(tuple(first), tuple(second))
    operands = [graph.input(first, "float32")]
    data = np.ones(second, np.float32) if constant else None
    operands.append(graph.tensor(second, "float32", data=data) if constant else graph.input(second, "float32"))
    result = graph.tensor(after, "float32")
    graph.operator(
        name, operands, [result], f"{name.title()}Options" if name in ("ADD", "MUL") else None, version=version
    )
    return graph.content(result)


def sliced(rank: int, **masks: int) -> bytes:
    graph = GraphBuilder()
    source = graph.input([2] * rank, "float32")
    parts = [graph.integers([value] * rank) for value in (0, 2, 1)]
    shrunk = [2] * (rank - bin(masks.get("shrinkAxisMask", 0)).count("1"))
    result = graph.tensor(shrunk, "float32")
    graph.operator("STRIDED_SLICE", [source, *parts], [result], "StridedSliceOptions", **masks)
    return graph.content(result)


def gathered(positions: Shape, *, dtype: str = "int32") -> bytes:
    graph = GraphBuilder()
    source = graph.input([1, 6, 4], "float32")
    where = graph.tensor(positions, dtype, data=np.zeros(positions, dtype))
    result = graph.tensor([1, *positions, 4], "float32")
    graph.operator("GATHER", [source, where], [result], "GatherOptions", axis=1)
    return graph.content(result)


def depthwise(channels: int, multiplier: int) -> bytes:
    graph = GraphBuilder()
    source, after = graph.input([1, 8, 8, channels], "float32"), channels * multiplier
    weights = graph.tensor([1, 3, 3, after], "float32", data=np.ones([1, 3, 3, after], np.float32))
    result = graph.tensor([1, 8, 8, after], "float32")
    form = {"strideH": 1, "strideW": 1, "depthMultiplier": multiplier}
    graph.operator("DEPTHWISE_CONV_2D", [source, weights], [result], "DepthwiseConv2DOptions", **form)
    return graph.content(result)


def softmax(beta: float) -> bytes:
    graph = GraphBuilder()
    source, result = graph.input([1, 5], "float32"), graph.tensor([1, 5], "float32")
    graph.operator("SOFTMAX", [source], [result], "SoftmaxOptions", beta=beta)
    return graph.content(result)


def mirrored(mode: int) -> bytes:
    graph = GraphBuilder()
    source, result = graph.input([1, 4, 4, 2], "float32"), graph.tensor([1, 6, 6, 2], "float32")
    amounts = graph.integers([[0, 0], [1, 1], [1, 1], [0, 0]])
    graph.operator("MIRROR_PAD", [source, amounts], [result], "MirrorPadOptions", mode=mode)
    return graph.content(result)


def compared(after: str | None) -> bytes:
    graph = GraphBuilder()
    source, truth = graph.input([1, 4], "float32"), graph.tensor([1, 4], "bool")
    zeros = graph.tensor([1, 4], "float32", data=np.zeros((1, 4), np.float32))
    graph.operator("GREATER", [source, zeros], [truth])
    if after is None:
        return graph.content(truth)
    result, end = graph.tensor([1, 4], "float32"), graph.tensor([1, 4], "float32")
    graph.operator("CAST", [truth], [result], "CastOptions")
    graph.operator("ABS", [result], [end])
    return graph.content(end)


TAKEN = {
    "a function": unary("TANH", [1, 8]),
    "8 bits": unary("LOGISTIC", [1, 8], dtype="int8"),
    "a sum of pictures": binary("ADD", [1, 4, 4, 2], [1, 4, 4, 2]),
    "a bias": binary("ADD", [1, 4, 4, 2], [2], constant=True),
    "a vector for each picture": binary("MUL", [1, 4, 4, 2], [1, 2]),
    "a slice": sliced(4),
    "positions": gathered([3]),
    "depthwise": depthwise(4, 1),
    "depthwise of one channel": depthwise(1, 4),
    "softmax": softmax(1.0),
    "reflection": mirrored(schema.MirrorPadMode.REFLECT),
    "a comparison that is cast": compared("CAST"),
}
LEFT = {
    "unknown": (unary("CEIL", [1, 8]), "Operation is not supported."),
    "squeezed": (unary("SQUEEZE", [1, 8], "SqueezeOptions"), "Operation is not supported."),
    "a newer version": (unary("TANH", [1, 8], version=3), "Max version supported: 2. Requested version 3."),
    "16 bits": (unary("LOGISTIC", [1, 8], dtype="int16"), f"{TYPES} (int16[1, 8])"),
    "whole numbers": (unary("ABS", [1, 8], dtype="int32"), f"{TYPES} (int32[1, 8])"),
    "five dimensions": (unary("TANH", [1, 2, 2, 2, 2]), f"{TYPES} (float32[1, 2, 2, 2, 2])"),
    "an outer product": (
        binary("MUL", [1, 4, 1], [1, 1, 5]),
        "MUL requires one tensor that not less than second in all dimensions.",
    ),
    "another rank": (
        binary("ADD", [1, 4, 3], [1, 3]),
        "Doesn't support broadcasting - input0: [1, 4, 3], input1: [1, 3]",
    ),
    "a shrunk slice": (sliced(3, shrinkAxisMask=2), "Slice does not support shrink_axis_mask."),
    "a flat slice": (
        sliced(2),
        "STRIDED_SLICE supports for 3 or 4 dimensional tensors only, but node has 2 dimensional tensors.",
    ),
    "a table of positions": (gathered([2, 2]), "Only support 1D indices"),
    "long positions": (gathered([3], dtype="int64"), "Only accept INT32 indices"),
    "more depthwise": (depthwise(4, 2), "depth_multiplier != 1 && input.c != 1"),
    "a sharper softmax": (softmax(2.0), "Softmax.beta != 1 is not supported."),
    "symmetric": (
        mirrored(schema.MirrorPadMode.SYMMETRIC),
        "Only Reflective padding is supported for Mirror Pad operation.",
    ),
    "a comparison": (compared(None), "Not supported logical op case"),
}


@pytest.mark.parametrize("case", TAKEN)
def test_what_the_rules_allow_is_for_the_gpu(case: str) -> None:
    mapping = forecast(read_tflite(TAKEN[case]))
    assert [(row.operator, row.reason) for row in mapping.operators if not row.mapped] == []
    assert mapping.compiled is None  # a forecast


@pytest.mark.parametrize("case", LEFT)
def test_what_a_rule_forbids_is_left_with_the_delegates_words_and_a_fix(case: str) -> None:
    content, reason = LEFT[case]
    (row,) = forecast(read_tflite(content)).operators
    assert (row.mapped, row.reason) == (False, reason)
    assert len(row.fix) > 10


def test_every_rule_is_for_an_operator_that_there_is() -> None:
    assert set(RULES) <= set(OPERATOR_CODES)


def between_two_parts() -> bytes:
    """TANH, CEIL, TANH, TANH: the GPU runs one, then two operators."""
    graph = GraphBuilder()
    tensors = [graph.input([1, 8], "float32"), *(graph.tensor([1, 8], "float32") for _ in range(4))]
    for name, source, result in zip(("TANH", "CEIL", "TANH", "TANH"), tensors, tensors[1:], strict=False):
        graph.operator(name, [source], [result])
    return graph.content(tensors[-1])


def test_parts_are_counted_as_the_delegate_takes_the_largest_one_alone() -> None:
    figures = forecast(read_tflite(between_two_parts())).figures
    assert (figures["partitions"], figures["largest_partition"]) == (2, 2)


def test_the_facts_hold_what_is_left_and_say_that_nothing_proves_them() -> None:
    facts = gpu_facts(read_tflite(between_two_parts()))
    assert facts["proven"] is False
    assert (facts["mapped_ops"], facts["cpu_ops"]) == (3, 1)
    note = gpu_note(facts)
    assert note.startswith("GPU, a forecast by LiteRT's rules that nothing here proves: 3 of 4 operators in 2 parts")
    assert "1 CEIL" in note


def test_inspect_prints_the_forecast(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "model.tflite"
    path.write_bytes(between_two_parts())
    assert main(["inspect", str(path), "--target=phone", "--json"]) == 0
    (entry,) = json.loads(capsys.readouterr().out)["mapping"]
    assert (entry["name"], entry["compiled"], entry["mapped_ops"], entry["runs_on"]) == ("GPU", None, 3, "the GPU")
    assert main(["inspect", str(path), "--target=phone"]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert (
        "no GPU was asked; 2 parts, of which it takes the largest, of 2 operators, alone unless told otherwise" in said
    )


# Python of an environment with TensorFlow 2.15 or older, whose analyzer still checks.
OLDER = os.environ.get("TFCOMPRESS_OLDER_TENSORFLOW")
# Cases that the rules leave and the older analyzer, which asks no tensor for its type and dimensions, lets pass.
NEWER_RULES = {"a newer version", "16 bits", "whole numbers", "five dimensions", "another rank", "a comparison"}
ASK = """
import contextlib, io, sys
import tensorflow as tf
for path in sys.argv[1:]:
    said = io.StringIO()
    with contextlib.redirect_stdout(said):
        tf.lite.experimental.Analyzer.analyze(model_path=path, gpu_compatibility=True)
    print("compatible:", "looks compatible with GPU delegate" in said.getvalue())
"""


@pytest.mark.slow
@pytest.mark.skipif(OLDER is None, reason="TFCOMPRESS_OLDER_TENSORFLOW names no Python with TensorFlow 2.15")
def test_the_rules_are_those_of_an_analyzer_that_checks(tmp_path: Path) -> None:
    cases = {**TAKEN, **{case: content for case, (content, _) in LEFT.items()}}
    paths = [tmp_path / f"{number}.tflite" for number in range(len(cases))]
    for path, content in zip(paths, cases.values(), strict=True):
        path.write_bytes(content)
    command = [str(OLDER), "-c", ASK, *map(str, paths)]
    lines = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    answers = [line.endswith("True") for line in lines if line.startswith("compatible:")]
    compatible = {case for case, answer in zip(cases, answers, strict=True) if answer}
    assert compatible == set(TAKEN) | NEWER_RULES


def test_tensorflows_own_check_does_not_check() -> None:
    """It calls an operator compatible that no GPU delegate has; TensorFlow 2.15's does check, see above."""
    said = io.StringIO()
    with contextlib.redirect_stdout(said):
        tf.lite.experimental.Analyzer.analyze(model_content=LEFT["unknown"][0], gpu_compatibility=True)
    assert "looks compatible with GPU delegate" in said.getvalue()
