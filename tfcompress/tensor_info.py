"""What is known of a model's input or output without running it."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["TensorInfo"]


@dataclass(frozen=True)
class TensorInfo:
    """One input or output of a model.

    Attributes:
        name: the Keras name, unique among the model's inputs (or outputs).
        shape: with the batch dimension first; None where a size is not fixed.
        dtype: a numpy dtype name such as ``float32``.
    """

    name: str
    shape: tuple[int | None, ...]
    dtype: str
