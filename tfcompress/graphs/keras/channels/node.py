"""What a rule of the dependency graph is told of one call of a layer, and what it answers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

import numpy as np

from tfcompress.graphs.keras.channels.space import Channels, Space
from tfcompress.graphs.keras.protocols import Layer
from tfcompress.graphs.keras.replay import Call

__all__ = ["Axis", "Kept", "Node", "Read", "Rule", "Traced", "Weight", "opaque"]

# writes: the axis makes the channels; reads: it sums over them; scales: it works on each by itself.
Role = Literal["writes", "reads", "scales"]


class Kept(Protocol):
    """Which channels stay."""

    def mask(self, ids: np.ndarray) -> np.ndarray:
        """True where a position's channel stays, bool of the shape of `ids`."""
        ...

    def count(self, ids: np.ndarray) -> int:
        """How many positions stay."""
        ...

    def sizes(self, channels: Channels) -> tuple[int | None, ...]:
        """The tensor's sizes without the batch dimension, after the cut."""
        ...


@dataclass(frozen=True)
class Axis:
    """What stands along one axis of a weight.

    Attributes:
        ids: a number for each index.
        role: see `Role`.
    """

    ids: np.ndarray
    role: Role


@dataclass(frozen=True)
class Weight:
    """One weight of a layer.

    Attributes:
        axes: {axis: what stands along it}; the other axes are never cut.
        repeats: how often each of its values is multiplied for one sample; 0 for a bias.
    """

    axes: Mapping[int, Axis] = field(default_factory=dict)
    repeats: int = 0


@dataclass(frozen=True)
class Read:
    """A sum over channels, of which a constant part can go into the bias.

    Attributes:
        input: index of the call's input that is summed over.
        kernel: index of the weight.
        axis: of the weight, along which the input's channels stand.
        ids: a number for each index.
        fill: the value of each removed channel.
        bias: index of the bias; None where the layer has none, and gets one at the end of its weights.
    """

    input: int
    kernel: int
    axis: int
    ids: np.ndarray
    fill: np.ndarray
    bias: int | None


@dataclass(frozen=True)
class Traced:
    """What a rule found out about a call.

    Attributes:
        outputs: the channels of each output tensor.
        weights: one for each weight of the layer; empty where nothing of them is ever cut.
        settings: the layer's settings that differ once it is cut; None for a layer that stays as it is.
        arguments: the call's arguments that differ once its tensors are cut, {position or name: value}.
        reads: where a constant part can go into a bias.
    """

    outputs: tuple[Channels, ...]
    weights: tuple[Weight, ...] = ()
    settings: Callable[[Kept], dict[str, object]] | None = None
    arguments: Callable[[Kept], dict[int | str, object]] | None = None
    reads: tuple[Read, ...] = ()


@dataclass(frozen=True)
class Node:
    """One call of a layer, for a rule.

    Attributes:
        call: what was called, and with which arguments.
        layer: that was called; the inner one, for a rule that a wrapper asks.
        inputs: the channels of each input tensor, in the order of `call.old_inputs`.
        output_shapes: sizes without the batch dimension.
        space: where channels are united and kept.
    """

    call: Call
    layer: Layer
    inputs: tuple[Channels, ...]
    output_shapes: tuple[tuple[int | None, ...], ...]
    space: Space

    @property
    def settings(self) -> Mapping[str, object]:
        """The layer's constructor arguments."""
        config: Mapping[str, object] = self.layer.get_config()
        return config

    @property
    def x(self) -> Channels:
        """The first input."""
        return self.inputs[0]

    @property
    def shapes(self) -> list[tuple[int, ...]]:
        """Of the layer's weights."""
        return [tuple(int(size) for size in weight.shape) for weight in self.layer.weights]

    @property
    def title(self) -> str:
        """How a reason names the layer."""
        return f"{self.layer.name} ({type(self.layer).__name__})"

    def flag(self, name: str) -> bool:
        """A setting that is true or false."""
        return bool(self.settings.get(name, False))

    def axes(self, name: str) -> list[int]:
        """A setting that is one axis or several."""
        value = self.settings[name]
        return [int(str(axis)) for axis in value] if isinstance(value, Sequence) else [int(str(value))]

    def number(self, name: str) -> int:
        """A setting that is a whole number."""
        return int(str(self.settings[name]))


Rule = Callable[[Node], Traced]


def opaque(node: Node, why: str | None = None) -> Traced:
    """Of a call that nothing is known of: all that goes in must stay, and so must all that comes out."""
    reason = why or f"{node.title} is not known to keep channels apart"
    for channels in node.inputs:
        node.space.keep(channels.ids, reason)
    number = node.space.constant(reason)
    return Traced(tuple(Channels.uniform(number, shape) for shape in node.output_shapes))


def known_positions(shape: Sequence[int | None]) -> int:
    """How many positions a tensor's leading axes have; an open one counts once."""
    return int(np.prod([size for size in shape if size is not None], initial=1, dtype=np.int64))
