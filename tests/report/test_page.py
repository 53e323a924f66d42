"""The page and the terminal's tables: complete, escaped, self-contained, and robust to a thin report."""

import base64
import hashlib
import io
import re
import sys
from dataclasses import replace
from html.parser import HTMLParser
from typing import Any

import pytest
from rich.console import Console

from tests.report.sample import PLAIN, changed, report, with_targets
from tfcompress.errors import MissingExtraError
from tfcompress.report import DiffReport, Report, figures, render_html, render_inspection, render_terminal
from tfcompress.report.html import environment
from tfcompress.report.schema import CompileSection, Model


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


def test_the_page_fetches_nothing() -> None:
    page = render_html(report())
    links = read(page)
    local = ("data:image/", "#", "phone/")
    assert all(address.startswith(local) for address in links.fetched)
    assert {"link", "iframe", "object", "form"}.isdisjoint(links.tags)
    assert not re.search(r"url\(|@import", page)


def test_the_only_script_is_ours_and_every_other_is_forbidden() -> None:
    page = render_html(report())
    scripts = re.findall(r"<script>(.*?)</script>", page, re.S)
    assert len(scripts) == 1
    digest = base64.b64encode(hashlib.sha256(scripts[0].encode()).digest()).decode()
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', page)
    assert policy is not None
    assert policy[1].startswith("default-src 'none'")
    assert f"script-src 'sha256-{digest}'" in policy[1]


def test_a_file_is_a_link_that_stays_in_the_folder() -> None:
    page = render_html(changed("phone", files=["phone/a b.tflite", "javascript:alert(1)"]))
    assert '<a href="phone/a%20b.tflite">phone/a b.tflite</a>' in page
    assert 'href="javascript:' not in page


def test_every_part_is_in_the_contents() -> None:
    page = render_html(report())
    parts = re.findall(r'<section id="([^"]*)"', page)
    assert parts == re.findall(r'<li><a href="#([^"]*)">', page)
    assert {"summary", "accuracy", "layers", "flips", "target-edgetpu", "reproduce"} <= set(parts)


def test_the_operators_that_take_longest_come_first_with_their_layers() -> None:
    page = render_html(report())
    rows = re.findall(r"<tr><td>(CONV_2D|PRELU)</td><td class=.layer.>([^<]*)</td>", page)
    assert rows == [("PRELU", "bend"), ("CONV_2D", "conv&lt;1&gt;")]
    assert "it has no PRELU of int8" in page
    assert "Where the time goes" not in render_html(changed("phone", operator_times=[]))


def test_names_are_escaped() -> None:
    page = render_html(report())
    assert "<b>net</b>" not in page
    assert "&lt;b&gt;net&lt;/b&gt;" in page
    assert "conv&lt;1&gt;" in page


def test_control_characters_in_names_are_spelt_out() -> None:
    plain = report()
    page = render_html(replace(plain, model=replace(plain.model, name="net\x1b[31m\u202e")))
    assert r"net\x1b[31m\u202e" in page
    assert "\x1b" not in page
    assert "\u202e" not in page


@pytest.mark.parametrize(
    "said",
    [
        "gate failed", "3.3× smaller", "−1.23 points", "−2.10 to −0.40", "12.0 dB", "--estimator=min_max", "sample 7",
        "v5e:2x2 at batch 8: time goes to reduction 60", "channels 32 is padded to 128",
        "of them as a table", "Samples with another answer", "3 operators are mapped, 1 stay on the CPU",
        "out of memory", "v5e:2x2", "engine: litert", "abab", "prefers-color-scheme: dark", "@media print",
        "width=device-width", "pruned to 50 % zeros (2 of 4, constant)", "not pruned: conv_1",
        "bfloat16, 2 bytes per weight instead of 4", "49.5 %", "223", "900 B", "phone/model.tflite",
        "(of the fine-tuned",
        "0.01 ms", "there is no command that does it again",
    ],
)  # fmt: skip
def test_the_page_says_what_the_report_holds(said: str) -> None:
    assert said in render_html(report())


@pytest.mark.parametrize(
    "thin",
    [
        Report(model=Model(name="net")),
        with_targets(phone={"status": "skipped"}),
        with_targets(phone={"status": "ok", "layers": [{"layer": "a"}]}),
        with_targets(phone={"status": "failed", "reason": "no kernel"}),
        with_targets(npu={"status": "ok", "mapping": [{"name": "u65", "mapped_ops": 1, "cpu_ops": 0}]}),
    ],
)
def test_what_is_unknown_is_left_out_or_a_dash(thin: Report) -> None:
    assert "None" not in render_html(thin)
    Console(file=io.StringIO()).print(render_terminal(thin))


def test_a_name_in_the_template_that_nothing_produces_is_an_error() -> None:
    from jinja2 import UndefinedError

    with pytest.raises(UndefinedError, match="sparsness"):
        environment().from_string("{{ report.model.sparsness }}").render(report=report())


def test_an_undecided_gate_is_a_state_of_its_own() -> None:
    page = render_html(with_targets(edgetpu=PLAIN["targets"]["edgetpu"]))
    assert '<span class="badge undecided">undecided</span>' in page
    assert 'class="badge ok"' not in page


def test_the_latency_on_the_card_is_the_accelerators_not_this_machines() -> None:
    page = render_html(with_targets(edgetpu=PLAIN["targets"]["edgetpu"]))
    assert "2.5 ms (2 to 4)" in page
    assert "latency here" not in page
    unknown = {**PLAIN["targets"]["edgetpu"]["mapping"], "latency_ms": None}
    card = render_html(with_targets(edgetpu={**PLAIN["targets"]["edgetpu"], "mapping": unknown})).split("</dl>")[0]
    assert "0.123" not in card


