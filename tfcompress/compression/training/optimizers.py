"""The recipe's optimizer, with steps in proportion to the weights.

Folding batch normalization leaves kernels whose sizes differ by orders of magnitude: a first layer that reads 0..255
has weights near 0.004.  An optimizer such as Adam, whose steps are as large as its rate, would undo them.  So each step
is multiplied by the variable's root mean square (the reasoning of You et al. 2020, "LAMB", section 3, with a factor
that is measured once, before training).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tfcompress.graphs.keras.protocols import Variable
from tfcompress.graphs.tensorflow.private_names import optimizer_key
from tfcompress.recipe import Training
from tfcompress.runtime import tf, tf_keras

__all__ = ["make_optimizer"]

_CLASSES: dict[str, Any] = {
    "adam": tf_keras.optimizers.Adam,
    "sgd": tf_keras.optimizers.SGD,
    "rmsprop": tf_keras.optimizers.RMSprop,
    "adamw": tf_keras.optimizers.AdamW,
}
_SMALLEST_SIZE = 1e-6


def make_optimizer(training: Training, variables: list[Any], *, steps: int, default_rate: float) -> Any:
    """The optimizer of a recipe.

    Args:
        training: which one, its rate and decay.
        variables: that it will train, with the values from which training starts.
        steps: of the whole training.
        default_rate: the learning rate where the recipe names none.
    """
    rate: Any = default_rate if training.learning_rate is None else training.learning_rate
    if training.decay == "cosine":
        rate = tf_keras.optimizers.schedules.CosineDecay(rate, steps)
    if training.optimizer == "sgd":
        return _CLASSES["sgd"](rate)  # its steps are as large as the gradient, not as the rate
    optimizer = _proportional(_CLASSES[training.optimizer])(rate)
    optimizer.sizes = {optimizer_key(optimizer, variable): _root_mean_square(variable) for variable in variables}
    return optimizer


def _proportional(base: Any) -> Any:
    class Proportional(base):
        """The base optimizer with each variable's step multiplied by that variable's entry in `sizes`."""

        sizes: dict[str, float]

        def update_step(self, gradient: object, variable: Variable) -> None:
            before = tf.identity(variable)
            super().update_step(gradient, variable)
            variable.assign(before + self.sizes[self._var_key(variable)] * (variable - before))

    return Proportional


def _root_mean_square(variable: Variable) -> float:
    """Of the values; 1 for a variable that is all zeros, such as the bias of an untrained layer."""
    size = float(np.sqrt(np.mean(np.square(np.asarray(variable, np.float64)))))
    return size if size > _SMALLEST_SIZE else 1.0
