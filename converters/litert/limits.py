"""What a quantized file has to look like."""

from __future__ import annotations

from dataclasses import dataclass

from tfcompress.converters.litert.float_head import FloatHead
from tfcompress.converters.litert.float_runs import FloatRun
from tfcompress.converters.litert.float_tail import FloatTail
from tfcompress.converters.litert.recurrent.forms import Form

__all__ = ["Abilities", "Limits"]


@dataclass(frozen=True)
class Limits:
    """What the quantized file has to look like.

    Attributes:
        integer_io: integer inputs and outputs; else float32 ones.
        keep_float: names of output tensors whose operators stay float.
        tails: operators that stay in float before an output, which is given in float whatever `integer_io` says.
        head: operators that stay in float behind the inputs, of which those that they read are float.
        float_run: operators at either end that `quality=best` computes in float; they are among `keep_float`.
        keep_int16: names of output tensors whose operators compute with 16-bit activations.
        int16: 16-bit activations everywhere.
        dense_per_channel: one weight scale an output of FULLY_CONNECTED; runtimes older than 2024 know one in all only.
        recurrent: what LSTMs become where the float file has loops.
        fine_softmax: inner softmaxes may have a scale of their own, see `fine_softmax`.
    """

    integer_io: bool = True
    keep_float: tuple[str, ...] = ()
    tails: tuple[FloatTail, ...] = ()
    head: FloatHead | None = None
    float_run: FloatRun | None = None
    keep_int16: tuple[str, ...] = ()
    int16: bool = False
    dense_per_channel: bool = True
    recurrent: Form = "fused"
    fine_softmax: bool = False


@dataclass(frozen=True)
class Abilities:
    """What the target of a quantized file can do.

    Attributes:
        dense_per_channel: False gives FULLY_CONNECTED one weight scale in all, which only `tflite_converter` can do.
        int16: 16-bit activations may be used where the recipe asks for them or `quality=best` finds them better.
        more_bits: operators may get more bits unasked where 8 spoil an output, see `more_bits`.
        float_inputs: an input whose features differ in scale may be float32, see `float_head`.
        float_islands: operators may be float where 8 bits would destroy an output and nothing else repairs it.
        float_outputs: an output that joins parts of very different range may be float32, see `mixed_outputs`.
        loops: recurrent layers may become LiteRT's fused LSTM, or loops; else they are unrolled.
        fused_only: of these only the fused LSTM; what it does not compute is unrolled.
        xnnpack: LiteRT with XNNPACK runs the file, so that it may be shaped for these, see `fine_softmax` and
            `centred_operands`.
        learnt: `quality=best` may learn integers end to end; False where only the float weights and the ranges of the
            quantized file are taken.
        untrained: `quality=best` may take the float model quantized without training in the place of a trained one,
            where that is closer to float.
    """

    dense_per_channel: bool = True
    int16: bool = True
    more_bits: bool = False
    float_inputs: bool = False
    float_islands: bool = False
    float_outputs: bool = False
    loops: bool = False
    fused_only: bool = False
    xnnpack: bool = False
    learnt: bool = True
    untrained: bool = False
