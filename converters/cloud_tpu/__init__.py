"""The cloud_tpu target: a SavedModel for TF Serving on Cloud TPU, proven on the real TPU compiler.

    FloatModel ──trace──> one graph a batch size ──precision──> SavedModel ──lower──> StableHLO ──compile──> rows

`convert` does all of it; `prove` only the last two steps, for any SavedModel.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from tfcompress import console
from tfcompress.converters.artifact import Artifact
from tfcompress.converters.cloud_tpu.graph import trace
from tfcompress.converters.cloud_tpu.precision import apply_precision
from tfcompress.converters.cloud_tpu.proof import CompileRow, check_topologies, compile_all
from tfcompress.converters.cloud_tpu.saved_model import write_saved_model
from tfcompress.converters.cloud_tpu.stablehlo import lower_saved_model
from tfcompress.data import Samples
from tfcompress.layer_names import all_layers
from tfcompress.model import FloatModel
from tfcompress.recipe import Recipe
from tfcompress.targets import DEFAULT_TOPOLOGIES, Target

__all__ = ["CompileRow", "convert", "prove"]

VERSION_FOLDER = "saved_model/1"


def convert(model: FloatModel, calibration: Samples | None, recipe: Recipe, output: Path) -> Artifact:
    """Convert `model` for Cloud TPU into the existing empty folder `output`.

    Args:
        model: in float; a quantization-aware one is taken with its fake quantization as it is.
        calibration: real samples, for the warm-up requests; None leaves those out.
        recipe: `recipe.cloud_tpu` is used.
        output: gets ``saved_model/1`` and ``compile.json``.

    Returns:
        Facts: bytes, batch_sizes, compile, input_dtypes, output_dtypes.

    Raises:
        ConversionError: the model cannot be traced, or XLA cannot take it.
        RecipeError: a topology is misspelt.
    """
    options = recipe.cloud_tpu
    check_topologies(options.topologies)
    layer_names = [layer.name for layer in all_layers(model.keras_model)] if model.keras_model is not None else []
    graphs = [
        apply_precision(
            trace(model, size), options.precision, layer_names=layer_names, keep_float32=options.keep_float32
        )
        for size in options.batch_sizes
    ]
    folder = output / VERSION_FOLDER
    folder.parent.mkdir()
    write_saved_model(graphs, folder, freeze=options.freeze)
    rows = prove(folder, options.topologies)
    compile_rows = [row.to_json() for row in rows]
    (output / "compile.json").write_text(json.dumps(compile_rows, indent=2) + "\n", encoding="utf-8")
    return Artifact(
        target=Target.CLOUD_TPU,
        folder=output,
        runnable=folder,
        facts={
            "bytes": sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()),
            "batch_sizes": list(options.batch_sizes),
            "input_dtypes": [info.dtype for info in model.inputs],
            "output_dtypes": [info.dtype for info in model.outputs],
            "compile": compile_rows,
        },
        notes=_notes(rows),
    )


def prove(
    saved_model: Path, topologies: Sequence[str] = DEFAULT_TOPOLOGIES, *, batch_sizes: Sequence[int] = (1, 8)
) -> list[CompileRow]:
    """Compile every signature of a SavedModel for `topologies`.

    Args:
        saved_model: the folder that holds ``saved_model.pb``; need not be made by tfcompress.
        topologies: written ``chip:XxY``.
        batch_sizes: where a signature leaves the batch open, compile it at these sizes.

    Returns:
        One row a topology and signature.

    Raises:
        ModelError: no loadable SavedModel.
        RecipeError: a topology is misspelt.
    """
    check_topologies(topologies)
    console.note(f"compiling for {', '.join(topologies)}")
    return compile_all(lower_saved_model(saved_model, batch_sizes), topologies)


def _notes(rows: Sequence[CompileRow]) -> tuple[str, ...]:
    unproven = next((row.error for row in rows if row.ok is None and row.error), None)
    if unproven:
        return (unproven,)
    return tuple(f"{row.topology} at batch {row.batch_size}: {row.error}" for row in rows if not row.ok)
