"""The page in a real browser, where one is installed: nothing overflows, and paper gets all of it."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.report.sample import OPERATOR, PLAIN, changed, report
from tfcompress.report import render_html

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
LARGEST_PAGE = 1_500_000
pytestmark = [pytest.mark.slow, pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed")]

# Written into a copy of the page, which itself has no script and forbids all.  The page stands in a frame, because a
# window of headless Chromium is at least 500 pixels wide, whatever it is asked for.
MEASURE = "<script>parent.postMessage(`${document.documentElement.scrollWidth} of ${innerWidth}`, '*')</script></body>"
FRAME = """<title></title><script>addEventListener('message', event => document.title = event.data)</script>
<iframe src="page.html" style="width: {width}px; height: 900px; border: 0"></iframe>"""


def chromium(*flags: str) -> str:
    command = [str(CHROMIUM), "--headless", "--no-sandbox", "--disable-gpu", *flags]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=True).stdout


def widths(page: str, width: int, folder: Path) -> tuple[int, int]:
    """Of all that is on a page, and of the window of `width` pixels that shows it; less where it has a scroll bar."""
    (folder / "page.html").write_text(page, encoding="utf-8")
    (folder / "frame.html").write_text(FRAME.format(width=width))
    address = f"file://{folder / 'frame.html'}"
    shown = chromium("--dump-dom", "--virtual-time-budget=3000", "--window-size=2100,1000", address)
    measured = re.search(r"<title>(\d+) of (\d+)</title>", shown)
    assert measured is not None
    return int(measured[1]), int(measured[2])


def long_names() -> str:
    layer = {"layer": "a_layer_with_a_very_long_name_" * 4, "type": "Conv2D", "sqnr_db": 1.0}
    return render_html(changed("phone", layers=[layer], notes=["word" * 60]))


def many() -> str:
    """Seven targets of 200 layers, with 12 named classes."""
    names = [f"a_class_called_{number}" for number in range(12)]
    confusion = [[20] * 12] * 12
    reference = {**PLAIN["reference"], "class_names": names, "confusion": confusion}
    reference["metrics"] |= {f"accuracy[{name}]": 0.5 for name in names}
    layers = [
        {"layer": f"block_{n}/conv_{n}", "type": "Conv2D", "sqnr_db": float(n), "own_sqnr_db": 40.0} for n in range(200)
    ]
    section = {**PLAIN["targets"]["phone"], "layers": layers, "confusion": confusion, "metrics": reference["metrics"]}
    chips = [{"name": f"chip_{n}", "mapped_ops": 3, "cpu_ops": 1, "ops": [OPERATOR] * 4} for n in range(3)]
    targets = {f"target_{n}": {**section, "title": f"Target number {n}", "mapping": chips} for n in range(7)}
    return render_html(report(reference=reference, targets=targets))


PAGES = {"sample": lambda: render_html(report()), "long names": long_names, "many": many}


@pytest.mark.parametrize("width", [390, 1280, 1920])
@pytest.mark.parametrize("name", PAGES)
def test_nothing_is_wider_than_the_window(tmp_path: Path, width: int, name: str) -> None:
    page = PAGES[name]()
    assert len(page) < LARGEST_PAGE
    needed, window = widths(re.sub(r"<meta http-equiv=[^>]*>", "", page).replace("</body>", MEASURE), width, tmp_path)
    assert window == width
    assert needed <= window


@pytest.mark.parametrize(("allowed", "buttons"), [(True, 1), (False, 0)])
def test_the_policy_lets_the_copy_buttons_appear_and_without_script_only_they_are_missing(
    tmp_path: Path, allowed: bool, buttons: int
) -> None:
    page = render_html(report())
    page = page if allowed else re.sub(r"script-src 'sha256-[^']*'", "script-src 'none'", page)
    (tmp_path / "page.html").write_text(page, encoding="utf-8")
    shown = chromium("--dump-dom", f"file://{tmp_path / 'page.html'}")
    assert shown.count('<button type="button">Copy</button>') == buttons
    assert "conv&lt;1&gt;" in shown


def test_the_measurement_sees_what_overflows(tmp_path: Path) -> None:
    needed, window = widths(f"<!doctype html><body><p style='width: 450px'>x</p>{MEASURE}", 390, tmp_path)
    assert window == 390
    assert needed > window


def test_the_page_prints(tmp_path: Path) -> None:
    (tmp_path / "page.html").write_text(render_html(report()), encoding="utf-8")
    chromium("--no-pdf-header-footer", f"--print-to-pdf={tmp_path / 'page.pdf'}", f"file://{tmp_path / 'page.html'}")
    content = (tmp_path / "page.pdf").read_bytes()
    assert content.startswith(b"%PDF")
    assert 2 <= len(re.findall(rb"/Type /Page\b(?!s)", content)) <= 6
