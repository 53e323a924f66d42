"""What a conversion to a dtype narrower than bfloat16 gives."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from tfcompress.graphs.tensorflow.inference_graph import InferenceGraph

__all__ = ["NarrowGraphs"]


@dataclass(frozen=True)
class NarrowGraphs:
    """Graphs of int8 or float8, or why there are none.

    Attributes:
        graphs: one a batch size; empty where the model stays in bfloat16.
        layer_names: that the scopes of their operators bear.
        facts: for report.json.
        notes: for people.
    """

    graphs: tuple[InferenceGraph, ...]
    layer_names: tuple[str, ...] = ()
    facts: Mapping[str, object] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
