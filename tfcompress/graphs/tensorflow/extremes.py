"""Places of the largest and smallest values, which Keras 3 looks for bit by bit.

``keras.ops.argmax`` and ``argmin`` tell -0.0 from 0.0 by the numbers' bits, for which TFLite has no operators.  Of
values that are equal in every other respect the first one is as good an answer.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

from tfcompress.graphs.keras.protocols import Tensor
from tfcompress.graphs.tensorflow.private_names import array_operations
from tfcompress.runtime import tf

__all__ = ["plain_places_of_extremes"]

_Place = Callable[..., Tensor]


@contextlib.contextmanager
def plain_places_of_extremes() -> Iterator[None]:
    """Within, what is traced has ``tf.argmax`` and ``tf.argmin`` in the place of those of ``keras.ops``."""
    with contextlib.ExitStack() as stack:
        for name, plain in (("argmax", tf.argmax), ("argmin", tf.argmin)):
            stack.callback(setattr, array_operations, name, getattr(array_operations, name))
            setattr(array_operations, name, _replacement(plain))
        yield


def _replacement(plain: _Place) -> _Place:
    def place(x: Tensor, axis: int | None = None, keepdims: bool = False) -> Tensor:
        values = tf.convert_to_tensor(x)
        if axis is not None:
            best = plain(values, axis=axis, output_type=tf.int32)
            return tf.expand_dims(best, axis) if keepdims else best
        best = plain(tf.reshape(values, [-1]), axis=0, output_type=tf.int32)
        return tf.reshape(best, [1] * values.shape.rank) if keepdims else best

    return place
