"""Phone: a .tflite for LiteRT on Android and iOS CPUs.  `convert` is the whole job."""

from typing import TYPE_CHECKING

from tfcompress.lazy_names import lazy_names

if TYPE_CHECKING:
    from tfcompress.converters.phone.conversion import convert

__all__ = ["convert"]

__getattr__ = lazy_names(__name__, {"conversion": ["convert"]})
