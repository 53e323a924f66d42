"""How long `import tfcompress` and `tfcompress --help` take, against importing TensorFlow."""

from __future__ import annotations

import subprocess
import sys
import time
from typing import Any


def seconds(*arguments: str) -> float:
    """The best of five runs of a fresh interpreter."""
    times = []
    for _ in range(5):
        start = time.perf_counter()
        subprocess.run([sys.executable, *arguments], check=True, capture_output=True)
        times.append(time.perf_counter() - start)
    return min(times)


def measure() -> list[dict[str, Any]]:
    """Two rows."""
    other = seconds("-c", "import tensorflow")
    commands = {"start_import": ("-c", "import tfcompress"), "start_help": ("-m", "tfcompress", "--help")}
    rows = []
    for name, arguments in commands.items():
        ours = seconds(*arguments)
        rows.append(
            {
                "name": name,
                "ours": ours,
                "other": other,
                "other_name": "import tensorflow",
                "unit": "s",
                "ratio": ours / other,
            }
        )
    return rows
