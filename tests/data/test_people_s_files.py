"""Files as spreadsheets and other tools write them: read, or refused with what is wrong and how to mend it."""

import gzip
from pathlib import Path

import numpy as np
import pytest

from tfcompress.data import open_data
from tfcompress.data.class_folders import entries_of
from tfcompress.errors import DataError
from tfcompress.model import TensorInfo
from tfcompress.runtime import keras

ROW = (TensorInfo("row", (None, 3), "float32"),)
BYTES = (TensorInfo("row", (None, 3), "uint8"),)
HALF = (TensorInfo("row", (None, 3), "float16"),)
IMAGE = (TensorInfo("image", (None, 4, 4, 3), "float32"),)
CLASS = (TensorInfo("class", (None, 3), "float32"),)

WRONG: dict[str, tuple[str | bytes, str]] = {
    "an empty label": ("1,2,3,0\n1,2,3,\n1,2,3,2\n", r"row 2, column 3: the label is empty"),
    "a missing label": ("1,2,3,0\n1,2,3,NA\n1,2,3,2\n", r"row 2, column 3: the label is 'NA'"),
    "a label that is no number": ("1,2,3,0\n1,2,3,nan\n", r"row 2, column 3: the label is 'nan'"),
    "semicolons": ("a;b;c;y\n1.5;2;3;0\n", r"separated by ';', expected ','.*sep=';'"),
    "semicolons and decimal commas": ("1,5;2,5;3,5;0\n", r"separated by ';', expected ','.*decimal=','"),
    "tabs": ("1\t2\t3\t0\n", r"separated by a tab, expected ','"),
    "decimal commas": ('"1,5",2,3,0\n', r"column 0: '1,5' has a decimal comma"),
    "an empty cell": ("1,2,3,0\n1,,3,0\n", r"row 2: column 1: is empty"),
    "UTF-16": ("1,2,3,0\n".encode("utf-16"), "is not UTF-8 text"),
    "a NUL": (b"1,2,3,0\n1,2\x00,3,0\n", "row 2|not a readable .csv"),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_table_is_refused_with_the_place_and_the_remedy(case: str, tmp_path: Path) -> None:
    content, said = WRONG[case]
    path = tmp_path / "d.csv"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(DataError, match=said):
        list(open_data(path, ROW, CLASS).batches(2))


def test_the_mark_that_excel_writes_is_no_part_of_the_first_cell(tmp_path: Path) -> None:
    (tmp_path / "d.csv").write_bytes("1,2,3,0\n4,5,6,1\n".encode("utf-8-sig"))
    batch = next(open_data(tmp_path / "d.csv", ROW, CLASS).batches(9))
    np.testing.assert_array_equal(batch.inputs["row"], [[1, 2, 3], [4, 5, 6]])
    np.testing.assert_array_equal(batch.labels["class"], [0, 1])


def test_classes_that_are_called_none_or_by_numbers_are_classes(tmp_path: Path) -> None:
    (tmp_path / "d.csv").write_text("1,2,3,none\n1,2,3,cat\n1,2,3,none\n")
    batch = next(open_data(tmp_path / "d.csv", ROW, CLASS).batches(9))
    np.testing.assert_array_equal(batch.labels["class"], [1, 0, 1])


def test_a_gzip_bomb_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tfcompress.data.tables.LEAST_BOMB", 1 << 20)
    (tmp_path / "d.csv.gz").write_bytes(gzip.compress(b"\n" * (4 << 20)))
    with pytest.raises(DataError, match="unpacked more than"):
        open_data(tmp_path / "d.csv.gz", ROW, CLASS)


@pytest.mark.parametrize(
    ("inputs", "value"), [(ROW, 1e300), (HALF, 1e6), (BYTES, 300), (BYTES, -1)], ids=["1e300", "half", "300", "-1"]
)
def test_a_value_that_the_input_cannot_hold_is_refused(inputs: tuple[TensorInfo, ...], value: float) -> None:
    with pytest.raises(DataError, match="cannot hold"):
        list(open_data(np.full((2, 3), value), inputs, CLASS).batches(2))


def test_the_preprocessing_of_keras_works_on_read_only_arrays(tmp_path: Path) -> None:
    pictures = np.random.default_rng(0).uniform(0, 255, (3, 4, 4, 3)).astype(np.float32)
    np.savez(tmp_path / "d.npz", x=pictures)
    for module in (keras.applications.mobilenet_v2, keras.applications.resnet, keras.applications.vgg16):
        samples = open_data(tmp_path / "d.npz", IMAGE, CLASS, preprocess=module.preprocess_input)
        for _ in range(2):  # and does not change what it is given
            got = next(samples.batches(3)).inputs["image"]
            np.testing.assert_array_equal(got, module.preprocess_input(pictures.copy()))


def test_a_preprocessing_that_fails_is_one_line() -> None:
    def wrong(value: np.ndarray) -> np.ndarray:
        raise KeyError("a\nb")

    with pytest.raises(DataError, match="sample 0: --preprocess failed: KeyError"):
        list(open_data(np.zeros((2, 3)), ROW, CLASS, preprocess=wrong).batches(2))


@pytest.mark.parametrize("last", ["3", "label"])
def test_the_numbers_that_pandas_gives_columns_are_a_header(last: str, tmp_path: Path) -> None:
    wide = (TensorInfo("row", (None, 4), "float32"),)
    rows = "9,1,2,3,0\n0,1,2,8,1\n"
    for header, samples in {f"0,1,2,3,{last}\n": 2, "": 2, "0,1,2,4,0\n": 3}.items():
        (tmp_path / "d.csv").write_text(header + rows)
        batch = next(open_data(tmp_path / "d.csv", wide, CLASS).batches(9))
        assert len(batch) == samples
        np.testing.assert_array_equal(batch.labels["class"][-2:], [0, 1])
    (tmp_path / "d.csv").write_text("0,1,2,1\n")  # three columns may begin so by chance
    assert len(next(open_data(tmp_path / "d.csv", ROW, CLASS).batches(9))) == 1


def test_what_else_lies_in_an_npz_may_be_of_any_kind(tmp_path: Path) -> None:
    x, names = np.arange(6.0).reshape(2, 3), np.array(["a", None], dtype=object)
    np.savez(tmp_path / "d.npz", x=x, y=np.arange(2), seed=7, names=names)
    np.testing.assert_array_equal(next(open_data(tmp_path / "d.npz", ROW, CLASS).batches(9)).inputs["row"], x)
    np.savez(tmp_path / "d.npz", x=x, y=names)
    with pytest.raises(DataError, match="array 'y': holds pickled"):
        open_data(tmp_path / "d.npz", ROW, CLASS)


@pytest.mark.parametrize("stray", ["ant/deep/c.png", "c.png"])
def test_an_image_beside_class_folders_is_no_class_of_its_own(stray: str, tmp_path: Path) -> None:
    names = ["ant/a.png", "bee/b.png"]
    assert entries_of(tmp_path, names, {".png"}, ()) == ((("ant/a.png", 0), ("bee/b.png", 1)), ("ant", "bee"))
    with pytest.raises(DataError, match=r"(c|ant/a)\.png lies beside the folder (ant|ant/deep), which holds more"):
        entries_of(tmp_path, [*names, stray], {".png"}, ())
