"""Where a compiled program spends its time, and where the matrix unit is wasted, read off the compiler's optimised HLO.

libtpu writes its estimate of cycles beside each fused operator, and for each array a layout such as
``bf16[8,56,56,24]{3,0,2,1:T(8,128)}``: dimension 3 lies along the 128 lanes and dimension 0 along the 8 sublanes, each
padded up to a multiple.
Source: Google Cloud documentation, "Cloud TPU performance guide" (XLA efficiencies, tensor dimensions and padding).
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass

from tfcompress.layer_names import layers_of

__all__ = ["Findings", "read_findings"]

INSTRUCTION = re.compile(r"^\s+(?:ROOT )?%(?P<name>\S+) = (?P<shape>\(.*?\)|\S+) (?P<op>[\w\-]+)\((?P<rest>.*)$")
COMPUTATION = re.compile(r"^(?:ENTRY )?%(?P<name>\S+) \(.*\{$")
ARRAY = re.compile(r"^(?P<dtype>\w+)\[(?P<sizes>[\d,]*)\]\{(?P<order>[\d,]+):T\((?P<tile>\d+),(?P<lanes>\d+)\)")
MATRIX_OPS = frozenset({"convolution", "dot"})
KINDS = {
    "copy": "data movement", "transpose": "data movement", "reshape": "data movement", "pad": "data movement",
    "slice": "data movement", "concatenate": "data movement", "gather": "data movement", "scatter": "data movement",
    "dynamic-slice": "data movement", "dynamic-update-slice": "data movement", "convert": "data movement",
    "reduce": "reduction", "reduce-window": "reduction", "sort": "sorting",
}  # fmt: skip
LEAST_WASTE = 0.5
MOST_ADVICE = 5


@dataclass(frozen=True)
class Findings:
    """Findings on one compiled program.

    Attributes:
        time_share: {kind of operator: share of the estimated cycles}, largest first; empty where none are estimated.
        padding_waste: share of the matrix unit's results that is padding, weighted by cycles; None without matrix work.
        advice: one line for each of the costliest layers whose results are mostly padding.
    """

    time_share: Mapping[str, float]
    padding_waste: float | None
    advice: tuple[str, ...]


@dataclass(frozen=True)
class _Instruction:
    op: str
    shape: str
    cycles: int
    called: tuple[str, ...]
    trips: int
    source: str


def read_findings(hlo: str, layer_names: Collection[str]) -> Findings:
    """Findings in the text of an optimised HLO module.

    Args:
        hlo: of one program, as libtpu prints it.
        layer_names: of the Keras layers; may be empty.
    """
    computations, entry = _parse(hlo)
    cycles: Counter[str] = Counter()
    wasted: list[tuple[float, float, _Instruction, _Instruction]] = []
    for instruction, times in _walk(computations, entry, 1):
        spent = instruction.cycles * times
        inner = [one for name in instruction.called for one, _ in _walk(computations, name, 1)] or [instruction]
        matrix = next((one for one in inner if one.op in MATRIX_OPS), None)
        cycles[_kind(instruction, matrix, inner)] += spent
        if matrix and spent:
            wasted.append((spent, _waste(matrix.shape), matrix, instruction))
    total = sum(cycles.values())
    matrix_cycles = sum(spent for spent, *_ in wasted)
    return Findings(
        time_share={kind: round(spent / total, 4) for kind, spent in cycles.most_common() if spent} if total else {},
        padding_waste=round(sum(s * w for s, w, *_ in wasted) / matrix_cycles, 4) if matrix_cycles else None,
        advice=_advice(wasted, total, layer_names),
    )


def _parse(hlo: str) -> tuple[dict[str, list[_Instruction]], str]:
    computations: dict[str, list[_Instruction]] = {}
    entry = current = ""
    for line in hlo.splitlines():
        header = COMPUTATION.match(line)
        if header:
            current = header["name"]
            computations[current] = []
            entry = current if line.startswith("ENTRY") else entry
        elif (match := INSTRUCTION.match(line)) and current:
            computations[current].append(_instruction(match))
    return computations, entry


def _instruction(match: re.Match[str]) -> _Instruction:
    rest = match["rest"]
    cycles = re.search(r'"estimated_cycles":"(\d+)"', rest)
    trips = re.search(r'"known_trip_count":\{"n":"(\d+)"', rest)
    source = re.search(r'op_name="([^"]*)"', rest)
    called = re.findall(r"(?:calls|body)=%([^\s,]+)", rest)
    return _Instruction(
        op=match["op"],
        shape=match["shape"],
        cycles=int(cycles[1]) if cycles else 0,
        called=tuple(called),
        trips=int(trips[1]) if trips else 1,
        source=source[1] if source else "",
    )


def _walk(computations: Mapping[str, list[_Instruction]], name: str, times: int) -> Iterator[tuple[_Instruction, int]]:
    """Instructions of a computation, and those of the loops in it as often as they run."""
    for instruction in computations.get(name, []):
        if instruction.op == "while":
            for body in instruction.called:
                yield from _walk(computations, body, times * instruction.trips)
        else:
            yield instruction, times


def _kind(instruction: _Instruction, matrix: _Instruction | None, inner: list[_Instruction]) -> str:
    if matrix:
        return "matrix unit"
    ops = {one.op for one in inner} | {instruction.op}
    for op in ("sort", "reduce-window", "reduce"):
        if op in ops:
            return KINDS[op]
    moving = ops - {"parameter", "tuple", "get-tuple-element", "bitcast", "constant", "fusion", "broadcast"}
    if moving and all(op in KINDS or op.startswith("copy") for op in moving):
        return "data movement"
    return "elementwise"


def _tiled(shape: str) -> list[tuple[int, int, int]]:
    """(dimension, its size, its tile) of the two tiled dimensions, lanes first; empty for an unusual layout."""
    match = ARRAY.match(shape)
    if not match or not match["sizes"]:
        return []
    sizes = [int(size) for size in match["sizes"].split(",")]
    order = [int(dimension) for dimension in match["order"].split(",")]
    tiles = [int(match["lanes"]), int(match["tile"])]
    return [(dimension, sizes[dimension], tile) for dimension, tile in zip(order, tiles, strict=False)]


def _waste(shape: str) -> float:
    """Share of an array in its layout that is padding."""
    used = 1.0
    for _, size, tile in _tiled(shape):
        used *= size / (math.ceil(size / tile) * tile)
    return 1 - used


def _advice(
    wasted: list[tuple[float, float, _Instruction, _Instruction]], total: int, layer_names: Collection[str]
) -> tuple[str, ...]:
    lines: dict[str, None] = {}
    costly = sorted((entry for entry in wasted if entry[1] >= LEAST_WASTE), key=lambda entry: -entry[0] * entry[1])
    for spent, waste, matrix, instruction in costly[:MOST_ADVICE]:
        layers = layers_of(matrix.source or instruction.source, layer_names)
        where = f"layer {layers[0]!r}" if layers else matrix.source.rpartition("/")[2] or matrix.op
        dimension, size, tile = max(_tiled(matrix.shape), key=lambda part: _padded(part) / part[1])
        last = matrix.shape.partition("]")[0].count(",")
        what = "channels" if dimension == last else "batch size" if dimension == 0 else f"size of axis {dimension}"
        lines.setdefault(
            f"{where}: {waste:.0%} of the matrix unit's result is padding ({spent / total:.0%} of the time): {what} "
            f"{size} is padded to {_padded((dimension, size, tile))}; choose a multiple of {tile}"
        )
    return tuple(lines)


def _padded(part: tuple[int, int, int]) -> int:
    _, size, tile = part
    return math.ceil(size / tile) * tile
