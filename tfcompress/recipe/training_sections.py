"""The sections of a recipe that train: pruning, clustering, quantization-aware training and distillation."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from typing import ClassVar, Literal

from tfcompress.loss_names import LOSSES
from tfcompress.recipe.options import documented, option
from tfcompress.recipe.section import Section

__all__ = ["Clustering", "Distillation", "Pruning", "Quantization", "Training"]

MOST_EPOCHS = 100_000  # a recipe may come from a stranger, and more would never end
LARGEST_RATE = 1e6  # float32 holds it in any product
MOST_POWER = 100.0
MOST_SAMPLES = 2**20
MOST_SHIFT = 2**20


@dataclass(frozen=True, kw_only=True)
class _TrainedSection(Section):
    """A section with a training stage of its own."""

    epochs: int | None = option(None, help="epochs of this stage; None takes training.epochs")
    learning_rate: float | None = option(None, help="learning rate of this stage; None takes training.learning_rate")

    def _check(self) -> None:
        if self.epochs is not None:
            self.require(1 <= self.epochs <= MOST_EPOCHS, "epochs", f"1 to {MOST_EPOCHS}")
        if self.learning_rate is not None:
            self.require(
                0 < self.learning_rate <= LARGEST_RATE, "learning_rate", f"a number > 0, at most {LARGEST_RATE:g}"
            )


@documented()
@dataclass(frozen=True, kw_only=True)
class Pruning(_TrainedSection):
    """Set weights to zero while training (Zhu & Gupta 2017, "To prune, or not to prune")."""

    key: ClassVar[str] = "pruning"
    schedule: Literal["constant", "polynomial"] = option(
        "polynomial",
        help="polynomial raises the sparsity from initial_sparsity; constant asks for sparsity from the start",
    )
    sparsity: float = option(0.5, help="share of each pruned kernel that is zero at the end, in [0, 1)")
    initial_sparsity: float = option(0.0, help="sparsity at which a polynomial schedule starts, in [0, 1)")
    begin_step: int = option(0, help="first training step that prunes")
    end_step: int | None = option(
        None, help="step at which sparsity is reached; None means half way through the training"
    )
    frequency: int | None = option(
        None, help="number of steps between two prunings; None chooses one that prunes at least ten times"
    )
    power: float = option(3.0, help="exponent of the polynomial schedule")
    pattern: Literal["unstructured", "n_m", "block"] = option(
        "unstructured",
        help="unstructured zeros, n_m for n non-zeros in every m along the input axis (as 2:4), or block",
    )
    n: int = option(2, help="non-zeros kept in each group, for n_m")
    m: int = option(4, help="size of a group, for n_m")
    block_shape: tuple[int, int] = option(
        (1, 4), help="rows and columns of a block of the kernel as a matrix (inputs x outputs), for block"
    )
    criterion: Literal["magnitude", "gradient", "l1_norm", "l2_norm"] = option(
        "magnitude", help="what makes a weight unimportant"
    )
    layers: tuple[tuple[str, float], ...] = option(
        (), help="(layer pattern, sparsity) pairs that override sparsity; the first match holds"
    )
    skip: tuple[str, ...] | None = option(
        None, help="layer patterns that are not pruned; None means the first, the last and depthwise layers"
    )

    def _check(self) -> None:
        super()._check()
        for name in ("sparsity", "initial_sparsity"):
            self.require(0 <= getattr(self, name) < 1, name, "a share in [0, 1)")
        for pattern, value in self.layers:
            self.require(0 <= value < 1, f"layers[{pattern!r}]", "a share in [0, 1)")
        self.require(self.begin_step >= 0, "begin_step", "a step >= 0")
        if self.end_step is not None:
            self.require(self.end_step > self.begin_step, "end_step", "a step after begin_step")
        if self.frequency is not None:
            self.require(self.frequency > 0, "frequency", "a number of steps > 0")
        self.require(0 < self.power <= MOST_POWER, "power", f"a number > 0, at most {MOST_POWER:g}")
        self.require(0 < self.n < self.m, "n", f"between 1 and m - 1 = {self.m - 1}")
        self.require(min(self.block_shape) >= 1, "block_shape", "two sizes >= 1")


@documented()
@dataclass(frozen=True, kw_only=True)
class Clustering(_TrainedSection):
    """Make the weights of a kernel share few values (Han et al. 2016, "Deep Compression", section 3)."""

    key: ClassVar[str] = "clustering"
    clusters: int = option(16, help="number of distinct values in each clustered kernel, 2 to 256")
    table: Literal["free", "binary", "ternary"] = option(
        "free",
        help="which values these are: free ones; binary, plus and minus one size (Rastegari et al. 2016, the weights "
        'of "XNOR-Net"); or ternary, these and zero (Li et al. 2016, "Ternary Weight Networks"). The size is the mean '
        "magnitude, one for each scale of the int8 file; signs and zeros are taken anew at every step, and clusters, "
        "layers, initialization and per_channel do not count",
    )
    layers: tuple[tuple[str, int], ...] = option(
        (), help="(layer pattern, clusters) pairs that override clusters; the first match holds"
    )
    initialization: Literal["kmeans_plus_plus", "linear", "density", "random"] = option(
        "kmeans_plus_plus", help="how the centroids are placed first"
    )
    per_channel: bool = option(False, help="cluster every output channel on its own")
    preserve_sparsity: bool = option(True, help="keep zeros zero, as one of the clusters")
    skip: tuple[str, ...] | None = option(
        None, help="layer patterns that are not clustered; None means the first, the last and depthwise layers"
    )

    def _check(self) -> None:
        super()._check()
        self.require(2 <= self.clusters <= 256, "clusters", "between 2 and 256")
        for pattern, value in self.layers:
            self.require(2 <= value <= 256, f"layers[{pattern!r}]", "between 2 and 256")
        self.require(self.table in ("free", "binary", "ternary"), "table", "free, binary or ternary")


@documented()
@dataclass(frozen=True, kw_only=True)
class Quantization(_TrainedSection):
    """Quantization-aware training (Jacob et al. 2018)."""

    key: ClassVar[str] = "quantization"
    strict: bool = option(
        False, help="refuse a layer that cannot be quantized, instead of leaving it in float with a reason"
    )
    skip: tuple[str, ...] = option((), help="layer patterns that stay in float while training")
    freeze_batch_norm: bool = option(True, help="keep batch-norm statistics as they are while fine-tuning")
    calibrate: bool = option(
        True,
        help="set the initial activation ranges from the training data instead of tfmot's -6 to 6, and correct "
        "biases for the rounding of weights",
    )
    estimator: Literal["min_max", "mse"] = option(
        "mse", help="how a range follows from that data: min_max, or the range of least squared error (mse)"
    )
    train_ranges: bool = option(
        True, help='train calibrated ranges like the weights (Bhalgat et al. 2020, "LSQ+") instead of fixing them'
    )


@documented()
@dataclass(frozen=True, kw_only=True)
class Distillation(Section):
    """Train towards the float model's outputs (Hinton et al. 2015)."""

    key: ClassVar[str] = "distillation"
    temperature: float = option(1.0, help="softening of both distributions, > 0")
    weight: float = option(
        1.0,
        help="share of the distillation loss, in (0, 1]; the rest is the loss against labels, and 1 needs no labels",
    )
    features: float = option(
        0.0,
        help="weight of the error of inner features beside that (Romero et al. 2015): the outputs of up to four layers "
        "that have the same name and shape in both models",
    )

    def _check(self) -> None:
        self.require(self.temperature > 0, "temperature", "a number > 0")
        self.require(0 < self.weight <= 1, "weight", "a share in (0, 1]")
        self.require(self.features >= 0, "features", "a number >= 0")


