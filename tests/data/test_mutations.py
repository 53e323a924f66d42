"""Data files with random damage: read to the end, or refused in one line, and never anything else."""

import gzip
import json
import random
import struct
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tfcompress.data import open_data
from tfcompress.data.image_sizes import without_extras
from tfcompress.data.record_files import masked_crc32c
from tfcompress.errors import InputError
from tfcompress.job.manifest import verify, write_manifest
from tfcompress.model import TensorInfo
from tfcompress.recipe import Recipe
from tfcompress.runtime import tf

ROW = (TensorInfo("row", (None, 3), "float32"),)
IMAGE = (TensorInfo("image", (None, 4, 4, 3), "float32"),)
CLASS = (TensorInfo("class", (None, 2), "float32"),)
ROWS = np.arange(24, dtype=np.float32).reshape(8, 3)
LABELS = np.arange(8) % 2


def read(path: Path, inputs: tuple[TensorInfo, ...] = ROW) -> None:
    for batch in open_data(path, inputs, CLASS).batches(3):
        assert len(batch) <= 3


def npz(folder: Path) -> Path:
    np.savez(folder / "d.npz", x=ROWS, y=LABELS)
    return folder / "d.npz"


def packed_npz(folder: Path) -> Path:
    np.savez_compressed(folder / "d.npz", allow_pickle=False, x=ROWS, y=LABELS)
    return folder / "d.npz"


def npy(folder: Path) -> Path:
    np.save(folder / "d.npy", ROWS)
    return folder / "d.npy"


def csv(folder: Path) -> Path:
    lines = ["a,b,c,label"] + [",".join(map(str, [*row, label])) for row, label in zip(ROWS, LABELS, strict=True)]
    (folder / "d.csv").write_text("\n".join(lines))
    return folder / "d.csv"


def records(folder: Path) -> Path:
    with tf.io.TFRecordWriter(str(folder / "d.tfrecord")) as writer:
        for row, label in zip(ROWS, LABELS, strict=True):
            features = {
                "row": tf.train.Feature(float_list=tf.train.FloatList(value=row)),
                "class": tf.train.Feature(int64_list=tf.train.Int64List(value=[label])),
            }
            writer.write(tf.train.Example(features=tf.train.Features(feature=features)).SerializeToString())
    (folder / "d.json").write_text(
        json.dumps({"inputs": {"row": {"shape": [3]}}, "labels": {"class": {"dtype": "int64"}}})
    )
    return folder / "d.tfrecord"


def feature_spec(folder: Path) -> Path:
    records(folder)
    return folder / "d.json"


def picture() -> np.ndarray:
    return np.arange(4 * 4 * 3, dtype=np.uint8).reshape(4, 4, 3)


def png(folder: Path) -> Path:
    (folder / "d").mkdir(exist_ok=True)
    (folder / "d/1.png").write_bytes(tf.io.encode_png(picture()).numpy())
    return folder / "d/1.png"


def jpeg(folder: Path) -> Path:
    (folder / "d").mkdir(exist_ok=True)
    (folder / "d/1.jpg").write_bytes(tf.io.encode_jpeg(picture()).numpy())
    return folder / "d/1.jpg"


def image_zip(folder: Path) -> Path:
    with zipfile.ZipFile(folder / "d.zip", "w") as archive:
        for name in ("a/1.png", "b/1.png"):
            archive.writestr(name, tf.io.encode_png(picture()).numpy())
    return folder / "d.zip"


def recipe(folder: Path) -> Path:
    (folder / "recipe.json").write_text(Recipe().to_json())
    return folder / "recipe.json"


def manifest(folder: Path) -> Path:
    out = folder / "out"
    out.mkdir(exist_ok=True)
    (out / "model.tflite").write_text("weights")
    (out / "manifest.json").unlink(missing_ok=True)
    write_manifest(out, {"seed": 0})
    return out / "manifest.json"


def read_manifest(path: Path) -> None:
    verify(path.parent)


FORMS: dict[str, tuple[Callable[[Path], Path], Callable[[Path], object]]] = {
    "npz": (npz, read),
    "packed npz": (packed_npz, read),
    "npy": (npy, read),
    "csv": (csv, read),
    "tfrecord": (records, read),
    "feature spec": (feature_spec, lambda path: read(path.with_suffix(".tfrecord"))),
    "png": (png, lambda path: read(path.parent, IMAGE)),
    "jpeg": (jpeg, lambda path: read(path.parent, IMAGE)),
    "image zip": (image_zip, lambda path: read(path, IMAGE)),
    "recipe": (recipe, Recipe.load),
    "manifest": (manifest, read_manifest),
}


