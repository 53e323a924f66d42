"""Integer quantization: better weights, ranges, the engine that fits, and what `quality=best` searches on top."""

from __future__ import annotations

import hashlib
import math
from contextlib import suppress
from dataclasses import dataclass, replace

import numpy as np

from tfcompress.cache import remembered
from tfcompress.calibration import Calibration, ChannelRanges, calibrate, channel_warnings, diagnose, observe
from tfcompress.calibration.readers import clip_to_readers
from tfcompress.calibration.rectified import with_rectified_sums
from tfcompress.converters.litert import converter_engine
from tfcompress.converters.litert.centred_operands import with_centred_operands
from tfcompress.converters.litert.divisions import small_divisors
from tfcompress.converters.litert.engines import EngineName, Int8Model, quantize_calibrated, with_wider_activations
from tfcompress.converters.litert.even_channels import evened
from tfcompress.converters.litert.float_head import FloatHead, float_head
from tfcompress.converters.litert.float_runs import FloatRun
from tfcompress.converters.litert.float_tail import FloatTail
from tfcompress.converters.litert.float_tflite import first_sample, float_file
from tfcompress.converters.litert.indices import index_path
from tfcompress.converters.litert.interface import indices_as_integers, with_uint8_edges
from tfcompress.converters.litert.learnt import learnt
from tfcompress.converters.litert.limits import Abilities, Limits
from tfcompress.converters.litert.masks import read_spans, settle_masks
from tfcompress.converters.litert.mixed_outputs import float_tails
from tfcompress.converters.litert.more_bits import with_more_bits
from tfcompress.converters.litert.patterns import tensors_of_layers
from tfcompress.converters.litert.pixels import with_pixel_ranges
from tfcompress.converters.litert.quality import (
    held_apart,
    improve_weights,
    is_closer,
    output_error,
    output_errors,
    plan_for,
    typical,
    typical_error,
)
from tfcompress.converters.litert.quality_search import Choice, closest, limits_with
from tfcompress.converters.litert.recurrent import fused_layers, loop_tensors, state_tensors
from tfcompress.converters.rewriting import PHONE, rewrite_graph, rows_for
from tfcompress.data import Samples
from tfcompress.data.fixed_sizes import with_fixed_sizes
from tfcompress.errors import ConversionError, DataError
from tfcompress.graphs.tflite import read_tflite
from tfcompress.model import FloatModel
from tfcompress.recipe import PostTraining, Recipe
from tfcompress.remarks import remark

__all__ = ["EngineName", "Int8Model", "quantize_int8"]

ANY_TARGET = Abilities()
DIAGNOSED_SAMPLES = 100
# Of mean squared errors: a loop is larger and slower than LiteRT's fused LSTM, so it has to be this much closer.
_CLOSER = 1.5
NOT_IMITATING = (
    "quality=best leaves a trained file as training made it, unless quantization is its only change and distillation "
    "with weight 1 its only aim: nothing else says what it should be close to"
)
INDICES_WARNING = (
    "inputs and outputs stay float32: an input carries indices among its values, which 8 bits would round; give the "
    "indices an integer input of their own"
)


def quantize_int8(
    model: FloatModel,
    samples: Samples | None,
    recipe: Recipe,
    *,
    integer_io: bool = True,
    float_content: bytes | None = None,
    abilities: Abilities = ANY_TARGET,
    ranges: Calibration | None = None,
) -> Int8Model:
    """Quantize a model to int8, weights per output channel.

    Args:
        model: what to quantize.
        samples: representative inputs; may be None only for a quantization-aware model, whose ranges are trained.
        recipe: its `post_training` section and `keep_float`, `keep_int16` are used.
        integer_io: integer inputs and outputs, of the type that `post_training.io` says; else float32 ones.
        float_content: start from this float .tflite instead of `to_float_tflite(model)`; its first signature must have
            the model's input and output names.
        abilities: what the target can do.
        ranges: of an earlier run on the same model and samples, used instead of calibrating; None calibrates.

    Raises:
        ConversionError: no allowed engine can quantize the model.
        DataError: there are no samples, or one is bad; or `ranges` were made for something else.
        RecipeError: `keep_float` or `keep_int16` names no layer.
    """
    edges = recipe.post_training.io
    loops = abilities.loops and recipe.post_training.scheme != "int16x8"
    asked = _Asked(integer_io and edges != "float32", float_content, replace(abilities, loops=loops), ranges)
    fixed = with_fixed_sizes(model, samples)
    if samples is not None and plan_for(recipe.post_training).search:
        result = (_closest_to_teacher if model.quantization_aware else _searched)(fixed, samples, recipe, asked)
    else:
        result = _quantized(fixed, samples, recipe, asked)
    return replace(result, content=with_uint8_edges(result.content)) if integer_io and edges == "uint8" else result


