"""Whether a TensorFlow graph only computes: every operator, in every function and attribute, stands on the list."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from tfcompress.errors import UnsafeModelError
from tfcompress.graphs.tensorflow.protocols import Node
from tfcompress.load.safety.lists.tensorflow_operators import (
    CHECKPOINT_OPERATORS,
    OPERATORS,
    RESTORING_OPERATORS,
)

__all__ = ["refuse_unsafe_graph", "refuse_unsafe_meta_graph"]

_PYTHON = frozenset({"PyFunc", "PyFuncStateless", "EagerPyFunc"})
# DataType of tensorflow/core/framework/types.proto: constants of these hold serialized objects of TensorFlow's own.
_OPAQUE_TYPES = frozenset({20, 21})


def refuse_unsafe_graph(graph: Any, where: str) -> None:
    """Refuse a GraphDef with an operator that is not on the list.

    Args:
        graph: with its library of functions.
        where: for the message.

    Raises:
        UnsafeModelError: names the operation.
    """
    library = _library(graph)
    for place, nodes in _bodies(graph):
        for node in nodes:
            problem = _problem(node, library)
            if problem:
                raise UnsafeModelError(f"{where}: the operation {node.name[:100]!r} in {place} {problem}")


def refuse_unsafe_meta_graph(path: object, meta_graph: Any, *, trusted: bool) -> None:
    """Refuse one graph of a SavedModel that does more than compute, or whose assets lie elsewhere.

    The operators that save and restore variables are let in where the graph's `saver_def` has them and nowhere else:
    neither a signature nor an object's function may lead to one.

    Args:
        path: for the message.
        meta_graph: a MetaGraphDef.
        trusted: the user allows operators that are not on the list; Python functions never, as they cannot run here.

    Raises:
        UnsafeModelError: names the operation, the function or the asset.
    """
    graph, library = meta_graph.graph_def, _library(meta_graph.graph_def)
    for place, nodes in _bodies(graph):
        for node in nodes:
            if node.op in _PYTHON:
                raise UnsafeModelError(
                    f"{path}: the graph calls Python code: the operation {node.name[:100]!r} in {place} is a {node.op} "
                    "(tf.py_function), which also cannot run outside the program that made it. Nothing was run"
                )
            problem = None if trusted or node.op in CHECKPOINT_OPERATORS else _problem(node, library)
            if problem:
                raise UnsafeModelError(
                    f"{path}: the operation {node.name[:100]!r} in {place} {problem}. Nothing was run. "
                    "--allow_unsafe_deserialization allows it"
                )
    if not trusted:
        _refuse_reachable_files(path, meta_graph, library)
        _refuse_assets_elsewhere(path, meta_graph)


def _library(graph: Any) -> Mapping[str, Any]:
    return {function.signature.name: function for function in graph.library.function}


def _bodies(graph: Any) -> Iterator[tuple[str, Iterable[Any]]]:
    """(where, nodes) of the graph and of each function in its library."""
    yield "the main graph", graph.node
    for function in graph.library.function:
        yield f"the function {function.signature.name[:100]!r}", function.node_def


def _problem(node: Node, library: Mapping[str, object]) -> str | None:
    """Why a node is not let in; None where it only computes."""
    if node.op not in OPERATORS:
        if node.op in library:  # graphs of TensorFlow 1 call a function by using its name as the operator
            return None
        return f"is a {node.op[:100]}, which is not on the list of operators that only compute: it may reach files"
    unknown = next((name for name in _called(node) if name not in library), None)
    if unknown is not None:
        return f"calls {unknown[:100]!r}, which is no function of the graph"
    if node.op == "Const" and node.attr["dtype"].type in _OPAQUE_TYPES:
        return "is a constant that holds a serialized object"
    return None


def _called(node: Any) -> Iterator[str]:
    """The functions that a node's attributes name."""
    for value in node.attr.values():
        if value.WhichOneof("value") == "func":
            yield value.func.name
        elif value.WhichOneof("value") == "list":
            yield from (function.name for function in value.list.func)


