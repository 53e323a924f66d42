"""Recurrent layers in .tflite files: LiteRT's fused integer LSTM, a loop with an integer body, or a row of steps.

A recurrent layer is traced as one operator of ours (`marker`), which carries the weights and a description of the cell
(`cell`).  In the float file it becomes a WHILE loop (`loop`), which LiteRT runs and whose ranges are calibrated like
those of any other operator; both quantizers see it as one unknown operator; and in their int8 file it becomes the fused
LSTM (`fused`), the same loop with integers or with int8 weights alone, or a few operators for each step (`steps`).
What none of them can compute is unrolled (`layers`).
"""

from tfcompress.converters.litert.recurrent.forms import (
    Form,
    Held,
    fused_layers,
    held_back,
    loop_tensors,
    restored,
    with_loops,
)
from tfcompress.converters.litert.recurrent.layers import (
    MOST_STEPS,
    recurrent_layers,
    state_tensors,
    unrolled,
    unrolled_note,
)
from tfcompress.converters.litert.recurrent.marker import as_markers

__all__ = [
    "MOST_STEPS",
    "Form",
    "Held",
    "as_markers",
    "fused_layers",
    "held_back",
    "loop_tensors",
    "recurrent_layers",
    "restored",
    "state_tensors",
    "unrolled",
    "unrolled_note",
    "with_loops",
]
