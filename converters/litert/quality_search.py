"""What `quality=best` tries, and keeps where the outputs come closer to the float model's on unlabelled data."""

from __future__ import annotations

from collections.abc import Collection
from contextlib import suppress
from dataclasses import dataclass, replace

from tfcompress.calibration import ChannelRanges, calibrate, observe, outlier_tensors
from tfcompress.calibration.estimators import EstimatorName
from tfcompress.calibration.readers import clip_to_readers
from tfcompress.calibration.rectified import with_rectified_sums
from tfcompress.converters.litert.bit_widths import ENOUGH_DB, LayerBits, layer_bits
from tfcompress.converters.litert.engines import Int8Model, quantize_calibrated, with_wider_activations
from tfcompress.converters.litert.float_head import first_layer
from tfcompress.converters.litert.float_runs import SHARES, FloatRun, float_runs
from tfcompress.converters.litert.float_tail import FloatTail
from tfcompress.converters.litert.limits import Abilities, Limits
from tfcompress.converters.litert.quality import few_enough, tail_tensors, tied_share, typical_error
from tfcompress.data import Samples
from tfcompress.errors import ConversionError
from tfcompress.graphs.tflite import Subgraph, read_tflite
from tfcompress.model import FloatModel
from tfcompress.recipe import PostTraining

__all__ = ["Choice", "closest", "limits_with"]

SEARCHED_ESTIMATORS: tuple[EstimatorName, ...] = ("percentile", "mse")
TIED = 0.02  # share of samples whose best two answers 8 bits make equal
WORTH = 0.95  # of the error: 16-bit activations are slower, so they have to take more than this away
FLOAT_WORTH = 0.75  # of the error: float takes longer than 8 bits, and a chip of integers alone has none
ENOUGH = 5e-5  # of the outputs' power: where a typical sample is that close (43 dB), nothing more becomes float


@dataclass(frozen=True)
class Choice:
    """What candidates are made of, and judged by.

    Attributes:
        model: what is quantized; names the layers.
        float_content: its float .tflite, before its weights were improved.
        samples: representative inputs, which ranges are made from; no labels are used.
        judged_on: representative inputs that candidates are compared on.
        options: with which the first candidate was made.
        abilities: of the target.
        other_estimators: try `SEARCHED_ESTIMATORS` too.
    """

    model: FloatModel
    float_content: bytes
    samples: Samples
    judged_on: Samples
    options: PostTraining
    abilities: Abilities
    other_estimators: bool

    def error(self, candidate: Int8Model) -> float:
        """Of its outputs."""
        return typical_error(self.float_content, candidate.content, self.judged_on)


def closest(choice: Choice, first: Int8Model, limits: Limits) -> Int8Model:
    """The candidate whose outputs are closest to the float model's.

    Args:
        choice: what candidates are made of.
        first: the first candidate.
        limits: what the result has to look like.
    """
    options, samples = choice.options, choice.samples
    content = first.float_content or choice.float_content
    names = [name for name in SEARCHED_ESTIMATORS if name != options.estimator and choice.other_estimators]
    candidates = [
        first,
        *(_with_estimator(first, samples, replace(options, estimator=name), limits) for name in names),
    ]
    errors = [choice.error(candidate) for candidate in candidates]
    best, error = min(zip(candidates, errors, strict=True), key=lambda pair: pair[1])
    notes = list(first.notes)
    notes += [f"estimator {best.calibration.estimator}: the closest of {len(candidates)}"] if best.calibration else []
    rows = layer_bits(choice.model, content, samples)
    notes += _poor_weights(rows)
    widened: list[tuple[set[str], str]] = []
    if choice.abilities.int16 and best.engine == "litert" and not limits.int16:
        for nominated, what in _nominations(content, rows, samples):
            tensors = tuple(name for name in nominated if name not in limits.keep_float)
            wide = replace(limits, keep_int16=tuple(dict.fromkeys((*limits.keep_int16, *tensors))))
            wider = with_wider_activations(best, options, wide) if tensors else None
            wider_error = error if wider is None else choice.error(wider)
            if wider is not None and wider_error < WORTH * error:
                best, error, limits = wider, wider_error, wide
                widened.append((set(tensors), f"16-bit activations in {what}"))
    had_head = limits.head is not None
    best, error, limits = _with_float_inputs(choice, best, error, limits)
    notes += [] if limits.head is None or had_head else [limits.head.note]
    if limits.float_run is None:
        best, error, limits = _with_float_run(choice, best, error, limits)
    notes += [note for tensors, note in widened if tensors.intersection(limits.keep_int16)]  # a float run may have them
    notes += [] if limits.float_run is None else [limits.float_run.note()]
    best, more = _without_ties(choice, best, error, limits)
    return replace(best, notes=(*notes, *more), bit_widths=rows)