def damaged(content: bytes, chance: random.Random) -> bytes:
    """`content` with one to three edits of random kinds at random places."""
    for _ in range(chance.randint(1, 3)):
        place, length = chance.randrange(len(content) + 1), chance.randint(1, 8)
        head, tail = content[:place], content[place:]
        extreme = chance.choice([b"\xff" * 4, bytes(4), b"\x7f\xff\xff\xff"])
        content = chance.choice(
            [
                head + chance.randbytes(1) + tail[1:],
                head + tail[length:],
                head + chance.randbytes(length) + tail,
                head,
                head + extreme + tail[4:],
                head + tail[:16] * length + tail,
            ]
        )
    return content


def run_mutations(form: str, folder: Path, times: int, seed: int) -> int:
    """Number of files that were refused."""
    make, use = FORMS[form]
    path = make(folder)
    content, chance, refused = path.read_bytes(), random.Random(f"{form} {seed}"), 0
    use(path)
    for _ in range(times):
        path.write_bytes(damaged(content, chance))
        said = said_of(use, path)
        refused += said is not None
        assert said is None or said.isprintable()
    return refused


def said_of(use: Callable[[Path], object], path: Path) -> str | None:
    try:
        use(path)
    except InputError as error:
        return str(error)
    return None


@pytest.mark.parametrize("form", FORMS)
def test_damaged_files_are_read_or_refused_in_one_line(form: str, tmp_path: Path) -> None:
    assert run_mutations(form, tmp_path, times=40, seed=1) > 5


@pytest.mark.slow
@pytest.mark.parametrize("form", FORMS)
def test_many_damaged_files(form: str, tmp_path: Path) -> None:
    assert run_mutations(form, tmp_path, times=3000 // len(FORMS) + 1, seed=2) > 20


def npy_with(header: str) -> bytes:
    text = header.encode() + b" " * (-(len(header) + 11) % 64) + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text + bytes(96)


BOMBS = {
    "a huge dimension": "{'descr': '<f4', 'fortran_order': False, 'shape': (8, 1000000000000)}",
    "endless empty rows": "{'descr': '<f4', 'fortran_order': False, 'shape': (1000000000000, 0)}",
    "more rows than there are": "{'descr': '<f4', 'fortran_order': False, 'shape': (1000000000000, 3)}",
    "a negative dimension": "{'descr': '<f4', 'fortran_order': False, 'shape': (8, -3)}",
    "a deep expression": "(" * 3000 + ")" * 3000,
    "a dtype of no bytes": "{'descr': '|S0', 'fortran_order': False, 'shape': (8, 3)}",
    "an expression": "__import__('os').system('true')",
}


@pytest.mark.parametrize("bomb", BOMBS)
@pytest.mark.parametrize("packed", [False, True])
def test_header_bombs_are_refused(bomb: str, packed: bool, tmp_path: Path) -> None:
    path = tmp_path / ("d.npz" if packed else "d.npy")
    if packed:
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("x.npy", npy_with(BOMBS[bomb]))
    else:
        path.write_bytes(npy_with(BOMBS[bomb]))
    with pytest.raises(InputError):
        read(path)


def test_a_zip_member_without_a_name_is_left_out(tmp_path: Path) -> None:
    path = image_zip(tmp_path)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(zipfile.ZipInfo("\0nameless"), b"x")  # zipfile cuts a name at its NUL
    read(path, IMAGE)


def png_of(width: int, height: int) -> bytes:
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(bytes(1000))), (b"IEND", b"")]
    packed = [struct.pack(">I", len(b)) + k + b + struct.pack(">I", zlib.crc32(k + b)) for k, b in chunks]
    return b"\x89PNG\r\n\x1a\n" + b"".join(packed)


def test_an_image_that_announces_a_huge_size_is_refused_before_it_is_decoded(tmp_path: Path) -> None:
    (tmp_path / "1.png").write_bytes(png_of(60_000, 60_000))
    with pytest.raises(InputError, match="60000 x 60000 pixels"):
        read(tmp_path, IMAGE)


def chunk(name: bytes, content: bytes, length: int | None = None) -> bytes:
    size = len(content) if length is None else length
    return struct.pack(">I", size) + name + content + struct.pack(">I", zlib.crc32(name + content))


