"""From a float model to graphs with products in float8, or to the reason why it stays in bfloat16."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from tfcompress.converters.cloud_tpu.chips import chip_of
from tfcompress.converters.cloud_tpu.float8.measured import largest_magnitudes, product_errors_db
from tfcompress.converters.cloud_tpu.float8.rewrite import products_of, with_float8
from tfcompress.converters.cloud_tpu.int8.choice import row_of
from tfcompress.converters.cloud_tpu.int8.error import SQNR_FOR_INT8_DB, sqnr_db
from tfcompress.converters.cloud_tpu.narrow import NarrowGraphs
from tfcompress.converters.cloud_tpu.options import CloudTpu
from tfcompress.converters.cloud_tpu.plain import float_graph
from tfcompress.data import Samples
from tfcompress.errors import ConversionError, DataError
from tfcompress.graphs.tensorflow.inference_graph import InferenceGraph
from tfcompress.layer_names import layers_of
from tfcompress.model import FloatModel
from tfcompress.recipe import Recipe

__all__ = ["make_float8", "mixed_layers"]

MEASURED_BATCH = 8  # more samples at once are measured no faster on a CPU


@dataclass(frozen=True)
class _Choice:
    """Which products are made in float8, whether their operands are stored in it alone, and {program: its cycles}."""

    names: frozenset[str]
    stored: bool
    topology: str | None
    cycles: dict[str, float]


def make_float8(
    model: FloatModel, calibration: Samples | None, recipe: Recipe, layer_names: Collection[str]
) -> NarrowGraphs:
    """The graphs of a model with float8 products, at the recipe's batch sizes.

    With ``auto`` a layer of which float8 keeps less than 20 dB stays in bfloat16, and as long as less than that is left
    of the model's results, so does the worse half of the others.

    Args:
        model: float.
        calibration: representative samples.
        recipe: `cloud_tpu` is used.
        layer_names: of the Keras layers; may be empty.

    Raises:
        DataError: no samples.
        ConversionError: the model cannot be traced, or XLA cannot take it.
    """
    options = recipe.section(CloudTpu)
    if calibration is None:
        raise DataError(f"{model.name}: --tpu_precision={options.precision} needs --calibration=DATA")
    plain = [float_graph(model, size, options, layer_names) for size in options.batch_sizes]
    size = options.batch_sizes[0]
    small = plain[0] if size <= MEASURED_BATCH else float_graph(model, MEASURED_BATCH, options, layer_names)
    products = {product.name: product for product in products_of(small)}
    if not products:
        return NarrowGraphs((), notes=("stays in bfloat16: no convolution or dense layer that float8 could make",))
    largest = largest_magnitudes(small, {product.operand for product in products.values()}, calibration)
    errors = product_errors_db(small, products, largest, calibration)
    least = SQNR_FOR_INT8_DB if options.precision == "auto" else -math.inf
    usable = frozenset(name for name in products if errors.get(name, math.inf) >= least)
    may_store = True
    while True:
        choice = _choose(plain[-1], _Candidates(usable, may_store), largest, options, layer_names)
        chosen = choice.names, choice.stored
        error = sqnr_db(model, _narrow(small, chosen, largest), calibration) if choice.names else None
        if error is None or error >= least:
            break
        usable = usable if choice.stored else _better_half(choice.names, errors)
        may_store = False
    facts: dict[str, object] = {"cycles": choice.cycles, "topology": choice.topology, "layers_db": errors}
    if not choice.names:
        why = "float8 needs no fewer cycles" if usable else f"no layer in float8 leaves {least:.0f} dB of the results"
        return NarrowGraphs((), facts={"float8_products": facts}, notes=(f"stays in bfloat16: {why}{_told(choice)}",))
    graphs = tuple(_narrow(graph, (choice.names, choice.stored), largest) for graph in plain)
    facts |= {"in_float8": sorted(choice.names), "operands_stored_in_float8_alone": choice.stored, "sqnr_db": error}
    notes = (f"float8 in {len(choice.names)} of {len(products)} products{_told(choice)}",)
    return NarrowGraphs(graphs, tuple(layer_names), {"float8_products": facts}, notes)


def _better_half(names: Collection[str], errors: Mapping[str, float]) -> frozenset[str]:
    """Those of which float8 keeps most."""
    ranked = sorted(names, key=lambda name: -errors.get(name, math.inf))
    return frozenset(ranked[: len(ranked) // 2])


def _told(choice: _Choice) -> str:
    cycles = ", ".join(f"{name} {value:.0f}" for name, value in choice.cycles.items())
    return f": cycles on {choice.topology}: {cycles}" if cycles else ""


def _narrow(graph: InferenceGraph, chosen: tuple[frozenset[str], bool], largest: Mapping[str, float]) -> InferenceGraph:
    names, stored = chosen
    products = {product.name: product for product in products_of(graph)}
    if not set(names) <= products.keys():
        raise ConversionError("float8: the model is traced into other operators at another batch size")
    return with_float8(graph, {name: products[name] for name in names}, largest, stored=stored)


@dataclass(frozen=True)
class _Candidates:
    """Products that may be made in float8, and whether their operands may be stored in it alone."""

    usable: frozenset[str]
    may_store: bool

    def programs(self) -> dict[str, tuple[frozenset[str], bool]]:
        """{name: (products in float8, their operands stored so)}."""
        programs = {"bfloat16": (frozenset[str](), False), "float8": (self.usable, False)}
        return programs | ({"float8, stored": (self.usable, True)} if self.may_store else {})


def _choose(
    graph: InferenceGraph,
    given: _Candidates,
    largest: Mapping[str, float],
    options: CloudTpu,
    layer_names: Collection[str],
) -> _Choice:
    """The cheapest of no float8, float8 wherever it is usable, and for each layer whichever costs it less."""
    topology = next((item for item in options.topologies if chip_of(item).float8), None)
    if topology is None or not given.usable:
        return _Choice(given.usable, False, None, {})
    candidates = given.programs()
    rows = {name: row_of(_narrow(graph, kind, largest), topology, layer_names) for name, kind in candidates.items()}
    cycles = {name: row.estimated_cycles for name, row in rows.items() if row.ok and row.estimated_cycles}
    best = min(cycles, key=lambda name: cycles[name], default="float8")
    base = "float8" if best == "bfloat16" else best
    mix = mixed_layers(given.usable, layer_names, *[rows[name].cycles_by_layer for name in ("bfloat16", base)])
    if mix and mix != given.usable:
        candidates["mixed"] = mix, candidates[base][1]
        row = row_of(_narrow(graph, candidates["mixed"], largest), topology, layer_names)
        cycles |= {"mixed": row.estimated_cycles} if row.ok and row.estimated_cycles else {}
        best = min(cycles, key=lambda name: cycles[name], default="float8")
    return _Choice(*candidates[best], topology, cycles)


def mixed_layers(
    usable: Collection[str], layer_names: Collection[str], wide: Mapping[str, int], narrow: Mapping[str, int]
) -> frozenset[str]:
    """The products whose layer costs less in float8; those of which the compiler does not tell both costs, too.

    Args:
        usable: names of products.
        layer_names: of the Keras layers.
        wide: {layer: cycles} with bfloat16.
        narrow: likewise with float8.
    """

    def gains(name: str) -> bool:
        layer = next(iter(layers_of(name, layer_names)), name)
        return layer not in wide or layer not in narrow or narrow[layer] < wide[layer]

    return frozenset(name for name in usable if gains(name))