@dataclass(frozen=True)
class _Asked:
    """What `quantize_int8` was asked, as its arguments of these names."""

    integer_io: bool
    float_content: bytes | None
    abilities: Abilities
    ranges: Calibration | None
    chosen_by: Samples | None = None  # what `quality=best` compares candidates on; None means all samples
    float_run: FloatRun | None = None  # that a search has chosen before


def _closest_to_teacher(model: FloatModel, samples: Samples, recipe: Recipe, asked: _Asked) -> Int8Model:
    """A trained model's file, or what is closer to its teacher; the file is lost to nothing that fails beside it."""
    trained = _quantized(model, samples, recipe, asked)
    if model.teacher is None:
        return replace(trained, notes=(*trained.notes, NOT_IMITATING))
    try:
        return _closer(trained, with_fixed_sizes(model.teacher, samples), samples, recipe, asked)
    except (ConversionError, DataError) as error:
        note = f"quality=best took the file as training made it: without training there is none ({error})"
        return replace(trained, notes=(*trained.notes, note))


def _closer(trained: Int8Model, teacher: FloatModel, samples: Samples, recipe: Recipe, asked: _Asked) -> Int8Model:
    """The trained file, its integers learnt further, or the teacher's own where training has not come as close.

    Training may have seen the samples by which this is chosen: its file has to be closer by more than chance.
    """
    content, _ = _float_content(teacher, samples, recipe.post_training, asked)
    fit, chosen_by = held_apart(samples)
    trained = _with_learnt(trained, content, fit, chosen_by) if asked.abilities.learnt else trained
    if not asked.abilities.untrained:
        return trained
    plain = _searched(teacher, samples, recipe, asked)
    errors = [output_errors(content, item.content, chosen_by) for item in (trained, plain)]
    takes_trained = is_closer(errors[0], errors[1])
    figures = [f"{_decibels_kept(error):.1f} dB" for error in errors]
    note = (
        f"quality=best took the file {'of' if takes_trained else 'without'} quantization-aware training: on "
        f"{len(errors[0])} calibration samples held apart, the trained file keeps {figures[0]} of the float model's "
        f"outputs and the one quantized after training {figures[1]}"
    )
    chosen = trained if takes_trained else plain
    return replace(chosen, notes=(note, *chosen.notes))


def _decibels_kept(errors: np.ndarray) -> float:
    return -10 * math.log10(max(typical(errors), 1e-30))


def _searched(model: FloatModel, samples: Samples, recipe: Recipe, asked: _Asked) -> Int8Model:
    """What was chosen of a search and `balanced`, with integers learnt end to end where the target takes them."""
    fit, chosen_by = held_apart(samples)
    content, _ = _float_content(model, samples, recipe.post_training, asked)
    chosen = _chosen(model, samples, recipe, asked, content)
    return _with_learnt(chosen, content, fit, chosen_by) if asked.abilities.learnt else chosen


def _chosen(model: FloatModel, samples: Samples, recipe: Recipe, asked: _Asked, content: bytes) -> Int8Model:
    """What a search gives where it is closer to float on samples held apart, else what `balanced` gives."""
    if asked.ranges is not None:  # of a search that has made its choice
        return _as_chosen(model, samples, recipe, asked)
    fit, chosen_by = held_apart(samples)
    best = _best(model, fit, recipe, replace(asked, chosen_by=chosen_by), content)
    balanced = _quantized(model, samples, _balanced(recipe), asked)  # of all samples: the file that it would have been
    errors = [output_errors(content, candidate.content, chosen_by) for candidate in (best, balanced)]
    if is_closer(errors[0], errors[1]):
        return best
    figures = [typical(values) for values in errors]
    note = (
        "as quality=balanced: best came no closer to float on samples held apart "
        f"({figures[0]:.3g} and {figures[1]:.3g})"
    )
    return replace(balanced, notes=(*balanced.notes, note), bit_widths=best.bit_widths)


