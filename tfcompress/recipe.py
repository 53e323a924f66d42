"""The recipe: everything that is done to a model, as frozen dataclasses with a JSON round trip.

A recipe is checked when it is made, so a bad one never reaches training.  An unknown key is an error: a typo must
not be silent.  Layer patterns are shell patterns (`fnmatch`) over Keras layer names.
"""

from __future__ import annotations

import dataclasses
import difflib
import json
import types
import typing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Self

from tfcompress.errors import RecipeError
from tfcompress.targets import DEFAULT_TOPOLOGIES

__all__ = [
    "CloudTpu",
    "Clustering",
    "Distillation",
    "EdgeTpu",
    "PostTraining",
    "Pruning",
    "Quantization",
    "Recipe",
    "Training",
]

RECIPE_VERSION = 1


def _require(ok: bool, section: str, name: str, value: object, expected: str) -> None:
    if not ok:
        raise RecipeError(f"recipe: {section}.{name} is {value!r}, expected {expected}")


def _check_stage(section: str, epochs: int | None, learning_rate: float | None) -> None:
    if epochs is not None:
        _require(epochs >= 1, section, "epochs", epochs, "at least 1")
    if learning_rate is not None:
        _require(learning_rate > 0, section, "learning_rate", learning_rate, "a number > 0")


class _Section:
    """Checks every `Literal` field of a section when it is made."""

    def __post_init__(self) -> None:
        hints = typing.get_type_hints(type(self))
        for item in dataclasses.fields(typing.cast(Any, self)):
            hint = hints[item.name]
            if typing.get_origin(hint) is Literal:
                allowed = typing.get_args(hint)
                value = getattr(self, item.name)
                _require(
                    value in allowed,
                    _section_name(type(self)),
                    item.name,
                    value,
                    "one of " + ", ".join(map(str, allowed)),
                )
        self._check()

    def _check(self) -> None:
        """Range checks of the section; overridden where there are any."""


@dataclass(frozen=True, kw_only=True)
class Pruning(_Section):
    """Set weights to zero while training (Zhu & Gupta 2017, "To prune, or not to prune").

    Attributes:
        schedule: `polynomial` rises from `initial_sparsity`; `constant` asks for `sparsity` from the start.
        sparsity: share of each pruned kernel that is zero at the end, 0 <= s < 1.
        initial_sparsity: where a polynomial schedule starts.
        begin_step: first training step that prunes.
        end_step: step at which `sparsity` is reached; None means half way through the training.
        frequency: prune every so many steps; None chooses one that prunes at least ten times.
        power: exponent of the polynomial.
        pattern: `unstructured`, `n_m` (n non-zero of every m along the input axis, as 2:4) or `block`.
        n: non-zeros kept in each group, for `n_m`.
        m: group size, for `n_m`.
        block_shape: rows and columns of a block of the kernel as a matrix (inputs x outputs), for `block`.
        criterion: what makes a weight unimportant.
        layers: (layer pattern, sparsity) pairs that override `sparsity`; the first match holds.
        skip: layer patterns that are not pruned; None means the first, the last and depthwise layers.
        epochs: of this stage; None takes `training.epochs`.
        learning_rate: of this stage; None takes `training.learning_rate`.
    """

    schedule: Literal["constant", "polynomial"] = "polynomial"
    sparsity: float = 0.5
    initial_sparsity: float = 0.0
    begin_step: int = 0
    end_step: int | None = None
    frequency: int | None = None
    power: float = 3.0
    pattern: Literal["unstructured", "n_m", "block"] = "unstructured"
    n: int = 2
    m: int = 4
    block_shape: tuple[int, int] = (1, 4)
    criterion: Literal["magnitude", "gradient", "l1_norm", "l2_norm"] = "magnitude"
    layers: tuple[tuple[str, float], ...] = ()
    skip: tuple[str, ...] | None = None
    epochs: int | None = None
    learning_rate: float | None = None

    def _check(self) -> None:
        _check_stage("pruning", self.epochs, self.learning_rate)
        for name, value in [("sparsity", self.sparsity), ("initial_sparsity", self.initial_sparsity)]:
            _require(0 <= value < 1, "pruning", name, value, "a share in [0, 1)")
        for pattern, value in self.layers:
            _require(0 <= value < 1, "pruning", f"layers[{pattern!r}]", value, "a share in [0, 1)")
        _require(self.begin_step >= 0, "pruning", "begin_step", self.begin_step, "a step >= 0")
        if self.end_step is not None:
            _require(self.end_step > self.begin_step, "pruning", "end_step", self.end_step, "a step after begin_step")
        if self.frequency is not None:
            _require(self.frequency > 0, "pruning", "frequency", self.frequency, "a number of steps > 0")
        _require(0 < self.n < self.m, "pruning", "n", self.n, f"between 1 and m - 1 = {self.m - 1}")
        _require(min(self.block_shape) >= 1, "pruning", "block_shape", self.block_shape, "two sizes >= 1")


