"""Inputs for a network of the zoo: photos, tokens, masks, graphs, and smooth walks for everything else."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from benchmarks.fair_inputs import photos

__all__ = ["samples_for"]

TOKENS, SIDE = 16, 64
TOTALS = {"total_nodes": 12, "total_edges": 20}  # of a graph whose arrays are full, as kgcnn asks for them
WORDS = 8
EDGES = 0.1  # share of the pairs of nodes that are neighbours


def samples_for(
    inputs: Sequence[tuple[str, tuple[int | None, ...], str]],
    count: int,
    *,
    vocabulary: int,
    size: int | None,
    pixels: float,
) -> dict[str, np.ndarray]:
    """{input name: [count, ...]}, the same ones every time.

    Args:
        inputs: name, shape without the batch, and dtype of each.
        count: how many samples.
        vocabulary: whole numbers are below it.
        size: what open sizes become; None takes `TOKENS` or, for pictures, `SIDE`.
        pixels: the largest value of a picture.
    """
    random = np.random.default_rng(0)
    return {
        name: _words(name, _closed(shape, size), count, random)
        if dtype == "string"
        else _values(name, _closed(shape, size), np.dtype(dtype), count, (vocabulary, pixels), random)
        for name, shape, dtype in inputs
    }


def _words(name: str, sizes: tuple[int, ...], count: int, random: np.random.Generator) -> np.ndarray:
    """Words of a vocabulary that counts them: c0 to c7 of a city."""
    return np.char.add(name[0], random.integers(0, WORDS, (count, *sizes)).astype(str))


def _closed(shape: tuple[int | None, ...], size: int | None) -> tuple[int, ...]:
    chosen = size or (SIDE if len(shape) >= 3 else TOKENS)
    return tuple(chosen if given is None else given for given in shape)


def _values(
    name: str, sizes: tuple[int, ...], dtype: Any, count: int, limits: tuple[int, float], random: np.random.Generator
) -> np.ndarray:
    vocabulary, pixels = limits
    name = name.lower()
    if "mask" in name:
        lengths = random.integers(max(1, sizes[-1] // 2), sizes[-1] + 1, (count, *[1] * len(sizes)))
        return np.broadcast_to(np.arange(sizes[-1]) < lengths, (count, *sizes)).astype(dtype)
    if name in TOTALS:
        return np.full((count, *sizes), TOTALS[name], dtype)
    if name == "adjacency":
        edges = random.random((count, *sizes)) < EDGES
        edges = edges | edges.transpose(0, 2, 1) | np.eye(sizes[0], dtype=bool)
        return (edges / edges.sum(axis=2, keepdims=True)).astype(dtype)
    if dtype.kind in "iu":
        low, high = (0, 2) if "segment" in name or "type" in name else (1, vocabulary)
        return random.integers(low, high, (count, *sizes)).astype(dtype)
    if len(sizes) == 3 and sizes[-1] in (1, 3) and min(sizes[:2]) >= 24 and photos() is not None:
        return (_mosaics(sizes, count) * (pixels / 255)).astype(dtype)
    if len(sizes) == 3 and sizes[0] in (1, 3) and min(sizes[1:]) >= 24 and photos() is not None:  # channels first
        return (_mosaics((*sizes[1:], sizes[0]), count).transpose(0, 3, 1, 2) * (pixels / 255)).astype(dtype)
    walk = np.cumsum(random.normal(size=(count, int(np.prod(sizes)))), axis=1)
    walk = (walk - walk.mean(axis=1, keepdims=True)) / (walk.std(axis=1, keepdims=True) + 1e-6)
    return walk.reshape(count, *sizes).astype(dtype)


def _mosaics(sizes: tuple[int, ...], count: int) -> np.ndarray:
    """Photos side by side at their own size: enlarged, they would lack the detail that random filters respond to."""
    pictures = photos()
    assert pictures is not None
    side = pictures.shape[1]
    down, across = (-(-size // side) for size in sizes[:2])
    chosen = np.arange(count * down * across) % len(pictures)
    tiles = pictures[chosen].reshape(count, down, across, side, side, 3).transpose(0, 1, 3, 2, 4, 5)
    cropped = tiles.reshape(count, down * side, across * side, 3)[:, : sizes[0], : sizes[1]].astype(np.float32)
    return cropped.mean(axis=-1, keepdims=True) if sizes[2] == 1 else cropped