def _balanced(recipe: Recipe) -> Recipe:
    return replace(recipe, post_training=replace(recipe.post_training, quality="balanced"))


def _best(model: FloatModel, fit: Samples, recipe: Recipe, asked: _Asked, content: bytes) -> Int8Model:
    """What a search gives; where it computes a run in float, ranges and weights of the rest are chosen once more."""
    assert asked.chosen_by is not None, "candidates are compared"
    first = _quantized(model, fit, recipe, asked)
    if first.limits.float_run is None:
        return first
    second = _quantized(model, fit, recipe, replace(asked, float_run=first.limits.float_run))
    errors = [typical_error(content, candidate.content, asked.chosen_by) for candidate in (first, second)]
    return second if errors[1] < errors[0] else first


def _as_chosen(model: FloatModel, samples: Samples, recipe: Recipe, asked: _Asked) -> Int8Model:
    """The file of ranges that an earlier search kept: its own, those of `balanced`, or those beside a run in float."""
    fit, chosen_by = held_apart(samples)
    searching = replace(asked, chosen_by=chosen_by)
    with suppress(DataError):  # made of all samples, or for other weights
        return _quantized(model, fit, recipe, searching)
    try:
        return _quantized(model, samples, _balanced(recipe), asked)
    except DataError:
        has_same_data = asked.ranges is not None and asked.ranges.data_sha256 == samples.sha256
        run = _run_of_search(model, fit, recipe, searching) if has_same_data else None
        if run is None:
            raise
    return _quantized(model, fit, recipe, replace(searching, float_run=run))


def _run_of_search(model: FloatModel, fit: Samples, recipe: Recipe, searching: _Asked) -> FloatRun | None:
    """The operators that a search computes in float, which ranges do not tell: it is made once more, and takes long."""
    if not searching.abilities.float_islands:
        return None
    return _quantized(model, fit, recipe, replace(searching, ranges=None)).limits.float_run


def _with_learnt(result: Int8Model, content: bytes, fit: Samples, chosen_by: Samples) -> Int8Model:
    """The result with integers learnt end to end, where samples that they were not learnt from come closer to float."""
    better, why_not = learnt(result.content, content, fit, result.float_content)
    if why_not is not None:
        return replace(result, notes=(*result.notes, why_not))
    before, after = (output_errors(content, item, chosen_by) for item in (result.content, better))
    if not is_closer(after, before):
        return replace(result, notes=(*result.notes, "integers learnt end to end came no closer to float"))
    gain = 10 * math.log10(typical(before) / max(typical(after), 1e-30))
    note = f"scales, weights and biases learnt end to end: {gain:.1f} dB closer to float on samples held apart"
    return replace(result, content=better, notes=(*result.notes, note))