@dataclass(frozen=True, kw_only=True)
class Clustering(_Section):
    """Make the weights of a kernel share few values (Han et al. 2016, "Deep Compression", section 3).

    Attributes:
        clusters: number of distinct values in each clustered kernel, 2 to 256.
        initialization: how the centroids are placed first.
        per_channel: cluster every output channel on its own.
        preserve_sparsity: keep zeros zero, as one of the clusters.
        skip: layer patterns that are not clustered; None means the first, the last and depthwise layers.
        epochs: of this stage; None takes `training.epochs`.
        learning_rate: of this stage; None takes `training.learning_rate`.
    """

    clusters: int = 16
    initialization: Literal["kmeans_plus_plus", "linear", "density", "random"] = "kmeans_plus_plus"
    per_channel: bool = False
    preserve_sparsity: bool = True
    skip: tuple[str, ...] | None = None
    epochs: int | None = None
    learning_rate: float | None = None

    def _check(self) -> None:
        _check_stage("clustering", self.epochs, self.learning_rate)
        _require(2 <= self.clusters <= 256, "clustering", "clusters", self.clusters, "between 2 and 256")


@dataclass(frozen=True, kw_only=True)
class Quantization(_Section):
    """Quantization-aware training (Jacob et al. 2018).

    Attributes:
        strict: a layer that cannot be quantized is an error instead of being left in float with a reason.
        skip: layer patterns that stay in float while training.
        freeze_batch_norm: keep batch-norm statistics as they are while fine-tuning.
        calibrate: set the initial activation ranges from the training data instead of tfmot's +-6, and correct biases
            for the rounding of weights.
        estimator: how a range follows from that data: `min_max`, or the range of least squared error.
        train_ranges: calibrated ranges are trained like the weights (Bhalgat et al. 2020, "LSQ+"); else they stay.
        epochs: of this stage; None takes `training.epochs`.
        learning_rate: of this stage; None takes `training.learning_rate`.
    """

    strict: bool = False
    skip: tuple[str, ...] = ()
    freeze_batch_norm: bool = True
    calibrate: bool = True
    estimator: Literal["min_max", "mse"] = "mse"
    train_ranges: bool = True
    epochs: int | None = None
    learning_rate: float | None = None

    def _check(self) -> None:
        _check_stage("quantization", self.epochs, self.learning_rate)


@dataclass(frozen=True, kw_only=True)
class Distillation(_Section):
    """Train towards the float model's outputs (Hinton et al. 2015).

    Attributes:
        temperature: softening of both distributions, > 0.
        weight: share of the distillation loss, in (0, 1]; the rest is the loss against labels. 1 needs no labels.
    """

    temperature: float = 1.0
    weight: float = 1.0

    def _check(self) -> None:
        _require(self.temperature > 0, "distillation", "temperature", self.temperature, "a number > 0")
        _require(0 < self.weight <= 1, "distillation", "weight", self.weight, "a share in (0, 1]")


@dataclass(frozen=True, kw_only=True)
class Training(_Section):
    """How the wrapped model is fine-tuned.

    Attributes:
        epochs: passes over the training data, for each of pruning, clustering and quantization.
        batch_size: samples a step.
        learning_rate: size of the first steps; None takes 5e-3 while pruning and clustering, which must recover what
            they removed, and 1e-4 while quantizing and distilling, where larger steps only stir the rounding.  For
            adam, adamw and rmsprop it is relative: in units of the root mean square of each variable, so that small
            weights are not overrun; for sgd it is the factor of the gradient.
        decay: whether the learning rate falls to zero along half a cosine (Loshchilov & Hutter 2017) or stays.
        optimizer: a Keras optimizer name.
        loss: a Keras loss name; None takes the model's own, or one that fits its outputs.
        strategy: the `tf.distribute` strategy.
    """

    epochs: int = 2
    batch_size: int = 32
    learning_rate: float | None = None
    decay: Literal["cosine", "constant"] = "cosine"
    optimizer: Literal["adam", "sgd", "rmsprop", "adamw"] = "adam"
    loss: str | None = None
    strategy: Literal["none", "mirrored", "multi_worker", "tpu"] = "none"

    def _check(self) -> None:
        _check_stage("training", self.epochs, self.learning_rate)
        _require(self.batch_size >= 1, "training", "batch_size", self.batch_size, "at least 1")


