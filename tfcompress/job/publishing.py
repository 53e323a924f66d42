"""How a finished staging folder becomes the output, so that a run killed at any moment leaves the old one or the new.

Where two folders can be exchanged in one system call (Linux `renameat2` with RENAME_EXCHANGE), that is all.  Elsewhere
several renames are needed.  Before the first of them ``publishing.json`` is written, which says what is to be moved;
`recover` finishes what it says when the run was killed between two renames.  Either way no byte is copied.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
from collections.abc import Callable
from pathlib import Path

from tfcompress.interruption import uninterrupted
from tfcompress.job.staging import VOLUME_FOLDER, Staging, abandoned, locked, remove_tree, stagings_in
from tfcompress.plain_files import read_plain

__all__ = ["publish", "recover"]

PLAN = "publishing.json"
LARGEST_PLAN = 64 << 20  # bytes
_AT_FDCWD = -100
_RENAME_EXCHANGE = 2


def publish(stage: Staging, check: Callable[[], None]) -> None:
    """Make `stage.new` the output; what was the output goes to the staging folder.

    Args:
        stage: with the finished content.
        check: raises where the output holds what must not be lost; called once more at the last moment.

    Raises:
        OSError: the file system refuses; the output is as it was.
    """
    with uninterrupted(), locked(stage.target):
        check()
        if stage.inside:
            _exchange_contents(stage)
        else:
            _publish_beside(stage)


def recover(target: Path) -> None:
    """Finish publishings that were killed, and remove the staging folders of dead runs for this output.

    Args:
        target: the output, absolute; `locked`.
    """
    for place in (target.parent, target):
        for path in stagings_in(place, target):
            with abandoned(path) as dead, contextlib.suppress(OSError):
                if dead:
                    _finish(Staging(path, target, inside=place == target))
                    remove_tree(path)


def _publish_beside(stage: Staging) -> None:
    if not os.path.lexists(stage.target):
        stage.new.rename(stage.target)
    elif not _exchange(stage.new, stage.target):
        _write_plan(stage, [], [])
        try:
            stage.target.rename(stage.old)
            stage.new.rename(stage.target)
        except OSError:
            (stage.path / PLAN).unlink(missing_ok=True)
            if stage.old.exists():
                stage.old.rename(stage.target)
            raise


def _exchange(first: Path, second: Path) -> bool:
    """Exchange two names atomically; False where the system cannot (man 2 renameat2)."""
    try:
        call = ctypes.CDLL(None, use_errno=True).renameat2
    except AttributeError:
        return False
    return call(_AT_FDCWD, os.fsencode(first), _AT_FDCWD, os.fsencode(second), _RENAME_EXCHANGE) == 0


def _exchange_contents(stage: Staging) -> None:
    stage.old.mkdir()
    own = {path.name for path in stagings_in(stage.target, stage.target)} | {VOLUME_FOLDER}
    going = sorted(path.name for path in stage.target.iterdir() if path.name not in own)
    coming = sorted(path.name for path in stage.new.iterdir())
    moves = [(stage.target / name, stage.old / name) for name in going]
    moves += [(stage.new / name, stage.target / name) for name in coming]
    done: list[tuple[Path, Path]] = []
    try:
        _write_plan(stage, going, coming)
        for source, destination in moves:
            source.rename(destination)
            done.append((source, destination))
    except OSError:
        for source, destination in reversed(done):
            destination.rename(source)
        (stage.path / PLAN).unlink(missing_ok=True)
        raise


def _write_plan(stage: Staging, going: list[str], coming: list[str]) -> None:
    draft = stage.path / "publishing"
    with draft.open("w", encoding="utf-8") as stream:
        json.dump({"going": going, "coming": coming}, stream)
        stream.flush()
        os.fsync(stream.fileno())
    draft.rename(stage.path / PLAN)


def _finish(stage: Staging) -> None:
    """Do what is left to do of a publishing that had begun."""
    plan = _read_plan(stage)
    if plan is None:
        return  # it had not begun: the output is as it was
    if not stage.inside:
        if not os.path.lexists(stage.target) and stage.new.is_dir():
            stage.new.rename(stage.target)
        return
    going, coming = plan
    if all((stage.new / name).exists() for name in coming):
        for name in going:
            if os.path.lexists(stage.target / name) and not os.path.lexists(stage.old / name):
                (stage.target / name).rename(stage.old / name)
    for name in coming:
        if os.path.lexists(stage.new / name):
            (stage.new / name).rename(stage.target / name)


def _read_plan(stage: Staging) -> tuple[list[str], list[str]] | None:
    """What is to be moved; None where there is no plan, or one that we would not have written.

    An output may come from a stranger, with a folder in it that looks like a killed run's: what leads out of it, by a
    name or by a link, is not followed.
    """
    if stage.new.is_symlink() or stage.old.is_symlink():
        return None
    try:
        plan = json.loads(read_plain(stage.path / PLAN, most_bytes=LARGEST_PLAN))
        going, coming = list(plan["going"]), list(plan["coming"])
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None
    return (going, coming) if all(_is_name(name) for name in (*going, *coming)) else None


def _is_name(name: object) -> bool:
    """Whether it is the name of something in a folder, and not a path."""
    return isinstance(name, str) and name not in {"", ".", ".."} and "/" not in name and "\0" not in name
