"""USE.md of the onnx target."""

from __future__ import annotations

from tfcompress.converters.usage import Ports, page, sample
from tfcompress.converters.usage.languages import python_feed, python_read

__all__ = ["usage"]


def usage(ports: Ports) -> str:
    """The page for a model with these inputs and outputs.

    Args:
        ports: of the file, whose names are the Keras model's.
    """
    feed = python_feed(ports, "feed[session.get_inputs()[{index}].name] = {value}")
    return page(
        "How to use model.onnx",
        sample("onnx", table=ports.table(), feed=feed, read=python_read(ports, "results[{index}]")),
    )
