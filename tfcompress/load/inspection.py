"""What is in a float model: inputs, outputs, layers, parameters and multiply-accumulate operations."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from tfcompress.graphs.keras.call_graph import Call, calls, flatten, is_graph, is_keras3
from tfcompress.model import FloatModel, TensorInfo

__all__ = ["call_macs", "inspect_model", "model_macs"]

# Layers with weights that are not multiplied with activations by a kernel.  A batch normalization scales, and is not
# counted, as in the usual tables of MACs: a converter folds it away.
_SCALING = frozenset(
    {"BatchNormalization", "LayerNormalization", "GroupNormalization", "RMSNormalization", "Normalization", "PReLU",
     "Embedding"}
)  # fmt: skip
# Calls without weights that may still multiply matrices, or do anything.
_PRODUCTS = frozenset(
    {"Dot", "Matmul", "Einsum", "Tensordot", "Inner", "Outer", "Vdot", "Conv", "DepthwiseConv", "SeparableConv",
     "ConvTranspose", "Attention", "AdditiveAttention", "DotProductAttention", "Lambda", "TFOpLambda", "ClassMethod",
     "TfKerasGraph", "Keras3Graph", "FrozenLambda"}
)  # fmt: skip
_RECURRENT = frozenset({"LSTM", "GRU", "SimpleRNN"})


def inspect_model(model: FloatModel) -> dict[str, Any]:
    """A float model as plain data, for ``tfcompress inspect MODEL --json``.

    Args:
        model: as `load_model` gives it.

    Returns:
        ``{"model": {...}, "inputs": [...], "outputs": [...], "layers": [...]}``.  A layer has `name`, `type`,
        `output_shape` (a list of shapes where it has several outputs), `parameters`, `macs` for one sample (None when
        unknown) and `calls`, how often the model calls it.  There are no layers when only a signature is known.
    """
    return {
        "model": {
            "name": model.name,
            "format": model.format,
            "sha256": model.sha256,
            "parameters": model.parameters,
            "macs": model_macs(model),
            "float_bytes": model.float_bytes,
        },
        "inputs": [_tensor_row(info) for info in model.inputs],
        "outputs": [_tensor_row(info) for info in model.outputs],
        "layers": _layer_rows(model),
    }


def model_macs(model: FloatModel) -> int | None:
    """Multiply-accumulate operations for one sample; None when a layer's are unknown or sizes are open."""
    if model.keras_model is None or not is_graph(model.keras_model):
        return None
    counts = [call_macs(call) for _, call in _flat_calls(model.keras_model)]
    countable = [count for count in counts if count is not None]
    return sum(countable) if len(countable) == len(counts) else None


def call_macs(call: Call) -> int | None:
    """Multiply-accumulate operations of one call for one sample; None when unknown.

    A convolution multiplies its whole kernel at each position of its output (of its input, when transposed), a dense
    layer at each position of all but the last axis, a recurrent one both its kernels at each step.
    """
    layer, kind = call.layer, type(call.layer).__name__
    if kind in _SCALING or not getattr(layer, "weights", None):
        return None if kind in _PRODUCTS else 0
    output = _fixed(call.outputs[0].shape[1:])
    inputs = _first_input(call)
    if inputs is None:
        return None
    if kind.endswith("Transpose") and "Conv" in kind:
        return _product(_positions(layer, inputs), _size(layer.kernel))
    if kind in {"Conv1D", "Conv2D", "Conv3D"}:
        return _product(_positions(layer, output), _size(layer.kernel))
    if kind in {"DepthwiseConv1D", "DepthwiseConv2D"}:
        return _product(_positions(layer, output), _size(_depthwise_kernel(layer)))
    if kind in {"SeparableConv1D", "SeparableConv2D"}:
        return _product(_positions(layer, output), _size(layer.depthwise_kernel) + _size(layer.pointwise_kernel))
    if kind == "Dense":
        return _product(inputs[:-1], _size(layer.kernel))
    if kind in _RECURRENT:
        return _product(inputs[:1], _size(layer.cell.kernel) + _size(layer.cell.recurrent_kernel))
    return None


def _tensor_row(info: TensorInfo) -> dict[str, object]:
    return {"name": info.name, "shape": list(info.shape), "dtype": info.dtype}


def _layer_rows(model: FloatModel) -> list[dict[str, Any]]:
    if model.keras_model is None:
        return []
    if not is_graph(model.keras_model):
        return [_row(layer.name, layer, None) for layer in model.keras_model.layers]
    rows: dict[int, dict[str, Any]] = {}
    for name, call in _flat_calls(model.keras_model):
        row = rows.get(id(call.layer))
        if row is None:
            rows[id(call.layer)] = _row(name, call.layer, call)
            continue
        row["calls"] += 1
        more = call_macs(call)
        row["macs"] = None if more is None or row["macs"] is None else row["macs"] + more
    return list(rows.values())


def _row(name: str, layer: Any, call: Call | None) -> dict[str, Any]:
    shapes = [list(tensor.shape) for tensor in call.outputs] if call else []
    return {
        "name": name,
        "type": type(layer).__name__,
        "output_shape": (shapes[0] if len(shapes) == 1 else shapes) if call else None,
        "parameters": int(layer.count_params()) if hasattr(layer, "count_params") and layer.built else 0,
        "macs": call_macs(call) if call else None,
        "calls": 1 if call else None,
    }


def _flat_calls(model: Any, prefix: str = "") -> Iterator[tuple[str, Call]]:
    """(name, call) of a model and of the models inside it, whose own inputs are left out."""
    for call in calls(model):
        if hasattr(call.layer, "layers") and is_graph(call.layer):
            yield from _flat_calls(call.layer, f"{prefix}{call.layer.name}/")
        elif not (call.is_input and prefix):
            yield prefix + call.layer.name, call


def _first_input(call: Call) -> list[int | None] | None:
    """The shape of the first tensor of a call without its batch dimension."""
    leaves = flatten(call.args, keras3=is_keras3(call.layer))
    tensors = [leaf for leaf in leaves if hasattr(leaf, "shape")]
    return _fixed(tensors[0].shape[1:]) if tensors else None


def _fixed(shape: Any) -> list[int | None]:
    return [None if size is None else int(size) for size in shape]


def _positions(layer: Any, shape: list[int | None]) -> list[int | None]:
    """The spatial sizes of a shape without batch."""
    return shape[1:] if layer.data_format == "channels_first" else shape[:-1]


def _depthwise_kernel(layer: Any) -> Any:
    return layer.depthwise_kernel if hasattr(layer, "depthwise_kernel") else layer.kernel


def _size(weight: Any) -> int:
    return math.prod(int(size) for size in weight.shape)


def _product(sizes: list[int | None], factor: int) -> int | None:
    fixed = [size for size in sizes if size is not None]
    return factor * math.prod(fixed) if len(fixed) == len(sizes) else None
