"""Layers of one's own taken apart: what is inside of them becomes a flat graph of built-in layers and operations."""

from tfcompress.graphs.keras.taken_apart.flat_graph import FlatGraph, Leaf, has_parts, take_apart

__all__ = ["FlatGraph", "Leaf", "has_parts", "take_apart"]
