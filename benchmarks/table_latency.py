"""Every model at hand on this CPU: our int8 file beside both peers' and beside float, by turns in one process.

LiteRT with XNNPACK, one thread, batch 1; `_ms` is the median of the runs of one file, in several interpreters.
`over_best_peer` and `over_float` are ratios of such medians, smaller is better; they mean something on a machine that
does something else besides, which the milliseconds do not: all rows were made under the load of other work.  `float` is
TFLiteConverter's own file; `auto` is ours with `--scheme=auto`, `integers` with `--integer_only`.  Recurrent layers are
unrolled for the peers and for float, as TFLiteConverter alone cannot convert those of Keras 3.  What each rewrite was
worth, and which were left out, is in `notes`.
`sqnr_db` is of our file's outputs, `logits_db` of what their softmax reads: an untrained network gives each of a
thousand classes a share that 8 bits round to 0 in every file (see `logits`).  `before_` is our file without the forms
that are for XNNPACK, on the same inputs, `peer_` the peer's file that is quickest, `auto_` ours with `--scheme=auto`.
`instructions` are the best of the CPU's that XNNPACK has int8 kernels for: with AVX2 alone int8 is hardly quicker than
float, with AVX-512 VNNI three times; rows without it are of a machine that was not recorded. `spread` says how far load
moved the ratio of our time to float's: its largest value in one interpreter over its smallest; a ratio within that of 1
is no difference. Networks of keras.applications take pictures of 96 pixels; those with `@` those of that size.
`vision_transformer` is one of Keras 3 with the sizes of ViT-Tiny (Touvron et al. 2021, table 1) and four of its twelve
blocks. Those of `zoo/` are built by `table_zoo` beforehand, in ``$TFCOMPRESS_ZOO``.
"""

from __future__ import annotations

import json
import math
import os
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.int8_files import LARGE_SIDE, RECIPE, inputs_of, is_large
from benchmarks.int8_files import names as models
from benchmarks.logits import without_last_softmax
from benchmarks.measured_files import keep_files
from benchmarks.models import APPLICATIONS, PREFIX, load
from benchmarks.peers import by_converter, by_litert
from benchmarks.zoo.build import resolved
from tfcompress.converters.litert import quantize_int8
from tfcompress.converters.litert.delegable import with_delegable_forms
from tfcompress.converters.litert.float_tflite import convert_with, new_converter
from tfcompress.converters.litert.latency import medians, xnnpack_share
from tfcompress.converters.litert.mixed import never_slower_than_float, with_fastest_mix
from tfcompress.converters.litert.quality import output_error
from tfcompress.converters.litert.quick_recurrence import with_quick_recurrence
from tfcompress.converters.phone.conversion import ABILITIES
from tfcompress.data import Samples, samples_from_arrays
from tfcompress.data.fixed_sizes import with_fixed_sizes
from tfcompress.errors import TfCompressError
from tfcompress.load import float_model_from_keras, load_model
from tfcompress.model import FloatModel
from tfcompress.native_output import silenced
from tfcompress.processor import vector_instructions
from tfcompress.runtime import keras

__all__ = ["SECONDS", "names", "row"]

SECONDS = 900
CALIBRATION_SAMPLES, LARGE_CALIBRATION_SAMPLES = 32, 4
RUN_SECONDS = 2.0  # of each file, shared by
INTERPRETERS = 10  # of it
VISION_TRANSFORMER = "vision_transformer"
WIDTH, HEADS, BLOCKS, PATCH, SIDE = 192, 3, 4, 16, 224
OWN_SIDES = {"InceptionV3": 299, "InceptionResNetV2": 299, "Xception": 299}  # of pictures; 224 for all others
AT_OWN_SIDE = tuple(f"{PREFIX}{name}@{OWN_SIDES.get(name, 224)}" for name in (*APPLICATIONS, "MobileNetV3Large"))
OTHERS = (VISION_TRANSFORMER, f"{PREFIX}MobileNetV3Large")
ZOO = "zoo/"
ZOO_NETWORKS = tuple(
    f"{ZOO}keras.io/{name}"
    for name in (
        "captcha_ocr", "mnist_convnet", "convmixer", "cct", "zero_dce", "mlp_image_classification",
        "image_classification_with_vision_transformer", "oxford_pets_image_segmentation",
        "super_resolution_sub_pixel", "image_classification_from_scratch",
    )
)  # fmt: skip
PEERS = ("tfliteconverter", "litert_quantizer")


def names() -> list[str]:
    """Every model at hand, networks of keras.applications at their own sizes, and ten of the zoo."""
    return [*models(), *OTHERS, *AT_OWN_SIDE, *ZOO_NETWORKS]


