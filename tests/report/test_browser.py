"""The page in a real browser, where one is installed: nothing overflows, and paper gets all of it."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.report.sample import changed, report
from tfcompress.report import render_html

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
pytestmark = [pytest.mark.slow, pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed")]

# Written into a copy of the page, which itself has no script and forbids all.
MEASURE = "<script>document.title = document.documentElement.scrollWidth + ' of ' + window.innerWidth</script></body>"


def chromium(*flags: str) -> str:
    command = [str(CHROMIUM), "--headless", "--no-sandbox", "--disable-gpu", *flags]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=True).stdout


def long_names() -> str:
    layer = {"layer": "a_layer_with_a_very_long_name_" * 4, "type": "Conv2D", "sqnr_db": 1.0}
    return render_html(changed("phone", layers=[layer], notes=["word" * 60]))


@pytest.mark.parametrize("width", [390, 1280])
@pytest.mark.parametrize("long", [False, True])
def test_nothing_is_wider_than_the_window(tmp_path: Path, width: int, long: bool) -> None:
    page = long_names() if long else render_html(report())
    page = re.sub(r"<meta http-equiv=[^>]*>", "", page).replace("</body>", MEASURE)
    (tmp_path / "page.html").write_text(page, encoding="utf-8")
    shown = chromium("--dump-dom", f"--window-size={width},900", f"file://{tmp_path / 'page.html'}")
    found = re.search(r"<title>(\d+) of (\d+)</title>", shown)
    assert found is not None
    assert int(found[1]) <= int(found[2])


def test_the_measurement_sees_what_overflows(tmp_path: Path) -> None:
    (tmp_path / "page.html").write_text(f"<title></title><body><p style='width: 3000px'>x</p>{MEASURE}")
    found = re.search(r"<title>(\d+) of (\d+)</title>", chromium("--dump-dom", f"file://{tmp_path / 'page.html'}"))
    assert found is not None
    assert int(found[1]) > int(found[2])


def test_the_page_prints(tmp_path: Path) -> None:
    (tmp_path / "page.html").write_text(render_html(report()), encoding="utf-8")
    chromium("--no-pdf-header-footer", f"--print-to-pdf={tmp_path / 'page.pdf'}", f"file://{tmp_path / 'page.html'}")
    content = (tmp_path / "page.pdf").read_bytes()
    assert content.startswith(b"%PDF")
    assert 2 <= len(re.findall(rb"/Type /Page\b(?!s)", content)) <= 6
