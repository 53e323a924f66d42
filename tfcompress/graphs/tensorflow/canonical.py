"""Removing what differs from one run to the next in a SavedModel: counters in names, random ids, debug facts.

TensorFlow numbers every function it traces in a process (``__inference_infer_1234``), gives the fingerprint a random
id and keeps source locations.  None of it changes what the model computes.
"""

from __future__ import annotations

import hashlib
import re
import shutil
import uuid
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from tfcompress.graphs.tensorflow.private_names import FingerprintDef, SavedModel, fingerprinting
from tfcompress.graphs.tensorflow.protocols import Node

__all__ = ["make_canonical"]

COUNTER = re.compile(r"(_\d+)+$")


def make_canonical(folder: Path) -> None:
    """Rewrite the SavedModel in `folder` so that equal models give equal bytes."""
    path = folder / "saved_model.pb"
    saved = SavedModel.FromString(path.read_bytes())
    for meta in saved.meta_graphs:
        _strip_debug_facts(meta)
        _rename_functions(meta)
    path.write_bytes(saved.SerializeToString(deterministic=True))
    shutil.rmtree(folder / "debug", ignore_errors=True)
    _write_fingerprint(folder)


def _nodes(meta: Any) -> Iterator[Any]:
    yield from meta.graph_def.node
    for function in meta.graph_def.library.function:
        yield from function.node_def


def _strip_debug_facts(meta: Any) -> None:
    meta.graph_def.ClearField("debug_info")
    for node in _nodes(meta):
        node.ClearField("experimental_debug_info")
        node.attr.pop("_gradient_op_type", None)  # a counter; there are no gradients in an inference artifact
        _drop_counted_name(node.attr)
    for function in meta.graph_def.library.function:
        for argument in function.arg_attr.values():
            _drop_counted_name(argument.attr)
        _number_arguments_and_results(function)


def _number_arguments_and_results(function: Any) -> None:
    """Name a function's arguments and results by position: those of branches and loops are named after counters."""
    taken = {node.name for node in function.node_def}
    arguments, results = {}, {}
    for index, argument in enumerate(function.signature.input_arg):
        name = f"argument_{index}"
        while name in taken:
            name += "_"
        arguments[argument.name] = argument.name = name
    for index, result in enumerate(function.signature.output_arg):
        results[result.name] = result.name = f"result_{index}"
    for node in function.node_def:
        node.input[:] = [arguments.get(source, source) for source in node.input]
    returned = {results[key]: arguments.get(source, source) for key, source in function.ret.items()}
    function.ret.clear()
    function.ret.update(returned)


def _drop_counted_name(attributes: Any) -> None:
    """Captured tensors get their number in the process as a name that a user would have given."""
    if "_user_specified_name" in attributes and attributes["_user_specified_name"].s.isdigit():
        del attributes["_user_specified_name"]


def _references(node: Node) -> Iterator[Node]:
    """The `NameAttrList` of every function that a node calls."""
    for name in sorted(node.attr):
        value = node.attr[name]
        if value.HasField("func"):
            yield value.func
        yield from value.list.func


def _rename_functions(meta: Any) -> None:
    """Name functions after the order in which they are reached, without TensorFlow's process-wide counters."""
    library = {function.signature.name: function for function in meta.graph_def.library.function}
    order: dict[str, None] = {}

    def visit(nodes: Any) -> None:
        for node in nodes:
            for reference in _references(node):
                if reference.name in library and reference.name not in order:
                    order[reference.name] = None
                    visit(library[reference.name].node_def)

    visit(meta.graph_def.node)
    for name in _object_graph_functions(meta.object_graph_def):
        if name in library and name not in order:
            order[name] = None
            visit(library[name].node_def)
    names = {old: f"{COUNTER.sub('', old)}_{index}" for index, old in enumerate(order)}
    _apply_names(meta, library, names)


def _object_graph_functions(objects: Any) -> Iterator[str]:
    for node in objects.nodes:
        yield from node.function.concrete_functions
        if node.WhichOneof("kind") == "bare_concrete_function":
            yield node.bare_concrete_function.concrete_function_name


def _apply_names(meta: Any, library: Mapping[str, Any], names: Mapping[str, str]) -> None:
    for node in _nodes(meta):
        for reference in _references(node):
            reference.name = names.get(reference.name, reference.name)
    functions = []
    for old, new in names.items():
        function = library[old]
        function.signature.name = new
        function.attr.pop("_original_func_name", None)
        functions.append(type(function).FromString(function.SerializeToString()))
    gradients = [(names.get(g.function_name), names.get(g.gradient_func)) for g in meta.graph_def.library.gradient]
    meta.graph_def.library.Clear()
    meta.graph_def.library.function.extend(functions)
    for function_name, gradient in gradients:
        if function_name and gradient:
            meta.graph_def.library.gradient.add(function_name=function_name, gradient_func=gradient)
    _rename_objects(meta.object_graph_def, lambda name: names.get(name, name))
    aliases = {names[old]: alias for old, alias in meta.meta_info_def.function_aliases.items() if old in names}
    meta.meta_info_def.function_aliases.clear()
    meta.meta_info_def.function_aliases.update(aliases)


def _rename_objects(objects: Any, rename: Callable[[str], str]) -> None:
    for node in objects.nodes:
        kind = node.WhichOneof("kind")  # only touch the message that is set: touching another would set that one
        if kind == "function":
            node.function.concrete_functions[:] = [rename(name) for name in node.function.concrete_functions]
        elif kind == "bare_concrete_function":
            bare = node.bare_concrete_function
            bare.concrete_function_name = rename(bare.concrete_function_name)
    concrete = {rename(name): _copy(value) for name, value in objects.concrete_functions.items()}
    objects.concrete_functions.clear()
    for name, value in concrete.items():
        objects.concrete_functions[name].CopyFrom(value)


def _copy(message: Any) -> object:
    duplicate = type(message)()
    duplicate.CopyFrom(message)
    return duplicate


def _write_fingerprint(folder: Path) -> None:
    """TensorFlow's fingerprint of the files as they are now; its random id becomes one of the content."""
    path = folder / "fingerprint.pb"
    path.unlink(missing_ok=True)
    fingerprint = FingerprintDef.FromString(fingerprinting.CreateFingerprintDef(str(folder)))
    fingerprint.uuid = ""
    digest = hashlib.sha256(fingerprint.SerializeToString(deterministic=True)).digest()
    fingerprint.uuid = str(uuid.UUID(bytes=digest[:16]))
    path.write_bytes(fingerprint.SerializeToString(deterministic=True))
