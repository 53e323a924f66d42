"""Training data for Keras: a `tf.data` stream of shuffled batches from `Samples`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from tfcompress.compression.training.augmentation import augmented, check_augmentation
from tfcompress.data import Samples
from tfcompress.errors import DataError
from tfcompress.recipe import Training
from tfcompress.runtime import tf

__all__ = ["batches_of", "count_of", "training_batches"]

# Shuffling holds so many samples, or bytes, whichever is fewer: memory does not grow with the data.
_SHUFFLED_SAMPLES = 8192
_SHUFFLED_BYTES = 256 * 2**20
_CHUNK = 64


def count_of(samples: Samples) -> int:
    """Number of samples, counted by a pass where the source does not know."""
    count = samples.count
    return count if count is not None else sum(len(batch) for batch in samples.batches(_CHUNK))


def batches_of(count: int, batch_size: int) -> int:
    """Steps an epoch has: full batches, or one smaller batch where there are fewer samples than one."""
    return max(1, count // batch_size)


def training_batches(samples: Samples, training: Training, *, seed: int, labelled: bool) -> object:
    """One epoch as a `tf.data.Dataset` of (inputs, labels), or (inputs,) alone, in an order that `seed` chooses.

    Args:
        samples: streamed; shuffled in a buffer.
        training: the batch size, of all replicas together, and how images are flipped and shifted.
        seed: another one for each epoch.
        labelled: whether labels are wanted.

    Raises:
        DataError: labels are wanted and there are none.
        RecipeError: there are no images to flip or shift, or labels that would have to move with them.
    """
    samples = samples.with_numbered_words() if labelled else samples
    first = next(samples.batches(1))
    if labelled and not first.labels:
        raise DataError(
            f"{samples.name}: no labels, but the training loss needs them; give labels, or distil with weight 1 and "
            "without pretraining"
        )
    check_augmentation(training, first.inputs, first.labels if labelled else {})
    names = [info.name for info in samples.inputs]
    label_names = list(first.labels) if labelled else []

    def chunks() -> Iterator[object]:
        for batch in samples.batches(_CHUNK):
            inputs = tuple(batch.inputs[name] for name in names)
            labels = tuple(batch.labels[name] for name in label_names)
            yield (inputs, labels) if labelled else (inputs,)

    signature: tuple[Any, ...] = (tuple(_spec(first.inputs[name]) for name in names),)
    if labelled:
        signature += (tuple(_spec(first.labels[name]) for name in label_names),)
    sample_bytes = sum(value.nbytes for value in (*first.inputs.values(), *first.labels.values()))
    buffer = max(1, min(_SHUFFLED_SAMPLES, _SHUFFLED_BYTES // max(1, sample_bytes)))
    stream = tf.data.Dataset.from_generator(chunks, output_signature=signature).unbatch()
    stream = stream.shuffle(buffer, seed=seed)
    count = count_of(samples)
    stream = stream.batch(training.batch_size, drop_remainder=count >= training.batch_size)
    stream = augmented(stream, training, seed=seed)
    options = tf.data.Options()
    options.deterministic = True
    # Two workers each take every second batch-part of the one stream: there are no files to hand out.
    options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.DATA
    return stream.with_options(options).prefetch(2)


def _spec(value: np.ndarray) -> object:
    return tf.TensorSpec((None, *value.shape[1:]), value.dtype)
