"""The command line: ``tfcompress COMMAND``.

Standard output carries results only; progress, notes and errors go to standard error.  Exit codes: 0 done, 1 a
conversion failed, 2 bad usage or bad input, 3 the accuracy gate failed.
"""

from __future__ import annotations

import argparse
import contextlib
import os
from pathlib import Path
from typing import NoReturn

from absl import app

from tfcompress import console, native_output
from tfcompress.cli.early import refuse_early
from tfcompress.cli.parser import checked_options, parse
from tfcompress.errors import TfCompressError, one_line
from tfcompress.interruption import Stopped, stoppable
from tfcompress.job.options import ConvertOptions
from tfcompress.keras_backend import ON_TENSORFLOW
from tfcompress.printable import printable
from tfcompress.progress import LOGGER
from tfcompress.unneeded_imports import leave_out

__all__ = ["main", "run"]

# Commands that load a model: TensorFlow is imported in the process that tries it first while it is imported here.
_LOADING = frozenset({"compress", "convert", "diff"})
INTERRUPTED = 130  # what a shell reports for a process ended by SIGINT


def run() -> NoReturn:
    """Entry point of the `tfcompress` script."""
    # A model file says nothing of the backend that it was written with, and this process is ours alone.
    os.environ.update(ON_TENSORFLOW)
    leave_out()
    LOGGER.propagate = False  # `console` shows what is logged, unless quiet; absl's handler would print it once more
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
        with stoppable(process_is_ours=True):
            return _done(parsed)
    except TfCompressError as error:
        _say(f"tfcompress {parsed.command}: error: {error}")
        return error.exit_code
    except KeyboardInterrupt:
        _say(f"tfcompress {parsed.command}: interrupted; nothing was written")
        return INTERRUPTED
    except Exception as error:
        if verbose:
            raise
        reason = f"{type(error).__name__}: {one_line(error, 300)}"
        _say(f"tfcompress {parsed.command}: internal error: {reason}; rerun with --verbosity=1 for the traceback")
        return 1


def _done(parsed: argparse.Namespace) -> int:
    try:
        options = checked_options(parsed)
        refuse_early(options, several=len(getattr(parsed, "several", ())) > 1)
        with native_output.silenced():
            if parsed.command in _LOADING and not _was_admitted(options):
                from tfcompress.load.safety.cage_client import start_early

                start_early()
            from tfcompress.cli import commands

            code: int = getattr(commands, parsed.command)(options, parsed)
            return code
    except Stopped as stop:
        _say(f"tfcompress {parsed.command}: ended by {stop}; the output is the old one or the new one, whole")
        return stop.exit_code


def _was_admitted(options: object) -> bool:
    """Whether the cache knows that the model of a conversion was tried before."""
    from tfcompress.cache import open_store, using
    from tfcompress.load.door import was_admitted

    if not isinstance(options, ConvertOptions) or not isinstance(options.model, str):
        return False
    with using(open_store(options.cache_dir, no_cache=options.no_cache)):
        return was_admitted(Path(options.model))


def _say(line: str) -> None:
    with contextlib.suppress(OSError, ValueError):
        print(printable(line), file=native_output.err(), flush=True)
