"""The command line: ``tfcompress COMMAND``.

Standard output carries results only; progress, notes and errors go to standard error.  Exit codes: 0 done, 1 a
conversion failed, 2 bad usage or bad input, 3 the accuracy gate failed.
"""

from __future__ import annotations

import argparse
import sys
from typing import NoReturn

from absl import app

from tfcompress import console, native_output
from tfcompress.cli.parser import checked_options, parse
from tfcompress.errors import TfCompressError, one_line

__all__ = ["main", "run"]

INTERRUPTED = 130  # what a shell reports for a process ended by SIGINT


def run() -> NoReturn:
    """Entry point of the `tfcompress` script."""
    app.run(_main, flags_parser=lambda argv: parse(argv[1:]))
    raise AssertionError("absl.app.run does not return")


def main(argv: list[str]) -> int:
    """Run one command line in this process and return its exit code.

    Args:
        argv: without the program's name.
    """
    try:
        return _main(parse(argv))
    except SystemExit as stop:
        return int(stop.code or 0)


def _main(parsed: argparse.Namespace) -> int:
    from absl import flags, logging

    verbose = flags.FLAGS.is_parsed() and logging.get_verbosity() >= logging.DEBUG
    if verbose:
        native_output.show_native_output()
    console.set_quiet(parsed.quiet)
    try:
        options = checked_options(parsed)
        with native_output.silenced():
            from tfcompress.cli import commands

            code: int = getattr(commands, parsed.command)(options, parsed)
    except TfCompressError as error:
        print(f"tfcompress {parsed.command}: error: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print(f"tfcompress {parsed.command}: interrupted; nothing was written", file=sys.stderr)
        return INTERRUPTED
    except Exception as error:
        if verbose:
            raise
        reason = f"{type(error).__name__}: {one_line(error, 300)}"
        print(
            f"tfcompress {parsed.command}: internal error: {reason}; rerun with --verbosity=1 for the traceback",
            file=sys.stderr,
        )
        return 1
    return code
