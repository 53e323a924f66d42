"""Where a compiled program spends its time, and where the matrix unit is wasted, read off the compiler's optimised HLO.

libtpu writes its estimate of cycles beside each fused operator, and a layout beside each array (see `layouts`).
Source: Google Cloud documentation, "Cloud TPU performance guide" (XLA efficiencies, tensor dimensions and padding).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from tfcompress.converters.cloud_tpu.hlo import Instruction, Module
from tfcompress.converters.cloud_tpu.layouts import Array, read_array
from tfcompress.layer_names import layers_of

__all__ = ["Findings", "read_findings"]

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
class _Product:
    """A product on the matrix unit: its estimated cycles, its result, and the TensorFlow operator it comes from."""

    cycles: int
    result: Array
    source: str

    @property
    def wasted_cycles(self) -> float:
        return self.cycles * self.result.padding


def read_findings(hlo: str, layer_names: Collection[str]) -> Findings:
    """Findings in the text of an optimised HLO module.

    Args:
        hlo: of one program, as libtpu prints it.
        layer_names: of the Keras layers; may be empty.
    """
    module = Module.parse(hlo)
    cycles: Counter[str] = Counter()
    products: list[_Product] = []
    for instruction, times in module.run():
        spent = instruction.cycles * times
        inner = module.inner(instruction)
        matrix = module.product(instruction)
        cycles[_kind(instruction, matrix, inner)] += spent
        result = read_array(matrix.shape) if matrix else None
        if matrix and result and spent:
            products.append(_Product(spent, result, matrix.source or instruction.source))
    total = sum(cycles.values())
    matrix_cycles = sum(product.cycles for product in products)
    return Findings(
        time_share={kind: round(spent / total, 4) for kind, spent in cycles.most_common() if spent} if total else {},
        padding_waste=round(sum(step.wasted_cycles for step in products) / matrix_cycles, 4) if matrix_cycles else None,
        advice=_advice(products, total, layer_names),
    )


def _kind(instruction: Instruction, matrix: Instruction | None, inner: list[Instruction]) -> str:
    if matrix:
        return "matrix unit"
    ops = {step.op for step in inner} | {instruction.op}
    for op in ("sort", "reduce-window", "reduce"):
        if op in ops:
            return KINDS[op]
    moving = ops - {"parameter", "tuple", "get-tuple-element", "bitcast", "constant", "fusion", "broadcast"}
    if moving and all(op in KINDS or op.startswith("copy") for op in moving):
        return "data movement"
    return "elementwise"


def _advice(products: Sequence[_Product], total: int, layer_names: Collection[str]) -> tuple[str, ...]:
    lines: dict[str, None] = {}
    mostly_padding = [product for product in products if product.result.padding >= LEAST_WASTE]
    for product in sorted(mostly_padding, key=lambda product: -product.wasted_cycles)[:MOST_ADVICE]:
        layers = layers_of(product.source, layer_names)
        where = f"layer {layers[0]!r}" if layers else product.source.rpartition("/")[2] or "a matrix product"
        worst = max(product.result.tiled, key=lambda part: part.padded / part.size)
        last = len(product.result.sizes) - 1
        what = {last: "channels", 0: "batch size"}.get(worst.index, f"size of axis {worst.index}")
        lines.setdefault(
            f"{where}: {100 * product.result.padding:.0f} % of the matrix unit's result is padding "
            f"({100 * product.cycles / total:.0f} % of the time): {what} {worst.size} is padded to {worst.padded}; "
            f"choose a multiple of {worst.tile}"
        )
    return tuple(lines)
