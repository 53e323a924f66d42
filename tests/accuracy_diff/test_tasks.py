"""What each task counts, against references computed another way."""

from typing import Any

import numpy as np
import pytest

from tests.accuracy_diff.models import rows, table_runner
from tfcompress.accuracy_diff import compare
from tfcompress.accuracy_diff.runners import CallableRunner
from tfcompress.accuracy_diff.score_table import ScoreTable
from tfcompress.accuracy_diff.tasks import choose_task
from tfcompress.data import samples_from_arrays
from tfcompress.errors import DataError
from tfcompress.model import TensorInfo
from tfcompress.remarks import remarks

RNG = np.random.default_rng(0)


def judged(reference: np.ndarray, candidate: np.ndarray, labels: Any, **options: Any) -> Any:
    first, second = table_runner("float", reference), table_runner("int8", candidate)
    return compare(first, {"it": second}, rows(len(reference), labels), **options)


def area_by_pairs(scores: np.ndarray, truth: np.ndarray) -> float:
    """Share of (positive, negative) pairs in the right order, ties as half."""
    difference = scores[truth == 1][:, None] - scores[truth == 0][None, :]
    return float(((difference > 0) + 0.5 * (difference == 0)).mean())


@pytest.mark.parametrize("digits", [1, 8])
def test_the_area_under_the_roc_curve_is_that_of_all_pairs(digits: int) -> None:
    truth = RNG.integers(0, 2, 300)
    scores = np.round(truth * 0.4 + RNG.random(300), digits)
    parts = [ScoreTable.of(scores[i : i + 50], truth[i : i + 50]) for i in range(0, 300, 50)]
    table = sum(parts[1:], start=parts[0])
    assert table.auc() == pytest.approx(area_by_pairs(scores, truth), abs=1e-12)


def test_the_area_stays_close_when_there_are_too_many_scores_to_keep() -> None:
    truth = RNG.integers(0, 2, 200_000)
    scores = truth + RNG.normal(size=len(truth))
    table = sum((ScoreTable.of(s, t) for s, t in zip(np.split(scores, 10), np.split(truth, 10), strict=True)),
                start=ScoreTable.of(np.empty(0), np.empty(0, int)))  # fmt: skip
    exact = ScoreTable.of(scores, truth).auc()
    assert len(table.scores) <= 1 << 16
    assert table.auc() == pytest.approx(exact, abs=1e-4)


def test_one_class_has_no_area() -> None:
    assert ScoreTable.of(np.array([0.1, 0.9]), np.array([1, 1])).auc() is None


def test_binary_outputs_have_accuracy_f1_and_area() -> None:
    truth = RNG.integers(0, 2, 400)
    scores = np.clip(truth * 0.3 + RNG.random(400) * 0.7, 0, 1).astype(np.float32)[:, None]
    comparison = judged(scores, scores, truth)
    answers = scores[:, 0] >= 0.5
    hits = (answers & (truth == 1)).sum()
    assert comparison.reference.task == "binary"
    assert comparison.reference.metrics["accuracy"] == (answers == truth).mean()
    assert comparison.reference.metrics["f1"] == pytest.approx(2 * hits / (answers.sum() + truth.sum()))
    assert comparison.reference.metrics["auc"] == pytest.approx(area_by_pairs(scores[:, 0], truth), abs=1e-9)


def test_binary_logits_say_yes_from_zero_up() -> None:
    logits = np.array([[-2.0], [3.0], [0.5], [-0.1]], np.float32)
    assert judged(logits, logits, np.array([0, 1, 1, 1])).reference.metrics["accuracy"] == 0.75
    sure = np.array([[-1000.0], [1000.0]], np.float32)
    assert judged(sure, sure, np.array([0, 1])).reference.metrics["accuracy"] == 1.0


def test_numbers_trained_towards_zero_and_one_say_yes_from_a_half_up() -> None:
    """A regression's no lies on both sides of 0: read as logits, half of them would be a yes."""
    truth = RNG.integers(0, 2, 200)
    numbers = (truth + RNG.normal(0, 0.1, 200)).astype(np.float32)[:, None]
    assert judged(numbers, numbers, truth).reference.metrics["accuracy"] == 1.0
    both = np.concatenate([numbers, numbers], axis=1)
    assert judged(both, both, np.stack([truth, truth], axis=1)).reference.metrics["f1_macro"] == 1.0
    weak = (0.2 * (2 * truth - 1)).astype(np.float32)[:, None]
    assert judged(weak, weak, truth).reference.metrics["accuracy"] == 1.0, "these are logits, and 0.2 is a yes"