@dataclass(frozen=True, kw_only=True)
class PostTraining(_Section):
    """Quantization after training, for the phone and edgetpu targets (LiteRT, "Post-training quantization").

    Attributes:
        scheme: what is stored and what is computed; `int8` has integer inputs and outputs.
        engine: who quantizes; `auto` chooses per model and says why.
        estimator: how an activation range is estimated from calibration data.
        percentile: share of values inside the range, for `percentile`, in percent.
        quality: which of the three roundings below run where they are None.
        bias_correction: shift biases by the mean error that weight rounding causes (Nagel et al. 2019, section 4.2).
        cross_layer_equalization: even out channel ranges across layers (Nagel et al. 2019, section 4.1).
        adaptive_rounding: choose up or down for each weight on unlabelled data (Nagel et al. 2020, AdaRound).
        allow_select_ops: let TensorFlow (Flex) operators into the file.
        selection: which samples calibrate: `spread` evenly over the data, or `representative` ones, chosen in a pass
            over all of it so that they show every class that the model predicts and the extremes of its activations.
        calibration_ranges: the `calibration.json` that an earlier run left in its phone folder, reused by the phone
            target instead of calibrating; refused where the model or the samples are others. None calibrates.
    """

    scheme: Literal["int8", "int8_float_io", "int16x8", "float16", "dynamic", "int4_weights"] = "int8"
    engine: Literal["auto", "litert", "tflite_converter"] = "auto"
    estimator: Literal["min_max", "moving_average", "percentile", "entropy", "mse"] = "min_max"
    percentile: float = 99.99
    quality: Literal["fast", "balanced", "best"] = "balanced"
    bias_correction: bool | None = None
    cross_layer_equalization: bool | None = None
    adaptive_rounding: bool | None = None
    allow_select_ops: bool = False
    selection: Literal["spread", "representative"] = "spread"
    calibration_ranges: str | None = None

    def _check(self) -> None:
        _require(50 < self.percentile <= 100, "post_training", "percentile", self.percentile, "in (50, 100]")


@dataclass(frozen=True, kw_only=True)
class EdgeTpu(_Section):
    """Options of the edgetpu target.

    Attributes:
        rewrite: which graph rewrites run before quantization; `safe` ones leave the float function as it was.
        float_io: keep float32 inputs and outputs (one CPU operator at each end).
    """

    rewrite: Literal["none", "safe", "all"] = "safe"
    float_io: bool = False


@dataclass(frozen=True, kw_only=True)
class CloudTpu(_Section):
    """Options of the cloud_tpu target.

    Attributes:
        precision: `bfloat16` computes and stores in bfloat16 with float32 at the edges.
        batch_sizes: one static-shape signature each, ascending.
        topologies: what the compile proof compiles for, as ``chip:XxY``.
        keep_float32: layer patterns computed in float32.
        freeze: store weights as constants instead of variables.
    """

    precision: Literal["bfloat16", "float32", "mixed"] = "bfloat16"
    batch_sizes: tuple[int, ...] = (1, 8, 32, 128)
    topologies: tuple[str, ...] = DEFAULT_TOPOLOGIES
    keep_float32: tuple[str, ...] = ()
    freeze: bool = False

    def _check(self) -> None:
        sizes = self.batch_sizes
        ok = bool(sizes) and min(sizes) >= 1 and list(sizes) == sorted(set(sizes))
        _require(ok, "cloud_tpu", "batch_sizes", sizes, "positive sizes, ascending, without repeats")


