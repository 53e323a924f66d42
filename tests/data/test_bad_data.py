"""Bad data is refused in one line that says what, where, expected and got."""

import os
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tfcompress.data import open_data
from tfcompress.errors import InputError
from tfcompress.model import TensorInfo

ROW = (TensorInfo("row", (None, 3), "float32"),)
IMAGE = (TensorInfo("image", (None, 4, 4, 3), "float32"),)
CLASS = (TensorInfo("class", (None, 2), "float32"),)


def saved(**arrays: Any) -> Callable[[Path], Path]:
    def write(folder: Path) -> Path:
        np.savez(folder / "d.npz", **arrays)
        return folder / "d.npz"

    return write


def text(name: str, content: str) -> Callable[[Path], Path]:
    def write(folder: Path) -> Path:
        (folder / name).write_text(content)
        return folder / name

    return write


def npz_called_npy(folder: Path) -> Path:
    return saved(x=np.zeros((2, 3)))(folder).rename(folder / "d.npy")


def truncated(folder: Path) -> Path:
    path = saved(x=np.zeros((100, 3)))(folder)
    path.write_bytes(path.read_bytes()[:500])
    return path


CASES: dict[str, tuple[Callable[[Path], Path | str], str]] = {
    "a missing file": (lambda folder: folder / "none.npz", "no such file or folder"),
    "an empty file": (text("d.npz", ""), "is empty"),
    "a file of an unknown kind": (text("d.xyz", "1"), "unknown kind of file '.xyz'"),
    "a text called .npz": (text("d.npz", "hello"), "not a readable .npz"),
    "a cut-off .npz": (truncated, "not a readable .npz"),
    "an .npz called .npy": (npz_called_npy, "is an .npz file; rename it to d.npz"),
    "an .npz without x": (saved(z=np.zeros((2, 3))), "has arrays z, expected row or, for one input, x"),
    "arrays of different lengths": (saved(x=np.zeros((2, 3)), y=np.zeros(3)), "different numbers of rows"),
    "zero samples": (saved(x=np.zeros((0, 3))), "no samples"),
    "the wrong shape": (saved(x=np.zeros((2, 4))), "has shape (4,), expected (3,)"),
    "the wrong dtype": (saved(x=np.array([["a", "b", "c"]])), "expected numbers"),
    "NaN": (saved(x=np.full((2, 3), np.nan)), "NaN or infinite"),
    "infinity": (saved(x=np.full((2, 3), np.inf)), "NaN or infinite"),
    "a .csv with words": (text("d.csv", "1,2,x\n3,4,5\n"), "expected numbers"),
    "a .csv with too few columns": (text("d.csv", "1,2\n3,4\n"), "the model takes (3,)"),
    "a .csv with a header only": (text("d.csv", "a,b,c\n"), "no samples"),
    "a .tfrecord without a spec": (text("d.tfrecord", "x"), "no feature spec"),
    "a folder without images": (lambda folder: folder, "images, but the model takes row"),
    "a number in a module": (lambda folder: "math:pi", "math:pi: is a float, expected a function"),
    "a function that wants arguments": (lambda folder: "json:loads", "json:loads: the function failed: TypeError"),
    "a missing module": (lambda folder: "no_such_module_anywhere:data", "cannot import it"),
}


@pytest.mark.parametrize("case", CASES)
def test_bad_data_is_refused(case: str, tmp_path: Path) -> None:
    make, said = CASES[case]
    with pytest.raises(InputError) as caught:
        list(open_data(make(tmp_path), ROW, CLASS, flag="calibration").batches(8))
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_pipe_is_no_data(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "d.npz")
    with pytest.raises(InputError, match="not an ordinary file"):
        open_data(tmp_path / "d.npz", ROW, CLASS)


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_rows_of_an_npz_are_picked_without_the_others(save: Callable[..., None], tmp_path: Path) -> None:
    rows = np.arange(3_000_000, dtype=np.float32).reshape(1_000_000, 3)  # row by row they would take seconds
    save(tmp_path / "d.npz", x=rows)
    picked = open_data(tmp_path / "d.npz", ROW, CLASS).select([5, 999_999, 400_000])
    (batch,) = picked.batches(8)
    assert np.array_equal(batch.inputs["row"], rows[[5, 400_000, 999_999]])


def test_a_pickle_in_an_npz_is_never_loaded(tmp_path: Path) -> None:
    canary = tmp_path / "canary"

    class Bomb:
        def __reduce__(self) -> Any:
            return (Path.touch, (canary,))

    np.savez(tmp_path / "d.npz", x=np.array([Bomb()], dtype=object))
    with pytest.raises(InputError, match="pickled Python objects"):
        open_data(tmp_path / "d.npz", ROW, CLASS)
    assert not canary.exists()
    pickle.loads(pickle.dumps(1))  # the canary works: a pickle that is loaded does run
    np.load(tmp_path / "d.npz", allow_pickle=True)["x"]
    assert canary.exists()


def test_an_image_that_is_none_is_named(tmp_path: Path) -> None:
    for name in ("cat", "dog"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "1.png").write_bytes(b"not an image")
    with pytest.raises(InputError, match=r"cat/1\.png: not a readable image"):
        list(open_data(tmp_path, IMAGE, CLASS).batches(1))


def test_a_zip_member_of_absurd_size_is_refused_before_it_is_unpacked(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "bomb.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for name in ("a/1.png", "b/1.png"):
            archive.writestr(name, bytes(300 * 2**20))
    with pytest.raises(InputError, match="declares 314572800 bytes"):
        open_data(tmp_path / "bomb.zip", IMAGE, CLASS)


@pytest.mark.parametrize("line", ["def (", "raise RuntimeError('no licence')"])
def test_a_module_that_cannot_be_run_is_one_line(line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "module_that_fails.py").write_text(line)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(InputError, match=r"importing module_that_fails failed: (SyntaxError|RuntimeError: no licence)"):
        open_data("module_that_fails:data", ROW, CLASS)


ARRAYS: dict[str, tuple[Any, str]] = {
    "no arrays by name": ({}, "holds no arrays of inputs, expected an array for each of 'row'"),
    "a sample in place of all": ((np.zeros(3), 1), "'y' is a single number"),
    "rows of different lengths": (np.array([[1, 2, 3], [1]], dtype=object), "of no regular shape"),
    "a missing number": (
        np.array([[1, 2, None]], dtype=object),
        r"Python objects (NoneType, int), expected an array of numbers or of text",
    ),
}


@pytest.mark.parametrize("case", ARRAYS)
def test_bad_arrays_are_refused(case: str) -> None:
    data, said = ARRAYS[case]
    with pytest.raises(InputError) as caught:
        list(open_data(data, ROW, CLASS).batches(8))
    assert said in str(caught.value)


def test_numbers_for_an_input_of_text_are_refused_as_no_text() -> None:
    with pytest.raises(InputError, match=r"input 'line' has dtype int64, expected text$"):
        list(open_data(np.arange(3), (TensorInfo("line", (None,), "string"),), CLASS).batches(2))
