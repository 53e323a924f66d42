"""Int8 with those runs of operators in float that are faster so.

`--scheme=auto` does so wherever it is faster on this machine.  The default does so where the file would otherwise be
slower than the float one, and only for the sake of operators that XNNPACK does not take in int8.  Those that it takes
are no slower than in float on a phone, whose processor multiplies and sums 8-bit integers in one instruction; this
machine's may not, and what a phone gets must not depend on where it was converted.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Literal

from tfcompress.converters.litert.cheapest_cut import Place, cheapest_float
from tfcompress.converters.litert.delegable import with_delegable_forms
from tfcompress.converters.litert.engines import Int8Model, quantize_calibrated
from tfcompress.converters.litert.interface import with_uint8_edges
from tfcompress.converters.litert.latency import medians, xnnpack_share
from tfcompress.converters.litert.operator_times import operator_times
from tfcompress.converters.litert.quality import lost_db, output_error
from tfcompress.converters.litert.time_ratios import (
    WORTH,
    in_rounds,
    is_mostly_slower,
    is_short,
    is_surely_quicker,
    typical,
)
from tfcompress.data import Samples
from tfcompress.errors import ConversionError
from tfcompress.graphs.tflite.editor import GraphEditor, ModelEditor, TensorNode, options
from tfcompress.graphs.tflite.extraction import extract
from tfcompress.recipe import PostTraining

__all__ = [
    "never_handed_over",
    "never_slower_than_float",
    "with_fastest_mix",
    "with_quicker_floats",
]

MOST_LOST_DB = 1.0  # of the outputs' signal-to-noise ratio: more than chance makes of floats in the place of integers
_SECONDS = 0.03  # of measuring one conversion
_SIZE = 1 << 17  # values that one conversion is measured with
_INFINITE = float("inf")
_ENDS = "inputs and outputs"
_POLES = {"RSQRT": 0, "LOG": 0, "DIV": 1}  # operators that are infinite at zero, and which operand has to be zero
# Operators whose result is as coarse as what they read.  Squares are not followed further: the square of a small number
# is next to nothing in any case, and computing it in float from integers makes it no coarser.
_AS_COARSE = frozenset(
    {"ABS", "ADD", "MAXIMUM", "MEAN", "MINIMUM", "MUL", "NEG", "RELU", "RESHAPE", "SQRT", "SUB", "SUM"}
)
_MOST_OPERATORS = 16  # from such an operand back


def with_fastest_mix(result: Int8Model, samples: Samples | None, recipe: PostTraining) -> Int8Model:
    """The file with runs of operators in float, where that is faster here in all, or as it was; its notes say which.

    Args:
        result: an int8 model, its operators in the forms that XNNPACK takes.
        samples: representative inputs.
        recipe: with which it was made.
    """
    mixed = _quicker(result, samples, recipe, _float_tensors(result, here=True))
    best = _noted(result, mixed) if isinstance(mixed, str) else mixed
    return _with_float_slopes(best, _float_slopes(result), result, samples, recipe)


def never_slower_than_float(result: Int8Model, samples: Samples | None, recipe: PostTraining) -> Int8Model:
    """The file as it was where it is as fast as the float file here, else with its fastest mix with float.

    Nothing else is mixed where XNNPACK takes every operator in int8, see above; PReLU alone is float wherever that is
    faster.

    Args:
        result: an int8 model, its operators in the forms that XNNPACK takes.
        samples: representative inputs.
        recipe: with which it was made.
    """
    is_left, slopes = _left_to_slower_kernels(result.content), _float_slopes(result)
    if result.float_content is None or not (is_left or slopes):
        return result
    rounds, best = in_rounds(result.content, result.float_content), result
    if is_left and is_mostly_slower(rounds):
        why = f"8 bits alone take {typical(rounds):.2f} times as long as the float file here"
        mixed = _quicker(result, samples, recipe, _float_tensors(result, here=False))
        best = result if isinstance(mixed, str) else _noted(mixed, f"{why}; --integer_only keeps them all the same")
    return best if is_short(rounds) else _with_float_slopes(best, slopes, result, samples, recipe)


def _with_float_slopes(
    best: Int8Model, slopes: tuple[str, ...], result: Int8Model, samples: Samples | None, recipe: PostTraining
) -> Int8Model:
    """The int8 file with PReLU alone in float where that is quicker than `best`, what there is so far.

    XNNPACK has PReLU in float alone.  In int8 it is four operators, so that two conversions may cost less.
    """
    if set(slopes) <= set(best.limits.keep_float):
        return best
    mixed = _quicker(result, samples, recipe, slopes)
    if isinstance(mixed, str) or (best.content != result.content and not _saves_time(mixed, best)):
        return best
    return _noted(mixed, "PReLU in float between integers: XNNPACK has it in float only; --integer_only keeps 8 bits")


def _float_slopes(result: Int8Model) -> tuple[str, ...]:
    """Names of what PReLU computes in integers."""
    if result.float_content is None:
        return ()
    source = ModelEditor.read(result.float_content).main
    names = (op.result.name for op in source.operators if op.name == "PRELU")
    return tuple(name for name in names if name not in result.limits.keep_float)


def _saves_time(mixed: Int8Model, other: Int8Model) -> bool:
    return is_surely_quicker(in_rounds(mixed.content, other.content))


def with_quicker_floats(result: Int8Model, samples: Samples, recipe: PostTraining) -> Int8Model:
    """The file with its fastest mix with float, or as it was where none is faster here.

    Args:
        result: an int8 model with int8 inputs and outputs, as it was quantized.
        samples: representative inputs.
        recipe: with which it was made.
    """
    ready = with_delegable_forms(result, samples, except_for=result.limits.keep_float)
    mixed = _quicker(ready, samples, replace(recipe, io="int8"), _float_tensors(ready, here=recipe.scheme == "auto"))
    return result if isinstance(mixed, str) else mixed


def _quicker(
    result: Int8Model, samples: Samples | None, recipe: PostTraining, kept: tuple[str, ...]
) -> Int8Model | str:
    """The file with the operators that compute some tensors in float, or why it had better stay as it is."""
    if result.float_content is None or result.calibration is None:
        return "nothing more is in float: there is no float file to mix it with"
    if not kept:
        return "nothing more is in float: none is faster in float, conversions counted"
    limits = replace(result.limits, keep_float=tuple(dict.fromkeys((*result.limits.keep_float, *kept))))
    try:
        forced = replace(recipe, engine=result.engine)
        mixed = quantize_calibrated(result.float_content, result.calibration, forced, limits)
    except ConversionError as error:
        return f"nothing more is in float: a mix with float failed ({error})"
    content = with_uint8_edges(mixed.content) if recipe.io == "uint8" else mixed.content
    mixed = replace(result, content=content, limits=limits)
    mixed = with_delegable_forms(mixed, samples, except_for=limits.keep_float)
    rounds = in_rounds(mixed.content, result.content)
    if not is_surely_quicker(rounds):
        return "nothing more is in float: a mix with float was not faster in all"
    lost = _lost_db(result.float_content, (result.content, mixed.content), samples)
    if lost > MOST_LOST_DB:
        return f"nothing more is in float: with its fastest mix the outputs would lose {lost:.1f} dB"
    return _noted(
        mixed,
        f"{len(kept)} operator{'s' * (len(kept) > 1)} in float: {typical(rounds):.2f} of the time of int8 alone here",
    )


def _lost_db(float_content: bytes, contents: tuple[bytes, bytes], samples: Samples | None) -> float:
    """Decibels that the second file is further from float than the first; 0 where nothing tells."""
    if samples is None:
        return 0.0
    return lost_db(*(output_error(float_content, content, samples) for content in contents))


def _noted(result: Int8Model, note: str) -> Int8Model:
    return replace(result, notes=(*result.notes, note))


def _left_to_slower_kernels(content: bytes) -> bool:
    """Whether XNNPACK does not take every operator of a file, or it is not known which."""
    share = xnnpack_share(content)
    return share is None or bool(share["left"])


def _float_tensors(result: Int8Model, *, here: bool) -> tuple[str, ...]:
    """Names of the output tensors of those operators that had better be float, so that the file is fastest.

    With `here`, this machine's times alone decide; else an operator that XNNPACK takes in int8 counts as no slower.
    """
    if result.float_content is None:
        return ()
    source, quantized = (ModelEditor.read(content).main for content in (result.float_content, result.content))
    places = [Place(_ENDS, _names(source.outputs), _names(source.inputs), 0.0, _INFINITE)]
    for number, (operator, time) in enumerate(zip(source.operators, operator_times(source, quantized), strict=True)):
        reads, gives = (_names(tensors) for tensors in (operator.computed_inputs, operator.outputs))
        float_ms = _INFINITE if time.float_ms is None else time.float_ms  # what is not known stays as it is
        int8_ms = time.int8_ms or 0.0
        if not here and time.reason is None:
            int8_ms = min(int8_ms, WORTH * float_ms)
        places.append(Place(f"{number}", reads, gives, int8_ms, float_ms))
    elements = {tensor.name: tensor.elements for op in source.operators for tensor in op.outputs}
    elements |= {tensor.name: tensor.elements for tensor in source.inputs}
    to_float, to_integer = _conversion_costs(source)
    no_integers = dict.fromkeys(never_handed_over(source), _INFINITE)
    chosen = cheapest_float(
        places,
        to_float={name: to_float * count for name, count in elements.items()} | no_integers,
        to_integer={name: to_integer * count for name, count in elements.items()},
    )
    return tuple(name for place in places if place.name in chosen for name in place.gives)


def never_handed_over(source: GraphEditor) -> tuple[str, ...]:
    """Names of tensors that a float operator must not get as integers: behind their zero, or next to it, is a pole.

    The inverse root of a variance is one: a variance that 8 bits round to zero gives no more than the largest value
    that calibration saw where all is int8, and thousands of times as much where the root alone is float.

    Args:
        source: the float graph.
    """
    names: dict[str, None] = {}
    for operator in source.operators:
        if operator.name in _POLES:
            names.update(dict.fromkeys(_made_of(source, operator.operands[_POLES[operator.name]])))
    return tuple(names)


def _made_of(source: GraphEditor, operand: TensorNode) -> list[str]:
    """A tensor, and those that it is as coarse as."""
    names, waiting = list[str](), [operand]
    while waiting and len(names) < _MOST_OPERATORS:
        tensor = waiting.pop(0)
        maker = source.producer(tensor)
        if maker is None or tensor.name in names:
            continue
        names.append(tensor.name)
        is_square = maker.name == "MUL" and maker.operands[0] is maker.operands[-1]
        waiting += maker.computed_inputs if maker.name in _AS_COARSE and not is_square else []
    return names


def _names(tensors: Iterable[TensorNode]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(tensor.name for tensor in tensors))


def _conversion_costs(graph: GraphEditor) -> tuple[float, float]:
    """Milliseconds a value of DEQUANTIZE and of QUANTIZE."""
    files = [_conversion(graph, "Dequantize"), _conversion(graph, "Quantize")]
    to_float, to_integer = (0.0 if ms is None else ms / _SIZE for ms in medians(files, seconds=_SECONDS))
    return to_float, to_integer


def _conversion(graph: GraphEditor, kind: Literal["Dequantize", "Quantize"]) -> bytes:
    """A file of one conversion of `_SIZE` values; the graph only lends its tables."""
    ends = [graph.new_tensor((1, _SIZE), graph.outputs[0], f"{kind}/{end}") for end in ("from", "to")]
    integer, real = ends if kind == "Dequantize" else ends[::-1]
    integer.dtype, real.dtype, real.record.quantization = "int8", "float32", None
    integer.quantize(1 / 128, 0)
    operator = graph.operator(kind.upper(), [ends[0]], [ends[1]], options(f"{kind}Options"), version=2)
    return extract([operator], inputs=ends[:1], outputs=ends[1:])
