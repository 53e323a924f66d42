"""USE.md of the micro target."""

from __future__ import annotations

from collections.abc import Sequence

from tfcompress.converters.micro.sources import arena_of, resolver_lines
from tfcompress.converters.npu.mapping import CompiledMapping
from tfcompress.converters.usage import Ports, page, sample
from tfcompress.converters.usage.languages import cpp_lines, tflm_data

__all__ = ["usage"]


def usage(ports: Ports, mapping: CompiledMapping, methods: Sequence[str], model_bytes: int) -> str:
    """The page for one file.

    Args:
        ports: its inputs and outputs.
        mapping: what TFLM said of it.
        methods: of the resolver.
        model_bytes: the file's size.
    """
    feed, read = cpp_lines(ports, tflm_data)
    return page(
        "How to use this model on a microcontroller",
        sample(
            "micro",
            table=ports.table(),
            model_bytes=f"{model_bytes:,}",
            feed=feed,
            read=read,
            resolver=resolver_lines(methods),
            memory=_memory(mapping, model_bytes),
            proven=_proven(mapping),
        ),
    )


def _memory(mapping: CompiledMapping, model_bytes: int) -> str:
    flash = (
        f"Flash: {model_bytes:,} bytes for the model, and TFLM's code, whose size depends on the compiler and is not "
        "counted here."
    )
    if mapping.sram_bytes is None:
        ram = f"RAM: the arena was not measured; start with {arena_of(mapping):,} bytes."
    else:
        figures = mapping.figures
        ram = (
            f"RAM: an arena of {mapping.sram_bytes:,} bytes, the smallest in which this file is prepared and runs, "
            f"found by trying.  In use are {figures['activation_bytes']:,} bytes for activations and "
            f"{figures['persistent_bytes']:,} for what lives as long as the interpreter.  It was measured on a 64-bit "
            "machine with TFLM's reference kernels: pointers are half as long on a 32-bit chip, while optimised "
            "kernels (CMSIS-NN, ESP-NN) may ask for more."
        )
    return (
        f"{flash}\n\n{ram}  On the device, `interpreter.arena_used_bytes()` after `AllocateTensors()` says what is in "
        "use there."
    )


def _proven(mapping: CompiledMapping) -> str:
    if mapping.compiled:
        return (
            f"TFLM's own interpreter ({mapping.compiler_version}) ran this file, and the accuracy diff compared its "
            "outputs with the float model's.  Not proven: time and energy on the chip, and the chip's own kernels."
        )
    return (
        f"Not proven: {mapping.reason}.  All operators are in TFLM's list; whether TFLM takes their types, and the "
        "arena, only a run would tell.  The accuracy diff ran this file with LiteRT's reference kernels, which TFLM's "
        "are made from."
    )
