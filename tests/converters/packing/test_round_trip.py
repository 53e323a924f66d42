from __future__ import annotations

from pathlib import Path

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis.extra import numpy as numpy_strategies

import tfcompress
from tests.converters.packing.decoders import DECODERS, SOURCES, by_python
from tests.converters.packing.files import large, layered, packed_large, packed_layers, tflite
from tfcompress.converters.phone.packing import container, planning, rest
from tfcompress.converters.phone.packing.array_model import Kind
from tfcompress.converters.phone.packing.container import (
    PLAIN,
    PREDICTING,
    QUICK,
    decode,
    encode,
    read_directory,
    read_header,
)
from tfcompress.converters.phone.packing.directory import PRODUCT, ROTATED, Directory, Group, Segment
from tfcompress.converters.phone.packing.files import pack_bytes
from tfcompress.converters.phone.packing.lanes import ArrayPlan
from tfcompress.recipe import PostTraining, Recipe
from tfcompress.runtime import keras

HARDLY = 0.5  # dB: most of the error is that of activations, which no rounding of weights changes
QUICK_COSTS = 1.01  # times the size of the smallest file
SHARED = Path(__file__).parents[4] / "shared"
_DTYPES = ("int8", "uint8", "int32", "int64", "float32", "float16")
_SETTINGS = settings(
    max_examples=8, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)


@pytest.mark.parametrize("decoder", DECODERS)
def test_every_decoder_gives_the_same_file_back(decoder: str) -> None:
    contents = [layered(), tflite([("one", np.arange(100, dtype=np.int8), None)]), tflite([])]
    assert DECODERS[decoder]([pack_bytes(content) for content in contents]) == contents


@pytest.mark.parametrize("decoder", DECODERS)
def test_every_decoder_gives_a_quick_file_back(decoder: str) -> None:
    assert read_header(packed_large()).version == QUICK
    assert DECODERS[decoder]([packed_large()]) == [large()]


def test_a_quick_file_is_hardly_larger_and_takes_fewer_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (container, planning, rest):
        monkeypatch.setattr(module, "LARGE", 1 << 30)
    smallest = pack_bytes(large())
    assert read_header(smallest).version == PLAIN
    assert len(packed_large()) < len(smallest) * QUICK_COSTS
    assert sum(_steps(packed_large())) < sum(_steps(smallest))


def test_sparse_kernels_that_would_lose_by_more_lanes_keep_theirs(monkeypatch: pytest.MonkeyPatch) -> None:
    random = np.random.default_rng(8)
    kernels = np.zeros((600, 500), np.int8)
    for row in range(0, 600, 60):  # runs of zeros that are far longer than the lanes of a quick file
        kernels[row : row + 4] = random.integers(-90, 90, (4, 500))
    content = tflite([("w", kernels, None)])
    packed = pack_bytes(content)
    for module in (container, planning, rest):
        monkeypatch.setattr(module, "LARGE", 1 << 30)
    assert len(packed) < len(pack_bytes(content)) * QUICK_COSTS
    assert by_python([packed]) == [content]


def _steps(packed: bytes) -> list[int]:
    return [group.steps for group in read_directory(packed).groups if group.fill is None]


@st.composite
def _constants(draw: st.DrawFn) -> list[tuple[str, np.ndarray, np.ndarray | None]]:
    constants = []
    for number in range(draw(st.integers(0, 4))):
        dtype = np.dtype(draw(st.sampled_from(_DTYPES)))
        shape = draw(numpy_strategies.array_shapes(min_dims=1, max_dims=4, max_side=12))
        values = draw(numpy_strategies.arrays(dtype, shape, elements=numpy_strategies.from_dtype(dtype)))
        scales = draw(st.none() | numpy_strategies.arrays(np.float32, st.integers(1, 40)))
        constants.append((draw(st.text(max_size=20)) + str(number), values, scales))
    return constants


@_SETTINGS
@given(_constants())
def test_random_flatbuffers_come_back_byte_for_byte(constants: list[tuple[str, np.ndarray, np.ndarray | None]]) -> None:
    content = tflite(constants)
    assert by_python([pack_bytes(content)]) == [content]


@_SETTINGS
@given(st.binary(max_size=600))
def test_bytes_behind_the_identifier_need_not_be_a_flatbuffer(rest: bytes) -> None:
    content = b"\x20\0\0\0TFL3" + rest
    assert by_python([pack_bytes(content)]) == [content]


