"""Small networks to train as students: MobileNetV2 and ShuffleNetV2, for any image size.

MobileNetV2: Sandler et al. 2018, table 2.  ShuffleNetV2: Ma et al. 2018, table 5, the 0.5x network at width 0.5.  On
images of at most 64 pixels the first two reductions are left out, as the papers' own CIFAR variants do.
"""

from __future__ import annotations

from collections.abc import Callable

from tfcompress.graphs.keras.protocols import Tensor
from tfcompress.runtime import tf_keras

__all__ = ["FAMILIES", "backbone_of"]

_L = tf_keras.layers

# Expansion, channels, repeats, stride of each row of the MobileNetV2 table.
_MOBILENET_V2 = (
    (1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1),
)  # fmt: skip
# Channels and repeats of each stage of the ShuffleNetV2 table, at width 1.
_SHUFFLENET_V2 = ((116, 4), (232, 8), (464, 4))
_SMALL_SIDE = 64


def backbone_of(family: str, width: float) -> Callable[[Tensor], Tensor]:
    """The network of a family up to its last map, as a function of an image tensor [batch, height, width, channels]."""
    return lambda image: FAMILIES[family](image, width)


def _rounded(channels: float) -> int:
    """A multiple of 8, not more than a tenth below (as both papers' reference code)."""
    rounded = max(8, int(channels + 4) // 8 * 8)
    return rounded + 8 if rounded < 0.9 * channels else rounded


def _normalised(x: Tensor, name: str, *, active: bool = True) -> Tensor:
    x = _L.BatchNormalization(name=f"{name}_bn")(x)
    return _L.ReLU(6.0, name=f"{name}_relu")(x) if active else x


def _conv(x: Tensor, channels: int, name: str, *, size: int = 1, stride: int = 1, active: bool = True) -> Tensor:
    x = _L.Conv2D(channels, size, strides=stride, padding="same", use_bias=False, name=name)(x)
    return _normalised(x, name, active=active)


def _depthwise(x: Tensor, stride: int, name: str, *, active: bool) -> Tensor:
    x = _L.DepthwiseConv2D(3, strides=stride, padding="same", use_bias=False, name=name)(x)
    return _normalised(x, name, active=active)


def _is_small(image: Tensor) -> bool:
    return image.shape[1] is not None and int(image.shape[1]) <= _SMALL_SIDE


def _mobilenet_v2(image: Tensor, width: float) -> Tensor:
    small = _is_small(image)
    x = _conv(image, _rounded(32 * width), "stem", size=3, stride=1 if small else 2)
    for row, (expansion, channels, repeats, stride) in enumerate(_MOBILENET_V2):
        for repeat in range(repeats):
            step = stride if repeat == 0 and not (small and row == 1) else 1
            x = _inverted_residual(x, expansion, _rounded(channels * width), step, f"block_{row}_{repeat}")
    return _conv(x, _rounded(1280 * max(1.0, width)) if not small else _rounded(640 * width), "last")


def _inverted_residual(x: Tensor, expansion: int, channels: int, stride: int, name: str) -> Tensor:
    inside = int(x.shape[-1])
    y = _conv(x, expansion * inside, f"{name}_expand") if expansion > 1 else x
    y = _conv(_depthwise(y, stride, f"{name}_depthwise", active=True), channels, f"{name}_project", active=False)
    return _L.Add(name=f"{name}_add")([x, y]) if stride == 1 and inside == channels else y


def _shufflenet_v2(image: Tensor, width: float) -> Tensor:
    small = _is_small(image)
    x = _conv(image, _rounded(24 * width), "stem", size=3, stride=1 if small else 2)
    if not small:
        x = _L.MaxPooling2D(3, strides=2, padding="same", name="stem_pool")(x)
    for stage, (channels, repeats) in enumerate(_SHUFFLENET_V2):
        half = _rounded(channels * width / 2)
        for repeat in range(repeats):
            x = _shuffle_unit(x, half, repeat == 0, f"stage_{stage}_{repeat}")
    return _conv(x, _rounded(1024 * width), "last")


def _shuffle_unit(x: Tensor, half: int, reduces: bool, name: str) -> Tensor:
    """Figure 3 (c) and (d) of the paper: half of the channels pass, and the halves are interleaved."""
    if reduces:
        first = _conv(_depthwise(x, 2, f"{name}_first_depthwise", active=False), half, f"{name}_first")
        second = x
    else:
        first, second = x[:, :, :, :half], x[:, :, :, half:]
    second = _conv(second, half, f"{name}_in")
    second = _depthwise(second, 2 if reduces else 1, f"{name}_depthwise", active=False)
    joined = _L.Concatenate(name=f"{name}_concat")([first, _conv(second, half, f"{name}_out")])
    height, width = joined.shape[1:3]
    paired = _L.Reshape((height, width, 2, half), name=f"{name}_pairs")(joined)
    shuffled = _L.Permute((1, 2, 4, 3), name=f"{name}_shuffle")(paired)
    out: Tensor = _L.Reshape((height, width, 2 * half), name=f"{name}_shuffled")(shuffled)
    return out


FAMILIES: dict[str, Callable[[Tensor, float], Tensor]] = {
    "mobilenet_v2": _mobilenet_v2,
    "shufflenet_v2": _shufflenet_v2,
}
