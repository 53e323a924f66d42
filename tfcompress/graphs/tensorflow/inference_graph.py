"""The inference graph of a model at one batch size: frozen, inlined, and addressed by input and output name.

Everything that the target changes (precision, folding) happens on this graph, so Keras 3, tf_keras and models of which
only a signature is known take one and the same way.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from tfcompress.errors import ConversionError, ModelError, one_line
from tfcompress.graphs.tensorflow.constants import Large, constant_value, set_constant, take_large
from tfcompress.graphs.tensorflow.private_names import frozen_in_parts
from tfcompress.graphs.tensorflow.protocols import GraphDef, Node
from tfcompress.model import FloatModel, TensorInfo
from tfcompress.native_output import silenced
from tfcompress.runtime import tf

__all__ = ["GraphEditor", "InferenceGraph", "graph_of", "trace"]


@dataclass(frozen=True)
class InferenceGraph:
    """A graph without variables, and without control edges between its nodes.

    Attributes:
        graph_def: nodes and library functions; weights are `Const` nodes, large ones without their values.
        inputs: in the model's order, with the static shapes of this batch size.
        placeholders: {input name: node name}.
        outputs: {output name: tensor name such as ``dense/Softmax:0``}.
        batch_size: the first dimension of every input.
        large: values of the large constants, see `constants`.
    """

    graph_def: Any
    inputs: tuple[TensorInfo, ...]
    placeholders: Mapping[str, str]
    outputs: Mapping[str, str]
    batch_size: int
    large: Large = field(default_factory=dict)

    def specs(self) -> list[Any]:
        """A `tf.TensorSpec` of static shape for each input."""
        return [tf.TensorSpec(info.shape, info.dtype, name=info.name) for info in self.inputs]

    def pruned(self) -> InferenceGraph:
        """This graph without the nodes and functions that neither an output nor an input needs."""
        nodes = {node.name: node for node in self.graph_def.node}
        needed: set[str] = set()
        pending = [tensor.partition(":")[0] for tensor in self.outputs.values()]
        pending += self.placeholders.values()
        while pending:
            name = pending.pop()
            if name not in needed:
                needed.add(name)
                pending += [source.partition(":")[0] for source in nodes[name].input]
        kept = tf.compat.v1.GraphDef(versions=self.graph_def.versions)
        kept.node.extend(node for node in self.graph_def.node if node.name in needed)
        called = _called(kept.node, {function.signature.name: function for function in self.graph_def.library.function})
        kept.library.function.extend(f for f in self.graph_def.library.function if f.signature.name in called)
        large = {node.name: self.large[node.name] for node in kept.node if _is_taken(node, self.large)}
        return replace(self, graph_def=kept, large=large)

    def operations(self) -> list[Any]:
        """The graph's `tf.Operation` objects, in graph order, for their dtypes and shapes; large constants are zero."""
        graph = tf.Graph()
        with graph.as_default():
            tf.graph_util.import_graph_def(self.graph_def, name="")
        return graph.get_operations()


def _called(nodes: Iterable[Any], library: Mapping[str, Any]) -> set[str]:
    """Names of the functions that `nodes` call, and that those call."""
    called: set[str] = set()
    pending = list(nodes)
    while pending:
        for value in pending.pop().attr.values():
            names = {value.func.name, *(function.name for function in value.list.func)} & library.keys() - called
            called |= names
            pending += [node for name in names for node in library[name].node_def]
    return called


def _is_taken(node: Node, large: Large) -> bool:
    return node.op == "Const" and node.name in large


class GraphEditor:
    """A graph's nodes by name, to be changed in place."""

    def __init__(self, graph: InferenceGraph) -> None:
        self.graph = graph
        self.large = dict(graph.large)
        self.graph_def = tf.compat.v1.GraphDef()
        self.graph_def.CopyFrom(graph.graph_def)
        self.nodes = {node.name: node for node in self.graph_def.node}
        self.uses = Counter(source.partition(":")[0] for node in self.graph_def.node for source in node.input)
        self.uses.update(tensor.partition(":")[0] for tensor in graph.outputs.values())

    def constant(self, source: str) -> np.ndarray | None:
        """The value behind the tensor name `source`, also through identities; None when it is not constant."""
        node = self.nodes.get(source)
        while node is not None and node.op == "Identity":
            node = self.nodes.get(node.input[0])
        return constant_value(node, self.large) if node is not None and node.op == "Const" else None

    def set_constant(self, node: Any, value: np.ndarray, dtype: Any) -> None:
        """See `constants.set_constant`."""
        self.large.pop(node.name, None)
        set_constant(node, value, dtype, self.large)

    def add(self, name: str, op: str, inputs: Iterable[str] = ()) -> Any:
        """A new node, without attributes."""
        node = self.graph_def.node.add(name=name, op=op)
        node.input.extend(inputs)
        self.nodes[name] = node
        return node

    def add_constant(self, name: str, value: np.ndarray) -> str:
        """A new constant, its floats as float32; its name."""
        dtype = tf.float32 if value.dtype.kind == "f" else tf.dtypes.as_dtype(value.dtype)
        self.set_constant(self.add(name, "Const"), value, dtype)
        return name

    def result(self) -> InferenceGraph:
        """The changed graph, without the nodes that are no longer used."""
        return replace(self.graph, graph_def=self.graph_def, large=self.large).pruned()


