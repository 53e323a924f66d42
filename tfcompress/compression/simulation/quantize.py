"""Quantization-aware models: a lowered model with tfmot's wrappers where the int8 file quantizes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from tfcompress.compression.in_float import is_in_float
from tfcompress.compression.lowering.symbols import symbol_of, with_arrays
from tfcompress.compression.simulation.averages import AverageRange
from tfcompress.compression.simulation.layer_rules import Placement, Rule, fuses, repeats_for_relu, rule_for
from tfcompress.compression.simulation.placement import Plan, Quantized, slope_as_xnnpack_rounds
from tfcompress.compression.simulation.quantizers import (
    ActivationRange,
    Axis,
    BiasQuantizer,
    FixedRange,
    JoinedRange,
    KernelQuantizer,
    SameRange,
)
from tfcompress.compression.simulation.ranges import Ranges
from tfcompress.errors import RecipeError
from tfcompress.graphs.keras.call_graph import producer
from tfcompress.graphs.keras.protocols import Config, KerasModel, Layer, Tensor, Variable
from tfcompress.graphs.keras.replay import Call, Copies, rebuild
from tfcompress.runtime import tf, tf_keras, tfmot

__all__ = [
    "PREFIX",
    "FakeQuantize",
    "KernelConfig",
    "MakeKernelQuantizer",
    "check_strict",
    "insert_quantizers",
    "wrap_kernels",
]

# (layer, values of one of its weights, what has a scale of its own) -> how that weight is quantized
MakeKernelQuantizer = Callable[[Any, np.ndarray, Axis], KernelQuantizer]

# Where nothing was calibrated: tfmot's range, but moved ten times and more as fast.
_UNKNOWN_RANGE = (-6.0, 6.0)
_UNKNOWN_DECAY = 0.9

# tfmot's, of the names of wrapped layers.
PREFIX = "quant_"


class FakeQuantize(tf_keras.layers.Layer):
    """Quantizes the tensor that passes through it.

    tfmot has such a layer too, but quantizes a layer's output in the layer's wrapper, where a layer that is called
    twice cannot have two ranges, and a tensor operator of a functional graph none.
    """

    def __init__(self, quantizer: ActivationRange | FixedRange | SameRange, **kwargs: object) -> None:
        super().__init__(**kwargs)
        self.quantizer = quantizer
        self.quantizer_weights: dict[str, Variable] = {}

    def build(self, input_shape: object) -> None:
        """Make the quantizer's variables."""
        self.quantizer_weights = self.quantizer.build(input_shape, "output", self)
        super().build(input_shape)

    def call(self, inputs: Tensor, training: object = None) -> Any:
        """The inputs on the grid of the range."""
        result = self.quantizer(inputs, bool(training), self.quantizer_weights)
        # A tensor that passes as it is would bring a mask of Keras's along, which the layers behind do not take.
        return tf.identity(result) if is_in_float() else result

    def get_config(self) -> Config:
        """Constructor arguments."""
        return {**super().get_config(), "quantizer": self.quantizer}


class KernelConfig(tfmot.quantization.keras.QuantizeConfig):
    """tfmot's description of how a layer is quantized: here its weights alone, `FakeQuantize` does the outputs.

    Attributes:
        quantizers: {attribute of the layer: quantizer of that weight}, kernel before bias.
        variables: all the layer's variables in its own order; the layer forgets those that are replaced by tensors.
    """

    def __init__(self, quantizers: Mapping[str, KernelQuantizer | BiasQuantizer], variables: Sequence[object]) -> None:
        self.quantizers = dict(quantizers)
        self.variables = tuple(variables)

    def get_weights_and_quantizers(self, layer: Layer) -> list[tuple[object, KernelQuantizer | BiasQuantizer]]:
        """The weights, as variables, each with its quantizer."""
        return [(getattr(layer, attribute), quantizer) for attribute, quantizer in self.quantizers.items()]

    def get_activations_and_quantizers(self, layer: Layer) -> list[object]:
        """None: an activation that is quantized is a layer of its own."""
        return []

    def set_quantize_weights(self, layer: Layer, quantize_weights: list[object]) -> None:
        """Let the layer compute with quantized weights."""
        for attribute, value in zip(self.quantizers, quantize_weights, strict=True):
            setattr(layer, attribute, value)

    def set_quantize_activations(self, layer: Layer, quantize_activations: list[object]) -> None:
        """Nothing to set."""

    def get_output_quantizers(self, layer: Layer) -> list[object]:
        """None: `FakeQuantize` does it."""
        return []

    def get_config(self) -> Config:
        """Constructor arguments."""
        return {"quantizers": self.quantizers, "variables": self.variables}