def test_several_labels_a_sample_average_their_f1() -> None:
    truth = RNG.integers(0, 2, (300, 3))
    scores = np.clip(truth * 0.4 + RNG.random((300, 3)) * 0.6, 0, 1).astype(np.float32)
    answers = scores >= 0.5
    f1 = [2 * (answers[:, k] & (truth[:, k] == 1)).sum() / (answers[:, k].sum() + truth[:, k].sum()) for k in range(3)]
    comparison = judged(scores, scores, truth)
    assert comparison.reference.task == "multi_label"
    assert comparison.reference.metrics["f1_macro"] == pytest.approx(np.mean(f1))


def test_regression_has_mae_rmse_and_r2() -> None:
    labels = RNG.normal(5, 2, (200, 2))
    given = (labels + RNG.normal(0, 0.5, (200, 2))).astype(np.float32)
    reference = judged(given, given + 0.1, labels).reference
    error = given - labels
    residual, total = np.square(error).sum(), np.square(labels - labels.mean(axis=0)).sum()
    assert reference.task == "regression"
    assert reference.metrics["mae"] == pytest.approx(np.abs(error).mean())
    assert reference.metrics["rmse"] == pytest.approx(np.sqrt(np.square(error).mean()))
    assert reference.metrics["r2"] == pytest.approx(1 - residual / total)


def test_a_regression_that_gets_worse_fails_the_gate_on_r2() -> None:
    labels = RNG.normal(size=(2000, 1))
    good = (labels + RNG.normal(0, 0.1, labels.shape)).astype(np.float32)
    bad = (labels + RNG.normal(0, 0.5, labels.shape)).astype(np.float32)
    result = judged(good, bad, labels, batch_size=50).candidates["it"]
    assert result.diff["metric"] == "r2"
    assert result.gate.failed
    low, high = result.diff["accuracy_drop_ci95"]
    assert low < result.diff["accuracy_drop"] < high


def test_labels_of_a_constant_value_have_no_r2() -> None:
    labels = np.full((50, 1), 3.5)
    assert judged(np.ones((50, 1), np.float32), np.ones((50, 1), np.float32), labels).reference.metrics["r2"] is None


def test_segmentation_has_the_mean_intersection_over_union() -> None:
    truth = RNG.integers(0, 3, (20, 6, 5))
    answers = np.where(RNG.random(truth.shape) < 0.8, truth, (truth + 1) % 3)
    shares = [((answers == k) & (truth == k)).sum() / ((answers == k) | (truth == k)).sum() for k in range(3)]
    outputs = np.eye(3, dtype=np.float32)[answers]
    for labels in (truth, truth[..., None], np.eye(3)[truth]):
        reference = judged(outputs, outputs, labels).reference
        assert reference.task == "segmentation"
        assert reference.metrics["miou"] == pytest.approx(np.mean(shares))
        assert reference.metrics["pixel_accuracy"] == pytest.approx((answers == truth).mean())


def test_a_sequence_is_right_step_by_step_and_as_a_whole() -> None:
    truth = RNG.integers(0, 4, (30, 7))
    answers = truth.copy()
    answers[:5, 0] = (answers[:5, 0] + 1) % 4
    outputs = np.eye(4, dtype=np.float32)[answers]
    reference = judged(outputs, outputs, truth).reference
    assert reference.task == "sequence"
    assert reference.metrics == {"accuracy": 1 - 5 / 210, "sequence_accuracy": 25 / 30}


def test_an_autoencoder_is_judged_by_its_reconstruction_and_by_anomalies() -> None:
    inputs = RNG.normal(size=(100, 8)).astype(np.float32)
    odd = np.arange(100) % 4 == 0
    rebuilt = inputs + np.where(odd, 1.0, 0.1)[:, None].astype(np.float32)
    ports = (TensorInfo("x", (None, 8), "float32"),)
    data = samples_from_arrays(inputs, odd.astype(int), model_inputs=ports, model_outputs=ports)
    from tfcompress.accuracy_diff import runner_for

    def rebuild(x: np.ndarray) -> np.ndarray:
        return np.stack([rebuilt[np.flatnonzero((inputs == row).all(axis=1))[0]] for row in x])

    reference = compare(runner_for(rebuild), {"it": runner_for(rebuild)}, data).reference
    assert reference.task == "autoencoder"
    assert reference.metrics["auc"] == 1
    assert reference.metrics["reconstruction_mse"] == pytest.approx(0.25 * 1 + 0.75 * 0.01, rel=1e-5)


