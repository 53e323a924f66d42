"""A .tflite tells its clients how to feed it and what its classes are called, as metadata in MediaPipe's schema."""

from __future__ import annotations

import io
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import flatbuffers.packer
import flatbuffers.table
import numpy as np
import pytest
from flatbuffers import encode, number_types

import tfcompress
from tfcompress.data.usage import normalization_of
from tfcompress.graphs.tflite.editor import ModelEditor
from tfcompress.runtime import keras, tf
from tfcompress.tensor_info import TensorInfo

CLASSES = ("cat", "dog", "eel")
SIDE = 16
LEAST_SCORE = 0.125  # exact in float32
# float32 rounding of the formula behind --preprocess=signed_unit.
TOLERANCE = 1e-4


class Table:
    """A table of a flatbuffer, read by the positions of its fields in metadata_schema.fbs."""

    def __init__(self, content: bytes, position: int) -> None:
        self._table = flatbuffers.table.Table(content, position)

    @classmethod
    def root(cls, content: bytes) -> Table:
        return cls(content, encode.Get(flatbuffers.packer.uoffset, content, 0))

    def _at(self, slot: int) -> int:
        offset = self._table.Offset(4 + 2 * slot)
        return offset and offset + self._table.Pos

    def text(self, slot: int) -> str:
        return self._table.String(self._at(slot)).decode()

    def number(self, slot: int, flags: type = number_types.Uint8Flags) -> int:
        return int(self._table.Get(flags, self._at(slot)))

    def real(self, slot: int) -> float:
        return float(self._table.Get(number_types.Float32Flags, self._at(slot)))

    def table(self, slot: int) -> Table:
        return Table(self._table.Bytes, self._table.Indirect(self._at(slot)))

    def tables(self, slot: int) -> list[Table]:
        if not self._at(slot):
            return []
        offset = self._at(slot) - self._table.Pos
        start = self._table.Vector(offset)
        return [
            Table(self._table.Bytes, self._table.Indirect(start + 4 * i)) for i in range(self._table.VectorLen(offset))
        ]

    def floats(self, slot: int) -> list[float]:
        offset = self._at(slot) - self._table.Pos
        start, count = self._table.Vector(offset), self._table.VectorLen(offset)
        return list(struct.unpack_from(f"<{count}f", self._table.Bytes, start))


def metadata(content: bytes) -> Table:
    record = ModelEditor.read(content).record
    (entry,) = [item for item in record.metadata if item.name == b"TFLITE_METADATA"]
    data = bytes(record.buffers[entry.buffer].data)
    assert data[4:8] == b"M001"
    return Table.root(data)


