"""Words as the spectrograms that keyword-spotting networks are trained on: TensorFlow Lite Micro's audio front end.

Computed in float64 where the front end has fixed point, stage by stage: window, spectrum, mel filter bank, noise
reduction, per-channel amplitude normalization (PCAN), logarithm
(https://github.com/tensorflow/tflite-micro/tree/main/tensorflow/lite/experimental/microfrontend/lib).  The two ways to
8 bits and the filter against an offset are those of SiliconLabs' MLTK
(https://siliconlabs.github.io/mltk/docs/audio/audio_feature_generator.html), whose networks carry their settings.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

__all__ = ["FrontEnd"]

RECORDED_RATE = 16_000  # samples a second
WINDOW_MS = 30
FILTER_BITS = 12  # of the filter bank's weights: amplitudes grow by their root
LOG_SCALE = 64  # steps of the logarithm a factor of e
FULL_SCALE = 666  # of the logarithm, which becomes 256 steps
GAIN_OFFSET, GAIN_STRENGTH = 80.0, 0.95  # of PCAN
NOTCH = 0.95  # coefficient of the filter against an offset


@dataclass(frozen=True)
class FrontEnd:
    """Settings of the front end, as the network's file gives them.

    Attributes:
        steps: windows of a spectrogram.
        bands: of mel.
        low, high: ends of the lowest and the highest band, in Hz.
        step_ms: from one window to the next.
        rate: samples a second.
        smoothing: of the noise estimate, for even and for odd bands.
        least: share of a signal that noise reduction leaves.
        normalized: PCAN follows noise reduction.
        decibels: below the loudest value that become the 256 steps, after the filter against an offset; None takes the
            same range for all words.
    """

    steps: int
    bands: int
    low: float
    high: float
    step_ms: int = 20
    rate: int = RECORDED_RATE
    smoothing: tuple[float, float] = (0.025, 0.06)
    least: float = 0.03
    normalized: bool = False
    decibels: float | None = None

    def features(self, words: np.ndarray) -> np.ndarray:
        """float64 [n, steps, bands], whole numbers -128 to 127.

        Args:
            words: int16 [n, samples] of `RECORDED_RATE`.
        """
        signal, length = self._bands_of(self._resampled(words.astype(np.float64)))
        signal, correction = self._less_noise(signal, length)
        loudness = np.floor(LOG_SCALE * np.log(np.maximum(signal * correction, 1)))
        if self.decibels is None:
            scaled = loudness * 256 / FULL_SCALE + 0.5
        else:
            reach = self.decibels * LOG_SCALE * np.log(10) / 20
            scaled = (loudness - loudness.max(axis=(1, 2), keepdims=True) + reach) * 255 / reach
        return np.asarray(np.clip(np.floor(scaled) - 128, -128, 127))

    def _resampled(self, words: np.ndarray) -> np.ndarray:
        if self.rate == RECORDED_RATE:
            return words
        count = words.shape[1] * self.rate // RECORDED_RATE
        return np.fft.irfft(np.fft.rfft(words)[:, : count // 2 + 1], count) * count / words.shape[1]

    def _bands_of(self, words: np.ndarray) -> tuple[np.ndarray, int]:
        """Amplitudes [n, steps, bands] and the length of the Fourier transform."""
        window, step = self.rate * WINDOW_MS // 1000, self.rate * self.step_ms // 1000
        missing = max(0, step * (self.steps - 1) + window - words.shape[1])
        words = np.pad(words, ((0, 0), (missing // 2, missing - missing // 2)))
        if self.decibels is not None:
            words = _without_offset(words)
        frames = np.lib.stride_tricks.sliding_window_view(words, window, axis=1)[:, ::step][:, : self.steps]
        length = 1 << (window - 1).bit_length()
        hann = 0.5 - 0.5 * np.cos(2 * np.pi * (np.arange(window) + 0.5) / window)
        power = np.abs(np.fft.rfft(frames * hann, length) / length) ** 2
        edges = np.linspace(_mel(self.low), _mel(self.high), self.bands + 2)
        mels, widths = _mel(np.arange(length // 2 + 1) * self.rate / length)[:, None], np.diff(edges)
        rising, falling = (mels - edges[:-2]) / widths[:-1], (edges[2:] - mels) / widths[1:]
        triangles = np.maximum(0, np.minimum(rising, falling))
        return np.floor(2 ** (FILTER_BITS / 2) * np.sqrt(power @ triangles)), length

    def _less_noise(self, signal: np.ndarray, length: int) -> tuple[np.ndarray, float]:
        """Amplitudes without steady noise, normalized where wanted; and what the logarithm scales them by."""
        share = np.where(np.arange(self.bands) % 2 == 0, *self.smoothing)
        correction = length / 2 ** (1 + FILTER_BITS / 2)
        noise, result = np.zeros(signal[:, 0].shape), np.empty_like(signal)
        for step in range(self.steps):
            now = signal[:, step]
            noise = share * now + (1 - share) * noise
            left = np.maximum(now - np.minimum(noise, now), self.least * now)
            if self.normalized:
                ratio = 4 * left * (noise * correction + GAIN_OFFSET) ** -GAIN_STRENGTH
                left = 64 * np.where(ratio < 2, ratio**2 / 4, ratio - 1)
            result[:, step] = np.floor(left)
        return result, correction


def _without_offset(words: np.ndarray) -> np.ndarray:
    """y[t] = x[t] - x[t-1] + NOTCH y[t-1]: the differences, through a decaying sum."""
    result, before = np.diff(words, axis=1, prepend=0), np.zeros(len(words))
    for place in range(result.shape[1]):
        before = result[:, place] = result[:, place] + NOTCH * before
    return result


def _mel(hertz: np.ndarray | float) -> np.ndarray:
    return np.asarray(1127 * np.log1p(np.asarray(hertz) / 700))
