"""A vendor's compiler may crash, hang or be missing; what it made is kept by content."""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path

import pytest

from tfcompress.converters.npu.process import run_limited
from tfcompress.converters.npu.store import get_result, put_result, result_key


def test_both_streams_and_the_exit_status_come_back() -> None:
    code = "import sys; print('out'); print('err', file=sys.stderr); sys.exit(3)"
    done = run_limited([sys.executable, "-c", code], seconds=60)
    assert (done.code, done.output.strip(), done.errors.strip()) == (3, "out", "err")
    assert done.failure("Vela") == "Vela ended with status 3"


def test_a_process_that_hangs_is_stopped_with_its_children() -> None:
    code = "import subprocess, sys; subprocess.run([sys.executable, '-c', 'import time; time.sleep(600)'])"
    started = time.monotonic()
    done = run_limited([sys.executable, "-c", code], seconds=2)
    assert done.code is None
    assert time.monotonic() - started < 60
    assert "did not finish within 2 seconds and was stopped" in str(done.failure("Vela"))


def test_an_interrupt_does_not_leave_the_process_behind(tmp_path: Path) -> None:
    code = "import os, pathlib, time; pathlib.Path('pid').write_text(str(os.getpid())); time.sleep(600)"

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, interrupt)
    try:
        signal.alarm(5)
        with pytest.raises(KeyboardInterrupt):
            run_limited([sys.executable, "-c", code], seconds=60, folder=tmp_path)
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "pid").read_text()), 0)


@pytest.mark.skipif(sys.platform != "linux", reason="the limit is set from outside, which only Linux can do")
def test_a_compiler_that_takes_too_much_memory_fails_alone() -> None:
    code = "import time; time.sleep(1); held = bytearray(1 << 30); print(len(held))"
    assert run_limited([sys.executable, "-c", code], seconds=60).code == 0
    done = run_limited([sys.executable, "-c", code], seconds=60, memory=256 << 20)
    assert done.code == 1
    assert "MemoryError" in done.errors


def test_a_process_that_is_killed_says_by_what() -> None:
    done = run_limited([sys.executable, "-c", "import os, signal; os.kill(os.getpid(), signal.SIGKILL)"], seconds=60)
    assert done.failure("Qualcomm's compiler") == "Qualcomm's compiler was killed by SIGKILL"


def test_a_program_that_is_not_there_is_a_result_too() -> None:
    done = run_limited(["/no/such/program"], seconds=5)
    assert done.code == 127
    assert "cannot be run" in done.errors


def test_a_stored_result_comes_back_whole(fresh_cache: Path) -> None:
    key = result_key("toy", b"model", "chip", "1.0")
    assert get_result(key) is None
    put_result(key, {"code": 0}, b"compiled")
    assert get_result(key) == ({"code": 0}, b"compiled")
    assert key != result_key("toy", b"model", "chip", "1.1")
    (entry,) = (path for path in fresh_cache.rglob("*") if path.is_file())
    entry.write_bytes(entry.read_bytes()[:-3] + b"bad")
    assert get_result(key) is None


def test_a_failure_is_kept_without_a_file() -> None:
    key = result_key("toy", b"model")
    put_result(key, {"code": 1}, None)
    assert get_result(key) == ({"code": 1}, None)
