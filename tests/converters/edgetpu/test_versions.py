"""What older compilers refuse, several subgraphs, the delegate search, and models that are compiled together."""

from __future__ import annotations

import pytest

from tests.conftest import SHARED
from tests.converters.edgetpu.graphs import GraphBuilder, single
from tfcompress.converters.edgetpu import RULES, CompilerOptions, Mapping, forecast, forecast_together
from tfcompress.converters.edgetpu.memory import Demand, Layer, share
from tfcompress.converters.edgetpu.versions import COMPILERS, NEWEST, SINCE, known_compiler
from tfcompress.errors import InputError
from tfcompress.graphs.tflite import read_tflite

MIB = 2**20
SHARED_TOLERANCE = 0.03  # of a published log's two figures
NOT_SHARED = 0.06


def under(content: bytes, compiler: int, **how: bool) -> Mapping:
    return forecast(read_tflite(content), options=CompilerOptions(compiler=compiler, **how))


OLD_REFUSALS: dict[str, tuple[bytes, int, int]] = {  # graph, newest compiler that refuses it, oldest that does not
    "since_compiler_2": (
        single("EXPAND_DIMS", [1, 8, 4], [1, 1, 8, 4], 1, options="ExpandDimsOptions"),
        1,
        2,
    ),
    "since_compiler_16": (single("TRANSPOSE", [1, 8, 8, 4], [1, 4, 8, 8], [0, 3, 1, 2], version=2), 15, 16),
    "nearest_version": (
        single("RESIZE_NEAREST_NEIGHBOR", [1, 8, 8, 4], [1, 16, 16, 4], [16, 16], version=3),
        15,
        16,
    ),
    "half_pixels": (
        single(
            "RESIZE_BILINEAR",
            [1, 7, 7, 1280],
            [1, 14, 14, 1280],
            [14, 14],
            options="ResizeBilinearOptions",
            version=3,
            halfPixelCenters=True,
        ),
        15,
        16,
    ),
}


@pytest.mark.parametrize("name", OLD_REFUSALS)
def test_a_rule_of_older_compilers_does_not_hold_for_newer_ones(name: str) -> None:
    content, refuses, maps = OLD_REFUSALS[name]
    (row,) = under(content, refuses).operators
    assert (row.mapped, row.rule) == (False, name)
    assert f"edgetpu_compiler {maps}" in row.fix
    assert row.certainty in ("documented", "observed", "inferred")
    assert under(content, maps).operators[0].mapped


def test_prelu_and_lstm_came_with_their_compilers() -> None:
    graph = GraphBuilder()
    source, result = graph.input([1, 8, 8, 4]), graph.tensor([1, 8, 8, 4])
    graph.operator("PRELU", [source, graph.weights([1, 1, 4])], [result])
    content = graph.content(result)
    assert [under(content, compiler).mapped_ops for compiler in COMPILERS] == [0, 0, 0, 1, 1]
    assert {name for since in SINCE for name in since.operators} >= {"PRELU", "UNIDIRECTIONAL_SEQUENCE_LSTM"}


def test_transpose_convolution_version_three_needs_compiler_14() -> None:
    graph = GraphBuilder()
    source, result = graph.input([1, 4, 4, 8]), graph.tensor([1, 8, 8, 4])
    inputs = [graph.integers([1, 8, 8, 4]), graph.weights([4, 2, 2, 8]), source]
    graph.operator("TRANSPOSE_CONV", inputs, [result], "TransposeConvOptions", version=3)
    content = graph.content(result)
    assert under(content, 2).operators[0].rule == "transpose_conv_version"
    assert under(content, 14).mapped_ops == 1


def test_each_compiler_writes_its_runtime_version() -> None:
    content = single("RELU", [1, 8], [1, 8], version=2)
    assert [under(content, compiler).min_runtime for compiler in COMPILERS] == [10, 12, 12, 12, 14]


def test_the_newest_compiler_has_every_rule_of_its_own() -> None:
    assert all(rule.first_compiler <= rule.last_compiler for rule in RULES)
    assert all(rule.last_compiler in (NEWEST, NEWEST - 1, 14, 13, 2, 1) for rule in RULES)


@pytest.mark.parametrize(("text", "major"), [("16", 16), ("16.0.384591198", 16), (2, 2), ("14.1.317412892", 14)])
def test_a_compiler_is_known_by_its_number(text: str | int, major: int) -> None:
    assert known_compiler(text) == major


@pytest.mark.parametrize("text", ["17", "new", ""])
def test_another_compiler_is_refused(text: str) -> None:
    with pytest.raises(InputError, match="expected one of 16, 15, 14, 2, 1"):
        known_compiler(text)


