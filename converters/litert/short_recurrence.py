"""Recurrent layers of few steps as a row of operators, where that is quicker than a loop and as close to float.

LiteRT runs a loop's body with its own kernels, and products of 16-bit states with its slowest; steps that are written
out run on XNNPACK.  They cost bytes, so only few are, and states of 8 bits cost accuracy: where they cost too much the
cells, which are cheap, are in float and their matrix products in int8.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

from tfcompress.converters.litert.delegable import ALLOWED_DB, SHORTEST_MS, with_delegable_forms
from tfcompress.converters.litert.engines import Int8Model, quantize_calibrated
from tfcompress.converters.litert.int8 import quantize_int8
from tfcompress.converters.litert.interface import with_uint8_edges
from tfcompress.converters.litert.latency import medians
from tfcompress.converters.litert.limits import Abilities
from tfcompress.converters.litert.mixed import LEAST_MS, SLOWER
from tfcompress.converters.litert.quality import output_error
from tfcompress.converters.litert.recurrent import cell_tensors, recurrent_layers
from tfcompress.data import Samples
from tfcompress.errors import ConversionError
from tfcompress.graphs.keras.protocols import Tensor
from tfcompress.graphs.tflite import read_tflite
from tfcompress.model import FloatModel
from tfcompress.recipe import Recipe

__all__ = ["with_short_recurrence"]

MOST_STEPS = 32  # of a layer: beyond, the graph is long and its conversion slow
MOST_MORE_BYTES = 128 << 10  # than the loop's file; or as many as that one has
QUICKER = 0.8  # of the loop's time: less is not worth the bytes
CLOSE_DB = 35.0  # of signal to noise: what is beyond, no user sees
_LOOPS = frozenset({"WHILE", "UNIDIRECTIONAL_SEQUENCE_LSTM"})


@dataclass(frozen=True)
class _Candidate:
    """One form of the file, with what a user is told of it."""

    result: Int8Model
    what: str
    has_float: bool = False


def with_short_recurrence(
    result: Int8Model,
    model: FloatModel,
    samples: Samples | None,
    recipe: Recipe,
    *,
    integer_io: bool,
    abilities: Abilities,
) -> Int8Model:
    """The file with its loops unrolled where that is quicker here and keeps its closeness to float, or as it was.

    Args:
        result: an int8 model, its operators in the forms that XNNPACK takes.
        model: that it was made from.
        samples: representative inputs.
        recipe: with which it was made.
        integer_io: see `quantize_int8`.
        abilities: of the target; without `float_islands` the cells are not in float.
    """
    options = recipe.post_training
    asked_for_bits = recipe.keep_int16 or options.scheme == "int16x8"
    if samples is None or result.float_content is None or asked_for_bits or not _has_short_loops(result, model):
        return result
    if options.quality == "best":  # it was searched for, and the search knows no such form
        return result
    before = output_error(result.float_content, result.content, samples)
    for candidate in _candidates(model, samples, recipe, integer_io, abilities):
        note = _better(candidate, result, before, samples)
        if note is not None:
            return replace(candidate.result, notes=(*candidate.result.notes, note))
    return result


def _has_short_loops(result: Int8Model, model: FloatModel) -> bool:
    names = {operator.name for operator in read_tflite(result.content).main.operators}
    steps = [_sequence(layer.input).shape[1] for layer in recurrent_layers(model) if _is_called(layer)]
    return bool(names & _LOOPS) and bool(steps) and all(count is not None and count <= MOST_STEPS for count in steps)


def _is_called(layer: object) -> bool:
    """Whether it has one input of its own; a layer inside of another has none."""
    return getattr(layer, "input", None) is not None


def _sequence(inputs: Tensor | list[Tensor]) -> Tensor:
    """Of what a recurrent layer is called with: an initial state, as a decoder gets it, comes behind the sequence."""
    return inputs[0] if isinstance(inputs, list) else inputs


def _candidates(
    model: FloatModel, samples: Samples, recipe: Recipe, integer_io: bool, abilities: Abilities
) -> Iterator[_Candidate]:
    """The file with steps in int8, then, where the target allows it, with cells in float."""
    plain = replace(abilities, loops=False, int16=False)
    try:
        steps = quantize_int8(model, samples, recipe, integer_io=integer_io, abilities=plain)
        yield _Candidate(with_delegable_forms(steps, samples, except_for=steps.limits.keep_float), "an operator a step")
        if not abilities.float_islands or steps.float_content is None or steps.calibration is None:
            return
        cells = cell_tensors(model, read_tflite(steps.float_content))
        limits = replace(steps.limits, keep_float=tuple(dict.fromkeys((*steps.limits.keep_float, *cells))))
        forced = replace(recipe.post_training, engine=steps.engine)
        mixed = quantize_calibrated(steps.float_content, steps.calibration, forced, limits)
    except ConversionError:
        return
    uint8 = integer_io and recipe.post_training.io == "uint8"
    content = with_uint8_edges(mixed.content) if uint8 else mixed.content
    mixed = replace(steps, content=content, limits=limits)
    # The cells' operators may have other forms too: none of them brings integers back.
    mixed = with_delegable_forms(mixed, samples, except_for=steps.limits.keep_float)
    yield _Candidate(mixed, "an operator a step, their cells in float", has_float=True)


def _better(candidate: _Candidate, loops: Int8Model, before: float, samples: Samples) -> str | None:
    """What is said of a candidate that is better than the loops; None of another."""
    content, floats = candidate.result.content, candidate.result.float_content
    assert loops.float_content is not None
    assert floats is not None
    if len(content) > len(loops.content) + max(MOST_MORE_BYTES, len(loops.content)):
        return None
    error = output_error(loops.float_content, content, samples)
    lost = 10 * math.log10(error / before) if error > 0 and before > 0 else 0.0
    is_close = error > 0 and -10 * math.log10(error) >= CLOSE_DB
    if not (lost <= ALLOWED_DB or is_close):
        return None
    old, new, real = medians([loops.content, content, floats])
    if old is None or new is None or old < SHORTEST_MS or new > QUICKER * old:
        return None
    if candidate.has_float and (real is None or old < max(LEAST_MS, SLOWER * real)):
        return None
    return (
        f"recurrent layers as {candidate.what}: {new / old:.2f} of a loop's time here, {len(content)} bytes "
        f"against {len(loops.content)}" + ("; --integer_only keeps the loop" if candidate.has_float else "")
    )