def test_a_gain_is_not_a_negative_drop() -> None:
    gain = {**PLAIN["targets"]["phone"]["diff"], "accuracy_drop": -0.0123, "accuracy_drop_ci95": [-0.02, 0.01]}
    page = render_html(changed("phone", diff=gain))
    assert "+1.23 points" in page
    assert "−1.00 to +2.00" in page
    assert "drop</dt>" not in page


def test_figures_that_only_a_target_knows_are_shown_without_knowing_the_target() -> None:
    rows = [{"label": "arena", "value": "93 kB", "summary": True}, {"label": "kernels", "value": "7"}]
    page = render_html(with_targets(micro={"status": "ok", "title": "Microcontroller", "rows": rows}))
    for said in ("Microcontroller", "arena", "93 kB", "kernels"):
        assert said in page


def test_what_did_not_run_is_not_said() -> None:
    page = render_html(report(compression={"steps": ["phone: 16-bit activations"]}, command="tfcompress convert"))
    assert "16-bit activations" in page
    for absent in ("pruned to", "of the fine-tuned", "no command that does it again"):
        assert absent not in page


def test_many_files_are_folded() -> None:
    files = [f"cloud_tpu/saved_model/1/{i}" for i in range(9)]
    assert "<details><summary>9 files</summary>" in render_html(changed("cloud_tpu", files=files))


def test_what_to_do_next_follows_from_the_verdict_and_the_target() -> None:
    compiled = [{"text": "Compile it:", "command": "edgetpu_compiler <file>"}]
    page = render_html(changed("edgetpu", next_steps=compiled, files=["edgetpu/USE.md"]))
    for said in ("Convert again with --suggest", "more labelled samples as --evaluation", "edgetpu/USE.md"):
        assert said in page
    assert '<pre class="copy">edgetpu_compiler &lt;file&gt;</pre>' in page


@pytest.mark.parametrize(
    ("number", "text"),
    [(None, "–"), (0, "0"), (999, "999"), (8.236e6, "8.24 M"), (999_700, "1000 k"), (2.5e9, "2.5 G")],
)
def test_large_amounts_are_short(number: float | None, text: str) -> None:
    assert figures.amount(number) == text


def test_without_jinja2_the_error_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "jinja2", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'tfcompress\[report\]'"):
        render_html(report())


def terminal(shown: Any) -> str:
    console = Console(width=120, record=True, file=io.StringIO())
    console.print(shown)
    return console.export_text()


def test_the_terminal_shows_every_target_and_the_reason() -> None:
    text = terminal(render_terminal(report()))
    for said in ("Phone", "Edge TPU", "Cloud TPU", "gate failed", "−1.23", "over the limit", "--estimator=min_max"):
        assert said in text
    row = next(line for line in text.splitlines() if "Edge TPU" in line)
    assert "undecided" in row


def test_a_ratio_that_rounds_to_nothing_has_no_sign() -> None:
    assert [figures.decibel(number) for number in (-0.04, 0.04, -0.06, None)] == ["0.0 dB", "0.0 dB", "-0.1 dB", "–"]


def test_page_and_terminal_are_silent_about_targets_that_nobody_asked_for() -> None:
    of_a_phone = changed("edgetpu", status="skipped", reason="not asked for")
    for shown in (terminal(render_terminal(of_a_phone)), render_html(of_a_phone)):
        assert "Phone" in shown
        assert "Edge TPU" not in shown


def test_the_terminal_shows_a_diff_of_two_models_with_its_layers() -> None:
    phone = PLAIN["targets"]["phone"]
    candidate = {key: phone[key] for key in ("status", "reason", "metrics", "diff", "gate", "layers", "causes")}
    diff = DiffReport.from_plain({"reference": PLAIN["reference"], "candidate": candidate})
    text = terminal(render_terminal(diff))
    assert "conv<1> (Conv2D)" in text
    assert "12.0 dB" in text


def test_the_terminal_shows_what_inspect_found() -> None:
    facts = {"model": {"name": "net", "parameters": 12345}, "layers": [{"name": "a", "type": "Dense"}]}
    text = terminal(render_inspection(facts))
    assert "12,345" in text
    assert "Dense" in text
    mapping = report().targets["edgetpu"].mapping
    assert "3 of 4 operators on the Edge TPU" in terminal(render_inspection({"mapping": mapping}))
    assert "compiles" in terminal(render_inspection({"compile": [CompileSection(topology="v5e:2x2", ok=True)]}))


def test_the_page_says_why_no_command_does_it_again() -> None:
    why = "preprocess: given as Python values, which no command line can name"
    assert f"<p>{why}: there is no command that does it again." in render_html(report(no_command=why))


def test_a_program_over_several_devices_says_how_it_is_laid_out_and_what_they_exchange() -> None:
    collectives = {"all-reduce": {"count": 3, "bytes": 12_000_000}}
    sharded = {"ok": True, "batch_size": 8, "figures": {"collectives": collectives}, "devices": 4}
    rows = [
        {"topology": "v5e:2x2", "sharding": "tensor", **sharded},
        {"topology": "v5e:2x2", "sharding": "data", **sharded, "figures": {"collectives": {}}},
        {"topology": "v4:2x2x1", "ok": True, "batch_size": 8},
    ]
    page = render_html(changed("cloud_tpu", compile=rows))
    assert '<td class="topology">v5e:2x2, tensor over 4</td>' in page
    assert '<td class="topology">v4:2x2x1</td>' in page
    assert "v5e:2x2, tensor over 4: each device exchanges 3 all-reduce of 12 MB in a call" in page
    assert "v5e:2x2, data over 4: the devices tell each other nothing" in page
    assert "v4:2x2x1: " not in page
