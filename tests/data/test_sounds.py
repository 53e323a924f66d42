"""Folders of `.wav` files: classes as with images, values in -1..1, resampled and fitted only where it is asked for."""

import wave
from pathlib import Path

import numpy as np
import pytest

from tfcompress.data import open_data
from tfcompress.data.sounds import resampled
from tfcompress.errors import DataError
from tfcompress.model import TensorInfo

FLAT = (TensorInfo("sound", (None, 800), "float32"),)
COLUMN = (TensorInfo("sound", (None, 800, 1), "float32"),)
STEREO = (TensorInfo("sound", (None, 800, 2), "float32"),)
CLASS = (TensorInfo("class", (None, 2), "float32"),)
TONE_ERROR = 1e-3  # of a resampled tone, relative to its height, away from the ends


def tone(rate: int, hertz: float, count: int) -> np.ndarray:
    return 0.5 * np.sin(2 * np.pi * hertz * np.arange(count) / rate)


def write(path: Path, values: np.ndarray, rate: int = 8000, width: int = 2) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with wave.open(str(path), "wb") as sound:
        sound.setnchannels(1 if values.ndim == 1 else values.shape[1])
        sound.setsampwidth(width)
        sound.setframerate(rate)
        sound.writeframes(np.round(values * 32767).astype("<i2").tobytes())


def test_sounds_come_class_by_class_in_turn(tmp_path: Path) -> None:
    for name, height in (("no", 0.25), ("yes", 0.5)):
        for index in range(2):
            write(tmp_path / name / f"{index}.wav", np.full(800, height))
    for inputs, shape in ((FLAT, (4, 800)), (COLUMN, (4, 800, 1))):
        samples = open_data(tmp_path, inputs, CLASS)
        batch = next(samples.batches(9))
        assert batch.inputs["sound"].shape == shape
        np.testing.assert_allclose(batch.inputs["sound"].reshape(4, -1)[:, 0], [0.25, 0.5, 0.25, 0.5], atol=1e-4)
        assert batch.labels["class"].tolist() == [0, 1, 0, 1]
        assert samples.class_names == ("no", "yes")


def test_sounds_of_another_length_or_form_are_refused_with_the_remedy(tmp_path: Path) -> None:
    write(tmp_path / "a.wav", np.zeros(500))
    with pytest.raises(DataError, match="has 500 values, the model takes 800; --resize=pad"):
        list(open_data(tmp_path, FLAT, CLASS).batches(1))
    padded = next(open_data(tmp_path, FLAT, CLASS, resize="pad").batches(1)).inputs["sound"]
    assert padded.shape == (1, 800)
    with pytest.raises(DataError, match="has 1 channels, the model takes 2"):
        list(open_data(tmp_path, STEREO, CLASS).batches(1))
    write(tmp_path / "a.wav", np.zeros(800), width=1)
    with pytest.raises(DataError, match="8 bits per value"):
        list(open_data(tmp_path, FLAT, CLASS).batches(1))
    (tmp_path / "a.wav").write_bytes(b"RIFF\xff\xff\xff\xffWAVEfmt ")
    with pytest.raises(DataError, match=r"not a readable \.wav"):
        list(open_data(tmp_path, FLAT, CLASS).batches(1))


@pytest.mark.parametrize(("rate", "wanted"), [(44_100, 16_000), (8_000, 16_000), (16_000, 8_000)])
def test_a_resampled_tone_is_the_tone_at_the_other_rate(rate: int, wanted: int) -> None:
    got = resampled(tone(rate, 440.0, rate // 4)[:, None].astype(np.float32), rate, wanted)[:, 0]
    right = tone(wanted, 440.0, len(got))
    middle = slice(len(got) // 4, 3 * len(got) // 4)
    assert len(got) == wanted // 4
    assert np.abs(got - right)[middle].max() < TONE_ERROR
    assert np.abs(got - tone(wanted, 450.0, len(got)))[middle].max() > 10 * TONE_ERROR


def test_what_a_lower_rate_cannot_hold_is_filtered_out() -> None:
    got = resampled(tone(16_000, 7_000.0, 4_000)[:, None].astype(np.float32), 16_000, 8_000)[:, 0]
    assert np.abs(got[200:-200]).max() < 10 * TONE_ERROR


def test_a_folder_is_resampled_where_it_is_asked_for(tmp_path: Path) -> None:
    write(tmp_path / "a.wav", tone(16_000, 440.0, 1600), rate=16_000)
    batch = next(open_data(tmp_path, FLAT, CLASS, sample_rate=8000).batches(1))
    assert np.abs(batch.inputs["sound"][0, 200:600] - tone(8000, 440.0, 800)[200:600]).max() < TONE_ERROR


@pytest.mark.parametrize("rate", [1, 2**31 - 1])
def test_a_rate_that_no_sound_has_is_refused_before_it_is_resampled(rate: int, tmp_path: Path) -> None:
    write(tmp_path / "a.wav", np.zeros(1600), rate=rate)
    samples = open_data(tmp_path, (TensorInfo("sound", (None, 1600), "float32"),), CLASS, sample_rate=16_000)
    with pytest.raises(DataError, match="values a second"):
        list(samples.batches(1))
