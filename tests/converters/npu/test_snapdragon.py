"""Snapdragon: Qualcomm's own compiler, its emulator, and the forecast that does without."""

from __future__ import annotations

import ctypes
import dataclasses
import importlib.util
import re
import sys
from pathlib import Path

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema

from tests.converters.edgetpu.graphs import GraphBuilder
from tests.converters.npu.models import PICTURE
from tfcompress.accuracy_diff.litert_runner import LiteRtRunner
from tfcompress.converters.snapdragon import VendorSdk, compile_for, find_sdk, forecast
from tfcompress.converters.snapdragon.compiler import partition_for
from tfcompress.converters.snapdragon.emulator import EmulatorRunner
from tfcompress.converters.snapdragon.inspection import inspect
from tfcompress.converters.snapdragon.log import parse_log, reasons_in
from tfcompress.converters.snapdragon.mapping_forecast import table
from tfcompress.converters.snapdragon.options import Snapdragon
from tfcompress.converters.snapdragon.sdk import pair_problem
from tfcompress.converters.snapdragon.structure import structural_refusal
from tfcompress.converters.snapdragon.stub import empty_library
from tfcompress.errors import ConversionError, MissingExtraError, ModelError, RecipeError
from tfcompress.graphs.tflite import read_tflite

# The NPU rounds differently from XNNPACK after each operator: two convolutions and a float operator between.
MOST_STEPS = 3
POOL = {"padding": schema.Padding.SAME, "strideH": 1, "strideW": 1, "filterHeight": 2, "filterWidth": 2}
RELU, RELU6 = schema.ActivationFunctionType.RELU, schema.ActivationFunctionType.RELU6
ERRORS = """INFO: [compiler_plugin.cc:948] Applying plugin with SDK version: v2.50.40.260831140417
ERROR: [qnn_manager.cc:480]
QNN op validation failed: 'ElementWiseBinary_2' (type=ElementWiseBinary, operation=Mod)
  QNN error=3110. See the QNN validator log lines above for the specific reason.
ERROR: [qnn_compiler_plugin.cc:538]
LiteRT Op #2 'FloorMod' (code=95) is not supported in Qualcomm Compiler.
  Inputs:
    [0] name="a"  tensor_idx=7
  Outputs:
    [0] name="b"  tensor_idx=8
INFO: [compiler_plugin.cc:742] Partitioned subgraph<0>, selected 4 ops, from a total of 5 ops. resulted in 2 partitions.
"""
VALIDATOR = """     0.0ms [VERBOSE]   <V> Validating Op Config PoolAvg2d_1.
     0.0ms [ ERROR ]   <E> Unsupported input/output datatypes requested for the HTP Op 'PoolAvg2d' in the node 'P'.
     0.0ms [ ERROR ]   <E> Requested I/O datatype set:

   in[0]:QNN_DATATYPE_SFIXED_POINT_16
   out[0]:QNN_DATATYPE_SFIXED_POINT_16

     0.0ms [VERBOSE]   <V> validateNativeOps PoolAvg2d_1:qti.aisw:PoolAvg2d htp op validator failed 3110
     0.0ms [VERBOSE]   <V> Validating Op Config Conv2d_2.
     0.0ms [VERBOSE]   <V> done
"""
NATIVE = """     0.0ms [VERBOSE]   <V> Validating Native Op Transpose_0:qti.aisw:Transpose
  8000.0ms [VERBOSE]  Validating Input[0] of ID 0.
     0.0ms [VERBOSE]   <V> Validating Native Op TransposeConv2d_1:qti.aisw:TransposeConv2d
 15000.0ms [VERBOSE]  Validating tensor 0 and 0 have the same Datatype.
 16000.0ms [ ERROR ]  Incorrect output dimension at index 1. Expected 9 but got 10.
104000.0ms [ ERROR ]  Op specific validation failed.
     0.0ms [ ERROR ]   <E> validateNativeOps master op validator TransposeConv2d_1:qti.aisw:TransposeConv2d failed 3110
"""