def test_an_embedding_is_judged_by_its_direction() -> None:
    vectors = RNG.normal(size=(60, 96)).astype(np.float32)
    result = judged(vectors, vectors * 2, None).candidates["it"]
    assert result.diff["metric"] == "cosine"
    assert result.diff["cosine"] == pytest.approx(1)
    assert result.diff["accuracy_drop"] == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize(
    ("outputs", "labels", "task"),
    [
        (np.full((4, 3), 1 / 3), np.array([0, 1, 2, 0]), "classification"),
        (np.zeros((4, 3)), np.eye(3)[[0, 1, 2, 0]], "classification"),
        (np.zeros((4, 3)), np.array([[1, 1, 0]] * 4), "multi_label"),
        (np.zeros((4, 3)), RNG.normal(size=(4, 3)), "regression"),
        (np.zeros((4, 1)), np.array([0, 1, 1, 0]), "binary"),
        (np.zeros((4, 1)), np.array([0.5, 1.5, 1, 0]), "regression"),
        (np.full((4, 3), 1 / 3), None, "classification"),
    ],
)
def test_the_task_is_found_from_outputs_and_labels(outputs: np.ndarray, labels: np.ndarray | None, task: str) -> None:
    assert choose_task(None, outputs, labels, np.zeros((4, 7, 7, 1))).name == task


def test_labels_of_the_wrong_shape_are_refused() -> None:
    with pytest.raises(DataError, match=r"labels have 3 values per sample.* has 2: give 2 numbers for each sample"):
        judged(np.zeros((10, 2), np.float32), np.zeros((10, 2), np.float32), RNG.normal(size=(10, 3)))
    with pytest.raises(DataError, match=r"labels have 1 values per sample.* whole numbers from 0 to 1 for classes"):
        judged(np.zeros((10, 2), np.float32), np.zeros((10, 2), np.float32), RNG.normal(size=(10, 1)))


def test_the_calibration_error_is_the_gap_between_confidence_and_accuracy() -> None:
    answers = np.zeros(1000, int)
    outputs = np.tile(np.array([[0.8, 0.1, 0.1]], np.float32), (1000, 1))
    labels = np.where(np.arange(1000) < 600, 0, 1)
    reference = judged(outputs, outputs, labels).reference
    assert reference.metrics["calibration_error"] == pytest.approx(0.2, abs=1e-6)
    assert reference.metrics["accuracy"] == (answers == labels).mean() == 0.6


def test_top5_counts_the_five_best() -> None:
    outputs = np.tile(np.arange(10, dtype=np.float32)[::-1] / 45, (10, 1))
    assert judged(outputs, outputs, np.arange(10)).reference.metrics["top5_accuracy"] == 0.5


def nearest_by_hand(vectors: np.ndarray) -> list[int]:
    """Index of the most alike other vector, one pair at a time."""
    unit = [row / np.linalg.norm(row) for row in vectors.astype(np.float64)]
    return [max((j for j in range(len(unit)) if j != i), key=lambda j: unit[i] @ unit[j]) for i in range(len(unit))]


def test_an_embedding_is_judged_by_the_neighbours_that_it_retrieves() -> None:
    vectors = RNG.normal(size=(80, 96)).astype(np.float32)
    noisy = (vectors + RNG.normal(0, 0.7, vectors.shape)).astype(np.float32)
    diff = judged(vectors, noisy, None, batch_size=16).candidates["it"].diff
    same = np.equal(nearest_by_hand(vectors), nearest_by_hand(noisy)).mean()
    assert 0.1 < same < 0.9
    assert diff["retrieval_agreement"] == pytest.approx(same, abs=1e-12)
    assert 0 < diff["retrieval_overlap"] < 1
    again = judged(vectors, vectors * 3, None).candidates["it"].diff
    assert again["retrieval_agreement"] == again["retrieval_overlap"] == 1


def test_retrieval_looks_at_evenly_spread_samples_of_a_long_stream() -> None:
    vectors = RNG.normal(size=(5000, 64)).astype(np.float32)
    half = vectors.copy()
    half[2500:] = RNG.normal(size=(2500, 64))  # the second half of the data is retrieved wrongly
    diff = judged(vectors, half, None, task="embedding").candidates["it"].diff
    assert 0.1 < diff["retrieval_agreement"] < 0.5


def test_one_embedding_has_no_neighbour() -> None:
    vectors = RNG.normal(size=(1, 96)).astype(np.float32)
    assert judged(vectors, vectors, None).candidates["it"].diff["retrieval_agreement"] is None


