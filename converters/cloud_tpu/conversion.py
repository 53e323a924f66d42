"""From a float model to a SavedModel for TF Serving on Cloud TPU, proven on the real TPU compiler.

    FloatModel ──trace──> one graph a batch size ──precision──> SavedModel ──lower──> StableHLO ──compile──> rows

`convert` does all of it; `prove` only the last two steps, for any SavedModel.
"""

from __future__ import annotations

import gc
import json
import re
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Literal

from tfcompress import console
from tfcompress.compile_row import CompileRow, refusals
from tfcompress.converters.artifact import Artifact
from tfcompress.converters.cloud_tpu.chips import DEFAULT_TOPOLOGIES, check_topologies, chip_of
from tfcompress.converters.cloud_tpu.float8.conversion import make_float8
from tfcompress.converters.cloud_tpu.int8.conversion import make_int8
from tfcompress.converters.cloud_tpu.narrow import NarrowGraphs
from tfcompress.converters.cloud_tpu.options import CloudTpu
from tfcompress.converters.cloud_tpu.plain import float_graph
from tfcompress.converters.cloud_tpu.precheck import check_model
from tfcompress.converters.cloud_tpu.proof import compile_all
from tfcompress.converters.cloud_tpu.saved_model import write_saved_model
from tfcompress.converters.cloud_tpu.serving import write_batching_parameters, write_usage, write_warmup_requests
from tfcompress.converters.cloud_tpu.sharding.conversion import Sharded, prove_split, shard
from tfcompress.converters.cloud_tpu.stablehlo import lower_graph, lower_saved_model
from tfcompress.data import Samples
from tfcompress.data.fixed_sizes import with_fixed_sizes
from tfcompress.graphs.tensorflow.inference_graph import InferenceGraph
from tfcompress.layer_names import NumberedLayers, all_layers
from tfcompress.load import open_saved_model
from tfcompress.model import FloatModel
from tfcompress.recipe import Recipe
from tfcompress.remarks import optional

__all__ = ["CompileRow", "convert", "prove"]

VERSION_FOLDER = "saved_model/1"
_NARROW = ("int8", "fp8", "auto")  # precisions that are measured on samples
LARGE_MODEL_BYTES = 2**26
MOST_EXPORTED_BYTES = 2**30  # of the weights in model.stablehlo, which XLA holds as text while it is made


def convert(model: FloatModel, calibration: Samples | None, recipe: Recipe, output: Path) -> Artifact:
    """Convert `model` for Cloud TPU into the existing empty folder `output`.

    Args:
        model: in float; a quantization-aware one is taken with its fake quantization as it is.
        calibration: real samples, for the warm-up requests, for sizes that the model leaves open and for the ranges
            of int8; None leaves the requests out.
        recipe: `recipe.cloud_tpu` is used; for int8 also what the phone's int8 takes.
        output: gets ``saved_model/1``, ``compile.json``, ``batching_parameters.txt`` and ``USE.md``; up to 1 GiB of
            weights also ``model.stablehlo``; with `sharding` also ``sharded/``.

    Returns:
        Facts: bytes (of the SavedModel without the warm-up requests), batch_sizes, compile, input_dtypes,
        output_dtypes; for int8 also integer_products, for fp8 float8_products.

    Raises:
        ConversionError: the model cannot be traced, or XLA cannot take it.
        DataError: int8 without calibration samples, or a bad one.
    """
    options = recipe.section(CloudTpu)
    model = with_fixed_sizes(model, calibration)
    check_model(model, constants=options.freeze or options.precision in _NARROW)
    layers = _layer_names(model)
    built = _narrow(model, calibration, recipe, layers)
    graphs = list(built.graphs) if built and built.graphs else _float_graphs(model, recipe, layers)
    if built and built.graphs:
        layers = built.layer_names
    folder = output / VERSION_FOLDER
    folder.parent.mkdir()
    write_saved_model(graphs, folder, freeze=options.freeze)
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    notes = _write_companions(model, calibration, graphs, layers, output)
    rows: list[CompileRow] = []
    with optional("cloud_tpu: what the TPU compiler says"):
        loaded = open_saved_model(folder, ours=True)
        rows = prove(folder, options.topologies, layer_names=layers, loaded=loaded)
    split = Sharded((), ())
    if options.sharding != "none":
        split = shard(graphs, options.sharding, options.topologies, output, layers)
        rows += split.rows
    compile_rows = [row.to_json() for row in rows]
    (output / "compile.json").write_text(json.dumps(compile_rows, indent=2) + "\n", encoding="utf-8")
    return Artifact(
        target="cloud_tpu",
        folder=output,
        runnable=folder,
        facts={
            "bytes": size,
            "batch_sizes": list(options.batch_sizes),
            "input_dtypes": [info.dtype for info in model.inputs],
            "output_dtypes": [info.dtype for info in model.outputs],
            "compile": compile_rows,
            **(built.facts if built else {}),
        },
        notes=(*(built.notes if built else ()), *notes, *_compile_notes(rows), *split.notes),
    )