@documented()
@dataclass(frozen=True, kw_only=True)
class Training(Section):
    """How the wrapped model is fine-tuned."""

    key: ClassVar[str] = "training"
    epochs: int = option(2, help="passes over the training data, for each of pruning, clustering and quantization")
    pretraining_epochs: int = option(
        0,
        help="passes over the training data for which the whole model is trained against labels, before a section "
        "takes anything from it; what matters is then judged in that model, and distillation trains towards it",
    )
    batch_size: int = option(32, help="number of samples per step")
    learning_rate: float | None = option(
        None,
        help="size of the first steps; None takes 5e-3 while pretraining, pruning and clustering, where weights "
        "have far to go, and 1e-4 while quantizing and distilling, where larger steps only disturb the rounding. For "
        "adam, adamw and rmsprop the rate is relative: in units of the root mean square of each variable, so that "
        "small weights are not overrun; for sgd it is the factor of the gradient",
    )
    decay: Literal["cosine", "constant"] = option(
        "cosine", help="let the learning rate fall to zero along half a cosine (Loshchilov & Hutter 2017), or stay"
    )
    optimizer: Literal["adam", "sgd", "rmsprop", "adamw"] = option("adam", help="name of a Keras optimizer")
    flip: bool = option(
        False,
        help="show half of the images mirrored, left to right, drawn anew in each epoch; for inputs [rows, columns, "
        "channels] whose labels mean the same when mirrored",
    )
    shift: int = option(
        0, help="rows and columns by which images are moved at most, drawn anew in each epoch; edges are mirrored"
    )
    loss: str | None = option(
        None, help="name of a Keras loss; None takes the model's own, or one that fits the model's outputs"
    )
    strategy: Literal["none", "mirrored", "multi_worker", "tpu"] = option(
        "none", flag="strategy", help="tf.distribute strategy for fine-tuning"
    )

    def _check(self) -> None:
        self.require(1 <= self.epochs <= MOST_EPOCHS, "epochs", f"1 to {MOST_EPOCHS}")
        self.require(0 <= self.pretraining_epochs <= MOST_EPOCHS, "pretraining_epochs", f"0 to {MOST_EPOCHS}")
        if self.learning_rate is not None:
            self.require(
                0 < self.learning_rate <= LARGEST_RATE, "learning_rate", f"a number > 0, at most {LARGEST_RATE:g}"
            )
        self.require(1 <= self.batch_size <= MOST_SAMPLES, "batch_size", f"1 to {MOST_SAMPLES}")
        if self.loss is not None and self.loss not in LOSSES:
            close = " or ".join(difflib.get_close_matches(self.loss, LOSSES, n=3)) or "mean_squared_error"
            self.require(False, "loss", f"the name of a Keras loss, such as {close}")
        self.require(0 <= self.shift <= MOST_SHIFT, "shift", f"0 to {MOST_SHIFT}")

    @property
    def augments(self) -> bool:
        """Whether images are changed before they are trained on."""
        return self.flip or self.shift > 0
