"""What a notebook shows of a conversion."""

from __future__ import annotations

from html.parser import HTMLParser
from pathlib import Path

from tests.report.sample import changed, report
from tfcompress.report.exports import flat_figures
from tfcompress.report.notebook import render_notebook


def test_every_target_its_status_and_the_reason_are_shown() -> None:
    fragment = render_notebook(report(), Path("out"))
    for said in ("Phone", "gate failed", "undecided", "−1.23", "1.2 kB", "over the limit", "out/report.html", "2.5 ms"):
        assert said in fragment


def test_names_are_escaped_and_tags_are_closed() -> None:
    class Balanced(HTMLParser):
        depth = 0

        def handle_starttag(self, tag: str, attrs: object) -> None:
            assert tag not in ("script", "b")
            self.depth += 1

        def handle_endtag(self, tag: str) -> None:
            self.depth -= 1

    parser = Balanced()
    parser.feed(render_notebook(changed("phone", title="<script>x</script>"), Path("<out>")))
    assert parser.depth == 0


def test_figures_for_a_tracker_are_flat_numbers() -> None:
    figures = flat_figures(report())
    assert figures["float/metrics/accuracy"] == 0.75
    assert figures["phone/diff/accuracy_drop"] == 0.0123
    assert figures["phone/file/bytes"] == 1200.0
    assert not any("[" in name or "layers" in name for name in figures)
