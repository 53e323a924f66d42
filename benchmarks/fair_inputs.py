"""Inputs that real models were made for, or as like them as the data at hand allows.

What a model wants is read off its vendor's int8 file, whose input quantization says the range that it was calibrated
on, and the vendor's published settings (those of the audio front end, per-sample normalization).  Only closeness to the
float model is measured on them, so the pictures and words need not show the model's own classes; `source_of` says for
which models they do.
"""

from __future__ import annotations

import gzip
from collections.abc import Callable
from typing import Literal

import numpy as np

from benchmarks.models import SHARED
from benchmarks.speech_features import FrontEnd
from tfcompress.runtime import tf

__all__ = ["Source", "photos", "photos_of", "real_inputs", "source_of"]

Source = Literal["own task", "like it", "made up"]

PHOTOS = SHARED / "data/cifar10_lossless_train4000/cifar10_batch_0.png"
SPEECH = SHARED / "data/speech_commands_5w/training300.npz"
DIGITS = SHARED / "data/mnist/t10k-images-idx3-ubyte.gz"
IDX_HEADER = 16  # bytes before the first pixel
HANDS, STARS = SHARED / "data/hand_gesture/keypoint.csv", SHARED / "data/kepler/kepler_cleaned_scaled.csv"
RATE, WINDOW, STEP, FFT = 16_000, 480, 320, 512  # samples: 30 ms every 20 ms
LOWEST_HZ, HIGHEST_HZ = 125.0, 7500.0
HELD = np.array([-0.5, 0.2, 0.8])[:, None]  # the direction of gravity, by axis
FAINTEST = 1e3  # of a band's power in squared 16-bit samples: below is silence

Maker = Callable[[tuple[int, ...]], np.ndarray]  # from the shape of one input


def real_inputs(model: str, shape: tuple[int, ...]) -> np.ndarray | None:
    """float32 [n, *shape], all there are in a random order of a fixed seed; None where data or knowledge is missing.

    Args:
        model: a name of `benchmarks.models`.
        shape: of one input.
    """
    make = next((maker for prefix, maker in _MAKERS.items() if model.startswith(prefix)), None)
    if make is None or not all(path.exists() for path in (PHOTOS, SPEECH, DIGITS, HANDS, STARS)):
        return None
    values = make(shape).astype(np.float32)
    return values[np.random.default_rng(0).permutation(len(values))]


def source_of(model: str) -> Source:
    """What `real_inputs` has for a model: samples of the task that it was trained for, or others of their kind."""
    if model.startswith(_OWN_TASK):
        return "own task"
    return "like it" if model.startswith(tuple(_MAKERS)) and not model.startswith(_MADE_UP) else "made up"


def photos() -> np.ndarray | None:
    """uint8 [1000, 32, 32, 3]: the first sheet of the lossless CIFAR-10 images; None where it is absent."""
    if not PHOTOS.exists():
        return None
    return np.asarray(tf.io.decode_png(PHOTOS.read_bytes(), channels=3)).reshape(-1, 32, 32, 3)


def photos_of(shape: tuple[int, ...]) -> np.ndarray:
    """float32 [600, *shape], 0 to 255: photos in the wanted size, grey where there is one channel."""
    pictures = photos()
    assert pictures is not None
    resized = np.asarray(tf.image.resize(pictures[:600].astype(np.float32), shape[:2]))
    return resized.mean(axis=-1, keepdims=True) if shape[2] == 1 else resized


def _scaled_photos(scale: float, offset: float) -> Maker:
    return lambda shape: photos_of(shape) * scale + offset


def _standardized_photos(shape: tuple[int, ...]) -> np.ndarray:
    photos = photos_of(shape)
    mean, spread = (getattr(photos, kind)(axis=(1, 2, 3), keepdims=True) for kind in ("mean", "std"))
    return (photos - mean) / (spread + 1e-6)


def _speech(low: float, high: float, *, whole: bool) -> Maker:
    """Words as log-mel spectrograms between `low` and `high`; `whole` rounds as the integer features they stand for."""

    def make(shape: tuple[int, ...]) -> np.ndarray:
        steps, bands = (5, 128) if shape == (640,) else (shape[0], int(np.prod(shape[1:])))
        words = np.load(SPEECH, allow_pickle=False)["x"]
        loudness = np.log(_mel_power(words, steps, bands) + FAINTEST)
        share = (loudness - np.log(FAINTEST)) / (loudness.max() - np.log(FAINTEST))
        values = low + share * (high - low)
        return (np.round(values) if whole else values).reshape(-1, *shape)

    return make


def _words(front_end: FrontEnd) -> Maker:
    return lambda shape: front_end.features(np.load(SPEECH, allow_pickle=False)["x"]).reshape(-1, *shape)


def _digits(shape: tuple[int, ...]) -> np.ndarray:
    """Handwritten digits, 0 to 1."""
    pixels = np.frombuffer(gzip.decompress(DIGITS.read_bytes()), np.uint8, offset=IDX_HEADER)
    return pixels.reshape(-1, *shape) / 255


def _hands(shape: tuple[int, ...]) -> np.ndarray:
    return np.loadtxt(HANDS, delimiter=",")[:, 1:].reshape(-1, *shape)