def test_the_log_says_which_operator_is_refused_and_what_the_rest_became() -> None:
    output = "read_total_bytes=100\nspill_bytes=1\nread_total_bytes=20\nwrite_total_bytes=3\nfill_bytes=0\n"
    log = parse_log(output, ERRORS)
    assert log.version == "2.50.40.260831140417"
    assert [(r.index, r.operator, r.tensor, r.qnn_operators) for r in log.refused] == [
        (2, "FloorMod", 8, ("ElementWiseBinary_2",))
    ]
    assert (log.selected, log.total, log.partitions) == (4, 5, 2)
    assert log.traffic == {"spill_bytes": 1, "fill_bytes": 0, "write_bytes": 3, "read_bytes": 120}


def test_the_validators_reason_names_the_types_that_were_asked_for() -> None:
    assert reasons_in(VALIDATOR) == {
        "PoolAvg2d_1": "Unsupported input/output datatypes requested for the HTP Op 'PoolAvg2d': "
        "in[0]:SFIXED_POINT_16, out[0]:SFIXED_POINT_16"
    }


def test_the_validators_reason_for_an_operator_of_every_chip_is_its_error() -> None:
    assert reasons_in(NATIVE) == {"TransposeConv2d_1": "Incorrect output dimension at index 1. Expected 9 but got 10."}


@pytest.mark.skipif(sys.platform != "linux", reason="an ELF library")
def test_the_empty_library_loads_and_defines_nothing(tmp_path: Path) -> None:
    path = tmp_path / "libQnnLpai.so"
    path.write_bytes(empty_library("libQnnLpai.so"))
    with pytest.raises(AttributeError, match="undefined symbol"):
        _ = ctypes.CDLL(str(path)).lpai


def test_an_older_runtime_than_litert_wants_is_one_clear_line() -> None:
    problem = pair_problem("2.3.0", "2.49.0")
    assert problem is not None
    assert "ai-edge-litert 2.3.0 needs QAIRT 2.50 or newer, but onnxruntime-qnn carries 2.49.0" in problem
    assert "\n" not in problem
    assert pair_problem("2.3.0", "2.50.40") is pair_problem("2.3.0", "2.51.0") is None


def test_an_unknown_chip_is_refused_with_the_known_ones() -> None:
    with pytest.raises(RecipeError, match=r"--socs: unknown chip 'SM1', expected one or more of SA8255,.*SM8850"):
        Snapdragon(socs=("SM1",))


@pytest.mark.parametrize(
    ("soc", "line"),
    [
        ("MT6991", "MT6991 is a chip of MediaTek: SDK not installed: pip install ai-edge-litert-sdk-mediatek"),
        ("Tensor_G5", "Tensor_G5 is a chip of Google: SDK not installed: pip install ai-edge-litert-sdk-google-tensor"),
        ("E9965", "E9965 is a chip of Samsung: SDK not installed: pip install ai-edge-litert-sdk-samsung"),
        ("LNL", "LNL is a chip of IntelOpenVINO: SDK not installed: pip install ai-edge-litert-sdk-intel"),
    ],
)
def test_another_vendors_chip_says_which_package_has_its_compiler(soc: str, line: str) -> None:
    with pytest.raises(RecipeError, match=re.escape(line)):
        Snapdragon(socs=("SM8750", soc))


def test_every_row_of_the_forecasts_table_has_an_answer_and_a_reason_for_each_no() -> None:
    rows = table()
    assert len(rows) > 200
    assert all(set(answer.mapped) == {68, 73, 79} for answer in rows.values())
    assert all(answer.reason for answer in rows.values() if not all(answer.mapped.values()))


@pytest.mark.parametrize("soc", ["SM8350", "SM8550", "SM8750"])
def test_the_compilers_mapping_is_the_forecasts(sdk: VendorSdk, modulo: bytes, soc: str) -> None:
    compiled = compile_for(modulo, soc, sdk).mapping
    expected = forecast(read_tflite(modulo), soc)
    assert [row.mapped for row in compiled.operators] == [row.mapped for row in expected.operators]
    assert (compiled.compiled, expected.compiled) == (True, None)
    (left,) = [row for row in compiled.operators if not row.mapped]
    assert (left.operator, left.keras_layer) == ("FLOOR_MOD", "middle_1")
    assert "operation 'MOD' does not support FLOAT_32" in left.reason
    assert left.fix
    assert str(compiled.compiler_version).startswith("QAIRT 2.")
    assert compiled.ddr_bytes


