"""USE.md of the onnx target."""

from __future__ import annotations

from collections.abc import Sequence

from tfcompress.converters.usage import Ports, page, sample
from tfcompress.converters.usage.languages import python_feed, python_read

__all__ = ["usage"]

_KEPT = """```shell
trtexec --onnx=model.onnx --stronglyTyped --saveEngine=model.plan     # TensorRT 10; before: --int8 --fp16
```

The file keeps to TensorRT's rules: zero points 0, one scale per tensor for activations and one per channel for weights,
float32 biases.  `python -m tfcompress.converters.onnx.tensorrt model.onnx` checks them."""
_BROKEN = """This file is not for TensorRT: {}.  `python -m tfcompress.converters.onnx.tensorrt
model.onnx` prints all that is against it."""


def usage(ports: Ports, broken: Sequence[str]) -> str:
    """The page for a model with these inputs and outputs.

    Args:
        ports: of the file, whose names are the Keras model's.
        broken: TensorRT's rules that the file does not keep, one line each.
    """
    feed = python_feed(ports, "feed[session.get_inputs()[{index}].name] = {value}")
    return page(
        "How to use model.onnx",
        sample(
            "onnx",
            tensorrt=_BROKEN.format(broken[0]) if broken else _KEPT,
            table=ports.table(),
            feed=feed,
            read=python_read(ports, "results[{index}]"),
        ),
    )
