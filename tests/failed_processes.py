"""What a child process said before it failed, in the report of the test that started it."""

from __future__ import annotations

import subprocess
from collections.abc import Generator

import pytest

__all__ = ["pytest_runtest_makereport"]


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Add a section with what the process wrote: `CalledProcessError` and `TimeoutExpired` show their command alone."""
    del item
    report = yield
    error = None if call.excinfo is None else call.excinfo.value
    while error is not None:
        if isinstance(error, subprocess.CalledProcessError | subprocess.TimeoutExpired):
            for name, content in (("standard output", error.stdout), ("standard error", error.stderr)):
                if content:
                    text = content.decode(errors="replace") if isinstance(content, bytes) else str(content)
                    report.sections.append((f"{name} of the process that failed", text))
        error = error.__cause__ or error.__context__
    return report
