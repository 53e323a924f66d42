"""From a float model to a phone's .tflite, with its facts and what its user should know."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from tfcompress.calibration import Calibration
from tfcompress.converters.artifact import Artifact
from tfcompress.converters.litert import converter_engine, schemes
from tfcompress.converters.litert.delegable import with_delegable_forms
from tfcompress.converters.litert.facts import describe
from tfcompress.converters.litert.float_tflite import float_file, without_quantizers
from tfcompress.converters.litert.int8 import quantize_int8
from tfcompress.converters.litert.limits import Abilities
from tfcompress.converters.litert.metadata import with_metadata
from tfcompress.converters.litert.mixed import never_slower_than_float, with_fastest_mix
from tfcompress.converters.litert.operator_times import OperatorTime, slow_among, times_of_files
from tfcompress.converters.litert.quick_recurrence import with_quick_recurrence
from tfcompress.converters.litert.time_ratios import in_rounds, is_surely_quicker, typical
from tfcompress.converters.phone.gpu import gpu_facts, gpu_note
from tfcompress.converters.usage import ports_of
from tfcompress.converters.usage.tflite import phone_page
from tfcompress.data import Samples
from tfcompress.data.fixed_sizes import with_fixed_sizes
from tfcompress.graphs.tflite import read_tflite
from tfcompress.layer_names import all_layers
from tfcompress.model import FloatModel
from tfcompress.processor import has_int8_dot_products
from tfcompress.recipe import PostTraining, Recipe
from tfcompress.remarks import optional

__all__ = ["ABILITIES", "convert"]

FILE_NAME = "model.tflite"
RANGES_NAME = "calibration.json"
ABILITIES = Abilities(
    more_bits=True,
    float_inputs=True,
    float_islands=True,
    float_outputs=True,
    loops=True,
    xnnpack=True,
    untrained=True,
)
INTEGERS_ALONE = replace(ABILITIES, float_inputs=False, float_islands=False, float_outputs=False)
# Schemes that need no calibration: from the float .tflite to the file.
SCHEMES = {"float16": schemes.float16, "dynamic": schemes.dynamic, "int4_weights": schemes.int4_weights}


@dataclass(frozen=True)
class _Made:
    """A file, the float one it was made from, its ranges, facts that are not in it, and notes."""

    content: bytes
    float_content: bytes | None
    ranges: Calibration | None
    facts: Mapping[str, object] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def convert(model: FloatModel, calibration: Samples | None, recipe: Recipe, output: Path) -> Artifact:
    """Convert a model for phones.

    Args:
        model: the float (or quantization-aware) model.
        calibration: representative inputs; None is allowed for schemes and models that need none.
        recipe: `post_training`, `keep_float` and `keep_int16` are used.
        output: existing empty folder; gets `model.tflite`, `USE.md`, and the ranges it was made with as
            `calibration.json`.

    Raises:
        ConversionError: the model cannot be converted; the message names the operator and what to do.
        DataError: calibration data is missing or bad, or the ranges to reuse were made for something else.
    """
    model = with_fixed_sizes(model, calibration)
    file = (_stored if recipe.post_training.scheme in SCHEMES else _calibrated)(model, calibration, recipe)
    path = output / FILE_NAME
    path.write_bytes(with_metadata(file.content, model))
    (output / "USE.md").write_text(phone_page(ports_of(file.content, model)), encoding="utf-8")
    if file.ranges is not None and calibration is not None:
        replace(file.ranges, data_sha256=calibration.sha256).save(output / RANGES_NAME)
    facts = {**describe(path, _measured_beside(model, file)), **file.facts}
    times = _operator_times(model, file)
    slow = slow_among(times)
    facts |= {
        key: [each.to_json() for each in group] for key, group in (("operator_times", times), ("slow_operators", slow))
    }
    gpu: tuple[str, ...] = ()
    with optional("phone: the forecast for its GPU"):
        facts["gpu"] = of_gpu = gpu_facts(
            read_tflite(file.content), [layer.name for layer in all_layers(model.keras_model)]
        )
        gpu = (gpu_note(of_gpu),)
    speed = _speed(facts, file, recipe)
    remarks = (*(each.note() for each in slow), *_advice(model, facts), *gpu)
    notes = (*(() if speed is None else (speed,)), *file.notes, *remarks)
    return Artifact("phone", output, path, facts, notes)


def _measured_beside(model: FloatModel, file: _Made) -> bytes | None:
    """The float file whose latency is told too; a quantization-aware model's is made for that alone."""
    if file.float_content is not None or not model.quantization_aware:
        return file.float_content
    with optional("phone: the float file to measure beside"):
        return without_quantizers(model)
    return None


def _operator_times(model: FloatModel, file: _Made) -> tuple[OperatorTime, ...]:
    """What each operator takes in float and in the file; nothing where the file was not calibrated."""
    times: tuple[OperatorTime, ...] = ()
    if file.ranges is not None and file.float_content is not None:
        with optional("phone: the time of each operator"):
            names = [layer.name for layer in all_layers(model.keras_model)]
            times = times_of_files(file.float_content, file.content, names)
    return times


