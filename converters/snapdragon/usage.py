"""USE.md of the snapdragon target: how its files are run on a phone, and under which licence they were made."""

from __future__ import annotations

from collections.abc import Sequence

from tfcompress.converters.npu.mapping import CompiledMapping
from tfcompress.converters.snapdragon.chips import SOCS

__all__ = ["usage"]


def usage(mappings: Sequence[CompiledMapping]) -> str:
    """The text for these chips."""
    rows = "\n".join(
        f"| `{mapping.file}` | {_chip(mapping.name)} | {mapping.mapped_ops} of {len(mapping.operators)} |"
        for mapping in mappings
        if mapping.file is not None
    )
    return f"""# How to use these files

Each file runs on one chip, with LiteRT and its Qualcomm dispatch library.

| file | chip | operators on the NPU |
|---|---|---|
{rows}

## In an Android app

Add LiteRT and Qualcomm's runtime libraries to the app, as LiteRT's documentation "NPU acceleration with LiteRT" says:
`com.google.ai.edge.litert:litert` and the NPU runtime of Qualcomm.  Pick the file by `Build.SOC_MODEL`; ship the phone
target's `model.tflite` for all other chips.

```kotlin
val options = CompiledModel.Options(Accelerator.NPU, Accelerator.CPU)
val model = CompiledModel.create(context.assets, "model_${{Build.SOC_MODEL}}.tflite", options)
val inputs = model.createInputBuffers()
val outputs = model.createOutputBuffers()
inputs[0].writeInt8(input)   // quantized with the input's scale and zero point, see the report
model.run(inputs, outputs)
val result = outputs[0].readInt8()
```

## What is proven

The operators were mapped by Qualcomm's own compiler (`mapping.json` has its version and its reasons), and the accuracy
diff ran the compiled program in Qualcomm's HTP emulator on x86.  Not proven: time and energy on the phone.

## Licence

The compiler and the emulator come with onnxruntime-qnn under Qualcomm's "AI Stack License".  It allows developing with
them and shipping what they make inside an application; it does not allow passing the libraries on by themselves.
tfcompress contains none of them.  Read `Qualcomm_LICENSE.pdf` in the installed package before you ship.
"""


def _chip(name: str) -> str:
    return f"{name} ({SOCS[name].title})" if name in SOCS else name
