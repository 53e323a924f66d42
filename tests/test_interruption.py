"""A signal ends a run; a second one ends it at once, even in the middle of native code."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

from tests.conftest import ROOT

# Python acts on a signal only when this returns, which would take hours.  `nohup` and shells without job control leave
# signals ignored, which is inherited.
PROGRAM = """
import hashlib, signal
signal.signal(signal.SIGHUP, signal.SIG_DFL)
signal.signal(signal.SIGINT, signal.default_int_handler)
from tfcompress.interruption import stoppable
with stoppable(process_is_ours=True):
    print("ready", flush=True)
    hashlib.pbkdf2_hmac("sha256", b"", b"", 2**31 - 1)
"""
AT_ONCE_SECONDS = 10  # on a busy machine
A_MOMENT_SECONDS = 1.5


@pytest.fixture
def busy() -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen(
        [sys.executable, "-c", PROGRAM], cwd=ROOT, stdout=subprocess.PIPE, text=True, stderr=subprocess.DEVNULL
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        time.sleep(A_MOMENT_SECONDS)  # until it is in native code
        yield process
        process.kill()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_a_second_signal_ends_native_code_with_the_documented_code(
    busy: subprocess.Popen[str], number: signal.Signals
) -> None:
    busy.send_signal(number)
    time.sleep(A_MOMENT_SECONDS)
    assert busy.poll() is None
    busy.send_signal(number)
    assert busy.wait(AT_ONCE_SECONDS) == 128 + number


def test_the_same_request_twice_within_milliseconds_counts_as_one(busy: subprocess.Popen[str]) -> None:
    busy.send_signal(signal.SIGTERM)
    time.sleep(0.1)
    busy.send_signal(signal.SIGTERM)
    time.sleep(A_MOMENT_SECONDS)
    assert busy.poll() is None
