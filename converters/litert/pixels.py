"""The range of an image input: that of its pixels, whatever the calibration images happened to hold."""

from __future__ import annotations

from dataclasses import replace

from tfcompress.calibration import Calibration, Range
from tfcompress.graphs.tflite.reader import TfliteFile
from tfcompress.model import FloatModel
from tfcompress.tensor_info import same_names
from tfcompress.usage import Normalization

__all__ = ["with_pixel_ranges"]


def with_pixel_ranges(ranges: Calibration, file: TfliteFile, model: FloatModel) -> Calibration:
    """The ranges, with those of image inputs replaced by what pixels of 0 to 255 become.

    Clients such as MediaPipe and sample code for the Edge TPU put the bytes of an image into a uint8 input as they are.
    That is right where the input's scale maps 0 to 255 to the whole range, which dark images would not give.

    Args:
        ranges: of the float file's tensors.
        file: the float .tflite.
        model: that it was made from, with what is known of its inputs.
    """
    inputs = {name: index for item in file.signatures if item.subgraph == 0 for name, index in item.inputs.items()}
    own = same_names([info.name for info in model.inputs], list(inputs)) or {}
    changed = {
        file.main.tensors[inputs[own[name]]].name: _range(normalization)
        for name, normalization in model.usage.normalization.items()
        if name in own
    }
    known_tensors = {name: value for name, value in changed.items() if name in ranges.ranges}
    return replace(ranges, ranges={**ranges.ranges, **known_tensors})


def _range(normalization: Normalization) -> Range:
    pairs = list(zip(normalization.mean, normalization.std, strict=True))
    return Range(min(-mean / std for mean, std in pairs), max((255 - mean) / std for mean, std in pairs))