def _calibrated(model: FloatModel, calibration: Samples | None, recipe: Recipe) -> _Made:
    """Integers that compute: weights and activations."""
    options = recipe.post_training
    ranges = None if options.calibration_ranges is None else Calibration.load(options.calibration_ranges)
    abilities = INTEGERS_ALONE if options.integer_only else ABILITIES
    integer_io = options.scheme != "int8_float_io"
    result = quantize_int8(model, calibration, recipe, integer_io=integer_io, abilities=abilities, ranges=ranges)
    result = with_delegable_forms(result, calibration, except_for=result.limits.keep_float)
    result = with_quick_recurrence(result, model, calibration, recipe, integer_io=integer_io, abilities=abilities)
    if options.scheme != "int16x8" and not options.integer_only:
        mix = with_fastest_mix if options.scheme == "auto" else never_slower_than_float
        result = mix(result, calibration, options)
    facts: dict[str, object] = {"engine": {"name": result.engine, "reason": result.reason}}
    if result.bit_widths:
        facts["bit_widths"] = [row.to_json() for row in result.bit_widths]
    notes = (f"engine: {result.engine} ({result.reason})", *result.notes)
    return _Made(result.content, result.float_content, result.calibration, facts, notes)


def _stored(model: FloatModel, calibration: Samples | None, recipe: Recipe) -> _Made:
    """Numbers stored with fewer bits, which need no data."""
    options = recipe.post_training
    float_result = float_file(model, allow_select_ops=options.allow_select_ops, samples=calibration)
    if options.engine == "tflite_converter":
        content, reason = converter_engine.stored(model, options.scheme, options.allow_select_ops), "asked for"
    else:
        content, reason = SCHEMES[options.scheme](float_result.content), f"the default for scheme {options.scheme}"
    engine = "tflite_converter" if options.engine == "tflite_converter" else "litert"
    facts = {"engine": {"name": engine, "reason": reason}}
    notes = (f"engine: {engine} ({reason})", *(item.note() for item in float_result.dropped))
    return _Made(content, float_result.content, None, facts, notes)


def _advice(model: FloatModel, facts: Mapping[str, object]) -> list[str]:
    """What a user should know about the file before shipping it."""
    notes = []
    if facts["select_ops"]:
        notes.append(f"needs TensorFlow's Flex delegate on the phone for {', '.join(_names(facts['select_ops']))}")
    if facts["float_ops"] and facts["input_dtypes"] != ["float32"]:
        notes.append(f"computed in float: {', '.join(_names(facts['float_ops']))}")
    if facts["resizable_batch"] is False:
        notes.append("runs one sample at a time: an operator or a recurrent state has its batch of 1 built in")
    left = facts["xnnpack"]["left"] if isinstance(facts["xnnpack"], dict) else {}
    if left:
        reasons = facts["xnnpack"].get("reasons", {}) if isinstance(facts["xnnpack"], dict) else {}
        counted = ", ".join(
            f"{count} {name}" + (f" ({reasons[name]})" if name in reasons else "") for name, count in left.items()
        )
        notes.append(f"XNNPACK does not take {counted}; they run on LiteRT's own, slower kernels")
    notes += [line for line in (_latency_line(facts, ""), _latency_line(facts, "_all_threads")) if line]
    size, float_size = facts["bytes"], model.float_bytes
    if isinstance(size, int) and float_size is not None and size > float_size:
        notes.append(f"larger than the float weights ({size} against {float_size} bytes): the graph outweighs them")
    return notes


def _latency_line(facts: Mapping[str, object], which: str) -> str | None:
    ours, floats = facts[f"latency_ms{which}"], facts[f"float_latency_ms{which}"]
    if not isinstance(ours, dict) or not isinstance(floats, dict):
        return None
    threads = ours.get("threads", 1)
    return (
        f"latency here on {threads} thread{'s' * (threads > 1)}: median {ours['median']:.3g} ms, p90 "
        f"{ours['p90']:.3g} ms; the float model's {floats['median']:.3g} ms and {floats['p90']:.3g} ms"
    )


def _speed(facts: Mapping[str, object], file: _Made, recipe: Recipe) -> str | None:
    """How much faster than float the file is, or what to choose where it is slower; None where it was not measured."""
    ours, floats = facts["latency_ms"], facts["float_latency_ms"]
    if not isinstance(ours, dict) or not isinstance(floats, dict):
        return None
    times = floats["median"] / ours["median"]
    here = "on one thread of this machine, measured by turns"
    if has_int8_dot_products() is False:
        here += "; this processor lacks the int8 dot products of a phone's, so measure on a phone"
    if times >= 1:
        return f"{times:.2f} times as fast as the float file {here}"
    return (
        f"slower than the float file: {times:.2f} times as fast {here}{_advice_on_scheme(file, recipe.post_training)}"
    )


def _advice_on_scheme(file: _Made, options: PostTraining) -> str:
    """What to choose in the place of integers that are slow; nothing for a scheme that computes in float."""
    if file.ranges is None or options.scheme == "int16x8":
        return ""
    mixed = "--scheme=auto" if options.scheme in ("int8", "int8_float_io") else ""
    if options.integer_only:
        mixed = "--scheme=auto without --integer_only"
    return f"; choose {mixed}{', or ' * bool(mixed)}{_fast_scheme(file)}"


def _fast_scheme(file: _Made) -> str:
    """The scheme to choose where int8 is slow, and why: `dynamic` where it is surely quicker than float."""
    with optional("phone: how fast scheme dynamic is"):
        if file.float_content is not None:
            rounds = in_rounds(schemes.dynamic(file.float_content), file.float_content)
            if is_surely_quicker(rounds):
                return f"--scheme=dynamic, which takes {typical(rounds):.2f} of the float file's time"
    return "--scheme=float16, which is as fast as float at half of its bytes"


def _names(value: object) -> list[str]:
    return [str(item) for item in value] if isinstance(value, list) else []
