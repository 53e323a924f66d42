"""The model that `wrap` returns: trains with plain `fit`, the needed callbacks already in."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tfcompress.compression.sparsity.pruning import PruneWrapper
from tfcompress.compression.training.objective import Objective
from tfcompress.compression.training.strided_convolutions import subsampled_convolutions
from tfcompress.runtime import tf, tf_keras, tfmot

__all__ = ["WrappedModel"]


class WrappedModel(tf_keras.Model):
    """A functional tf_keras model with wrappers, compiled for the recipe it was wrapped for.

    ``fit(x, y)`` trains towards the recipe's objective; ``fit(x)`` does where that needs no labels.  After a `compile`
    of the caller's own, the loss is the caller's.
    """

    def set_objective(self, objective: Objective, optimizer: object) -> None:
        """Train towards `objective` with `optimizer` from now on."""
        super().compile(optimizer=optimizer)
        # A dataclass of ours: Keras would take a model kept as an attribute for a layer of this one.
        self._objective: Objective | None = objective

    @property
    def needs_labels(self) -> bool:
        """Whether `fit` must be given labels."""
        return self._objective is None or self._objective.needs_labels

    def compile(self, *args: object, **kwargs: object) -> None:
        """As `tf_keras.Model.compile`; the recipe's objective no longer holds."""
        self._objective = None
        super().compile(*args, **kwargs)

    def fit(self, *args: object, callbacks: Sequence[object] | None = None, **kwargs: object) -> Any:
        """As `tf_keras.Model.fit`, with the callbacks that the wrappers need added."""
        needed = list(callbacks or [])
        if any(isinstance(layer, PruneWrapper) for layer in self.layers):
            needed.append(tfmot.sparsity.keras.UpdatePruningStep())
        with subsampled_convolutions(self):
            return super().fit(*args, callbacks=needed, **kwargs)

    def train_step(self, data: object) -> dict[str, object]:
        """One step of gradient descent."""
        inputs, labels, sample_weight = tf_keras.utils.unpack_x_y_sample_weight(data)
        with tf.GradientTape() as tape:
            if self._objective is not None:
                # Replicas add up their gradients; the loss is the mean over the batch of all of them.
                loss, outputs = self._objective(inputs, labels)
                loss /= tf.distribute.get_strategy().num_replicas_in_sync
            else:
                outputs = self(inputs, training=True)
                loss = self.compute_loss(inputs, labels, outputs, sample_weight)
        variables = self.trainable_variables
        gradients = tape.gradient(loss, variables)
        self._observe({v.ref(): g for v, g in zip(variables, gradients, strict=True) if g is not None})
        # Zero where the loss does not reach: the optimizer's state, which checkpoints hold, is then of all variables.
        complete = [tf.zeros_like(v) if g is None else g for g, v in zip(gradients, variables, strict=True)]
        self.optimizer.apply_gradients(zip(complete, variables, strict=True))
        if self._objective is not None:
            return {"loss": loss}
        return self.compute_metrics(inputs, labels, outputs, sample_weight)

    def _observe(self, gradients: dict[object, object]) -> None:
        for layer in self.layers:
            if isinstance(layer, PruneWrapper):
                layer.observe(gradients)
