"""The options of every command, as frozen dataclasses: what the parser, the Python functions and the docs share.

This module imports nothing heavy, so that a wrong value is refused before TensorFlow is imported.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from tfcompress.converters.target import DEFAULT_TARGETS, TARGETS, parse_targets
from tfcompress.data.images import RESIZINGS
from tfcompress.data.preprocess import PREPROCESSINGS
from tfcompress.errors import InputError
from tfcompress.metric_names import check_metric
from tfcompress.recipe import Recipe
from tfcompress.recipe.options import option
from tfcompress.task_names import DECODINGS, TASKS, check_decoding

__all__ = [
    "DATA_HELP",
    "SAMPLINGS",
    "Caching",
    "Calibrating",
    "CompressOptions",
    "ConvertOptions",
    "DataReading",
    "DemoOptions",
    "DiffOptions",
    "InspectOptions",
    "Loading",
    "VerifyOptions",
]

SAMPLINGS = ("mean", "input")

DATA_HELP = "path (.npz, .npy, .csv, .tfrecord, folder or .zip of class folders) or package.module:function"


@dataclass(frozen=True, kw_only=True)
class _Options:
    """Options that every command has."""

    seed: int = option(0, help="random seed", metavar="SEED")

    def __post_init__(self) -> None:
        self._require(0 <= self.seed < 2**32, "seed", "a whole number from 0 to 4294967295")
        self._check()

    def _check(self) -> None:
        """Range checks of the command's own options; overridden where there are any."""

    def _require(self, condition: bool, name: str, expected: str) -> None:
        if not condition:
            raise InputError(f"--{name}: got {getattr(self, name)!r}, expected {expected}")


@dataclass(frozen=True, kw_only=True)
class Limits(_Options):
    """How much the process may take in which a file is tried first."""

    max_load_seconds: float | None = option(
        None,
        metavar="SECONDS",
        help="processor time that the file may take to be loaded and run once in a separate process before it is "
        "trusted; 60 seconds plus 1 per MiB of the file if None",
    )
    max_load_memory: float | None = option(
        None,
        metavar="MIB",
        help="memory in MiB that the file may take in that process, seven tenths of it the tensors of one sample; 1536 "
        "plus six times the file's size if None",
    )

    def _check(self) -> None:
        super()._check()
        for name in ("max_load_seconds", "max_load_memory"):
            value = getattr(self, name)
            self._require(value is None or 0 < value < 1e9, name, "a number above 0")


@dataclass(frozen=True, kw_only=True)
class Loading(Limits):
    """How a model file is opened."""

    custom_objects: str | Mapping[str, Any] | None = option(
        None,
        metavar="MODULE:DICT",
        help="custom layers, losses and functions, as package.module:dict or, in Python, {name: class}",
    )
    allow_unsafe_deserialization: bool = option(
        False, help="let code inside the model file run (Lambda layers, pickles)"
    )

    def _check(self) -> None:
        super()._check()
        named = self.custom_objects
        self._require(not isinstance(named, str) or ":" in named, "custom_objects", "package.module:dict")


@dataclass(frozen=True, kw_only=True)
class DataReading(_Options):
    """How data is read."""

    preprocess: str | Callable[..., Any] | None = option(
        None,
        metavar="HOW",
        help="what is done to raw values before the model sees them: none, unit (x/255), signed_unit (x/127.5-1) or "
        "package.module:function",
    )
    label_column: str | None = option(
        None, metavar="NAME", help="name or number of the label column of a .csv file; the last column if None"
    )
    labels: str | Path | Sequence[str] | None = option(
        None,
        metavar="FILE",
        help="text file with the names of the classes, one per line, in the model's order; the sorted names of the "
        "class folders or of the words in the label column if None",
    )
    resize: str | None = option(
        None,
        choices=lambda: RESIZINGS,
        help="how images of another size are made to fit (pad also takes sounds of another length); they are refused "
        "if None",
    )
    sample_rate: int | None = option(
        None, metavar="HZ", help="sample rate that sounds are resampled to; they are not resampled if None"
    )

    @property
    def reading(self) -> dict[str, Any]:
        """How data is read: keywords of `tfcompress.data.open_data`."""
        names = [item.name for item in fields(DataReading) if item.name != "seed"]
        return {name: getattr(self, name) for name in names}

    def _check(self) -> None:
        super()._check()
        self._require(self.resize is None or self.resize in RESIZINGS, "resize", f"one of {', '.join(RESIZINGS)}")
        self._require(self.sample_rate is None or 100 <= self.sample_rate <= 1_000_000, "sample_rate", "a rate in Hz")
        named = self.preprocess if isinstance(self.preprocess, str) else "none"
        is_known = ":" in named or named in PREPROCESSINGS
        self._require(is_known, "preprocess", f"one of {', '.join(PREPROCESSINGS)} or package.module:function")


