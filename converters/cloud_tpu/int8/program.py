"""A TensorFlow graph of an int8 .tflite at any batch size."""

from __future__ import annotations

import math
import re
from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from tfcompress.converters.cloud_tpu.int8 import arithmetic
from tfcompress.converters.cloud_tpu.int8.arithmetic import Scale
from tfcompress.converters.cloud_tpu.int8.lanes import apart, operators_side_by_side, side_by_side
from tfcompress.converters.cloud_tpu.int8.subsampling import strides_of_tensors
from tfcompress.errors import ConversionError, one_line
from tfcompress.graphs.tensorflow.inference_graph import InferenceGraph
from tfcompress.graphs.tflite import Operator, Subgraph, Tensor, read_tflite
from tfcompress.layer_names import layers_of
from tfcompress.model import FloatModel, TensorInfo
from tfcompress.native_output import silenced
from tfcompress.runtime import tf
from tfcompress.tensor_info import same_names

__all__ = ["PRODUCTS", "Builder", "Program", "program_of"]

PRODUCTS = frozenset({"CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED"})
# 32-bit and, beside 16-bit activations, 64-bit ones are biases.
_QUANTIZED = frozenset({"int8", "int16", "uint8", "int32", "int64"})
# XLA computes these apart from what makes their operand, which is therefore stored: with 8 bits.
_READ_STORED = PRODUCTS | {"TRANSPOSE_CONV", "BATCH_MATMUL", "AVERAGE_POOL_2D", "RESIZE_BILINEAR"}
_ROWS = frozenset({"SOFTMAX", "LOG_SOFTMAX"})  # likewise, unless they are of one row a sample, as at the end of a model


@dataclass(frozen=True)
class Program:
    """An int8 .tflite, and how the TPU is to compute it.

    Attributes:
        graph: the main graph of the file.
        inputs: {name: tensor index}, of its first signature.
        outputs: likewise.
        wide: operators, by index, whose products are made in bfloat16: of the same integers, with the same result.
        layer_names: of the Keras layers, for the scopes of operators; may be empty.
        as_on_phone: round every result to the integers of its tensor, as the phone does, also where one operator alone
            reads it, which could take it as it is.
        samples_side_by_side: so many, a power of two, in the channels of narrow layers (see `lanes`), where the batch
            size is a multiple; the result is the same.
    """

    graph: Subgraph
    inputs: dict[str, int]
    outputs: dict[str, int]
    wide: frozenset[int]
    layer_names: tuple[str, ...] = ()
    as_on_phone: bool = False
    samples_side_by_side: int = 1

    def with_wide(self, operators: Collection[int]) -> Program:
        """The same program with these products in bfloat16."""
        return replace(self, wide=frozenset(operators))

    def products(self) -> dict[int, str]:
        """{index of an operator: its scope} of the products of int8 by int8."""
        return {
            operator.index: scope_of(operator, self.graph, self.layer_names)
            for operator in self.graph.operators
            if operator.name in PRODUCTS and self.graph.tensors[operator.inputs[0]].dtype == "int8"
        }

    def at_batch(self, model: FloatModel, batch_size: int) -> InferenceGraph:
        """The graph that computes `batch_size` samples.

        Args:
            model: that the file was made from, for the names and dtypes of inputs and outputs.
            batch_size: samples in one call.

        Raises:
            ConversionError: an operator has no form here.
        """
        builder = Builder(self, batch_size)
        graph = tf.Graph()
        inputs = tuple(TensorInfo(info.name, (batch_size, *info.shape[1:]), info.dtype) for info in model.inputs)
        own_inputs = same_names([info.name for info in inputs], list(self.inputs)) or {}
        own_outputs = same_names([info.name for info in model.outputs], list(self.outputs)) or {}
        if len(own_inputs) != len(inputs) or len(own_outputs) != len(model.outputs):
            raise ConversionError(f"{model.name}: the int8 file has other inputs or outputs than the model")
        placeholders = {}
        with silenced(), graph.as_default():
            for position, info in enumerate(inputs):
                tensor = tf.compat.v1.placeholder(info.dtype, info.shape, name=f"argument_{position}")
                placeholders[info.name] = tensor.op.name
                builder.feed(self.inputs[own_inputs[info.name]], tensor)
            _run(builder)
            outputs = {
                info.name: tf.identity(
                    tf.cast(builder.real_or_stored(self.outputs[own_outputs[info.name]]), info.dtype)
                )
                for info in model.outputs
            }
        names = {name: tensor.name for name, tensor in outputs.items()}
        return InferenceGraph(graph.as_graph_def(), inputs, placeholders, names, batch_size).pruned()


