"""An inference graph with some of its products in float8.

Scales are powers of two: a float keeps as many bits whatever its scale, which serves only to keep the largest value
below the dtype's; and scaling by them is exact.  Source of the dtype: Micikevicius et al. 2022, "FP8 formats for deep
learning".
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from tfcompress.graphs.tensorflow.inference_graph import GraphEditor, InferenceGraph
from tfcompress.runtime import tf

__all__ = ["LARGEST", "Product", "add_float8", "products_of", "scale_for", "with_float8"]

FLOAT8 = tf.dtypes.experimental.float8_e4m3fn
LARGEST = 448.0  # of a finite float8_e4m3fn; beyond it there is only not-a-number
FEWEST_WEIGHTS = 256  # below that a cast costs more than the product


@dataclass(frozen=True)
class Product:
    """A product of activations and constant weights, both in bfloat16.

    Attributes:
        name: of its node.
        operand: name of the tensor of activations.
        weights: values, float32.
        position: of the weights among the node's inputs.
        summed: dimensions of the weights that are summed over.
        result: sizes that the scales of the others are reshaped to, so that they multiply the result.
    """

    name: str
    operand: str
    weights: np.ndarray
    position: int
    summed: tuple[int, ...]
    result: tuple[int, ...]


def products_of(graph: InferenceGraph) -> tuple[Product, ...]:
    """The products of a graph that float8 can make."""
    editor = GraphEditor(graph)
    return tuple(
        product for node in graph.graph_def.node if (product := _product(editor, node)) is not None and product.operand
    )


def _product(editor: GraphEditor, node: Any) -> Product | None:
    if node.op not in ("Conv2D", "MatMul", "Einsum") or node.attr["T"].type != tf.bfloat16.as_datatype_enum:
        return None
    constants = [editor.constant(source) for source in node.input]
    if len(constants) != 2 or sum(value is not None for value in constants) != 1:
        return None
    position = 0 if constants[1] is None else 1
    if node.op != "Einsum" and position == 0:
        return None
    weights = np.asarray(constants[position], np.float32)
    axes = _axes(node, position, weights.ndim)
    if axes is None or weights.size < FEWEST_WEIGHTS:
        return None
    sizes = tuple(1 if axis is None else weights.shape[axis] for axis in axes)
    kept = [axis for axis in axes if axis is not None]
    summed = tuple(axis for axis in range(weights.ndim) if axis not in kept)
    return Product(node.name, node.input[1 - position], weights, position, summed, sizes)


def _axes(node: Any, position: int, rank: int) -> tuple[int | None, ...] | None:
    """For each dimension of the result, from the first that matters, the weights' own; None where they have none.

    None in place of all where the weights' dimensions come in another order than in the result.
    """
    if node.op == "Conv2D":
        return (rank - 1,) if node.attr["data_format"].s in (b"", b"NHWC") else None
    if node.op == "MatMul":
        return None if node.attr["transpose_a"].b else ((0 if node.attr["transpose_b"].b else 1),)
    sides, _, result = node.attr["equation"].s.decode().replace(" ", "").partition("->")
    labels = sides.split(",")[position]
    if not result or "." in sides + result or len(set(labels)) != len(labels):
        return None
    axes = [labels.index(label) if label in labels else None for label in result]
    own = [axis for axis in axes if axis is not None]
    other = sides.split(",")[1 - position]
    shared = any(label in labels and label in other for label in result)  # a product for each, as in a batch
    return None if shared or own != sorted(own) else tuple(axes)


def scale_for(largest: np.ndarray | float) -> np.ndarray:
    """The smallest power of two by which values up to `largest` have to be divided to fit; 1 where all are zero."""
    values = np.asarray(largest, np.float64)
    exponents = np.ceil(np.log2(np.where(values > 0, values, LARGEST) / LARGEST))
    return np.exp2(exponents)


def with_float8(
    graph: InferenceGraph, products: Mapping[str, Product], largest: Mapping[str, float], *, stored: bool = False
) -> InferenceGraph:
    """`graph` with these products in float8.

    Args:
        graph: in bfloat16.
        products: {name of a node: product}.
        largest: {name of an operand: its largest magnitude}.
        stored: whatever else reads an operand, such as a residual sum, takes it as float8 holds it, so that it is not
            stored in bfloat16 as well.
    """
    editor = GraphEditor(graph)
    before = [node for node in editor.graph_def.node if node.op != "Const"]
    narrowed = _operands(editor, products, largest)
    for name, result in _results(editor, products, largest, narrowed).items():
        node = editor.nodes[name]
        node.op = "Identity"
        node.input[:] = [result]
        for key in [key for key in node.attr if key != "T"]:
            del node.attr[key]
    if stored:
        for operand, name in narrowed.items():
            _read_as_stored(editor, before, operand, name, float(scale_for(largest[operand])))
    return editor.result()


def add_float8(editor: GraphEditor, products: Mapping[str, Product], largest: Mapping[str, float]) -> dict[str, str]:
    """Add the same products in float8 to a graph, beside its own.

    Returns:
        {name of a product: name of its result in float8}.
    """
    return _results(editor, products, largest, _operands(editor, products, largest))


def _operands(editor: GraphEditor, products: Mapping[str, Product], largest: Mapping[str, float]) -> dict[str, str]:
    """{operand: name of it in steps that float8 holds}."""
    operands = dict.fromkeys(product.operand for product in products.values())
    return {operand: _narrowed(editor, operand, float(scale_for(largest[operand]))) for operand in operands}


def _results(
    editor: GraphEditor, products: Mapping[str, Product], largest: Mapping[str, float], operands: Mapping[str, str]
) -> dict[str, str]:
    return {
        name: _added(editor, name, product, operands[product.operand], float(scale_for(largest[product.operand])))
        for name, product in products.items()
    }


def _read_as_stored(editor: GraphEditor, nodes: Iterable[Any], operand: str, narrowed: str, scale: float) -> None:
    """Have these nodes read an operand as float8 holds it."""
    readers = [node for node in nodes if operand in node.input]
    if readers:
        real = _binary(editor, f"{operand.replace(':', '_')}/float8_real", "Mul", narrowed, scale)
        for node in readers:
            node.input[:] = [real if source == operand else source for source in node.input]


def _added(editor: GraphEditor, name: str, product: Product, operand: str, scale: float) -> str:
    node = editor.nodes[name]
    scales = scale_for(np.abs(product.weights).max(axis=product.summed, keepdims=True))
    stored = editor.add(f"{name}/float8_weights", "Const")
    editor.set_constant(stored, product.weights / scales, FLOAT8)
    weights = _cast(editor, stored.name, FLOAT8, tf.bfloat16)
    inner = editor.add(
        f"{name}/float8_product", node.op, [weights, operand] if product.position == 0 else [operand, weights]
    )
    for key, value in node.attr.items():
        inner.attr[key].CopyFrom(value)
    factors = _constant(editor, f"{name}/float8_scale", (scales * scale).reshape(product.result))
    scaled = editor.add(f"{name}/float8_result", "Mul", [inner.name, factors])
    scaled.attr["T"].type = tf.bfloat16.as_datatype_enum
    return scaled.name


def _narrowed(editor: GraphEditor, tensor: str, scale: float) -> str:
    """A tensor in steps of `scale` as float8 holds them, in bfloat16.

    Rounding gives the same before a maximum as behind it, so it is done where the numbers are first stored.
    """
    moved = _moved_before(editor, tensor)
    first = moved[-1].input[0] if moved else tensor
    name = tensor.replace(":", "_")
    steps = _binary(editor, f"{name}/float8_steps", "Mul", first, 1 / scale)
    low = _binary(editor, f"{name}/float8_low", "Maximum", steps, -LARGEST)
    inside = _binary(editor, f"{name}/float8_inside", "Minimum", low, LARGEST)
    for position, node in enumerate(reversed(moved)):
        copy = editor.add(
            f"{name}/float8_moved_{position}", node.op, [_there_and_back(editor, inside), *node.input[1:]]
        )
        for key, value in node.attr.items():
            copy.attr[key].CopyFrom(value)
        inside = copy.name
    return _there_and_back(editor, inside)


def _there_and_back(editor: GraphEditor, tensor: str) -> str:
    """A tensor rounded to float8, in bfloat16."""
    return _cast(editor, _cast(editor, tensor, tf.bfloat16, FLOAT8), FLOAT8, tf.bfloat16)


def _moved_before(editor: GraphEditor, tensor: str) -> list[Any]:
    """The maxima and paddings with zeros that make a tensor, the last one first, each read by the next one alone."""
    nodes: list[Any] = []
    node = editor.nodes.get(tensor)
    while node is not None and node.op in ("MaxPool", "Pad") and editor.uses[node.input[0]] == 1:
        nodes.append(node)
        node = editor.nodes.get(node.input[0])
    return nodes


def _binary(editor: GraphEditor, name: str, op: str, tensor: str, value: float) -> str:
    node = editor.add(name, op, [tensor, _constant(editor, f"{name}_by", np.float32(value))])
    node.attr["T"].type = tf.bfloat16.as_datatype_enum
    return name


def _constant(editor: GraphEditor, name: str, value: np.ndarray | np.float32) -> str:
    editor.set_constant(editor.add(name, "Const"), np.asarray(value), tf.bfloat16)
    return name


def _cast(editor: GraphEditor, source: str, have: Any, want: Any) -> str:
    name = f"{source}/as_{want.name}"
    node = editor.add(name, "Cast", [source])
    node.attr["SrcT"].type, node.attr["DstT"].type = have.as_datatype_enum, want.as_datatype_enum
    return name
