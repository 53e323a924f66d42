"""Runs of float operators: where they end, and that `best` takes one only where it gains enough and is allowed."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.converters.litert.models import images, samples_for, small_cnn
from tfcompress.calibration import Calibration
from tfcompress.converters.litert import Int8Model, quantize_int8, to_float_tflite
from tfcompress.converters.litert.facts import float_operators
from tfcompress.converters.litert.float_runs import FloatRun, float_runs
from tfcompress.converters.litert.limits import Abilities
from tfcompress.errors import DataError
from tfcompress.graphs.tflite import Operator, read_tflite
from tfcompress.graphs.tflite.operators import file_macs, macs
from tfcompress.recipe import PostTraining, Recipe

BEST = Recipe(post_training=PostTraining(quality="best"))
ISLANDS = Abilities(float_islands=True)


@pytest.fixture(autouse=True)
def nothing_is_learnt(monkeypatch: pytest.MonkeyPatch) -> None:
    """It takes long, and has tests of its own."""
    monkeypatch.setattr("tfcompress.converters.litert.int8.learnt", lambda *args: (b"", "not tried"))


@pytest.fixture
def any_gain_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also one that chance explains on a dozen samples of a small network."""
    monkeypatch.setattr("tfcompress.converters.litert.quality_search.ENOUGH", 0.0)
    monkeypatch.setattr("tfcompress.converters.litert.quality_search.FLOAT_WORTH", 1.0)
    monkeypatch.setattr(
        "tfcompress.converters.litert.int8.is_closer", lambda errors, others: bool(errors.mean() < others.mean())
    )


def _best(abilities: Abilities = ISLANDS, *, ranges: Calibration | None = None) -> Int8Model:
    model = small_cnn()
    return quantize_int8(model, samples_for(model, images()), BEST, abilities=abilities, ranges=ranges)


def test_a_run_stays_within_its_share_and_ends_where_one_tensor_goes_on() -> None:
    file = read_tflite(to_float_tflite(small_cnn()))
    graph, everything = file.main, file_macs(file)
    sizes = []
    for share in (0.3, 0.95):
        for run in float_runs(graph, share):
            inside = [op for op in graph.operators if graph.tensors[op.outputs[0]].name in run.tensors]
            assert sum(macs(op, graph) for op in inside) <= share * everything
            assert _crossing(inside, graph.operators) <= 1, run.what
            sizes.append((share, len(inside)))
    assert sizes, "else nothing was looked at"
    assert not float_runs(graph, 0.0)


def test_runs_of_both_ends_together_are_no_more_than_one_may_be() -> None:
    first = FloatRun(("a", "b"), "the first 2 operators", 0.5, 0.1)
    last = FloatRun(("y", "z"), "the last 2 operators", 0.2, 0.3)
    assert first.may_join(last)
    both = first.with_(last)
    assert (both.tensors, both.share) == (("a", "b", "y", "z"), 0.7)
    assert both.note().startswith("the first 2 operators and the last 2 operators in float")
    assert not first.may_join(first), "it is the same"
    assert not first.may_join(replace(last, share=0.3)), "too many multiplications"
    assert not first.may_join(replace(last, weights=0.45)), "too many weights"


def _crossing(inside: list[Operator], everything: tuple[Operator, ...]) -> int:
    """Tensors that go from the operators inside to others, or come from others."""
    given = {index for op in inside for index in op.outputs}
    others = [op for op in everything if op not in inside]
    out = given.intersection(index for op in others for index in op.inputs)
    enter = {index for op in others for index in op.outputs}.intersection(i for op in inside for i in op.inputs)
    return max(len(out), len(enter))


def test_most_weights_stay_8_bit(monkeypatch: pytest.MonkeyPatch) -> None:
    graph = read_tflite(to_float_tflite(small_cnn())).main
    assert float_runs(graph, 0.95)
    monkeypatch.setattr("tfcompress.converters.litert.float_runs.MOST_WEIGHTS", 0.0)
    assert not float_runs(graph, 0.95)


@pytest.mark.usefixtures("any_gain_counts")
def test_best_computes_a_run_in_float_where_that_gains_much() -> None:
    result = _best()
    run = result.limits.float_run
    assert run is not None
    assert run.note() in result.notes
    assert set(run.tensors) <= set(result.limits.keep_float)
    assert float_operators(read_tflite(result.content))
    allowed_none = _best(replace(ISLANDS, float_islands=False))
    assert not float_operators(read_tflite(allowed_none.content))


@pytest.mark.usefixtures("any_gain_counts")
def test_its_ranges_give_the_same_file_again() -> None:
    first = _best()
    assert first.limits.float_run is not None
    assert first.calibration is not None
    again = _best(ranges=replace(first.calibration, data_sha256=samples_for(small_cnn(), images()).sha256))
    assert again.content == first.content


def test_ranges_of_other_data_are_refused_before_a_search_begins(monkeypatch: pytest.MonkeyPatch) -> None:
    def search(*_: object) -> Int8Model:
        raise AssertionError("it takes long, and its result would be refused too")

    model = small_cnn()
    fast = Recipe(post_training=PostTraining(quality="fast"))
    calibration = quantize_int8(model, samples_for(model, images()), fast).calibration
    assert calibration is not None
    monkeypatch.setattr("tfcompress.converters.litert.int8.closest", search)
    with pytest.raises(DataError, match="calibrate again"):
        _best(ranges=replace(calibration, data_sha256="0" * 64))


def test_best_keeps_8_bits_where_they_are_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tfcompress.converters.litert.quality_search.ENOUGH", 1.0)
    result = _best()
    assert result.limits.float_run is None
    assert not float_operators(read_tflite(result.content))
