"""The processor of this machine: its name, and what it can compute that shapes results and times."""

from __future__ import annotations

import functools
import platform
from collections.abc import Iterator
from pathlib import Path

__all__ = ["features", "has_int8_dot_products", "processor_name", "vector_instructions"]

_CPUINFO = Path("/proc/cpuinfo")
_NUMBERS = ("cpu family", "model", "CPU implementer", "CPU variant", "CPU part")  # of x86, then of Arm
# Flags of XNNPACK's int8 kernels, the fastest first (src/configs/gemm-config.c, qs8_qc8w), and those of them that add
# up four products of 8 bits at once: Intel's manual calls it VNNI, Arm's SDOT.
_BEST_FIRST = ("amx_int8", "avx512_vnni", "avx_vnni", "i8mm", "asimddp", "avx512bw", "avx2", "asimd", "sse4_1")
_DOT_PRODUCTS = frozenset(_BEST_FIRST[:5])


@functools.cache
def _first_core() -> dict[str, str]:
    """{key: value} of the first core, as Linux has it; nothing on another system."""
    try:
        text = _CPUINFO.read_text(encoding="utf-8")
    except OSError:
        return {}
    return dict(_pairs(text.split("\n\n", 1)[0]))


def _pairs(text: str) -> Iterator[tuple[str, str]]:
    for line in text.splitlines():
        key, separator, value = line.partition(":")
        if separator:
            yield key.strip(), value.strip()


def processor_name() -> str:
    """The model's name, with the family and model numbers where there are any: one name may stand for several."""
    core = _first_core()
    name = core.get("model name") or platform.processor() or platform.machine()
    numbers = [f"{key} {core[key]}" for key in _NUMBERS if key in core]
    return f"{name} ({', '.join(numbers)})" if numbers else name


def features() -> frozenset[str]:
    """Names of its instruction set extensions, as Linux calls them; empty where they are not known."""
    core = _first_core()
    return frozenset((core.get("flags") or core.get("Features") or "").split())


def has_int8_dot_products() -> bool | None:
    """Whether it multiplies and sums 8-bit integers in one instruction, as phones do; None where that is not known.

    Without it XNNPACK's int8 kernels are hardly faster than its float ones.
    """
    names = features()
    return bool(names & _DOT_PRODUCTS) if names else None


def vector_instructions() -> str | None:
    """The best that XNNPACK has int8 kernels for, as Linux calls them; None where that is not known."""
    names = features()
    return next((name for name in _BEST_FIRST if name in names), None)
