"""The phone target, as the table of targets lists it."""

from __future__ import annotations

from pathlib import Path

from tfcompress.converters.forecast import Cost, Forecast
from tfcompress.converters.target import Facts, Step, Target, convert_in, litert_options, require_tflite
from tfcompress.load import read_admitted
from tfcompress.recipe import PostTraining, Recipe

__all__ = ["PHONE"]

_CALIBRATED = ("int8", "int8_float_io", "int16x8", "auto")
_SCHEMES = {
    "int8": "8-bit integers, inside and at both ends",
    "int8_float_io": "8-bit integers inside, float inputs and outputs",
    "int16x8": "16-bit activations and 8-bit weights",
    "float16": "16-bit float weights",
    "dynamic": "8-bit weights, activations quantized as they come",
    "int4_weights": "4-bit weights",
    "auto": "8-bit integers, and float where that is faster here",
}


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


def _inspect(path: Path, recipe: Recipe) -> Forecast:
    """What the phone's GPU would take."""
    from tfcompress.converters.phone.gpu import forecast
    from tfcompress.graphs.tflite import read_tflite

    del recipe
    require_tflite(path, "phone")
    return Forecast("mapping", [forecast(read_tflite(read_admitted(path, run=False))).to_json()])


PHONE = Target(
    name="phone",
    title="Phone",
    options=PostTraining,
    convert=convert_in("tfcompress.converters.phone.conversion"),
    depends_on=litert_options,
    needs_calibration=_needs_calibration,
    inspect=_inspect,
    costs=_costs,
    done=_done,
    next_steps=_next_steps,
    quantities=("packed_bytes", "macs", "latency_ms"),
    takes_every_scheme=True,
)
