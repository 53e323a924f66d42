"""The metrics of Keras that `diff` counts by their names."""

from __future__ import annotations

import difflib

from tfcompress.errors import RecipeError

__all__ = ["METRIC_CLASSES", "METRIC_FUNCTIONS", "SHORT_METRICS", "check_metric", "plain_metric"]

_CLASSES = """
AUC Accuracy BinaryAccuracy BinaryCrossentropy BinaryIoU CategoricalAccuracy CategoricalCrossentropy CategoricalHinge
ConcordanceCorrelation CosineSimilarity F1Score FBetaScore FalseNegatives FalsePositives Hinge IoU KLDivergence
LogCoshError MeanAbsoluteError MeanAbsolutePercentageError MeanIoU MeanSquaredError MeanSquaredLogarithmicError
OneHotIoU OneHotMeanIoU PearsonCorrelation Poisson Precision PrecisionAtRecall R2Score Recall RecallAtPrecision
RootMeanSquaredError SensitivityAtSpecificity SparseCategoricalAccuracy SparseCategoricalCrossentropy
SparseTopKCategoricalAccuracy SpecificityAtSensitivity SquaredHinge TopKCategoricalAccuracy TrueNegatives TruePositives
"""
_FUNCTIONS = """
binary_accuracy binary_crossentropy binary_focal_crossentropy categorical_accuracy categorical_crossentropy
categorical_focal_crossentropy categorical_hinge concordance_correlation hinge huber kl_divergence log_cosh
mean_absolute_error mean_absolute_percentage_error mean_squared_error mean_squared_logarithmic_error
pearson_correlation poisson sparse_categorical_accuracy sparse_categorical_crossentropy
sparse_top_k_categorical_accuracy squared_hinge top_k_categorical_accuracy
"""
METRIC_CLASSES, METRIC_FUNCTIONS = tuple(_CLASSES.split()), tuple(_FUNCTIONS.split())
"""All the names in ``keras.metrics`` that stand for a metric of outputs and labels."""
SHORT_METRICS = {
    "acc": "accuracy",
    "ce": "crossentropy",
    "mse": "MeanSquaredError",
    "mae": "MeanAbsoluteError",
    "mape": "MeanAbsolutePercentageError",
    "msle": "MeanSquaredLogarithmicError",
    "bce": "BinaryCrossentropy",
}
"""Those that stand for others; of these, ``accuracy`` and ``crossentropy`` mean what fits the outputs."""


def plain_metric(name: str) -> str:
    """A name as it is compared: ``TopKCategoricalAccuracy`` may be written ``top_k_categorical_accuracy``."""
    return name.replace("_", "").lower()


_KNOWN = {*METRIC_CLASSES, *METRIC_FUNCTIONS, *SHORT_METRICS, "crossentropy"}
_PLAIN = {plain_metric(name): name for name in sorted(_KNOWN)}


def check_metric(name: str) -> None:
    """Refuse a name that no metric has; ``package.module:function`` is left to those who import it.

    Raises:
        RecipeError: Keras has no such metric.
    """
    if ":" in name or plain_metric(name) in _PLAIN:
        return
    close = [_PLAIN[plain] for plain in difflib.get_close_matches(plain_metric(name), _PLAIN, n=3)]
    raise RecipeError(
        f"--metrics={name}: Keras has no such metric; expected a name such as {' or '.join(close) or 'AUC'}, or "
        "package.module:function of one that makes the metric"
    )
