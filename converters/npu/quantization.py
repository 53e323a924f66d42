"""The int8 file that an NPU's compiler gets: the phone's, with the rewrites that make more of it map."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, replace

from tfcompress.converters.litert import Int8Model, quantize_int8, with_fixed_sizes
from tfcompress.converters.litert.float_tflite import first_sample, float_file
from tfcompress.converters.litert.limits import Abilities
from tfcompress.converters.litert.recurrent import fused_layers, recurrent_layers, unrolled_note
from tfcompress.converters.rewriting import EDGETPU, AppliedRewrite, rewrite_graph, rows_for
from tfcompress.data import Samples
from tfcompress.errors import ConversionError
from tfcompress.layer_names import all_layers
from tfcompress.model import FloatModel
from tfcompress.recipe import Recipe

__all__ = ["NpuFile", "quantized_for"]


@dataclass(frozen=True)
class NpuFile:
    """An int8 file and how it came to be.

    Attributes:
        result: the file, its engine and its notes.
        rewrites: what was done to the float graph for the sake of this NPU.
        layer_names: of the Keras model.
    """

    result: Int8Model
    rewrites: tuple[AppliedRewrite, ...]
    layer_names: tuple[str, ...]


def quantized_for(
    model: FloatModel,
    calibration: Samples | None,
    recipe: Recipe,
    refused: Callable[[bytes], Collection[str]],
) -> NpuFile:
    """Quantize a model; where the compiler leaves operators out, rewrite those that the Edge TPU's rewrites know.

    A rewrite is proven on the float graph (`graphs.tflite.rewriting`), and kept only where fewer operators are refused.
    Recurrent layers become loops, or LiteRT's fused LSTM, where none of that is refused; else they are unrolled.

    Args:
        model: what to quantize; a quantization-aware one is not rewritten, as its ranges sit at its own operators.
        calibration: representative inputs; None is allowed for a quantization-aware model.
        recipe: `post_training`, `keep_float` and `keep_int16` are used.
        refused: gives the operators of an int8 file that this NPU's compiler leaves to the CPU, one name for each.

    Raises:
        ConversionError: the model cannot be quantized, or has open input sizes and there are no samples.
        DataError: calibration data is missing or bad.
    """
    if calibration is None and any(size is None for info in model.inputs for size in info.shape[1:]):
        raise ConversionError(
            f"{model.name}: input sizes are open and an NPU needs fixed ones: give --calibration=DATA of one size"
        )
    model = with_fixed_sizes(model, calibration)
    if not recurrent_layers(model):
        return _without_loops(model, calibration, recipe, refused)
    looped, reason = _with_loops(model, calibration, recipe, refused)
    if looped is not None:
        return looped
    plain = _without_loops(model, calibration, recipe, refused)
    notes = (*plain.result.notes, *unrolled_note(model, reason))
    return replace(plain, result=replace(plain.result, notes=notes))


def _with_loops(
    model: FloatModel, calibration: Samples | None, recipe: Recipe, refused: Callable[[bytes], Collection[str]]
) -> tuple[NpuFile | None, str]:
    """The file with loops or fused LSTMs that the compiler takes whole; None, and the reason, where there is none."""
    if model.quantization_aware:
        return None, "training has simulated each step with 8 bits"
    if recipe.post_training.scheme == "int16x8":
        return None, "loops compute with 8-bit weights and 16-bit states of their own"
    names = tuple(layer.name for layer in all_layers(model.keras_model))
    integer_io, reasons = recipe.post_training.scheme != "int8_float_io", []
    for abilities in (Abilities(loops=True), Abilities(loops=True, fused_only=True)):
        result = quantize_int8(model, calibration, recipe, integer_io=integer_io, abilities=abilities)
        if abilities.fused_only and not fused_layers(result.content):
            break
        left = sorted(set(refused(result.content)))
        if not left:
            form = "LiteRT's fused LSTM" if fused_layers(result.content) else "loops"
            note = f"recurrent layers as {form}, which this target takes; states are cleared at the start of each call"
            return NpuFile(replace(result, notes=(*result.notes, note)), (), names), ""
        reasons.append(f"as {'fused LSTMs' if abilities.fused_only else 'loops'} they need {', '.join(left)}")
    return None, "; ".join(reasons) + ", which this target leaves out"


def _without_loops(
    model: FloatModel, calibration: Samples | None, recipe: Recipe, refused: Callable[[bytes], Collection[str]]
) -> NpuFile:
    names = tuple(layer.name for layer in all_layers(model.keras_model))
    options = recipe.post_training
    integer_io = options.scheme != "int8_float_io"
    result = quantize_int8(model, calibration, recipe, integer_io=integer_io)
    left = list(refused(result.content))
    rows = [row for row in rows_for(EDGETPU, "safe") if not row.in_int8 and set(row.operators) & set(left)]
    if model.quantization_aware or not rows:
        return NpuFile(result, (), names)
    content = float_file(model, allow_select_ops=options.allow_select_ops, samples=calibration).content
    rewritten = rewrite_graph(content, rows, layer_names=names, samples=first_sample(content, calibration))
    if not rewritten.applied:
        return NpuFile(result, (), names)
    better = quantize_int8(model, calibration, recipe, integer_io=integer_io, float_content=rewritten.content)
    if len(list(refused(better.content))) >= len(left):
        return NpuFile(result, (), names)
    return NpuFile(better, rewritten.applied, names)
