"""The options of the onnx target: its section of a recipe, and its flag."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from tfcompress.recipe.options import documented, option
from tfcompress.recipe.section import Section

__all__ = ["Onnx"]


@documented()
@dataclass(frozen=True, kw_only=True)
class Onnx(Section):
    """Options of the onnx target."""

    key: ClassVar[str] = "onnx"
    activations: Literal["symmetric", "asymmetric"] = option(
        "symmetric",
        flag="onnx_activations",
        help="symmetric gives all activations the zero point 0, which TensorRT wants, and leaves half of the integers "
        "idle where no value is negative, as behind a ReLU; asymmetric uses all of them, for ONNX Runtime alone",
    )
