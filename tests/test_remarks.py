"""A diagnosis that fails costs a remark in the report, and nothing else."""

from typing import Any

import numpy as np
import pytest

from tests.accuracy_diff.models import rows, table_runner
from tfcompress.accuracy_diff import compare, harness
from tfcompress.accuracy_diff.comparison import CandidateResult
from tfcompress.errors import ConversionError, MissingExtraError
from tfcompress.remarks import optional, remark, remarks


def test_a_block_that_fails_is_a_remark_and_one_that_does_not_is_none() -> None:
    with remarks() as said:
        with optional("phone: its latency"):
            raise RuntimeError("two\nlines")
        with optional("phone: its picture"):
            pass
        with optional("the page"):
            raise MissingExtraError("jinja2", "report", "report.html")
    assert said == [
        "phone: its latency could not be made: RuntimeError: two lines",
        "report.html needs jinja2, which is not installed: pip install 'tfcompress[report]'",
    ]


def test_the_user_s_own_interruption_is_no_remark() -> None:
    with remarks() as said, pytest.raises(KeyboardInterrupt), optional("phone: its latency"):
        raise KeyboardInterrupt
    assert said == []


def test_a_remark_is_kept_once_and_only_by_the_innermost_list() -> None:
    with remarks() as outer:
        with remarks() as inner:
            remark("a")
            remark("a")
        remark("b")
    assert (outer, inner) == (["b"], ["a"])


@pytest.mark.parametrize("error", [RuntimeError("Retval[3] has already been set"), ConversionError("no"), KeyError(1)])
def test_a_layer_diff_that_fails_leaves_the_comparison(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*arguments: Any) -> Any:
        raise error

    monkeypatch.setattr(harness, "compare_layers", fails)
    monkeypatch.setattr(harness, "FloatModelRunner", object)
    answers = np.eye(3, dtype=np.float32)[np.arange(60) % 3]
    reference: Any = table_runner("float", answers)
    reference.model = reference
    with remarks() as said:
        compared = compare(reference, {"it": table_runner("int8", answers)}, rows(60, np.arange(60) % 3), layers=True)
    assert isinstance(compared.candidates["it"], CandidateResult)
    assert compared.candidates["it"].layers == ()
    assert compared.reference.metrics["accuracy"] == 1
    assert len(said) == 1
    assert said[0].startswith("it: the diff of its layers could not be made")
