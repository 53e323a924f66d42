"""Damaged files give one line, never a crash or a hang; large ones are read at once."""

from __future__ import annotations

import random
import time
from pathlib import Path

import pytest

from tests.conftest import SHARED
from tests.converters.edgetpu.graphs import GraphBuilder
from tfcompress.converters.edgetpu import forecast
from tfcompress.errors import ModelError
from tfcompress.graphs.tflite import read_tflite

MUTATIONS = 500
MOST_SECONDS = 20.0  # of this process, not by the clock: other tests may keep the machine busy


def originals() -> list[bytes]:
    """Compiled and uncompiled public models, and one of our own where there are none."""
    files = sorted((SHARED / "edgetpu" / "pairs").glob("*/*.tflite"))
    graph = GraphBuilder()
    source, result = graph.input([1, 64]), graph.tensor([1, 64])
    graph.operator(
        "FULLY_CONNECTED",
        [source, graph.weights([64, 64]), -1],
        [result],
        "FullyConnectedOptions",
        version=4,
    )
    return [graph.content(result), *(path.read_bytes() for path in files)]


def mutate(content: bytes, chance: random.Random) -> bytes:
    """Cut the file, or overwrite some bytes: anywhere, near the start, or near the end where the tables are."""
    data = bytearray(content)
    kind = chance.choice(["cut", "anywhere", "start", "end", "end"])
    if kind == "cut":
        return bytes(data[: chance.randrange(len(data))])
    low = max(8, len(data) - 20_000) if kind == "end" else 8
    high = min(len(data), 2_000) if kind == "start" else len(data)
    for _ in range(chance.choice([1, 1, 4, 32])):
        position = chance.randrange(low, max(high, low + 1)) % (len(data) - 4)
        data[position : position + 4] = chance.choice(
            [
                b"\xff\xff\xff\xff",
                b"\xff\xff\xff\x7f",
                b"\x00\x00\x00\x00",
                bytes(chance.randrange(256) for _ in range(4)),
            ]
        )
    return bytes(data)


def test_five_hundred_mutations_neither_crash_nor_hang(tmp_path: Path) -> None:
    chance, files, refused = random.Random(0), originals(), 0
    path = tmp_path / "broken.tflite"
    for _ in range(MUTATIONS):
        path.write_bytes(mutate(chance.choice(files), chance))
        start = time.process_time()
        try:
            forecast(path).to_json()
        except ModelError as error:
            refused += "\n" not in str(error)
        assert time.process_time() - start < MOST_SECONDS
    assert refused > MUTATIONS // 10  # the mutations do damage


@pytest.mark.parametrize("content", [b"", b"TFL3", b"\x00" * 64, b"\x00\x00\x00\x00TFL3" + b"\x00" * 64])
def test_a_file_that_is_no_model_is_one_line_that_names_it(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "model.tflite"
    path.write_bytes(content)
    with pytest.raises(ModelError, match=r"model\.tflite"):
        forecast(path)


def test_a_missing_file_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"absent\.tflite: no such file or folder"):
        forecast(tmp_path / "absent.tflite")


def test_a_compiled_file_with_a_broken_package_is_one_line(shared: Path) -> None:
    content = bytearray((shared / "edgetpu/pairs/ricardodea-dense_256/model_edgetpu.tflite").read_bytes())
    position = content.index(b"DWN1")
    content[position : position + 4] = b"none"
    with pytest.raises(ModelError, match="package is damaged"):
        forecast(read_tflite(bytes(content)))


def test_a_hundred_megabytes_are_forecast_quickly_and_not_copied(tmp_path: Path) -> None:
    graph = GraphBuilder()
    tensor = graph.input([1, 5000])
    for _ in range(4):
        result = graph.tensor([1, 5000])
        weights = graph.weights([5000, 5000])
        graph.operator("FULLY_CONNECTED", [tensor, weights, -1], [result], "FullyConnectedOptions", version=4)
        tensor = result
    path = tmp_path / "large.tflite"
    path.write_bytes(graph.content(tensor))
    assert path.stat().st_size > 100e6
    del graph
    start = time.process_time()
    file = read_tflite(path)
    mapping = forecast(file)
    assert time.process_time() - start < MOST_SECONDS
    assert mapping.mapped_ops == 4
    weights_data = [tensor.data for tensor in file.main.tensors if tensor.data is not None]
    assert len(weights_data) == 4
    assert not any(data.flags.owndata for data in weights_data)  # views of the mapped file
