"""Rewrites of a quantized file: forms in which it computes the same, or one integer step beside; see `activations`."""

from __future__ import annotations

from ai_edge_litert import schema_py_generated as schema

from tfcompress.converters.edgetpu.operators import SUPPORTED
from tfcompress.graphs.tflite.editor import GraphEditor, OperatorNode, TensorNode, options

__all__ = ["dense_on_rank_two", "leaky_relu", "number_in_int8", "own_version", "pixels_in_uint8", "unary_in_int8"]

_EIGHT_BIT = ("int8", "uint8")
_LARGEST = 127
_LIMITS = {"int8": (-128, 127), "uint8": (0, 255)}


def unary_in_int8(graph: GraphEditor, operator: OperatorNode) -> list[OperatorNode] | None:
    """DEQUANTIZE, a function, QUANTIZE as the function in int8.

    Both engines leave these functions in float, but their int8 kernels take any scale of input and output.
    """
    before, readers = graph.producer(operator.source), graph.consumers(operator.result)
    if before is None or len(readers) != 1 or operator.result in graph.outputs:
        return None
    after = readers[0]
    if (before.name, after.name) != ("DEQUANTIZE", "QUANTIZE") or {before.source.dtype, after.result.dtype} != {"int8"}:
        return None
    source, target = operator.result, after.result
    if target not in graph.outputs:
        source.name, target.name = target.name, source.name  # the layer's name stays with the layer's value
    graph.remove([after])
    return [operator.replaced([before.source], [target])]


def number_in_int8(graph: GraphEditor, operator: OperatorNode) -> list[OperatorNode] | None:
    """CAST of whole numbers to float, QUANTIZE as CAST to 8 bits, of which a step is 1, QUANTIZE.

    Masks come as whole numbers or truth values.  What 8 bits do not hold is clipped first; the ranges behind, which end
    within 8 bits, clip it anyway.
    """
    source, result, readers = operator.source, operator.result, graph.consumers(operator.result)
    if (result.dtype, source.dtype) not in (("float32", "int32"), ("float32", "bool")) or result in graph.outputs:
        return None
    kind = next((kind for kind in _LIMITS if readers and all(_ends_within(kind, reader) for reader in readers)), None)
    if kind is None:
        return None
    number = graph.like(result, "number")
    number.dtype = kind
    number.quantize(1.0, 0)
    before: list[OperatorNode] = []
    if source.dtype == "int32":
        for name, limit in zip(("MAXIMUM", "MINIMUM"), _LIMITS[kind], strict=True):
            clipped = graph.like(source, name.lower())
            bound = graph.new_constant(limit, source, f"{name.lower()}_bound")
            before.append(graph.operator(name, [source, bound], [clipped], options("MaximumMinimumOptions")))
            source = clipped
    return [
        *before,
        graph.operator("CAST", [source], [number], options("CastOptions")),
        *_quantized_from(graph, number, readers),
    ]


def pixels_in_uint8(graph: GraphEditor, operator: OperatorNode) -> list[OperatorNode] | None:
    """CAST of uint8 to float, QUANTIZE as QUANTIZE alone: a uint8 of scale 1 is the number itself.

    Models that take photos as they are stored have a uint8 input, and a Rescaling behind it.
    """
    source, result, readers = operator.source, operator.result, graph.consumers(operator.result)
    if (result.dtype, source.dtype) != ("float32", "uint8") or result in graph.outputs or source.scales:
        return None
    if not readers or any(reader.name != "QUANTIZE" for reader in readers):
        return None
    source.quantize(1.0, 0)
    return _quantized_from(graph, source, readers)


def _quantized_from(graph: GraphEditor, number: TensorNode, readers: list[OperatorNode]) -> list[OperatorNode]:
    """The QUANTIZE operators, taken out of the graph and made anew as readers of `number`."""
    graph.remove(readers)
    return [
        graph.operator("QUANTIZE", [number], [reader.result], options("QuantizeOptions"), version=2)
        for reader in readers
    ]


