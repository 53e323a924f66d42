"""Cached and streamed parameters, against figures that were published with the layers that they belong to."""

from __future__ import annotations

from math import prod

import pytest

from tests.converters.edgetpu.graphs import GraphBuilder
from tfcompress.converters.edgetpu import CompilerOptions, Mapping, forecast
from tfcompress.graphs.tflite import read_tflite

MIB = 2**20
MOST = 0.01  # of the one figure that an inferred interval is to hold
PUBLISHED = 0.002  # logs have three digits, and do not count what the file has for scales
NOT_PUBLISHED = 0.05  # far outside of it


def bytes_of(content: bytes, *, compiler: int = 16) -> tuple[int, int]:
    mapping: Mapping = forecast(read_tflite(content), options=CompilerOptions(compiler=compiler))
    assert mapping.cpu_ops == 0
    assert mapping.on_chip_bytes is not None
    assert mapping.off_chip_bytes is not None
    return mapping.on_chip_bytes, mapping.off_chip_bytes


def dense(inputs: int, outputs: int, *, own_scales: bool = False, bias: int | None = None) -> bytes:
    graph = GraphBuilder()
    source, result = graph.input([1, inputs]), graph.tensor([1, outputs])
    weights = graph.weights([outputs, inputs], scale=scales(outputs) if own_scales else 0.1)
    biases = -1 if bias is None else graph.integers([bias] * outputs)
    graph.operator("FULLY_CONNECTED", [source, weights, biases], [result], "FullyConnectedOptions", version=4)
    return graph.content(result)


def scales(outputs: int) -> list[float]:
    """A scale of its own for each output."""
    return [0.1 + index / 2**10 for index in range(outputs)]


def convolution(size: int, inputs: int, outputs: int, *, dtype: str = "int8", own_scales: bool = False) -> bytes:
    graph = GraphBuilder()
    source, result = graph.input([1, size, size, inputs], dtype), graph.tensor([1, 1, 1, outputs], dtype)
    kernel = graph.weights([outputs, size, size, inputs], dtype, scale=scales(outputs) if own_scales else 0.1)
    graph.operator("CONV_2D", [source, kernel, -1], [result], "Conv2DOptions")
    return graph.content(result)


def depthwise(size: int, channels: int) -> bytes:
    """A depthwise layer that reads its whole input, with a scale and a bias of its own for each channel."""
    graph = GraphBuilder()
    source, result = graph.input([1, size, size, channels]), graph.tensor([1, 1, 1, channels])
    kernel = graph.weights([1, size, size, channels], scale=scales(channels))
    inputs = [source, kernel, graph.integers([3] * channels)]
    graph.operator("DEPTHWISE_CONV_2D", inputs, [result], "DepthwiseConv2DOptions", version=3)
    return graph.content(result)


def flattening(shape: list[int]) -> bytes:
    graph = GraphBuilder()
    source, result = graph.input(shape), graph.tensor([1, prod(shape)])
    graph.operator("RESHAPE", [source, graph.integers([1, prod(shape)])], [result], "ReshapeOptions")
    return graph.content(result)


def test_outputs_with_scales_of_their_own_have_eight_bytes_beside_the_weights_and_others_four() -> None:
    weights = 256 * 256
    assert bytes_of(dense(256, 256, own_scales=True)) == (weights + 8 * 256, 0)
    assert bytes_of(dense(256, 256)) == (weights + 4 * 256, 0)


def test_a_bias_that_is_not_zero_takes_four_bytes_more_beside_own_scales() -> None:
    weights = 256 * 256
    assert bytes_of(dense(256, 256, own_scales=True, bias=5)) == (weights + 12 * 256, 0)
    assert bytes_of(dense(256, 256, own_scales=True, bias=0)) == (weights + 8 * 256, 0)
    assert bytes_of(dense(256, 256, bias=5)) == (weights + 4 * 256, 0)


@pytest.mark.parametrize(
    ("outputs", "padded"), [(5, 16), (17, 32), (33, 48), (48, 48), (49, 64), (65, 128), (96, 128), (132, 192)]
)
def test_output_channels_are_padded_to_what_the_tiles_take(outputs: int, padded: int) -> None:
    assert bytes_of(convolution(4, 8, outputs)) == (16 * 8 * padded + 4 * padded, 0)
    assert bytes_of(dense(512, outputs)) == (512 * padded + 4 * padded, 0)


def test_a_convolution_of_up_to_four_outputs_is_padded_to_whole_words_of_all_tiles() -> None:
    assert bytes_of(convolution(3, 1, 1)) == (192, 0)
    assert bytes_of(convolution(1, 3, 1)) == (64, 0)


