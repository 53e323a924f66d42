"""What is used of TensorFlow's graphs, whose classes carry no types of their own."""

from __future__ import annotations

from collections.abc import MutableSequence, Sequence
from typing import Any, Protocol

__all__ = ["GraphDef", "Node", "Operation", "Output"]


class Node(Protocol):
    """A `NodeDef`: an operator as a graph's message describes it."""

    name: str
    op: str

    @property
    def input(self) -> MutableSequence[str]:
        """Names of what it reads, as ``name``, ``name:1`` or ``^name``."""
        ...

    @property
    def attr(self) -> Any:
        """{name: AttrValue}; a missing one appears when it is asked for."""
        ...

    def CopyFrom(self, other: object, /) -> None:
        """Become equal to another."""
        ...


class GraphDef(Protocol):
    """A `GraphDef`: nodes, and the functions that they call."""

    @property
    def node(self) -> Any:
        """The nodes, with `add`, `extend` and `append`."""
        ...

    @property
    def library(self) -> Any:
        """The functions."""
        ...


class Output(Protocol):
    """A tensor of a graph."""

    @property
    def name(self) -> str:
        """``operator:0``."""
        ...

    @property
    def op(self) -> Operation:
        """What computes it."""
        ...

    @property
    def shape(self) -> Any:
        """`tf.TensorShape`."""
        ...

    @property
    def dtype(self) -> Any:
        """`tf.DType`."""
        ...

    def consumers(self) -> Sequence[Operation]:
        """What reads it."""
        ...


class Operation(Protocol):
    """A `tf.Operation`: an operator in a graph."""

    @property
    def name(self) -> str:
        """Unique in the graph."""
        ...

    @property
    def type(self) -> str:
        """Such as ``Conv2D``."""
        ...

    @property
    def inputs(self) -> Sequence[Output]:
        """What it reads."""
        ...

    @property
    def outputs(self) -> Sequence[Output]:
        """What it computes."""
        ...

    @property
    def op_def(self) -> Any:
        """`OpDef`: its arguments and attributes as registered."""
        ...

    @property
    def node_def(self) -> Node:
        """Its message."""
        ...

    def get_attr(self, name: str, /) -> Any:
        """The value of an attribute."""
        ...
