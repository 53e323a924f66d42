"""``python -m tfcompress`` is the `tfcompress` script."""

from tfcompress.cli import run

run()
