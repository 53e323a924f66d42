"""USE.md of the ethos_u target: how its files are run on a microcontroller."""

from __future__ import annotations

from collections.abc import Sequence

from tfcompress.converters.ethos_u.configurations import CONFIGS
from tfcompress.converters.npu.mapping import CompiledMapping

__all__ = ["usage"]


def usage(mappings: Sequence[CompiledMapping]) -> str:
    """The text for these configurations."""
    rows = "\n".join(
        f"| `{mapping.file}` | {mapping.name}, {CONFIGS[mapping.name].system}, {CONFIGS[mapping.name].memory} | "
        f"{mapping.mapped_ops} of {len(mapping.operators)} | {mapping.cycles or 0:,} | {mapping.sram_bytes or 0:,} |"
        for mapping in mappings
        if mapping.file is not None
    )
    return f"""# How to use these files

Each file runs on one Ethos-U configuration, with TensorFlow Lite Micro and Arm's driver.  Where the system or the
memory mode differs from the one below, compile again with Vela and its `--system-config` and `--memory-mode`.

| file | accelerator, system, memory mode | operators on the NPU | cycles | SRAM bytes |
|---|---|---|---|---|
{rows}

## On the microcontroller

Link TensorFlow Lite Micro built with `CO_PROCESSOR=ethos_u` and `ethos-u-core-driver`, put the file into a 16-byte
aligned array (`xxd -i model_CONFIG.tflite`), and register Vela's operator with those that stay on the CPU:

```cpp
tflite::MicroMutableOpResolver<4> resolver;   // one for each kind of operator that is left, see mapping.json
resolver.AddEthosU();
tflite::MicroInterpreter interpreter(tflite::GetModel(model), resolver, arena, sizeof(arena));
interpreter.AllocateTensors();
memcpy(interpreter.input(0)->data.int8, input, interpreter.input(0)->bytes);
interpreter.Invoke();
```

## What is proven

Which operators run on the NPU, the memories and the cycles are the words of Vela, Arm's own compiler; cycles are its
estimate for the system named above.  The accuracy diff ran the same int8 file with LiteRT's reference kernels, with
which Arm promises that Ethos-U agrees bit by bit (Vela's OPTIONS.md and SUPPORTED_OPS.md).  Not proven: the compiled
command stream itself, which only a chip or Arm's Fixed Virtual Platform executes.
"""
