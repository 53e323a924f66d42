"""Phone: a .tflite for LiteRT on Android and iOS CPUs.  `convert` is the whole job."""

from tfcompress.converters.phone.conversion import convert

__all__ = ["convert"]
