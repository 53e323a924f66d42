"""Terminals and pipes: nothing from a file steers the terminal, and a reader who leaves fails no conversion."""

import io
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from rich.table import Table

from tests.converters.packing.files import layered
from tfcompress.console import SafeConsole
from tfcompress.errors import InputError
from tfcompress.job.manifest import verify
from tfcompress.printable import printable

HOSTILE = "cat\x1b]0;owned\x07\x1b[2J\r\x9b31m\u202egnp.exe\udcff"
SAFE = r"cat\x1b]0;owned\x07\x1b[2J\r\x9b31m\u202egnp.exe\udcff"


def test_escape_sequences_are_spelt_out() -> None:
    assert printable(HOSTILE) == SAFE
    assert printable("café 猫 🐈\n\tx") == "café 猫 🐈\n\tx"


def test_errors_and_tables_are_safe() -> None:
    assert str(InputError(HOSTILE)) == SAFE.replace(r"\r", " ")
    stream = io.StringIO()
    SafeConsole(stream).print(HOSTILE)  # rich itself leaves out the bell and the carriage return
    assert stream.getvalue() == SAFE.replace(r"\x07", "").replace(r"\r", "") + "\n"


def test_names_are_never_read_as_markup() -> None:
    stream = io.StringIO()
    table = Table()
    table.add_column("[bold]name")
    table.add_row("[/red] :cat: [link=https://example.org]x")
    SafeConsole(stream, soft_wrap=False).print(table)
    assert "[/red] :cat: [link=https://example.org]x" in stream.getvalue()
    assert "[bold]name" in stream.getvalue()


def run(arguments: str, folder: Path) -> subprocess.CompletedProcess[str]:
    command = f"{sys.executable} -m tfcompress {arguments}"
    return subprocess.run(["bash", "-c", command], cwd=folder, capture_output=True, text=True, timeout=600)


def test_a_class_name_never_steers_the_terminal(cnn_folder: Path, tmp_path: Path) -> None:
    folder = tmp_path / "\x1b[31mred"
    folder.mkdir()
    done = run(f"inspect $'{folder.name}/none.keras'".replace("\x1b", "\\e"), tmp_path)
    assert done.returncode == 2
    assert "\x1b" not in done.stderr
    assert r"\x1b[31mred" in done.stderr


@pytest.mark.parametrize("end", ["| head -c 1", ">&-", "| true", "2>&-"])
def test_a_reader_who_leaves_is_no_failure(end: str, tmp_path: Path) -> None:
    (tmp_path / "model.tflite").write_bytes(layered())
    done = run(f"inspect model.tflite --json {end}; exit ${{PIPESTATUS[0]}}", tmp_path)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_full_device_is_one_line(tmp_path: Path) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("no /dev/full here")
    (tmp_path / "model.tflite").write_bytes(layered())
    done = run("inspect model.tflite --json > /dev/full", tmp_path)
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert "standard output" in done.stderr


def _as_in_a_terminal() -> None:
    """Shells let what runs in the background ignore SIGINT, and nohup SIGHUP; the command inherits that."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_a_signal_ends_a_conversion_in_one_line(number: signal.Signals, cnn_folder: Path, tmp_path: Path) -> None:
    arguments = ["convert", cnn_folder / "model.keras", "--targets=phone", f"--calibration={cnn_folder / 'train.npz'}"]
    command = [sys.executable, "-m", "tfcompress", *map(str, arguments), f"--output={tmp_path / 'out'}"]
    subprocess.run(command, check=True, capture_output=True)
    with subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=_as_in_a_terminal,
    ) as process:
        while len(os.listdir(tmp_path)) == 1 and process.poll() is None:
            time.sleep(0.1)
        process.send_signal(number)
        _, said = process.communicate(timeout=120)
    assert process.returncode == 128 + number
    assert said.count("\n") == 1
    assert verify(tmp_path / "out") == []
    assert os.listdir(tmp_path) == ["out"]


@pytest.mark.slow
def test_a_conversion_whose_reader_leaves_is_complete(cnn_folder: Path, tmp_path: Path) -> None:
    arguments = f"convert {cnn_folder / 'model.keras'} --targets=phone --calibration={cnn_folder / 'train.npz'}"
    done = run(f"{arguments} --output=out --json | head -1; exit ${{PIPESTATUS[0]}}", tmp_path)
    assert done.returncode == 0, done.stderr
    assert verify(tmp_path / "out") == []
