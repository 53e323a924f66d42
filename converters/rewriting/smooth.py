"""Smooth activations as operators that the Edge TPU compiler maps; see `activations` for the form.

What the compiler has to build them of is sigmoid, tanh, rsqrt and arithmetic.  There is no EXP and no DIV, but
exp(-n) = 1 / sigmoid(n) - 1, and 1 / y = rsqrt(y)^2 for y > 0.
"""

from __future__ import annotations

import math

from tfcompress.converters.rewriting.slopes import before_own_range
from tfcompress.graphs.tflite.editor import GraphEditor, OperatorNode, TensorNode, options

__all__ = [
    "elu",
    "exponential_of_negative",
    "gelu_erf",
    "gelu_tanh",
    "gelu_to_sigmoid",
    "mish",
    "scaled_elu",
    "selu",
    "silu_to_relu6",
    "softplus",
    "softsign",
]

_SQRT_2_OVER_PI = math.sqrt(2 / math.pi)
_GELU_SIGMOID_SLOPE = 1.702  # Hendrycks & Gimpel 2016, "Gaussian Error Linear Units", section 2
# The standard normal distribution as sigmoid(p(x)): p is the odd polynomial in x / 5, of degree 9, that makes
# max |x sigmoid(p(x)) - x Phi(x)| least on [-5, 5] (reweighted least squares); that is 3.0e-6.
_NORMAL_REACH = 5.0
_NORMAL_LOGIT = (7.97828136, 9.1171978, -0.78038594, -4.77827925, 4.37141103)


def _reciprocal(graph: GraphEditor, source: TensorNode, result: TensorNode) -> list[OperatorNode]:
    """1 / y = rsqrt(y)^2, for y > 0."""
    root = graph.like(result, "root")
    return [graph.operator("RSQRT", [source], [root]), graph.multiply(root, root, result)]


def elu(graph: GraphEditor, operator: OperatorNode) -> list[OperatorNode]:
    """ELU(x) = relu(x) + exp(-n) - 1 = relu(x) + 1 / sigmoid(n) - 2, with n = relu(-x).

    Clevert et al. 2015, "Fast and Accurate Deep Network Learning by Exponential Linear Units", equation 15.
    """
    (source,), (result,) = operator.operands, operator.outputs
    positive, inverse, exponential = (graph.like(result, part) for part in ("positive", "inverse", "exponential"))
    return [
        graph.operator("RELU", [source], [positive]),
        *_one_and_exponential(graph, source, inverse),
        graph.plus(inverse, graph.new_constant(-2.0, result, "minus_two"), exponential),
        graph.plus(positive, exponential, result),
    ]


def _one_and_exponential(graph: GraphEditor, source: TensorNode, result: TensorNode) -> list[OperatorNode]:
    """1 + exp(min(x, 0)) = 1 / sigmoid(relu(-x))."""
    minus, negative, gate = (graph.like(result, part) for part in ("minus", "negative", "gate"))
    return [
        graph.multiply(source, graph.new_constant(-1.0, result, "minus_one"), minus),
        graph.operator("RELU", [minus], [negative]),
        graph.operator("LOGISTIC", [negative], [gate]),
        *_reciprocal(graph, gate, result),
    ]


def exponential_of_negative(graph: GraphEditor, operator: OperatorNode) -> list[OperatorNode] | None:
    """exp(c min(x, 0)), c > 0, as in CELU (Barron 2017, "Continuously Differentiable Exponential Linear Units")."""
    (source,), (result,) = operator.operands, operator.outputs
    minimum, factor = graph.producer(source), 1.0
    if minimum is not None and minimum.name in ("MUL", "DIV"):
        value = minimum.constant(1)
        if value is None or value.size != 1 or not value.item() > 0:
            return None
        factor = float(value.item()) if minimum.name == "MUL" else 1 / float(value.item())
        minimum = graph.producer(minimum.source)
    if minimum is None or minimum.name != "MINIMUM":
        return None
    bound = minimum.constant(1)
    if bound is None or bound.any():
        return None
    inverse, scaled, steps = graph.like(result, "inverse"), before_own_range(graph, minimum.source), []
    if factor != 1:
        argument, scaled = scaled, graph.like(result, "scaled")
        steps = [graph.multiply(argument, graph.new_constant(factor, result, "factor"), scaled)]
    return [
        *steps,
        *_one_and_exponential(graph, scaled, inverse),
        graph.plus(inverse, graph.new_constant(-1.0, result, "minus_one"), result),
    ]