def huge(sides: int = 1) -> bytes:
    """One layer that maps, and one whose result is too large."""
    graph = GraphBuilder()
    source, middle = graph.input([1, 512, 512, 4]), graph.tensor([1, 512, 512, 4])
    result = graph.tensor([1, 512, 512, 96])
    graph.operator("RELU", [source], [middle], version=2)
    graph.operator("CONV_2D", [middle, graph.weights([96, 1, 1, 4]), -1], [result], "Conv2DOptions", version=3)
    return graph.content(result)


def test_large_activations_stop_compiler_16_and_not_compiler_1() -> None:
    """MobileNet v2 at 1024 x 1024 has such a layer; compiler 1.0 mapped all of it."""
    failure = under(huge(), 16).failure
    assert failure is not None
    assert failure.certainty == "inferred"
    assert under(huge(), 1).failure is None
    assert under(huge(), 1).mapped_ops == 2


def test_the_delegate_search_keeps_what_compiles() -> None:
    mapping = under(huge(), 16, search_delegate=True)
    assert [row.mapped for row in mapping.operators] == [True, False]
    assert (mapping.failure, mapping.subgraphs, mapping.operators[1].rule) == (None, 1, "delegate_search")
    assert any("--search_delegate" in warning for warning in mapping.warnings)
    assert under(huge(), 15, search_delegate=True).failure is not None  # compiler 16 was the first to have it


def interrupted() -> bytes:
    graph = GraphBuilder()
    tensors = [graph.input([1, 8]), *(graph.tensor([1, 8]) for _ in range(3))]
    graph.operator("RELU", [tensors[0]], [tensors[1]], version=2)
    graph.operator("HARD_SWISH", [tensors[1]], [tensors[2]], "HardSwishOptions")
    graph.operator("RELU", [tensors[2]], [tensors[3]], version=2)
    return graph.content(tensors[3])


def test_several_subgraphs_are_kept_when_asked_for() -> None:
    assert [row.mapped for row in under(interrupted(), 16).operators] == [True, False, False]
    mapping = under(interrupted(), 16, multiple_subgraphs=True)
    assert [row.mapped for row in mapping.operators] == [True, False, True]
    assert mapping.subgraphs == 2


def of_small_layers(wanted: float, *, room: float, streamed: int = 0) -> Demand:
    """A model of layers of 4 KiB; sizes in MiB."""
    layers = tuple(Layer(position, 4096, 4096, 0) for position in range(round(wanted * MIB / 4096)))
    return Demand(layers, streamed, round(room * MIB), waiting=0, least_room=round(room * MIB))


def test_compiler_16_shares_the_cache_in_proportion_as_its_log_says() -> None:
    """EfficientNet-EdgeTPU M and S: 4.21 and 3.20 MiB cached of 8.37 and 6.57."""
    demands = [of_small_layers(8.37, room=7.41), of_small_layers(6.57, room=7.41)]
    cached = [part.on_chip / MIB for part in share(demands, compiler=16)]
    assert cached == pytest.approx([4.21, 3.20], rel=SHARED_TOLERANCE)
    assert cached != pytest.approx([4.21 * (1 + NOT_SHARED), 3.20], rel=SHARED_TOLERANCE)


def test_earlier_compilers_serve_the_first_model_first() -> None:
    demands = [of_small_layers(6, room=7), of_small_layers(3, room=7, streamed=MIB)]
    first, second = share(demands, compiler=15)
    assert (first.on_chip, first.off_chip) == (6 * MIB, 0)
    assert (second.on_chip, second.off_chip) == (MIB, 3 * MIB)
    assert share([], compiler=15) == []


def test_models_that_fit_together_are_cached_whole() -> None:
    demands = [of_small_layers(2, room=7), of_small_layers(3, room=7, streamed=100)]
    assert [(part.on_chip, part.off_chip) for part in share(demands, compiler=16)] == [(2 * MIB, 0), (3 * MIB, 100)]


def layer(outputs: int) -> bytes:
    graph = GraphBuilder()
    source, result = graph.input([1, 2048]), graph.tensor([1, outputs])
    graph.operator("FULLY_CONNECTED", [source, graph.weights([outputs, 2048]), -1], [result], "FullyConnectedOptions")
    return graph.content(result)


def test_models_are_forecast_together_and_the_second_takes_longer_than_alone() -> None:
    files = [read_tflite(layer(outputs)) for outputs in (2560, 1536)]
    alone = forecast(files[1])
    first, second = forecast_together(files)
    assert (alone.off_chip_bytes, first.off_chip_bytes is not None) == (0, True)
    assert second.off_chip_bytes is not None
    assert second.off_chip_bytes > 0
    assert second.latency[0].estimate > alone.latency[0].estimate


@pytest.mark.skipif(not (SHARED / "edgetpu").exists(), reason="../shared is absent")
def test_a_compiled_file_keeps_what_the_compiler_gave_it() -> None:
    path = SHARED / "edgetpu" / "pairs" / "ricardodea-dense_256" / "model_edgetpu.tflite"
    assert forecast_together([path, path])[0].on_chip_bytes == 67_584
