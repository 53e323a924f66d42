"""What one call of a compiled program costs: cycles, seconds, and which of the chip's units each layer waits for.

libtpu's cost analysis has an ``optimal_seconds`` that knows no narrow dtypes, and adds negative marks of "unknown" to
the sum.  The scheduler's own estimate of cycles, which stands beside each instruction, has neither fault; so time is
these cycles over the chip's clock (`chips.Chip`).
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Collection
from dataclasses import asdict, dataclass
from typing import Literal

from tfcompress.converters.cloud_tpu.chips import Chip
from tfcompress.converters.cloud_tpu.hlo import FREE_OPS, Instruction, Module
from tfcompress.converters.cloud_tpu.layouts import read_array
from tfcompress.layer_names import layers_of

__all__ = ["Bound", "Estimate", "LayerCost", "collectives", "estimate"]

Bound = Literal["matrix unit", "vector unit", "memory"]
KERNEL_LABELS = re.compile(r"dim_labels=\w+_(\w+)->")
SHAPES = re.compile(r"\w+\[[\d,]*\](?:\{[^}]*\})?")
_COLLECTIVES = frozenset({"all-reduce", "all-gather", "reduce-scatter", "all-to-all", "collective-permute"})
# Memory that is on the chip: XLA marks it S(1) and up in the layout.
ON_CHIP = re.compile(r"S\(\d+\)")


@dataclass(frozen=True)
class LayerCost:
    """One layer's part of a call.

    Attributes:
        layer: the Keras layer, or where it is not known the TensorFlow operator, or the kind of instruction.
        cycles: by the compiler's estimate, of all its instructions.
        share: of the program's cycles.
        bound: the unit that most of these cycles are needed for.
    """

    layer: str
    cycles: int
    share: float
    bound: Bound


@dataclass(frozen=True)
class Estimate:
    """The cost of one call.

    Attributes:
        cycles: by the compiler's scheduler, loops as often as they run; None where it estimates none.
        seconds: `cycles` over the clock; never less than the chip's fastest arithmetic needs for the operations; where
            there are no cycles, the time in which the chip can do the arithmetic and move the bytes at best.
        bound: {unit: share of the cycles that are spent in instructions which wait for it}.
        layers: the costliest first.
    """

    cycles: int | None
    seconds: float | None
    bound: dict[Bound, float]
    layers: tuple[LayerCost, ...]

    def figures(self) -> dict[str, object]:
        """For people and scripts: ``bound`` and ``layers``."""
        return {"bound": dict(self.bound), "layers": [asdict(item) for item in self.layers]}


def estimate(
    hlo: str, chip: Chip, layer_names: Collection[str], *, flops: float | None, bytes_accessed: float | None
) -> Estimate:
    """The cost of one call of a program.

    Args:
        hlo: its optimised text.
        chip: that it was compiled for.
        layer_names: of the Keras layers; may be empty.
        flops: of one call by the compiler's count; None where it gives none.
        bytes_accessed: likewise.
    """
    module = Module.parse(hlo)
    by_unit: Counter[Bound] = Counter()
    by_layer: Counter[str] = Counter()
    layer_units: dict[str, Counter[Bound]] = {}
    for instruction, times in module.run():
        spent = instruction.cycles * times
        if not spent:
            continue
        unit, layer = _bound(instruction, module, chip), _layer(instruction, module, layer_names)
        by_unit[unit] += spent
        by_layer[layer] += spent
        layer_units.setdefault(layer, Counter())[unit] += spent
    total = sum(by_unit.values())
    layers = tuple(
        LayerCost(layer, spent, round(spent / total, 4), layer_units[layer].most_common(1)[0][0])
        for layer, spent in by_layer.most_common()
    )
    return Estimate(
        cycles=total or None,
        seconds=_seconds(total, chip, flops, bytes_accessed),
        bound={unit: round(spent / total, 4) for unit, spent in by_unit.most_common()},
        layers=layers,
    )


def collectives(hlo: str) -> dict[str, dict[str, int]]:
    """What the chips of a program tell each other: {kind: {"count", "bytes"}} of one call, bytes of results a chip.

    The cycles of an `estimate` leave the time for these out: the compiler does not tell it.

    Args:
        hlo: the program's optimised text.
    """
    module = Module.parse(hlo)
    counts: dict[str, dict[str, int]] = {}
    for instruction, times in module.run():
        for item in [instruction, *(module.inner(instruction) if instruction.called else ())]:
            kind = item.op.removesuffix("-start")
            if kind not in _COLLECTIVES:
                continue
            arrays = [read_array(shape) for shape in SHAPES.findall(item.shape)]
            sizes = [array.bytes for array in arrays if array]
            # What is started gives its operands and its results.
            moved = sum(sizes) if kind == item.op else max(sizes, default=0)
            entry = counts.setdefault(kind, {"count": 0, "bytes": 0})
            entry["count"] += times
            entry["bytes"] += moved * times
    return counts


def _seconds(cycles: int, chip: Chip, flops: float | None, bytes_accessed: float | None) -> float | None:
    arithmetic = None if flops is None else flops / chip.peak_flops
    if cycles:
        return max(cycles / chip.clock_hz, arithmetic or 0.0)
    if arithmetic is None or bytes_accessed is None:
        return None
    return max(arithmetic, bytes_accessed / chip.hbm_bytes_per_second)


def _bound(instruction: Instruction, module: Module, chip: Chip) -> Bound:
    """The unit that takes most of an instruction's cycles; what neither products nor memory explain is the vectors'."""
    product = module.product(instruction)
    memory = _hbm_bytes(instruction, module) / chip.bytes_per_cycle
    matrix = _matrix_cycles(product, module, chip) if product else 0.0
    rest = instruction.cycles - max(memory, matrix)
    parts: dict[Bound, float] = {"matrix unit": matrix, "memory": memory, "vector unit": rest}
    return max(parts, key=lambda unit: parts[unit])


def _matrix_cycles(product: Instruction, module: Module, chip: Chip) -> float:
    """Cycles in which full matrix units would do a product in the dtype of its operands, padding of tiles included."""
    result = read_array(_first_shape(product.shape))
    kernel = module.by_name.get(product.operands[1]) if len(product.operands) > 1 else None
    array = read_array(_first_shape(kernel.shape)) if kernel else None
    if result is None or kernel is None or array is None:
        return 0.0
    labels = KERNEL_LABELS.search(product.rest)
    outputs = array.sizes[labels[1].index("o")] if labels and "o" in labels[1] else array.sizes[-1]
    products = math.prod(result.sizes) / (1 - result.padding) * math.prod(array.sizes) / outputs
    factor = chip.narrow_factor if kernel.shape.startswith(("s8", "u8", "s4", "u4", "f8")) else 1
    return products / (chip.macs_per_cycle * factor)


def _hbm_bytes(instruction: Instruction, module: Module) -> int:
    """Bytes of an instruction's operands and results that are not in memory on the chip."""
    operands = [module.by_name[name].shape for name in instruction.operands if name in module.by_name]
    shapes = [shape for text in (instruction.shape, *operands) for shape in SHAPES.findall(text)]
    arrays = [read_array(shape) for shape in shapes if not ON_CHIP.search(shape)]
    return sum(array.bytes for array in arrays if array)


def _first_shape(text: str) -> str:
    result = SHAPES.search(text)
    return result[0] if result else text


def _layer(instruction: Instruction, module: Module, layer_names: Collection[str]) -> str:
    product = module.product(instruction)
    source = (product.source if product else "") or instruction.source
    if not source:
        source = next((item.source for item in module.inner(instruction) if item.source), "")
    layers = layers_of(source, layer_names)
    if layers:
        return layers[0]
    return source.rpartition("/")[2] or (instruction.op if instruction.op not in FREE_OPS else "other")