def scaled_elu(graph: GraphEditor, operator: OperatorNode) -> list[OperatorNode] | None:
    """a x for x > 0, else b (exp(x) - 1): SELU (Klambauer et al. 2017), and ELU with an alpha; `operator` is a SELECT.

    It is a relu(x) + b (1 / sigmoid(relu(-x)) - 2).
    """
    form = _scaled_elu(graph, operator)
    if form is None:
        return None
    source, a, b = form
    result = operator.result
    positive, scaled, inverse, exponential, weighted = (
        graph.like(result, part) for part in ("positive", "scaled", "inverse", "exponential", "weighted")
    )
    return [
        graph.operator("RELU", [source], [positive]),
        graph.multiply(positive, graph.new_constant(a, result, "above"), scaled),
        *_one_and_exponential(graph, source, inverse),
        graph.plus(inverse, graph.new_constant(-2.0, result, "minus_two"), exponential),
        graph.multiply(exponential, graph.new_constant(b, result, "below"), weighted),
        graph.plus(scaled, weighted, result),
    ]


def selu(graph: GraphEditor, operator: OperatorNode) -> list[OperatorNode] | None:
    """a x for x > 0, else b (exp(x) - 1), as a relu(x) + b elu(-relu(-x)); `operator` is a SELECT.

    It is for graphs that compute exp(x) for every x: its largest values leave nothing to those below 1 in 8 bits.  ELU
    does not, so that a choice made of ELU is left as it is.
    """
    form = _scaled_elu(graph, operator)
    if form is None or not _takes_exponential(graph, operator.operands[2]):
        return None
    source, a, b = form
    result = operator.result
    positive, scaled, minus, negative, below, exponential, weighted = (
        graph.like(result, part)
        for part in ("positive", "scaled", "minus", "negative", "below", "exponential", "weighted")
    )
    return [
        graph.operator("RELU", [source], [positive]),
        graph.multiply(positive, graph.new_constant(a, result, "above"), scaled),
        graph.multiply(source, graph.new_constant(-1.0, result, "minus_one"), minus),
        graph.operator("RELU", [minus], [negative]),
        graph.multiply(negative, graph.new_constant(-1.0, result, "minus_one"), below),
        graph.operator("ELU", [below], [exponential]),
        graph.multiply(exponential, graph.new_constant(b, result, "weight"), weighted),
        graph.plus(scaled, weighted, result),
    ]


def _scaled_elu(graph: GraphEditor, operator: OperatorNode) -> tuple[TensorNode, float, float] | None:
    """x, a and b of a SELECT that gives a x for x > 0, else b (exp(x) - 1); None for another one."""
    condition, above, below = operator.operands
    greater = graph.producer(condition)
    if greater is None or greater.name != "GREATER":
        return None
    source, bound = greater.operands
    threshold = bound.array()
    a, b = _factor(graph, above, source, of_elu=False), _factor(graph, below, source, of_elu=True)
    return None if threshold is None or threshold.any() or a is None or b is None else (source, a, b)


def _takes_exponential(graph: GraphEditor, tensor: TensorNode) -> bool:
    """Whether a tensor in which `_factor` has seen c (exp(x) - 1) is made of EXP, and not of ELU."""
    producer = graph.producer(tensor)
    while producer is not None and producer.name in ("MUL", "SUB"):
        producer = graph.producer(producer.operands[0])
    return producer is not None and producer.name == "EXP"


def _factor(graph: GraphEditor, tensor: TensorNode, source: TensorNode, *, of_elu: bool) -> float | None:
    """c where the tensor is c x, or with `of_elu` c (exp(x) - 1); None where it is neither."""
    producer = graph.producer(tensor)
    if tensor is source or producer is None:
        return 1.0 if tensor is source and not of_elu else None
    name, inputs = producer.name, producer.operands
    if name == "ELU":  # x itself for x > 0
        return 1.0 if inputs[0] is source else None
    if name == "SUB" and of_elu:
        exponential, addend = graph.producer(inputs[0]), inputs[1].array()
        fits = exponential is not None and exponential.name == "EXP" and exponential.source is source
        return 1.0 if fits and addend is not None and addend.size == 1 and addend.ravel()[0] == 1 else None
    factor = inputs[-1].array()
    if name != "MUL" or factor is None or factor.size != 1:
        return None
    inner = _factor(graph, inputs[0], source, of_elu=of_elu)
    return None if inner is None else inner * float(factor.ravel()[0])


