"""Sizes that a model leaves open, from its samples."""

from __future__ import annotations

from dataclasses import replace

from tfcompress.data.samples import Samples
from tfcompress.model import FloatModel
from tfcompress.tensor_info import have_open_sizes

__all__ = ["with_fixed_sizes"]


def with_fixed_sizes(model: FloatModel, samples: Samples | None) -> FloatModel:
    """The model with inputs of the samples' sizes where it leaves sizes other than the batch open.

    An open size becomes 1 in a .tflite, with which a convolution has nothing to slide over: the file then runs only
    after the caller has resized its inputs.  XLA for TPU takes fixed sizes only.

    Args:
        model: any model; one without open sizes comes back as it is.
        samples: whose first sample has the wanted sizes; None leaves them open.

    Raises:
        DataError: the first sample is bad.
    """
    if samples is None or not have_open_sizes(model.inputs):
        return model
    first = next(samples.take(1).batches(1)).inputs
    return replace(model, inputs=tuple(info.of_sample_shape(first[info.name].shape[1:]) for info in model.inputs))
