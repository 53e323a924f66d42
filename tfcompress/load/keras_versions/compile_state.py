"""Optimizer, loss and metrics carried from a compiled model to its counterpart in the other Keras."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from tfcompress import console
from tfcompress.errors import one_line
from tfcompress.graphs.keras.call_graph import is_keras3, module_of
from tfcompress.graphs.tensorflow.private_names import (
    OPTIMIZER_SLOTS,
    compiled_loss_weights,
    compiled_metrics,
    is_built,
    is_compiled,
    keyword_arguments,
)
from tfcompress.load.keras_versions.native_layers import accepted_settings
from tfcompress.runtime import keras, tf_keras

__all__ = ["copy_compile_state"]


def copy_compile_state(source: Any, target: Any) -> None:
    """Compile `target` as `source` is compiled, with the optimizer's step count and slot variables.

    Both models must have the same trainable weights in the same order.  What the other library does not have, such as
    an optimizer of the user's own, is left out with a note: it matters for resuming training and for nothing else.
    """
    if not is_compiled(source, keras3=is_keras3(source)):
        return
    to_keras3 = is_keras3(target)
    try:
        optimizer = _optimizer(source.optimizer, to_keras3=to_keras3)
        loss = _mapped(source.loss, "losses", to_keras3=to_keras3)
        metrics = _mapped(compiled_metrics(source, keras3=is_keras3(source)), "metrics", to_keras3=to_keras3)
        weights = compiled_loss_weights(source, keras3=is_keras3(source))
        target.compile(optimizer=optimizer, loss=loss, metrics=metrics, loss_weights=weights)
        _copy_slots(source.optimizer, optimizer, target)
    except (AttributeError, NotImplementedError, TypeError, ValueError) as error:
        console.note(f"{source.name}: the compile state was not carried over: {one_line(error, 200)}")


def _mapped(value: object, module: str, *, to_keras3: bool) -> object:
    """Losses or metrics in the nest in which they were given."""
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, Mapping):
        return {key: _mapped(inner, module, to_keras3=to_keras3) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_mapped(inner, module, to_keras3=to_keras3) for inner in value]
    return _counterpart(value, module, to_keras3=to_keras3)


def _counterpart(value: Any, module: str, *, to_keras3: bool) -> object:
    library = getattr(keras if to_keras3 else tf_keras, module)
    own = module_of(type(value) if not isinstance(value, type) and not hasattr(value, "__name__") else value)
    if own.partition(".")[0] not in {"keras", "tf_keras"}:
        return value  # the user's own: any callable of (y_true, y_pred) is a loss or a metric in both
    if hasattr(value, "__name__"):
        return value.__name__
    # Neither library's `get_config` has all arguments (Keras 3.15 leaves out Huber's delta): the rest is kept aside.
    config = {**value.get_config(), **keyword_arguments(value)}
    return _from_config(getattr(library, type(value).__name__), config)


def _from_config(target_class: Any, config: Mapping[str, Any]) -> Any:
    accepted = accepted_settings(target_class)
    return target_class(**{key: value for key, value in config.items() if key in accepted and key != "dtype"})


def _optimizer(optimizer: Any, *, to_keras3: bool) -> object:
    library = (keras if to_keras3 else tf_keras).optimizers
    if type(optimizer).__name__ == "LossScaleOptimizer":
        inner = _optimizer(optimizer.inner_optimizer, to_keras3=to_keras3)
        return (
            keras.optimizers.LossScaleOptimizer(inner)
            if to_keras3
            else tf_keras.mixed_precision.LossScaleOptimizer(inner)
        )
    config = dict(optimizer.get_config())
    rate = config.get("learning_rate")
    if isinstance(rate, Mapping):
        schedule = getattr(library.schedules, rate["class_name"])
        config["learning_rate"] = _from_config(schedule, rate["config"])
    return _from_config(getattr(library, type(optimizer).__name__), config)


def _copy_slots(source: Any, target: Any, model: Any) -> None:
    """The step count, and the slot variables of every weight where both optimizers keep them alike."""
    if not is_built(source):
        return
    target.build(model.trainable_variables)
    target.iterations.assign(int(np.asarray(source.iterations)))
    for name in OPTIMIZER_SLOTS:
        for old, new in zip(getattr(source, name, None) or [], getattr(target, name, None) or [], strict=False):
            if tuple(old.shape) == tuple(new.shape):
                new.assign(np.asarray(old))
