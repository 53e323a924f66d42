"""Comparing two models on the same samples: labels in all forms, ties, NaN, constants, single samples."""

import json
import re

import numpy as np
import pytest

from tests.accuracy_diff.models import probabilities, rows, table_runner
from tfcompress.accuracy_diff import compare
from tfcompress.accuracy_diff.runners import CallableRunner
from tfcompress.errors import DataError, ModelError, RecipeError

CLASSES = 4
RNG = np.random.default_rng(0)
LABELS = RNG.integers(0, CLASSES, 400)
REFERENCE = np.where(RNG.random(400) < 0.9, LABELS, (LABELS + 1) % CLASSES)
CANDIDATE = np.where(RNG.random(400) < 0.95, REFERENCE, (REFERENCE + 2) % CLASSES)


def _compared(labels: object = LABELS, candidate: np.ndarray = CANDIDATE, **options: object):  # type: ignore[no-untyped-def]
    first = table_runner("float", probabilities(REFERENCE, CLASSES))
    second = table_runner("int8", probabilities(candidate, CLASSES))
    return compare(first, {"int8": second}, rows(len(REFERENCE), labels), **options)  # type: ignore[arg-type]


def test_accuracies_and_the_drop_are_counted_exactly() -> None:
    comparison = _compared()
    lost = int(((REFERENCE == LABELS) & (CANDIDATE != LABELS)).sum())
    gained = int(((REFERENCE != LABELS) & (CANDIDATE == LABELS)).sum())
    diff = comparison.candidates["int8"].diff
    assert comparison.reference.samples == 400
    assert comparison.reference.metrics["accuracy"] == (REFERENCE == LABELS).mean()
    assert comparison.candidates["int8"].metrics["accuracy"] == (CANDIDATE == LABELS).mean()
    assert (diff["lost"], diff["gained"]) == (lost, gained)
    assert diff["accuracy_drop"] == pytest.approx((lost - gained) / 400, abs=1e-12)
    assert diff["top1_agreement"] == (REFERENCE == CANDIDATE).mean()


@pytest.mark.parametrize(
    "labels",
    [
        LABELS.astype(np.uint8),
        LABELS.astype(np.float32),
        LABELS[:, None],
        np.eye(CLASSES)[LABELS],
        np.array(["ant", "bee", "cow", "dog"])[LABELS],
        np.array([b"ant", b"bee", b"cow", b"dog"])[LABELS],
    ],
    ids=["bytes", "floats", "column", "one-hot", "strings", "byte strings"],
)
def test_labels_mean_the_same_in_every_form(labels: np.ndarray) -> None:
    assert _compared(labels).to_json() == _compared().to_json() or labels.dtype.kind in "SU"
    assert _compared(labels).reference.metrics["accuracy"] == (REFERENCE == LABELS).mean()


def test_string_labels_follow_the_given_class_names() -> None:
    names = ["dog", "cow", "bee", "ant"]
    comparison = _compared(np.array(names)[LABELS], class_names=names)
    assert comparison.reference.metrics["accuracy"] == (REFERENCE == LABELS).mean()
    assert "accuracy[dog]" in comparison.reference.metrics


@pytest.mark.parametrize(
    ("labels", "said"),
    [
        (LABELS + 1, "out of range, the model has 4 classes (0..3)"),
        (LABELS - 1, "label -1 is out of range"),
        (np.array(["ant", "bee"])[LABELS % 2], "2 different string labels, the model has 4 classes"),
    ],
)
def test_labels_that_do_not_fit_are_refused_in_one_line(labels: np.ndarray, said: str) -> None:
    with pytest.raises(DataError, match=re.escape(said)):
        _compared(labels)


def test_without_labels_there_is_no_accuracy_but_an_agreement() -> None:
    comparison = _compared(None)
    result = comparison.candidates["int8"]
    assert comparison.reference.metrics == {"accuracy": None}
    assert result.diff["accuracy_drop"] is None
    assert result.diff["p_value"] is None
    assert result.diff["top1_agreement"] == (REFERENCE == CANDIDATE).mean()
    assert result.diff["sqnr_db"] is not None
    assert result.gate.verdict == "undecidable"
    assert "no labels" in result.gate.reason


def test_without_labels_equal_answers_still_pass_the_gate() -> None:
    result = _compared(None, REFERENCE).candidates["int8"]
    assert result.gate.verdict == "passed"


def _noisy(seed: int, noise: float) -> tuple[CallableRunner, CallableRunner]:
    """A model that gives one value, and one whose value has that much noise, relative to its deviation."""
    truth = np.random.default_rng(seed).normal(size=(400, 1)).astype(np.float32)
    other = truth + noise * np.random.default_rng(seed + 1).normal(size=truth.shape).astype(np.float32)
    return table_runner("float", truth), table_runner("int8", other)


