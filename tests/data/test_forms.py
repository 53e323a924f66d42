"""Every form of data gives the same samples: named, typed, in order, in batches."""

import json
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from tfcompress.data import Samples, open_data, samples_from_arrays
from tfcompress.errors import DataError, InputError
from tfcompress.model import TensorInfo
from tfcompress.remarks import remarks
from tfcompress.runtime import tf

IMAGE = (TensorInfo("image", (None, 4, 4, 3), "float32"),)
GREY = (TensorInfo("image", (None, 4, 4, 1), "float32"),)
ROW = (TensorInfo("row", (None, 3), "float32"),)
CLASS = (TensorInfo("class", (None, 2), "float32"),)
ROWS = np.arange(15, dtype=np.float32).reshape(5, 3)
LABELS = np.array([0, 1, 0, 1, 1])


def all_rows(samples: Samples, batch_size: int = 2) -> tuple[np.ndarray, np.ndarray]:
    batches = list(samples.batches(batch_size))
    assert [batch.start for batch in batches] == list(range(0, 5, batch_size))
    x = np.concatenate([batch.inputs["row"] for batch in batches])
    return x, np.concatenate([batch.labels["class"] for batch in batches])


def from_npz(folder: Path) -> Samples:
    np.savez(folder / "d.npz", x=ROWS, y=LABELS)
    return open_data(folder / "d.npz", ROW, CLASS)


def from_compressed_npz_by_name(folder: Path) -> Samples:
    np.savez_compressed(folder / "d.npz", allow_pickle=False, **{"row": ROWS, "class": LABELS})
    return open_data(folder / "d.npz", ROW, CLASS)


def from_csv_with_header(folder: Path) -> Samples:
    lines = ["a,b,c,label"] + [",".join(map(str, [*row, label])) for row, label in zip(ROWS, LABELS, strict=True)]
    (folder / "d.csv").write_text("\n".join(lines) + "\n")
    return open_data(folder / "d.csv", ROW, CLASS)


def from_csv_with_label_first_in_words(folder: Path) -> Samples:
    words = ["cat", "dog"]
    lines = [",".join([words[label], *map(str, row)]) for row, label in zip(ROWS, LABELS, strict=True)]
    (folder / "d.csv").write_text("\n".join(lines) + "\n")
    return open_data(folder / "d.csv", ROW, CLASS, label_column="0")


def from_records(folder: Path) -> Samples:
    with tf.io.TFRecordWriter(str(folder / "d.tfrecord")) as writer:
        for row, label in zip(ROWS, LABELS, strict=True):
            features = {
                "row": tf.train.Feature(float_list=tf.train.FloatList(value=row)),
                "class": tf.train.Feature(int64_list=tf.train.Int64List(value=[label])),
            }
            writer.write(tf.train.Example(features=tf.train.Features(feature=features)).SerializeToString())
    spec = {"inputs": {"row": {"shape": [3]}}, "labels": {"class": {"dtype": "int64"}}}
    (folder / "d.json").write_text(json.dumps(spec))
    return open_data(folder / "d.tfrecord", ROW, CLASS)


def from_arrays(folder: Path) -> Samples:
    return open_data((ROWS, LABELS), ROW, CLASS)


def from_a_batched_dataset(folder: Path) -> Samples:
    return open_data(lambda: tf.data.Dataset.from_tensor_slices((ROWS, LABELS)).batch(2), ROW, CLASS)


def from_a_generator_function(folder: Path) -> Samples:
    def stream() -> Iterator[tuple[np.ndarray, np.ndarray]]:
        yield from zip(ROWS, LABELS, strict=True)

    return open_data(stream, ROW, CLASS)


def from_named_batches(folder: Path) -> Samples:
    return open_data([({"row": ROWS}, {"class": LABELS})], ROW, CLASS)


def from_arrays_in_memory(folder: Path) -> Samples:
    return samples_from_arrays({"row": ROWS}, {"class": LABELS}, model_inputs=ROW, model_outputs=CLASS)


FORMS = [
    from_arrays_in_memory,
    from_npz,
    from_compressed_npz_by_name,
    from_csv_with_header,
    from_csv_with_label_first_in_words,
    from_records,
    from_arrays,
    from_a_batched_dataset,
    from_a_generator_function,
    from_named_batches,
]


