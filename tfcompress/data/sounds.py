"""A folder whose sub-folders are classes and hold `.wav` files of 16-bit PCM, as float32 in -1..1."""

from __future__ import annotations

import io
import math
import wave
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tfcompress.data.class_folders import ClassFolder, entries_of
from tfcompress.data.files import ARCHIVE_ERRORS
from tfcompress.data.samples import Sample
from tfcompress.errors import DataError, one_line
from tfcompress.plain_files import read_plain
from tfcompress.tensor_info import TensorInfo

__all__ = ["SOUND_SUFFIXES", "SoundSource", "open_sound_folder", "resampled"]

SOUND_SUFFIXES = frozenset({".wav"})
MAX_SOUND_FILE_BYTES = 256 << 20
MOST_RATIO = 1000  # of a wanted sample rate to a stored one, or the other way round
MOST_RESAMPLED = 1 << 26  # values: more than an hour at 16 kHz
_CHUNK = 1 << 20  # weights that are computed at a time
WING = 16  # zero crossings of the interpolating sinc on each side


@dataclass(frozen=True)
class SoundSource(ClassFolder):
    """Sounds by class, see `ClassFolder`.

    Attributes:
        shape: of one sample: (values,) or (values, channels); None where a size is open.
        sample_rate: in Hz, to which sounds of another rate are resampled; None takes each as it is.
        resize: ``pad`` fills short sounds with zeros and cuts long ones; None refuses both.
    """

    shape: tuple[int | None, ...]
    sample_rate: int | None = None
    resize: str | None = None

    def samples(self, indices: Sequence[int] | None = None) -> Iterator[Sample]:
        """One sound at a time, (values,) or (values, channels)."""
        for index in range(self.count) if indices is None else indices:
            file, label = self.entries[index]
            values = self._fitted(self._decode(file), file)
            yield Sample([values], () if label is None else [np.asarray(label, np.int64)])

    def _decode(self, file: str) -> np.ndarray:
        """(values, channels) at the wanted rate."""
        where = f"{self.path}: {file}"
        try:
            content = read_plain(self.path / file, most_bytes=MAX_SOUND_FILE_BYTES)
            with io.BytesIO(content) as stream, wave.open(stream) as sound:
                rate, width, channels = sound.getframerate(), sound.getsampwidth(), sound.getnchannels()
                frames = sound.readframes(len(content) // max(1, width * channels))
        except (wave.Error, *ARCHIVE_ERRORS) as error:
            raise DataError(f"{where}: not a readable .wav: {one_line(error, 120)}; save it as 16-bit PCM") from None
        if width != 2 or not frames or rate <= 0:
            raise DataError(f"{where}: has {8 * width} bits per value and {len(frames)} bytes, expected 16-bit PCM")
        whole = len(frames) // (2 * channels) * 2 * channels
        del content  # of a large file there is room for no more copies than needed
        values = np.frombuffer(frames, "<i2", whole // 2).reshape(-1, channels).astype(np.float32)
        values /= np.float32(32768)
        if self.sample_rate in (None, rate):
            return values
        wanted = self.sample_rate or rate
        count = math.ceil(len(values) * wanted / rate)
        if max(rate / wanted, wanted / rate) > MOST_RATIO or count * channels > MOST_RESAMPLED:
            raise DataError(
                f"{where}: says that it has {rate} values a second, which would be {count} at {wanted} Hz; expected "
                f"rates within a factor of {MOST_RATIO}, and at most {MOST_RESAMPLED} values"
            )
        return resampled(values, rate, wanted)

    def _fitted(self, values: np.ndarray, file: str) -> np.ndarray:
        length, channels = self.shape[0], self.shape[1] if len(self.shape) == 2 else 1
        if channels not in (None, values.shape[1]):
            raise DataError(f"{self.path}: {file}: has {values.shape[1]} channels, the model takes {channels}")
        if length is not None and len(values) != length:
            if self.resize != "pad":
                raise DataError(
                    f"{self.path}: {file}: has {len(values)} values, the model takes {length}; --resize=pad fills it "
                    "up or cuts it, --sample_rate=HZ resamples it"
                )
            values = np.pad(values[:length], ((0, max(0, length - len(values))), (0, 0)))
        return values if len(self.shape) == 2 else values[:, 0]


def resampled(values: np.ndarray, rate: int, wanted: int) -> np.ndarray:
    """Values at another rate, by band-limited interpolation with a Hann-windowed sinc.

    J. O. Smith and P. Gossett, "A flexible sampling-rate conversion method", ICASSP 1984.

    Args:
        values: (values, channels), float32.
        rate: of these values, in Hz.
        wanted: in Hz.

    Returns:
        (values * wanted / rate rounded up, channels), float32.
    """
    cutoff = min(1.0, wanted / rate)
    reach = math.ceil(WING / cutoff)
    padded = np.pad(values, ((reach, reach + 1), (0, 0)))
    count = math.ceil(len(values) * wanted / rate)
    result = np.empty((count, values.shape[1]), np.float32)
    offsets = np.arange(-reach + 1, reach + 1)
    step = max(1, _CHUNK // len(offsets))
    for start in range(0, count, step):
        places = np.arange(start, min(start + step, count)) * (rate / wanted)
        whole = np.floor(places).astype(np.int64)
        distance = (places - whole)[:, None] - offsets
        window = np.where(np.abs(distance) < reach, 0.5 + 0.5 * np.cos(np.pi * distance / reach), 0.0)
        weights = cutoff * np.sinc(cutoff * distance) * window
        picked = padded[np.clip(whole[:, None] + offsets + reach, 0, len(padded) - 1)]
        result[start : start + len(places)] = np.einsum("pt,ptc->pc", weights, picked)
    return result


def open_sound_folder(
    path: Path,
    files: Sequence[str],
    inputs: Sequence[TensorInfo],
    *,
    class_names: Sequence[str] = (),
    resize: str | None = None,
    sample_rate: int | None = None,
) -> SoundSource:
    """A folder of class sub-folders, or of sounds without classes.

    Raises:
        DataError: no sounds, or a model that does not take one sound.
    """
    if len(inputs) != 1 or len(inputs[0].shape) not in (2, 3):
        shapes = ", ".join(f"{info.name}{info.shape}" for info in inputs)
        raise DataError(f"{path}: holds sounds, but the model takes {shapes}; give an .npz with arrays of that shape")
    entries, classes = entries_of(path, files, SOUND_SUFFIXES, class_names)
    return SoundSource(path, entries, classes, inputs[0].shape[1:], sample_rate, resize)
