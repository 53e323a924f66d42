"""The stand-in for Ethos-U in the accuracy diff: LiteRT's reference kernels on the int8 file that Vela compiled.

Arm's promise is that the NPU gives what TensorFlow Lite's reference kernels give, bit by bit.  So this proves the
accuracy of the quantized model as the NPU computes it, if the promise holds; it does not execute the command stream.
LiteRT's set of reference kernels lacks some operators that Vela has (ELU in int8); a file with such a one runs on
LiteRT's optimised kernels without XNNPACK.
"""

from __future__ import annotations

from tfcompress.accuracy_diff.litert_runner import LiteRtRunner

__all__ = ["reference_runner"]


def reference_runner(content: bytes, *, name: str) -> LiteRtRunner:
    """A runner of an int8 .tflite with the reference kernels.

    Args:
        content: the file that Vela was given.
        name: for messages.
    """
    return LiteRtRunner(content, name=name, reference=True)