@pytest.mark.parametrize("form", FORMS)
def test_every_form_gives_the_same_samples_on_every_pass(form, tmp_path) -> None:  # type: ignore[no-untyped-def]
    samples = form(tmp_path)
    for _ in range(2):
        x, y = all_rows(samples)
        np.testing.assert_array_equal(x, ROWS)
        np.testing.assert_array_equal(y, LABELS)
        assert x.dtype == np.float32


@pytest.mark.parametrize("form", FORMS)
def test_a_subset_has_the_rows_that_were_asked_for(form, tmp_path) -> None:  # type: ignore[no-untyped-def]
    chosen = next(form(tmp_path).select([4, 1]).batches(9))
    np.testing.assert_array_equal(chosen.inputs["row"], ROWS[[1, 4]])
    np.testing.assert_array_equal(chosen.labels["class"], LABELS[[1, 4]])


def test_the_bad_row_of_an_array_is_named() -> None:
    rows = ROWS.copy()
    rows[3, 1] = np.nan
    samples = samples_from_arrays(rows, model_inputs=ROW, model_outputs=CLASS)
    with pytest.raises(DataError, match=r"sample 3: input 'row' has NaN"):
        list(samples.batches(2))
    with pytest.raises(DataError, match=r"sample 3: input 'row' has NaN"):
        list(samples.select([0, 3]).batches(2))
    assert [len(batch) for batch in samples.select([0, 4]).batches(2)] == [2]


def test_spread_takes_samples_from_the_whole_length(tmp_path: Path) -> None:
    np.savez(tmp_path / "d.npz", x=np.repeat(ROWS, 20, axis=0), y=np.repeat(LABELS, 20))
    spread = next(open_data(tmp_path / "d.npz", ROW, CLASS).spread(5).batches(9))
    np.testing.assert_array_equal(spread.inputs["row"], ROWS)


def test_an_npy_file_has_inputs_only(tmp_path: Path) -> None:
    np.save(tmp_path / "d.npy", ROWS)
    batch = next(open_data(tmp_path / "d.npy", ROW, CLASS).batches(9))
    np.testing.assert_array_equal(batch.inputs["row"], ROWS)
    assert batch.labels == {}


def _write_images(folder: Path, size: tuple[int, int] = (4, 4)) -> None:
    for number, name in enumerate(["cat", "dog"]):
        (folder / name).mkdir(parents=True)
        for index in range(2):
            image = np.full((*size, 3), 100 * number + index, np.uint8)
            (folder / name / f"{index}.png").write_bytes(tf.io.encode_png(image).numpy())


def test_image_folders_come_class_by_class_in_turn(tmp_path: Path) -> None:
    _write_images(tmp_path / "images")
    batch = next(open_data(tmp_path / "images", IMAGE, CLASS).batches(9))
    assert batch.labels["class"].tolist() == [0, 1, 0, 1]
    assert batch.inputs["image"][:, 0, 0, 0].tolist() == [0, 100, 1, 101]


def test_a_zip_of_a_folder_is_read_like_the_folder(tmp_path: Path) -> None:
    _write_images(tmp_path / "images")
    with zipfile.ZipFile(tmp_path / "images.zip", "w") as archive:
        for file in sorted((tmp_path / "images").rglob("*.png")):
            archive.write(file, file.relative_to(tmp_path))
    of_folder = next(open_data(tmp_path / "images", IMAGE, CLASS).batches(9))
    of_zip = next(open_data(tmp_path / "images.zip", IMAGE, CLASS).batches(9))
    np.testing.assert_array_equal(of_folder.inputs["image"], of_zip.inputs["image"])
    np.testing.assert_array_equal(of_folder.labels["class"], of_zip.labels["class"])


@pytest.mark.parametrize("resize", ["stretch", "crop", "pad"])
def test_images_of_another_size_are_resized_where_it_is_asked_for(resize: str, tmp_path: Path) -> None:
    _write_images(tmp_path / "images", (8, 6))
    samples = open_data(tmp_path / "images", IMAGE, CLASS, resize=resize)
    assert next(samples.batches(9)).inputs["image"].shape == (4, 4, 4, 3)