def _refuse_reachable_files(path: object, meta_graph: Any, library: Mapping[str, Any]) -> None:
    touching = _functions_that_reach_files(library)
    nodes = {node.name: node for node in meta_graph.graph_def.node}
    saver = meta_graph.saver_def
    saving = _upstream(nodes, [saver.save_tensor_name, saver.restore_op_name])
    restoring = _upstream(nodes, [saver.restore_op_name])
    served = _upstream(nodes, _served_tensors(meta_graph))
    for name, node in nodes.items():
        if not meta_graph.object_graph_def.nodes and name in restoring and _writes(node, library):
            raise UnsafeModelError(
                f"{path}: refused: restoring it runs the operation {name[:100]!r}, which writes files"
            )
        reaches = node.op in CHECKPOINT_OPERATORS or node.op in touching or any(f in touching for f in _called(node))
        if reaches and (name not in saving or name in served):
            raise UnsafeModelError(
                f"{path}: the operation {name[:100]!r} saves or restores files outside of the saver. Nothing was run. "
                "--allow_unsafe_deserialization allows it"
            )
    for name in _object_functions(meta_graph.object_graph_def):
        if name in touching:
            raise UnsafeModelError(
                f"{path}: the function {name[:100]!r} saves or restores files. Nothing was run. "
                "--allow_unsafe_deserialization allows it"
            )


def _writes(node: Any, library: Mapping[str, Any]) -> bool:
    """Whether a node, or a function that it calls at once, has an operator that does more than restore."""
    called = [library[name] for name in (node.op, *_called(node)) if name in library]
    operators = {node.op, *(inner.op for function in called for inner in function.node_def)}
    return bool(operators & (CHECKPOINT_OPERATORS - RESTORING_OPERATORS))


def _functions_that_reach_files(library: Mapping[str, Any]) -> frozenset[str]:
    """Functions with a checkpoint operator, or that call one with."""
    callers: dict[str, set[str]] = {}
    names = set()
    for name, function in library.items():
        for node in function.node_def:
            if node.op in CHECKPOINT_OPERATORS:
                names.add(name)
            for called in (node.op, *_called(node)):
                callers.setdefault(called, set()).add(name)
    queue = list(names)
    while queue:
        for caller in callers.get(queue.pop(), set()) - names:
            names.add(caller)
            queue.append(caller)
    return frozenset(names)


def _upstream(nodes: Mapping[str, Node], tensors: Iterable[str]) -> set[str]:
    """The names of the nodes that the tensors are computed from, control dependencies included."""
    queue, seen = [_node_name(tensor) for tensor in tensors], set()
    while queue:
        name = queue.pop()
        if name in nodes and name not in seen:
            seen.add(name)
            queue += [_node_name(source) for source in nodes[name].input]
    return seen


def _node_name(tensor: str) -> str:
    return tensor.removeprefix("^").partition(":")[0]


def _served_tensors(meta_graph: Any) -> Iterator[str]:
    """Every tensor that a signature, an initializer or a collection of the graph names."""
    for signature in meta_graph.signature_def.values():
        for ports in (signature.inputs, signature.outputs, signature.defaults):
            yield from (str(getattr(info, "name", "")) for info in ports.values())
    for name, collection in meta_graph.collection_def.items():
        if name.endswith("op") or "init" in name:  # saved_model_main_op, legacy_init_op, table_initializer
            yield from collection.node_list.value


def _object_functions(objects: Any) -> Iterator[str]:
    yield from objects.concrete_functions
    for node in objects.nodes:
        kind = node.WhichOneof("kind")
        if kind == "function":
            yield from node.function.concrete_functions
        elif kind == "bare_concrete_function":
            yield node.bare_concrete_function.concrete_function_name


def _refuse_assets_elsewhere(path: object, meta_graph: Any) -> None:
    for asset in meta_graph.asset_file_def:
        name = asset.filename
        if not name or "/" in name or "\\" in name or "\0" in name or name in {".", ".."}:
            raise UnsafeModelError(
                f"{path}: refused: the asset {name[:100]!r} does not lie in the SavedModel's own folder. "
                "Nothing was run"
            )
