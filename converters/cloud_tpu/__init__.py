"""The cloud_tpu target: a SavedModel for TF Serving on Cloud TPU, proven on the real TPU compiler.

`convert` does all of it; `prove` only compiles, and takes any SavedModel.
"""

from typing import TYPE_CHECKING

from tfcompress.lazy_names import lazy_names

if TYPE_CHECKING:
    from tfcompress.converters.cloud_tpu.conversion import convert, prove
    from tfcompress.converters.cloud_tpu.proof import CompileRow

__all__ = ["CompileRow", "convert", "prove"]

__getattr__ = lazy_names(__name__, {"conversion": ["convert", "prove"], "proof": ["CompileRow"]})
