"""How an app has to feed a model, as far as the data that came with the model shows."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence

import numpy as np

from tfcompress.data.images import ImageSource
from tfcompress.data.preprocess import Preprocess
from tfcompress.data.samples import Samples
from tfcompress.data.sounds import SoundSource
from tfcompress.tensor_info import TensorInfo
from tfcompress.usage import Normalization, Usage

__all__ = ["normalization_of", "usage_of"]

_TOLERANCE = 1e-4  # of the scaled pixels: float32 rounding over a range of 255 steps
_PIXEL_SIDE = 8  # the least height and width of what is taken for an image


def usage_of(sets: Sequence[Samples | None], sample_rate: int | None) -> Usage:
    """What the data sets of one model tell of its use.

    Args:
        sets: in the order in which they are asked; None for one that was not given.
        sample_rate: in Hz, to which sounds are brought; None takes each as it is.
    """
    given = [samples for samples in sets if samples is not None]
    names = next((samples.class_names for samples in given if samples.class_names), ())
    scaled: dict[str, Normalization] = {}
    for samples in given:
        for position, info in enumerate(samples.inputs):
            scaling = normalization_of(samples.preprocess, info) if _gives_pixels(samples, position, info) else None
            if scaling is not None:
                scaled.setdefault(info.name, scaling)
    sounds = any(isinstance(samples.source, SoundSource) and samples.preprocess is None for samples in given)
    return Usage(names, scaled, sample_rate if sounds else None)


def normalization_of(preprocess: Preprocess | None, info: TensorInfo) -> Normalization | None:
    """The formula that a preprocessing function is on pixels; None where it is none.

    The function is tried on black, on white and on a random image: it has to map the last by the line, one per channel,
    that the first two give.  So a function that swaps the channels or looks at the whole image is found out.

    Args:
        preprocess: maps one image, float32 of 0 to 255, to the model's input; None leaves it as it is.
        info: the input.
    """
    if preprocess is None:
        return Normalization((0.0,), (1.0,))
    shape = info.sizes(open_size=32)
    random = np.random.default_rng(0).integers(0, 256, shape).astype(np.float32)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            black, white, mapped = (
                np.asarray(preprocess(image.copy()), np.float32)
                for image in (np.zeros(shape, np.float32), np.full(shape, 255, np.float32), random)
            )
    except Exception:  # the user's own function, on an image that is not of the user's data
        return None
    if not black.shape == white.shape == mapped.shape == shape:
        return None
    channels = shape[-1]
    slope = (white - black).reshape(-1, channels)[0] / 255
    offset = black.reshape(-1, channels)[0]
    if not (np.isfinite(slope).all() and (slope > 0).all()):
        return None
    if not np.allclose(random * slope + offset, mapped, rtol=0, atol=_TOLERANCE * float(slope.max()) * 255):
        return None
    mean, std = tuple((-offset / slope).tolist()), tuple((1 / slope).tolist())
    return Normalization(mean[:1], std[:1]) if len({*zip(mean, std, strict=True)}) == 1 else Normalization(mean, std)


def _gives_pixels(samples: Samples, position: int, info: TensorInfo) -> bool:
    """Whether the raw values of an input are pixels of 0 to 255: image files, or uint8 in an image's shape."""
    height, width, channels = (*info.shape[1:], None, None, None)[:3]
    if len(info.shape) != 4 or channels not in (1, 3) or min(height or 32, width or 32) < _PIXEL_SIDE:
        return False
    if isinstance(samples.source, ImageSource):
        return True
    given = next(iter(samples.source.samples())).inputs
    value = given.get(info.name) if isinstance(given, Mapping) else given[position] if position < len(given) else None
    return value is not None and np.asarray(value).dtype == np.uint8
