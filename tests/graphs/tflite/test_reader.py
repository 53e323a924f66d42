"""A .tflite is described once, however often its content is asked for."""

import numpy as np
import pytest

from tests.converters.npu.models import int8_file
from tfcompress.graphs.tflite import read_tflite
from tfcompress.runtime import tf


@pytest.fixture(scope="module")
def content() -> bytes:
    return int8_file(tf.nn.relu)


def test_the_same_content_is_described_once(content: bytes) -> None:
    assert read_tflite(content) is read_tflite(content)


def test_a_copy_is_described_anew_so_that_its_arrays_lie_in_it(content: bytes) -> None:
    copy = bytes(bytearray(content))
    described = read_tflite(content)
    assert read_tflite(copy) is not described
    place = np.frombuffer(copy, np.uint8).ctypes.data
    for tensor in read_tflite(copy).main.tensors:
        if tensor.data is not None and tensor.data.size:
            assert place <= tensor.data.ctypes.data < place + len(copy)


def test_what_is_described_cannot_be_changed(content: bytes) -> None:
    constants = [tensor.data for tensor in read_tflite(content).main.tensors if tensor.data is not None]
    assert constants
    for data in constants:
        with pytest.raises(ValueError, match="read-only"):
            np.ravel(data)[:1] = 0
