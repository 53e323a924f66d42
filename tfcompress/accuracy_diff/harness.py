"""The accuracy diff itself: one pass, every model, every output."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np

from tfcompress import console
from tfcompress.accuracy_diff.causes import blamed_histograms, find_causes
from tfcompress.accuracy_diff.comparison import Comparison
from tfcompress.accuracy_diff.detection import are_boxes, decoder_of, found_decoding
from tfcompress.accuracy_diff.layers import compare_layers
from tfcompress.accuracy_diff.litert_runner import LiteRtRunner
from tfcompress.accuracy_diff.one_pass import REFERENCE, Found, LayersFound, Pass
from tfcompress.accuracy_diff.progress import Progress, fingerprint
from tfcompress.accuracy_diff.runners import FloatModelRunner, Runner
from tfcompress.accuracy_diff.stream import Answered, answered_batches, batch_size_for
from tfcompress.data import Samples
from tfcompress.errors import RecipeError
from tfcompress.native_output import silenced
from tfcompress.remarks import optional, remark
from tfcompress.task_names import check_decoding

__all__ = ["compare"]

BOX_SAMPLES, DECODED_SAMPLES = 16, 64  # whose labels tell whether they are boxes; on which a decoding is chosen
LAYER_SAMPLES = 64  # enough for a layer's mean error: it has thousands of values per sample


def compare(
    reference: Runner,
    candidates: Mapping[str, Runner],
    data: Samples,
    *,
    task: str | None = None,
    max_accuracy_drop: float = 0.01,
    seed: int = 0,
    layers: bool = False,
    made_from: Runner | None = None,
    class_names: Sequence[str] | None = None,
    metrics: Sequence[str] = (),
    decode: str | None = None,
    resume: Path | None = None,
    batch_size: int | None = None,
    workers: int | None = None,
) -> Comparison:
    """Compare models on the same samples, in one streamed pass whose memory does not grow with the data.

    Args:
        reference: what the candidates are measured against.
        candidates: {name for the report: runner}.
        data: samples bound to the reference's inputs and outputs; labels may be missing.
        task: one of `TASKS` for every output; None finds it out for each.
        max_accuracy_drop: the gate: largest allowed drop of the task's score, absolute.
        seed: of the choice of samples that the layers are compared on.
        layers: compare layer by layer too, where the reference is a Keras model and the candidate a `.tflite`.
        made_from: the float model of which the candidates were made, where fine-tuning made another: their layers are
            compared with its, which shows what the conversion cost; None means `reference` itself.
        class_names: what the classes are called, in the model's order; None takes those that the data knows, or else
            the sorted order of string labels.
        metrics: names of Keras metrics to count as well; see `KerasMetrics`.
        decode: what makes detections of the outputs, see `detection.decoder_of`; None finds one.
        resume: file that holds the state, from which a killed pass continues to the same figures; None keeps nothing.
        batch_size: samples per batch; None chooses by the input's size.
        workers: threads beside the caller's; 1 means the caller's alone, None one per core.

    Raises:
        DataError: labels that do not fit the model, or no samples.
        ModelError: a candidate whose inputs or outputs do not fit the reference's.
        InputError: `resume` cannot be written, or is a file of something else.
        RecipeError: `task`, `decode`, `metrics` or `max_accuracy_drop` is not allowed.
    """
    _check(task, decode, max_accuracy_drop)
    names = list(class_names or data.class_names or ()) or None
    runners = {REFERENCE: reference, **candidates}
    size = batch_size or batch_size_for(data, runners.values())
    task, decode = _of_detector(task, decode, reference, data)
    settings = {"task": task, "decode": decode, "class_names": names, "metrics": list(metrics)}
    progress = Progress(resume, fingerprint(runners, data, size, settings) if resume is not None else "")
    decoder, state = None if decode is None else decoder_of(decode), progress.load()
    run = Pass(list(candidates), data, task=task, class_names=names, metrics=metrics, decode=decoder, state=state)
    with silenced(), console.progress("accuracy diff", data.count) as advance:
        answered = answered_batches(runners, data, batch_size=size, done=run.batches, workers=workers)
        _count(run, answered, progress, advance)
        if layers and resume is not None:
            progress.save(run.state())
        by_candidate = _layers_and_causes(made_from or reference, reference, candidates, data, seed) if layers else {}
    progress.remove()
    return run.result(max_accuracy_drop, by_candidate)


def _check(task: str | None, decode: str | None, max_accuracy_drop: float) -> None:
    if not 0 <= max_accuracy_drop < 1:
        raise RecipeError(f"--max_accuracy_drop is {max_accuracy_drop}, expected a share in [0, 1)")
    check_decoding(task, decode)


def _of_detector(
    task: str | None, decode: str | None, reference: Runner, data: Samples
) -> tuple[str | None, str | None]:
    """The task and the decoding, found where labels are boxes, or where a detector is meant and nothing says how."""
    if decode is not None or task not in (None, "detection"):
        return task, decode
    if task is None:
        first = next(iter(data.take(BOX_SAMPLES).batches(BOX_SAMPLES)), None)
        if first is None or not are_boxes(first.labels, [info.shape for info in reference.outputs]):
            return task, decode
    with silenced():
        answered = answered_batches({REFERENCE: reference}, data.take(DECODED_SAMPLES), batch_size=BOX_SAMPLES)
        name, precision = found_decoding(((each.outputs[REFERENCE], each.batch.labels) for each in answered), data.name)
    how = "" if precision is None else f", with which the float model reaches {precision:.2f} mAP on some samples"
    remark(f"{data.name}: judged with --task=detection --decode={name}{how}; name another where that is wrong")
    return "detection", name


def _count(run: Pass, batches: Iterable[Answered], progress: Progress, advance: Callable[[int], None]) -> None:
    for answered in batches:
        before = run.samples
        run.count(answered)
        advance(run.samples - before)
        if progress.due:
            progress.save(run.state())


def _layers_and_causes(
    made_from: Runner, reference: Runner, candidates: Mapping[str, Runner], data: Samples, seed: int
) -> Found:
    """Layers and causes of every candidate, on a random few of the samples."""
    if not isinstance(made_from, FloatModelRunner):
        return {}
    original = reference.model if isinstance(reference, FloatModelRunner) else made_from.model
    few = data.take(LAYER_SAMPLES)
    if data.count is not None and data.indices is None and data.count > LAYER_SAMPLES:
        chosen = np.random.default_rng(seed).choice(data.count, LAYER_SAMPLES, replace=False)
        few = data.select([int(index) for index in chosen])
    by_candidate: dict[str, LayersFound] = {}
    for name, candidate in candidates.items():
        with optional(f"{name}: the diff of its layers"):
            rows = compare_layers(made_from, candidate, few)
            by_candidate[name] = LayersFound(rows)
            if not rows or not isinstance(candidate, LiteRtRunner):
                continue
            with optional(f"{name}: the causes of its error"):
                causes = find_causes(made_from, candidate, rows, few, original.keras_model)
                by_candidate[name] = LayersFound(rows, causes)
            with optional(f"{name}: the histograms of its layers"):
                layers_found = by_candidate[name]
                pictures = blamed_histograms(made_from, candidate, rows, layers_found.causes, few)
                by_candidate[name] = dataclasses.replace(layers_found, histograms=pictures)
    return by_candidate