@pytest.mark.parametrize(("inputs", "outputs"), [(9504, 10), (16_384, 1), (57_600, 64), (94_400, 1)])
def test_dense_layers_of_very_many_inputs_are_streamed_and_what_stands_beside_is_not(inputs: int, outputs: int) -> None:
    padded = 16 if outputs <= 16 else 64
    assert bytes_of(dense(inputs, outputs)) == (4 * padded, inputs * padded)


@pytest.mark.parametrize(("inputs", "outputs"), [(4096, 1), (5904, 10), (6272, 512)])
def test_dense_layers_of_fewer_inputs_are_cached(inputs: int, outputs: int) -> None:
    assert bytes_of(dense(inputs, outputs))[1] == 0


def test_a_depthwise_layer_that_reads_a_long_input_whole_is_streamed_with_its_rows_padded() -> None:
    assert bytes_of(depthwise(7, 512)) == (0, 120_832)
    assert bytes_of(depthwise(3, 512)) == ((4 * 9 + 12) * 512, 0)


def test_square_layers_are_cached_up_to_the_chip_and_streamed_whole_above() -> None:
    assert bytes_of(dense(2048, 2048)) == (2048 * 2048 + 4 * 2048, 0)
    cached, streamed = bytes_of(dense(4096, 4096))
    assert cached == 0
    assert streamed == pytest.approx(16 * MIB, rel=PUBLISHED)
    assert streamed != pytest.approx(16 * MIB * (1 + NOT_PUBLISHED), rel=PUBLISHED)


def test_a_layer_that_sums_over_very_many_inputs_is_streamed_whole() -> None:
    cached, streamed = bytes_of(convolution(7, 576, 128))
    assert cached == 0
    assert streamed == pytest.approx(3.45 * MIB, rel=PUBLISHED)


def dense_chain(graph: GraphBuilder, vector: int, *sizes: int) -> int:
    """The tensor that dense layers of these sizes make of `vector`."""
    for size in sizes:
        inputs = graph.graph.tensors[vector].shape[-1]
        product = graph.tensor([1, size])
        kernel = graph.weights([size, inputs])
        graph.operator("FULLY_CONNECTED", [vector, kernel, -1], [product], "FullyConnectedOptions")
        vector = product
    return vector


@pytest.mark.parametrize(
    ("size", "layers", "cached", "streamed"),
    [(100, 100, 1_040_896, 281_216), (100, 200, 1_040_896, 1_612_416), (150, 100, 1_561_344, 1_410_240)],
)
def test_of_a_long_chain_of_small_dense_layers_the_first_are_cached(
    size: int, layers: int, cached: int, streamed: int
) -> None:
    graph = GraphBuilder()
    result = dense_chain(graph, graph.input([1, 16]), *[size] * layers, 10)
    assert bytes_of(graph.content(result)) == (cached, streamed)


def convolution_chain(layers: int, *, side: int) -> bytes:
    """Kernels of 7 x 7 for 32 outputs on pictures of three channels: one scale, as compiler 1 takes them."""
    graph = GraphBuilder()
    image, channels = graph.input([1, side, side, 3], "uint8"), 3
    for _ in range(layers):
        result = graph.tensor([1, side, side, 32], "uint8")
        kernel = graph.weights([32, 7, 7, channels], "uint8")
        graph.operator("CONV_2D", [image, kernel, -1], [result], "Conv2DOptions")
        image, channels = result, 32
    return graph.content(image)


def test_beside_large_pictures_compiler_1_may_stream_what_later_ones_cache() -> None:
    """Of such a chain 1,106,688 bytes were streamed; no rule that explains it agrees with the other pairs."""
    content = read_tflite(convolution_chain(75, side=128))
    first = forecast(content, options=CompilerOptions(compiler=1))
    assert first.streamed_between is not None
    least, most = first.streamed_between
    assert least == first.off_chip_bytes
    assert least < 1_106_688 < most
    assert most == pytest.approx(1_106_688, rel=MOST)
    later = forecast(content, options=CompilerOptions(compiler=2))
    assert (later.off_chip_bytes, later.streamed_between) == (0, None)


def test_beside_small_pictures_compiler_1_caches_all_and_is_sure_of_it() -> None:
    mapping = forecast(read_tflite(convolution_chain(75, side=16)), options=CompilerOptions(compiler=1))
    assert (mapping.off_chip_bytes, mapping.streamed_between) == (0, None)