def softsign(graph: GraphEditor, operator: OperatorNode) -> list[OperatorNode] | None:
    """x / (1 + |x|) = 1 / (1 + relu(-x)) - 1 / (1 + relu(x)); `operator` is the DIV.

    Each part has values in (0, 1], so that a large x costs no precision, as it would with x (1 / (1 + |x|)).
    """
    source, divisor = operator.operands
    total = graph.producer(divisor)
    unit = None if total is None or total.name != "ADD" else total.constant(1)
    if total is None or unit is None or unit.size != 1 or unit.item() != 1 or operator.options.fusedActivationFunction:
        return None
    magnitude = graph.producer(total.source)
    if magnitude is None or magnitude.name != "ABS" or magnitude.source is not source or source.dtype != "float32":
        return None
    result = operator.result
    minus, below, above = (graph.like(result, part) for part in ("minus", "below", "above"))
    return [
        graph.multiply(source, graph.new_constant(-1.0, result, "minus_one"), minus),
        *_one_over_one_and_relu(graph, minus, below),
        *_one_over_one_and_relu(graph, source, above),
        graph.operator("SUB", [below, above], [result], options("SubOptions")),
    ]


def _one_over_one_and_relu(graph: GraphEditor, source: TensorNode, result: TensorNode) -> list[OperatorNode]:
    positive, shifted = graph.like(result, "positive"), graph.like(result, "shifted")
    return [
        graph.operator("RELU", [source], [positive]),
        graph.plus(positive, graph.new_constant(1.0, result, "one"), shifted),
        *_reciprocal(graph, shifted, result),
    ]


def _exponent(graph: GraphEditor, total: TensorNode) -> TensorNode | None:
    """The x of 1 + exp(x), in either order; None for another tensor."""
    sum_ = graph.producer(total)
    if sum_ is None or sum_.name != "ADD" or len(sum_.operands) != 2:
        return None
    for unit, power in (sum_.operands, sum_.operands[::-1]):
        ones, exponential = unit.array(), graph.producer(power)
        if ones is not None and (ones == 1).all() and exponential is not None and exponential.name == "EXP":
            return exponential.source
    return None


def mish(graph: GraphEditor, operator: OperatorNode) -> list[OperatorNode] | None:
    """tanh(log(1 + exp(x))) = 2 / (1 + u^2) - 1, with u = sigmoid(-x) (Misra 2019, "Mish"); `operator` is the TANH."""
    logarithm = graph.producer(operator.source)
    source = None if logarithm is None or logarithm.name != "LOG" else _exponent(graph, logarithm.source)
    if source is None:
        return None
    result = operator.result
    minus, gate, square, sum_, inverse, twice = (
        graph.like(result, part) for part in ("minus", "gate", "square", "sum", "inverse", "twice")
    )
    return [
        graph.multiply(source, graph.new_constant(-1.0, result, "minus_one"), minus),
        graph.operator("LOGISTIC", [minus], [gate]),
        graph.multiply(gate, gate, square),
        graph.plus(square, graph.new_constant(1.0, result, "one"), sum_),
        *_reciprocal(graph, sum_, inverse),
        graph.multiply(inverse, graph.new_constant(2.0, result, "two"), twice),
        graph.plus(twice, graph.new_constant(-1.0, result, "minus_one"), result),
    ]


def softplus(graph: GraphEditor, operator: OperatorNode) -> list[OperatorNode] | None:
    """log(1 + exp(x)) = relu(x) - log(sigmoid(|x|)), with parts of narrow range; `operator` is the LOG."""
    source = _exponent(graph, operator.source)
    if source is None:
        return None
    result = operator.result
    positive, magnitude, gate, rest = (graph.like(result, part) for part in ("positive", "magnitude", "gate", "rest"))
    return [
        graph.operator("RELU", [source], [positive]),
        graph.operator("ABS", [source], [magnitude], options("AbsOptions")),
        graph.operator("LOGISTIC", [magnitude], [gate]),
        graph.operator("LOG", [gate], [rest]),
        graph.operator("SUB", [positive, rest], [result], options("SubOptions")),
    ]


