"""USE.md of the ethos_u target: how its files are run on a microcontroller."""

from __future__ import annotations

from collections.abc import Sequence

from tfcompress.converters.ethos_u.configurations import CONFIGS
from tfcompress.converters.micro.operators import RESOLVER_METHODS
from tfcompress.converters.npu.mapping import CompiledMapping
from tfcompress.converters.usage import Ports, page, sample
from tfcompress.converters.usage.languages import cpp_labels, cpp_lines, tflm_data
from tfcompress.converters.usage.tflite import python_section

__all__ = ["usage"]

_INTERPRETER_BYTES = 16 * 1024  # beside the tensors: a first try, which the device then corrects


def usage(ports: Ports, mappings: Sequence[CompiledMapping]) -> str:
    """The page for these configurations.

    Args:
        ports: inputs and outputs of the int8 file, which are the compiled files' too.
        mappings: of each configuration, one of them at least with a file.
    """
    first = next(mapping for mapping in mappings if mapping.file is not None)
    left = dict.fromkeys(row.operator for row in first.operators if not row.mapped)
    methods = ["AddEthosU", *(RESOLVER_METHODS[name] for name in left if name in RESOLVER_METHODS)]
    feed, read = cpp_lines(ports, tflm_data)
    return page(
        "How to use these files",
        sample(
            "ethos_u",
            files=_files(mappings),
            table=ports.table(),
            file=first.file,
            arena=(first.sram_bytes or 0) + _INTERPRETER_BYTES,
            operators=len(methods),
            resolver="\n".join(f"resolver.{method}();" for method in methods),
            labels=cpp_labels(ports),
            feed=feed,
            read=read,
            python=python_section(ports),
        ),
    )


def _files(mappings: Sequence[CompiledMapping]) -> str:
    rows = [
        f"| `{mapping.file}` | {mapping.name}, {CONFIGS[mapping.name].system}, {CONFIGS[mapping.name].memory} | "
        f"{mapping.mapped_ops} of {len(mapping.operators)} | {mapping.cycles or 0:,} | {mapping.sram_bytes or 0:,} |"
        for mapping in mappings
        if mapping.file is not None
    ]
    heads = "| file | accelerator, system, memory mode | operators on the NPU | cycles | SRAM bytes |"
    return "\n".join([heads, "|---|---|---|---|---|", *rows])
