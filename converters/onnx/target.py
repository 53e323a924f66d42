"""The onnx target, as the table of targets lists it."""

from __future__ import annotations

from tfcompress.converters.onnx.options import Onnx
from tfcompress.converters.target import Facts, ReportRow, Target, convert_in

__all__ = ["ONNX"]


def _report_rows(facts: Facts) -> tuple[ReportRow, ...]:
    tensorrt = facts.get("tensorrt")
    if not tensorrt:
        return ()
    broken = tensorrt["broken_rules"]
    kept = f"{len(broken)} rules broken" if broken else "the file keeps its rules"
    return (ReportRow("TensorRT", f"not proven ({tensorrt['reason']}); {kept}"),)


def _tools() -> dict[str, str | None]:
    from tfcompress.cache.fingerprints import versions_of

    return versions_of(("onnx", "onnxruntime"))


ONNX = Target(
    name="onnx",
    title="ONNX",
    convert=convert_in("tfcompress.converters.onnx.conversion"),
    options=Onnx,
    depends_on=lambda recipe: {
        "onnx": recipe.section(Onnx),
        "post_training": recipe.post_training,
        "keep_float": recipe.keep_float,
    },
    needs_calibration=lambda recipe: True,
    takes_quantizers=False,
    done=lambda recipe: "ONNX: 8-bit integers in Q/DQ pairs",
    report_rows=_report_rows,
    tools=_tools,
)
