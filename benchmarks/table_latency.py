"""Every model at hand on this CPU: our int8 file beside both peers' and beside float, by turns in one process.

LiteRT with XNNPACK, one thread, batch 1; `_ms` is the median of the runs of one file, in several interpreters.
`over_best_peer` and `over_float` are ratios of such medians, smaller is better; they mean something on a machine that
does something else besides, which the milliseconds do not: all rows were made under the load of other work.  `float` is
TFLiteConverter's own file; `auto` is ours with `--scheme=auto`, `integers` with `--integer_only`.  Recurrent layers are
unrolled for the peers and for float, as TFLiteConverter alone cannot convert those of Keras 3.  What each rewrite was
worth, and which were left out, is in `notes`.
`sqnr_before_db` is of our file without the forms that are for XNNPACK, on the same inputs.  Networks of
keras.applications take pictures of 96 pixels; those with `@` those of that size.  `vision_transformer` is one of Keras
3 with the sizes of ViT-Tiny (Touvron et al. 2021, table 1) and four of its twelve blocks.
"""

from __future__ import annotations

import math
import statistics
from typing import Any

from benchmarks.int8_files import LARGE_SIDE, RECIPE, inputs_of, is_large
from benchmarks.int8_files import names as models
from benchmarks.measured_files import keep_files
from benchmarks.models import PREFIX, load
from benchmarks.peers import by_converter, by_litert
from tfcompress.converters.litert import quantize_int8
from tfcompress.converters.litert.delegable import with_delegable_forms
from tfcompress.converters.litert.float_tflite import convert_with, new_converter
from tfcompress.converters.litert.latency import medians, xnnpack_share
from tfcompress.converters.litert.mixed import never_slower_than_float, with_fastest_mix
from tfcompress.converters.litert.quality import output_error
from tfcompress.converters.litert.short_recurrence import with_short_recurrence
from tfcompress.converters.phone.conversion import ABILITIES
from tfcompress.data import Samples, samples_from_arrays
from tfcompress.data.fixed_sizes import with_fixed_sizes
from tfcompress.errors import TfCompressError
from tfcompress.load import float_model_from_keras
from tfcompress.model import FloatModel
from tfcompress.native_output import silenced
from tfcompress.runtime import keras

__all__ = ["SECONDS", "names", "row"]

SECONDS = 900
CALIBRATION_SAMPLES, LARGE_CALIBRATION_SAMPLES = 32, 4
RUN_SECONDS = 2.0  # of each file, shared by
INTERPRETERS = 5  # of it
VISION_TRANSFORMER = "vision_transformer"
WIDTH, HEADS, BLOCKS, PATCH, SIDE = 192, 3, 4, 16, 224
OTHERS = (
    VISION_TRANSFORMER,
    *(PREFIX + name for name in ("MobileNetV3Large", "MobileNetV3Small@224", "MobileNetV2@224")),
)


def names() -> list[str]:
    """Every model at hand, and some networks at another size."""
    return [*models(), *OTHERS]


def row(name: str) -> dict[str, Any]:
    """One model."""
    try:
        with silenced():
            model, samples, held_out = _given(name)
            before = quantize_int8(model, samples, RECIPE, abilities=ABILITIES)
            integers = with_delegable_forms(before, samples, except_for=before.limits.keep_float)
            stepped = with_short_recurrence(integers, model, samples, RECIPE, integer_io=True, abilities=ABILITIES)
            ours = never_slower_than_float(stepped, samples, RECIPE.post_training)
            auto = with_fastest_mix(stepped, samples, RECIPE.post_training)
            floating = convert_with(new_converter(model, allow_select_ops=False), model)
    except TfCompressError as error:
        return {"status": "failed", "reason": str(error)}
    files: dict[str, bytes | str] = {"ours": ours.content, "auto": auto.content, "float": floating}
    files["integers"] = integers.content
    files |= {"tfliteconverter": by_converter(model, samples), "litert_quantizer": by_litert(floating, samples)}
    contents = {who: content for who, content in files.items() if isinstance(content, bytes)}
    keep_files(name, contents)
    unique = list(dict.fromkeys(contents.values()))  # one figure for files that are the same
    measured = dict(zip(unique, _times(unique), strict=True))
    times = {who: measured[content] for who, content in contents.items()}
    quality = {
        f"{key}_db": _decibels(ours.float_content, content, held_out)
        for key, content in (("sqnr", ours.content), ("sqnr_before", before.content), ("auto_sqnr", auto.content))
    }
    reasons = [f"{who}: {content}" for who, content in files.items() if isinstance(content, str)]
    left: Any = xnnpack_share(ours.content)
    return {
        **_verdict(times),
        "reason": "; ".join(reasons),
        **{f"{who}_ms": None if ms is None else round(ms, 4) for who, ms in times.items()},
        **quality,
        "left": "" if left is None else ", ".join(f"{count} {operator}" for operator, count in left["left"].items()),
        "notes": [*ours.notes, *auto.notes[len(stepped.notes) :]],
    }


