"""A Keras callback that converts the model when training ends, and says whether the artifacts pass the gate."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tfcompress import console
from tfcompress.errors import TfCompressError
from tfcompress.graphs.keras.protocols import KerasModel
from tfcompress.job.conversion import Conversion, convert
from tfcompress.runtime import keras, tf_keras

__all__ = ["ConvertAtEnd"]


class ConvertAtEnd(keras.callbacks.Callback, tf_keras.callbacks.Callback):
    """Convert at the end of `fit`: ``model.fit(..., callbacks=[ConvertAtEnd("out", ...)])``, in Keras 3 and tf_keras.

    A conversion, a gate or a tracker that fails is warned of and logged, and does not cost the training.

    Args:
        output: the folder to make, as for `convert`.
        then: called with the `Conversion`, for a tracker of experiments, such as
            ``lambda done: mlflow.log_metrics(done.figures)`` or ``lambda done: wandb.log(done.figures)``.
        options: further arguments of `convert`: targets, calibration, evaluation, max_accuracy_drop, ...

    Attributes:
        conversion: what came of it; None before the end, and where it failed.

    Raises:
        TypeError: `convert` has no such option; said here, not when hours of training are over.
    """

    model = None  # a plain attribute for both: Keras 3 has a property that tf_keras would set

    def __init__(
        self, output: str | Path, *, then: Callable[[Conversion], object] | None = None, **options: Any
    ) -> None:
        inspect.signature(convert).bind(None, output=output, **options)
        self.params: dict[str, object] = {}
        self.validation_data = None
        self._chief_worker_only = None
        self._supports_tf_logs = True
        self._output, self._then, self._options = output, then, options
        self.conversion: Conversion | None = None

    def set_model(self, model: KerasModel) -> None:
        """Called by Keras."""
        self.model = model

    def on_train_end(self, logs: Any = None) -> None:
        """Called by Keras."""
        try:
            self.conversion = convert(self.model, output=self._output, **self._options)
        except TfCompressError as error:
            console.warn(f"the trained model was not converted: {error}")
            return
        except Exception as error:  # whatever a layer or a kernel raises: the script goes on to save the model
            console.warn(f"the trained model was not converted: {_in_one_line(error)}")
            return
        for name, section in self.conversion.targets.items():
            if section.status != "ok":
                console.warn(f"{section.title or name}: {section.status}: {section.reason}")
        if self._then is not None:
            self._hand_on(self._then, self.conversion)

    def _hand_on(self, then: Callable[[Conversion], object], conversion: Conversion) -> None:
        try:
            then(conversion)
        except Exception as error:  # a tracker that cannot be reached raises anything
            console.warn(f"the conversion was not handed on by `then`: {_in_one_line(error)}")


def _in_one_line(error: Exception) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())
