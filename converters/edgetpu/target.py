"""The edgetpu target, as the table of targets lists it."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from tfcompress.converters.edgetpu.options import EdgeTpu
from tfcompress.converters.forecast import Cost, Forecast
from tfcompress.converters.target import Facts, ReportRow, Step, Target, convert_in, litert_options, require_tflite
from tfcompress.graphs.keras.protocols import KerasModel
from tfcompress.recipe import Recipe

__all__ = ["EDGETPU"]

_RATES = "rates fitted to Coral's published figures, see `edgetpu.latency`"
_RULES = "rules of the Edge TPU compiler 16, see `edgetpu.rules`"


def _depends_on(recipe: Recipe) -> Facts:
    scheme: Literal["int8_float_io", "int8"] = "int8"  # all that is made here, but for the two ends
    if recipe.post_training.scheme == "int8_float_io":
        scheme = "int8_float_io"
    post_training = dataclasses.replace(recipe.post_training, scheme=scheme, calibration_ranges=None)
    return {**litert_options(recipe, EdgeTpu), "post_training": post_training}


def _mappable(keras_model: KerasModel) -> tuple[KerasModel, tuple[str, ...]]:
    """Activations that map in place of ones that do not."""
    from tfcompress.converters.edgetpu.trainable import with_mappable_activations

    return with_mappable_activations(keras_model)


def _inspect(path: Path, recipe: Recipe) -> Forecast:
    from tfcompress.converters.edgetpu.mapping_forecast import CompilerOptions, forecast

    _check_suffix(path)
    mapping = forecast(path, options=CompilerOptions.of(recipe.section(EdgeTpu))).to_json()
    return Forecast("mapping", mapping, _costs({"mapping": mapping}))


def _inspect_together(paths: Sequence[Path], recipe: Recipe) -> Facts:
    """Files that are compiled in one call, or were."""
    from tfcompress.converters.edgetpu.mapping_forecast import CompilerOptions, forecast_together
    from tfcompress.converters.edgetpu.tokens import token_notes

    for path in paths:
        _check_suffix(path)
    mappings = forecast_together(paths, options=CompilerOptions.of(recipe.section(EdgeTpu)))
    models = [{"model": str(path), "mapping": mapping.to_json()} for path, mapping in zip(paths, mappings, strict=True)]
    return {"models": models, "notes": list(token_notes(dict(zip(map(str, paths), mappings, strict=True))))}


def _check_suffix(path: Path) -> None:
    require_tflite(path, "edgetpu")


def _costs(facts: Facts) -> tuple[Cost, ...]:
    mapping = facts.get("mapping")
    if not mapping:
        return ()
    operators = mapping["mapped_ops"] + mapping["cpu_ops"]
    share = mapping["mapped_ops"] / operators if operators else None
    latency = mapping["latency_ms"] or {}
    return (
        Cost("npu", share, "observed", _RULES),
        Cost("on_chip_bytes", mapping["on_chip_bytes"], "observed", _RULES),
        Cost("off_chip_bytes", mapping["off_chip_bytes"], "observed", _RULES),
        Cost(
            "latency_ms", latency.get("estimate"), "inferred", _RATES, "usb3", latency.get("low"), latency.get("high")
        ),
    )


def _report_rows(facts: Facts) -> tuple[ReportRow, ...]:
    mapping = facts.get("mapping")
    if not mapping:
        return ()
    mapped, rest = mapping.get("mapped_ops") or 0, mapping.get("cpu_ops") or 0
    return (ReportRow("operators on the Edge TPU", f"{mapped} of {mapped + rest}"),)


def _next_steps(facts: Facts) -> tuple[Step, ...]:
    if any(name.endswith("_edgetpu.tflite") for name in facts["files"]):
        return (
            Step("Copy edgetpu/model_edgetpu.tflite to the device and open it with PyCoral or the Edge TPU delegate."),
        )
    return (
        Step("Compile it for the Edge TPU, on x86-64 Linux:", "edgetpu_compiler -s -o edgetpu edgetpu/model.tflite"),
        Step("Then copy edgetpu/model_edgetpu.tflite to the device and open it with PyCoral or the Edge TPU delegate."),
    )


def _tools() -> dict[str, str | None]:
    from tfcompress.converters.edgetpu.compiler import COMPILER, find_compiler
    from tfcompress.file_hashes import sha256_of_file

    compiler = find_compiler()
    return {COMPILER: None if compiler is None else sha256_of_file(Path(compiler))}


EDGETPU = Target(
    name="edgetpu",
    title="Edge TPU",
    options=EdgeTpu,
    convert=convert_in("tfcompress.converters.edgetpu.conversion"),
    depends_on=_depends_on,
    needs_calibration=lambda recipe: True,
    before_training=lambda recipe: _mappable if recipe.section(EdgeTpu).rewrite == "all" else None,
    inspect=_inspect,
    inspect_reads=("compiler", "multiple_subgraphs", "search_delegate"),
    inspect_together=_inspect_together,
    costs=_costs,
    done=lambda recipe: "Edge TPU: 8-bit integers throughout, as its compiler demands",
    report_rows=_report_rows,
    next_steps=_next_steps,
    tools=_tools,
    quantities=("packed_bytes", "macs", "latency_ms", "npu"),
)
