"""Keras metrics by name: the figure that Keras itself gives on the whole data."""

from typing import Any

import numpy as np
import pytest

from tests.accuracy_diff.models import probabilities, rows, table_runner
from tfcompress.accuracy_diff import compare
from tfcompress.errors import InputError, RecipeError
from tfcompress.metric_names import METRIC_CLASSES, METRIC_FUNCTIONS
from tfcompress.runtime import keras

RNG = np.random.default_rng(0)
COUNT = 300
LABELS = RNG.integers(0, 4, COUNT)
ANSWERS = np.where(RNG.random(COUNT) < 0.8, LABELS, (LABELS + 1) % 4)
ONE_HOT = np.eye(4, dtype=np.float32)[LABELS]
OUTPUTS = probabilities(ANSWERS, 4, sure=0.7)
TOLERANCE = 1e-6


def counted(outputs: np.ndarray, labels: Any, *names: str, **options: Any) -> dict[str, float | None]:
    runner = table_runner("float", outputs)
    comparison = compare(runner, {"it": runner}, rows(len(outputs), labels), metrics=names, batch_size=64, **options)
    assert comparison.candidates["it"].metrics == comparison.reference.metrics
    return comparison.reference.metrics


@pytest.mark.parametrize(
    ("name", "metric", "wanted"),
    [
        ("SparseCategoricalCrossentropy", keras.metrics.SparseCategoricalCrossentropy(), LABELS),
        ("sparse_top_k_categorical_accuracy", keras.metrics.SparseTopKCategoricalAccuracy(), LABELS),
        ("AUC", keras.metrics.AUC(), ONE_HOT),
        ("auc", keras.metrics.AUC(), ONE_HOT),
        ("categorical_accuracy", keras.metrics.CategoricalAccuracy(), ONE_HOT),
        ("Precision", keras.metrics.Precision(), ONE_HOT),
        ("mse", keras.metrics.MeanSquaredError(), ONE_HOT),
        ("kl_divergence", keras.metrics.KLDivergence(), ONE_HOT),
        ("MeanIoU", keras.metrics.MeanIoU(4, sparse_y_pred=False), LABELS),
        ("huber", keras.metrics.MeanMetricWrapper(keras.losses.huber), ONE_HOT),
    ],
)
def test_a_metric_of_classes_is_what_keras_gives(name: str, metric: Any, wanted: np.ndarray) -> None:
    metric.update_state(wanted, OUTPUTS)
    expected = float(metric.result())
    for labels in (LABELS, ONE_HOT, np.array(["ant", "bee", "cow", "dog"])[LABELS]):
        assert counted(OUTPUTS, labels, name)[name] == pytest.approx(expected, abs=TOLERANCE)
    assert abs(counted(OUTPUTS, (LABELS + 1) % 4, name)[name] - expected) > TOLERANCE or "top_k" in name  # type: ignore[operator]


def test_every_metric_that_keras_makes_without_arguments_is_counted() -> None:
    names = [
        name
        for name, kind in vars(keras.metrics).items()
        if isinstance(kind, type) and issubclass(kind, keras.metrics.Metric)
    ]
    needs = {"IoU", "OneHotIoU", "PrecisionAtRecall", "RecallAtPrecision"}
    needs |= {"SensitivityAtSpecificity", "SpecificityAtSensitivity"}
    countable = set(names) - needs - {"Metric", "Mean", "Sum", "MeanMetricWrapper"}
    assert len(countable) > 30
    figures = counted(OUTPUTS, LABELS, *sorted(countable))
    missing = [name for name in countable if figures.get(name, figures.get(f"{name}[0]")) is None]
    assert missing == []


def test_a_metric_of_several_values_has_one_figure_each() -> None:
    metric = keras.metrics.F1Score()
    metric.update_state(ONE_HOT, OUTPUTS)
    figures = counted(OUTPUTS, LABELS, "F1Score")
    assert [figures[f"F1Score[{i}]"] for i in range(4)] == pytest.approx(np.asarray(metric.result()), abs=TOLERANCE)


def test_logits_become_probabilities_first() -> None:
    logits = np.log(OUTPUTS) + RNG.normal(size=(COUNT, 1)).astype(np.float32)
    plain = counted(OUTPUTS, LABELS, "ce")["ce"]
    assert counted(logits, LABELS, "ce")["ce"] == pytest.approx(plain, abs=1e-5)
    yes = np.log(OUTPUTS[:, :1] / (1 - OUTPUTS[:, :1]))
    assert counted(yes, LABELS == 0, "ce")["ce"] == pytest.approx(counted(OUTPUTS[:, :1], LABELS == 0, "ce")["ce"])


def test_regression_has_kerass_figures() -> None:
    values = RNG.normal(size=(COUNT, 2))
    metric = keras.metrics.RootMeanSquaredError()
    given = (values + 0.3).astype(np.float32)
    metric.update_state(values, given)
    figures = counted(given, values, "RootMeanSquaredError", "mae")
    assert figures["RootMeanSquaredError"] == pytest.approx(float(metric.result()), abs=TOLERANCE)
    assert figures["mae"] == pytest.approx(0.3, abs=1e-6)


def test_without_labels_a_metric_is_not_known() -> None:
    assert counted(OUTPUTS, None, "AUC")["AUC"] is None


def strict_precision() -> Any:
    return keras.metrics.Precision(thresholds=0.6)


def test_a_function_may_make_the_metric() -> None:
    name = "tests.accuracy_diff.test_keras_metrics:strict_precision"
    metric = strict_precision()
    metric.update_state(ONE_HOT, OUTPUTS)
    assert counted(OUTPUTS, LABELS, name)[name] == pytest.approx(float(metric.result()), abs=TOLERANCE)


@pytest.mark.parametrize(
    ("name", "error", "said"),
    [
        ("acuracy", RecipeError, "Keras has no such metric"),
        ("get", RecipeError, "Keras has no such metric"),
        ("PrecisionAtRecall", RecipeError, "needs recall; give package.module:function"),
        ("no.module:there", InputError, "--metrics=no.module:there: cannot import it"),
    ],
)
def test_a_metric_that_is_none_is_refused_in_one_line(name: str, error: type[Exception], said: str) -> None:
    with pytest.raises(error, match=said) as caught:
        counted(OUTPUTS, LABELS, name)
    assert "\n" not in str(caught.value)


def test_the_metrics_that_may_be_named_are_those_that_keras_has() -> None:
    names = {name for name, value in vars(keras.metrics).items() if callable(value) and not name.startswith("_")}
    general = {"Metric", "Mean", "Sum", "MeanMetricWrapper", "deserialize", "get", "serialize"}
    assert names - general == {*METRIC_CLASSES, *METRIC_FUNCTIONS}


def test_a_metric_that_does_not_fit_the_labels_is_refused() -> None:
    values = RNG.normal(size=(COUNT, 2)).astype(np.float32)
    with pytest.raises(RecipeError, match="Keras cannot count it for the task regression") as caught:
        counted(values, values.astype(float), "SparseCategoricalCrossentropy")
    assert "\n" not in str(caught.value)
