"""What calibration samples show: how large activations become, and what float8 keeps of each product."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping
from dataclasses import replace
from typing import Literal

import numpy as np

from tfcompress.converters.cloud_tpu.float8.rewrite import Product, add_float8
from tfcompress.converters.cloud_tpu.saved_model import WeightStore, compiled_function
from tfcompress.data import Samples
from tfcompress.graphs.tensorflow.inference_graph import GraphEditor, InferenceGraph
from tfcompress.native_output import silenced
from tfcompress.runtime import tf

__all__ = ["largest_magnitudes", "product_errors_db"]

MEASURED_SAMPLES = 64


def largest_magnitudes(graph: InferenceGraph, tensors: Collection[str], samples: Samples) -> dict[str, float]:
    """{tensor: its largest magnitude} on all samples, XLA-compiled on this machine.

    Args:
        graph: in bfloat16.
        tensors: names of its tensors.
        samples: representative inputs.
    """
    names = sorted(tensors)
    editor = GraphEditor(graph)
    outputs = {str(position): _reduced(editor, name, "Max") for position, name in enumerate(names)}
    largest = dict.fromkeys(names, 0.0)
    for results in _results(editor, outputs, samples):
        for position, name in enumerate(names):
            largest[name] = max(largest[name], results[str(position)])
    return largest


def product_errors_db(
    graph: InferenceGraph, products: Mapping[str, Product], largest: Mapping[str, float], samples: Samples
) -> dict[str, float]:
    """{product: signal to noise in decibels of its result in float8}, each on the operand that bfloat16 gives it.

    Args:
        graph: in bfloat16.
        products: {name of a node: product}.
        largest: {name of an operand: its largest magnitude}.
        samples: the first 64, spread over all, are run.

    Returns:
        Without products that float8 leaves as they are.
    """
    editor = GraphEditor(graph)
    outputs = {}
    for position, (name, result) in enumerate(add_float8(editor, products, largest).items()):
        noise = editor.add(f"{result}/noise", "Sub", [name, result])
        noise.attr["T"].type = tf.bfloat16.as_datatype_enum
        outputs[f"signal_{position}"] = _reduced(editor, name, "Sum")
        outputs[f"noise_{position}"] = _reduced(editor, noise.name, "Sum")
    totals = dict.fromkeys(outputs, 0.0)
    for results in _results(editor, outputs, samples.spread(MEASURED_SAMPLES)):
        totals = {key: value + results[key] for key, value in totals.items()}
    return {
        name: round(10 * math.log10(max(totals[f"signal_{position}"], 1e-30) / totals[f"noise_{position}"]), 2)
        for position, name in enumerate(products)
        if totals[f"noise_{position}"]
    }


def _results(editor: GraphEditor, outputs: Mapping[str, str], samples: Samples) -> Iterator[dict[str, float]]:
    """The numbers at these outputs, batch by batch, XLA-compiled on this machine."""
    graph = editor.graph
    editor.graph = replace(graph, outputs=outputs)
    with silenced():
        function = compiled_function(editor.result(), WeightStore(freeze=True))
    for batch in samples.batches(graph.batch_size):
        # A short batch is filled up with its own samples.
        full = {name: np.resize(value, (graph.batch_size, *value.shape[1:])) for name, value in batch.inputs.items()}
        with silenced():
            results = function(*[tf.constant(full[info.name], info.dtype) for info in graph.inputs])
        yield {key: float(results[key]) for key in outputs}


def _reduced(editor: GraphEditor, tensor: str, kind: Literal["Max", "Sum"]) -> str:
    """The largest magnitude of a tensor in bfloat16, or the sum of its squares; the name of that output."""
    scope = f"float8_{kind.lower()}/{tensor.replace(':', '_')}"
    real = editor.add(f"{scope}/real", "Cast", [tensor])
    real.attr["SrcT"].type, real.attr["DstT"].type = tf.bfloat16.as_datatype_enum, tf.float32.as_datatype_enum
    size = editor.add(f"{scope}/size", "Abs" if kind == "Max" else "Square", [real.name])
    every = editor.add_constant(f"{scope}/every", np.array([-1], np.int32))
    flat = editor.add(f"{scope}/flat", "Reshape", [size.name, every])
    first = editor.add_constant(f"{scope}/first", np.array([0], np.int32))
    reduced = editor.add(f"{scope}/reduced", kind, [flat.name, first])
    for node in (size, flat, reduced):
        node.attr["T"].type = tf.float32.as_datatype_enum
    flat.attr["Tshape"].type = reduced.attr["Tidx"].type = tf.int32.as_datatype_enum
    return f"{reduced.name}:0"
