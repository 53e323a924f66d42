"""The space of a search: how a recipe is varied for a target, and what is left out as it gains nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from tfcompress.converters.target import Target
from tfcompress.search.candidate import Candidate, Changes, joined

__all__ = ["Dimension", "Point", "Space", "space_for"]

Point = Mapping[str, str]  # {dimension: label of its option}
WIDER = "layers in 16 bits"
_COUNTS = ("0", "1", "2", "4", "8", "16", "32")
_SIZES = frozenset({"packed_bytes"})  # what zeros and shared values are worth on a CPU


@dataclass(frozen=True)
class Dimension:
    """One way in which a recipe is varied.

    Attributes:
        name: in words.
        options: {label: changes to the recipe}; the first changes nothing.
        trains: whether its other options need training data.
    """

    name: str
    options: Mapping[str, Changes]
    trains: bool = False


@dataclass(frozen=True)
class Space:
    """All dimensions of a search.

    Attributes:
        dimensions: in the order in which they are tried alone.
        left_out: a line for each that is not tried, with the reason.
        ranked: names of the layers that lose most in 8 bits, worst first; empty until a first trial has told them.
    """

    dimensions: tuple[Dimension, ...]
    left_out: tuple[str, ...]
    ranked: tuple[str, ...] = field(default=())

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

    def alone(self, name: str) -> tuple[Point, ...]:
        """The start with each of the other options of one dimension."""
        item = self.named(name)
        if item is None:
            return ()
        labels = [label for label in list(item.options)[1:] if name != WIDER or self._useful(label)]
        return tuple({**self.start, name: label} for label in labels)

    def _useful(self, label: str) -> bool:
        """Whether so many layers are fewer than all, or the first number that is not."""
        counts = [int(count) for count in _COUNTS]
        before = max((count for count in counts if count < int(label)), default=0)
        return before < len(self.ranked)

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
        schemes = ("int8", "int8_float_io", "int16x8", "dynamic", "float16", "int4_weights")
        dimensions.insert(0, _options("scheme", "post_training", "scheme", schemes))
        dimensions.append(Dimension(WIDER, {label: {} for label in _COUNTS}))
    return dimensions


def _structure() -> list[Dimension]:
    shares: dict[str, Changes] = {"all": {}}
    shares |= {f"{share:g} of the MACs": {"structure": {"macs": share}} for share in (0.75, 0.5, 0.35, 0.25)}
    return [Dimension("channels", shares, trains=True)]


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
    return [Dimension("zeros", zeros, trains=True), Dimension("shared values", shared, trains=True)]


def _qat() -> Dimension:
    return Dimension("quantization-aware training", {"no": {}, "yes": {"quantization": {}}}, trains=True)


def _options(name: str, section: str, option: str, values: Sequence[str]) -> Dimension:
    changes: dict[str, Changes] = {values[0]: {}}
    return Dimension(name, changes | {value: {section: {option: value}} for value in values[1:]})