def prove(
    saved_model: Path,
    topologies: Sequence[str] = DEFAULT_TOPOLOGIES,
    *,
    batch_sizes: Sequence[int] = (1, 8),
    layer_names: Collection[str] = (),
    loaded: object = None,
    sharding: Literal["none", "data", "tensor"] = "none",
) -> list[CompileRow]:
    """Compile every signature of a SavedModel for `topologies`.

    Args:
        saved_model: the folder that holds ``saved_model.pb``; need not be made by tfcompress.
        topologies: written ``chip:XxY``.
        batch_sizes: where a signature leaves the batch open, compile it at these sizes.
        layer_names: of the Keras layers, for messages and advice; may be unknown.
        loaded: what `tfcompress.load.open_saved_model` gave for it; None opens it, through the door.
        sharding: also compile for all chips of each topology, split in this way, or in the other where that does not
            fit.

    Returns:
        One row per topology and signature; those of several chips come last.

    Raises:
        ModelError: no loadable SavedModel.
        RecipeError: a topology is misspelt.
    """
    check_topologies(topologies)
    console.note(f"compiling for {', '.join(topologies)}")
    lowered = lower_saved_model(saved_model, batch_sizes, layer_names, loaded=loaded)
    rows = compile_all(lowered, topologies, layer_names)
    return rows if sharding == "none" else rows + prove_split(lowered, sharding, topologies, layer_names)


def _narrow(
    model: FloatModel, calibration: Samples | None, recipe: Recipe, layers: Collection[str]
) -> NarrowGraphs | None:
    """The graphs of int8 or float8; None where the recipe asks for neither."""
    options = recipe.section(CloudTpu)
    if options.precision not in _NARROW:
        return None
    first_is_fast = bool(options.topologies) and chip_of(options.topologies[0]).float8
    if options.precision == "fp8" or (options.precision == "auto" and first_is_fast):
        return make_float8(model, calibration, recipe, layers)
    return make_int8(model, calibration, recipe)


def _layer_names(model: FloatModel) -> Collection[str]:
    names = tuple(layer.name for layer in all_layers(model.keras_model))
    return NumberedLayers(names) if model.flavor == "keras3" else names


def _float_graphs(model: FloatModel, recipe: Recipe, layer_names: Collection[str]) -> list[InferenceGraph]:
    options = recipe.section(CloudTpu)
    graphs = []
    for size in options.batch_sizes:
        graphs.append(float_graph(model, size, options, layer_names))
        if (model.float_bytes or 0) >= LARGE_MODEL_BYTES:
            gc.collect()  # TensorFlow's graphs are cycles, and each one made on the way holds a copy of the weights
    return graphs


def _write_companions(
    model: FloatModel,
    calibration: Samples | None,
    graphs: Sequence[InferenceGraph],
    layer_names: Collection[str],
    output: Path,
) -> list[str]:
    """Write what stands beside the SavedModel; notes on what was left out."""
    sizes = [graph.batch_size for graph in graphs]
    name = re.sub(r"\W+", "_", model.name).strip("_") or "model"
    exported = graphs[(len(graphs) - 1) // 2]
    weights = sum(value.nbytes for value in exported.large.values())
    notes = []
    if weights <= MOST_EXPORTED_BYTES:
        (output / "model.stablehlo").write_bytes(lower_graph(exported, layer_names))
    else:
        notes.append(f"no model.stablehlo: {weights / 2**30:.1f} GiB of weights; above 1 GiB use the SavedModel")
    write_batching_parameters(output / "batching_parameters.txt", sizes)
    size = exported.batch_size if weights <= MOST_EXPORTED_BYTES else None
    write_usage(output / "USE.md", model, sizes, model_name=name, exported=size)
    if calibration is None:
        return [*notes, "no calibration samples: no warm-up requests"]
    warmed = write_warmup_requests(output / VERSION_FOLDER, calibration, sizes, model_name=name)
    left_out = [str(size) for size in sizes if size not in warmed]
    return [*notes, *([f"no warm-up request above 16 MiB: batch size {', '.join(left_out)}"] if left_out else [])]


def _compile_notes(rows: Sequence[CompileRow]) -> tuple[str, ...]:
    return (*dict.fromkeys(line for row in rows for line in row.advice if "training=True" in line), *refusals(rows))
