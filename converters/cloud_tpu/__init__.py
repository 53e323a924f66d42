"""The cloud_tpu target: a SavedModel for TF Serving on Cloud TPU, proven on the real TPU compiler.

`convert` does all of it; `prove` only compiles, and takes any SavedModel.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tfcompress.converters.cloud_tpu.conversion import convert, prove
    from tfcompress.converters.cloud_tpu.proof import CompileRow

__all__ = ["CompileRow", "convert", "prove"]


def __getattr__(name: str) -> object:
    """What is asked for is imported only then: it brings TensorFlow, which describing the target does not need."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from tfcompress.converters.cloud_tpu import conversion

    return getattr(conversion, name)