def test_an_autoencoder_has_no_answers_to_agree_on() -> None:
    inputs = RNG.normal(size=(20, 8)).astype(np.float32)
    ports = (TensorInfo("x", (None, 8), "float32"),)
    data = samples_from_arrays(inputs, model_inputs=ports, model_outputs=ports)
    first, second = (CallableRunner(lambda x, by=by: x * by, name=f"by {by}") for by in (1.0, 0.9))
    result = compare(first, {"it": second}, data)
    assert result.reference.task == "autoencoder"
    assert result.candidates["it"].diff["top1_agreement"] is None
    assert result.candidates["it"].metrics["reconstruction_mse"] == pytest.approx(0.01 * np.square(inputs).mean())


SIDE = np.linspace(0, 1, 8 * 6 * 3).reshape(8, 6, 3)
PICTURES = np.stack([SIDE, 1 - SIDE] * 2).astype(np.float32)
FINE = PICTURES.repeat(2, axis=1).repeat(2, axis=2)
MASKS = np.zeros((4, 8, 6, 1), np.int64)
SCORES = RNG.normal(size=(4, 8, 6, 5))


@pytest.mark.parametrize(
    ("outputs", "labels", "task"),
    [
        (np.full((4, 8, 6, 5), 0.2), None, "segmentation"),
        (SCORES, None, "segmentation"),
        (PICTURES[..., :1], None, "segmentation"),
        (SCORES, MASKS[..., 0], "segmentation"),
        (PICTURES[..., :1], MASKS, "segmentation"),
        (PICTURES, None, "autoencoder"),
        (PICTURES, PICTURES, "autoencoder"),
        (FINE, None, "regression"),
        (FINE, (255 * FINE).astype(np.uint8), "regression"),
        (FINE[..., :1], (255 * FINE[..., :1]).astype(np.uint8), "regression"),
        (10 * PICTURES[..., :1], None, "regression"),
    ],
)
def test_the_task_of_pictures_made_of_pictures_is_found(
    outputs: np.ndarray, labels: np.ndarray | None, task: str
) -> None:
    assert choose_task(None, outputs, labels, PICTURES).name == task


def test_a_float_model_that_only_guesses_is_remarked_on_with_the_remedy() -> None:
    truth = RNG.integers(0, 10, 500)
    right = np.eye(10, dtype=np.float32)[truth]
    with remarks() as said:
        judged(right, right, truth)
    assert said == []
    with remarks() as said:
        judged(right, right, (truth + 1) % 10)
    assert len(said) == 1
    assert "no more than by chance (10.0 %)" in said[0]
    assert "--labels=FILE" in said[0]


def test_a_few_samples_that_are_all_wrong_are_remarked_on_too() -> None:
    truth = np.arange(16) % 2
    right = np.eye(2, dtype=np.float32)[truth]
    with remarks() as said:
        judged(right, right, 1 - truth)
    assert any("--labels=FILE" in line for line in said)
    with remarks() as said:
        judged(right, right, np.roll(truth, 1) * 0)  # half of them are right
    assert said == []


@pytest.mark.parametrize("shape", [(20, 8), (20, 6, 6, 3)])
def test_an_autoencoder_is_judged_by_what_it_was_trained_to_give(shape: tuple[int, ...]) -> None:
    """`model.fit(x, x)`, and `model.fit(noisy, clean)`."""
    noisy = RNG.normal(size=shape).astype(np.float32)
    clean = noisy * 0.5
    ports = (TensorInfo("x", (None, *shape[1:]), "float32"),)
    halved = CallableRunner(lambda x: x * 0.5, name="halved")
    for wanted, error in ((clean, 0.0), (noisy, 0.25 * float(np.square(noisy).mean()))):
        data = samples_from_arrays(noisy, wanted, model_inputs=ports, model_outputs=ports)
        reference = compare(halved, {"it": halved}, data).reference
        assert reference.task == "autoencoder"
        assert reference.metrics["reconstruction_mse"] == pytest.approx(error, abs=1e-6)


@pytest.mark.parametrize("channels", [1, 3])
def test_a_picture_made_of_a_vector_is_numbers_and_the_same_picture_made_of_a_picture_is_classes(channels: int) -> None:
    noise, photo = RNG.normal(size=(4, 16)), RNG.normal(size=(4, 8, 8, 2))
    picture = RNG.uniform(0.1, 1, size=(4, 8, 8, channels))
    assert choose_task(None, picture, None, noise).name == "regression"
    assert choose_task(None, picture, None, photo).name == "segmentation"