def _quantized(model: FloatModel, samples: Samples | None, recipe: Recipe, asked: _Asked) -> Int8Model:
    """As `quantize_int8`, with int8 in the place of other integers at the edges."""
    integer_io, ranges = asked.integer_io, asked.ranges
    if model.quantization_aware:
        content = converter_engine.quantize_trained(model, integer_io=integer_io, loops=asked.abilities.loops)
        return Int8Model(content, "tflite_converter", "the model carries trained ranges", None, None)
    if samples is None:
        raise DataError(f"{model.name}: scheme={recipe.post_training.scheme} needs samples; give --calibration=DATA")
    options = recipe.post_training
    # 16-bit activations and one weight scale for Dense are of two different engines.
    abilities = replace(asked.abilities, int16=asked.abilities.int16 and asked.abilities.dense_per_channel)
    float_content, left_out = _float_content(model, samples, options, asked)
    file = read_tflite(float_content)
    path = index_path(file.main)
    limits = Limits(
        integer_io=integer_io and path is None,
        keep_float=(*tensors_of_layers(model, file, recipe.keep_float, "keep_float"), *(path or ())),
        keep_int16=tensors_of_layers(model, file, recipe.keep_int16, "keep_int16") if abilities.int16 else (),
        int16=options.scheme == "int16x8" and abilities.int16,
        dense_per_channel=abilities.dense_per_channel,
        fine_softmax=abilities.xnnpack,
    )
    settled = settle_masks(float_content, samples)
    float_content, per_channel = settled.content, abilities.dense_per_channel
    limits, edge_notes = _with_float_edges(float_content, samples, limits, abilities, options)
    limits = limits if asked.float_run is None else limits_with(limits, asked.float_run)
    plan, even_note = plan_for(options), None
    if plan.search and plan.equalize is None:
        float_content, even_note = evened(float_content, samples, asked.chosen_by or samples, options, limits)
        plan = plan if even_note is None else replace(plan, equalize=False)
    improved, notes = improve_weights(
        float_content, samples, plan, dense_per_channel=per_channel, except_for=limits.keep_float
    )
    notes = notes if even_note is None else (even_note, *notes)
    seen = _calibrated(improved, samples, options) if ranges is None else _fresh(ranges, improved, samples)
    seen = with_pixel_ranges(seen, file, model)
    spans = read_spans(settled, seen, samples)
    calibration = with_rectified_sums(improved, clip_to_readers(file.main, seen, spans), samples)
    calibration = with_centred_operands(file.main, calibration) if abilities.xnnpack else calibration
    limits = replace(limits, keep_float=(*limits.keep_float, *small_divisors(file.main, calibration)))
    result = replace(quantize_calibrated(improved, calibration, options, limits), spans=spans)
    if abilities.int16 and result.engine == "litert" and not limits.int16:
        looped = loop_tensors(float_content)
        states = tuple(name for name in state_tensors(model, file) if name not in looped)
        result, limits = _with_wide_states(result, states, options, limits)
    if not abilities.fused_only:
        result, limits = _with_closer_recurrence(result, samples, options, limits)
    if plan_for(options).search:
        judged_on = asked.chosen_by or samples
        result = closest(
            Choice(model, float_content, samples, judged_on, options, abilities, ranges is None), result, limits
        )
    if abilities.more_bits and options.wider_activations == "auto" and options.quality != "fast":
        result = with_more_bits(result, float_content, samples, options, abilities)
    warnings = _warnings(float_content, seen, samples, look_at_channels=options.quality != "fast")
    warnings = (INDICES_WARNING, *warnings) if integer_io and path is not None else warnings
    for line in (*edge_notes, *warnings):
        remark(line, is_note=True)
    return replace(result, notes=(*left_out, *settled.notes, *edge_notes, *notes, *result.notes, *warnings))


def _float_content(
    model: FloatModel, samples: Samples, options: PostTraining, asked: _Asked
) -> tuple[bytes, tuple[str, ...]]:
    """The float .tflite to start from, and a note for each rewrite that was left out."""
    left_out: tuple[str, ...] = ()
    given = asked.float_content
    if given is None:
        abilities, select = asked.abilities, options.allow_select_ops
        float_result = float_file(
            model,
            allow_select_ops=select,
            samples=samples,
            loops=abilities.loops,
            fused_only=abilities.fused_only,
        )
        given, left_out = float_result.content, tuple(item.note() for item in float_result.dropped)
        if abilities.xnnpack:  # a phone's file; other targets bring what their own rows made
            rewritten = rewrite_graph(given, rows_for(PHONE), samples=first_sample(given, samples))
            given, left_out = rewritten.content, (*left_out, *(item.note() for item in rewritten.dropped))
    if asked.integer_io and any(operator.name == "CAST" for operator in read_tflite(given).main.operators):
        given = indices_as_integers(given)
    return given, left_out


