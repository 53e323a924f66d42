"""Instructions counted from QEMU's log, and LiteRT's own build for ARM where it can be had."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.arm import Emulator, Unavailable
from benchmarks.arm.emulator import instructions
from tests.converters.edgetpu.graphs import GraphBuilder
from tfcompress.graphs.tflite.interpreter import new_interpreter, run

LOG = b"""
----------------
IN:
0x7fffdff2c9cc:  d503201f  nop
0x7fffdff2c9d0:  a9bf7bfd  stp      x29, x30, [sp, #-0x10]!

Trace 0: 0x7ffff00b5140 [00001001/00007fffdff2c9cc/00000001/00008200]
MARK begin
Trace 0: 0x7ffff00b5140 [00001001/00007fffdff2c9cc/00000001/00008200]
IN:
0x7fffdff2c9d4:  d65f03c0  ret

Trace 0: 0x7ffff00b5400 [00001001/00007fffdff2c9d4/00000001/00008200]
Trace 0: 0x7ffff00b5140 [00001001/00007fffdff2c9cc/00000001/00008200]
Trace 0: 0x7ffff00b5800 [00001001/00007fffdf000000/00000001/00008200]
MARK end
Trace 0: 0x7ffff00b5140 [00001001/00007fffdff2c9cc/00000001/00008200]
MARK begin
MARK end
"""


def layer() -> bytes:
    """A dense layer in int8."""
    graph = GraphBuilder()
    source, weights = graph.input([1, 16], scale=0.05), graph.weights([8, 16], scale=0.01)
    result = graph.tensor([1, 8], scale=0.1)
    graph.operator("FULLY_CONNECTED", [source, weights], [result], "FullyConnectedOptions", version=4)
    return graph.content(result)


def test_a_block_counts_its_instructions_as_often_as_it_runs_between_marks() -> None:
    # Two of two instructions and one of one; a block whose translation was not seen is of another library.
    assert list(instructions(LOG.splitlines(keepends=True))) == [5, 0]


@pytest.mark.slow
def test_an_int8_layer_gives_the_same_integers_on_arm() -> None:
    content, values = layer(), np.random.default_rng(0).integers(-128, 128, (3, 1, 16)).astype(np.int8)
    try:
        with Emulator() as emulator:
            measured = emulator.run(content, [values])
            with pytest.raises(ValueError, match=r"type|dimension|INT8|FLOAT32"):
                emulator.run(content, [values.astype(np.float32)])
    except Unavailable as error:
        pytest.skip(f"the emulation cannot be had here: {error}")
    expected = [run(new_interpreter(content), [row])[0] for row in values]
    assert np.array_equal(measured.outputs[0], np.stack(expected))
    assert measured.instructions > 100
