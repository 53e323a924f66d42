"""tfcompress: Keras models to TFLite int8, Edge TPU and Cloud TPU, each proven against the float model.

The names below are the public interface.  They are imported when first used, so that ``import tfcompress`` takes
milliseconds and does not import TensorFlow.
"""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tfcompress.lazy_names import lazy_names
from tfcompress.target_sections import use_target_sections

if TYPE_CHECKING:
    from tfcompress.api.callback import ConvertAtEnd
    from tfcompress.api.compress import compress
    from tfcompress.api.diff import diff
    from tfcompress.api.search import search
    from tfcompress.compression import finetune, strip, wrap
    from tfcompress.console import show_progress
    from tfcompress.converters.cloud_tpu.options import CloudTpu
    from tfcompress.converters.edgetpu.options import EdgeTpu
    from tfcompress.converters.ethos_u.options import EthosU
    from tfcompress.converters.onnx.options import Onnx
    from tfcompress.converters.phone.packing import inspect_packed, pack, packed_bytes, unpack
    from tfcompress.converters.snapdragon.options import Snapdragon
    from tfcompress.data import Samples, open_data
    from tfcompress.errors import (
        ConversionError,
        DataError,
        InputError,
        MissingExtraError,
        ModelError,
        OutputError,
        RecipeError,
        TfCompressError,
        UnsafeModelError,
    )
    from tfcompress.job.conversion import Conversion, convert
    from tfcompress.job.manifest import verify
    from tfcompress.load import inspect_model, load_model, to_keras3, to_tf_keras
    from tfcompress.model import FloatModel
    from tfcompress.progress import ProgressEvent, listening
    from tfcompress.recipe import (
        Clustering,
        Distillation,
        Layers,
        LowRank,
        PostTraining,
        Pruning,
        Quantization,
        Recipe,
        Structure,
        Student,
        Training,
    )

_HOME = {
    "api.callback": ["ConvertAtEnd"],
    "api.compress": ["compress"],
    "api.diff": ["diff"],
    "console": ["show_progress"],
    "converters.cloud_tpu.options": ["CloudTpu"],
    "converters.edgetpu.options": ["EdgeTpu"],
    "converters.ethos_u.options": ["EthosU"],
    "converters.onnx.options": ["Onnx"],
    "converters.phone.packing": ["inspect_packed", "pack", "packed_bytes", "unpack"],
    "converters.snapdragon.options": ["Snapdragon"],
    "data": ["Samples", "open_data"],
    "errors": [
        "ConversionError",
        "DataError",
        "InputError",
        "MissingExtraError",
        "ModelError",
        "OutputError",
        "RecipeError",
        "TfCompressError",
        "UnsafeModelError",
    ],
    "load": ["inspect_model", "load_model", "to_keras3", "to_tf_keras"],
    "job.manifest": ["verify"],
    "model": ["FloatModel"],
    "progress": ["ProgressEvent", "listening"],
    "job.conversion": ["Conversion", "convert"],
    "recipe": [
        "Clustering",
        "Distillation",
        "Layers",
        "LowRank",
        "PostTraining",
        "Pruning",
        "Quantization",
        "Recipe",
        "Structure",
        "Student",
        "Training",
    ],
    "compression": ["finetune", "strip", "wrap"],
}
_named = lazy_names(__name__, _HOME)

__version__ = (Path(__file__).parent / "VERSION").read_text(encoding="utf-8").strip()
__all__ = [
    "CloudTpu",
    "Clustering",
    "Conversion",
    "ConversionError",
    "ConvertAtEnd",
    "DataError",
    "Distillation",
    "EdgeTpu",
    "EthosU",
    "FloatModel",
    "InputError",
    "Layers",
    "LowRank",
    "MissingExtraError",
    "ModelError",
    "Onnx",
    "OutputError",
    "PostTraining",
    "ProgressEvent",
    "Pruning",
    "Quantization",
    "Recipe",
    "RecipeError",
    "Samples",
    "Snapdragon",
    "Structure",
    "Student",
    "TfCompressError",
    "Training",
    "UnsafeModelError",
    "__version__",
    "compress",
    "convert",
    "diff",
    "finetune",
    "inspect_model",
    "inspect_packed",
    "listening",
    "load_model",
    "open_data",
    "pack",
    "packed_bytes",
    "search",
    "show_progress",
    "strip",
    "to_keras3",
    "to_tf_keras",
    "unpack",
    "verify",
    "wrap",
]


use_target_sections(lambda: importlib.import_module("tfcompress.converters.target").option_sections())


def __getattr__(name: str) -> Any:
    if name == "search":  # a package that can be called
        return importlib.import_module("tfcompress.search")
    if name in ("compress", "convert", "diff"):
        from tfcompress.api.other_backend import ELSEWHERE
        from tfcompress.keras_backend import backend_in_use

        if backend_in_use() != "tensorflow":
            return ELSEWHERE[name]
    return _named(name)


def __dir__() -> list[str]:
    return sorted(__all__)