def _of_rank(
    name: str,
    shape: list[int],
    options: str | None = None,
    *constants: list[int] | int,
    dtype: str = "float32",
    **fields: int,
) -> bytes:
    """One operator; the compiler does not ask whether the result has the right sizes."""
    graph = GraphBuilder()
    source, result = graph.input(shape, dtype), graph.tensor(shape, dtype)
    graph.operator(name, [source, *map(graph.integers, constants)], [result], options, **fields)
    return graph.content(result)


def _upsampled(side: int, *, window: int, stride: int) -> bytes:
    """A transposed convolution with SAME padding."""
    graph = GraphBuilder()
    after = [1, side * stride, side * stride, 4]
    weights = graph.tensor([4, window, window, 3], "float32", data=np.ones((4, window, window, 3), np.float32))
    source, result = graph.input([1, side, side, 3], "float32"), graph.tensor(after, "float32")
    inputs = [graph.integers(after), weights, source]
    form = {"strideH": stride, "strideW": stride, "padding": schema.Padding.SAME}
    graph.operator("TRANSPOSE_CONV", inputs, [result], "TransposeConvOptions", **form)
    return graph.content(result)


def _one_hot(positions: list[int]) -> bytes:
    graph = GraphBuilder()
    source, result = graph.input(positions, "int32"), graph.tensor([*positions, 4], "float32")
    on, off = (graph.tensor([], "float32", data=np.array(value, np.float32)) for value in (1, 0))
    graph.operator("ONE_HOT", [source, graph.integers(4), on, off], [result], "OneHotOptions", axis=-1)
    return graph.content(result)


@pytest.mark.parametrize(
    ("content", "maps"),
    [
        (_of_rank("TANH", [1, 2, 8, 8]), True),
        (_of_rank("TANH", [1, 2, 2, 8, 8]), False),
        (_of_rank("GELU", [1, 2, 2, 8, 8], "GeluOptions"), True),
        (_of_rank("GELU", [1, 2, 2, 2, 8, 8], "GeluOptions"), False),
        (_one_hot([1, 6]), True),
        (_one_hot([1, 2, 6]), False),
        (_of_rank("REDUCE_MAX", [2, 2, 2, 1, 8], "ReducerOptions", [3], keepDims=True), True),
        (_of_rank("REDUCE_MAX", [2, 2, 1, 1, 8], "ReducerOptions", [2, 3], keepDims=True), False),
        (_of_rank("STRIDED_SLICE", [4, 4], "StridedSliceOptions", [0, 0], [4, 4], [1, 1]), True),
        (_of_rank("STRIDED_SLICE", [4, 4], "StridedSliceOptions", [0, 0], [4, 4], [1, 1], newAxisMask=1), False),
        (_of_rank("RESIZE_BILINEAR", [1, 4, 4, 2], "ResizeBilinearOptions", [4, 4], alignCorners=True), True),
        (
            _of_rank(
                *("RESIZE_BILINEAR", [1, 4, 4, 2], "ResizeBilinearOptions", [4, 4]),
                alignCorners=True,
                halfPixelCenters=True,
            ),
            False,
        ),
        (_of_rank("GATHER", [1, 4], "GatherOptions", [0], axis=0), True),
        (_of_rank("GATHER", [4, 4], "GatherOptions", 0, axis=0), False),
        (
            _of_rank("MAX_POOL_2D", [1, 4, 4, 2], "Pool2DOptions", dtype="int16", **POOL, fusedActivationFunction=RELU),
            True,
        ),
        (
            _of_rank(
                "MAX_POOL_2D", [1, 4, 4, 2], "Pool2DOptions", dtype="int16", **POOL, fusedActivationFunction=RELU6
            ),
            False,
        ),
        (_upsampled(6, window=3, stride=2), True),
        (_upsampled(5, window=3, stride=2), False),
        (_upsampled(5, window=2, stride=3), True),
        (_upsampled(4, window=2, stride=3), False),
    ],
)
def test_dimensions_count_for_the_forecast_as_for_the_compiler(sdk: VendorSdk, content: bytes, maps: bool) -> None:
    assert [row.mapped for row in forecast(read_tflite(content), "SM8750").operators] == [maps]
    assert (partition_for(content, "SM8750", sdk) == {}) is maps