def _with_float_inputs(
    choice: Choice, best: Int8Model, error: float, limits: Limits
) -> tuple[Int8Model, float, Limits]:
    """The candidate whose inputs are not rounded, where that takes away enough of the error; with its error and limits.

    A steep function of a feature is lost as the feature is rounded, whatever its first layer computes in.
    """
    options, abilities = choice.options, choice.abilities
    head = None if best.float_content is None else first_layer(best.float_content)
    wanted = abilities.float_inputs and options.mixed_inputs == "float" and error > ENOUGH
    if head is None or not wanted or limits.head is not None or limits.int16 or limits.float_run is not None:
        return best, error, limits
    kept = tuple(dict.fromkeys((*limits.keep_float, *head.tensors)))
    wide = tuple(name for name in limits.keep_int16 if name not in head.tensors)
    mixed = replace(limits, keep_float=kept, keep_int16=wide, head=head)
    return _with_run(choice, best, error, limits, mixed)


def _requantized(choice: Choice, best: Int8Model, limits: Limits) -> Int8Model | None:
    """A candidate with other limits; None where no engine can make it."""
    if best.float_content is None or best.calibration is None:
        return None
    with suppress(ConversionError):
        result = quantize_calibrated(best.float_content, best.calibration, choice.options, limits)
        return replace(result, spans=best.spans)
    return None


def _with_float_run(choice: Choice, best: Int8Model, error: float, limits: Limits) -> tuple[Int8Model, float, Limits]:
    """The candidate with the shortest runs of operators in float that are enough, its error and limits."""
    content, chosen = best.float_content, limits
    if content is None or not choice.abilities.float_islands or limits.int16:
        return best, error, limits
    graph = read_tflite(content).main
    tried = dict.fromkeys(run for share in SHARES for run in float_runs(graph, share))  # shares may end at one cut
    for run in tried:
        best, error, chosen = _with_run(choice, best, error, chosen, limits_with(limits, run))
    for run in tried:  # beside the one that was chosen, from the other end
        if chosen.float_run is not None and chosen.float_run.may_join(run):
            best, error, chosen = _with_run(
                choice, best, error, chosen, limits_with(limits, chosen.float_run.with_(run))
            )
    return best, error, chosen


def _with_run(
    choice: Choice, best: Int8Model, error: float, limits: Limits, mixed: Limits
) -> tuple[Int8Model, float, Limits]:
    """The candidate with other limits where it is closer by enough, or the one there was; with its error and limits."""
    candidate = _requantized(choice, best, mixed) if error > ENOUGH else None
    its_error = error if candidate is None else choice.error(candidate)
    if candidate is None or its_error >= FLOAT_WORTH * error:
        return best, error, limits
    return candidate, its_error, mixed


def limits_with(limits: Limits, run: FloatRun) -> Limits:
    """The limits with a run of operators in float."""
    kept = tuple(dict.fromkeys((*limits.keep_float, *run.tensors)))
    wide = tuple(name for name in limits.keep_int16 if name not in run.tensors)
    return replace(limits, keep_float=kept, keep_int16=wide, float_run=run)


