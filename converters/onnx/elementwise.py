"""Operators that compute each element by itself: the layout of their inputs is the layout of their result."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from tfcompress.converters.onnx.builder import Builder, Layout, to_first
from tfcompress.errors import ConversionError
from tfcompress.graphs.tflite import Operator

__all__ = ["OPERATORS", "activated", "common_layout"]

_Unary = Callable[[Builder, Operator, str], str]
# schema.fbs, ActivationFunctionType
_NONE, _RELU, _RELU_N1_TO_1, _RELU6, _TANH = 0, 1, 2, 3, 4


def activated(builder: Builder, operator: Operator, value: str) -> str:
    """`value` behind the activation that TFLite has fused into an operator."""
    kind = operator.options.FusedActivationFunction() if operator.options is not None else _NONE
    if kind == _NONE:
        return value
    if kind == _RELU:
        return builder.node("Relu", [value])
    if kind in (_RELU6, _RELU_N1_TO_1):
        return _clipped(builder, value, *((0.0, 6.0) if kind == _RELU6 else (-1.0, 1.0)))
    if kind == _TANH:
        return builder.node("Tanh", [value])
    raise ConversionError(f"{operator.name}: the fused activation {kind} has no ONNX form here")


def common_layout(builder: Builder, operator: Operator) -> Layout:
    """Channels first where an input is so and all others can be: constants, or of the same rank."""
    inputs = [index for index in operator.inputs if index >= 0]
    computed = [index for index in inputs if builder.value_of(index) is None]
    ranks = {len(builder.tensor(index).shape) for index in computed}
    rank = max(ranks, default=0)
    same = len(ranks) == 1 and rank > 2 and len(builder.tensor(operator.outputs[0]).shape) == rank
    first = any(builder.layout_of(index) is Layout.FIRST for index in computed)
    return Layout.FIRST if same and first else Layout.LAST


def _operand(builder: Builder, index: int, layout: Layout, rank: int) -> str:
    """An input, a constant of lower rank brought to the full one where the layout is not TFLite's own."""
    constant = builder.value_of(index)
    if constant is None or layout is Layout.LAST:
        return builder.read(index, layout)
    if constant.ndim == 0:
        return builder.constant(constant, builder.tensor(index).name)
    full = constant.reshape([1] * (rank - constant.ndim) + list(constant.shape))
    return builder.constant(full.transpose(to_first(rank)), builder.tensor(index).name)


def _elementwise(compute: Callable[[Builder, Operator, list[str]], str]) -> Callable[[Builder, Operator], None]:
    def convert(builder: Builder, operator: Operator) -> None:
        layout = common_layout(builder, operator)
        rank = len(builder.tensor(operator.outputs[0]).shape)
        values = [_operand(builder, index, layout, rank) for index in operator.inputs if index >= 0]
        result = compute(builder, operator, values)
        builder.write(operator.outputs[0], result, layout)

    return convert


def _simple(kind: str) -> Callable[[Builder, Operator], None]:
    return _elementwise(lambda builder, _, values: builder.node(kind, values))


def _binary(kind: str) -> Callable[[Builder, Operator], None]:
    return _elementwise(lambda builder, operator, values: activated(builder, operator, builder.node(kind, values)))


def _clipped(builder: Builder, value: str, low: float, high: float) -> str:
    return builder.node("Clip", [value, builder.scalar(low), builder.scalar(high)])


def _clip(low: float, high: float) -> Callable[[Builder, Operator], None]:
    return _elementwise(lambda builder, _, values: _clipped(builder, values[0], low, high))


def _leaky_relu(builder: Builder, operator: Operator, values: list[str]) -> str:
    return builder.node("LeakyRelu", values, alpha=float(operator.options.Alpha()))


def _gelu(builder: Builder, operator: Operator, values: list[str]) -> str:
    """0.5 x (1 + erf(x / sqrt 2)), or the tanh form (Hendrycks and Gimpel, 2016)."""
    x = values[0]
    if operator.options is not None and operator.options.Approximate():
        cube = builder.node("Mul", [builder.node("Mul", [x, x]), x])
        inner = builder.node("Add", [x, builder.node("Mul", [cube, builder.scalar(0.044715)])])
        bent = builder.node("Tanh", [builder.node("Mul", [inner, builder.scalar(math.sqrt(2 / math.pi))])])
    else:
        bent = builder.node("Erf", [builder.node("Mul", [x, builder.scalar(1 / math.sqrt(2))])])
    half = builder.node("Mul", [x, builder.scalar(0.5)])
    return builder.node("Mul", [half, builder.node("Add", [bent, builder.scalar(1.0)])])