def _times(contents: list[bytes]) -> list[float | None]:
    """Milliseconds of each file; the median of several interpreters of each, as where one's memory lies counts too."""
    rounds = [medians(contents, seconds=RUN_SECONDS / INTERPRETERS) for _ in range(INTERPRETERS)]
    each = zip(*rounds, strict=True)
    return [None if None in times else statistics.median(time for time in times if time is not None) for times in each]


def _verdict(times: dict[str, float | None]) -> dict[str, Any]:
    """The status, and the ratios that the bars are about."""
    ours, auto, floating = (times.get(who) for who in ("ours", "auto", "float"))
    peers = [ms for who in ("tfliteconverter", "litert_quantizer") if (ms := times.get(who)) is not None]
    if ours is None or floating is None:
        return {"status": "failed"}
    ratios = {
        "over_best_peer": round(ours / min(peers), 3) if peers else None,
        "over_float": round(ours / floating, 3),
        "auto_over_float": None if auto is None else round(auto / floating, 3),
    }
    fast = ours <= floating and all(ours <= 1.02 * ms for ms in peers)
    return {"status": "ok" if fast else "partly", **ratios}


def _given(name: str) -> tuple[FloatModel, Samples, Samples]:
    """The model with its sizes fixed, inputs to calibrate with, and others to compare on."""
    plain, _, size = name.partition("@")
    if name == VISION_TRANSFORMER:
        model = _vision_transformer()
    else:
        model = load(plain, size=int(size) if size else LARGE_SIDE if is_large(plain) else None)
    count = LARGE_CALIBRATION_SAMPLES if is_large(plain) or name in OTHERS else CALIBRATION_SAMPLES
    arrays = inputs_of(plain, model, 2 * count)
    halves = [{key: value[part] for key, value in arrays.items()} for part in (slice(count), slice(count, None))]
    samples, held_out = (
        samples_from_arrays(half, model_inputs=model.inputs, model_outputs=model.outputs) for half in halves
    )
    return with_fixed_sizes(model, samples), samples, held_out


def _vision_transformer() -> FloatModel:
    keras.utils.set_random_seed(0)
    layers = keras.layers
    image = keras.Input((SIDE, SIDE, 3), name="image")
    tokens = layers.Reshape((-1, WIDTH))(layers.Conv2D(WIDTH, PATCH, strides=PATCH)(image))
    for _ in range(BLOCKS):
        normal = layers.LayerNormalization()(tokens)
        tokens = layers.Add()([tokens, layers.MultiHeadAttention(HEADS, WIDTH // HEADS)(normal, normal)])
        inner = layers.Dense(4 * WIDTH, activation="gelu")(layers.LayerNormalization()(tokens))
        tokens = layers.Add()([tokens, layers.Dense(WIDTH)(inner)])
    pooled = layers.GlobalAveragePooling1D()(layers.LayerNormalization()(tokens))
    scores = layers.Dense(1000, activation="softmax", name="scores")(pooled)
    return float_model_from_keras(keras.Model(image, scores), name=VISION_TRANSFORMER)


def _decibels(float_content: bytes | None, content: bytes, samples: Samples) -> float | None:
    error = 0.0 if float_content is None else output_error(float_content, content, samples)
    return round(-10 * math.log10(error), 2) if 0 < error < math.inf else None
