from __future__ import annotations

import tracemalloc

import numpy as np
import pytest

from tests.converters.packing.decoders import DECODERS, by_python
from tests.converters.packing.files import large, layered, packed_large, packed_layers, tflite
from tfcompress.converters.phone.packing.array_model import Kind
from tfcompress.converters.phone.packing.container import Header, decode, encode, read_header
from tfcompress.converters.phone.packing.directory import Directory, Group, Segment
from tfcompress.converters.phone.packing.files import pack_bytes, unpack_bytes
from tfcompress.converters.phone.packing.lanes import ArrayPlan
from tfcompress.errors import ModelError

MUTATIONS = {"python": 60, "c": 100, "javascript": 100}
SPARE = 16 << 20  # bytes that a decoder may need beside twice the file's size: tables of a fixed size


def _mutated(packed: bytes, count: int, reach: int = 24) -> list[bytes]:
    """Copies with bytes changed, cut off, doubled or taken out, every second one in its first `reach` bytes."""
    random = np.random.default_rng(count)
    mutants = []
    for number in range(count):
        data = bytearray(packed)
        within = reach if number % 2 else len(data)
        for _ in range(random.integers(1, 4)):
            place = int(random.integers(min(within, len(data))))
            match random.integers(4):
                case 0:
                    data[place] ^= 1 << int(random.integers(8))
                case 1:
                    data[place] = int(random.integers(256))
                case 2:
                    del data[place : place + int(random.integers(1, 9))]
                case _:
                    data[place:place] = data[place : place + int(random.integers(1, 9))]
        if number % 10 == 0:
            del data[int(random.integers(len(data))) :]
        mutants.append(bytes(data))
    return mutants


def _small() -> bytes:
    values = np.tile(np.arange(-40, 40, dtype=np.int8), 9).reshape(9, 80)
    return tflite([("w", values, np.linspace(0.1, 0.2, 9)), ("b", np.arange(30, dtype=np.int32) * 999, None)])


@pytest.mark.parametrize("decoder", DECODERS)
def test_a_mutated_file_is_refused_or_harmless(decoder: str) -> None:
    content = _small()
    for result in DECODERS[decoder](_mutated(pack_bytes(content), MUTATIONS[decoder])):
        assert result is None or result == content


@pytest.mark.parametrize("decoder", DECODERS)
def test_a_mutated_quick_file_is_refused_or_harmless(decoder: str) -> None:
    coded = read_header(packed_large()).coded
    assert coded < 3000  # where every second mutant is hurt, besides the header
    for result in DECODERS[decoder](_mutated(packed_large(), 20, reach=coded)):
        assert result is None or result == large()


@pytest.mark.slow
def test_a_thousand_mutated_files_hurt_no_decoder() -> None:
    smooth = np.cumsum(np.random.default_rng(4).integers(-3, 4, (60, 90)), axis=1).clip(-127, 127).astype(np.int8)
    for content in (layered(), tflite([("w", smooth, None)])):
        packed = pack_bytes(content)
        for decoder in DECODERS.values():
            for result in decoder(_mutated(packed, 500)):
                assert result is None or result == content


@pytest.mark.slow
def test_no_mutated_file_takes_more_memory_than_its_size_twice() -> None:
    for packed in _mutated(pack_bytes(_small()), 150):
        try:
            size = read_header(packed).size
        except ModelError:
            continue
        assert _peak_of(packed) < 2 * min(size, 1 << 26) + SPARE


def _peak_of(packed: bytes) -> int:
    """Bytes that are held at most while a file is unpacked."""
    tracemalloc.start()
    try:
        by_python([packed])
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("decoder", DECODERS)
def test_a_file_that_ends_early_is_refused(decoder: str) -> None:
    packed = packed_layers()
    ends = [0, 3, 4, 8, 9, 12, 15, 40, len(packed) // 2, len(packed) - 1]
    assert DECODERS[decoder]([packed[:end] for end in ends]) == [None] * len(ends)


def test_memory_stays_below_twice_the_size_and_the_fixed_tables() -> None:
    random = np.random.default_rng(0)
    weights = np.clip(np.round(random.normal(size=(1024, 4096)) * 20), -127, 127).astype(np.int8)
    packed = pack_bytes(tflite([("w", weights, None)]))
    assert _peak_of(packed) < 2 * read_header(packed).size + SPARE


def test_a_declared_size_above_the_limit_is_refused_before_memory_is_taken() -> None:
    packed = Header(2**31 - 1, 0, 16, 0, 2**31 - 1, 0, 0, 0).to_bytes()
    tracemalloc.start()
    try:
        with pytest.raises(ModelError, match="expected at most 1000000"):
            decode(packed, max_bytes=1_000_000)
        assert tracemalloc.get_traced_memory()[1] < 1_000_000
    finally:
        tracemalloc.stop()


def test_a_directory_longer_than_any_is_refused_before_memory_is_taken() -> None:
    for table_bits, version in ((16, 1), (0, 3)):
        packed = Header(2**31 - 1, 0, table_bits, 2**23, 0, 0, 0, 0, version).to_bytes()
        with pytest.raises(ModelError, match="damaged"):
            read_header(packed)


def test_another_version_is_named() -> None:
    packed = bytearray(pack_bytes(tflite([])))
    packed[3] = 9
    with pytest.raises(ModelError, match="version 09, expected 01, 02 or 03"):
        unpack_bytes(bytes(packed))


@pytest.mark.parametrize("decoder", DECODERS)
def test_predictions_in_a_file_of_the_first_version_are_refused(decoder: str) -> None:
    content = np.arange(200, dtype=np.uint8).tobytes()
    plan = ArrayPlan(Kind.PREDICTED, 0, 4, 0, 20, 0, np.ones(256, bool), (64, 0, 0, 0))
    packed = encode(content, Directory((Group(1, None, 0, 20, (plan,)),), (Segment(0, 200, 0),)))[0]
    older = packed[:3] + b"\1" + packed[4:]
    assert DECODERS[decoder]([packed, older]) == [content, None]


def test_a_file_that_is_no_tflite_is_not_packed() -> None:
    with pytest.raises(ModelError, match="TFL3 is missing"):
        pack_bytes(b"PK\x03\x04 something else")


def _directory(**changes: object) -> bytes:
    present = np.ones(256, bool)
    plan = ArrayPlan(Kind.MEAN, 0, 4, 0, 10, 0, present)
    fields: dict[str, object] = {"offset": 0, "count": 100, "group": 0, "columns": 10} | changes
    segment = Segment(**fields)  # type: ignore[arg-type]
    return Directory((Group(1, None, 0, 10, (plan,)),), (segment,)).to_bytes()


def test_a_sound_directory_is_read_back() -> None:
    data = _directory()
    assert Directory.from_bytes(data, 100).to_bytes() == data


@pytest.mark.parametrize(
    "changes", [{"count": 101}, {"offset": 1}, {"columns": 7}, {"count": 9, "columns": 0}, {"count": 0}]
)
def test_a_directory_that_cannot_be_is_refused(changes: dict[str, object]) -> None:
    with pytest.raises(ModelError, match="damaged"):
        Directory.from_bytes(_directory(**changes), 100)


def test_python_refuses_what_the_checksum_does_not_fit() -> None:
    packed = bytearray(packed_layers())
    packed[4] ^= 1
    assert by_python([bytes(packed)]) == [None]
