"""What goes into a firmware: the model as a C++ array, the operators that it uses, and the arena that it needs."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from tfcompress import __version__
from tfcompress.converters.npu.mapping import CompiledMapping
from tfcompress.converters.usage.languages import cpp_labels
from tfcompress.converters.usage.ports import Ports

__all__ = ["ALIGNMENT", "UNPROVEN_ARENA", "arena_of", "resolver_lines", "write_sources"]

ALIGNMENT = 16  # `force_align` of a buffer's data in TFLite's schema
UNPROVEN_ARENA = 64 * 1024  # a first try for whoever could not measure it
_BYTES_A_LINE = 16


def arena_of(mapping: CompiledMapping) -> int:
    """The measured arena in bytes; a first try of 64 KiB where nothing was measured."""
    return UNPROVEN_ARENA if mapping.sram_bytes is None else mapping.sram_bytes


def resolver_lines(methods: Sequence[str]) -> str:
    """A C++ function that registers operators in a `MicroMutableOpResolver`."""
    calls = "".join(f"  if (resolver.{method}() != 0) return false;\n" for method in methods)
    return f"template <typename Resolver>\nbool RegisterOperators(Resolver& resolver) {{\n{calls}  return true;\n}}"


def write_sources(
    output: Path,
    content: bytes,
    mapping: CompiledMapping,
    methods: Mapping[str, str],
    counts: Mapping[str, int],
    ports: Ports,
) -> None:
    """Write ``model.tflite``, ``model.cc``, ``model.h`` and ``ops.json``.

    Args:
        output: existing folder.
        content: the .tflite.
        mapping: what TFLM said of it.
        methods: {operator: method of the resolver that registers it}.
        counts: {operator: how many of them}.
        ports: inputs, outputs and labels.
    """
    (output / "model.tflite").write_bytes(content)
    (output / "model.cc").write_text(_source(content, ports), encoding="utf-8")
    (output / "model.h").write_text(_header(content, mapping, list(methods.values()), ports), encoding="utf-8")
    text = {
        "arena_bytes": mapping.sram_bytes,
        "flash_bytes": len(content),
        "compiler_version": mapping.compiler_version,
        "proven": mapping.compiled is True,
        "operators": [{"op": name, "count": counts[name], "method": method} for name, method in methods.items()],
        "mapping": mapping.to_json(),
    }
    (output / "ops.json").write_text(json.dumps(text, indent=1) + "\n", encoding="utf-8")


def _source(content: bytes, ports: Ports) -> str:
    lines = (content[start : start + _BYTES_A_LINE] for start in range(0, len(content), _BYTES_A_LINE))
    rows = "".join(f"  {', '.join(f'0x{byte:02x}' for byte in line)},\n" for line in lines)
    labels = ""
    if ports.labels:
        labels = "\n" + cpp_labels(ports) + "\n"
    return (
        f"// Made by tfcompress {__version__}.\n"
        '#include "model.h"\n\n'
        f"alignas({ALIGNMENT}) const unsigned char g_model[] = {{\n{rows}}};\n"
        "const unsigned int g_model_len = sizeof(g_model);\n"
        f"{labels}"
    )


def _header(content: bytes, mapping: CompiledMapping, methods: Sequence[str], ports: Ports) -> str:
    measured = "measured" if mapping.sram_bytes is not None else "not measured: a first try"
    labels = f"extern const char* const kLabels[{len(ports.labels)}];\n" if ports.labels else ""
    return (
        f"// Made by tfcompress {__version__}.\n"
        "#ifndef TFCOMPRESS_MODEL_H_\n#define TFCOMPRESS_MODEL_H_\n\n"
        f"extern const unsigned char g_model[];  // {len(content)} bytes, a .tflite\n"
        "extern const unsigned int g_model_len;\n"
        f"{labels}"
        f"constexpr int kArenaBytes = {arena_of(mapping)};  // {measured}; see USE.md\n"
        f"constexpr int kOperators = {len(methods)};  // for MicroMutableOpResolver\n\n"
        f"{resolver_lines(methods)}\n\n"
        "#endif  // TFCOMPRESS_MODEL_H_\n"
    )