@pytest.mark.parametrize(("noise", "verdict"), [(0.2, "undecidable"), (0.5, "failed")])
def test_without_labels_values_that_are_a_tenth_noise_fail(noise: float, verdict: str) -> None:
    first, second = _noisy(0, noise)
    result = compare(first, {"int8": second}, rows(400, None), task="regression").candidates["int8"]
    assert result.gate.verdict == verdict
    assert ("keep only" in result.gate.reason) == (verdict == "failed")


def test_without_labels_equal_answers_do_not_pass_where_the_values_are_lost() -> None:
    scores = np.random.default_rng(0).normal(size=(400, CLASSES)).astype(np.float32)
    scores[:, 0] += 8  # the answer of every sample
    spoilt = scores + np.array([2.8, 0, 0, 0], np.float32)
    first, second = table_runner("float", scores), table_runner("int8", spoilt)
    result = compare(first, {"int8": second}, rows(400, None)).candidates["int8"]
    assert result.diff["top1_agreement"] == 1
    assert result.gate.verdict == "undecidable"
    assert "the values keep only" in result.gate.reason


def test_the_same_model_twice_has_no_error() -> None:
    result = _compared(candidate=REFERENCE).candidates["int8"]
    assert result.diff["accuracy_drop"] == 0
    assert result.diff["max_abs_error"] == 0
    assert result.diff["sqnr_db"] == 200
    assert result.diff["p_value"] == 1
    assert result.flipped == 0


def test_a_drop_over_the_limit_fails_the_gate() -> None:
    worse = np.where(np.arange(400) % 3 == 0, (LABELS + 1) % CLASSES, REFERENCE)
    result = _compared(candidate=worse).candidates["int8"]
    assert result.gate.failed
    assert result.to_json()["status"] == "gate_failed"
    assert "over the limit of 0.01" in result.gate.reason


def test_few_samples_do_not_pass_the_gate_by_luck() -> None:
    first = table_runner("float", probabilities(LABELS, CLASSES))
    result = compare(first, {"int8": first}, rows(20, LABELS[:20])).candidates["int8"]
    assert result.diff["accuracy_drop"] == 0
    assert result.gate.verdict == "undecidable"
    assert result.gate.samples_needed is not None
    assert result.gate.samples_needed > 20
    assert result.to_json()["status"] == "undecided"
    assert "not decidable with this data" in result.to_json()["reason"]


def test_many_samples_decide_the_gate() -> None:
    labels = np.arange(4000) % CLASSES
    first = table_runner("float", probabilities(labels, CLASSES))
    assert compare(first, {"int8": first}, rows(4000, labels)).candidates["int8"].gate.verdict == "passed"


def test_one_sample_gives_a_result() -> None:
    first = table_runner("float", probabilities(LABELS, CLASSES))
    comparison = compare(first, {"int8": first}, rows(1, LABELS[:1]))
    assert comparison.reference.metrics["accuracy"] == 1
    assert comparison.candidates["int8"].gate.verdict == "undecidable"


def test_labels_of_one_class_only_give_a_result() -> None:
    answers = np.zeros(50, int)
    first = table_runner("float", probabilities(answers, CLASSES))
    comparison = compare(first, {"int8": first}, rows(50, np.zeros(50, int)))
    assert comparison.reference.metrics["accuracy"] == 1
    assert "accuracy[0]" in comparison.reference.metrics
    assert "accuracy[1]" not in comparison.reference.metrics


def test_among_equal_outputs_the_first_class_is_the_answer() -> None:
    tied = np.full((10, CLASSES), 0.25, np.float32)
    first = table_runner("float", probabilities(np.zeros(10, int), CLASSES))
    comparison = compare(first, {"int8": table_runner("int8", tied)}, rows(10, np.zeros(10, int)))
    assert comparison.candidates["int8"].metrics["accuracy"] == 1
    assert comparison.candidates["int8"].diff["top1_agreement"] == 1


def test_nan_outputs_count_as_wrong_and_fail_the_gate() -> None:
    broken = probabilities(REFERENCE, CLASSES)
    broken[7] = np.nan
    first = table_runner("float", probabilities(REFERENCE, CLASSES))
    comparison = compare(first, {"int8": table_runner("int8", broken)}, rows(400, REFERENCE))
    result = comparison.candidates["int8"]
    assert result.metrics["accuracy"] == 399 / 400
    assert result.diff["not_finite"] == 1
    assert result.gate.failed
    assert "NaN or infinite on 1 of 400" in result.gate.reason
    json.dumps(comparison.to_json(), allow_nan=False)


def test_a_candidate_that_always_says_the_same_fails_the_gate() -> None:
    constant = probabilities(np.zeros(400, int), CLASSES)
    result = compare(
        table_runner("float", probabilities(REFERENCE, CLASSES)), {"int8": table_runner("int8", constant)}, rows(400)
    ).candidates["int8"]
    assert result.diff["constant_output"]
    assert result.gate.failed
    assert "the same for all 400 samples" in result.gate.reason


