"""The commands and programs of documents, taken out and run as they stand."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

__all__ = ["DOCS", "ROOT", "code_blocks", "run_blocks"]

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs/pages"


def code_blocks(text: str, language: str) -> list[str]:
    """What stands between fences of a language, in order."""
    return re.findall(rf"^```{language}\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL)


def run_blocks(text: str, folder: Path) -> int:
    """Run a document's bash and Python blocks in one folder, in their order, and return how many there were.

    What only some machines can run stands in fences of other languages, such as sh.

    Args:
        text: the document.
        folder: in which everything runs, as on a reader's machine, with our command on the PATH.
    """
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    blocks = re.findall(r"^```(bash|python)\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL)
    for language, block in blocks:
        command = ["bash", "-euc", block] if language == "bash" else [sys.executable, "-c", block]
        done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, f"{block}\n{done.stderr}"
    return len(blocks)