def _plan(kind: Kind, values: np.ndarray, steps: int, period: int = 0) -> ArrayPlan:
    if kind is Kind.PREDICTED:
        return ArrayPlan(kind, 3, 5, 512, steps, 0, np.ones(256, bool), (70, -31, 127, -128))
    return ArrayPlan(kind, 3, 5, 512, steps, period, np.bincount(values, minlength=256) > 0)


@pytest.mark.parametrize("decoder", DECODERS)
@pytest.mark.parametrize("steps", [7, 60, 3000])
@pytest.mark.parametrize("columns", [0, 60])
def test_every_kind_of_context_is_understood_by_every_decoder(decoder: str, steps: int, columns: int) -> None:
    random = np.random.default_rng(steps)
    values = np.clip(np.round(random.normal(size=3000) * np.repeat([1, 5, 20, 2, 60, 9], 500)), -128, 127)
    content = values.astype(np.int8).tobytes()
    bytes_ = np.frombuffer(content, np.uint8)
    packed = []
    for kind in (Kind.NONE, Kind.MEAN, Kind.SIGNED, Kind.COLUMN, Kind.UNIFORM, Kind.PREDICTED):
        period = min(steps, 60) if kind is Kind.COLUMN else 0
        if period and steps % period:
            continue
        plan = _plan(kind, bytes_, steps, period)
        if kind is Kind.UNIFORM:
            plan = ArrayPlan(kind, 3, 4, 0, steps, 0, np.ones(256, bool))
        packed.append(_encoded(content, [Group(1, None, 0, steps, (plan,))], [Segment(0, 3000, 0, columns)]))
    assert DECODERS[decoder](packed) == [content] * len(packed)


def _encoded(content: bytes, groups: list[Group], segments: list[Segment]) -> bytes:
    return encode(content, Directory(tuple(groups), tuple(segments)))[0]


@pytest.mark.parametrize("decoder", DECODERS)
@pytest.mark.parametrize(
    ("transform", "width"), [(0, 2), (0, 8), (ROTATED, 2), (ROTATED, 4), (ROTATED, 8), (PRODUCT, 4)]
)
def test_numbers_of_several_bytes_and_their_transforms(decoder: str, transform: int, width: int) -> None:
    random = np.random.default_rng(width)
    source = random.uniform(1e-3, 1e-2, 100).astype(np.float32)
    content = source.tobytes() + random.integers(0, 256, 100 * width, np.uint8).tobytes() + b"end"
    factor = np.float32(0.37).tobytes() if transform == PRODUCT else b""
    all_bytes = np.ones(256, bool)
    planes = [ArrayPlan(Kind.MEAN, 0, 4, 0, 30, 0, all_bytes)]
    planes += [ArrayPlan(Kind.PLANE, 0, 4, 0, 30, 0, all_bytes)] * (width - 1)
    group = Group(width, None, transform, 30, tuple(planes))
    packed = _encoded(content, [group], [Segment(400, 100, 0, 20, 0, factor)])
    assert DECODERS[decoder]([packed]) == [content]


def test_a_bias_scale_that_is_a_product_costs_next_to_nothing() -> None:
    random = np.random.default_rng(5)
    scales = random.uniform(1e-4, 1e-2, 2000).astype(np.float32)
    weights = np.zeros((2000, 1), np.int8)
    alone = pack_bytes(tflite([("w", weights, scales)]))
    both = pack_bytes(tflite([("w", weights, scales), ("b", weights, scales * np.float32(0.0213))]))
    unrelated = pack_bytes(tflite([("w", weights, scales), ("b", weights, random.permutation(scales))]))
    assert len(both) < len(alone) + 200  # of 8,000 bytes of scales, 16,000 of zero points and 2,000 of values
    turned = pack_bytes(tflite([("b", weights, scales * np.float32(0.0213)), ("w", weights, scales)]))
    assert len(turned) < len(alone) + 200  # wherever in the file the product lies
    assert len(unrelated) > len(alone) + 4000