@dataclass(frozen=True, kw_only=True)
class _Gate(_Options):
    max_accuracy_drop: float = option(
        0.01, metavar="DROP", help="accuracy gate: the largest accepted drop, absolute (0.01 is one point)"
    )
    strict_gate: bool = option(
        False,
        help="exit with 3 also where there is too little data to tell whether the gate is passed (status undecided)",
    )
    task: str | None = option(
        None, choices=lambda: TASKS, help="what the outputs mean; inferred from the outputs and labels if None"
    )
    decode: str | None = option(
        None,
        metavar="HOW",
        help=f"with --task=detection, how boxes are made of the outputs (found if None): {', '.join(DECODINGS)} or "
        "package.module:function, which gets {output: array} and returns rows (x1, y1, x2, y2, score, class) for each "
        "image",
    )

    def _check(self) -> None:
        super()._check()
        self._require(0 <= self.max_accuracy_drop < 1, "max_accuracy_drop", "a share in [0, 1)")
        self._require(self.task is None or self.task in TASKS, "task", f"one of {', '.join(TASKS)}")
        check_decoding(self.task, self.decode)


@dataclass(frozen=True, kw_only=True)
class Calibrating(_Options):
    """How much data calibrates."""

    calibration_samples: int = option(500, metavar="N", help="number of calibration samples, spread over the data")

    def _check(self) -> None:
        super()._check()
        self._require(self.calibration_samples >= 1, "calibration_samples", "a number >= 1")


@dataclass(frozen=True, kw_only=True)
class Caching(_Options):
    """Where results are kept."""

    cache_dir: str | Path | None = option(
        None,
        metavar="DIR",
        help="folder in which results are kept, and reused as long as nothing that they depend on has changed; the "
        "user's cache folder if None",
    )
    no_cache: bool = option(False, help="do not reuse results of earlier runs, and keep none")


@dataclass(frozen=True, kw_only=True)
class ConvertOptions(Calibrating, _Gate, DataReading, Loading, Caching):
    """Options of `convert`."""

    model: object = option(
        positional=True, metavar="MODEL", help=".keras, .h5 or SavedModel folder or, in Python, a Keras model"
    )
    targets: str | Sequence[str] = option(
        DEFAULT_TARGETS, metavar="T,T", choices=lambda: TARGETS, help="names of the targets to convert for"
    )
    calibration: object = option(
        None, metavar="DATA", help=f"representative data, which integer artifacts need: {DATA_HELP}"
    )
    evaluation: object = option(
        None,
        metavar="DATA",
        help="data that the artifacts are compared on, with or without labels; the calibration data if None",
    )
    train: object = option(
        None,
        metavar="DATA",
        help="data to fine-tune on if the recipe trains; the calibration data if None",
    )
    output: str | Path = option(metavar="DIR", help="folder to write; an earlier output folder is replaced as a whole")
    recipe: Recipe | None = option(
        None, metavar="FILE", help="what is done to the model: a JSON recipe or, in Python, a Recipe"
    )
    sampling: str = option(
        "mean",
        metavar="HOW",
        choices=lambda: SAMPLINGS,
        help="what replaces random numbers that a model draws at inference: their mean, or an additional input of the "
        "artifact",
    )
    author: str | None = option(None, metavar="NAME", help="who made the model, for the metadata of .tflite files")
    score_threshold: float | None = option(
        None,
        metavar="SCORE",
        help="least score of a class that MediaPipe shows, for the metadata of .tflite files; no limit if None",
    )
    sign_key: str | Path | None = option(
        None, metavar="KEY.pem", help="Ed25519 private key that signs the manifest; needs the extra [sign]"
    )
    suggest: bool = option(
        False,
        help="if an artifact fails the gate, or has lost zeros or clusters that the model had, try the repairs for the "
        "causes that were found and keep the first good artifact",
    )

    def _check(self) -> None:
        super()._check()
        self._require(self.sampling in SAMPLINGS, "sampling", f"one of {', '.join(SAMPLINGS)}")
        least = self.score_threshold
        self._require(least is None or math.isfinite(least), "score_threshold", "a finite number")
        parse_targets(self.targets)

    def require_data(self) -> None:
        """Refuse a conversion that is not given the data that it needs.

        Raises:
            InputError: names the flag.
        """
        recipe = self.recipe or Recipe()
        needing = [name for name in parse_targets(self.targets) if TARGETS[name].needs_calibration(recipe)]
        if needing and self.calibration is None:
            raise InputError(
                f"--calibration: not given, but {', '.join(needing)} cannot do without representative data; give a few "
                "hundred inputs"
            )
        if recipe.trains and self.train is None and self.calibration is None:
            raise InputError("--train: the recipe trains, which needs data; none given")