@pytest.fixture(scope="module")
def dark_images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of images of three classes, none brighter than 180 of 255."""
    folder = tmp_path_factory.mktemp("images")
    random = np.random.default_rng(0)
    for number, name in enumerate(CLASSES):
        (folder / name).mkdir()
        for index in range(4):
            image = random.integers(0, 60, (SIDE, SIDE, 3)).astype(np.uint8)
            image[..., number] += 120
            (folder / name / f"{index}.png").write_bytes(tf.io.encode_png(image).numpy())
    return folder


@pytest.fixture(scope="module")
def classifier() -> Any:
    keras.utils.set_random_seed(0)
    layers = keras.layers
    return keras.Sequential(
        [
            keras.Input((SIDE, SIDE, 3), name="photo"),
            layers.Conv2D(4, 3, activation="relu"),
            layers.GlobalAveragePooling2D(),
            layers.Dense(3, activation="softmax", name="kind"),
        ],
        name="animals",
    )


@pytest.fixture(scope="module")
def uint8_file(classifier: Any, dark_images: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("converted") / "out"
    recipe = tfcompress.Recipe(post_training=tfcompress.PostTraining(io="uint8"))
    tfcompress.convert(
        classifier,
        targets="phone",
        calibration=dark_images,
        preprocess="signed_unit",
        author="A. Keeper",
        score_threshold=LEAST_SCORE,
        recipe=recipe,
        output=output,
    )
    return output / "phone" / "model.tflite"


def test_the_labels_lie_behind_the_file_uncompressed(uint8_file: Path) -> None:
    with zipfile.ZipFile(uint8_file) as archive:
        (entry,) = archive.infolist()
        assert (entry.filename, entry.compress_type) == ("labels.txt", zipfile.ZIP_STORED)
        assert archive.read(entry).decode().split() == list(CLASSES)
    (output,) = metadata(uint8_file.read_bytes()).tables(3)[0].tables(3)
    (labels,) = output.tables(6)
    assert (labels.text(0), labels.number(2)) == ("labels.txt", 2)  # TENSOR_AXIS_LABELS


def test_the_author_and_the_least_score_are_those_of_the_options(uint8_file: Path) -> None:
    about = metadata(uint8_file.read_bytes())
    assert about.text(4) == "A. Keeper"
    assert about.text(1).startswith("animals, converted by tfcompress ")
    (output,) = about.tables(3)[0].tables(3)
    (unit,) = output.tables(4)
    assert unit.number(0) == 3  # ScoreThresholdingOptions
    assert unit.table(1).real(0) == LEAST_SCORE


def test_the_input_is_an_image_whose_scaling_is_that_of_preprocess(uint8_file: Path) -> None:
    about = metadata(uint8_file.read_bytes())
    assert about.text(0) == "animals"
    (source,) = about.tables(3)[0].tables(2)
    assert source.text(0) == "photo"
    assert source.table(3).number(0) == 2  # ImageProperties
    image = source.table(3).table(1)
    assert image.number(0) == 1  # RGB
    assert [image.table(1).number(slot, number_types.Uint32Flags) for slot in (0, 1)] == [SIDE, SIDE]
    (unit,) = source.tables(4)
    assert unit.number(0) == 1  # NormalizationOptions
    assert unit.table(1).floats(0) == pytest.approx([127.5], abs=TOLERANCE)
    assert unit.table(1).floats(1) == pytest.approx([127.5], abs=TOLERANCE)


def test_a_uint8_image_input_takes_pixels_as_they_are(uint8_file: Path) -> None:
    (source,) = ModelEditor.read(uint8_file.read_bytes()).main.inputs
    assert source.dtype == "uint8"
    assert source.scales[0] == pytest.approx(2 / 255)
    assert source.zero_points[0] in (127, 128)  # 127.5 lies between


def test_a_file_without_names_and_images_tells_its_inputs_and_outputs_alone(tmp_path: Path) -> None:
    model = keras.Sequential([keras.Input((4,), name="row"), keras.layers.Dense(3, name="score")])
    rows = np.random.default_rng(0).normal(size=(60, 4)).astype(np.float32)
    tfcompress.convert(model, targets="phone", calibration=rows, output=tmp_path / "out")
    content = (tmp_path / "out" / "phone" / "model.tflite").read_bytes()
    assert not zipfile.is_zipfile(io.BytesIO(content))
    graph = metadata(content).tables(3)[0]
    assert [table.text(0) for table in (*graph.tables(2), *graph.tables(3))] == ["row", "score"]
    assert graph.tables(2)[0].table(3).number(0) == 1  # FeatureProperties
    assert graph.tables(2)[0].tables(4) == []
    assert graph.tables(3)[0].tables(4) == []


@pytest.mark.parametrize(
    ("preprocess", "wanted"),
    [
        (None, ((0.0,), (1.0,))),
        (lambda image: image / 255, ((0.0,), (255.0,))),
        (lambda image: (image - (10, 20, 30)) / (2, 4, 8), ((10.0, 20.0, 30.0), (2.0, 4.0, 8.0))),
        (lambda image: image[..., ::-1] - (10, 20, 30), None),
        (lambda image: image - image.mean(), None),
        (lambda image: 255 - image, None),
        (lambda image: image[:4], None),
        (lambda image: image.no_such_method(), None),
    ],
    ids=["none", "one factor", "by channel", "channels swapped", "of the image", "negative", "cut", "an error"],
)
def test_a_scaling_is_told_only_where_it_is_a_line_per_channel(
    preprocess: Callable[[np.ndarray], np.ndarray] | None, wanted: tuple[tuple[float, ...], tuple[float, ...]] | None
) -> None:
    normalization = normalization_of(preprocess, TensorInfo("photo", (None, SIDE, SIDE, 3), "float32"))
    if wanted is None:
        assert normalization is None
    else:
        assert normalization is not None
        assert normalization.mean == pytest.approx(wanted[0], abs=TOLERANCE * 255)
        assert normalization.std == pytest.approx(wanted[1], rel=TOLERANCE)


def test_floats_in_the_shape_of_an_image_are_not_taken_for_pixels(classifier: Any, tmp_path: Path) -> None:
    spectrograms = np.random.default_rng(0).normal(size=(60, SIDE, SIDE, 3)).astype(np.float32)
    tfcompress.convert(classifier, targets="phone", calibration=spectrograms, labels=CLASSES, output=tmp_path / "out")
    content = (tmp_path / "out" / "phone" / "model.tflite").read_bytes()
    (source,) = metadata(content).tables(3)[0].tables(2)
    assert source.tables(4) == []
    assert zipfile.ZipFile(io.BytesIO(content)).read("labels.txt").decode().split() == list(CLASSES)


def test_mediapipe_classifies_with_names_and_the_same_scores(uint8_file: Path, dark_images: Path) -> None:
    reason = "MediaPipe is not installed: pip install mediapipe"
    mediapipe = pytest.importorskip("mediapipe", reason=reason)
    tasks = pytest.importorskip("mediapipe.tasks.python", reason=reason)
    image = tf.io.decode_png((dark_images / "dog" / "0.png").read_bytes()).numpy()
    options = tasks.vision.ImageClassifierOptions(
        base_options=tasks.BaseOptions(model_asset_path=str(uint8_file)), max_results=3
    )
    with tasks.vision.ImageClassifier.create_from_options(options) as classifier:
        shown = mediapipe.Image(image_format=mediapipe.ImageFormat.SRGB, data=image)
        (result,) = classifier.classify(shown).classifications
    from tfcompress.graphs.tflite.interpreter import new_interpreter, run

    (scores,) = run(new_interpreter(uint8_file.read_bytes(), xnnpack=True), [image[None]])
    wanted = dict(zip(CLASSES, scores[0].tolist(), strict=True))
    assert {item.category_name: round(item.score * 256) for item in result.categories} == wanted
