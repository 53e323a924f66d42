"""What each Keras layer of a TensorFlow graph gives, on real inputs.

The graph's operators carry the layers' names, so this works for both Kerases, nested and subclassed models, and for a
SavedModel's signature alike.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Any

import numpy as np

from tfcompress.accuracy_diff.runners import Arrays, as_float32
from tfcompress.graphs.tensorflow.private_names import convert_variables_to_constants_v2
from tfcompress.graphs.tensorflow.protocols import GraphDef, Output
from tfcompress.layer_names import as_named_in, layers_of, without_wrapper
from tfcompress.runtime import tf

__all__ = ["GraphTensors"]

# Operators that only pass a value on, or tell its form.
KEPT_WHOLE = frozenset({"_XlaMustCompile", "_noinline"})  # functions with these are not inlined
OPENED = "_opened"
PASSING = frozenset({"Identity", "IdentityN", "NoOp", "StopGradient", "Shape", "Size", "Rank"})


class GraphTensors:
    """The tensors of a concrete function, by the layer that computes them.

    Args:
        function: of the model's inference pass, whose result is {output name: tensor}.
        layer_names: of the float model.
        inputs: names of the function's inputs, in the order of its flat arguments.

    Attributes:
        operators: {layer: names of its operators that depend on the input, in the order of computation}.
        outputs: {output name: name of the operator that computes it}.
    """

    def __init__(self, function: Any, layer_names: Collection[str], inputs: Sequence[str]) -> None:
        self._frozen = _frozen(function)
        self._inputs = list(inputs)
        sizes = {tensor.shape[0] for tensor in self._frozen.inputs if tensor.shape.rank}
        self._tensors: dict[str, Output] = {}
        self.operators: dict[str, list[str]] = {}
        operations = self._frozen.graph.get_operations()
        names = as_named_in(layer_names, (operation.name for operation in operations))
        for operation in _fed_operations(operations):
            layers = layers_of(operation.name, names)
            tensor = operation.outputs[0]
            if layers and tensor.dtype.is_floating and _is_batch(tensor, sizes):
                self.operators.setdefault(layers[0], []).append(operation.name)
                self._tensors[operation.name] = tensor
        # A function's flat outputs are those of its dict sorted by key (tf.nest).
        self.outputs: dict[str, str] = {}
        for name, tensor in zip(sorted(function.structured_outputs), self._frozen.outputs, strict=True):
            self._tensors[tensor.op.name] = tensor
            self.outputs[name] = tensor.op.name

    def layer_before(self, layer: str) -> str | None:
        """The layer whose value the first operator of a layer reads; None at the input."""
        of_operator = {name: owner for owner, names in self.operators.items() for name in names}
        for tensor in self._tensors[self.operators[layer][0]].op.inputs:
            if tensor.op.name in of_operator:
                return of_operator[tensor.op.name]
        return None

    def operator_named(self, layer: str, leaves: Sequence[str], whole: str | None = None) -> str | None:
        """The layer's last operator that one of the names stands for; its very last one where none does.

        Args:
            layer: its name.
            leaves: last parts of operator names; the TFLite converter may have added digits to them.
            whole: the name that they are of.  What it does not mention is another part of the layer, whose operators
                it does not stand for; None does not ask.
        """
        operators = self.operators.get(layer, [])
        parts = None if whole is None else {_unnumbered(part) for part in re.split("[/;]", whole)}
        for name in reversed(operators):
            own = name.rsplit("/", 1)[-1]
            named = any(leaf.startswith(own) and leaf[len(own) :].strip("0123456789_") == "" for leaf in leaves)
            if named and _is_mentioned(name, parts):
                return name
        return operators[-1] if operators and _is_mentioned(operators[-1], parts) else None

    def elements(self, operator: str) -> int:
        """Values of an operator's result, what is open in its shape being one."""
        shape = self._tensors[operator].shape
        return 0 if shape.rank is None else math.prod(size or 1 for size in shape.as_list())

    def reader(self, operators: Collection[str]) -> Callable[[Arrays], dict[str, np.ndarray]]:
        """A function from a batch, by the names of the inputs, to {operator: float32 array}."""
        names = list(dict.fromkeys(operators))
        pruned = self._frozen.prune(self._frozen.inputs, [self._tensors[name] for name in names])
        dtypes = [tensor.dtype for tensor in self._frozen.inputs]

        def read(inputs: Arrays) -> dict[str, np.ndarray]:
            pairs = zip(self._inputs, dtypes, strict=True)
            given = [tf.cast(tf.constant(inputs[name]), dtype) for name, dtype in pairs]
            return {name: as_float32(value) for name, value in zip(names, pruned(*given), strict=True)}

        return read


def _is_mentioned(operator: str, parts: set[str] | None) -> bool:
    """Whether the scope that an operator is in is among the parts of a name; None has all."""
    scopes = operator.split("/")[:-1]
    return parts is None or not scopes or _unnumbered(scopes[-1]) in parts


def _unnumbered(part: str) -> str:
    return re.sub(r"_\d+$", "", without_wrapper(part))


def _is_batch(tensor: Any, sizes: Collection[int | None]) -> bool:
    """Whether a tensor has one entry per sample: in a recurrent layer some have time first."""
    return tensor.shape.rank is None or (tensor.shape.rank > 0 and tensor.shape[0] in sizes)


def _frozen(function: Any) -> Any:
    """The function with its weights as constants and the functions that it calls inlined, compiled ones too.

    Loops stay one operator: what is inside has a value a turn, and reading it beside the loop ends in "Retval has
    already been set".
    """
    frozen = convert_variables_to_constants_v2(function, lower_control_flow=False)
    definition = frozen.graph.as_graph_def()
    if not any(KEPT_WHOLE & set(node.attr) for node in definition.node):
        return frozen
    _open_functions(definition)

    def body(*arguments: Any) -> Any:
        given = {tensor.name: argument for tensor, argument in zip(frozen.inputs, arguments, strict=True)}
        names = [tensor.name for tensor in frozen.outputs]
        return tf.graph_util.import_graph_def(definition, input_map=given, return_elements=names, name="")

    specs = [tf.TensorSpec(tensor.shape, tensor.dtype, name=tensor.op.name) for tensor in frozen.inputs]
    return convert_variables_to_constants_v2(tf.compat.v1.wrap_function(body, specs), lower_control_flow=False)


def _open_functions(definition: GraphDef) -> None:
    """Let the functions of a GraphDef be inlined; each gets a name of its own, as it is no more what it was."""
    functions = definition.library.function
    for node in (*definition.node, *(node for function in functions for node in function.node_def)):
        for attribute in KEPT_WHOLE & set(node.attr):
            del node.attr[attribute]
        for value in node.attr.values():
            if value.func.name:
                value.func.name += OPENED
    for function in functions:
        function.signature.name += OPENED
        for attribute in KEPT_WHOLE & set(function.attr):
            del function.attr[attribute]


def _fed_operations(operations: Iterable[Any]) -> Iterable[Any]:
    """The operators whose result depends on an input, those that only pass a value on left out."""
    fed: set[str] = set()
    for operation in operations:
        if operation.type == "Placeholder" or any(tensor.op.name in fed for tensor in operation.inputs):
            fed.add(operation.name)
            if operation.outputs and operation.type not in PASSING and operation.type != "Placeholder":
                yield operation
