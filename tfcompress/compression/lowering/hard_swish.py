"""``x * relu6(x + 3) / 6``, written out in a graph: the converter makes one HARD_SWISH of it.

It does so whatever is fake-quantized in between.  So the simulation, too, must not quantize in between.
"""

from __future__ import annotations

import math
from typing import Any

from tfcompress.compression.lowering.symbols import symbol_of
from tfcompress.graphs.keras.call_graph import producer
from tfcompress.graphs.keras.protocols import Tensor
from tfcompress.graphs.keras.replay import Call
from tfcompress.graphs.keras.rewriting import Rewrite, Rewriter
from tfcompress.load.keras_versions.activations import translated_activation
from tfcompress.runtime import tf, tf_keras

__all__ = ["HARD_SWISH"]

_L = tf_keras.layers


def _hard_swish(call: Call, state: Rewrite) -> Tensor | None:
    if not math.isclose(call.layer.scale, 1 / 6, rel_tol=1e-6) or call.layer.offset:
        return None
    x = _input_of(call.inputs[0])
    return None if x is None else state.activation(call, "", translated_activation("hard_silu", to_keras3=False), x)


def _input_of(product: Any) -> Any:
    """`x`, where a tensor is ``x * relu6(x + 3)`` in this order; else None."""
    layer, factors = _made_by(product)
    if len(factors) != 2 or not (type(layer) is _L.Multiply or symbol_of(layer) == "math.multiply"):
        return None
    relu, sums = _made_by(factors[1])
    if len(sums) != 1 or not (symbol_of(relu) == "nn.relu6" or getattr(relu, "max_value", None) == 6.0):
        return None
    plus, terms = _made_by(sums[0])
    node = plus.inbound_nodes[0]
    adds_three = symbol_of(plus) in ("__operators__.add", "math.add") and any(
        isinstance(value, float) and value == 3.0 for value in tf.nest.flatten((node.call_args, node.call_kwargs))
    )
    return factors[0] if adds_three and len(terms) == 1 and terms[0] is factors[0] else None


def _made_by(tensor: Any) -> tuple[Any, list[Any]]:
    """The layer that a tensor came out of, and the tensors that went into it; none for a layer of several calls."""
    layer = producer(tensor)
    nodes = layer.inbound_nodes
    return layer, list(nodes[0].keras_inputs) if len(nodes) == 1 else []


HARD_SWISH: dict[object, Rewriter] = {_L.Rescaling: _hard_swish}