def check_strict(plan: Plan) -> None:
    """Refuse a model of which a part stays in float.

    Raises:
        RecipeError: names the first such layers and why.
    """
    if plan.left_float:
        named = "; ".join(f"{name}: {reason}" for name, reason in list(plan.left_float.items())[:3])
        raise RecipeError(
            f"recipe: quantization.strict: {len(plan.left_float)} layers cannot be quantized ({named}); "
            "set strict to false to leave them in float"
        )


def insert_quantizers(
    model: KerasModel,
    plan: Plan,
    ranges: Ranges,
    make_quantizer: MakeKernelQuantizer,
    *,
    train_ranges: bool = False,
    make_model: Callable[..., object] = tf_keras.Model,
) -> KerasModel:
    """The quantization-aware form of a lowered model, weights included.

    Args:
        model: a lowered tf_keras model.
        plan: what is quantized in it.
        ranges: initial activation ranges; where one is missing, a guess that the first steps of training move.
        make_quantizer: how a weight is quantized.
        train_ranges: whether gradient descent moves the given ranges.
        make_model: see `graph.rebuild`.
    """
    return _Inserting(model, plan, ranges, make_quantizer, train_ranges=train_ranges).model(make_model)


def wrap_kernels(model: KerasModel, make_quantizer: MakeKernelQuantizer, *, make_model: Callable[..., object]) -> Any:
    """A model whose weights pass through quantizers and whose activations are left alone, weights included.

    Args:
        model: flat tf_keras model.
        make_quantizer: how a weight is constrained.
        make_model: see `graph.rebuild`.
    """
    return _Inserting(model, Plan({}, {}, {}), {}, make_quantizer).model(make_model)


def _constant_on_grid(value: object) -> Any:
    """A constant operand as the file holds it: int8, with a range of its own."""
    if not isinstance(value, np.ndarray) or value.dtype.kind != "f" or value.size < 2:
        return value
    low, high = min(float(value.min()), 0.0), max(float(value.max()), 0.0)
    return tf.quantization.fake_quant_with_min_max_args(value, low, high).numpy()


def _held(plan: Plan) -> set[int]:
    """Ids of the tensors whose scales a kernel wants in a certain ratio: training may not move their ranges."""
    return {id(plan.owner(tensor).tensor) for pair in plan.rescaled for tensor in pair}