def program_of(content: bytes, layer_names: Collection[str] = ()) -> Program:
    """The program of an int8 .tflite, with those products in bfloat16 that gain nothing from int8.

    These are depthwise convolutions, which the vector unit computes.

    Args:
        content: the file.
        layer_names: of the Keras layers; may be empty.

    Raises:
        ConversionError: the file has several graphs.
    """
    file = read_tflite(content)
    if not file.signatures or any(operator.name in ("WHILE", "IF") for operator in file.main.operators):
        raise ConversionError("int8 for TPU: the model has a loop or a branch, which is computed in bfloat16 only")
    graph = file.main
    wide = frozenset(operator.index for operator in graph.operators if operator.name == "DEPTHWISE_CONV_2D")
    signature = file.signatures[0]
    names = tuple(layer_names)
    return Program(graph, dict(signature.inputs), dict(signature.outputs), wide, names)


def scope_of(operator: Operator, graph: Subgraph, layer_names: Collection[str]) -> str:
    """The name scope of an operator: its Keras layer, or where that is not known its own name and number."""
    name = graph.tensors[operator.outputs[0]].name
    layers = layers_of(name, layer_names)
    scope = layers[-1] if layers else f"{operator.name.lower()}_{operator.index}"
    return re.sub(r"[^A-Za-z0-9_.\-]", "_", scope)


class _Forms:
    """A tensor with as many samples side by side as whoever reads it wants."""

    def __init__(self, value: Any, factor: int) -> None:
        self._values = {factor: value}

    def side_by_side(self, factor: int) -> Any:
        """The tensor with `factor` samples side by side; 1 is as the model has it."""
        if factor not in self._values:
            ((have, value),) = self._values.items()
            self._values[factor] = apart(value, have) if factor == 1 else side_by_side(value, factor)
        return self._values[factor]


