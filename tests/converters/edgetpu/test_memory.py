"""Cached and streamed parameters, against figures that were published with the layers that they belong to."""

from __future__ import annotations

from math import prod

import pytest

from tests.converters.edgetpu.graphs import GraphBuilder
from tfcompress.converters.edgetpu import Mapping, forecast
from tfcompress.graphs.tflite import read_tflite

MIB = 2**20
PUBLISHED = 0.002  # logs have three digits, and do not count what the file has for scales
NOT_PUBLISHED = 0.05  # far outside of it


def bytes_of(content: bytes) -> tuple[int, int]:
    mapping: Mapping = forecast(read_tflite(content))
    assert mapping.cpu_ops == 0
    assert mapping.on_chip_bytes is not None
    assert mapping.off_chip_bytes is not None
    return mapping.on_chip_bytes, mapping.off_chip_bytes


def dense(inputs: int, outputs: int) -> bytes:
    graph = GraphBuilder()
    source, result = graph.input([1, inputs]), graph.tensor([1, outputs])
    weights = graph.weights([outputs, inputs])
    graph.operator("FULLY_CONNECTED", [source, weights, -1], [result], "FullyConnectedOptions", version=4)
    return graph.content(result)


def convolution(size: int, inputs: int, outputs: int, *, dtype: str = "int8") -> bytes:
    graph = GraphBuilder()
    source, result = graph.input([1, size, size, inputs], dtype), graph.tensor([1, 1, 1, outputs], dtype)
    graph.operator(
        "CONV_2D", [source, graph.weights([outputs, size, size, inputs], dtype), -1], [result], "Conv2DOptions"
    )
    return graph.content(result)


def flattening(shape: list[int]) -> bytes:
    graph = GraphBuilder()
    source, result = graph.input(shape), graph.tensor([1, prod(shape)])
    graph.operator("RESHAPE", [source, graph.integers([1, prod(shape)])], [result], "ReshapeOptions")
    return graph.content(result)


def test_a_dense_layer_is_padded_and_has_eight_bytes_more_for_each_output() -> None:
    assert bytes_of(dense(256, 256)) == (66 * 1024, 0)
    assert bytes_of(dense(16_384, 1)) == (16 * 16_384 + 64, 0)


@pytest.mark.parametrize(("outputs", "padded"), [(4, 4), (5, 16), (17, 32), (33, 64), (96, 128), (132, 192)])
def test_output_channels_are_padded_to_what_the_tiles_take(outputs: int, padded: int) -> None:
    scales = 0 if padded == 4 else 4 * 16 if padded == 16 else 8 * padded
    assert bytes_of(convolution(4, 8, outputs)) == (16 * 8 * padded + scales, 0)


def test_a_uint8_layer_has_no_scales_of_its_own() -> None:
    difference = bytes_of(convolution(4, 8, 64))[0] - bytes_of(convolution(4, 8, 64, dtype="uint8"))[0]
    assert difference == 4 * 64


def test_square_layers_are_cached_up_to_the_chip_and_streamed_whole_above() -> None:
    assert bytes_of(dense(2048, 2048)) == (2048 * 2048 + 8 * 2048, 0)
    cached, streamed = bytes_of(dense(4096, 4096))
    assert cached == 0
    assert streamed == pytest.approx(16 * MIB, rel=PUBLISHED)
    assert streamed != pytest.approx(16 * MIB * (1 + NOT_PUBLISHED), rel=PUBLISHED)


def test_a_layer_that_sums_over_very_many_inputs_is_streamed_whole() -> None:
    cached, streamed = bytes_of(convolution(7, 576, 128))
    assert cached == 0
    assert streamed == pytest.approx(3.45 * MIB, rel=PUBLISHED)
    assert bytes_of(dense(57_600, 64))[1] == pytest.approx(3.69e6, rel=PUBLISHED)


def dense_chain(graph: GraphBuilder, vector: int, *, size: int, layers: int) -> int:
    """The tensor that `layers` square dense layers make of `vector`."""
    for _ in range(layers):
        product = graph.tensor([1, size])
        kernel = graph.weights([size, size])
        graph.operator("FULLY_CONNECTED", [vector, kernel, -1], [product], "FullyConnectedOptions")
        vector = product
    return vector


def test_what_a_long_layer_leaves_to_the_others_is_what_the_log_says() -> None:
    """Used and remaining are 1.09 MiB in the log of the 7 x 7 x 576 layer; here the others need more than that."""
    graph = GraphBuilder()
    picture, vector = graph.input([1, 7, 7, 576]), graph.input([1, 512])
    result = graph.tensor([1, 1, 1, 128])
    graph.operator("CONV_2D", [picture, graph.weights([128, 7, 7, 576]), -1], [result], "Conv2DOptions")
    vector = dense_chain(graph, vector, size=512, layers=6)
    cached, _ = bytes_of(graph.content(result, vector))
    assert cached == pytest.approx(1.09 * MIB, rel=0.02)


def test_large_pictures_do_not_take_the_room_of_parameters() -> None:
    """An SSD at 640 x 640 has 6.99 MiB of room in a public log, with 320 x 320 x 96 activations."""
    graph = GraphBuilder()
    picture, vector = graph.input([1, 320, 320, 16]), graph.input([1, 1024])
    result = graph.tensor([1, 320, 320, 96])
    graph.operator("CONV_2D", [picture, graph.weights([96, 1, 1, 16]), -1], [result], "Conv2DOptions")
    vector = dense_chain(graph, vector, size=1024, layers=8)
    cached, streamed = bytes_of(graph.content(result, vector))
    assert cached == pytest.approx(6.99 * MIB, rel=0.02)
    assert cached + streamed == 8 * (1024 * 1024 + 8 * 1024) + 16 * 128 + 8 * 128


def test_flattening_is_dear_only_where_the_channels_are_no_multiple_of_four() -> None:
    cached, streamed = bytes_of(flattening([1, 180, 27]))
    assert cached == 0
    assert streamed == pytest.approx(23.40 * MIB, rel=PUBLISHED)
    assert bytes_of(flattening([1, 3, 3, 1])) == (9 * 4 * 16 + 64, 0)
    assert bytes_of(flattening([1, 6, 6, 64])) == (512, 0)
    assert bytes_of(flattening([1, 16, 16, 1])) == (0, 0)
    assert bytes_of(flattening([1, 1, 1, 1001])) == (0, 0)


def test_constant_operands_are_streamed_and_single_numbers_are_not() -> None:
    def addition(shape: list[int]) -> tuple[int, int]:
        graph = GraphBuilder()
        source, result = graph.input([1, 8, 8, 32]), graph.tensor([1, 8, 8, 32])
        graph.operator("ADD", [source, graph.weights(shape)], [result], "AddOptions", version=2)
        return bytes_of(graph.content(result))

    assert addition([]) == (0, 0)
    assert addition([32]) == (0, 16 * 32)
    assert addition([8, 8, 32]) == (0, 8 * 8 * 32)
