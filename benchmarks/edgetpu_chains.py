"""Published parameter memory of chains of layers, against what is forecast: cached and streamed, by whole layers.

The figures are from logs of compiler 16 (github.com/Jorgitou98/EdgeTPU-QuantRL-Evaluation), whose models are not at
hand but are told by their scripts.  Logs count 64 outputs where a layer has fewer, so what is cached is compared in
bytes of the chip's memory.  ``python -m benchmarks.edgetpu_chains`` prints how many are right, also with a room that
was chosen on the other chains.
"""

from __future__ import annotations

import functools
import json
from pathlib import Path
from typing import TypedDict

from benchmarks.edgetpu_networks import Network
from tfcompress.converters.edgetpu.memory import Demand, demand
from tfcompress.converters.edgetpu.view import OperatorView
from tfcompress.graphs.tflite import Subgraph

__all__ = ["FIGURES", "Figure", "chain", "is_right", "left_out", "needs"]

CACHED, STREAMED = 0.05, 0.10  # how far a right one may be off
MIB = 2**20
ROOMS = [round(room * MIB / 100) for room in range(680, 796, 5)]


class Figure(TypedDict):
    """One line of the logs."""

    chain: str
    size: int
    cached_mib: float
    streamed_mib: float


FIGURES: list[Figure] = json.loads((Path(__file__).parent / "edgetpu_chains.json").read_text(encoding="utf-8"))[
    "figures"
]


def chain(name: str, size: int) -> Subgraph:
    """``fc4`` and ``fc5``: Dense layers of 64 or 6,912 inputs; ``conv5``: convolutions of 64 x 64 pictures."""
    network = Network(64 if name == "conv5" else 48 if name == "fc5" else 8)
    result = network.image
    if name == "conv5":
        for _ in range(5):
            result = network.convolution(result, size, 3)
        return network.graph()
    sizes = [size] * 4 + [10] if name == "fc4" else [size] * 5 + [12]
    if name == "fc4":
        result = network.vector(64)
    for outputs in sizes:
        result = network.dense(result, outputs)
    return network.graph()


@functools.cache
def needs(name: str, size: int) -> Demand:
    """What a chain asks of the parameter memory."""
    graph = chain(name, size)
    return demand([OperatorView(graph, operator) for operator in graph.operators], compiler=16)


def is_right(figure: Figure, room: int | None = None) -> bool:
    """Whether a figure is foretold.

    Args:
        figure: a line of the logs.
        room: for parameters; None for the one that is forecast.
    """
    asked = needs(figure["chain"], figure["size"])
    room = asked.room if room is None else room
    cached = sum(layer.occupied for layer in asked.cached(room)) / MIB
    streamed = asked.within(room).off_chip / MIB
    close = abs(cached - figure["cached_mib"]) <= CACHED * figure["cached_mib"]
    return close and abs(streamed - figure["streamed_mib"]) <= STREAMED * figure["streamed_mib"]


def left_out() -> dict[str, tuple[float, int, int]]:
    """{chain: (MiB of room that is best for the other chains, how many of its own are right with it, of how many)}."""
    result = {}
    for name in sorted({figure["chain"] for figure in FIGURES}):
        others = [figure for figure in FIGURES if figure["chain"] != name]
        own = [figure for figure in FIGURES if figure["chain"] == name]
        room = max(ROOMS, key=lambda room: sum(is_right(figure, room) for figure in others))
        result[name] = (round(room / MIB, 2), sum(is_right(figure, room) for figure in own), len(own))
    return result


def main() -> None:
    """Print how many are right."""
    print(sum(map(is_right, FIGURES)), "of", len(FIGURES))
    print(left_out())


if __name__ == "__main__":
    main()