def test_flipped_samples_are_kept_with_both_answers() -> None:
    result = _compared().candidates["int8"]
    different = np.flatnonzero(REFERENCE != CANDIDATE)
    assert result.flipped == len(different)
    assert {flip.index for flip in result.flips} == set(different.tolist())
    for flip in result.flips:
        assert (flip.reference, flip.candidate) == (REFERENCE[flip.index], CANDIDATE[flip.index])
        assert flip.label == LABELS[flip.index]
        assert flip.reference_confidence == pytest.approx(0.9, abs=1e-6)
    assert result.flips[0].reference == result.flips[0].label  # lost answers first


def test_outputs_are_matched_by_name_in_any_order() -> None:
    a, b = probabilities(REFERENCE, 4), RNG.normal(size=(400, 2)).astype(np.float32)
    first = table_runner("float", a, b, names=("label", "place"))
    second = table_runner("int8", b, a, names=("place", "label"))
    data = rows(400, {"label": LABELS, "place": b + 0.1}, outputs=("label", "place"))
    result = compare(first, {"int8": second}, data).candidates["int8"]
    assert result.diff["outputs"]["place"]["max_abs_error"] == 0
    assert result.diff["outputs"]["label"]["max_abs_error"] == 0
    assert result.metrics["place/mae"] == pytest.approx(0.1, abs=1e-6)


def test_outputs_with_other_names_are_matched_by_position() -> None:
    a, b = probabilities(REFERENCE, 4), probabilities(CANDIDATE, 4)
    first = table_runner("float", a, b, names=("one", "two"))
    second = table_runner("int8", a, b, names=("StatefulPartitionedCall:0", "StatefulPartitionedCall:1"))
    outputs = compare(first, {"int8": second}, rows(400, outputs=("one", "two"))).candidates["int8"].diff["outputs"]
    assert outputs["one"]["max_abs_error"] == outputs["two"]["max_abs_error"] == 0


def test_another_number_of_outputs_is_refused() -> None:
    a = probabilities(REFERENCE, 4)
    with pytest.raises(ModelError, match="int8: has 2 outputs"):
        compare(table_runner("float", a), {"int8": table_runner("int8", a, a, names=("one", "two"))}, rows(400, LABELS))


def test_the_figures_do_not_depend_on_the_batch_size() -> None:
    small, large = (_compared(batch_size=size).to_json() for size in (1, 400))
    assert small["candidates"]["int8"]["gate"] == large["candidates"]["int8"]["gate"]
    assert small["reference"]["metrics"]["accuracy"] == large["reference"]["metrics"]["accuracy"]
    assert small["candidates"]["int8"]["flipped"] == large["candidates"]["int8"]["flipped"]


def test_every_candidate_sees_the_same_samples_in_one_pass() -> None:
    seen: dict[str, list[float]] = {"a": [], "b": []}

    def watching(name: str) -> CallableRunner:
        def function(numbers: np.ndarray) -> np.ndarray:
            seen[name].extend(numbers[:, 0].tolist())
            return probabilities(REFERENCE, CLASSES)[numbers[:, 0].astype(int)]

        return CallableRunner(function, name=name)

    first = table_runner("float", probabilities(REFERENCE, CLASSES))
    compare(first, {"a": watching("a"), "b": watching("b")}, rows(400, LABELS), batch_size=16)
    assert sorted(seen["a"]) == sorted(seen["b"]) == list(range(400))


def test_an_unknown_task_is_refused() -> None:
    with pytest.raises(RecipeError, match="--task: unknown task 'ranking'"):
        _compared(task="ranking")


def test_a_limit_outside_zero_to_one_is_refused() -> None:
    with pytest.raises(RecipeError, match="--max_accuracy_drop is 2"):
        _compared(max_accuracy_drop=2)


def test_every_answer_of_every_class_is_counted() -> None:
    worse = np.where(np.arange(400) < 7, (LABELS + 1) % CLASSES, LABELS)
    result = _compared(candidate=worse)
    ours, floats = (np.array(side.confusion) for side in (result.candidates["int8"], result.reference))
    assert ours.sum() == floats.sum() == len(LABELS)
    assert ours.sum(axis=1).tolist() == np.bincount(LABELS, minlength=CLASSES).tolist()
    assert len(LABELS) - int(np.trace(ours)) == 7
    assert result.reference.to_json()["confusion"] == floats.tolist()


def test_a_gain_is_not_called_a_drop() -> None:
    result = _compared(candidate=LABELS).candidates["int8"]
    assert result.diff["accuracy_drop"] < 0
    assert "accuracy gain 0." in result.gate.reason
