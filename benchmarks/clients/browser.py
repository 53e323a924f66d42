"""Pages in headless Chromium, with a server on this machine that hands out files and takes what a page sends back."""

from __future__ import annotations

import contextlib
import http.server
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

from benchmarks.clients.environments import tool

__all__ = ["Served", "document", "served", "visit"]

SECONDS = 180.0
_FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu-sandbox",
    "--use-angle=swiftshader",
    "--enable-unsafe-swiftshader",
)


class Served:
    """A running server.

    Attributes:
        address: of its root, without a slash at the end.
        answers: {path: body} of what pages have sent by POST.
    """

    def __init__(self, address: str) -> None:
        self.address = address
        self.answers: dict[str, bytes] = {}
        self.arrived = threading.Event()


@contextlib.contextmanager
def served(folder: Path, *, cookie: str | None = None) -> Iterator[Served]:
    """Serve a folder on a free port of the loopback interface while the block runs.

    Args:
        folder: what is served.
        cookie: given with every answer, such as a consent that a page would otherwise ask for.
    """

    class Handler(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *arguments: object) -> None:
            super().__init__(*arguments, directory=str(folder))  # type: ignore[arg-type]

        def end_headers(self) -> None:
            if cookie is not None:
                self.send_header("Set-Cookie", cookie)
            super().end_headers()

        def do_POST(self) -> None:
            place.answers[self.path] = self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(204)
            self.end_headers()
            place.arrived.set()

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    place = Served(f"http://127.0.0.1:{server.server_address[1]}")
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield place
    finally:
        server.shutdown()
        server.server_close()


def visit(place: Served, page: str) -> dict[str, bytes]:
    """Open a served page until it has sent its answer.

    Raises:
        TimeoutError: it has sent none in `SECONDS`.
    """
    with tempfile.TemporaryDirectory() as profile:
        command = [_chromium(), *_FLAGS, f"--user-data-dir={profile}", "--remote-debugging-port=0"]
        browser = subprocess.Popen(
            [*command, f"{place.address}/{page}"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        try:
            if not place.arrived.wait(SECONDS):
                raise TimeoutError(f"the page sent nothing in {SECONDS:g} seconds")
        finally:
            browser.terminate()
            browser.wait()
    return place.answers


def document(address: str, *, milliseconds: int) -> str:
    """The HTML of a page after its scripts have run for so long, in the page's own time."""
    with tempfile.TemporaryDirectory() as profile:
        command = [_chromium(), *_FLAGS, f"--user-data-dir={profile}", f"--virtual-time-budget={milliseconds}"]
        done = subprocess.run(
            [*command, "--dump-dom", address], capture_output=True, text=True, timeout=SECONDS, check=True
        )
    return done.stdout


def _chromium() -> str:
    return tool("chromium", "google-chrome", "chromium-browser")
