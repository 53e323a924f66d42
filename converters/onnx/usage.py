"""USE.md of the onnx target."""

from __future__ import annotations

from collections.abc import Sequence

from tfcompress.model import TensorInfo

__all__ = ["usage"]


def usage(inputs: Sequence[TensorInfo]) -> str:
    """The text for a model with these inputs."""
    feed = ", ".join(f"{info.name!r}: {_zeros(info)}" for info in inputs)
    return f"""# How to use model.onnx

An ONNX model with int8 Q/DQ pairs; its inputs and outputs are float32, at batch 1, with the channels last as in Keras.

## ONNX Runtime

```python
import numpy as np
import onnxruntime

session = onnxruntime.InferenceSession("model.onnx", providers=["CPUExecutionProvider"])
outputs = session.run(None, {{{feed}}})
```

## TensorRT

```shell
trtexec --onnx=model.onnx --stronglyTyped --saveEngine=model.plan     # TensorRT 10; before: --int8 --fp16
```

The file keeps to TensorRT's rules: zero points 0, one scale per tensor for activations and one per channel for weights,
float32 biases.  `python -m tfcompress.converters.onnx.tensorrt model.onnx` checks them.

## What is proven

The accuracy diff ran this file in ONNX Runtime on the CPU.  TensorRT is not proven: it needs an NVIDIA GPU.
"""


def _zeros(info: TensorInfo) -> str:
    shape = tuple(1 if size is None else size for size in info.shape)
    return f"np.zeros({shape}, np.{info.dtype})"