class _Inserting:
    def __init__(
        self,
        model: KerasModel,
        plan: Plan,
        ranges: Ranges,
        make_quantizer: MakeKernelQuantizer,
        *,
        train_ranges: bool = False,
    ) -> None:
        self.held = _held(plan) if train_ranges else set(ranges)
        self.old = model
        self.plan = plan
        self.ranges = ranges
        self.make_quantizer = make_quantizer
        self.copies = Copies()
        self.quantizers: dict[int, Any] = {}
        self.exact: dict[int, object] = {}  # {id of a quantized tensor: what it was before}, for `repeats_for_relu`

    def model(self, make_model: Callable[..., Any]) -> Any:
        def enter(old: Any, new: object) -> Any:
            return self._quantized(old, new, f"{PREFIX}{producer(old).name}")

        new = rebuild(self.old, self._emit, enter=enter, make_model=make_model)
        self.copies.copy_weights()
        return new

    def _emit(self, call: Call) -> Any:
        layer = self._layer(call)
        args, kwargs = call.args, call.kwargs
        in_int8 = id(call.old_outputs[0]) in self.plan.tensors
        if in_int8 and symbol_of(call.layer) is not None:
            args, kwargs = tf.nest.map_structure(_constant_on_grid, with_arrays((args, kwargs)))
        if in_int8 and fuses(call.layer):
            args, kwargs = tf.nest.map_structure(lambda value: self.exact.get(id(value), value), (args, kwargs))
        outputs = tf.nest.flatten(layer(*args, **kwargs))
        quantized = [
            self._quantized(old, new, call.layer.name if index == 0 else f"{call.layer.name}/output_{index}")
            for index, (old, new) in enumerate(zip(call.old_outputs, outputs, strict=True))
        ]
        if repeats_for_relu(call.layer):
            self.exact[id(quantized[0])] = outputs[0]
        return quantized

    def _layer(self, call: Call) -> Any:
        layer, rule = call.layer, rule_for(call.layer)
        if rule.weights and layer.name not in self.plan.left_float:
            return self.copies.get((layer, "wrapped"), lambda: self._wrapper(call, rule))
        # The quantizer behind it takes the layer's name, so that a model output keeps its own.
        quantized = any(
            id(tensor) in self.plan.tensors for node in layer.inbound_nodes for tensor in tf.nest.flatten(node.outputs)
        )
        copy = self.copies.plain(layer, prefix=PREFIX if quantized else "")
        if type(layer) is tf_keras.layers.LeakyReLU:
            copy.alpha = slope_as_xnnpack_rounds(self.plan, call, self.ranges)
        return copy

    def _wrapper(self, call: Call, rule: Rule) -> Any:
        layer = call.layer
        quantizers: dict[str, KernelQuantizer | BiasQuantizer] = {
            attribute: self.make_quantizer(layer, np.asarray(getattr(layer, attribute)), axis)
            for attribute, axis in rule.weights.items()
        }
        inner = type(layer).from_config(layer.get_config())
        with tf.name_scope(layer.name):
            inner.build_from_config(layer.get_build_config())
        inner.set_weights(layer.get_weights())
        source = self.plan.grid.get(id(call.old_inputs[0]))
        if rule.adds_bias and layer.use_bias and source is not None:
            attribute, kernel = next((a, q) for a, q in quantizers.items() if isinstance(q, KernelQuantizer))
            quantizers["bias"] = BiasQuantizer(getattr(inner, attribute), kernel, self.quantizers[id(source)])
        return tfmot.quantization.keras.QuantizeWrapperV2(inner, KernelConfig(quantizers, inner.weights))

    def _quantized(self, old: Tensor, new: object, name: str) -> Any:
        decision = self.plan.tensors.get(id(old))
        if decision is None:
            return new
        quantizer = self._quantizer(decision)
        self.quantizers[id(old)] = quantizer
        return FakeQuantize(quantizer, name=self.copies.unique_name(name))(new)

    def _quantizer(self, decision: Quantized) -> Any:
        if decision.placement is Placement.FIXED and decision.fixed is not None:
            return FixedRange(*decision.fixed)
        if decision.placement is Placement.SAME:
            return SameRange(self.quantizers[id(decision.source)])
        if decision.placement is Placement.JOINED:
            return JoinedRange(self.quantizers[id(decision.source)])
        if decision.placement is Placement.AVERAGE:
            return AverageRange(self.quantizers[id(decision.source)])
        measured = self.ranges.get(id(decision.tensor))
        if measured is None:
            return ActivationRange(*_UNKNOWN_RANGE, decay=_UNKNOWN_DECAY)
        return ActivationRange(*measured, trains=id(decision.tensor) not in self.held)
