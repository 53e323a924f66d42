"""What a wrapped model is trained towards: labels, the float model's outputs, or both.

Losses are computed from the values before a final softmax or sigmoid: once fake-quantized to 1/256, a probability is
often exactly zero, and a logarithm of it has no gradient.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from tfcompress.compression.simulation.quantize import PREFIX, FakeQuantize
from tfcompress.errors import DataError
from tfcompress.graphs.keras.protocols import KerasModel, Layer, Tensor
from tfcompress.graphs.tensorflow.private_names import keras_history
from tfcompress.recipe import Distillation
from tfcompress.runtime import tf, tf_keras

__all__ = ["Head", "Objective", "heads_of", "label_loss"]

HeadKind = Literal["softmax", "sigmoid", "linear"]


@dataclass(frozen=True)
class Head:
    """One output of a model.

    Attributes:
        kind: the activation at its end.
        tensor: the value before that activation; the output itself for `linear`.
    """

    kind: HeadKind
    tensor: Any


def heads_of(model: KerasModel) -> list[Head]:
    """The heads of a lowered or wrapped functional tf_keras model, in the order of its outputs."""
    return [_head(tensor) for tensor in tf.nest.flatten(model.outputs)]


def _head(tensor: Any) -> Head:
    layer, index = _history(tensor)
    if isinstance(layer, FakeQuantize):
        return _head(layer.inbound_nodes[index].keras_inputs[0])
    kind = _activation_kind(layer)
    if kind == "linear":
        inner = _activation_inside(layer)
        return Head(inner, tensor if inner == "linear" else _undone(inner, tensor))
    # Before its quantization too: the range of logits is cut to what the softmax shows, and a teacher's logits are not.
    return Head(kind, _unquantized(layer.inbound_nodes[index].keras_inputs[0]))


def _history(tensor: Tensor) -> tuple[Any, int]:
    """The layer that a tensor came out of, and in which of its calls."""
    history = keras_history(tensor)
    assert history is not None  # it is a tensor of the model's graph
    return history[0], history[1]


def _unquantized(tensor: Any) -> Any:
    layer, index = _history(tensor)
    return layer.inbound_nodes[index].keras_inputs[0] if isinstance(layer, FakeQuantize) else tensor


def _activation_kind(layer: Layer) -> HeadKind:
    if type(layer) is tf_keras.layers.Softmax:
        return "softmax"
    name = getattr(getattr(layer, "activation", None), "__name__", "")
    if type(layer) is tf_keras.layers.Activation and name in ("softmax", "sigmoid"):
        return name  # type: ignore[return-value]
    return "linear"


# Layers whose own activation may be a softmax or a sigmoid at the end of a model that was not lowered.
_KERNELS = (
    tf_keras.layers.Dense,
    tf_keras.layers.EinsumDense,
    tf_keras.layers.Conv1D,
    tf_keras.layers.Conv2D,
    tf_keras.layers.Conv3D,
)
_LEAST = 1e-30  # a probability of float32 that has a logarithm
_NEAREST = 1e-7  # to 0 or 1 that a sigmoid's value has one


def _activation_inside(layer: Layer) -> HeadKind:
    """The activation that a layer with a kernel, or the one inside of a wrapper, applies itself."""
    inner = getattr(layer, "layer", layer)
    name = getattr(getattr(inner, "activation", None), "__name__", "")
    return name if isinstance(inner, _KERNELS) and name in ("softmax", "sigmoid") else "linear"  # type: ignore[return-value]


def _undone(kind: HeadKind, tensor: Any) -> Any:
    """Values of which the activation makes `tensor`: for a softmax they are known up to a number that cancels out."""
    if kind == "softmax":
        return tf.math.log(tf.maximum(tensor, _LEAST))
    inside = tf.clip_by_value(tensor, _NEAREST, 1 - _NEAREST)
    return tf.math.log(inside) - tf.math.log(1 - inside)


@dataclass(frozen=True)
class Objective:
    """The loss of a training step.

    Attributes:
        student: maps inputs to the student's values before the final activations, then to its inner features, a list.
        kinds: of the heads.
        teacher: the same of the float model; None without distillation.
        distillation: None without distillation.
        loss: a Keras loss name for the labels; None takes one that fits head and labels.
    """

    student: Any
    kinds: tuple[HeadKind, ...]
    teacher: Any = None
    distillation: Distillation | None = None
    loss: str | None = None

    @classmethod
    def of(
        cls, model: KerasModel, teacher: KerasModel, distillation: Distillation | None, loss: str | None
    ) -> Objective:
        """The objective of a wrapped model.

        Args:
            model: functional tf_keras model that is trained.
            teacher: the lowered float model, or None without distillation.
            distillation: None without distillation.
            loss: a Keras loss name, or None.
        """
        heads = heads_of(model)
        kinds: tuple[HeadKind, ...] = tuple(head.kind for head in heads)
        tensors = [head.tensor for head in heads]
        if distillation is None:
            return cls(tf_keras.Model(model.inputs, tensors), kinds, loss=loss)
        pairs = _same_features(model, teacher) if distillation.features else []
        student = tf_keras.Model(model.inputs, [*tensors, *(own for own, _ in pairs)])
        wanted = [head.tensor for head in heads_of(teacher)]
        before = tf_keras.Model(teacher.inputs, [*wanted, *(other for _, other in pairs)])
        return cls(student, kinds, before, distillation, loss)

    @property
    def needs_labels(self) -> bool:
        """Whether a part of the loss is against labels."""
        return self.distillation is None or self.distillation.weight < 1

    def __call__(self, inputs: Tensor, labels: object) -> tuple[Any, list[Any]]:
        """(scalar loss, model outputs without their last quantization) of one batch, in training mode."""
        flat = tf.nest.flatten(inputs)
        outputs = tf.nest.flatten(self.student(flat, training=True))
        values, features = outputs[: len(self.kinds)], outputs[len(self.kinds) :]
        loss = tf.constant(0.0)
        weight = 0.0 if self.distillation is None else self.distillation.weight
        if self.needs_labels:
            targets = tf.nest.flatten(labels)
            for kind, value, target in zip(self.kinds, values, targets, strict=True):
                loss += (1 - weight) * label_loss(kind, value, target, self.loss)
        if self.distillation is not None:
            wanted = tf.nest.flatten(self.teacher(flat, training=False))
            for value, target in zip(features, wanted[len(self.kinds) :], strict=True):
                share = self.distillation.features / len(features)
                loss += share * _distillation_loss("linear", value, tf.stop_gradient(target), 1.0)
            for kind, value, target in zip(self.kinds, values, wanted[: len(self.kinds)], strict=True):
                loss += weight * _distillation_loss(
                    kind, value, tf.stop_gradient(target), self.distillation.temperature
                )
        return loss, [_activate(kind, value) for kind, value in zip(self.kinds, values, strict=True)]


def label_loss(kind: HeadKind, value: Tensor, label: Tensor, name: str | None) -> Tensor:
    """The loss of one output against labels, a scalar.

    Args:
        kind: of the head.
        value: what it gives before its activation.
        label: class numbers, or values of the output's shape.
        name: of a Keras loss; None takes one that fits head and labels.

    Raises:
        DataError: the labels fit the output in no way.
    """
    if name is not None:
        return tf.reduce_mean(tf_keras.losses.get(name)(label, _activate(kind, value)))
    same_shape = len(label.shape) == len(value.shape) and label.shape[-1] == value.shape[-1]
    if kind == "sigmoid":
        label = tf.reshape(tf.cast(label, value.dtype), tf.shape(value))
        return tf.reduce_mean(tf.nn.sigmoid_cross_entropy_with_logits(labels=label, logits=value))
    classes = label.dtype.is_integer and value.shape[-1] > 1 and not same_shape
    if kind == "softmax" and same_shape:
        return tf.reduce_mean(tf.nn.softmax_cross_entropy_with_logits(tf.cast(label, value.dtype), value))
    if kind == "softmax" or classes:
        index = tf.reshape(tf.cast(label, tf.int32), tf.shape(value)[:-1])
        return tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(index, value))
    if not same_shape and len(label.shape) != len(value.shape) - 1:
        raise DataError(f"labels have shape {tuple(label.shape)}, the model's output {tuple(value.shape)}")
    return tf.reduce_mean(tf.square(value - tf.reshape(tf.cast(label, value.dtype), tf.shape(value))))


_MOST_FEATURES = 4


def _same_features(model: Any, teacher: Any) -> list[tuple[Any, Any]]:
    """The outputs of layers that have one name and one shape in both models, spread over the depth."""
    others = {layer.name: layer for layer in teacher.layers}
    pairs = []
    for layer in model.layers:
        other = others.get(layer.name.removeprefix(PREFIX))
        if other is None or isinstance(layer, tf_keras.layers.InputLayer) or not other.inbound_nodes:
            continue
        if len(layer.inbound_nodes) == 1 == len(other.inbound_nodes) and _same_shape(layer.output, other.output):
            pairs.append((layer.output, other.output))
    step = max(1, len(pairs) // _MOST_FEATURES)
    return pairs[step - 1 :: step][:_MOST_FEATURES]


def _same_shape(first: Any, second: Any) -> bool:
    return tf.is_tensor(first) is tf.is_tensor(second) and getattr(first, "shape", 0) == getattr(second, "shape", 1)


def _activate(kind: HeadKind, value: Tensor) -> Tensor:
    return {"softmax": tf.nn.softmax, "sigmoid": tf.nn.sigmoid, "linear": tf.identity}[kind](value)


def _distillation_loss(kind: HeadKind, student: Tensor, teacher: Tensor, temperature: float) -> Tensor:
    """How far the student's output is from the teacher's, a scalar.

    Softmax: cross-entropy of the softened distributions times the square of the temperature (Hinton et al. 2015,
    section 2), less the teacher's entropy, so that 0 means equal.  Sigmoid: the same for each unit.  Linear: the mean
    squared error over the mean square of the teacher's values.
    """
    if kind == "linear":
        return tf.reduce_mean(tf.square(student - teacher)) / (tf.reduce_mean(tf.square(teacher)) + 1e-12)
    soft_student, soft_teacher = student / temperature, teacher / temperature
    if kind == "softmax":
        target = tf.nn.softmax(soft_teacher)
        difference = tf.nn.log_softmax(soft_teacher) - tf.nn.log_softmax(soft_student)
        return temperature**2 * tf.reduce_mean(tf.reduce_sum(target * difference, axis=-1))
    target = tf.nn.sigmoid(soft_teacher)
    cross = tf.nn.sigmoid_cross_entropy_with_logits(labels=target, logits=soft_student)
    entropy = tf.nn.sigmoid_cross_entropy_with_logits(labels=target, logits=soft_teacher)
    return temperature**2 * tf.reduce_mean(cross - entropy)
