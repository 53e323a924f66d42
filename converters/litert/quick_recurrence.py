"""Recurrent layers for a phone in the form that is quickest there and as close to float as integer loops.

LiteRT runs integer loops and its fused integer LSTM with its own kernels, and products of 16-bit states with its
slowest ones; a loop's body in float runs on XNNPACK, and so do steps that are written out, which cost bytes and save
what a loop itself takes.  In both the cells, which are cheap, are in float, and the weights of their products are int8.
Where a target has no float, few steps are written out in int8.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from tfcompress.converters.litert.delegable import ALLOWED_DB, SHORTEST_MS, with_delegable_forms
from tfcompress.converters.litert.engines import Int8Model, quantize_calibrated
from tfcompress.converters.litert.int8 import quantize_int8
from tfcompress.converters.litert.interface import with_uint8_edges
from tfcompress.converters.litert.latency import medians
from tfcompress.converters.litert.limits import Abilities
from tfcompress.converters.litert.quality import lost_db, output_error
from tfcompress.converters.litert.recurrent import Form, held_back
from tfcompress.data import Samples
from tfcompress.errors import ConversionError
from tfcompress.graphs.tflite import read_tflite
from tfcompress.model import FloatModel
from tfcompress.recipe import PostTraining, Recipe

__all__ = ["with_quick_recurrence"]

MOST_STEPS = 32  # of a layer that is written out: beyond, the graph is long and its conversion slow
MOST_MORE_BYTES = 128 << 10  # than the loop's file; or as many as that one has
QUICKER = 0.8  # of the loop's time: less is not worth another form
MORE_BYTES_QUICKER = 0.9  # of a candidate's time that a larger one has to have
CLOSE_DB = 35.0  # of signal to noise: what is beyond, no user sees
_LOOPS = frozenset({"WHILE", "UNIDIRECTIONAL_SEQUENCE_LSTM"})
# From the smallest file to the largest; the last is for weights so few that quantizing what meets them costs more.
_FORMS: tuple[tuple[Form, str], ...] = (
    ("float_cells", "a loop with its cells in float"),
    ("steps", "operators for each step, cells in float"),
    ("float_steps", "operators for each step, all in float"),
)


@dataclass(frozen=True)
class _Candidate:
    """One form of the file, with what a user is told of it."""

    result: Int8Model
    what: str
    has_float: bool = True


def with_quick_recurrence(
    result: Int8Model,
    model: FloatModel,
    samples: Samples | None,
    recipe: Recipe,
    *,
    integer_io: bool,
    abilities: Abilities,
) -> Int8Model:
    """The file with its loops in a form that is quicker here and keeps its closeness to float, or as it was.

    Args:
        result: an int8 model, its operators in the forms that XNNPACK takes.
        model: that it was made from.
        samples: representative inputs.
        recipe: with which it was made.
        integer_io: see `quantize_int8`.
        abilities: of the target; without `float_islands` nothing but integers is written.
    """
    options = recipe.post_training
    asked_for_bits = recipe.keep_int16 or options.scheme == "int16x8"
    if samples is None or result.float_content is None or asked_for_bits or not _has_loops(result.content):
        return result
    if options.quality == "best":  # it was searched for, and the search knows no such form
        return result
    is_short = _is_short(result.float_content)
    if abilities.float_islands:
        forms = _FORMS if is_short else _FORMS[:1]
        candidates = [item for form, what in forms if (item := _with_form(result, form, what, samples, options))]
    else:
        candidates = _in_integers(model, samples, recipe, integer_io, abilities) if is_short else []
    fit = _fit(candidates, result, samples)
    return _quickest(result, fit) if fit else result


def _has_loops(content: bytes) -> bool:
    return any(operator.name in _LOOPS for operator in read_tflite(content).main.operators)


def _is_short(float_content: bytes) -> bool:
    """Whether no loop of the float file takes more than `MOST_STEPS` steps; the file knows those of every layer."""
    _, held = held_back(float_content)
    return bool(held) and all(item.cell.steps <= MOST_STEPS for item in held)


def _with_form(result: Int8Model, form: Form, what: str, samples: Samples, options: PostTraining) -> _Candidate | None:
    """The file with its recurrent layers in another form; None where there is none."""
    if result.float_content is None or result.calibration is None:
        return None
    limits, forced = replace(result.limits, recurrent=form), replace(options, engine=result.engine)
    try:
        quantized = quantize_calibrated(result.float_content, result.calibration, forced, limits)
    except ConversionError:
        return None
    uint8 = limits.integer_io and options.io == "uint8"
    content = with_uint8_edges(quantized.content) if uint8 else quantized.content
    changed = replace(result, content=content, limits=limits)
    return _Candidate(with_delegable_forms(changed, samples, except_for=limits.keep_float), what)


def _in_integers(
    model: FloatModel, samples: Samples, recipe: Recipe, integer_io: bool, abilities: Abilities
) -> list[_Candidate]:
    """The file with steps in int8; nothing where there is none."""
    plain = replace(abilities, loops=False, int16=False)
    try:
        steps = quantize_int8(model, samples, recipe, integer_io=integer_io, abilities=plain)
    except ConversionError:
        return []
    steps = with_delegable_forms(steps, samples, except_for=steps.limits.keep_float)
    return [_Candidate(steps, "operators for each step", has_float=False)]


def _fit(candidates: Sequence[_Candidate], loops: Int8Model, samples: Samples) -> list[_Candidate]:
    """The candidates that are small enough, and as close to float as the loops or so close that nobody sees it."""
    most = len(loops.content) + max(MOST_MORE_BYTES, len(loops.content))
    small = [item for item in candidates if len(item.result.content) <= most]
    if not small or loops.float_content is None:
        return []
    before = output_error(loops.float_content, loops.content, samples)
    errors = [output_error(loops.float_content, item.result.content, samples) for item in small]
    return [item for item, error in zip(small, errors, strict=True) if _is_close(before, error)]


def _is_close(before: float, error: float) -> bool:
    if math.isinf(error):
        return False
    return lost_db(before, error) <= ALLOWED_DB or (error > 0 and -10 * math.log10(error) >= CLOSE_DB)


def _quickest(loops: Int8Model, candidates: Sequence[_Candidate]) -> Int8Model:
    """The quickest candidate, if it is worth leaving the loops; a smaller file before one that is hardly quicker."""
    old, *times = medians([loops.content, *(item.result.content for item in candidates)])
    if old is None or old < SHORTEST_MS:
        return loops
    chosen, least = None, QUICKER * old
    for candidate, time in zip(candidates, times, strict=True):
        if time is not None and time <= least:
            chosen, least = (candidate, time), MORE_BYTES_QUICKER * time
    if chosen is None:
        return loops
    candidate, time = chosen
    note = (
        f"recurrent layers as {candidate.what}: {time / old:.2f} of the integer loop's time here, "
        f"{len(candidate.result.content)} bytes against {len(loops.content)}"
    ) + ("; --integer_only keeps that loop" if candidate.has_float else "")
    return replace(candidate.result, notes=(*candidate.result.notes, note))
