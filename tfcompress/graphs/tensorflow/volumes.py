"""Convolution and pooling of volumes, written as those of pictures.

TFLite pools no volumes, and convolves them in float alone.  A window of a volume is a window of depths times one of
rows and columns: pooling is done along one and then along the other, and a convolution is one of pictures whose
channels are those of all the depths that the kernel reaches.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from tfcompress.graphs.keras.protocols import Tensor
from tfcompress.graphs.tensorflow.private_names import volume_operators
from tfcompress.runtime import tf

__all__ = ["Depths", "volumes_as_pictures"]

_Operator = Callable[..., Tensor]


@dataclass(frozen=True)
class Depths:
    """Which depths of a volume a kernel meets.

    Attributes:
        count: depths of the result.
        before: depths of zeros in front of the volume.
        after: depths of zeros behind it.
        slices: of the padded volume's depths, one for each depth of the kernel; `count` long each.
    """

    count: int
    before: int
    after: int
    slices: tuple[slice, ...]

    @property
    def padded(self) -> bool:
        """Whether there are zeros in front or behind."""
        return self.before + self.after > 0

    @classmethod
    def of(cls, depth: int, reach: int, stride: int, dilation: int, *, same: bool) -> Depths:
        """For a volume of `depth` and a kernel of `reach`; `same` pads as TensorFlow's ``SAME``."""
        span = (reach - 1) * dilation + 1
        count = math.ceil(depth / stride) if same else (depth - span) // stride + 1
        missing = max((count - 1) * stride + span - depth, 0) if same else 0
        last = (count - 1) * stride + 1
        slices = tuple(slice(start, start + last, stride) for start in range(0, span, dilation))
        return cls(count, missing // 2, missing - missing // 2, slices)


@contextlib.contextmanager
def volumes_as_pictures() -> Iterator[None]:
    """Within, what is traced has Conv2D, MaxPool and AvgPool in the place of Conv3D, MaxPool3D and AvgPool3D.

    Those of open sizes, with the channels first, or in groups stay as they are; `tf.nn` writes dilation out itself.
    """
    replacements: dict[str, Callable[[_Operator], _Operator]] = {
        "conv3d": _convolution,
        "max_pool3d": lambda original: _pooling(original, tf.nn.max_pool2d),
        "avg_pool3d": lambda original: _pooling(original, tf.nn.avg_pool2d),
    }
    with contextlib.ExitStack() as stack:
        for name, replacement in replacements.items():
            original = getattr(volume_operators, name)
            stack.callback(setattr, volume_operators, name, original)
            setattr(volume_operators, name, replacement(original))
        yield


def _has_fixed_sizes(volume: Tensor, data_format: object) -> bool:
    return data_format == "NDHWC" and volume.shape.rank == 5 and None not in volume.shape.as_list()[1:]


def _pooling(original: _Operator, pool: _Operator) -> _Operator:
    """Pooling of rows and columns, then of depths.

    The largest of the largest is the largest; and with one count for all depths of a window, the mean of the means is
    the mean, also where padding is left out of both counts.
    """

    def pooled(
        input: Tensor, ksize: Sequence[int], strides: Sequence[int], padding: str, data_format: str = "NDHWC",
        name: str | None = None,
    ) -> Tensor:  # fmt: skip
        if not _has_fixed_sizes(input, data_format):
            return original(input, ksize, strides, padding, data_format=data_format, name=name)
        _, depth, rows, columns, channels = input.shape.as_list()
        pictures = tf.reshape(input, [-1, rows, columns, channels])
        flat = pool(pictures, list(ksize[2:4]), list(strides[2:4]), padding)
        _, rows, columns, _ = flat.shape.as_list()
        upright = tf.reshape(flat, [-1, depth, rows * columns, channels])
        deep = pool(upright, [ksize[1], 1], [strides[1], 1], padding)
        return tf.reshape(deep, [-1, deep.shape[1], rows, columns, channels])

    return pooled


def _convolution(original: _Operator) -> _Operator:
    """A convolution of pictures, whose channels are those of each depth that the kernel reaches, side by side."""

    def convolved(
        input: Tensor, filter: Tensor, strides: Sequence[int], padding: str, data_format: str = "NDHWC",
        dilations: Sequence[int] | None = None, name: str | None = None,
    ) -> Tensor:  # fmt: skip
        kernel, apart = tf.convert_to_tensor(filter), list(dilations or (1, 1, 1, 1, 1))
        if not _has_fixed_sizes(input, data_format) or kernel.shape[3] != input.shape[4]:
            return original(input, filter, strides, padding, data_format=data_format, dilations=apart, name=name)
        reach, *size, channels, filters = kernel.shape.as_list()
        stacked = _stacked_depths(input, reach, strides[1], apart[1], padding)
        _, depth, rows, columns, _ = stacked.shape.as_list()
        pictures = tf.reshape(stacked, [-1, rows, columns, reach * channels])
        flat = tf.reshape(tf.transpose(kernel, [1, 2, 0, 3, 4]), [*size, reach * channels, filters])
        result = tf.nn.conv2d(pictures, flat, list(strides[2:4]), padding, dilations=apart[2:4])
        return tf.reshape(result, [-1, depth, *result.shape.as_list()[1:]])

    return convolved


def _stacked_depths(volume: Tensor, reach: int, stride: int, dilation: int, padding: str) -> Tensor:
    """[batch, depths of the result, rows, columns, reach * channels]: what the kernel meets at each depth."""
    _, depth, rows, columns, channels = volume.shape.as_list()
    depths = Depths.of(depth, reach, stride, dilation, same=padding == "SAME")
    flat = tf.reshape(volume, [-1, depth, rows * columns, channels])
    if depths.padded:
        flat = tf.pad(flat, [[0, 0], [depths.before, depths.after], [0, 0], [0, 0]])
    parts = [flat[:, part] for part in depths.slices]
    return tf.reshape(tf.concat(parts, axis=3), [-1, depths.count, rows, columns, reach * channels])
