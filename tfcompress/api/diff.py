"""`diff`: the accuracy diff of any two models, artifacts or functions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

from tfcompress.accuracy_diff import compare, runner_for
from tfcompress.accuracy_diff.opening import artifact_in
from tfcompress.accuracy_diff.runners import FloatModelRunner, Runner, SavedModelRunner
from tfcompress.data import Data, Samples, open_data
from tfcompress.data.front_part import behind_front
from tfcompress.data.preprocess import Preprocess
from tfcompress.errors import InputError
from tfcompress.job.options import DiffOptions
from tfcompress.load import sample_bytes_of
from tfcompress.load.preprocessing import Front, split_preprocessing
from tfcompress.load.safety.tensor_bytes import graph_bytes
from tfcompress.native_output import silenced
from tfcompress.process_state import leaves_process_alone
from tfcompress.recipe.options import documented
from tfcompress.remarks import remarks
from tfcompress.tensor_info import same_names

__all__ = ["diff"]


@leaves_process_alone
@documented(DiffOptions)
def diff(
    reference: Any,
    candidate: Any,
    *,
    evaluation: Data,
    preprocess: str | Preprocess | None = None,
    label_column: str | None = None,
    labels: str | Path | Sequence[str] | None = None,
    resize: str | None = None,
    sample_rate: int | None = None,
    samples: int | None = None,
    task: str | None = None,
    decode: str | None = None,
    metrics: Sequence[str] = (),
    resume: str | Path | None = None,
    max_accuracy_drop: float = 0.01,
    strict_gate: bool = False,
    seed: int = 0,
    custom_objects: str | Mapping[str, Any] | None = None,
    allow_unsafe_deserialization: bool = False,
    max_load_seconds: float | None = None,
    max_load_memory: float | None = None,
) -> dict[str, Any]:
    """Compare any two of .keras, .h5, SavedModel, .tflite, .onnx, a Keras model or a Python callable on the same data.

    Returns:
        JSON values, as `tfcompress.report.schema` defines them: {"reference": {"name", "metrics", "samples", "task",
        "bytes", ...}, "candidate": {"name", "status", "reason", "metrics", "diff", "layers", "causes", "bytes", ...},
        "warnings": lines that a reader must know}.  The status is `ok`, `undecided` or `gate_failed`; a figure that is
        not known, such as the accuracy without labels, is None.

    Raises:
        InputError: anything about the input is wrong.
    """
    options = DiffOptions(**locals())  # the arguments have the options' names, which a test keeps
    with silenced(), remarks() as missing:
        first, second = (_opened(model, options) for model in (reference, candidate))
        described = first if first.inputs else second  # a function takes what the other model takes
        if not described.inputs:
            raise InputError(f"{first.name} and {second.name}: two functions; one of the two must be a model")
        first, second, front = _behind_front(first, second)
        compared = compare(
            first,
            {"candidate": second},
            _data_for(options, described, front, max(map(_sample_bytes, (first, second), (reference, candidate)))),
            task=task,
            decode=decode,
            metrics=options.metrics,
            resume=None if resume is None else Path(resume),
            max_accuracy_drop=max_accuracy_drop,
            seed=seed,
            layers=True,
        ).to_json()
    reference_section = {"name": str(reference), **compared["reference"], "bytes": _size(reference)}
    section = {"name": str(candidate), **compared["candidates"]["candidate"], "bytes": _size(candidate)}
    return {"reference": reference_section, "candidate": section, "warnings": list(missing)}


def _opened(model: object, options: DiffOptions) -> Runner:
    return runner_for(
        model,
        custom_objects=options.custom_objects,
        allow_unsafe_deserialization=options.allow_unsafe_deserialization,
        max_load_seconds=options.max_load_seconds,
        max_load_memory=options.max_load_memory,
    )


def _behind_front(first: Runner, second: Runner) -> tuple[Runner, Runner, Front | None]:
    """Both behind the part that only one of them has, a vocabulary's for example: a whole model and its artifact."""
    for whole, other in ((first, second), (second, first)):
        same = same_names([info.name for info in whole.inputs], [info.name for info in other.inputs]) is not None
        parts = split_preprocessing(whole.model) if isinstance(whole, FloatModelRunner) and not same else None
        if parts is not None and other.inputs:
            front, rest = parts
            runner = FloatModelRunner(rest)
            return (runner, second, front) if whole is first else (first, runner, front)
    return first, second, None


def _data_for(options: DiffOptions, described: Runner, front: Front | None, sample_bytes: int) -> Samples:
    """The samples that both are run on, of the raw inputs or of what is behind the front part."""
    raw, data = described.inputs if front is None else front.raw, cast(Data, options.evaluation)
    samples = open_data(data, raw, described.outputs, flag="evaluation", **options.reading)
    if front is not None:
        samples = behind_front(samples, front, front.inputs, fingerprint=None)
    samples = samples.measured(sample_bytes)
    return samples if options.samples is None else samples.take(options.samples)


def _sample_bytes(runner: Runner, given: object) -> int:
    """What all tensors of one sample take in a runner of what the user gave; 0 where nobody knows."""
    if isinstance(runner, FloatModelRunner):
        return runner.model.sample_bytes
    if isinstance(runner, SavedModelRunner):
        return graph_bytes(runner.function.graph)
    return sample_bytes_of(Path(given)) if isinstance(given, str | Path) else 0


def _size(model: Any) -> int | None:
    """Bytes of the file, or of all files of the SavedModel, that a model is; None for one in memory."""
    if not isinstance(model, str | Path):
        return None
    path = artifact_in(Path(model))
    files = [path] if path.is_file() else [file for file in path.rglob("*") if file.is_file()]
    return sum(file.stat().st_size for file in files)