def test_texts_in_an_image_are_never_unpacked(tmp_path: Path) -> None:
    plain = tf.io.encode_png(picture()).numpy()
    bomb = chunk(b"zTXt", b"Comment\0\0" + zlib.compress(bytes(64 << 20)))
    with_bomb = plain[:33] + bomb + chunk(b"iCCP", b"x\0\0" + zlib.compress(bytes(1 << 20))) + plain[33:]
    assert without_extras(with_bomb, "x") == plain
    (tmp_path / "1.png").write_bytes(with_bomb)
    read(tmp_path, IMAGE)


def test_a_part_of_an_image_that_is_longer_than_the_file_is_refused(tmp_path: Path) -> None:
    plain = tf.io.encode_png(picture()).numpy()
    (tmp_path / "1.png").write_bytes(plain[:33] + chunk(b"iTXt", b"", 0x7FFFFFF0) + plain[33:])
    with pytest.raises(InputError, match="cut off"):
        read(tmp_path, IMAGE)


def test_a_jpeg_of_thousands_of_scans_is_refused(tmp_path: Path) -> None:
    plain = tf.io.encode_jpeg(picture(), progressive=True).numpy()
    (tmp_path / "1.jpg").write_bytes(plain[:-2] + plain[plain.index(b"\xff\xda") : -2] * 600 + plain[-2:])
    with pytest.raises(InputError, match="scans"):
        read(tmp_path, IMAGE)


def test_a_large_jpeg_of_hundreds_of_scans_is_refused(tmp_path: Path) -> None:
    plain = tf.io.encode_jpeg(np.zeros((4000, 4000, 3), np.uint8), progressive=True).numpy()
    scan = plain[plain.rindex(b"\xff\xda") : -2]
    assert without_extras(plain[:-2] + scan * 10 + plain[-2:], "1.jpg")
    with pytest.raises(InputError, match="expected at most 125 of such an image"):
        without_extras(plain[:-2] + scan * 300 + plain[-2:], "1.jpg")


def test_a_png_that_unpacks_to_more_than_its_pixels_is_refused(tmp_path: Path) -> None:
    header = struct.pack(">IIBBBBB", 4, 4, 8, 2, 0, 0, 0)
    chunks = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(300 << 20))) + chunk(b"IEND", b"")
    (tmp_path / "1.png").write_bytes(b"\x89PNG\r\n\x1a\n" + chunks)
    with pytest.raises(InputError, match="unpacks to more than its 4 x 4 pixels"):
        read(tmp_path, IMAGE)


@pytest.mark.parametrize("kind", [np.uint8, np.uint16])
def test_a_large_png_that_hardly_compresses_is_read(kind: type, tmp_path: Path) -> None:
    noise: np.ndarray = np.random.default_rng(0).integers(0, np.iinfo(kind).max, (400, 600, 3)).astype(kind)
    content = tf.io.encode_png(noise).numpy()
    assert len(content) > 500_000
    assert np.array_equal(tf.io.decode_png(without_extras(content, "1.png"), dtype=kind).numpy(), noise)


def test_an_npz_that_unpacks_to_gigabytes_is_refused_unread(tmp_path: Path) -> None:
    path = packed_npz(tmp_path)
    read(path)
    content = path.read_bytes()
    entry = content.index(b"PK\1\2")  # the first entry of the directory; its unpacked size is at byte 24
    path.write_bytes(content[: entry + 24] + struct.pack("<I", 2_000_000_000) + content[entry + 28 :])
    with pytest.raises(InputError, match="more than 200 times its size"):
        read(path)


@pytest.mark.parametrize("shape", [[10**12], [-1], ["3"], 3, [1] * 40, [True], None, [2**40, 0]])
def test_shapes_that_no_sample_has_are_refused(shape: object, tmp_path: Path) -> None:
    path = records(tmp_path)
    (tmp_path / "d.json").write_text(json.dumps({"inputs": {"row": {"shape": shape}}}))
    with pytest.raises(InputError):
        read(path)


def test_a_record_that_announces_more_than_the_file_holds_is_refused(tmp_path: Path) -> None:
    path = records(tmp_path)
    length = struct.pack("<Q", 32 << 30)
    path.write_bytes(length + struct.pack("<I", masked_crc32c(length)) + b"rest")
    with pytest.raises(InputError, match="34359738368 bytes"):
        read(path)


def test_a_gzipped_tfrecord_says_so(tmp_path: Path) -> None:
    path = records(tmp_path)
    path.write_bytes(gzip.compress(path.read_bytes()))
    with pytest.raises(InputError, match="is compressed"):
        read(path)
