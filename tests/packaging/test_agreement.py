"""The agreement of two runners in the tables of compiled targets, and the inputs that it is measured on."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from benchmarks.agreement import agreement, agreement_summary
from benchmarks.speech_features import FrontEnd
from tests.converters.edgetpu.graphs import GraphBuilder
from tfcompress.accuracy_diff.runners import Arrays
from tfcompress.model import TensorInfo

STEP = 1 / 256
BAND, TONE = 4, 1119.0  # of ten bands between 125 and 3,999 Hz, and the centre of that in Hz
INPUT = TensorInfo("x", (None, 3), "float32")


class _Given:
    """A runner that gives what it was made with, sample by sample."""

    inputs = (INPUT,)
    name = sha256 = "given"

    def __init__(self, steps: list[list[int]]) -> None:
        self.outputs = (TensorInfo("y", (None, 3), "float32"),)
        self._left = np.array(steps, np.float32) * np.float32(STEP)

    def run(self, inputs: Arrays) -> dict[str, np.ndarray]:
        """The next ones."""
        count = len(inputs["x"])
        now, self._left = self._left[:count], self._left[count:]
        return {"y": now}


def _figures(operator: str, wanted: list[list[int]], got: list[list[int]]) -> dict[str, Any]:
    graph = GraphBuilder()
    source = graph.input([1, 3], "int8")
    result = graph.tensor([1, 3], "int8", scale=STEP)
    graph.operator(operator, [source], [result])
    x = {"x": np.zeros((len(wanted), 3), np.float32)}
    return agreement(graph.content(result), _Given(wanted), _Given(got), x, 60.0)


def test_equal_largest_scores_agree_only_where_ties_are_counted() -> None:
    wanted = [[90, 90, 70], [200, 10, 10], [90, 80, 80]]
    got = [[80, 90, 80], [10, 200, 10], [90, 80, 80]]
    figures = _figures("SOFTMAX", wanted, got)
    assert figures["agreement_of"] == "largest element"
    assert (figures["agreement"], figures["agreement_or_tie"]) == (0.3333, 0.6667)


def test_numbers_one_step_apart_agree_only_where_ties_are_counted() -> None:
    figures = _figures("TANH", [[0, 10, 20]], [[1, 12, 20]])
    assert figures["agreement_of"] == "numbers within 1 % of the range"
    assert (figures["agreement"], figures["agreement_or_tie"]) == (0.3333, 0.6667)
    assert figures["largest_steps"] == 2


def test_the_summary_counts_untrained_networks_and_other_inputs_apart() -> None:
    row = {"agreement": 1.0, "agreement_or_tie": 1.0, "samples": 300, "trained": True, "inputs": "own task"}
    rows = [
        row,
        row | {"agreement": 0.98},
        row | {"inputs": "made up", "agreement": 0.5, "agreement_or_tie": 0.5},
        row | {"samples": 20},
        row | {"trained": False, "agreement": 0.2, "agreement_or_tie": 0.2},
        {"status": "partly", "trained": True},
    ]
    text = "\n".join(agreement_summary(rows))
    assert "samples of their own task: 1 of 2 (2)" in text
    assert "or fewer: 1 of 2 (1)" in text
    assert "a class means nothing: 0 of 1 (0)" in text
    assert "not measured: 1." in text


@pytest.mark.parametrize("decibels", [None, 40.0])
def test_words_become_the_features_of_the_front_end(decibels: float | None) -> None:
    front_end = FrontEnd(20, 10, 125, 3999, decibels=decibels)
    time = np.arange(8000) / 16000
    tone = (100 * np.sin(2 * np.pi * TONE * time)).astype(np.int16)
    features, louder = front_end.features(np.stack([tone, 4 * tone]))
    assert features.shape == (20, 10)
    assert features[3].argmax() == BAND
    if decibels is None:
        assert features.max() + 20 < louder.max() < 127  # 64 ln 4 of 666 steps for 256
    else:
        assert louder.max() == features.max() == 127
    assert (front_end.features(np.zeros((1, 8000), np.int16)) == (-128 if decibels is None else 127)).all()
