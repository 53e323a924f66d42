"""Data for the examples: scikit-learn's bundled digits, upscaled, and synthesised keywords.  Nothing is downloaded."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from tfcompress.errors import MissingExtraError

__all__ = ["Split", "digits", "keywords"]

KEYWORDS = 4
SAMPLE_RATE_HZ = 4000
FRAMES, BANDS = 49, 20


@dataclass(frozen=True)
class Split:
    """Training and test arrays.

    Attributes:
        x_train: float32, samples first.
        y_train: int64 class numbers.
        x_test: as `x_train`; no sample is in both.
        y_test: as `y_train`.
    """

    x_train: np.ndarray
    y_train: np.ndarray
    x_test: np.ndarray
    y_test: np.ndarray


def _split(x: np.ndarray, y: np.ndarray, test: int, seed: int) -> Split:
    order = np.random.default_rng(seed).permutation(len(x))
    x, y = x[order], y[order]
    return Split(x[test:], y[test:], x[:test], y[:test])


def digits(seed: int = 0) -> Split:
    """scikit-learn's 1,797 handwritten digits as (28, 28, 1) images in 0..1, 500 of them for the test.

    The 8 x 8 originals (UCI "Optical Recognition of Handwritten Digits") are enlarged bilinearly to 20 x 20 and
    centred, as MNIST centres its digits.

    Raises:
        MissingExtraError: scikit-learn is not installed.
    """
    try:
        from sklearn.datasets import load_digits
    except ImportError:
        raise MissingExtraError("scikit-learn", "examples", "the digits data") from None
    raw: Any = load_digits()
    images = raw.images.astype(np.float32) / np.float32(16)
    return _split(_centred(_enlarged(images, 20), 28)[..., None], raw.target.astype(np.int64), 500, seed)


def _enlarged(images: np.ndarray, size: int) -> np.ndarray:
    """Bilinear enlargement of square images (n, s, s) to (n, size, size), half-pixel centres."""
    old = images.shape[1]
    at = np.clip((np.arange(size) + 0.5) * old / size - 0.5, 0, old - 1)
    low = np.floor(at).astype(int)
    high = np.minimum(low + 1, old - 1)
    weights = np.zeros((size, old), np.float32)
    weights[np.arange(size), low] += 1 - (at - low)
    weights[np.arange(size), high] += at - low
    return np.einsum("ih,nhw,jw->nij", weights, images, weights).astype(np.float32)


def _centred(images: np.ndarray, size: int) -> np.ndarray:
    margin = (size - images.shape[1]) // 2
    return np.pad(images, [(0, 0), (margin, margin), (margin, margin)])


def keywords(seed: int = 0, samples: int = 1200) -> Split:
    """Synthesised one-second "keywords" as log band energies (49 frames, 20 bands), a quarter of them for the test.

    Each of the four words is a tone that moves its own way (up, down, up-down, steady) with two harmonics, random
    pitch, start and loudness, in noise.
    """
    random = np.random.default_rng(seed)
    labels = random.integers(0, KEYWORDS, samples)
    features = np.stack([_band_energies(_word(int(label), random)) for label in labels])
    return _split(features, labels.astype(np.int64), samples // 4, seed)


def _word(label: int, random: np.random.Generator) -> np.ndarray:
    time = np.arange(SAMPLE_RATE_HZ) / SAMPLE_RATE_HZ
    start, length = random.uniform(0, 0.3), random.uniform(0.5, 0.65)
    phase = np.clip((time - start) / length, 0, 1)
    contour = (phase, 1 - phase, 1 - np.abs(2 * phase - 1), np.full_like(phase, 0.5))[label]
    pitch = random.uniform(180, 320) * (1 + contour)
    angle = 2 * np.pi * np.cumsum(pitch) / SAMPLE_RATE_HZ
    tone = sum(np.sin(k * angle) / k for k in (1, 2, 3))
    voiced = (phase > 0) & (phase < 1)
    return random.uniform(0.3, 1) * tone * voiced + random.normal(0, 0.15, time.shape)


def _band_energies(wave: np.ndarray) -> np.ndarray:
    window = 2 * (SAMPLE_RATE_HZ // (FRAMES + 1))
    frames = np.stack([wave[i * window // 2 :][:window] for i in range(FRAMES)]) * np.hanning(window)
    power = np.abs(np.fft.rfft(frames))[:, : 2 * BANDS] ** 2
    return np.log(power.reshape(FRAMES, BANDS, 2).sum(-1) + 1e-3).astype(np.float32)