def row(name: str) -> dict[str, Any]:
    """One model."""
    try:
        with silenced():
            model, samples, held_out = _given(name)
            before = quantize_int8(model, samples, RECIPE, abilities=ABILITIES)
            integers = with_delegable_forms(before, samples, except_for=before.limits.keep_float)
            stepped = with_quick_recurrence(integers, model, samples, RECIPE, integer_io=True, abilities=ABILITIES)
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
    rounds = _times(contents)
    times = {who: None if None in each else statistics.median(each) for who, each in rounds.items()}
    by_prefix = {"": ours.content, "before_": before.content, "auto_": auto.content}
    quality = _quality(ours.float_content or floating, by_prefix, held_out)
    peers = {who: ms for who in PEERS if (ms := times.get(who)) is not None}
    if peers:
        quickest = min(peers, key=peers.__getitem__)
        # Its outputs are in the order of TFLiteConverter's float file.
        quality |= _quality(floating, {"peer_": contents[quickest]}, held_out)
    reasons = [f"{who}: {content}" for who, content in files.items() if isinstance(content, str)]
    left: Any = xnnpack_share(ours.content)
    return {
        **_verdict(times),
        "instructions": vector_instructions(),
        "spread": _spread(rounds),
        "reason": "; ".join(reasons),
        **{f"{who}_ms": None if ms is None else round(ms, 4) for who, ms in times.items()},
        **quality,
        "left": "" if left is None else ", ".join(f"{count} {operator}" for operator, count in left["left"].items()),
        "notes": [*ours.notes, *auto.notes[len(stepped.notes) :]],
    }


def _times(contents: Mapping[str, bytes]) -> dict[str, Sequence[Any]]:
    """Milliseconds of each file in several interpreters, as where one's memory lies counts too."""
    unique = list(dict.fromkeys(contents.values()))  # one figure for files that are the same
    rounds = [medians(unique, seconds=RUN_SECONDS / INTERPRETERS) for _ in range(INTERPRETERS)]
    each = dict(zip(unique, zip(*rounds, strict=True), strict=True))
    return {who: each[content] for who, content in contents.items()}


def _spread(rounds: Mapping[str, Sequence[Any]]) -> float | None:
    """The largest ratio of our time to float's in one interpreter over the smallest."""
    if None in (*rounds["ours"], *rounds["float"]):
        return None
    ratios = [ours / floating for ours, floating in zip(rounds["ours"], rounds["float"], strict=True)]
    return round(max(ratios) / min(ratios), 2)


def _verdict(times: dict[str, float | None]) -> dict[str, Any]:
    """The status, and the ratios that the bars are about."""
    ours, auto, floating = (times.get(who) for who in ("ours", "auto", "float"))
    peers = [ms for who in PEERS if (ms := times.get(who)) is not None]
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
    if name.startswith(ZOO):
        return _of_the_zoo(name.removeprefix(ZOO))
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


def _of_the_zoo(name: str) -> tuple[FloatModel, Samples, Samples]:
    folder = Path(os.environ.get("TFCOMPRESS_ZOO", "")) / "models" / name
    facts = json.loads((folder / "built.json").read_text(encoding="utf-8"))
    model = load_model(folder / facts["file"], custom_objects=resolved(facts["objects"]))
    parts = []
    for part in ("calibration", "evaluation"):
        with np.load(folder / f"{part}.npz") as arrays:
            keys = [info.name if info.name in arrays else key for info, key in zip(model.inputs, arrays, strict=True)]
            values = [arrays[key][:CALIBRATION_SAMPLES] for key in keys]
            given = {info.name: value for info, value in zip(model.inputs, values, strict=True)}
        parts.append(samples_from_arrays(given, model_inputs=model.inputs, model_outputs=model.outputs))
    return with_fixed_sizes(model, parts[0]), parts[0], parts[1]


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


def _quality(float_content: bytes, by_prefix: Mapping[str, bytes], samples: Samples) -> dict[str, float | None]:
    """The signal-to-noise ratio of each file's outputs, and of the logits where an output is a softmax of them."""
    logits = without_last_softmax(float_content)
    figures = {f"{whose}sqnr_db": _decibels(float_content, content, samples) for whose, content in by_prefix.items()}
    if logits != float_content:
        figures |= {
            f"{whose}logits_db": _decibels(logits, without_last_softmax(content), samples)
            for whose, content in by_prefix.items()
        }
    return figures


def _decibels(float_content: bytes, content: bytes, samples: Samples) -> float | None:
    error = output_error(float_content, content, samples)
    return round(-10 * math.log10(error), 2) if 0 < error < math.inf else None
