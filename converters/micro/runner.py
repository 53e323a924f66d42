"""Runs the micro artifact for the accuracy diff: TFLM's interpreter, one sample at a time, in a process of its own.

Where TFLM is not to be had, LiteRT's reference kernels stand in, which TFLM's are made from.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from tfcompress.accuracy_diff.litert_runner import LiteRtRunner
from tfcompress.converters.micro.proof import micro_version, new_worker

__all__ = ["MicroRunner", "runner_of"]


class MicroRunner(LiteRtRunner):
    """A .tflite in TFLM; what lies between its layers, LiteRT's reference kernels tell.

    Args:
        content: the file.
        name: for messages.

    Raises:
        ConversionError: TFLM cannot run it.
    """

    def __init__(self, content: bytes, *, name: str) -> None:
        super().__init__(content, name=name, workers=1, reference=True)
        self._worker = new_worker(content)

    def _can_batch(self, interpreter: Any, stored: Mapping[str, np.ndarray]) -> bool:
        return False

    def _invoke(self, interpreter: Any, stored: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        inputs = [np.ascontiguousarray(stored[info.name]) for info in self.inputs]
        results = self._worker.run(0, inputs)
        return dict(zip((info.name for info in self.outputs), results, strict=True))


def runner_of(content: bytes, *, name: str) -> LiteRtRunner:
    """TFLM where it is installed, else LiteRT's reference kernels."""
    if micro_version() is None:
        return LiteRtRunner(content, name=f"{name} (LiteRT's reference kernels)", reference=True)
    return MicroRunner(content, name=f"{name} (TensorFlow Lite Micro)")
