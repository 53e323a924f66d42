"""The sections of a recipe that make the model itself smaller, before its weights are made sparse or rounded."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from tfcompress.recipe.options import documented, option
from tfcompress.recipe.section import Section
from tfcompress.recipe.training_sections import LARGEST_RATE, MOST_EPOCHS

__all__ = ["Layers", "LowRank", "Structure", "Student"]

MOST_ROUNDS = 1000  # a recipe may come from a stranger, and more would never end
MOST_CHANNELS = 2**20
_EPOCHS = "epochs of fine-tuning after it; None takes training.epochs, and 0 does not train"
_RATE = "learning rate of that fine-tuning; None takes training.learning_rate"


@dataclass(frozen=True, kw_only=True)
class _ReducingSection(Section):
    """A section that changes the layers themselves and is followed by fine-tuning."""

    epochs: int | None = option(None, help=_EPOCHS)
    learning_rate: float | None = option(None, help=_RATE)

    def _check(self) -> None:
        if self.epochs is not None:
            self.require(0 <= self.epochs <= MOST_EPOCHS, "epochs", f"0 to {MOST_EPOCHS}")
        if self.learning_rate is not None:
            expected = f"a number > 0, at most {LARGEST_RATE:g}"
            self.require(0 < self.learning_rate <= LARGEST_RATE, "learning_rate", expected)


@documented()
@dataclass(frozen=True, kw_only=True)
class Structure(_ReducingSection):
    """Remove channels, neurons, units and heads by importance ("filter pruning", Li et al. 2017; Fang et al. 2023).

    Exactly one of macs, parameters and channels is given.
    """

    key: ClassVar[str] = "structure"
    macs: float | None = option(None, help="share of the multiply-accumulates that is left at most, in (0, 1]")
    parameters: float | None = option(None, help="share of the weights that is left at most, in (0, 1]")
    channels: float | None = option(None, help="share of the channels that is left at most, in (0, 1]")
    importance: Literal["taylor", "activation", "l1", "l2", "batch_norm"] = option(
        "taylor",
        help="what makes a channel unimportant: taylor, by how much the loss changes without it to first order "
        "(against labels, or against draws from the model's own predictions where there are none); activation, by "
        "what its deviations from the mean add to the layers that read it; l1 or l2, by the norm of its filters; "
        "batch_norm, by its scale",
    )
    round_to: int = option(
        8,
        help="multiple that every width is rounded to, for accelerators; 1 does not round. XNNPACK computes 16 "
        "channels at once on many processors; with 16, layers of fewer than 32 channels are rounded to 8",
    )
    least_width: float = option(0.2, help="share of its channels that each layer keeps at least, in [0, 1]")
    rounds: int = option(1, help="how many times a part is cut and what is left is fine-tuned")
    keep_means: bool = option(
        True, help="put what the removed channels add to the next layer on average into its biases"
    )
    estimate_batch_norm: bool = option(
        True, help="estimate the statistics of batch normalizations anew before fine-tuning"
    )
    skip: tuple[str, ...] = option((), help="layer patterns whose channels all stay")

    def _check(self) -> None:
        super()._check()
        given = [name for name in ("macs", "parameters", "channels") if getattr(self, name) is not None]
        self.require(len(given) == 1, given[1] if len(given) > 1 else "macs", "one of macs, parameters and channels")
        self.require(0 < self.share <= 1, given[0], "a share in (0, 1]")
        self.require(1 <= self.round_to <= MOST_CHANNELS, "round_to", f"1 to {MOST_CHANNELS}")
        self.require(0 <= self.least_width <= 1, "least_width", "a share in [0, 1]")
        self.require(1 <= self.rounds <= MOST_ROUNDS, "rounds", f"1 to {MOST_ROUNDS}")

    @property
    def unit(self) -> Literal["macs", "parameters", "channels"]:
        """What the share is of."""
        if self.macs is not None:
            return "macs"
        return "parameters" if self.parameters is not None else "channels"

    @property
    def share(self) -> float:
        """How much is left at most."""
        share: float = getattr(self, self.unit)
        return share


@documented()
@dataclass(frozen=True, kw_only=True)
class LowRank(_ReducingSection):
    """Split kernels into products of smaller ones, by the PCA of each layer's own values on data.

    Exactly one of energy and macs is given.  A layer is split only where that saves multiply-accumulates: Dense and
    1x1 convolutions in two (SVD), KxK ones in Kx1 and 1xK (spatial SVD), in 1x1, KxK, 1x1 (Tucker-2), or in KxK and
    1x1, whichever costs least.
    """

    key: ClassVar[str] = "low_rank"
    energy: float | None = option(None, help="share of the power of each layer's outputs that is kept, in (0, 1]")
    macs: float | None = option(None, help="share of the model's multiply-accumulates that is left at most, in (0, 1]")
    round_to: int = option(8, help="multiple that every rank is rounded up to, for accelerators; 1 does not round")
    skip: tuple[str, ...] = option((), help="layer patterns that are not split")

    def _check(self) -> None:
        super()._check()
        given = [name for name in ("energy", "macs") if getattr(self, name) is not None]
        self.require(len(given) == 1, given[1] if len(given) > 1 else "energy", "one of energy and macs")
        self.require(0 < getattr(self, given[0]) <= 1, given[0], "a share in (0, 1]")
        self.require(1 <= self.round_to <= MOST_CHANNELS, "round_to", f"1 to {MOST_CHANNELS}")


@documented()
@dataclass(frozen=True, kw_only=True)
class Layers(_ReducingSection):
    """Leave out residual blocks, and runs of layers that keep a tensor's shape, those that change the outputs least.

    At least one of remove and error is given.
    """

    key: ClassVar[str] = "layers"
    remove: int | None = option(None, help="how many blocks or runs go")
    error: float | None = option(
        None,
        help="mean squared error of the outputs, over their variance and before fine-tuning, above which nothing goes",
    )
    skip: tuple[str, ...] = option((), help="layer patterns that stay, with the block that they stand in")

    def _check(self) -> None:
        super()._check()
        self.require(self.remove is not None or self.error is not None, "remove", "a number of blocks, or an error")
        if self.remove is not None:
            self.require(self.remove >= 1, "remove", "at least 1")
        if self.error is not None:
            self.require(self.error > 0, "error", "a number > 0")


@documented()
@dataclass(frozen=True, kw_only=True)
class Student(_ReducingSection):
    """Train a smaller model towards this one (Hinton et al. 2015); without a distillation section, towards its outputs.

    Either a family or a model of the user's own is trained, or this architecture with another width or convolutions.
    """

    key: ClassVar[str] = "student"
    width: float = option(1.0, help="width multiplier: share of the channels of each layer, in (0, 1]")
    convolutions: Literal["same", "depthwise_separable"] = option(
        "same", help="depthwise_separable replaces KxK convolutions by a depthwise and a 1x1 one"
    )
    family: Literal["mobilenet_v2", "shufflenet_v2"] | None = option(
        None, help="a new network for images instead of this architecture: mobilenet_v2 or shufflenet_v2"
    )
    model: str | None = option(
        None, is_file=True, help="file of a Keras model of your own with the same inputs and outputs"
    )
    round_to: int = option(8, help="multiple that every width is rounded up to, for accelerators; 1 does not round")
    skip: tuple[str, ...] = option((), help="layer patterns that stay as they are")

    def _check(self) -> None:
        super()._check()
        self.require(0 < self.width <= 1, "width", "a share in (0, 1]")
        self.require(self.family in (None, "mobilenet_v2", "shufflenet_v2"), "family", "mobilenet_v2 or shufflenet_v2")
        self.require(1 <= self.round_to <= MOST_CHANNELS, "round_to", f"1 to {MOST_CHANNELS}")
        own = self.width != 1 or self.convolutions != "same"
        self.require(own or bool(self.family or self.model), "width", "below 1, or convolutions, a family or a model")
        if self.model is not None:
            self.require(not own and self.family is None, "model", "nothing beside it: it is trained as it is")
        if self.family is not None:
            self.require(self.convolutions == "same", "convolutions", "same: a family has its own")
