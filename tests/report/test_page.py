"""The page and the terminal's tables: complete, escaped, self-contained, and robust to a thin report."""

import io
import re
import sys
from html.parser import HTMLParser
from typing import Any

import pytest
from rich.console import Console

from tfcompress.errors import MissingExtraError
from tfcompress.report import figures, render_html, render_terminal

PIXEL = "data:image/png;base64,iVBORw0KGgo="
DIFF = {
    "metric": "accuracy",
    "accuracy_drop": 0.0123,
    "accuracy_drop_ci95": [0.004, 0.021],
    "top1_agreement": 0.95,
    "sqnr_db": 21.5,
    "max_abs_error": 0.4,
    "p_value": 0.03,
}
LAYER = {"layer": "conv<1>", "type": "Conv2D", "sqnr_db": 12.0, "own_sqnr_db": 30.0, "range_used": 0.5}
CAUSE = {"cause": "range_too_narrow", "layer": "conv<1>", "text": "clips", "repair": "--estimator=min_max"}
OPERATOR = {"index": 3, "op": "CUSTOM", "mapped": False, "reason": "why", "keras_layer": "l", "fix": "do"}
RECIPE = {
    "pruning": {"sparsity": 0.5, "pattern": "n_m", "n": 2, "m": 4, "schedule": "constant"},
    "clustering": {"clusters": 16, "preserve_sparsity": True},
    "quantization": {"strict": False},
    "distillation": None,
    "training": {"epochs": 3, "optimizer": "adam"},
    "post_training": {"scheme": "int8"},
    "cloud_tpu": {"precision": "bfloat16"},
}
REPORT: dict[str, Any] = {
    "schema_version": 1,
    "recipe": RECIPE,
    "model": {"name": "<b>net</b>", "sha256": "ab" * 32, "parameters": 1000, "macs": 5, "float_bytes": 4000},
    "reference": {"metrics": {"accuracy": 0.75, "accuracy[cat]": 0.5}, "samples": 500},
    "targets": {
        "phone": {
            "status": "gate_failed",
            "reason": "accuracy drop 0.0123 is over the limit",
            "bytes": 1200,
            "files": ["phone/model.tflite"],
            "weights": {"sparsity": 0.495, "clusters": 223, "gzip_bytes": 900},
            "metrics": {"accuracy": 0.74},
            "diff": DIFF,
            "gate": {"verdict": "failed", "reason": "accuracy drop 0.0123 is over the limit"},
            "layers": [LAYER],
            "causes": [CAUSE],
            "flipped": {
                "total": 2,
                "samples": [
                    {"index": 7, "label": 1, "reference": 1, "candidate": 0, "reference_confidence": 0.9,
                     "candidate_confidence": 0.8, "picture": PIXEL},
                    {"index": 8, "label": 1, "reference": 1, "candidate": 0, "reference_confidence": 0.9,
                     "candidate_confidence": 0.8, "picture": None},
                ],
            },
            "notes": ["engine: litert"],
        },
        "edgetpu": {
            "status": "ok",
            "reason": None,
            "bytes": 1300,
            "metrics": {},
            "diff": {},
            "mapping_svg": "<svg xmlns='http://www.w3.org/2000/svg'><script>alert(1)</script></svg>",
            "mapping": {
                "mapped_ops": 3, "cpu_ops": 1, "subgraphs": 1, "on_chip_bytes": 9, "off_chip_bytes": 0,
                "ops": [OPERATOR],
            },
        },
        "cloud_tpu": {
            "status": "ok",
            "reason": None,
            "bytes": 4100,
            "metrics": {},
            "diff": {},
            "compile": [
                {
                    "topology": "v5e:2x2", "ok": True, "hbm_bytes": 10, "optimal_seconds": 1e-5, "batch_size": 8,
                    "time_share": {"reduction": 0.6, "matrix unit": 0.3}, "padding_waste": 0.68,
                    "advice": ["channels 32 is padded to 128"],
                },
                {"topology": "v4:2x2x1", "ok": False, "error": "out of memory"},
            ],
        },
    },
}  # fmt: skip


class _Links(HTMLParser):
    """Collects everything that a browser would fetch or run."""

    def __init__(self) -> None:
        super().__init__()
        self.fetched: list[str] = []
        self.tags: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.fetched += [value or "" for name, value in attrs if name in ("src", "href", "srcset", "data", "action")]
        assert not [name for name, _ in attrs if name.startswith("on")]


def read(page: str) -> _Links:
    links = _Links()
    links.feed(page)
    return links


