"""How many samples are computed at once, so that memory does not grow with the model's maps."""

from __future__ import annotations

import numpy as np

from tfcompress.graphs.keras.protocols import KerasModel
from tfcompress.graphs.keras.replay import calls_of

__all__ = ["batch_within"]

_MOST_VALUES = 2**26  # of all tensors of a batch together: 256 MB of float32


def batch_within(model: KerasModel, most: int) -> int:
    """At most `most` samples, and so few that all tensors of the model fit into 256 MB; an open size counts once.

    Args:
        model: flat tf_keras model.
        most: the largest batch.
    """
    tensors = [tensor for call in calls_of(model) for tensor in call.old_outputs]
    values = sum(int(np.prod([size or 1 for size in tensor.shape[1:]], initial=1)) for tensor in tensors)
    return max(1, min(most, _MOST_VALUES // max(1, values)))
