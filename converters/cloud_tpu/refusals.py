"""Why XLA refuses a signature that somebody else exported, in words: what a layer does, not what a compiler missed."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from typing import Any

from tfcompress.converters.cloud_tpu.precheck import all_nodes, check_graph, with_layer
from tfcompress.errors import ConversionError, one_line
from tfcompress.graphs.tensorflow.inference_graph import InferenceGraph, graph_of
from tfcompress.native_output import silenced
from tfcompress.runtime import tf
from tfcompress.tensor_info import TensorInfo

__all__ = ["known_refusal", "refusal_in_words"]

_NO_KERNEL = re.compile(r"No registered '(\w+)' OpKernel")
_NODE = re.compile(r"\{\{node ([^}]+)\}\}")
_WRITES = ("Assign", "ResourceScatter", "ResourceApply")
_NAMED = "XLA refuses operator"


def refusal_in_words(message: str) -> str:
    """TensorFlow's message about a graph that it cannot lower, in one line.

    Args:
        message: whole, as it comes.
    """
    missing, node = _NO_KERNEL.search(message), _NODE.search(message)
    if missing is None or node is None:
        return f"XLA refuses the graph: {one_line(message)}"
    instead = (
        "XLA has dense tensors only; make them dense before the model"
        if missing[1].startswith("Sparse")
        else "XLA has no kernel for it; compute it before or after the model, or with other operators"
    )
    return f"{_NAMED} {node[1]!r} ({missing[1]}): {instead}"


def known_refusal(function: Any, specs: Sequence[Any], layer_names: Collection[str], said: str) -> str | None:
    """Why a signature that XLA has refused is refused, with its Keras layer; None where nothing is known against it.

    A variable that it writes comes last: whoever mends that first would only learn of the next fault.

    Args:
        function: of the signature, as `tf.saved_model.load` gives it.
        specs: a `tf.TensorSpec` of static shape for each of its inputs, in their order.
        layer_names: of the Keras layers; may be unknown.
        said: what `refusal_in_words` makes of TensorFlow's message.
    """
    return (
        _operator_refused(function, specs, layer_names)
        or (with_layer(said, layer_names) if said.startswith(_NAMED) else None)
        or _variable_written(function, layer_names)
    )


def _operator_refused(function: Any, specs: Sequence[Any], layer_names: Collection[str]) -> str | None:
    try:
        graph = _graph(function, specs)
    except (ValueError, TypeError, RuntimeError, tf.errors.OpError):
        return None
    try:
        check_graph(graph, layer_names)
    except ConversionError as error:
        return str(error)
    return None


def _variable_written(function: Any, layer_names: Collection[str]) -> str | None:
    for node in all_nodes(function.graph.as_graph_def()):
        if node.op.startswith(_WRITES):
            return with_layer(
                f"{_NAMED} {node.name!r} ({node.op}): it changes a variable of the model, as layers do "
                "with training=True; export a signature that calls the model with training=False",
                layer_names,
            )
    return None


def _graph(function: Any, specs: Sequence[Any]) -> InferenceGraph:
    names = list(function.structured_input_signature[1])
    inputs = tuple(
        TensorInfo(name, tuple(spec.shape), spec.dtype.name) for name, spec in zip(names, specs, strict=True)
    )
    with silenced():
        whole = tf.function(lambda *tensors: function(**dict(zip(names, tensors, strict=True))), autograph=False)
        return graph_of(whole.get_concrete_function(*specs), inputs, without=_WRITES)