def _stars(shape: tuple[int, ...]) -> np.ndarray:
    """The numbers of a row from the flags on; identifiers and dispositions stand before them."""
    table = np.genfromtxt(STARS, delimiter=",", skip_header=1)[:, 4:-1]
    return table[~np.isnan(table).any(axis=1)].reshape(-1, *shape)


def _mel_power(words: np.ndarray, steps: int, bands: int) -> np.ndarray:
    """float64 [words, steps, bands]: triangular bands, evenly spaced in mel (O'Shaughnessy 1987)."""
    needed = STEP * (steps - 1) + WINDOW
    start = max(0, (words.shape[1] - needed) // 2)
    repeated = np.tile(words, (1, -(-needed // words.shape[1])))
    part = repeated[:, start : start + needed].astype(np.float64)
    frames = np.lib.stride_tricks.sliding_window_view(part, WINDOW, axis=1)[:, ::STEP][:, :steps]
    power = np.abs(np.fft.rfft(frames * np.hanning(WINDOW), FFT)) ** 2
    mels = np.linspace(_mel(LOWEST_HZ), _mel(HIGHEST_HZ), bands + 2)
    edges = 700 * (10 ** (mels / 2595) - 1)
    hertz = np.arange(FFT // 2 + 1) * RATE / FFT
    rising = (hertz[:, None] - edges[:-2]) / (edges[1:-1] - edges[:-2])
    falling = (edges[2:] - hertz[:, None]) / (edges[2:] - edges[1:-1])
    return power @ np.maximum(0, np.minimum(rising, falling))


def _mel(hertz: float) -> float:
    return 2595 * float(np.log10(1 + hertz / 700))


def _movement(shape: tuple[int, ...]) -> np.ndarray:
    """Acceleration in thousandths of g: smooth gestures around gravity, and nothing before they begin.

    Held as the hand holds the wand in the recordings that TensorFlow Lite Micro's magic_wand example is tested with:
    gravity mostly along z and some against x, pushes of 300 and more, of 128 steps the last 50 to 60 recorded and the
    others zero.
    """
    random, count = np.random.default_rng(0), 300
    gravity = HELD + 0.3 * random.normal(size=(count, 1, *shape[1:]))
    gravity *= 1000 / np.linalg.norm(gravity, axis=2, keepdims=True)
    pushes = np.cumsum(random.normal(size=(count, *shape)), axis=1)
    pushes -= pushes.mean(axis=1, keepdims=True)
    values = gravity + 300 * pushes / pushes.std(axis=1, keepdims=True)
    begins = shape[0] - random.integers(40, shape[0], count)
    return np.asarray(values * (np.arange(shape[0]) >= begins[:, None])[:, :, None, None])


_MAKERS: dict[str, Maker] = {
    "mlperf_ic_resnet8": _scaled_photos(1, 0),
    "mlperf_vww_mobilenetv1_025": _scaled_photos(1 / 255, 0),
    "mlperf_ad_autoencoder": _speech(-84.85, 14.86, whole=False),
    "mltk_anomaly_detection": _speech(0, 237, whole=True),
    "mltk_audio_example1": _words(FrontEnd(59, 49, 125, 3999)),
    "mltk_image_classification": _scaled_photos(1 / 128, -1),
    "mltk_image_example1": _standardized_photos,
    "mltk_kws_heygecko": _words(FrontEnd(248, 108, 125, 7500, step_ms=10, least=0.4, decibels=40)),
    "mltk_kws_mobilenetv2": _words(FrontEnd(59, 49, 125, 3999)),
    "mltk_kws_on_off": _words(FrontEnd(49, 32, 100, 3999, rate=8000, smoothing=(0.004, 0.004), least=0.05)),
    "mltk_kws_pacman_v3": _words(FrontEnd(98, 104, 125, 7500, step_ms=10, least=0.4, decibels=40)),
    "mltk_rock_paper_scissors": _standardized_photos,
    "mltk_tflm_magic_wand": _movement,
    "mltk_tflm_speech": _words(FrontEnd(49, 40, 125, 7500, least=0.05, normalized=True)),
    "mltk_visual_wake_words": _scaled_photos(1, 0),
    "xception_": _scaled_photos(1 / 127.5, -1),
    "derived_mtcnn": _scaled_photos(1 / 128, -127.5 / 128),
    "derived_pilotnet": _scaled_photos(1, 0),
    "derived_kotlindl": _digits,
    "scisharp_simple_model": _digits,
    "hand_keypoint_mlp": _hands,
    "kepler_mlp": _stars,
}
# Samples show what the network tells apart; of the keyword spotters, words that are no keyword count as another class.
_OWN_TASK = (
    *("mlperf_ic_resnet8", "mltk_image_classification", "mltk_audio_example1", "mltk_kws_mobilenetv2"),
    *("mltk_kws_on_off", "mltk_kws_pacman_v3", "mltk_tflm_speech", "scisharp_simple_model", "hand_keypoint_mlp"),
    "kepler_mlp",
)
_MADE_UP = ("mltk_tflm_magic_wand",)
