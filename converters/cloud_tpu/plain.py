"""A model's inference graph in float: bfloat16, float32, or a mix, as the recipe says."""

from __future__ import annotations

from collections.abc import Collection

from tfcompress.converters.cloud_tpu.options import CloudTpu
from tfcompress.converters.cloud_tpu.precheck import check_graph
from tfcompress.converters.cloud_tpu.precision import apply_precision
from tfcompress.graphs.tensorflow.folding import fold_batch_norms, fold_constants
from tfcompress.graphs.tensorflow.inference_graph import InferenceGraph, trace
from tfcompress.graphs.tensorflow.strides import move_strides_back
from tfcompress.model import FloatModel

__all__ = ["float_graph"]


def float_graph(model: FloatModel, batch_size: int, options: CloudTpu, layer_names: Collection[str]) -> InferenceGraph:
    """The graph at one batch size; bfloat16 also where the recipe asks for int8.

    Args:
        model: to trace.
        batch_size: samples in one call.
        options: `precision` and `keep_float32` are used.
        layer_names: of the Keras layers; may be empty.

    Raises:
        ConversionError: the model cannot be traced, or XLA cannot take it.
    """
    graph = trace(model, batch_size)
    check_graph(graph, layer_names)
    if options.precision == "float32":
        return graph  # as the model was trained, operator for operator
    for step in (fold_constants, fold_batch_norms, move_strides_back):
        graph = step(graph)  # the graph before, with all of its weights, is gone
    return apply_precision(
        graph,
        "mixed" if options.precision == "mixed" else "bfloat16",
        layer_names=layer_names,
        keep_float32=options.keep_float32,
    )