def test_images_of_another_size_are_refused(tmp_path: Path) -> None:
    _write_images(tmp_path / "images", (8, 6))
    with pytest.raises(DataError, match=r"is 8 x 6 x 3, the model takes 4 x 4 x 3; --resize=stretch\|crop\|pad"):
        list(open_data(tmp_path / "images", IMAGE, CLASS).batches(9))
    with pytest.raises(InputError, match="--resize=squeeze"):
        open_data(tmp_path / "images", IMAGE, CLASS, resize="squeeze")


def test_colour_is_not_dropped_unasked_and_grey_becomes_rgb(tmp_path: Path) -> None:
    _write_images(tmp_path / "images")
    with pytest.raises(DataError, match="is 4 x 4 x 3, the model takes 4 x 4 x 1"):
        list(open_data(tmp_path / "images", GREY, CLASS).batches(9))
    assert next(open_data(tmp_path / "images", GREY, CLASS, resize="stretch").batches(4)).inputs["image"].shape[-1] == 1
    (tmp_path / "grey").mkdir()
    (tmp_path / "grey/1.png").write_bytes(tf.io.encode_png(np.full((4, 4, 1), 7, np.uint8)).numpy())
    np.testing.assert_array_equal(next(open_data(tmp_path / "grey", IMAGE, CLASS).batches(1)).inputs["image"], 7)


def test_classes_follow_the_models_order_where_it_is_given(tmp_path: Path) -> None:
    _write_images(tmp_path / "images")
    (tmp_path / "labels.txt").write_text("dog\n\ncat\n")
    samples = open_data(tmp_path / "images", IMAGE, CLASS, labels=tmp_path / "labels.txt")
    assert samples.class_names == ("dog", "cat")
    assert next(samples.batches(9)).labels["class"].tolist() == [1, 0, 1, 0]
    assert open_data(tmp_path / "images", IMAGE, CLASS).class_names == ("cat", "dog")
    with pytest.raises(DataError, match="'dog' is none of the classes"):
        open_data(tmp_path / "images", IMAGE, CLASS, labels=["cat", "bird"])
    with pytest.raises(InputError, match="one name per line, got cat"):
        open_data(tmp_path / "images", IMAGE, CLASS, labels=["cat", "cat"])


def test_words_in_a_table_follow_the_models_order_too(tmp_path: Path) -> None:
    (tmp_path / "d.csv").write_text("1,2,3,cat\n1,2,3,dog\n")
    samples = open_data(tmp_path / "d.csv", ROW, CLASS, labels=["dog", "cat"])
    assert next(samples.batches(9)).labels["class"].tolist() == [1, 0]
    assert open_data(tmp_path / "d.csv", ROW, CLASS).class_names == ("cat", "dog")


def test_too_few_class_folders_are_remarked_on(tmp_path: Path) -> None:
    _write_images(tmp_path / "images")
    with remarks() as said:
        open_data(tmp_path / "images", IMAGE, (TensorInfo("class", (None, 1000), "float32"),))
    assert len(said) == 1
    assert "has 2 classes" in said[0]
    assert "--labels=FILE" in said[0]


@pytest.mark.parametrize(
    ("name", "expected"), [("none", [0, 51, 255]), ("unit", [0, 0.2, 1]), ("signed_unit", [-1, -0.6, 1])]
)
def test_preprocess_scales_raw_values(name: str, expected: list[float]) -> None:
    samples = open_data(np.array([[0, 51, 255]], np.uint8), ROW, CLASS, preprocess=name)
    np.testing.assert_allclose(next(samples.batches(1)).inputs["row"][0], expected, atol=1e-6)


def test_memory_does_not_grow_with_the_length_of_a_compressed_npz(tmp_path: Path) -> None:
    import tracemalloc

    shape = (20_000, 300)  # 24 MB, all zeros, so a few KB in the file
    np.savez_compressed(tmp_path / "long.npz", x=np.zeros(shape, np.float32))
    samples = open_data(tmp_path / "long.npz", (TensorInfo("row", (None, 300), "float32"),), CLASS)
    tracemalloc.start()
    assert sum(len(batch) for batch in samples.batches(32)) == shape[0]
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2_000_000
