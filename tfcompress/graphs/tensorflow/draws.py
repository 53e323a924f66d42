"""Random numbers that a model draws at inference, replaced by their mean or by tensors that are given.

A variational autoencoder's sampling layer (Kingma and Welling 2014) draws at inference too.  No accelerator draws, and
two runs that draw differ from each other; the expected value is what such a model is used with.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from tfcompress.graphs.keras.protocols import Tensor
from tfcompress.graphs.tensorflow.private_names import random_operators
from tfcompress.runtime import tf

__all__ = ["Draw", "DrawKind", "draws_replaced"]

DrawKind = Literal["normal", "uniform", "choice"]


@dataclass(frozen=True)
class Draw:
    """One place where a model draws.

    Attributes:
        kind: ``normal`` of mean 0 and deviation 1, be it truncated; ``uniform`` from 0 to 1; or a ``choice`` of whole
            numbers, for which the middle or the likeliest stands.
        shape: of the numbers; None for a size, or altogether, that is not known before the model runs.
        dtype: their type's name.
    """

    kind: DrawKind
    shape: tuple[int | None, ...] | None
    dtype: str


def _draw(kind: DrawKind, like: Tensor) -> Draw:
    # The operator's own rules know more of the shape than `tf.get_static_value` does.
    return Draw(kind, None if like.shape.rank is None else tuple(like.shape.as_list()), like.dtype.name)


@contextlib.contextmanager
def draws_replaced(given: Sequence[Tensor] = ()) -> Iterator[list[Draw]]:
    """Within, TensorFlow's random operators, in both Kerases too, give `given`, or else the mean of what they draw.

    Args:
        given: for the draws of the kinds normal and uniform, in the order in which they are made; a draw beyond these
            gives 0, 0.5, the middle of the whole numbers or the likeliest class.

    Yields:
        The draws, as they come.
    """
    draws: list[Draw] = []
    waiting = list(given)

    def numbers(kind: DrawKind, mean: float) -> Callable[..., Tensor]:
        def drawn(shape: Tensor, dtype: object = tf.float32, **_: object) -> Tensor:
            means = tf.fill(shape, tf.cast(mean, dtype))
            draws.append(_draw(kind, means))
            return tf.cast(tf.reshape(waiting.pop(0), shape), dtype) if waiting else means

        return drawn

    def whole_number(shape: Tensor, minval: Tensor, maxval: Tensor, **_: object) -> Tensor:
        middles = tf.fill(shape, tf.math.floordiv(minval + maxval - 1, 2))
        draws.append(_draw("choice", middles))
        return middles

    def likeliest(logits: Tensor, num_samples: Tensor, *_: object, output_dtype: object, **__: object) -> Tensor:
        best = tf.argmax(logits, axis=-1, output_type=output_dtype)[:, tf.newaxis]
        draws.append(_draw("choice", best))
        return tf.tile(best, [1, num_samples])

    replacements = {
        "normal": numbers("normal", 0.0),
        "uniform": numbers("uniform", 0.5),
        "whole": whole_number,
        "class": likeliest,
    }
    with contextlib.ExitStack() as stack:
        for module, name, kind in random_operators():
            stack.callback(setattr, module, name, getattr(module, name))
            setattr(module, name, replacements[kind])
        yield draws
