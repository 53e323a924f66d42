"""Real models as ONNX with int8 Q/DQ pairs: what is exported, how close it stays, and TensorRT's rules.

`agreement` is that of the ONNX file in ONNX Runtime with the phone's int8 file in LiteRT, `float_agreement` that with
the float model.  keras.applications networks take 96x96 pixels and have random weights: see `trained` and `inputs`.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from benchmarks.agreement import agreement, sample_facts
from benchmarks.int8_files import (
    CALIBRATION_SAMPLES,
    LARGE_CALIBRATION_SAMPLES,
    RECIPE,
    inputs_of,
    int8_file,
    is_large,
    load_small,
    names,
)
from benchmarks.models import SHARED
from tfcompress.accuracy_diff import runner_for
from tfcompress.accuracy_diff.litert_runner import LiteRtRunner
from tfcompress.accuracy_diff.onnx_runner import OnnxRunner
from tfcompress.converters.onnx import convert
from tfcompress.data import samples_from_arrays
from tfcompress.errors import TfCompressError

__all__ = ["SECONDS", "names", "row"]

SECONDS = 1500
RUN_SECONDS = 200.0


def row(name: str) -> dict[str, Any]:
    """One model, exported and compared."""
    try:
        return _exported(name)
    except TfCompressError as error:
        return {"status": "failed", "reason": str(error).replace(f"{SHARED}/models/", "")}


def _exported(name: str) -> dict[str, Any]:
    content, model = int8_file(name), load_small(name)
    count = LARGE_CALIBRATION_SAMPLES if is_large(name) else CALIBRATION_SAMPLES
    calibration: Any = inputs_of(name, model, count)
    samples = samples_from_arrays(calibration, model_inputs=model.inputs, model_outputs=model.outputs)
    arrays = inputs_of(name, model, 8 if is_large(name) else 300)
    with tempfile.TemporaryDirectory() as folder:
        artifact = convert(model, samples, RECIPE, Path(folder))
        facts: Any = artifact.facts
        broken = facts["tensorrt"]["broken_rules"]
        candidate, phone = OnnxRunner(artifact.runnable), LiteRtRunner(content)
        renamed = {info.name: value for info, value in zip(phone.inputs, arrays.values(), strict=True)}
        beside = agreement(content, phone, candidate, renamed, RUN_SECONDS)
        floats = agreement(content, runner_for(model), candidate, arrays, RUN_SECONDS)
    return {
        "status": "partly" if broken else "ok",
        "reason": broken[0] if broken else None,
        "bytes": facts["bytes"],
        "int8_bytes": len(content),
        "float_ops": ", ".join(facts["float_ops"]) or None,
        "broken_rules": len(broken),
        **sample_facts(name),
        "samples": beside["samples"],
        "agreement": beside["agreement"],
        "agreement_or_tie": beside["agreement_or_tie"],
        "agreement_of": beside["agreement_of"],
        "float_agreement": floats["agreement"],
        "float_difference": floats["largest_difference"],
    }
