"""What is known of a model's input or output without running it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

__all__ = ["TensorInfo", "have_open_sizes"]


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

    @property
    def has_open_sizes(self) -> bool:
        """Whether a size other than the batch is not fixed."""
        return None in self.shape[1:]

    def sizes(self, open_size: int = 1) -> tuple[int, ...]:
        """The shape of one sample, with `open_size` where a size is not fixed."""
        return tuple(open_size if size is None else size for size in self.shape[1:])

    def of_sample_shape(self, sizes: Sequence[int]) -> TensorInfo:
        """The same with these sizes behind the batch."""
        return replace(self, shape=(self.shape[0], *sizes))


def have_open_sizes(infos: Iterable[TensorInfo]) -> bool:
    """Whether any of several inputs has a size, other than the batch, that is not fixed."""
    return any(info.has_open_sizes for info in infos)