def test_kernels_that_change_little_from_one_input_to_the_next_cost_less() -> None:
    random = np.random.default_rng(2)
    steps = np.cumsum(random.normal(size=(48, 200)), axis=1)
    smooth = np.clip(np.round(steps / np.abs(steps).max(axis=1, keepdims=True) * 127), -127, 127).astype(np.int8)
    shuffled = random.permutation(smooth.ravel()).reshape(smooth.shape)
    packed, of_shuffled = (pack_bytes(tflite([("w", weights, None)])) for weights in (smooth, shuffled))
    assert read_header(packed).version == PREDICTING
    assert read_header(of_shuffled).version == PLAIN
    assert len(packed) < 0.75 * len(of_shuffled)


@pytest.mark.slow
def test_the_order_of_a_wide_kernel_is_chosen_on_enough_of_its_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    path = SHARED / "edgetpu/pairs/escvm-rps/model.tflite"  # a dense layer of 6,272 inputs
    if not path.exists():
        pytest.skip("../shared/edgetpu is absent")
    packed = len(pack_bytes(path.read_bytes()))
    monkeypatch.setattr(planning, "_FEW_ROWS", 0)
    assert packed < 0.995 * len(pack_bytes(path.read_bytes()))


def test_more_groups_than_the_format_has_are_left_to_the_byte_model() -> None:
    content = tflite([(f"f{number}", np.full(16, number, np.int32), None) for number in range(1, 1100)])
    assert by_python([pack_bytes(content)]) == [content]


def test_the_same_file_always_packs_to_the_same_bytes() -> None:
    assert pack_bytes(layered()) == packed_layers()


@pytest.mark.slow
def test_every_shared_model_comes_back_and_beats_gzip_and_xz() -> None:
    import gzip
    import lzma

    paths = sorted(SHARED.glob("models/*/*.tflite"))
    if not paths:
        pytest.skip("../shared/models is absent")
    for path in paths:
        content = path.read_bytes()
        packed = pack_bytes(content)
        assert decode(packed) == content, path
        others = [len(gzip.compress(content, 9)), len(lzma.compress(content, preset=9 | lzma.PRESET_EXTREME))]
        assert len(packed) < min(others), path


def test_the_decoders_hold_the_primer_of_this_package() -> None:
    import importlib.util

    primer = (SOURCES.parent / "primer.bin").read_bytes()
    specification = importlib.util.spec_from_file_location("embed_primer", SOURCES.parent / "embed_primer.py")
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    for language in ("c", "js"):
        assert module.embedded(language, primer) in (SOURCES / f"tfcz.{language}").read_text(encoding="utf-8")


def test_the_report_has_the_bytes_that_packing_makes(tmp_path: Path) -> None:
    model = keras.Sequential([keras.Input((8,)), keras.layers.Dense(40, activation="relu"), keras.layers.Dense(3)])
    rows = np.random.default_rng(0).normal(size=(60, 8)).astype(np.float32)
    report = tfcompress.convert(model, targets="phone", calibration=rows, output=tmp_path / "out").report
    tfcompress.pack(tmp_path / "out/phone/model.tflite", output=tmp_path / "model.tfcz")
    assert report["targets"]["phone"]["packed_bytes"] == (tmp_path / "model.tfcz").stat().st_size


def test_compact_rounding_makes_the_download_smaller_and_the_output_no_worse(tmp_path: Path) -> None:
    keras.utils.set_random_seed(3)
    layers = [keras.layers.Dense(units, bias_initializer="random_normal") for units in (48, 48, 4)]
    model = keras.Sequential([keras.Input((96,)), *layers])
    random = np.random.default_rng(0)
    rows = (random.normal(size=(300, 12)) @ random.normal(size=(12, 96))).astype(np.float32)  # inputs that go together
    facts = {}
    for name, options in {"nearest": {"quality": "fast"}, "compact": {"compact_rounding": True}}.items():
        report = tfcompress.convert(
            model,
            targets="phone",
            recipe=Recipe(post_training=PostTraining(**options)),  # type: ignore[arg-type]
            calibration=rows,
            evaluation=rows,
            output=tmp_path / name,
        ).report
        facts[name] = report["targets"]["phone"]
    assert facts["compact"]["bytes"] == facts["nearest"]["bytes"]
    assert facts["compact"]["packed_bytes"] < 0.93 * facts["nearest"]["packed_bytes"]
    assert facts["compact"]["diff"]["sqnr_db"] > facts["nearest"]["diff"]["sqnr_db"] - HARDLY