def gelu_tanh(graph: GraphEditor, operator: OperatorNode) -> list[OperatorNode] | None:
    """GELU in its tanh form, as a sigmoid: 0.5 x (1 + tanh u) = x sigmoid(2 u), u = sqrt(2/pi) (x + 0.044715 x^3)."""
    if not operator.options.approximate:
        return None
    (source,), (result,) = operator.operands, operator.outputs
    square, slope, sum_, argument, gate = (
        graph.like(result, part) for part in ("square", "slope", "sum", "argument", "gate")
    )
    return [
        graph.multiply(source, source, square),
        graph.multiply(square, graph.new_constant(2 * _SQRT_2_OVER_PI * 0.044715, result, "cubic"), slope),
        graph.plus(slope, graph.new_constant(2 * _SQRT_2_OVER_PI, result, "linear"), sum_),
        graph.multiply(sum_, source, argument),
        graph.operator("LOGISTIC", [argument], [gate]),
        graph.multiply(source, gate, result),
    ]


def gelu_erf(graph: GraphEditor, operator: OperatorNode) -> list[OperatorNode]:
    """GELU in its exact form, x Phi(x), as x sigmoid(p(x)).

    erf has no equal among the mapped operators, so this one is an approximation, within `_NORMAL_LOGIT`'s 3.0e-6 in
    float.  The polynomial is of v = clip(3 x / 5, -3, 3), so that each of its values has a narrow int8 range.
    """
    (source,), (result,) = operator.operands, operator.outputs
    scaled, shifted, clipped, square, argument, gate = (
        graph.like(result, part) for part in ("scaled", "shifted", "clipped", "square", "argument", "gate")
    )
    bound = 3.0  # relu6(y + 3) - 3 clips to [-3, 3]
    lowest, *powers = (factor / bound ** (2 * n + 1) for n, factor in enumerate(_NORMAL_LOGIT))
    operators = [
        graph.multiply(source, graph.new_constant(bound / _NORMAL_REACH, result, "scale"), scaled),
        graph.plus(scaled, graph.new_constant(bound, result, "bound"), shifted, relu6=True),
        graph.plus(shifted, graph.new_constant(-bound, result, "minus_bound"), clipped),
        graph.multiply(clipped, clipped, square),
    ]
    value = graph.new_constant(powers[-1], result, "factor")
    for factor in [*reversed(powers[:-1]), lowest]:  # Horner's scheme
        product, value_, next_ = graph.like(result, "product"), value, graph.like(result, "polynomial")
        operators += [
            graph.multiply(square, value_, product),
            graph.plus(product, graph.new_constant(factor, result, "factor"), next_),
        ]
        value = next_
    return [
        *operators,
        graph.multiply(value, clipped, argument),
        graph.operator("LOGISTIC", [argument], [gate]),
        graph.multiply(source, gate, result),
    ]


def gelu_to_sigmoid(graph: GraphEditor, operator: OperatorNode) -> list[OperatorNode]:
    """GELU(x) ~ x sigmoid(1.702 x): a different function, off by up to 0.02."""
    (source,), (result,) = operator.operands, operator.outputs
    argument, gate = graph.like(result, "argument"), graph.like(result, "gate")
    return [
        graph.multiply(source, graph.new_constant(_GELU_SIGMOID_SLOPE, result, "slope"), argument),
        graph.operator("LOGISTIC", [argument], [gate]),
        graph.multiply(source, gate, result),
    ]


def silu_to_relu6(graph: GraphEditor, operator: OperatorNode) -> list[OperatorNode] | None:
    """ReLU6 in place of SiLU, x sigmoid(x): a different function, for fine-tuning.  `operator` is the MUL."""
    left, right = operator.operands
    for source, gate in ((left, right), (right, left)):
        sigmoid = graph.producer(gate)
        if sigmoid is not None and sigmoid.name == "LOGISTIC" and sigmoid.inputs == [source]:
            return [graph.operator("RELU6", [source], list(operator.outputs))]
    return None
