"""The model that `wrap` returns: trains with plain `fit`, the needed callbacks already in."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from tfcompress.runtime import tf, tf_keras, tfmot
from tfcompress.wrappers.objective import Objective
from tfcompress.wrappers.pruning import PruneWrapper

__all__ = ["WrappedModel"]

_SMALLEST_SIZE = 1e-6


class WrappedModel(tf_keras.Model):
    """A functional tf_keras model with wrappers, compiled for the recipe it was wrapped for.

    ``fit(x, y)`` trains towards the recipe's objective; ``fit(x)`` does where that needs no labels.  After a `compile`
    of the caller's own, the loss is the caller's.
    """

    def aim_at(self, objective: Objective, optimizer: Any, *, relative: bool) -> None:
        """Train towards `objective` with `optimizer` from now on.

        Args:
            objective: the loss.
            optimizer: a tf_keras optimizer.
            relative: the learning rate is in units of each variable's root mean square.  Folding batch normalization
                leaves kernels whose sizes differ by orders of magnitude (a first layer that reads 0..255 has weights
                near 0.004), and an optimizer such as Adam, whose steps are as large as its rate, would undo
                them (the reasoning of You et al. 2020, LAMB, section 3).
        """
        super().compile(optimizer=optimizer)
        self._step_sizes: dict[Any, float] = {}
        if relative:
            self._step_sizes = {variable.ref(): _root_mean_square(variable) for variable in self.trainable_variables}
        # A dataclass of ours: Keras would take a model kept as an attribute for a layer of this one.
        self._objective: Objective | None = objective

    @property
    def needs_labels(self) -> bool:
        """Whether `fit` must be given labels."""
        return self._objective is None or self._objective.needs_labels

    def compile(self, *args: Any, **kwargs: Any) -> None:
        """As `tf_keras.Model.compile`; the recipe's objective no longer holds."""
        self._objective = None
        self._step_sizes = {}
        super().compile(*args, **kwargs)

    def fit(self, *args: Any, callbacks: Sequence[Any] | None = None, **kwargs: Any) -> Any:
        """As `tf_keras.Model.fit`, with the callbacks that the wrappers need added."""
        needed = list(callbacks or [])
        if any(isinstance(layer, PruneWrapper) for layer in self.layers):
            needed.append(tfmot.sparsity.keras.UpdatePruningStep())
        return super().fit(*args, callbacks=needed, **kwargs)

    def train_step(self, data: Any) -> dict[str, Any]:
        """One step of gradient descent."""
        inputs, labels, sample_weight = tf_keras.utils.unpack_x_y_sample_weight(data)
        with tf.GradientTape() as tape:
            if self._objective is not None:
                loss, outputs = self._objective(inputs, labels)
            else:
                outputs = self(inputs, training=True)
                loss = self.compute_loss(inputs, labels, outputs, sample_weight)
        variables = self.trainable_variables
        gradients = tape.gradient(loss, variables)
        self._observe({v.ref(): g for v, g in zip(variables, gradients, strict=True) if g is not None})
        pairs = [(g, v) for g, v in zip(gradients, variables, strict=True) if g is not None]
        before = [tf.identity(variable) for _, variable in pairs]
        self.optimizer.apply_gradients(pairs)
        for (_, variable), old in zip(pairs, before, strict=True):
            size = self._step_sizes.get(variable.ref(), 1.0)
            if size != 1.0:
                variable.assign(old + size * (variable - old))
        if self._objective is not None:
            return {"loss": loss}
        return self.compute_metrics(inputs, labels, outputs, sample_weight)

    def _observe(self, gradients: dict[Any, Any]) -> None:
        for layer in self.layers:
            if isinstance(layer, PruneWrapper):
                layer.observe(gradients)


def _root_mean_square(variable: Any) -> float:
    """Of the values; 1 for a variable that is all zeros, such as the bias of an untrained layer."""
    size = float(np.sqrt(np.mean(np.square(np.asarray(variable, np.float64)))))
    return size if size > _SMALLEST_SIZE else 1.0
