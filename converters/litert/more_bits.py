"""More bits where 8 leave too little of an output: 16-bit activations, and in the last resort float operators.

Whether that is needed is measured on the calibration data: most files keep far more than `ENOUGH_DB` and stay as they
are.  Operators that are quicker in float anyway are float first.  Then the fewest that bring the outputs there are
taken: first those whose own values 8 bits spoil, then all.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from tfcompress.cache import remembered
from tfcompress.calibration import observe
from tfcompress.calibration.histogram import Histogram
from tfcompress.calibration.precision import activation_sqnr_db
from tfcompress.converters.litert.engines import Int8Model, quantize_calibrated
from tfcompress.converters.litert.facts import float_operators
from tfcompress.converters.litert.limits import Abilities, Limits
from tfcompress.converters.litert.mixed import with_quicker_floats
from tfcompress.converters.litert.quality import compared_outputs, tail_tensors
from tfcompress.converters.litert.recurrent import loop_tensors
from tfcompress.data import Samples
from tfcompress.errors import ConversionError
from tfcompress.graphs.tflite import Subgraph, TfliteFile, read_tflite
from tfcompress.graphs.tflite.operators import file_macs, macs
from tfcompress.recipe import PostTraining

__all__ = ["ENOUGH_DB", "LITTLE_DB", "kept_db", "with_more_bits"]

ENOUGH_DB = 20.0  # of the worst output: a hundredth of its power is noise
WANTED_DB = 23.0  # of a repair, as other samples than those of calibration show more noise
LITTLE_DB = 15.0  # below, 16 bits that take long, or operators in float, are the smaller harm
JUDGED_SAMPLES = 64
# LiteRT's kernels for 16-bit activations take about 2 ms for a million multiply-accumulates, fifty times as long as
# XNNPACK's for 8 bits or float: beyond both of these the file would be slower than the float model.
MOST_SHARE_OF_MACS = 0.02
FEW_MACS = 2_000_000
SHARES = (0.03, 0.1, 0.25, 0.5)  # of the tensors, those of whose values 8 bits keep least
GAIN_DB = 3.0  # 16 bits are slower: what they do not gain is not worth them


def with_more_bits(
    result: Int8Model, truth: bytes, samples: Samples, options: PostTraining, abilities: Abilities
) -> Int8Model:
    """The file with more bits for some of its operators, where 8 bits spoil an output; else as it was.

    Args:
        result: an int8 file, made by ranges of `samples`.
        truth: the float .tflite, before its weights were improved.
        samples: representative inputs; no labels are used.
        options: with which the file was made.
        abilities: of the target.
    """
    content = result.float_content
    if content is None or result.calibration is None:
        return result
    judged = samples.spread(JUDGED_SAMPLES)
    before = _kept(truth, result.content, judged)
    if before is None or before >= ENOUGH_DB:
        return result
    if abilities.float_islands:
        quicker = with_quicker_floats(result, samples, options)
        kept = None if quicker is result else _kept(truth, quicker.content, judged)
        if kept is not None and kept > before:
            note = f"8 bits keep only {before:.1f} dB of an output on the calibration data: with float, {kept:.1f} dB"
            result, before = replace(quicker, notes=(note, *quicker.notes)), kept
            if kept >= ENOUGH_DB:
                return result
    file, best, best_db, said = read_tflite(content), result, before, ""
    for limits, what, engine in _candidates(content, file, result, judged, abilities):
        if best_db >= WANTED_DB or (before >= LITTLE_DB and _is_coarse(file, limits, result.limits)):
            break
        candidate = _quantized(result, replace(options, engine=engine), limits)
        floats = 0 if candidate is None else _further_floats(result, candidate)
        if candidate is None or (floats and (before >= LITTLE_DB or not abilities.float_islands)):
            continue
        kept = _kept(truth, candidate.content, judged)
        if kept is not None and kept > min(best_db + GAIN_DB, max(best_db, ENOUGH_DB)):
            unasked = floats and limits.keep_float == result.limits.keep_float
            best, best_db, said = candidate, kept, f"{what}, {floats} more in float" if unasked else what
    return replace(best, notes=(*result.notes, _note(before, best_db, said)))


def _is_coarse(file: TfliteFile, limits: Limits, before: Limits) -> bool:
    """Whether more than half of the operators get 16 bits, or such as take long, or some become float."""
    many = len(limits.keep_int16) > len(file.main.operators) / 2
    return many or _is_slow(file, limits.keep_int16) or limits.keep_float != before.keep_float


def kept_db(truth: bytes, content: bytes, samples: Samples) -> float | None:
    """SQNR in dB of the worst output of a quantized file.

    Minus infinity where LiteRT refuses to run it on one of the samples, None where no output has a signal.

    Args:
        truth: the float .tflite.
        content: the quantized one of the same model.
        samples: representative inputs.
    """
    power: dict[int, float] = {}
    noise: dict[int, float] = {}
    try:
        for outputs in compared_outputs(truth, content, samples):
            for number, (value, wanted) in enumerate(outputs):
                power[number] = power.get(number, 0.0) + float(np.sum(wanted**2))
                noise[number] = noise.get(number, 0.0) + float(np.sum((value - wanted) ** 2))
    except RuntimeError:  # LiteRT has no other
        return -math.inf
    live = [number for number, value in power.items() if value > 0]
    return min((_decibels(power[number], noise[number]) for number in live), default=None)


def _decibels(power: float, noise: float) -> float:
    return float(10 * np.log10(power / max(noise, 1e-20 * power)))


@dataclass(frozen=True)
class _Kept:
    """What the cache keeps, which has no infinity; `runs` is whether LiteRT ran the file."""

    decibels: float | None
    runs: bool


def _kept(truth: bytes, content: bytes, samples: Samples) -> float | None:
    def measured() -> _Kept:
        decibels = kept_db(truth, content, samples)
        runs = decibels is None or not math.isinf(decibels)
        return _Kept(decibels if runs else None, runs)

    result = remembered(_Kept, "kept by a file", (truth, content, samples.identity), measured)
    return result.decibels if result.runs else -math.inf


def _candidates(
    content: bytes, file: TfliteFile, result: Int8Model, samples: Samples, abilities: Abilities
) -> Iterator[tuple[Limits, str, Literal["auto", "litert"]]]:
    """(what the file is to look like, in words, the engine): from few operators to many, what takes long last."""
    limits, loops = result.limits, loop_tensors(content)
    own = {
        name: decibels
        for name, seen in observe(content, samples, lambda _: Histogram())[0].items()
        if name not in loops and (decibels := activation_sqnr_db(seen, 8)) is not None
    }
    worst = sorted(own, key=lambda name: own[name])
    poor = [_with_readers(file.main, worst[: math.ceil(share * len(worst))]) for share in SHARES]
    computed = {file.main.tensors[index].name for operator in file.main.operators for index in operator.outputs}
    slow: list[tuple[Limits, str, Literal["auto", "litert"]]] = []
    if abilities.int16 and not limits.int16:
        for names in dict.fromkeys((*poor, tuple(sorted(computed - set(loops))))):
            what = f"16-bit activations in {len(names)} of {len(computed)} operators"
            kept = replace(limits, keep_int16=tuple(dict.fromkeys((*limits.keep_int16, *names))))
            if _is_slow(file, kept.keep_int16):
                slow.append((kept, what, "litert"))
            else:
                yield kept, what, "litert"
    if abilities.float_islands:
        for names in filter(None, dict.fromkeys((tail_tensors(file), *poor))):
            kept = replace(limits, keep_float=tuple(dict.fromkeys((*limits.keep_float, *names))))
            yield kept, f"{len(names)} of {len(computed)} operators in float", "auto"
    yield from slow


def _is_slow(file: TfliteFile, names: Collection[str]) -> bool:
    """Whether 16 bits in the operators that give these tensors would take long."""
    graph = file.main
    outputs = {index for index, tensor in enumerate(graph.tensors) if tensor.name in names}
    wide = sum(macs(operator, graph) for operator in graph.operators if outputs.intersection(operator.outputs))
    return wide > max(FEW_MACS, MOST_SHARE_OF_MACS * file_macs(file))


def _with_readers(graph: Subgraph, names: Collection[str]) -> tuple[str, ...]:
    """Output tensors of the operators that give or read one of the tensors."""
    wanted = {tensor.index for tensor in graph.tensors if tensor.name in names}
    operators = [op for op in graph.operators if wanted.intersection((*op.inputs, *op.outputs))]
    return tuple(sorted({graph.tensors[index].name for operator in operators for index in operator.outputs}))


def _quantized(result: Int8Model, options: PostTraining, limits: Limits) -> Int8Model | None:
    """The file made again; None where that fails."""
    assert result.float_content is not None, "it was looked at"
    assert result.calibration is not None, "it was looked at"
    try:
        other = quantize_calibrated(result.float_content, result.calibration, options, limits)
    except ConversionError:
        return None
    return replace(other, spans=result.spans, bit_widths=result.bit_widths)


def _further_floats(result: Int8Model, other: Int8Model) -> int:
    """How many more operators are float in the other file."""
    return max(0, _floats(other.content) - _floats(result.content))


def _floats(content: bytes) -> int:
    graph = read_tflite(content).main
    kinds = set(float_operators(read_tflite(content)))
    return sum(
        operator.name in kinds and any(graph.tensors[index].dtype == "float32" for index in operator.outputs)
        for operator in graph.operators
    )


def _note(before: float, after: float, what: str) -> str:
    problem = f"8 bits keep only {before:.1f} dB of an output on the calibration data"
    if math.isinf(before):
        problem = "8 bits make a file that LiteRT refuses to run on the calibration data"
    if not what:
        unrepaired = "more bits do not repair it, or not without taking longer than the float model"
        return f"{problem}, and {unrepaired}: look at the layers' table, or train for int8"
    rest = "" if after >= ENOUGH_DB else ", which is still little: look at the layers' table, or train for int8"
    return f"{problem}: {what}, {after:.1f} dB{rest} (wider_activations=never keeps 8 bits)"
