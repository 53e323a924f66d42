"""Histograms and the widths of layers on the page."""

from __future__ import annotations

import dataclasses
from typing import Any

from tests.report.sample import PLAIN, changed, report
from tfcompress.layer_histogram import LayerHistogram
from tfcompress.report import render_html
from tfcompress.report.histograms import BASE, WIDTH, histogram_pictures

CLIPPED = LayerHistogram(
    layer="conv", what="activations", low=-1.0, high=3.0, counts=(5, 90, 4, 1), range=(-1.0, 1.0), narrowest=None
)


def test_the_ends_of_the_range_stand_where_the_values_do() -> None:
    (picture,) = histogram_pictures([CLIPPED])
    assert picture.ends[0] == min(bar.x for bar in picture.bars)
    assert picture.ends[1] == WIDTH / 2
    assert [bar.inside for bar in picture.bars] == [True, True, False, False]
    assert picture.title == "Outputs in float, 5 % of them beyond the range"
    assert all(bar.y + bar.height == BASE for bar in picture.bars)
    assert [text for _, text in picture.ticks] == ["−1", "0", "3"]


def test_a_share_of_all_is_no_power_of_ten() -> None:
    (picture,) = histogram_pictures([dataclasses.replace(CLIPPED, counts=(0, 0, 999, 1))])
    assert picture.title == "Outputs in float, 100 % of them beyond the range"


def test_a_histogram_without_values_is_left_out() -> None:
    assert histogram_pictures([LayerHistogram(**{**vars(CLIPPED), "counts": (0, 0)})]) == ()


def test_the_page_shows_the_layers_to_look_at() -> None:
    plain: dict[str, Any] = {**vars(CLIPPED), "layer": "conv<1>", "narrowest": 0.5}
    page = render_html(changed("phone", histograms=[plain]))
    assert "conv&lt;1&gt;" in page
    assert page.count('class="outside"') == 2
    assert page.count('class="narrowest"') == 2
    assert "those of the narrowest channel" in page
    assert "Values of the layers to look at" not in render_html(report())


def test_the_page_shows_the_width_and_the_zeros_of_each_layer() -> None:
    row = {"layer": "a", "type": "Dense", "before": 32, "after": 16, "zeros_before": 0.0, "zeros_after": 0.75}
    compression = {**PLAIN["compression"], "layers": [{**row, "values_after": 12}]}
    page = render_html(report(compression=compression))
    assert "32 → 16" in page
    assert "0 % → 75 %" in page
    new = {**row, "before": None, "zeros_before": None, "values_after": 12}
    assert "new → 16" in render_html(report(compression={**compression, "layers": [new]}))
