"""Real models in int8 through Qualcomm's compiler and its HTP emulator, and the forecast beside the compiler.

`mapped` is the share of operators on the NPU of SM8750, in the file without any rewrite; `forecast_wrong` counts
operators on which the forecast differs from the compiler, over SM8350, SM8550 and SM8750.  `agreement` is the compiled
file's in the emulator with the int8 file's in LiteRT on the CPU; `kernels_agreement` is that of LiteRT's two sets of
kernels with each other, on the same samples.  keras.applications networks take 96x96 pixels and have random weights: a
class means nothing there, see `trained` and `inputs`.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

from benchmarks.agreement import agreement, sample_facts
from benchmarks.int8_files import inputs_of_file, int8_file, is_large, names
from benchmarks.models import SHARED
from tfcompress.accuracy_diff.litert_runner import LiteRtRunner
from tfcompress.converters.ethos_u.runner import reference_runner
from tfcompress.converters.snapdragon import compile_for, find_sdk, forecast
from tfcompress.converters.snapdragon.emulator import EmulatorRunner
from tfcompress.errors import TfCompressError
from tfcompress.graphs.tflite import read_tflite

__all__ = ["SECONDS", "names", "row"]

SECONDS = 1500
EMULATION_SECONDS = 400.0
ASKED = ("SM8350", "SM8550", "SM8750")
RUN_ON = "SM8750"


def row(name: str) -> dict[str, Any]:
    """One model on three chips, and in the emulator of the last."""
    try:
        content = int8_file(name)
        return _compiled(name, content)
    except TfCompressError as error:
        return {"status": "failed", "reason": str(error).replace(f"{SHARED}/models/", "")}


def _compiled(name: str, content: bytes) -> dict[str, Any]:
    sdk, file = find_sdk(), read_tflite(content)
    results = {soc: compile_for(content, soc, sdk) for soc in ASKED}
    wrong = 0
    for soc, result in results.items():
        expected = forecast(file, soc).operators
        wrong += sum(a.mapped != b.mapped for a, b in zip(result.mapping.operators, expected, strict=True))
    result = results[RUN_ON]
    mapping = result.mapping
    left = Counter(f"{row.operator}: {row.reason}" for row in mapping.operators if not row.mapped)
    figures: dict[str, Any] = {
        "operators": len(mapping.operators),
        "mapped": round(mapping.mapped_ops / len(mapping.operators), 4),
        "mapped_SM8350": round(results["SM8350"].mapping.mapped_ops / len(mapping.operators), 4),
        "partitions": mapping.figures["partitions"],
        "forecast_wrong": wrong,
        "int8_bytes": len(content),
        "compiled_bytes": None if result.content is None else len(result.content),
        "ddr_bytes": mapping.ddr_bytes,
        **sample_facts(name),
        "left": dict(left),
    }
    if result.content is None:
        return {"status": "failed", "reason": mapping.reason, **figures}
    figures |= _emulated(name, content, result.content)
    whole = mapping.cpu_ops == 0
    return {"status": "ok" if whole else "partly", "reason": None if whole else "; ".join(left), **figures}


def _emulated(name: str, content: bytes, compiled: bytes) -> dict[str, Any]:
    count = 32 if is_large(name) else 300
    inputs = inputs_of_file(name, content, count)
    usual = LiteRtRunner(content)
    figures = agreement(content, usual, EmulatorRunner(compiled), inputs, EMULATION_SECONDS)
    if is_large(name):  # the reference kernels are slow
        return figures
    plain = reference_runner(content, name="reference kernels")
    first = {key: values[: figures["samples"]] for key, values in inputs.items()}
    return figures | {"kernels_agreement": agreement(content, usual, plain, first, EMULATION_SECONDS)["agreement"]}