def _rsqrt(builder: Builder, _: Operator, values: list[str]) -> str:
    return builder.node("Reciprocal", [builder.node("Sqrt", values)])


def _square(builder: Builder, _: Operator, values: list[str]) -> str:
    return builder.node("Mul", [values[0], values[0]])


def _squared_difference(builder: Builder, _: Operator, values: list[str]) -> str:
    difference = builder.node("Sub", values)
    return builder.node("Mul", [difference, difference])


def _floor_div(builder: Builder, operator: Operator, values: list[str]) -> str:
    _floats_only(builder, operator)
    return builder.node("Floor", [builder.node("Div", values)])


def _floor_mod(builder: Builder, operator: Operator, values: list[str]) -> str:
    if builder.tensor(operator.outputs[0]).dtype != "float32":
        return builder.node("Mod", values)
    whole = builder.node("Floor", [builder.node("Div", values)])
    return builder.node("Sub", [values[0], builder.node("Mul", [whole, values[1]])])


def _floats_only(builder: Builder, operator: Operator) -> None:
    dtype = builder.tensor(operator.outputs[0]).dtype
    if dtype != "float32":
        raise ConversionError(f"{operator.name} of {dtype} has no ONNX operator; compute it outside of the model")


def _not_equal(builder: Builder, _: Operator, values: list[str]) -> str:
    return builder.node("Not", [builder.node("Equal", values)])


def _cast(builder: Builder, operator: Operator, values: list[str]) -> str:
    dtype = np.dtype(builder.tensor(operator.outputs[0]).dtype)
    return builder.node("Cast", values, to=builder.onnx.helper.np_dtype_to_tensor_dtype(dtype))


def _identity(builder: Builder, _: Operator, values: list[str]) -> str:
    return builder.node("Identity", values)


OPERATORS: dict[str, Callable[[Builder, Operator], None]] = {
    **{
        name: _simple(kind)
        for name, kind in {
            "ABS": "Abs",
            "NEG": "Neg",
            "EXP": "Exp",
            "LOG": "Log",
            "SQRT": "Sqrt",
            "SIN": "Sin",
            "COS": "Cos",
            "FLOOR": "Floor",
            "CEIL": "Ceil",
            "ROUND": "Round",
            "SIGN": "Sign",
            "TANH": "Tanh",
            "LOGISTIC": "Sigmoid",
            "RELU": "Relu",
            "ELU": "Elu",
            "HARD_SWISH": "HardSwish",
            "PRELU": "PRelu",
            "MAXIMUM": "Max",
            "MINIMUM": "Min",
            "POW": "Pow",
            "LOGICAL_NOT": "Not",
            "LOGICAL_AND": "And",
            "LOGICAL_OR": "Or",
            "EQUAL": "Equal",
            "LESS": "Less",
            "LESS_EQUAL": "LessOrEqual",
            "GREATER": "Greater",
            "GREATER_EQUAL": "GreaterOrEqual",
            "SELECT": "Where",
            "SELECT_V2": "Where",
        }.items()
    },
    **{name: _binary(kind) for name, kind in {"ADD": "Add", "SUB": "Sub", "MUL": "Mul", "DIV": "Div"}.items()},
    "ADD_N": _simple("Sum"),
    "CAST": _elementwise(_cast),
    "DEQUANTIZE": _elementwise(_cast),  # of float16 constants
    "FLOOR_DIV": _elementwise(_floor_div),
    "FLOOR_MOD": _elementwise(_floor_mod),
    "GELU": _elementwise(_gelu),
    "LEAKY_RELU": _elementwise(_leaky_relu),
    "NOT_EQUAL": _elementwise(_not_equal),
    "RELU6": _clip(0.0, 6.0),
    "RELU_0_TO_1": _clip(0.0, 1.0),
    "RELU_N1_TO_1": _clip(-1.0, 1.0),
    "RSQRT": _elementwise(_rsqrt),
    "SQUARE": _elementwise(_square),
    "SQUARED_DIFFERENCE": _elementwise(_squared_difference),
    "STOP_GRADIENT": _elementwise(_identity),
}
