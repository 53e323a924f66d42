"""The space of a search: how a recipe is varied for a target, and what is left out as it gains nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from tfcompress.converters.target import Target
from tfcompress.search.candidate import Candidate, Changes, joined

__all__ = ["Dimension", "Point", "Space", "space_for"]

Point = Mapping[str, str]  # {dimension: label of its option}
WIDER = "layers in 16 bits"
_COUNTS = ("0", "1", "2", "3", "4", "6", "8", "12", "16", "24", "32", "48", "64")
_SEPARABLE = "depthwise_separable"
_SIZES = frozenset({"packed_bytes"})  # what zeros and shared values are worth on a CPU


@dataclass(frozen=True)
class Dimension:
    """One way in which a recipe is varied.

    Attributes:
        name: in words.
        options: {label: changes to the recipe}; the first changes nothing.
        gains: what its other options are for: `smaller` artifacts lose accuracy; `accuracy` costs nothing of what a
            budget limits; `costly` ones keep more accuracy in larger or slower artifacts.
        ordered: whether each option does more of it than the one before, so that a few of them tell of the others.
        trains: whether its other options need training data.
    """

    name: str
    options: Mapping[str, Changes]
    gains: Literal["smaller", "accuracy", "costly"]
    ordered: bool = False
    trains: bool = False


@dataclass(frozen=True)
class Space:
    """All dimensions of a search.

    Attributes:
        dimensions: in the order in which they are tried alone.
        left_out: a line for each that is not tried, with the reason.
        ranked: names of the layers that lose most in 8 bits, worst first; empty until a first trial has told them.
        noise: what each of them adds, relative to its own output.
    """

    dimensions: tuple[Dimension, ...]
    left_out: tuple[str, ...]
    ranked: tuple[str, ...] = field(default=())
    noise: tuple[float, ...] = field(default=())

    @property
    def start(self) -> Point:
        """The recipe as it was given."""
        return {item.name: next(iter(item.options)) for item in self.dimensions}

    def named(self, name: str) -> Dimension | None:
        """A dimension by its name; None where the space has it not."""
        return next((item for item in self.dimensions if item.name == name), None)

    def candidate(self, point: Point) -> Candidate:
        """The candidate at a point."""
        changes: dict[str, object] = {}
        for item in self.dimensions:
            changes = joined(changes, self._changes(item, point[item.name]))
        start = self.start
        special = [f"{name}: {label}" for name, label in point.items() if label != start[name]]
        return Candidate("; ".join(special) or "the recipe as given", changes)

    def labels(self, item: Dimension) -> tuple[str, ...]:
        """The options of a dimension that can differ from each other, the one that changes nothing first."""
        if item.name != WIDER:
            return tuple(item.options)
        fewer = [count for count in item.options if int(count) < max(1, len(self.ranked))]
        return (*fewer, *[count for count in item.options if 0 < len(self.ranked) <= int(count)][:1])

    def noise_left(self, label: str) -> float:
        """The share of the layers' noise that is left with so many of them in 16 bits, in [0, 1]."""
        return sum(self.noise[int(label) :]) / (sum(self.noise) or 1.0)

    def _changes(self, item: Dimension, label: str) -> Changes:
        if item.name != WIDER:
            return item.options[label]
        return {"keep_int16": list(self.ranked[: int(label)])} if int(label) else {}


def space_for(target: Target, quantities: Sequence[str], *, trains: bool) -> Space:
    """The space for a target.

    Args:
        target: that the artifacts are for.
        quantities: of the budget, and what is minimised.
        trains: whether there is training data.
    """
    dimensions = [*_quantization(target)]
    left_out: list[str] = []
    smaller = [*_structure(), *_coding(target, quantities, left_out)]
    if trains:
        dimensions += [*smaller, _qat()]
    elif smaller:
        names = ", ".join(item.name for item in (*smaller, _qat()))
        left_out.append(f"{names}: need training data; give --train")
    return Space(tuple(dimensions), tuple(left_out))


def _quantization(target: Target) -> list[Dimension]:
    """What needs no training."""
    dimensions = [
        _options("rounding", "post_training", "quality", ("balanced", "best")),
        _options("range estimator", "post_training", "estimator", ("min_max", "percentile", "mse")),
    ]
    if target.takes_every_scheme:
        schemes = ("int8", "int8_float_io", "int16x8", "dynamic", "float16")
        four_bits: Changes = {"post_training": {"scheme": "int4_weights"}}
        dimensions += [
            _options("scheme", "post_training", "scheme", schemes, "costly"),
            Dimension(WIDER, {label: {} for label in _COUNTS}, "costly", ordered=True),
            Dimension("weights", {"8 bits": {}, "4 bits": four_bits}, "smaller"),
        ]
    return dimensions


def _structure() -> list[Dimension]:
    """What makes the network itself smaller, the mildest option of each first."""
    channels: dict[str, Changes] = {"all": {}}
    channels |= {f"{share:g} of the MACs": {"structure": {"macs": share}} for share in (0.75, 0.5, 0.35, 0.25, 0.15)}
    ranks: dict[str, Changes] = {"full": {}}
    ranks |= {f"{share:.0%} of the energy": {"low_rank": {"energy": share}} for share in (0.99, 0.95, 0.9)}
    blocks: dict[str, Changes] = {"none": {}}
    blocks |= {str(count): {"layers": {"remove": count}} for count in (1, 2, 4)}
    student: dict[str, Changes] = {"same": {}, "depthwise separable": {"student": {"convolutions": _SEPARABLE}}}
    widths: dict[str, Changes] = {"all of it": {}}
    widths |= {f"{share:.0%}": {"student": {"width": share}} for share in (0.75, 0.5, 0.35, 0.25)}
    return [
        Dimension("channels", channels, "smaller", ordered=True, trains=True),
        Dimension("ranks", ranks, "smaller", ordered=True, trains=True),
        Dimension("blocks left out", blocks, "smaller", ordered=True, trains=True),
        Dimension("convolutions", student, "smaller", trains=True),
        Dimension("width of a student", widths, "smaller", ordered=True, trains=True),
    ]


def _coding(target: Target, quantities: Sequence[str], left_out: list[str]) -> list[Dimension]:
    """Zeros and shared values, where something is gained by them."""
    if not _SIZES.intersection(quantities) and not target.gains_from_zeros:
        left_out.append(
            "zeros and shared values: change neither the size nor the time of a .tflite on this target, only its size "
            "when packed; XNNPACK's int8 kernels compute them like all others"
        )
        return []
    zeros: dict[str, Changes] = {"none": {}}
    zeros |= {f"{share:.0%}": {"pruning": {"sparsity": share}} for share in (0.5, 0.7, 0.85, 0.95)}
    shared: dict[str, Changes] = {"none": {}}
    shared |= {str(count): {"clustering": {"clusters": count}} for count in (32, 16, 8)}
    return [
        Dimension("zeros", zeros, "smaller", ordered=True, trains=True),
        Dimension("shared values", shared, "smaller", ordered=True, trains=True),
    ]


def _qat() -> Dimension:
    return Dimension("quantization-aware training", {"no": {}, "yes": {"quantization": {}}}, "accuracy", trains=True)


def _options(
    name: str, section: str, option: str, values: Sequence[str], gains: Literal["accuracy", "costly"] = "accuracy"
) -> Dimension:
    changes: dict[str, Changes] = {values[0]: {}}
    return Dimension(name, changes | {value: {section: {option: value}} for value in values[1:]}, gains)