@dataclass(frozen=True, kw_only=True)
class CompressOptions(DataReading, Loading):
    """Options of `compress`."""

    model: object = option(
        positional=True, metavar="MODEL", help=".keras, .h5 or SavedModel folder or, in Python, a Keras model"
    )
    recipe: Recipe = option(
        metavar="FILE",
        help="what is done to the model, with at least one section that trains: a JSON recipe or, in Python, a Recipe",
    )
    train: object = option(metavar="DATA", help=f"data to fine-tune on: {DATA_HELP}")
    output: str | Path = option(
        metavar="FILE.keras", help="file to write; the model keeps the Keras version that it was made with"
    )
    checkpoints: str | Path | None = option(
        None, metavar="DIR", help="folder of checkpoints, saved after every epoch; a killed run resumes from there"
    )

    def _check(self) -> None:
        super()._check()
        if not self.recipe.trains:
            raise InputError(
                "--recipe: has none of layers, structure, low_rank, student, pruning, clustering, quantization, "
                "distillation; nothing to do"
            )


@dataclass(frozen=True, kw_only=True)
class DiffOptions(_Gate, DataReading, Loading):
    """Options of `diff`."""

    reference: object = option(
        positional=True,
        metavar="REFERENCE",
        help="model to compare with: .keras, .h5, SavedModel, .tflite, .onnx or package.module:function",
    )
    candidate: object = option(positional=True, metavar="CANDIDATE", help="model to measure, in one of the same forms")
    evaluation: object = option(metavar="DATA", help=f"data to compare on, with labels or without: {DATA_HELP}")
    samples: int | None = option(None, metavar="N", help="use only the first N samples; all if None")
    metrics: tuple[str, ...] = option(
        (),
        metavar="M,M",
        help="names of Keras metrics to compute as well (AUC, mse, ...), or package.module:function that "
        "returns a metric",
    )
    resume: str | Path | None = option(
        None,
        metavar="FILE",
        help="file in which progress is saved, so that an interrupted diff can continue; none is saved if None",
    )

    def _check(self) -> None:
        super()._check()
        self._require(self.samples is None or self.samples >= 1, "samples", "a number >= 1")
        for name in self.metrics:
            check_metric(name)


@dataclass(frozen=True, kw_only=True)
class InspectOptions(Calibrating, DataReading, Loading, Caching):
    """Options of `inspect`."""

    artifact: tuple[str, ...] = option(
        positional=True, metavar="ARTIFACT", help=".keras, .h5, SavedModel folder or .tflite"
    )
    target: str | None = option(
        None, metavar="NAME", choices=lambda: TARGETS, help="report how the artifact would run on this target"
    )
    recipe: Recipe | None = option(None, metavar="FILE", help="JSON recipe with options of the target")
    calibration: str | None = option(None, metavar="DATA", help="data on which to examine a model's activations")
    edgetpu_log: bool = option(False, help="read the artifacts as logs of the Edge TPU compiler")

    def _check(self) -> None:
        super()._check()
        self._require(self.target is None or self.target in TARGETS, "target", f"one of {', '.join(TARGETS)}")
        if self.edgetpu_log and self.target is not None:
            raise InputError(
                f"--target={self.target}: not read with --edgetpu_log, which shows what a compiler said; leave one out"
            )
        if self.calibration is not None and not self._is_of_model():
            raise InputError(
                f"--calibration={self.calibration}: read for a Keras model without --target alone, whose activations it"
                " is to examine; leave it out"
            )
        together = self.target is not None and TARGETS[self.target].inspect_together is not None
        if len(self.artifact) > 1 and not (self.edgetpu_log or together):
            several = ", ".join(f"--target={name}" for name, target in TARGETS.items() if target.inspect_together)
            raise InputError(
                f"got {len(self.artifact)} artifacts, expected one; only with --edgetpu_log or {several} can they be"
                " several"
            )

    def _is_of_model(self) -> bool:
        """Whether a model is looked at, not a converted artifact."""
        if self.edgetpu_log or self.target is not None:
            return False
        return not any(Path(name).suffix in (".tflite", ".onnx", ".tfcz") for name in self.artifact)


@dataclass(frozen=True, kw_only=True)
class VerifyOptions(_Options):
    """Options of `verify`."""

    folder: str = option(positional=True, metavar="DIR", help="output folder of convert")
    public_key: str | Path | None = option(
        None, metavar="KEY.pem", help="Ed25519 key that must have signed the manifest; needs the extra [sign]"
    )


@dataclass(frozen=True, kw_only=True)
class PackOptions(Limits):
    """Options of `pack`."""

    model: str = option(positional=True, metavar="MODEL.tflite", help="any .tflite")
    output: str = option(metavar="FILE.tfcz", help="file to write")


@dataclass(frozen=True, kw_only=True)
class UnpackOptions(Limits):
    """Options of `unpack`."""

    packed: str = option(positional=True, metavar="MODEL.tfcz", help="file that pack wrote")
    output: str = option(metavar="FILE.tflite", help="file to write")
    max_bytes: int = option(2**31 - 1, metavar="BYTES", help="refuse a file that would be larger than this")


@dataclass(frozen=True, kw_only=True)
class DemoOptions(_Options):
    """Options of `demo`."""

    output: str = option("demo_output", metavar="DIR", help="folder to make")
