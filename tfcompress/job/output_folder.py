"""Output folders that appear whole or not at all, and never at the cost of a file that is not ours.

A folder is ours by a manifest that we wrote and that matches: whatever lies in it and is not in the manifest, or is no
more as the manifest says, makes a run stop before it converts anything.  Nothing else is ever removed.
"""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path

from tfcompress.errors import InputError, OutputError, one_line
from tfcompress.interruption import stoppable
from tfcompress.job.manifest import MANIFEST, Manifest
from tfcompress.job.publishing import publish, recover
from tfcompress.job.staging import VOLUME_FOLDER, Staging, absolute, is_mount, locked, must_stay, staging, stagings_in
from tfcompress.plain_files import real

__all__ = ["MANIFEST", "check_output", "explained", "published", "withdraw"]

MOST_NAMES = 5  # in a message
PROBE_BYTES = 1 << 20
# What a full disk or a limit says, as errno and as text: TensorFlow's own errors carry no errno.
_FULL = {
    errno.ENOSPC: "no space left on the device",
    errno.EDQUOT: "the disk quota is used up",
    errno.EFBIG: "a file would be larger than the limit (ulimit -f)",
}
_FULL_TEXTS = {os.strerror(number): number for number in _FULL}


def check_output(folder: Path, *, reads: Iterable[object] = ()) -> None:
    """Refuse an output that could not be written or that holds what is not ours; changes nothing in it.

    Args:
        folder: what ``--output`` names.
        reads: what the run reads: of these, paths that exist must not lie in the folder.

    Raises:
        InputError: the parent is missing or not writable, or the folder holds files that we did not write.
    """
    with _named(folder):
        target = absolute(folder)
        if target.is_symlink():
            raise InputError(f"--output={folder}: is a link; name the folder that it leads to, {real(target)}")
        if target.exists() and not target.is_dir():
            raise InputError(f"--output={folder}: exists and is not a folder; choose another name")
        if not target.parent.is_dir():
            raise InputError(f"--output={folder}: {target.parent} is not a folder; create it first")
        place = target if must_stay(target) else target.parent
        if not os.access(place, os.W_OK | os.X_OK):
            raise InputError(f"--output={folder}: no permission to write in {place}; choose another folder")
        with locked(target):
            recover(target)
            _check_content(folder, target)
        _check_reads(folder, target, reads)


@contextlib.contextmanager
def published(folder: Path, *, reads: Iterable[object] = ()) -> Iterator[Path]:
    """A temporary folder that becomes `folder` if the block ends well, and disappears if it does not.

    SIGTERM and SIGHUP end the block as an exception does.

    Args:
        folder: what ``--output`` names.
        reads: see `check_output`.

    Raises:
        InputError: see `check_output`.
        OutputError: the disk is full, a limit is reached, or the file system refuses; `folder` is as it was.
    """
    check_output(folder, reads=reads)
    with stoppable(), contextlib.ExitStack() as stack:
        with _named(folder):
            stage = stack.enter_context(staging(absolute(folder)))
        with explained(folder, stage.path):
            yield stage.new
        try:
            publish(stage, lambda: _check_content(folder, stage.target))
        except (InputError, OSError) as error:
            kept = _kept(stage)
            where = "" if kept is None else f"; the new output is whole in {kept}"
            text = str(error) if isinstance(error, InputError) else f"--output={folder}: {_reason(error)}"
            raise OutputError(text + where) from None


def withdraw(folder: Path) -> None:
    """Remove an output of ours, whole and at once.

    Raises:
        InputError: it holds what is not ours, or cannot be removed.
    """
    with _named(folder), stoppable(), staging(absolute(folder)) as stage, locked(stage.target):
        _check_content(folder, stage.target)
        stage.target.rename(stage.old)


def _check_content(folder: Path, target: Path) -> None:
    if not target.is_dir() or target.is_symlink():
        return
    apart = {path.name for path in stagings_in(target, target)}
    if is_mount(target):
        apart.add(VOLUME_FOLDER)
    strange = sorted(path.name for path in target.iterdir() if path.name not in apart)
    if not strange:
        return
    if MANIFEST in strange:
        with contextlib.suppress(InputError):
            manifest = Manifest.read(target)
            differences = manifest.differences(target, without=frozenset(apart))
            strange = [*differences["added"], *differences["changed"], *([] if manifest.intact else [MANIFEST])]
            if not strange:
                return
    names = ", ".join(strange[:MOST_NAMES])
    names += f" and {len(strange) - MOST_NAMES} more" if len(strange) > MOST_NAMES else ""
    raise InputError(
        f"--output={folder}: holds files that tfcompress did not write, or that were changed since: {names}; "
        "move them away or choose another folder"
    )


def _check_reads(folder: Path, target: Path, reads: Iterable[object]) -> None:
    for item in reads:
        if not isinstance(item, str | Path) or not os.path.lexists(item):
            continue
        read = real(Path(item))
        if real(target) in (read, *read.parents):
            raise InputError(
                f"--output={folder}: would replace {item}, which this run reads; choose another folder for the output"
            )


def _kept(stage: Staging) -> Path | None:
    """Where the finished content was put that could not be published; None where it could not be put anywhere."""
    name = f"tfcompress-output-{secrets.token_hex(4)}"
    for place in (stage.target.parent, stage.target):
        with contextlib.suppress(OSError):
            return stage.new.rename(place / name)
    return None


@contextlib.contextmanager
def _named(folder: Path) -> Iterator[None]:
    """Let what the file system says of a path name the flag."""
    try:
        yield
    except (OSError, ValueError) as error:
        raise InputError(f"--output={folder}: {_reason(error)}; choose another folder") from None


@contextlib.contextmanager
def explained(output: Path, place: Path) -> Iterator[None]:
    """A full disk or a limit in one line, wherever in a run it was met; other errors as they are.

    Args:
        output: what ``--output`` names.
        place: the folder that is written to meanwhile.

    Raises:
        OutputError: the disk is full, or a limit is reached.
    """
    try:
        yield
    except InputError:
        raise
    except Exception as error:
        full = _full(error) or _full_now(place)
        if full is None:
            raise
        raise OutputError(f"--output={output}: cannot be written: {full}; what was there is as it was") from error


def _full_now(place: Path) -> str | None:
    """Which limit keeps a small file from being written: native code that meets one seldom says so."""
    for folder in (place, Path(tempfile.gettempdir())):
        try:
            with tempfile.TemporaryFile(dir=folder) as probe:
                probe.write(bytes(PROBE_BYTES))
        except OSError as error:
            full = _full(error)
            if full is not None:
                return f"{full}, in {folder}" if folder != place else full
    return None


def _full(error: BaseException | None) -> str | None:
    """Which limit of the disk an exception, or one that led to it, tells of."""
    while error is not None:
        number = getattr(error, "errno", None)
        number = next((n for text, n in _FULL_TEXTS.items() if text in str(error)), number)
        if number in _FULL:
            return _FULL[number]
        error = error.__cause__ or error.__context__
    return None


def _reason(error: Exception) -> str:
    return _full(error) or (isinstance(error, OSError) and error.strerror) or one_line(error, 300)