class Builder:
    """Makes the operators of a program in the current TensorFlow graph.

    Attributes:
        program: what to make.
        batch_size: the file is made for one sample; its tensors' first dimension is so many times longer here.
        totals: {tensor index: real value of 1} of products that are also kept in float32, as whole numbers, before they
            are rounded to the integers of their result.
        strides: see `subsampling`.
        wide: products, by index of their operator, that are made in bfloat16.
        factor: samples side by side in the tensors of the operator that is being made; 1 in the model's outputs.
    """

    def __init__(self, program: Program, batch_size: int) -> None:
        self.program = program
        self.graph = program.graph
        self.batch_size = batch_size
        self.strides = strides_of_tensors(program.graph)
        self.wide = program.wide & program.products().keys()
        self.totals: dict[int, np.ndarray] = {}
        self.factor = 1
        self._most = math.gcd(program.samples_side_by_side, batch_size)
        self._beside = operators_side_by_side(program.graph) if self._most > 1 else frozenset[int]()
        self._constants: dict[int, Any] = {}
        self._stored: dict[int, _Forms] = {}
        self._reals: dict[int, _Forms] = {}
        self._totals: dict[int, _Forms] = {}

    def enter(self, operator: Operator | None) -> None:
        """Make this operator next; None: what is behind the last one."""
        self.factor = self._most if operator is not None and operator.index in self._beside else 1

    def for_samples(self, by_channel: np.ndarray) -> np.ndarray:
        """What belongs to the channels, [..., c], for the channels of all samples that are side by side."""
        return np.concatenate([by_channel] * self.factor, axis=-1) if by_channel.size > 1 else by_channel

    def feed(self, index: int, value: Any) -> None:
        """Give a tensor its value: as stored, or as reals."""
        scale = self.scale(index)
        self.keep(index, value if scale is None or value.dtype == scale.dtype else arithmetic.quantize(value, scale))

    def keep(self, index: int, value: Any) -> None:
        """Give a tensor its value, as the file stores it."""
        self._stored[index] = _Forms(value, self.factor)

    def tensor(self, index: int) -> Tensor:
        """What the file says of a tensor."""
        return self.graph.tensors[index]

    def constant(self, index: int) -> np.ndarray | None:
        """The value of a constant tensor; None of a computed or absent one."""
        return None if index < 0 else self.tensor(index).array()

    def scale(self, index: int) -> Scale | None:
        """The scale of a tensor; None where it holds reals, or integers that stand for themselves."""
        tensor = self.tensor(index)
        given = tensor.quantization
        if given is None or not given.scales.size or tensor.dtype not in _QUANTIZED:
            return None
        dtype = tf.dtypes.as_dtype(tensor.dtype)
        zero_point = int(given.zero_points[0]) if given.zero_points.size else 0
        return Scale(np.asarray(given.scales), zero_point, dtype, given.dimension)

    def stored(self, index: int) -> Any:
        """A tensor as the file stores it."""
        if index in self._stored:
            return self._stored[index].side_by_side(self.factor)
        if index not in self._constants:
            value = self.constant(index)
            if value is None:
                raise ValueError(f"tensor {self.tensor(index).name!r} is not computed")
            self._constants[index] = tf.constant(value)
        return self._constants[index]

    def keep_real(self, index: int, value: Any) -> None:
        """Give a tensor the reals that it had before they were rounded."""
        self._reals[index] = _Forms(value, self.factor)

    def keep_total(self, index: int, value: Any, unit: np.ndarray) -> None:
        """Give a product the sums that it had before they were rounded, and the real value of 1, one or by channel."""
        self._totals[index], self.totals[index] = _Forms(value, self.factor), unit

    def unrounded_real(self, index: int) -> Any:
        """A tensor's reals as they were before they were rounded; None where whoever reads it takes the integers."""
        readers = self.graph.consumers(index)
        stored = any(
            reader.name in _READ_STORED or (reader.name in _ROWS and len(self.tensor(index).shape) > 2)
            for reader in readers
        )
        if stored or len(readers) > 1 or self.program.as_on_phone or index not in self._reals:
            return None
        return self._reals[index].side_by_side(self.factor)

    def real(self, index: int) -> Any:
        """A tensor's reals, in float32."""
        unrounded = self.unrounded_real(index)
        if unrounded is not None:
            return unrounded
        scale = self.scale(index)
        stored = self.stored(index)
        return tf.cast(stored, tf.float32) if scale is None else arithmetic.dequantize(stored, scale)

    def steps(self, index: int, result: Scale, *, exact: bool, stride: int = 1) -> Any:
        """A tensor's reals in steps of another one's scale, in float32, with a product as it was before rounding."""
        if exact:
            unit = self.for_samples(self.totals[index] / result.one)
            return self._totals[index].side_by_side(self.factor) * unit.astype(np.float32)
        scale = self.scale(index)
        if scale is None or scale.scale.size > 1:
            return self.real(index) * np.float32(1 / result.one)
        factor = scale.one / result.one
        return tf.cast(self.thinned(index, stride), tf.float32) * np.float32(factor) - np.float32(
            scale.zero_point * factor
        )

    def unrounded(self, operator: Operator) -> int | None:
        """The operand of a sum that need not be rounded by itself: the last product that nothing else reads.

        Not more than one: the other one would have to be stored with 32 bits until this one is there.
        """
        own = [
            index
            for index in (() if self.program.as_on_phone else operator.inputs)
            if index in self.totals and len(self.graph.consumers(index)) == 1 and index not in self.graph.outputs
        ]
        return max(own, key=lambda index: self.graph.producer(index).index, default=None)  # type: ignore[union-attr]

    def thinned(self, index: int, stride: int) -> Any:
        """A stored tensor with every row and column at `stride` alone, whether it was made so or not."""
        value = self.stored(index)
        step = stride // self.strides.get(index, 1)
        return value if step == 1 else value[:, ::step, ::step]

    def real_or_stored(self, index: int) -> Any:
        """A tensor's reals where it has a scale, else what it stores."""
        return self.stored(index) if self.scale(index) is None else self.real(index)

    def store(self, index: int, value: Any) -> Any:
        """Reals in the form that a tensor of the file has."""
        scale = self.scale(index)
        if scale is not None:
            self.keep_real(index, value)
            return arithmetic.quantize(value, scale)
        return tf.cast(value, tf.dtypes.as_dtype(self.tensor(index).dtype))

    def batched(self, value: Any, index: int) -> bool:
        """Whether a value has more samples than the file's tensor `index`, which has one."""
        return bool(value.shape.num_elements() != self.tensor(index).elements)


def _run(builder: Builder) -> None:
    """Make every operator, in the order of the file.

    Raises:
        ConversionError: an operator has no form.
    """
    from tfcompress.converters.cloud_tpu.int8.forms import FORMS

    for operator in builder.graph.operators:
        scope = scope_of(operator, builder.graph, builder.program.layer_names)
        form = FORMS.get(operator.name)
        if form is None:
            raise ConversionError(f"Keras layer {scope!r}: TFLite's {operator.name} has no int8 form for TPU")
        builder.enter(operator)
        try:
            with tf.name_scope(f"{scope}/"):
                results = form(builder, operator)
        except (ValueError, TypeError, AttributeError) as error:
            raise ConversionError(
                f"Keras layer {scope!r}: no int8 form of TFLite's {operator.name}: {one_line(error)}"
            ) from error
        for index, value in zip(operator.outputs, results, strict=True):
            builder.keep(index, value)
    builder.enter(None)