def trace(model: FloatModel, batch_size: int) -> InferenceGraph:
    """`model`'s inference pass at a fixed batch size.

    Raises:
        ConversionError: the model cannot be traced at this batch size.
    """
    inputs = tuple(TensorInfo(info.name, (batch_size, *info.shape[1:]), info.dtype) for info in model.inputs)
    try:
        with silenced():
            return graph_of(model.concrete_function(batch_size), inputs)
    except (ModelError, ValueError, TypeError, RuntimeError, tf.errors.OpError) as error:
        raise ConversionError(
            f"{model.name}: cannot be traced at batch size {batch_size}: {one_line(error)}; "
            "list only batch sizes that the model accepts in recipe.cloud_tpu.batch_sizes"
        ) from None


def graph_of(concrete: Any, inputs: tuple[TensorInfo, ...], *, without: tuple[str, ...] = ()) -> InferenceGraph:
    """The graph of a concrete function of static shapes that returns a dict of tensors.

    Args:
        concrete: the function.
        inputs: in the order of its arguments.
        without: operators whose names begin so are left out; they have no results, such as what writes a variable,
            which cannot be frozen.

    Raises:
        ValueError, RuntimeError, tensorflow.errors.OpError: it cannot be frozen, as TensorFlow says.
    """
    large: dict[str, np.ndarray] = {}

    def take(graph_def: Any) -> None:
        large.update(take_large(graph_def))
        for node in graph_def.node:
            if without and node.op.startswith(without):
                _empty(node)

    frozen = frozen_in_parts(concrete, take)
    by_spec = {tensor.name.partition(":")[0] for tensor in frozen.inputs}
    graph_def = frozen.graph.as_graph_def()
    _drop_control_edges(graph_def)
    outputs = dict(zip(sorted(concrete.structured_outputs), (t.name for t in frozen.outputs), strict=True))
    names = [info.name for info in inputs]
    return InferenceGraph(
        graph_def=graph_def,
        inputs=inputs,
        placeholders=dict(zip(names, _in_argument_order(concrete, by_spec), strict=True)),
        outputs=_without_gradient_marks(graph_def, outputs),
        batch_size=(inputs[0].shape[0] if inputs and inputs[0].shape else None) or 1,
        large=large,
    ).pruned()


def _empty(node: Any) -> None:
    node.op = "NoOp"
    del node.input[:]
    node.attr.clear()


def _drop_control_edges(graph_def: Any) -> None:
    """Order only matters between side effects (assertions, prints, variable reads), and inference has none.

    The library's functions stay as they are: TensorFlow knows them by name in this process.
    """
    for node in graph_def.node:
        node.input[:] = [source for source in node.input if not source.startswith("^")]


def _without_gradient_marks(graph_def: GraphDef, outputs: Mapping[str, str]) -> dict[str, str]:
    """Connect around ``IdentityN``, which marks a function with a gradient of its own (SiLU has one).

    Returns:
        `outputs` as they are without those nodes.
    """
    around = {
        f"{node.name}:{index}": source if ":" in source else f"{source}:0"
        for node in graph_def.node
        if node.op == "IdentityN"
        for index, source in enumerate(node.input)
    }

    def resolved(tensor: str) -> str:
        while tensor in around:
            tensor = around[tensor]
        return tensor

    for node in graph_def.node:
        node.input[:] = [resolved(s if ":" in s else f"{s}:0").removesuffix(":0") for s in node.input]
    return {name: resolved(tensor) for name, tensor in outputs.items()}


def _in_argument_order(concrete: Any, present: set[str]) -> Iterator[str]:
    """Placeholder names of the arguments, without the captured variables, in the order of the arguments."""
    for tensor in concrete.inputs[: len(concrete.inputs) - len(concrete.captured_inputs)]:
        name = tensor.name.partition(":")[0]
        if name in present:
            yield name
