"""How far an int8 graph is from its float model, measured on a few samples."""

from __future__ import annotations

import math

import numpy as np

from tfcompress.converters.cloud_tpu.saved_model import WeightStore, compiled_function
from tfcompress.data import Samples
from tfcompress.graphs.tensorflow.inference_graph import InferenceGraph
from tfcompress.model import FloatModel
from tfcompress.native_output import silenced
from tfcompress.runtime import tf

__all__ = ["SQNR_FOR_INT8_DB", "sqnr_db"]

MEASURED_SAMPLES = 64
# A hundredth of the signal's energy as noise: 10 % of its amplitude.
SQNR_FOR_INT8_DB = 20.0


def sqnr_db(model: FloatModel, graph: InferenceGraph, samples: Samples) -> float | None:
    """Signal to quantization noise of the worst output in decibels, XLA-compiled on this machine.

    Args:
        model: the reference.
        graph: of the same model, at any batch size.
        samples: the first 64, spread over all, are run.

    Returns:
        None where there is no noise at all.
    """
    with silenced():
        function = compiled_function(graph, WeightStore(freeze=True))
    signal = dict.fromkeys(graph.outputs, 0.0)
    noise = dict.fromkeys(graph.outputs, 0.0)
    for batch in samples.spread(MEASURED_SAMPLES).batches(graph.batch_size):
        count = len(next(iter(batch.inputs.values())))
        full = {name: np.resize(value, (graph.batch_size, *value.shape[1:])) for name, value in batch.inputs.items()}
        with silenced():
            got = function(*[tf.constant(full[info.name], info.dtype) for info in graph.inputs])
        expected = model.predict(batch.inputs)
        for name in graph.outputs:
            reference = np.asarray(expected[name], np.float64)
            signal[name] += float((reference**2).sum())
            noise[name] += float(((reference - got[name].numpy()[:count]) ** 2).sum())
    worst = [_decibels(signal[name], noise[name]) for name in graph.outputs if noise[name]]
    return min(worst, default=None)


def _decibels(signal: float, noise: float) -> float:
    return round(10 * math.log10(signal / noise), 2) if signal else -math.inf
