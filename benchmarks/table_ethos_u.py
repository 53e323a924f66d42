"""Real models in int8 through Vela: what maps to Ethos-U, in how many cycles and in which memory.

`mapped` is the share of operators on the NPU of U85-256, after the rewrites of the int8 file that `convert` tries for
these two accelerators; `mapped_before` is that without them, and `rewrites` names those that were kept.  `agreement` is
that of LiteRT's reference kernels, which Ethos-U promises to match, with LiteRT's own on the CPU.  keras.applications
networks take 96x96 pixels and have random weights: a class means nothing there, see `trained` and `inputs`.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

from benchmarks.agreement import agreement, sample_facts
from benchmarks.int8_files import inputs_of_file, int8_file, is_large, names
from benchmarks.models import SHARED
from tfcompress.accuracy_diff.litert_runner import LiteRtRunner
from tfcompress.converters.ethos_u import compile_for
from tfcompress.converters.ethos_u.conversion import npu_of
from tfcompress.converters.ethos_u.runner import reference_runner
from tfcompress.converters.npu.quantization import rewritten_file
from tfcompress.errors import TfCompressError

__all__ = ["SECONDS", "names", "row"]

SECONDS = 1500
RUN_SECONDS = 200.0
SMALL, MAIN = "ethos-u55-128", "ethos-u85-256"


def row(name: str) -> dict[str, Any]:
    """One model on a small and a large accelerator."""
    try:
        content = int8_file(name)
        return _compiled(name, content)
    except TfCompressError as error:
        return {"status": "failed", "reason": str(error).replace(f"{SHARED}/models/", "")}


def _compiled(name: str, content: bytes) -> dict[str, Any]:
    before = compile_for(content, MAIN).mapping
    content, applied, _ = rewritten_file(content, npu_of((SMALL, MAIN)))
    small, main = (compile_for(content, config).mapping for config in (SMALL, MAIN))
    total = len(main.operators)
    left = Counter(f"{row.operator}: {row.reason}" for row in main.operators if not row.mapped)
    figures: dict[str, Any] = {
        "operators": total,
        "mapped": round(main.mapped_ops / total, 4),
        "mapped_before": round(before.mapped_ops / len(before.operators), 4),
        "rewrites": ", ".join(item.name for item in applied) or None,
        "mapped_u55_128": round(small.mapped_ops / total, 4),
        "cycles": main.cycles,
        "cycles_u55_128": small.cycles,
        "milliseconds_u55_128": small.figures.get("milliseconds"),
        "sram_bytes_u55_128": small.sram_bytes,
        "flash_bytes_u55_128": small.figures.get("off_chip_flash_bytes"),
        "int8_bytes": len(content),
        **sample_facts(name),
        "left": dict(left),
    }
    if main.compiled is not True:
        return {"status": "failed", "reason": main.reason, **figures}
    figures |= _compared(name, content)
    whole = main.cpu_ops == 0
    return {"status": "ok" if whole else "partly", "reason": None if whole else "; ".join(left), **figures}


def _compared(name: str, content: bytes) -> dict[str, Any]:
    count = 4 if is_large(name) else 300  # reference kernels are slow
    inputs = inputs_of_file(name, content, count)
    usual = LiteRtRunner(content)
    return agreement(content, usual, reference_runner(content, name="reference kernels"), inputs, RUN_SECONDS)