@pytest.mark.parametrize(
    "content",
    [
        _of_rank("STRIDED_SLICE", [4, 4], None, [0, 0], [4, 4], [1, 1]),
        _of_rank("RESIZE_BILINEAR", [1, 4, 4, 2], None, [4, 4]),
        _of_rank("ADD", [4, 4]),
    ],
)
def test_options_that_a_file_leaves_out_have_their_defaults(content: bytes) -> None:
    graph = read_tflite(content).main
    assert structural_refusal(graph, graph.operators[0]) is None


def test_a_result_is_compiled_once(sdk: VendorSdk, plain: bytes, fresh_cache: Path) -> None:
    first = compile_for(plain, "SM8750", sdk)
    assert len([path for path in fresh_cache.rglob("*") if path.is_file()]) == 1
    unusable = dataclasses.replace(sdk, tool=Path("/no/such/tool"))
    second = compile_for(plain, "SM8750", unusable)
    assert second.content == first.content is not None
    assert second.mapping == first.mapping


def test_a_compiler_that_hangs_or_is_not_there_costs_no_more_than_its_chip(sdk: VendorSdk, plain: bytes) -> None:
    late = compile_for(plain, "SM8750", sdk, time_limit=0.001, use_cache=False)
    assert late.content is None
    assert late.mapping.compiled is False
    assert "did not finish within" in str(late.mapping.reason)
    assert {row.fix for row in late.mapping.operators} == {""}  # no operator is at fault
    gone = compile_for(plain, "SM8750", dataclasses.replace(sdk, tool=Path("/no/such/tool")), use_cache=False)
    assert "ended with status 127" in str(gone.mapping.reason)
    assert gone.mapping.mapped_ops == 0


@pytest.mark.parametrize("name", ["plain", "modulo"])
def test_the_emulator_runs_what_was_compiled(sdk: VendorSdk, name: str, request: pytest.FixtureRequest) -> None:
    pytest.importorskip("onnx")
    content: bytes = request.getfixturevalue(name)
    compiled = compile_for(content, "SM8750", sdk).content
    assert compiled is not None
    emulated, usual = EmulatorRunner(compiled), LiteRtRunner(content)
    x = np.random.default_rng(1).normal(size=(3, *PICTURE)).astype(np.float32)
    ours = emulated.run({emulated.inputs[0].name: x})
    theirs = usual.run({usual.inputs[0].name: x})
    assert list(ours) == list(theirs)
    (mine,), (wanted,) = ours.values(), theirs.values()
    graph = read_tflite(content).main
    quantization = graph.tensors[graph.outputs[0]].quantization
    assert quantization is not None
    steps = np.abs(mine - wanted) / quantization.scales[0]
    # Near a multiple of 0.3 the modulo jumps, and one step more or less on its way in becomes the whole 0.3.
    assert np.quantile(steps, 0.5 if name == "modulo" else 1.0) <= MOST_STEPS
    assert np.abs(wanted).max() / quantization.scales[0] > 10 * MOST_STEPS  # else any answer would do


def test_a_damaged_artifact_is_refused(sdk: VendorSdk, plain: bytes) -> None:
    pytest.importorskip("onnx")
    compiled = compile_for(plain, "SM8750", sdk).content
    assert compiled is not None
    with pytest.raises(ModelError, match="cut off; compile again"):
        EmulatorRunner(compiled[:-1000])


def test_an_emulator_that_takes_too_long_is_stopped(sdk: VendorSdk, plain: bytes) -> None:
    pytest.importorskip("onnx")
    compiled = compile_for(plain, "SM8750", sdk).content
    assert compiled is not None
    with pytest.raises(ConversionError, match=re.escape("the HTP emulator did not answer within 0.01 seconds")):
        EmulatorRunner(compiled, seconds=0.01)


def test_without_the_extra_there_is_a_forecast_and_one_clear_line(
    plain: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "model.tflite"
    path.write_bytes(plain)
    without_extra(monkeypatch, "onnxruntime_qnn")
    with pytest.raises(MissingExtraError, match=re.escape("pip install 'tfcompress[snapdragon]'")):
        find_sdk()
    (mapping,) = inspect(path, ["SM8750"])
    assert (mapping.compiled, mapping.cpu_ops) == (None, 0)
    assert "a forecast" in str(mapping.reason)


def without_extra(monkeypatch: pytest.MonkeyPatch, module: str) -> None:
    """As where a package is not installed: nobody finds it."""
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *rest: None if name == module else find(name, *rest))