def _without_ties(choice: Choice, best: Int8Model, error: float, limits: Limits) -> tuple[Int8Model, tuple[str, ...]]:
    """The candidate with its last softmax or sigmoid in float, where its 8 bits leave answers equal."""
    content = best.float_content
    tails = _last_shares(read_tflite(content).main, limits) if content is not None else ()
    if not tails or content is None or best.calibration is None or not choice.abilities.float_outputs:
        return best, ()
    tied = tied_share(choice.float_content, best.content, choice.judged_on)
    if tied <= TIED:
        return best, ()
    kept = (*limits.keep_float, *(tail.output for tail in tails))
    wanted = replace(limits, tails=(*limits.tails, *tails), keep_float=kept)
    untied = replace(quantize_calibrated(content, best.calibration, choice.options, wanted), spans=best.spans)
    if choice.error(untied) >= error:
        return best, ()
    return untied, (
        f"outputs are float32: 8 bits left the best two answers of {100 * tied:.0f} % of the samples equal",
    )


def _last_shares(graph: Subgraph, limits: Limits) -> tuple[FloatTail, ...]:
    producers = {index: graph.producer(index) for index in graph.outputs}
    kept = {tail.output for tail in limits.tails}
    names = [
        graph.tensors[index].name
        for index, op in producers.items()
        if op is not None and op.name in ("SOFTMAX", "LOGISTIC")
    ]
    return tuple(FloatTail(name, (name,), "") for name in names if name not in kept)


def _with_estimator(first: Int8Model, samples: Samples, options: PostTraining, limits: Limits) -> Int8Model:
    content = first.float_content
    assert content is not None, "a quantization-aware model has nothing to search"
    ranges = calibrate(content, samples, estimator=options.estimator, percentile=options.percentile, hash_data=False)
    ranges = clip_to_readers(read_tflite(content).main, ranges, first.spans)
    ranges = with_rectified_sums(content, ranges, samples)
    return replace(quantize_calibrated(content, ranges, options, limits), spans=first.spans)


def _nominations(content: bytes, rows: tuple[LayerBits, ...], samples: Samples) -> list[tuple[tuple[str, ...], str]]:
    """(output tensors, what they are) of operators that 16-bit activations may help most."""
    file = read_tflite(content)
    tail = tail_tensors(file)
    outliers = outlier_tensors(observe(content, samples, ChannelRanges)[0], file.main)
    poor = [
        row for row in rows if (row.activations.get(8) or ENOUGH_DB) < ENOUGH_DB or outliers.keys() & set(row.tensors)
    ]
    tensors = _with_readers(file.main, {name for row in poor for name in row.tensors})
    nominations = [(tail, f"the {len(tail)} operators behind the last convolution")] if tail else []
    if poor and few_enough(file, tensors):
        nominations.append((tensors, f"layers of which 8 bits keep too little: {', '.join(row.layer for row in poor)}"))
    return nominations


def _with_readers(graph: Subgraph, names: Collection[str]) -> tuple[str, ...]:
    """The tensors, and the outputs of the operators that read them: an 8-bit one would round its inputs again."""
    wanted = {tensor.index for tensor in graph.tensors if tensor.name in names}
    operators = [op for op in graph.operators if wanted.intersection((*op.inputs, *op.outputs))]
    return tuple(graph.tensors[index].name for operator in operators for index in operator.outputs)


def _poor_weights(rows: tuple[LayerBits, ...]) -> list[str]:
    return [
        f"8 bits keep only {decibels:.1f} dB of the weights of {row.layer}: a few are far larger than the rest; "
        f"if accuracy suffers, give --keep_float={row.layer}"
        for row in rows
        if (decibels := row.weights.get(8)) is not None and decibels < ENOUGH_DB
    ]