def test_one_large_dense_layer_is_no_chain() -> None:
    assert bytes_of(dense(64, 12_800)) == (64 * 12_800 + 4 * 12_800, 0)


def test_what_a_long_layer_leaves_to_the_others_is_what_the_log_says() -> None:
    """Used and remaining are 1.09 MiB in the log of the 7 x 7 x 576 layer; here the others need more than that."""
    graph = GraphBuilder()
    picture, image = graph.input([1, 7, 7, 576]), graph.input([1, 4, 4, 128])
    result = graph.tensor([1, 1, 1, 128])
    graph.operator("CONV_2D", [picture, graph.weights([128, 7, 7, 576]), -1], [result], "Conv2DOptions")
    for _ in range(100):
        product = graph.tensor([1, 4, 4, 128])
        graph.operator("CONV_2D", [image, graph.weights([128, 1, 1, 128]), -1], [product], "Conv2DOptions")
        image = product
    cached, _ = bytes_of(graph.content(result, image))
    assert cached == pytest.approx(1.09 * MIB, rel=0.02)


def test_large_pictures_do_not_take_the_room_of_parameters() -> None:
    """An SSD at 640 x 640 has 6.99 MiB of room in a public log, with 320 x 320 x 96 activations."""
    graph = GraphBuilder()
    picture, vector = graph.input([1, 320, 320, 16]), graph.input([1, 1024])
    result = graph.tensor([1, 320, 320, 96])
    graph.operator("CONV_2D", [picture, graph.weights([96, 1, 1, 16]), -1], [result], "Conv2DOptions")
    vector = dense_chain(graph, vector, *[1024] * 8)
    cached, streamed = bytes_of(graph.content(result, vector))
    assert cached == pytest.approx(6.99 * MIB, rel=0.02)
    assert cached + streamed == 8 * (1024 * 1024 + 4 * 1024) + 16 * 128 + 4 * 128


def test_flattening_is_dear_only_where_the_channels_are_no_multiple_of_four() -> None:
    assert bytes_of(flattening([1, 6, 6, 64])) == (512, 0)
    assert bytes_of(flattening([1, 28, 20])) == (0, 0)
    assert bytes_of(flattening([1, 1, 1, 1001])) == (0, 0)


def test_flattening_leaves_out_what_a_block_of_outputs_does_not_need() -> None:
    blocks = [
        520,
        520,
        524,
        524,
        524,
        520,
        524,
    ]  # inputs of 512 outputs each, as the load instructions of a public file
    aligned = sum(512 * (inputs + 4) for inputs in blocks) + 64 * (68 + 4)
    rest = 512 * (4 * 116 + 4)
    assert bytes_of(flattening([1, 6, 6, 114])) == (aligned + rest + 512, 0)


def test_compiler_14_wrote_the_whole_matrix_for_flattening() -> None:
    cached, streamed = bytes_of(flattening([1, 180, 27]), compiler=14)
    assert cached == 0
    assert streamed == pytest.approx(23.40 * MIB, rel=PUBLISHED)
    assert bytes_of(flattening([1, 30, 27]), compiler=14) == ((30 * 28 + 4) * 832, 0)


def test_one_piece_serves_for_all_columns_where_they_can_be_cut_evenly() -> None:
    graph = GraphBuilder()
    source, image = graph.input([1, 64, 64, 3]), graph.tensor([1, 64, 64, 1])
    graph.operator("CONV_2D", [source, graph.weights([1, 1, 1, 3]), -1], [image], "Conv2DOptions")
    flat = graph.tensor([1, 4096])
    graph.operator("RESHAPE", [image, graph.integers([1, 4096])], [flat], "ReshapeOptions")
    assert bytes_of(graph.content(flat)) == (64 + 16 * 64 + 64, 0)


def test_the_host_sends_an_image_of_one_channel_flat() -> None:
    assert bytes_of(flattening([1, 16, 16, 1])) == (0, 0)


def test_constant_operands_are_streamed_and_single_numbers_are_not() -> None:
    def addition(shape: list[int]) -> tuple[int, int]:
        graph = GraphBuilder()
        source, result = graph.input([1, 8, 8, 32]), graph.tensor([1, 8, 8, 32])
        graph.operator("ADD", [source, graph.weights(shape)], [result], "AddOptions", version=2)
        return bytes_of(graph.content(result))

    assert addition([]) == (0, 0)
    assert addition([32]) == (0, 16 * 32)
    assert addition([8, 8, 32]) == (0, 8 * 8 * 32)
