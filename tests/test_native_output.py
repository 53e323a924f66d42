"""What native code prints never reaches the user; what we print always does."""

import logging
import os
import subprocess
import sys

import pytest

from tfcompress.native_output import silenced

PROGRAM = """
import os, sys, warnings, logging
from tfcompress import native_output
with native_output.silenced():
    os.write(1, b"native out\\n")
    os.write(2, b"native err\\n")
    warnings.warn("a library warns")
    logging.getLogger("library").warning("a library logs")
    with native_output.silenced():
        os.write(2, b"nested\\n")
    print("result", file=native_output.out())
    print("note", file=native_output.err())
print("after")
os.write(2, b"native after\\n")
"""


def test_only_our_own_output_is_seen() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True)
    assert done.stdout == "result\nafter\n"
    assert done.stderr == "note\nnative after\n"


THREADS = """
import os, sys, threading
from tfcompress import native_output
entered, left = threading.Event(), threading.Event()
def first():
    with native_output.silenced():
        entered.set()
        left.wait()
        os.write(2, b"the first thread's\\n")
thread = threading.Thread(target=first)
thread.start()
entered.wait()
with native_output.silenced():
    os.write(2, b"the second thread's\\n")
os.write(2, b"while the first is silenced\\n")
print("note", file=native_output.err())
left.set()
thread.join()
os.write(2, b"after\\n")
"""


def test_an_error_that_tensorflow_logs_is_not_seen_and_one_of_the_user_s_program_is(
    caplog: pytest.LogCaptureFixture,
) -> None:
    absl, mine = logging.getLogger("absl"), logging.getLogger("a.server.of.the.user.s")
    with silenced():
        absl.error("a file that is not read any further", exc_info=ValueError("damaged"))
        mine.error("of another thread")
    assert caplog.messages == ["of another thread"]
    absl.error("after")
    assert caplog.messages == ["of another thread", "after"]


def test_the_last_of_several_threads_ends_the_silence() -> None:
    done = subprocess.run([sys.executable, "-c", THREADS], capture_output=True, text=True, check=True)
    assert done.stderr == "note\nafter\n"


def test_everything_is_seen_when_asked_for() -> None:
    program = PROGRAM.replace("with native_output", "native_output.show_native_output()\nwith native_output", 1)
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "native out\nresult\nafter\n"
    assert "native err" in done.stderr
    assert "a library warns" in done.stderr


def test_descriptors_are_not_leaked() -> None:
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(20):
        with silenced():
            pass
    assert len(os.listdir("/proc/self/fd")) == before
