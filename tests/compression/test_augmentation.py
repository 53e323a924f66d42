"""Flipped and shifted training images: `training.flip` and `training.shift`."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.compression.models import bright_bands, functional, samples_for, small_cnn
from tfcompress.compression import finetune
from tfcompress.compression.training.batches import training_batches
from tfcompress.data import Samples, samples_from_arrays
from tfcompress.errors import RecipeError
from tfcompress.model import TensorInfo
from tfcompress.recipe import Recipe, Structure, Training
from tfcompress.runtime import tf_keras

L = tf_keras.layers
SIZE = 6


def numbered_images(count: int = 48) -> Samples:
    """Images of which every pixel has another value, and the image's number as its label."""
    x = np.arange(count * SIZE * SIZE, dtype=np.float32).reshape(count, SIZE, SIZE, 1)
    return samples_from_arrays(
        {"image": x},
        {"scores": np.arange(count)},
        model_inputs=(TensorInfo("image", (None, SIZE, SIZE, 1), "float32"),),
        model_outputs=(TensorInfo("scores", (None, count), "float32"),),
    )


def an_epoch(training: Training, *, seed: int = 0) -> dict[int, np.ndarray]:
    """{label: image} of one epoch."""
    batches: Any = training_batches(numbered_images(), training, seed=seed, labelled=True)
    return {
        int(label): image[..., 0]
        for (images,), (labels,) in batches
        for image, label in zip(np.asarray(images), np.asarray(labels), strict=True)
    }


def by_hand(image: np.ndarray, *, mirrored: bool, rows: int, columns: int, most: int) -> np.ndarray:
    """The part of an image with reflected edges that stands so many rows and columns further on."""
    wide = np.pad(image, most, mode="reflect")
    part = wide[most + rows : most + rows + SIZE, most + columns : most + columns + SIZE]
    return part[:, ::-1] if mirrored else part


def test_without_them_images_are_as_given() -> None:
    given = next(numbered_images().batches(48)).inputs["image"][..., 0]
    for label, image in an_epoch(Training(batch_size=16)).items():
        np.testing.assert_array_equal(image, given[label])


def test_some_images_are_mirrored_and_keep_their_labels() -> None:
    given = next(numbered_images().batches(48)).inputs["image"][..., 0]
    mirrored = 0
    for label, image in an_epoch(Training(batch_size=16, flip=True)).items():
        is_mirrored = not np.array_equal(image, given[label])
        np.testing.assert_array_equal(image, given[label][:, ::-1] if is_mirrored else given[label])
        mirrored += is_mirrored
    assert 10 < mirrored < 38


def test_shifted_images_are_parts_of_the_image_with_reflected_edges() -> None:
    most = 2
    given = next(numbered_images().batches(48)).inputs["image"][..., 0]
    seen = set()
    for label, image in an_epoch(Training(batch_size=16, flip=True, shift=most)).items():
        places = [
            (mirrored, rows, columns)
            for mirrored in (False, True)
            for rows in range(-most, most + 1)
            for columns in range(-most, most + 1)
            if np.array_equal(image, by_hand(given[label], mirrored=mirrored, rows=rows, columns=columns, most=most))
        ]
        assert len(places) == 1
        seen.add(places[0])
    assert {rows for _, rows, _ in seen} == {columns for _, _, columns in seen} == set(range(-most, most + 1))


def test_each_epoch_moves_them_in_another_way_that_its_seed_repeats() -> None:
    training = Training(batch_size=16, flip=True, shift=2)
    first, again, other = (an_epoch(training, seed=seed) for seed in (3, 3, 4))
    assert all(np.array_equal(first[label], again[label]) for label in first)
    assert any(not np.array_equal(first[label], other[label]) for label in first)


def test_a_model_is_cut_and_fine_tuned_on_them() -> None:
    training = Training(epochs=1, batch_size=16, flip=True, shift=1)
    recipe = Recipe(structure=Structure(macs=0.7, round_to=2), training=training)
    plain = Recipe(structure=Structure(macs=0.7, round_to=2), training=Training(epochs=1, batch_size=16))
    samples = bright_bands(small_cnn(), 64)
    moved, still = (finetune(small_cnn(), each, samples).stripped.get_weights() for each in (recipe, plain))
    assert any(not np.array_equal(a, b) for a, b in zip(moved, still, strict=True))


def test_a_model_without_images_is_refused_in_one_line() -> None:
    model = functional((5,), lambda x: L.Dense(2, activation="softmax")(L.Dense(16)(x)))
    recipe = Recipe(structure=Structure(macs=0.7, round_to=1), training=Training(epochs=1, flip=True))
    with pytest.raises(
        RecipeError, match=r"training\.flip: expected an input \[rows, columns, channels\], got"
    ) as raised:
        finetune(model, recipe, samples_for(model, 32))
    assert "\n" not in str(raised.value)


def test_labels_that_would_have_to_move_too_are_refused_in_one_line() -> None:
    infos = (TensorInfo("image", (None, 8, 8, 1), "float32"),)
    outputs = (TensorInfo("mask", (None, 8, 8, 1), "float32"),)
    x = np.zeros((16, 8, 8, 1), np.float32)
    samples = samples_from_arrays({"image": x}, {"mask": x}, model_inputs=infos, model_outputs=outputs)
    with pytest.raises(RecipeError, match=r"training\.shift: labels mask \[8, 8, 1\] may say where") as raised:
        training_batches(samples, Training(shift=2), seed=0, labelled=True)
    assert "\n" not in str(raised.value)
    training_batches(samples, Training(shift=2), seed=0, labelled=False)


def test_a_shift_as_large_as_the_image_is_refused() -> None:
    with pytest.raises(RecipeError, match=r"training\.shift is 6, expected less than the 6 pixels of image"):
        training_batches(numbered_images(), Training(shift=SIZE), seed=0, labelled=True)


def test_a_negative_shift_is_refused() -> None:
    with pytest.raises(RecipeError, match=r"training\.shift"):
        Training(shift=-1)
