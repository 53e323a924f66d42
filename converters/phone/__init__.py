"""Phone: a .tflite for LiteRT on Android and iOS CPUs.  `convert` is the whole job."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tfcompress.converters.phone.conversion import convert

__all__ = ["convert"]


def __getattr__(name: str) -> object:
    """`convert` is imported when it is asked for: it brings TensorFlow, which describing the target does not need."""
    if name == "convert":
        from tfcompress.converters.phone.conversion import convert

        return convert
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
