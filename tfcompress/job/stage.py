"""What a stage is, and how stages run: a value in, a value out, and whatever is unchanged since an earlier run kept."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from tfcompress.cache import decode, encode, fingerprint, store_in_use
from tfcompress.cache.fingerprints import surroundings
from tfcompress.job.state import State
from tfcompress.remarks import remark, remarks

__all__ = ["Stage", "fingerprint_of", "run_stages"]


@dataclass(frozen=True, kw_only=True)
class Stage:
    """One step of a conversion.

    A stage makes one result, or several parts that do not depend on each other, such as an artifact per target.  Each
    part has a fingerprint of all that it depends on; what the store has under it is restored instead of made again.

    Attributes:
        name: of the stage.
        run: makes the parts that are named and puts them into the state.
        parts: their names; a stage that makes one result has one part, with the empty name.
        fingerprint: of all that a part depends on; None for one that is always made.
        keep: the bytes of a part in the state, for the store; None where this one cannot be kept.
        restore: the state with a part that `keep` gave the bytes of; raises ValueError where they hold something else.
        one_by_one: whether parts are made in a call each, so that the remarks of one are not kept with another.
    """

    name: str
    run: Callable[[State, Sequence[str]], State]
    parts: Callable[[State], Sequence[str]] = field(default=lambda state: ("",))
    fingerprint: Callable[[State, str], str | None] = field(default=lambda state, part: None)
    keep: Callable[[State, str], bytes | None] = field(default=lambda state, part: None)
    restore: Callable[[State, str, bytes], State] = field(default=lambda state, part, content: state)
    one_by_one: bool = False


def fingerprint_of(name: str, *parts: object) -> str | None:
    """The fingerprint of a result: its name, all that it depends on, our code, the libraries and the machine.

    Args:
        name: of the stage.
        parts: what the result depends on; None among them means that something has no fingerprint, and so the result
            has none: use an empty string for what is absent.
    """
    if any(part is None for part in parts):
        return None
    return fingerprint(name, parts, surroundings())


def run_stages(stages: Sequence[Stage], state: State) -> State:
    """The state after all the stages, one after the other."""
    for stage in stages:
        state = _run(stage, state)
    return state


def _run(stage: Stage, state: State) -> State:
    store, missing = store_in_use(), []
    named = store.folder is not None  # a fingerprint may cost a pass over the data
    keys = {part: stage.fingerprint(state, part) if named else None for part in stage.parts(state)}
    state = replace(state, ids={**state.ids, **{_id(stage, part): key for part, key in keys.items()}})
    for part, key in keys.items():
        content = None if key is None else store.get(key)
        restored = None if content is None else _restored(stage, state, part, content)
        if restored is None:
            missing.append(part)
        else:
            state = restored
    for parts in [[part] for part in missing] if stage.one_by_one else [missing] if missing else []:
        state = _made(stage, state, {part: keys[part] for part in parts})
    return state


def _made(stage: Stage, state: State, keys: Mapping[str, str | None]) -> State:
    """The state with these parts, which are kept together with the remarks that were made about them."""
    with remarks(shared=True) as said:
        state = stage.run(state, list(keys))
    if said.lost:  # a part without one of its diagnoses is not worth keeping
        return state
    for part, key in keys.items():
        content = None if key is None else stage.keep(state, part)
        if key is not None and content is not None:
            store_in_use().put(key, encode(_Said(tuple(said), tuple(said.notes))) + b"\n" + content)
    return state


@dataclass(frozen=True)
class _Said:
    """The remarks made while a part was made: those for the report, and those that stand among its notes."""

    remarks: tuple[str, ...]
    notes: tuple[str, ...]


def _id(stage: Stage, part: str) -> str:
    return f"{stage.name}/{part}" if part else stage.name


def _restored(stage: Stage, state: State, part: str, content: bytes) -> State | None:
    line, _, kept = content.partition(b"\n")
    try:
        said = decode(_Said, line)
        state = stage.restore(state, part, kept)
    except ValueError:  # not what this stage keeps: made anew, as if there were nothing
        return None
    for text in said.remarks:
        remark(text)
    for text in said.notes:
        remark(text, is_note=True)
    return state
