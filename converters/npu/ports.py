"""Inputs and outputs of a .tflite that another runtime than LiteRT runs: names, and real values as they are stored."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from tfcompress.accuracy_diff.runners import as_float32
from tfcompress.graphs.tflite import Signature, Tensor
from tfcompress.graphs.tflite.quantization import dequantize, quantize
from tfcompress.model import TensorInfo

__all__ = ["info_of", "port_names", "to_real", "to_stored"]


def port_names(signatures: Sequence[Signature]) -> dict[int, str]:
    """{tensor index: name in the signature}; empty where the file has none or several."""
    if len(signatures) != 1:
        return {}
    ports = {**signatures[0].inputs, **signatures[0].outputs}
    return {index: name for name, index in ports.items()}


def info_of(tensor: Tensor, names: Mapping[int, str]) -> TensorInfo:
    """An input or output as the accuracy diff knows it, with an open batch."""
    return TensorInfo(names.get(tensor.index, tensor.name), (None, *tensor.shape[1:]), tensor.dtype)


def to_stored(tensor: Tensor, values: np.ndarray) -> np.ndarray:
    """Real values as the tensor stores them."""
    dtype = np.dtype(tensor.dtype)
    if dtype.kind in "iu" and tensor.quantization is not None:
        scale, zero_point = float(tensor.quantization.scales[0]), int(tensor.quantization.zero_points[0])
        return quantize(values, scale, zero_point, dtype)
    return values.astype(dtype, copy=False)


def to_real(tensor: Tensor, values: np.ndarray) -> np.ndarray:
    """What stored values stand for, in float32."""
    if values.dtype.kind in "iu" and tensor.quantization is not None:
        scale, zero_point = float(tensor.quantization.scales[0]), int(tensor.quantization.zero_points[0])
        return dequantize(values, scale, zero_point)
    return as_float32(values)
