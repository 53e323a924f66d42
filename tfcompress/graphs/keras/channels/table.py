"""The one table of rules: layer class -> which channels depend on each other through it."""

from __future__ import annotations

from tfcompress.graphs.keras.channels.adapters import adapter_rule
from tfcompress.graphs.keras.channels.elementwise import ELEMENTWISE
from tfcompress.graphs.keras.channels.kernels import KERNELS
from tfcompress.graphs.keras.channels.node import Rule
from tfcompress.graphs.keras.channels.operations import operation_rule, sliced
from tfcompress.graphs.keras.channels.recurrent import RECURRENT
from tfcompress.graphs.keras.channels.shapes import SHAPES

__all__ = ["RULES", "rule_of"]

RULES: dict[object, Rule] = {**KERNELS, **RECURRENT, **ELEMENTWISE, **SHAPES}


def rule_of(layer: object) -> Rule | None:
    """The rule of a tf_keras layer; None for one that nothing is known of, such as a user's own class."""
    if type(layer) in RULES:
        return RULES[type(layer)]
    kind = type(layer).__name__
    if kind == "TFOpLambda":
        return operation_rule(str(getattr(layer, "symbol", None) or layer.get_config()["function"]))  # type: ignore[attr-defined]
    if kind == "SlicingOpLambda":
        return sliced
    return adapter_rule(layer) if kind == "Keras3Layer" else None
