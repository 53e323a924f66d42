"""Interpreters for files from strangers, made in one way inside the cage and outside of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tfcompress.errors import ModelError, one_line

__all__ = ["tflite_interpreter"]


def tflite_interpreter(path: Path | str, content: bytes) -> Any:
    """A LiteRT interpreter with its tensors allocated.

    Raises:
        ModelError: LiteRT cannot run it.
    """
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    cause = ""
    # XNNPACK refuses some ratios of scales that LiteRT's own kernels compute.
    for resolver in (OpResolverType.AUTO, OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES):
        try:
            interpreter = Interpreter(model_content=content, num_threads=1, experimental_op_resolver_type=resolver)
            interpreter.allocate_tensors()
        except (ValueError, RuntimeError) as error:
            cause = one_line(error) or "its tensors cannot be set up"
        else:
            return interpreter
    raise ModelError(f"{path}: LiteRT cannot run it: {cause}")
