"""The int8 file that an NPU's compiler gets: the phone's, with the rewrites that make more of it map."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace

from tfcompress.converters.litert import Int8Model, quantize_int8, with_fixed_sizes
from tfcompress.converters.litert.float_tflite import first_sample, float_file
from tfcompress.converters.litert.limits import Abilities
from tfcompress.converters.litert.recurrent import fused_layers, recurrent_layers, unrolled_note
from tfcompress.converters.rewriting import EDGETPU, AppliedRewrite, Rewrite, rewrite_graph, rows_for
from tfcompress.data import Samples
from tfcompress.errors import ConversionError
from tfcompress.layer_names import all_layers
from tfcompress.model import FloatModel
from tfcompress.recipe import Recipe

__all__ = ["Npu", "NpuFile", "quantized_for", "rewritten_file"]


@dataclass(frozen=True)
class Npu:
    """What a compiler leaves out of an int8 file, and the rewrites that may help.

    Attributes:
        refused: gives the operators of a file that stay on the CPU, one name for each, and once more for each chip
            where there are several.
        float_rows: rewrites of the float graph that int8 files are made of.
        file_rows: rewrites of the int8 file.
    """

    refused: Callable[[bytes], Collection[str]]
    float_rows: tuple[Rewrite, ...] = tuple(row for row in rows_for(EDGETPU, "safe") if not row.in_int8)
    file_rows: tuple[Rewrite, ...] = ()


@dataclass(frozen=True)
class NpuFile:
    """An int8 file and how it came to be.

    Attributes:
        result: the file, its engine and its notes.
        rewrites: what was done to the graph for the sake of this NPU.
        layer_names: of the Keras model.
    """

    result: Int8Model
    rewrites: tuple[AppliedRewrite, ...]
    layer_names: tuple[str, ...]


def quantized_for(model: FloatModel, calibration: Samples | None, recipe: Recipe, npu: Npu) -> NpuFile:
    """Quantize a model; where the compiler leaves operators out, rewrite those that it takes in another form.

    Rewrites of the float graph are proven on it (`graphs.tflite.rewriting`), those of the int8 file integer by integer;
    all are kept only where fewer operators are refused.  Recurrent layers become loops, or LiteRT's fused LSTM, where
    none of that is refused; else they are unrolled.

    Args:
        model: what to quantize; the float graph of a quantization-aware one stays, as its ranges sit at its own
            operators.
        calibration: representative inputs; None is allowed for a quantization-aware model.
        recipe: `post_training`, `keep_float` and `keep_int16` are used.
        npu: what the compiler refuses.

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
        return _without_loops(model, calibration, recipe, npu)
    looped, reason = _with_loops(model, calibration, recipe, npu)
    if looped is not None:
        return looped
    plain = _without_loops(model, calibration, recipe, npu)
    notes = (*plain.result.notes, *unrolled_note(model, reason))
    return replace(plain, result=replace(plain.result, notes=notes))


def rewritten_file(
    content: bytes, npu: Npu, layer_names: Collection[str] = ()
) -> tuple[bytes, tuple[AppliedRewrite, ...], list[str]]:
    """An int8 file with every rewrite after which fewer operators are refused.

    Args:
        content: the int8 .tflite.
        npu: what the compiler refuses, and the rewrites.
        layer_names: of the Keras model.

    Returns:
        The file, what was done to it, and the operators that are still refused.
    """
    left = list(npu.refused(content))
    applied: list[AppliedRewrite] = []
    for row in npu.file_rows:
        if not set(row.operators) & set(left):
            continue
        done = rewrite_graph(content, (row,), layer_names=layer_names)
        remaining = list(npu.refused(done.content)) if done.applied else left
        if len(remaining) < len(left):
            content, left = done.content, remaining
            applied += done.applied
    return content, tuple(applied), left


def _with_loops(model: FloatModel, calibration: Samples | None, recipe: Recipe, npu: Npu) -> tuple[NpuFile | None, str]:
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
        content, applied, left = rewritten_file(result.content, npu, names)
        if not left:
            form = "LiteRT's fused LSTM" if fused_layers(content) else "loops"
            note = f"recurrent layers as {form}, which this target takes; states are cleared at the start of each call"
            return NpuFile(replace(result, content=content, notes=(*result.notes, note)), applied, names), ""
        kinds = ", ".join(sorted(set(left)))
        reasons.append(f"as {'fused LSTMs' if abilities.fused_only else 'loops'} they need {kinds}")
    return None, "; ".join(reasons) + ", which this target leaves out"


def _without_loops(model: FloatModel, calibration: Samples | None, recipe: Recipe, npu: Npu) -> NpuFile:
    names = tuple(layer.name for layer in all_layers(model.keras_model))
    plain = _finished(quantize_int8(model, calibration, recipe, integer_io=_integer_io(recipe)), npu, names)
    file, left = plain
    rows = [row for row in npu.float_rows if set(row.operators) & set(left)]
    if model.quantization_aware or not rows:
        return file
    allow = recipe.post_training.allow_select_ops
    content = float_file(model, allow_select_ops=allow, samples=calibration).content
    rewritten = rewrite_graph(content, rows, layer_names=names, samples=first_sample(content, calibration))
    if not rewritten.applied:
        return file
    result = quantize_int8(model, calibration, recipe, integer_io=_integer_io(recipe), float_content=rewritten.content)
    better, still_left = _finished(result, npu, names, rewritten.applied)
    return better if len(still_left) < len(left) else file


def _finished(
    result: Int8Model, npu: Npu, names: tuple[str, ...], done: Sequence[AppliedRewrite] = ()
) -> tuple[NpuFile, list[str]]:
    """The file after its rewrites in int8, and what is still refused."""
    content, applied, left = rewritten_file(result.content, npu, names)
    return NpuFile(replace(result, content=content), (*done, *applied), names), left


def _integer_io(recipe: Recipe) -> bool:
    return recipe.post_training.scheme != "int8_float_io"