def _with_float_edges(
    content: bytes,
    samples: Samples,
    limits: Limits,
    abilities: Abilities,
    options: PostTraining,
) -> tuple[Limits, tuple[str, ...]]:
    """The limits with float operators at either end, where 8 bits would lose what enters or leaves; and notes."""
    head: FloatHead | None = None
    tails: tuple[FloatTail, ...] = ()
    file = read_tflite(content)
    if abilities.float_outputs and options.mixed_outputs == "float" and not limits.int16:
        names = {index: name for signature in file.signatures[:1] for name, index in signature.outputs.items()}
        tails = float_tails(content, samples, names)
    if abilities.float_inputs and options.mixed_inputs == "float" and not limits.int16:
        head = float_head(content, samples)
    kept = (*(name for tail in tails for name in tail.tensors), *(() if head is None else head.tensors))
    notes = (*(() if head is None else (head.note,)), *(tail.note for tail in tails))
    return replace(limits, keep_float=(*limits.keep_float, *kept), tails=tails, head=head), notes


def _with_wide_states(
    result: Int8Model, states: tuple[str, ...], options: PostTraining, limits: Limits
) -> tuple[Int8Model, Limits]:
    """16 bits for the states of recurrent layers, where the engine can."""
    wide = replace(limits, keep_int16=tuple(dict.fromkeys((*limits.keep_int16, *states))))
    wider = with_wider_activations(result, options, wide) if states else None
    if wider is None:
        return result, limits
    return replace(wider, notes=("16-bit states in the recurrent layers: 8 bits would drift from step to step",)), wide


def _with_closer_recurrence(
    result: Int8Model, samples: Samples, options: PostTraining, limits: Limits
) -> tuple[Int8Model, Limits]:
    """Loops for LiteRT's fused LSTMs, where they are closer to float: a loop's output state has 16 bits too."""
    if not fused_layers(result.content) or result.float_content is None or result.calibration is None:
        return result, limits
    loops = replace(limits, recurrent="loop")
    forced = replace(options, engine=result.engine)
    other = quantize_calibrated(result.float_content, result.calibration, forced, loops)
    errors = [output_error(result.float_content, item.content, samples) for item in (result, other)]
    if errors[1] * _CLOSER < errors[0]:
        note = (
            f"recurrent layers as loops: LiteRT's fused LSTM has {math.sqrt(errors[0] / errors[1]):.1f} times the error"
        )
        return replace(result, content=other.content, notes=(*result.notes, note)), loops
    note = "recurrent layers as LiteRT's fused integer LSTM; the file clears its state at the start of each call"
    return replace(result, notes=(*result.notes, note)), limits


def _warnings(content: bytes, ranges: Calibration, samples: Samples, *, look_at_channels: bool) -> tuple[str, ...]:
    return remembered(
        tuple[str, ...],
        "warnings of calibration",
        (content, ranges, samples.identity, look_at_channels),
        lambda: _seen_in(content, ranges, samples, look_at_channels),
    )


def _seen_in(content: bytes, ranges: Calibration, samples: Samples, look_at_channels: bool) -> tuple[str, ...]:
    graph, helpers = read_tflite(content).main, loop_tensors(content)
    of_the_model = {name: ends for name, ends in ranges.ranges.items() if name not in helpers}
    warnings = diagnose(replace(ranges, ranges=of_the_model), graph)
    if not look_at_channels:
        return warnings
    seen, _ = observe(content, samples.spread(DIAGNOSED_SAMPLES), ChannelRanges)
    return (*warnings, *channel_warnings(seen, graph))


def _calibrated(content: bytes, samples: Samples, options: PostTraining) -> Calibration:
    """The ranges of a float file's tensors; kept, as other schemes want the same ones."""
    how = (options.estimator, options.percentile)
    return remembered(
        Calibration,
        "ranges",
        (content, samples.identity, how),
        lambda: calibrate(content, samples, estimator=how[0], percentile=how[1], hash_data=False),
    )


def _fresh(ranges: Calibration, content: bytes, samples: Samples) -> Calibration:
    """The ranges of an earlier run, refused where they were made for another model or other samples."""
    ranges.check_fresh(model_sha256=hashlib.sha256(content).hexdigest(), data_sha256=samples.sha256)
    if samples.count is not None and ranges.samples not in (samples.count, held_apart(samples)[0].count):
        raise DataError(
            f"calibration: made with {ranges.samples} samples, but {samples.count} are to be used; calibrate again"
        )
    return ranges
