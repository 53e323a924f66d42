"""Pipes, devices and links in a circle are refused wherever a file is read whole."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tfcompress.calibration.result import Calibration
from tfcompress.converters.edgetpu import parse_compiler_log
from tfcompress.data import open_data
from tfcompress.data.class_folders import read_class_names
from tfcompress.errors import InputError
from tfcompress.job.manifest import verify
from tfcompress.job.output_folder import check_output
from tfcompress.model import TensorInfo
from tfcompress.plain_files import read_plain, real
from tfcompress.recipe import Recipe

MOST_SECONDS = 30  # the square of the lines would take hours
ROW = (TensorInfo("row", (None, 3), "float32"),)


def read_spec(path: Path) -> None:
    (path.parent / "d.tfrecord").write_bytes(bytes(32))
    path.rename(path.with_name("d.json"))
    open_data(path.with_name("d.tfrecord"), ROW, ())


def read_manifest(path: Path) -> None:
    path.rename(path.with_name("manifest.json"))
    verify(path.parent)


def hole(path: Path) -> None:
    path.touch()
    os.truncate(path, 1 << 40)


READERS: dict[str, Callable[[Path], object]] = {
    "recipe": Recipe.load,
    "labels": read_class_names,
    "ranges": Calibration.load,
    "log": parse_compiler_log,
    "spec": read_spec,
    "manifest": read_manifest,
}
KINDS: dict[str, Callable[[Path], object]] = {
    "pipe": os.mkfifo,
    "device": lambda path: path.symlink_to("/dev/zero"),
    "circle": lambda path: path.symlink_to(path.name),
    "hole": hole,
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("reader", READERS)
def test_what_is_no_ordinary_file_is_refused_at_once(reader: str, kind: str, tmp_path: Path) -> None:
    KINDS[kind](tmp_path / "file")
    with pytest.raises(InputError) as said:
        READERS[reader](tmp_path / "file")
    assert str(said.value).isprintable()


def test_a_link_to_an_ordinary_file_is_read(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"content")
    (tmp_path / "link").symlink_to("file")
    assert read_plain(tmp_path / "link", most_bytes=7) == b"content"
    with pytest.raises(OSError, match="larger than 6 bytes"):
        read_plain(tmp_path / "link", most_bytes=6)


def test_links_in_a_circle_among_what_a_run_reads_are_no_crash(tmp_path: Path) -> None:
    (tmp_path / "circle").symlink_to("circle")
    check_output(tmp_path / "out", reads=[tmp_path / "circle"])
    assert real(tmp_path / "circle").name == "circle"


@pytest.mark.parametrize("text", ["a\n" * 200_000, " " * 2_000_000 + "x", "Operator " * 200_000, ">" * 1_000_000])
def test_a_text_that_is_no_log_is_refused_in_seconds(text: str, tmp_path: Path) -> None:
    (tmp_path / "log").write_text(text)
    started = time.process_time()
    with pytest.raises(InputError, match="not a log of edgetpu_compiler"):
        parse_compiler_log(tmp_path / "log")
    assert time.process_time() - started < MOST_SECONDS