@dataclass(frozen=True, kw_only=True)
class Recipe(_Section):
    """All that is done to a model.  A training section that is None is not applied.

    Attributes:
        pruning: see `Pruning`.
        clustering: see `Clustering`.
        quantization: see `Quantization`.
        distillation: see `Distillation`.
        training: see `Training`.
        post_training: see `PostTraining`.
        edgetpu: see `EdgeTpu`.
        cloud_tpu: see `CloudTpu`.
        keep_float: patterns of layers that stay float in an integer artifact.
        keep_int16: patterns of layers whose activations are 16 bit in an int8 artifact.
        version: of the recipe format.
    """

    pruning: Pruning | None = None
    clustering: Clustering | None = None
    quantization: Quantization | None = None
    distillation: Distillation | None = None
    training: Training = field(default_factory=Training)
    post_training: PostTraining = field(default_factory=PostTraining)
    edgetpu: EdgeTpu = field(default_factory=EdgeTpu)
    cloud_tpu: CloudTpu = field(default_factory=CloudTpu)
    keep_float: tuple[str, ...] = ()
    keep_int16: tuple[str, ...] = ()
    version: int = RECIPE_VERSION

    def _check(self) -> None:
        if self.version != RECIPE_VERSION:
            raise RecipeError(f"recipe: version is {self.version!r}, expected {RECIPE_VERSION}")

    @property
    def trains(self) -> bool:
        """Whether any section needs training."""
        return any(part is not None for part in (self.pruning, self.clustering, self.quantization, self.distillation))

    @classmethod
    def from_json(cls, text: str) -> Self:
        """The recipe in a JSON text.

        Raises:
            RecipeError: not JSON, an unknown key, a value of the wrong type or out of range.
        """
        try:
            value = json.loads(text)
        except json.JSONDecodeError as error:
            raise RecipeError(f"recipe: not valid JSON: {error}") from None
        return _from_plain(cls, value, "recipe")

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """The recipe in a JSON file.

        Raises:
            RecipeError: the file cannot be read, or see `from_json`.
        """
        try:
            text = Path(path).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise RecipeError(f"--recipe={path}: cannot read the recipe: {error}") from None
        return cls.from_json(text)

    def to_json(self) -> str:
        """JSON text that `from_json` reads back to an equal recipe."""
        return json.dumps(dataclasses.asdict(self), indent=2, sort_keys=True) + "\n"

    def save(self, path: str | Path) -> None:
        """Write `to_json` to a file."""
        Path(path).write_text(self.to_json(), encoding="utf-8")


def _section_name(section: type) -> str:
    names = {"PostTraining": "post_training", "EdgeTpu": "edgetpu", "CloudTpu": "cloud_tpu"}
    return names.get(section.__name__, section.__name__.lower())


def _from_plain(hint: Any, value: Any, where: str) -> Any:
    """`value`, as read from JSON, turned into what the type `hint` says."""
    if dataclasses.is_dataclass(hint) and isinstance(hint, type):
        return _dataclass_from_plain(hint, value, where)
    origin = typing.get_origin(hint)
    if origin in (typing.Union, types.UnionType):
        options = [option for option in typing.get_args(hint) if option is not type(None)]
        if value is None:
            return None
        return _from_plain(options[0], value, where)
    if origin is tuple:
        if not isinstance(value, list):
            raise RecipeError(f"{where}: got {value!r}, expected a list")
        inner = typing.get_args(hint)
        repeated = len(inner) == 2 and inner[1] is Ellipsis
        if not repeated and len(value) != len(inner):
            raise RecipeError(f"{where}: got {len(value)} items, expected {len(inner)}")
        hints = [inner[0]] * len(value) if repeated else list(inner)
        return tuple(
            _from_plain(one, item, f"{where}[{i}]") for i, (one, item) in enumerate(zip(hints, value, strict=True))
        )
    if origin is Literal:
        return value
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if type(value) is not hint:
        raise RecipeError(f"{where}: got {value!r}, expected {getattr(hint, '__name__', hint)}")
    return value


def _dataclass_from_plain(section: Any, value: Any, where: str) -> Any:
    if not isinstance(value, dict):
        raise RecipeError(f"{where}: got {value!r}, expected an object with keys")
    hints = typing.get_type_hints(section)
    for key in value:
        if key not in hints:
            close = difflib.get_close_matches(key, hints, n=1)
            advice = f"did you mean {close[0]!r}?" if close else f"expected one of {', '.join(hints)}"
            raise RecipeError(f"{where}: unknown key {key!r}; {advice}")
    return section(**{key: _from_plain(hints[key], item, f"{where}.{key}") for key, item in value.items()})
