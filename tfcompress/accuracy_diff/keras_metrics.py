"""Any Keras metric by its name, beside the task's own figures."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from tfcompress.accuracy_diff.progress import Tree
from tfcompress.accuracy_diff.tasks import Metrics, Task
from tfcompress.accuracy_diff.tasks.classification import softmax
from tfcompress.data.functions import import_attribute
from tfcompress.errors import RecipeError, one_line
from tfcompress.metric_names import METRIC_CLASSES, METRIC_FUNCTIONS, SHORT_METRICS, check_metric, plain_metric
from tfcompress.runtime import keras, tf

__all__ = ["KerasMetrics"]

# What Keras makes of these names for a yes or no, and for one of several classes (keras.Model.compile, `metrics`).
BY_OUTPUT = {
    "accuracy": ("binary_accuracy", "sparse_categorical_accuracy"),
    "crossentropy": ("binary_crossentropy", "sparse_categorical_crossentropy"),
}


class KerasMetrics:
    """Keras metrics of one output of one model, updated batch by batch.

    Class labels go to `Sparse...` metrics as indices and to all others as one-hot rows; logits become probabilities
    first, so that a metric means the same for every model.

    Args:
        names: of Keras metrics (``AUC``, ``mean_absolute_error``), or ``package.module:function`` of a function that
            makes one.
        task: of the output.
        classes: size of the output's last axis, for metrics that must be told.

    Raises:
        RecipeError: Keras has no such metric, or one that needs arguments.
    """

    def __init__(self, names: Sequence[str], task: Task, classes: int) -> None:
        self._task = task
        self._classes = classes
        self._metrics = {name: _made(name, task.name, classes) for name in names}
        self._updated = False

    def update(self, outputs: np.ndarray, truth: np.ndarray | None, inputs: np.ndarray) -> None:
        """Add a batch; without labels there is nothing to count, but for an autoencoder, whose label is its input.

        Raises:
            RecipeError: a metric refuses such labels or outputs.
        """
        if self._task.name == "autoencoder":
            truth = inputs.reshape(len(inputs), -1)
        if truth is None or not self._metrics:
            return
        self._updated = True
        given = self._probabilities(outputs)
        for name, metric in self._metrics.items():
            try:
                metric.update_state(*self._pair(_is_sparse(metric), given, truth))
            except (ValueError, TypeError, tf.errors.InvalidArgumentError) as error:
                raise RecipeError(
                    f"--metrics={name}: Keras cannot count it for the task {self._task.name}: {one_line(error, 200)}"
                ) from None

    def _probabilities(self, outputs: np.ndarray) -> np.ndarray:
        if not getattr(self._task, "from_logits", False):
            return outputs
        several = self._classes > 1 and self._task.name not in ("binary", "multi_label")
        return softmax(outputs) if several else 1 / (1 + np.exp(-outputs))

    def _pair(self, sparse: bool, outputs: np.ndarray, truth: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(labels, outputs) in shapes that belong together."""
        if self._task.name in ("classification", "segmentation", "sequence") and self._classes > 1:
            flat = outputs.reshape(-1, self._classes)
            indices = truth.reshape(-1)
            return (indices if sparse else np.eye(self._classes, dtype=np.float32)[indices]), flat
        return truth.reshape(len(truth), -1).astype(np.float32), outputs.reshape(len(outputs), -1)

    def results(self) -> Metrics:
        """{name: figure}; None without labels; ``name[i]`` for a metric of several values."""
        return dict(pair for name, metric in self._metrics.items() for pair in self._result(name, metric))

    def _result(self, name: str, metric: Any) -> Iterator[tuple[str, float | None]]:
        if not self._updated:
            yield name, None
            return
        values = np.asarray(metric.result(), np.float64)
        if values.ndim == 0:
            yield name, float(values)
        else:
            yield from ((f"{name}[{i}]", float(value)) for i, value in enumerate(values.ravel()))

    def state(self) -> Tree:
        """For `restore`; empty before the first update."""
        if not self._updated:
            return {}
        return {
            name: {str(i): np.asarray(variable) for i, variable in enumerate(metric.variables)}
            for name, metric in self._metrics.items()
        }

    def restore(self, state: Tree) -> None:
        """Be as the metrics were whose `state` this is."""
        self._updated = bool(state)
        for name, values in state.items():
            for i, variable in enumerate(self._metrics[name].variables):
                variable.assign(values[str(i)])


def _made(name: str, task: str, classes: int) -> Any:
    if ":" in name:
        return import_attribute(name, "--metrics")()
    yes_or_no = task in ("binary", "multi_label") or classes == 1
    check_metric(name)
    keras_name = SHORT_METRICS.get(name.lower(), name)
    kind = _named(BY_OUTPUT[keras_name][0 if yes_or_no else 1] if keras_name in BY_OUTPUT else keras_name)
    if not inspect.isclass(kind):
        return keras.metrics.MeanMetricWrapper(kind, name=name)
    arguments = inspect.signature(kind).parameters
    settings = {
        key: value for key, value in {"num_classes": classes, "sparse_y_pred": False}.items() if key in arguments
    }
    needed = [key for key, item in arguments.items() if item.default is item.empty and key not in settings]
    if needed:
        raise RecipeError(
            f"--metrics={name}: needs {', '.join(needed)}; give package.module:function of one that makes the metric"
        )
    return kind(**settings)


def _named(name: str) -> object:
    """The class or function of a name, in snake case too; a class first, as `AUC` and `auc` are the same."""
    same = (key for key in (*METRIC_CLASSES, *METRIC_FUNCTIONS) if plain_metric(key) == plain_metric(name))
    return getattr(keras.metrics, next(same))


def _is_sparse(metric: Any) -> bool:
    """Whether a metric takes class indices; `BinaryIoU` says so too, but means the yes or no of each output."""
    indices = getattr(metric, "sparse_y_true", False) and not isinstance(metric, keras.metrics.BinaryIoU)
    return type(metric).__name__.startswith("Sparse") or bool(indices)
