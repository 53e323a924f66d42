"""Progress: whoever listens or logs hears of it, also while native output is discarded, and nobody else does."""

from __future__ import annotations

import logging
import subprocess
import sys

import pytest

from tfcompress import console, native_output
from tfcompress.progress import ProgressEvent, counted, listening, tell


def test_a_listener_hears_notes_warnings_and_steps_and_only_while_it_listens() -> None:
    heard: list[ProgressEvent] = []
    with listening(heard.append):
        console.note("converting for phone")
        console.warn("no labels")
        with console.progress("accuracy diff", 4) as advance:
            advance(1)
            advance(3)
    console.note("nobody listens")
    assert heard[:2] == [ProgressEvent("note", "converting for phone"), ProgressEvent("warning", "no labels")]
    assert heard[2] == ProgressEvent("steps", "accuracy diff", 0, 4)
    assert heard[-1] == ProgressEvent("steps", "accuracy diff", 4, 4)


def test_many_small_steps_are_told_of_seldom() -> None:
    heard: list[ProgressEvent] = []
    with listening(heard.append), counted("rows", 10_000) as advance:
        for _ in range(10_000):
            advance(1)
    assert heard[-1].done == 10_000
    assert len(heard) < 200


def test_a_listener_that_fails_is_logged_and_fails_nothing(caplog: pytest.LogCaptureFixture) -> None:
    def broken(event: ProgressEvent) -> None:
        raise ValueError("tracker is down")

    with listening(broken):
        tell(ProgressEvent("note", "loading"))
    assert "a progress callback raised ValueError: tracker is down" in caplog.text


def test_notes_and_warnings_are_log_records_also_where_other_output_is_silenced(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.INFO, "tfcompress"), native_output.silenced():
        console.note("loading the model")
        console.warn("no labels")
    assert [(record.levelname, record.message) for record in caplog.records] == [
        ("INFO", "loading the model"),
        ("WARNING", "no labels"),
    ]


CONFIGURED = """
import logging
from tfcompress import console, native_output
{configure}
with native_output.silenced():
    print("of a library")
    console.note("loading the model")
    console.warn("no labels")
"""


@pytest.mark.parametrize(
    ("configure", "expected"),
    [
        ("", ""),
        (
            "logging.basicConfig(level=logging.INFO)",
            "INFO:tfcompress:loading the model\nWARNING:tfcompress:no labels\n",
        ),
        ("logging.basicConfig()", "WARNING:tfcompress:no labels\n"),
    ],
)
def test_a_program_that_configures_logging_sees_them_and_another_sees_nothing(configure: str, expected: str) -> None:
    code = CONFIGURED.format(configure=configure)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("", expected)