def test_the_page_fetches_nothing_and_runs_nothing() -> None:
    page = render_html(REPORT)
    links = read(page)
    assert all(address.startswith("data:image/") for address in links.fetched)
    assert {"script", "link", "iframe", "object"}.isdisjoint(links.tags)
    assert not re.search(r"url\(|@import", page)


def test_names_are_escaped() -> None:
    page = render_html(REPORT)
    assert "<b>net</b>" not in page
    assert "&lt;b&gt;net&lt;/b&gt;" in page
    assert "conv&lt;1&gt;" in page


@pytest.mark.parametrize(
    "said",
    [
        "gate failed", "3.3× smaller", "+1.23 points", "+0.40 to +2.10", "12.0 dB", "--estimator=min_max", "sample 7",
        "v5e:2x2 at batch 8: time goes to reduction 60", "channels 32 is padded to 128",
        "of them as a table", "Samples with another answer: 2", "3 operators are mapped, 1 stay on the CPU",
        "out of memory", "v5e:2x2", "engine: litert", "abab", "prefers-color-scheme: dark", "@media print",
        "width=device-width", "pruned to 50 % zeros (2 of 4, constant)", "clustered to 16 values a kernel, zeros kept",
        "quantization-aware training", "fine-tuned for 3 epochs a stage with adam", "8-bit integers, inside and",
        "bfloat16, 2 bytes a weight instead of 4", "49.5 %", "223", "900 B", "phone/model.tflite", "(of the fine-tuned",
        "estimated on v5e:2x2", "0.01 ms", "there is no command that does it again",
    ],
)  # fmt: skip
def test_the_page_says_what_the_report_holds(said: str) -> None:
    assert said in render_html(REPORT)


@pytest.mark.parametrize(
    "report",
    [
        {},
        {"targets": {}},
        {"schema_version": 1, "model": None, "reference": None, "targets": {"phone": {"status": "skipped"}}},
        {"targets": {"phone": {"status": "ok", "diff": {"accuracy_drop": None}, "layers": [{"layer": "a"}]}}},
        {"targets": {"phone": {"status": "failed", "reason": "no kernel"}}},
    ],
)
def test_what_is_unknown_is_left_out_or_a_dash(report: dict[str, Any]) -> None:
    page = render_html(report)
    assert "None" not in page
    Console(file=io.StringIO()).print(render_terminal(report))


def test_what_did_not_run_is_not_said() -> None:
    plain = {**REPORT, "recipe": {"post_training": {"scheme": "int16x8"}, "cloud_tpu": {"precision": "mixed"}}}
    plain["command"] = "tfcompress convert"
    page = render_html(plain)
    assert "16-bit activations and 8-bit weights" in page
    for absent in ("pruned to", "clustered to", "fine-tuned", "distil", "no command that does it again"):
        assert absent not in page


def test_many_files_are_counted() -> None:
    files = [f"cloud_tpu/saved_model/1/{i}" for i in range(9)]
    page = render_html({"targets": {"cloud_tpu": {**REPORT["targets"]["cloud_tpu"], "files": files}}})
    assert "9 in cloud_tpu/" in page


@pytest.mark.parametrize(
    ("number", "text"),
    [(None, "–"), (0, "0"), (999, "999"), (8.236e6, "8.24 M"), (999_700, "1000 k"), (2.5e9, "2.5 G")],
)
def test_large_amounts_are_short(number: float | None, text: str) -> None:
    assert figures.amount(number) == text


def test_without_jinja2_the_error_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "jinja2", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'tfcompress\[report\]'"):
        render_html(REPORT)


def terminal(report: dict[str, Any]) -> str:
    console = Console(width=120, record=True, file=io.StringIO())
    console.print(render_terminal(report))
    return console.export_text()


def test_the_terminal_shows_every_target_and_the_reason() -> None:
    text = terminal(REPORT)
    for said in ("Phone", "Edge TPU", "Cloud TPU", "gate failed", "+1.23", "over the limit", "--estimator=min_max"):
        assert said in text


def test_the_terminal_shows_a_diff_of_two_models_with_its_layers() -> None:
    text = terminal({"reference": REPORT["reference"], "candidate": REPORT["targets"]["phone"]})
    assert "conv<1> (Conv2D)" in text
    assert "12.0 dB" in text


def test_the_terminal_shows_what_inspect_found() -> None:
    text = terminal({"model": {"name": "net", "parameters": 12345}, "layers": [{"name": "a", "type": "Dense"}]})
    assert "12,345" in text
    assert "Dense" in text