def _ends_within(kind: str, reader: OperatorNode) -> bool:
    """Whether it quantizes to int8 of one scale, of which all numbers are ones that `kind` holds."""
    if reader.name != "QUANTIZE" or reader.result.dtype != "int8" or len(reader.result.scales) != 1:
        return False
    (scale,), (zero_point,) = reader.result.scales, reader.result.zero_points
    low, high = ((limit - zero_point) * scale for limit in _LIMITS["int8"])
    return bool(low >= _LIMITS[kind][0] - scale / 2 and high <= _LIMITS[kind][1] + scale / 2)


def leaky_relu(graph: GraphEditor, operator: OperatorNode) -> list[OperatorNode] | None:
    """LeakyReLU of a slope in (0, 1] as QUANTIZE to the result's scale, MUL, and MAXIMUM.

    MAXIMUM needs one scale for all.  The quantized input may saturate at the lower end of the result, where alpha * x
    is the larger one anyway.  In the float graph the same form would cost accuracy: quantizers give both sides of
    MAXIMUM one range, and the result's cuts the input's.
    """
    source, result, slope = operator.source, operator.result, operator.options.alpha
    if result.dtype != "int8" or not 0 < slope <= 1:
        return None
    aligned, scaled = (graph.like(result, part) for part in ("aligned", "scaled"))
    alpha = graph.new_number(slope / _LARGEST, _LARGEST, result, "alpha")
    return [
        graph.operator("QUANTIZE", [source], [aligned], options("QuantizeOptions"), version=2),
        graph.operator("MUL", [source, alpha], [scaled], options("MulOptions"), version=2),
        graph.operator("MAXIMUM", [aligned, scaled], [result], options("MaximumMinimumOptions"), version=2),
    ]


def dense_on_rank_two(graph: GraphEditor, operator: OperatorNode) -> list[OperatorNode] | None:
    """FULLY_CONNECTED with keep_num_dims as RESHAPE, FULLY_CONNECTED without, RESHAPE.

    Only in the quantized file: TFLiteConverter's quantizer would fold the reshapes into it again.
    """
    if not operator.options.keepNumDims:
        return None
    source, result = operator.source, operator.result
    outputs, inputs = operator.operands[1].shape
    rows = source.elements // inputs
    is_flat = source.shape == (rows, inputs)
    flat = source if is_flat else graph.new_tensor((rows, inputs), source, "rows")
    product = result if is_flat else graph.new_tensor((rows, outputs), result, "rows")
    dense = operator.replaced([flat, *operator.inputs[1:]], [product])
    dense.options.keepNumDims = False
    return [dense] if is_flat else [graph.reshape(source, flat), dense, graph.reshape(product, result)]


def own_version(graph: GraphEditor, operator: OperatorNode) -> list[OperatorNode] | None:
    """The operator with the newest version that the Edge TPU compiler knows, where that computes the same.

    A .tflite states one version for each entry of its operator table, and exporters make one entry per type: the
    highest version that any operator of the type needs.  So an addition of int64 indices in a post-processing tail
    lifts all int8 additions to a version that the compiler does not know.
    """
    supported = SUPPORTED.get(operator.name)
    if supported is None or operator.version <= supported.newest_version or not _is_plain_int8(operator):
        return None
    replacement = operator.replaced(operator.inputs, operator.outputs)
    replacement.code = graph.codes.exactly(getattr(schema.BuiltinOperator, operator.name), supported.newest_version)
    return [replacement]


def _is_plain_int8(operator: OperatorNode) -> bool:
    """Whether the operator computes what the older version of it computes (tensorflow/lite/tools/versioning)."""
    data: list[TensorNode] = [t for t in (*operator.operands, *operator.outputs) if t.scales]
    if any(t.dtype not in (*_EIGHT_BIT, "int32") for t in data):  # biases are int32 and have a scale
        return False
    if any(t.dtype not in _EIGHT_BIT for t in operator.outputs):
        return False
    if operator.name != "FULLY_CONNECTED":
        return True
    return not operator.options.keepNumDims and len(operator.operands[1].scales) == 1
