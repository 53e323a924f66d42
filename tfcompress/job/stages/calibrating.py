"""The stage that chooses the samples that calibrate.

What is drawn from them, a float file and the ranges of its tensors, is made where it is needed and kept by its own
fingerprints: `converters.litert` makes both, and the Edge TPU's rewrites come between the two.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from tfcompress import console
from tfcompress.cache import decode, encode
from tfcompress.calibration import select_representative
from tfcompress.data import Samples
from tfcompress.job.stage import Stage, fingerprint_of
from tfcompress.job.state import State

__all__ = ["CALIBRATION"]


def _fingerprint(state: State, part: str) -> str | None:
    del part
    samples, recipe = state.data_sets.calibration, state.recipe
    if recipe.post_training.selection == "spread" or samples is None:
        return None  # costs nothing
    return fingerprint_of(
        "representative samples", state.ids["load"], samples.identity, state.options.calibration_samples
    )


def _run(state: State, parts: Sequence[str]) -> State:
    del parts
    samples = state.data_sets.calibration
    if samples is None:
        return state
    if state.recipe.post_training.selection == "spread":
        return replace(state, representative=samples.spread(state.options.calibration_samples))
    return replace(state, representative=_representative(state, samples))


def _representative(state: State, samples: Samples) -> Samples:
    from tfcompress.converters.litert import to_float_tflite, with_fixed_sizes  # heavy, and seldom needed here

    console.note("choosing representative samples")
    content = to_float_tflite(with_fixed_sizes(state.model.model.value, samples), loops=True)
    return select_representative(content, samples, state.options.calibration_samples)


def _keep(state: State, part: str) -> bytes | None:
    del part
    chosen = state.representative
    return None if chosen is None or chosen.indices is None else encode(chosen.indices)


def _restore(state: State, part: str, content: bytes) -> State:
    del part
    samples = state.data_sets.calibration
    assert samples is not None, "there is a fingerprint only where there are samples"
    return replace(state, representative=samples.select(decode(tuple[int, ...], content)))


CALIBRATION = Stage(name="calibration", run=_run, fingerprint=_fingerprint, keep=_keep, restore=_restore)
