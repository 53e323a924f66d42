"""From a float model to int8 graphs for the TPU, or to the reason why it stays in bfloat16."""

from __future__ import annotations

from tfcompress.converters.cloud_tpu.int8.choice import Choice, choose, cycles_of
from tfcompress.converters.cloud_tpu.int8.error import SQNR_FOR_INT8_DB, sqnr_db
from tfcompress.converters.cloud_tpu.int8.program import program_of
from tfcompress.converters.cloud_tpu.narrow import NarrowGraphs
from tfcompress.converters.cloud_tpu.options import CloudTpu
from tfcompress.converters.cloud_tpu.plain import float_graph
from tfcompress.converters.litert.int8 import quantize_int8
from tfcompress.data import Samples
from tfcompress.errors import ConversionError, DataError
from tfcompress.layer_names import all_layers
from tfcompress.model import FloatModel
from tfcompress.recipe import Recipe

__all__ = ["make_int8"]


def make_int8(model: FloatModel, calibration: Samples | None, recipe: Recipe) -> NarrowGraphs:
    """The int8 graphs of a model at the recipe's batch sizes.

    A model that TFLite cannot take, or that has an operator without a form here, stays in bfloat16, and a note says
    why.  With ``auto`` so does one for which the compiler needs no fewer cycles in int8, or whose results int8 would
    change too much.

    Args:
        model: float, or quantization-aware, whose trained ranges are taken.
        calibration: representative samples; may be None for a quantization-aware model.
        recipe: `cloud_tpu` and what the phone's int8 takes.

    Raises:
        DataError: no samples, or a bad one.
    """
    if calibration is None and not model.quantization_aware:
        raise DataError(f"{model.name}: --tpu_precision={recipe.section(CloudTpu).precision} needs --calibration=DATA")
    names = tuple(layer.name for layer in all_layers(model.keras_model))
    sizes = recipe.section(CloudTpu).batch_sizes
    try:
        quantized = quantize_int8(model, calibration, recipe, integer_io=False)
        program = program_of(quantized.content, names)
        if not program.products():
            raise ConversionError("no convolution or dense layer of the model multiplies int8")
        alone = recipe.section(CloudTpu).sharding == "none"
        choice = choose(program, model, sizes[-1], recipe.section(CloudTpu).topologies, side_by_side=alone)
        graphs = tuple(choice.program.at_batch(model, size) for size in sizes)
    except ConversionError as error:
        return NarrowGraphs((), notes=(f"stays in bfloat16: {error}",))
    error_db = None if calibration is None else sqnr_db(model, graphs[0], calibration)
    facts = {"integer_products": {**choice.to_json(), "sqnr_db": error_db}}
    if recipe.section(CloudTpu).precision == "auto" and (reason := _against(model, recipe, choice, names, error_db)):
        return NarrowGraphs((), facts=facts, notes=(f"stays in bfloat16: {reason}",))
    return NarrowGraphs(graphs, names, facts, (*_notes(choice), *quantized.notes))


def _against(
    model: FloatModel, recipe: Recipe, choice: Choice, names: tuple[str, ...], error_db: float | None
) -> str | None:
    """Why `auto` does not take int8; None where it does."""
    if error_db is not None and error_db < SQNR_FOR_INT8_DB:
        return f"int8 keeps {error_db:.1f} dB of its results on calibration samples, expected {SQNR_FOR_INT8_DB:.0f}"
    if choice.topology is None or choice.batch_size is None:
        return "without the TPU compiler nothing tells whether int8 needs fewer cycles"
    plain = cycles_of(float_graph(model, choice.batch_size, recipe.section(CloudTpu), names), choice.topology)
    cheapest = min(choice.cycles.values())
    if plain is not None and plain <= cheapest:
        return (
            f"int8 needs {cheapest:.0f} cycles on {choice.topology} at batch {choice.batch_size}, bfloat16 {plain:.0f}"
        )
    return None


def _notes(choice: Choice) -> tuple[str, ...]:
    if choice.topology is None:
        return ("int8: no topology to choose by; depthwise convolutions are in bfloat16",)
    text = ", ".join(f"{name} {cycles:.0f}" for name, cycles in choice.cycles.items())
    return (f"int8: cycles on {choice.topology} at batch {choice.batch_size}: {text}; the least is taken",)
