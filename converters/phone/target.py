"""The phone target, as the table of targets lists it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from tfcompress.converters.artifact import Artifact
from tfcompress.converters.forecast import Cost
from tfcompress.converters.target import Facts, Step, Target, litert_options
from tfcompress.recipe import PostTraining, Recipe

if TYPE_CHECKING:
    from tfcompress.data import Samples
    from tfcompress.model import FloatModel

__all__ = ["PHONE"]

_CALIBRATED = ("int8", "int8_float_io", "int16x8")
_SCHEMES = {
    "int8": "8-bit integers, inside and at both ends",
    "int8_float_io": "8-bit integers inside, float inputs and outputs",
    "int16x8": "16-bit activations and 8-bit weights",
    "float16": "16-bit float weights",
    "dynamic": "8-bit weights, activations quantized as they come",
    "int4_weights": "4-bit weights",
}


def _convert(model: FloatModel, calibration: Samples | None, recipe: Recipe, output: Path, /) -> Artifact:
    from tfcompress.converters.phone.conversion import convert

    return convert(model, calibration, recipe, output)


def _depends_on(recipe: Recipe) -> Facts:
    ranges = recipe.post_training.calibration_ranges
    return {**litert_options(recipe), "calibration_ranges": None if ranges is None else _sha256(Path(ranges))}


def _sha256(path: Path) -> str | None:
    """Of a file that the recipe names; None where it is absent, which conversion will say."""
    from tfcompress.data.files import sha256_of_file

    return sha256_of_file(path) if path.is_file() else None


def _needs_calibration(recipe: Recipe) -> bool:
    return recipe.post_training.scheme in _CALIBRATED


def _costs(facts: Facts) -> tuple[Cost, ...]:
    latency = (facts.get("latency_ms") or {}).get("median")
    if latency is None:
        return ()
    return (Cost("latency_ms", float(latency), "observed", "measured here: LiteRT with XNNPACK, one thread, batch 1"),)


def _done(recipe: Facts) -> str | None:
    scheme = (recipe.get("post_training") or {}).get("scheme")
    return f"phone: {_SCHEMES[scheme]}" if scheme in _SCHEMES else None


def _next_steps(facts: Facts) -> tuple[Step, ...]:
    del facts
    code = (
        "from ai_edge_litert.interpreter import Interpreter; model = Interpreter('phone/model.tflite'); "
        "model.allocate_tensors(); model.invoke(); print(model.get_output_details())"
    )
    return (
        Step("Put phone/model.tflite into the app; phone/USE.md has code for Android, iOS, browsers, C++ and Python."),
        Step("Try it on this machine:", f'python -c "{code}"'),
    )


PHONE = Target(
    name="phone",
    title="Phone",
    options=PostTraining,
    convert=_convert,
    depends_on=_depends_on,
    needs_calibration=_needs_calibration,
    costs=_costs,
    done=_done,
    next_steps=_next_steps,
    quantities=("packed_bytes", "macs", "latency_ms"),
    takes_every_scheme=True,
)
