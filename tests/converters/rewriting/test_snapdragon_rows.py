"""Rows for Snapdragon: what Qualcomm's compiler left out maps, and the integers are the same as before."""

from __future__ import annotations

import numpy as np
import pytest

from tests.converters.rewriting.test_ethos_u_rows import SAME, VALID, answers, transposed
from tfcompress.converters.npu.quantization import rewritten_file
from tfcompress.converters.rewriting import SNAPDRAGON_FILE, rewrite_graph, rows_for
from tfcompress.converters.snapdragon import find_sdk
from tfcompress.converters.snapdragon.compiler import partition_for
from tfcompress.converters.snapdragon.conversion import npu_of
from tfcompress.converters.snapdragon.sdk import UnusableSdkError
from tfcompress.errors import MissingExtraError

EXAMPLES = {"padding_as_cut": [transposed(3, 2, SAME), transposed(5, 3, SAME, 4)]}
CASES = [(name, content) for name, contents in EXAMPLES.items() for content in contents]


def test_every_row_for_snapdragon_has_an_example_here() -> None:
    assert list(EXAMPLES) == [row.name for row in rows_for(SNAPDRAGON_FILE)]


@pytest.mark.parametrize(("name", "before"), CASES)
def test_what_the_compiler_left_out_maps_and_the_integers_are_the_same(name: str, before: bytes) -> None:
    after, applied, left = rewritten_file(before, npu_of("SM8750"))
    assert [item.name for item in applied] == [name]
    assert left == []
    assert np.array_equal(answers(before), answers(after))
    assert len(np.unique(answers(before))) > 1  # else anything would be the same
    try:
        sdk = find_sdk()
    except (MissingExtraError, UnusableSdkError) as error:
        pytest.skip(str(error))
    assert partition_for(after, "SM8750", sdk) == {}
    assert partition_for(before, "SM8750", sdk) != {}


@pytest.mark.parametrize("content", [transposed(3, 2, SAME, 6), transposed(3, 2, VALID)])
def test_what_maps_as_it_is_stays(content: bytes) -> None:
    assert rewritten_file(content, npu_of("SM8750"))[0] == content


def test_a_window_below_the_stride_leaves_nothing_to_cut() -> None:
    content = transposed(2, 3, SAME, 4)
    assert rewrite_graph(content, rows_for(SNAPDRAGON_FILE)).content == content
