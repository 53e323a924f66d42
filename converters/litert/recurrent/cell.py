"""What a recurrent layer computes, in the form that the writers of operators want."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Literal, Self

import numpy as np

__all__ = ["ACTIVATIONS", "FLAT", "HARD_SIGMOIDS", "STATES", "Cell", "Kind", "Weights"]

Kind = Literal["lstm", "gru", "rnn"]

# Keras' gates in its own order, and how many states each kind carries from step to step.
GATES: Mapping[Kind, int] = {"lstm": 4, "gru": 3, "rnn": 1}
STATES: Mapping[Kind, int] = {"lstm": 2, "gru": 1, "rnn": 1}
_USUAL_PEAKS = {"inputs": 8.0, "recurrent": 8.0, "output": 1.0, "cell": 8.0}
_LEAST_PEAK = 1e-3
# Slopes of ``clip(slope * x + 0.5, 0, 1)``: Keras 2's and Keras 3's (the libraries' reference pages).
HARD_SIGMOIDS: Mapping[str, float] = {"hard_sigmoid": 0.2, "keras3_hard_sigmoid": 1 / 6}
# Those with 16-bit kernels in LiteRT: LOGISTIC, TANH, RELU, nothing at all, and what MUL, ADD and RELU make together.
ACTIVATIONS = ("sigmoid", "tanh", "relu", "linear", *HARD_SIGMOIDS)
FLAT = ("sigmoid", "tanh", *HARD_SIGMOIDS)  # within 1, and flat beyond `GATE_BOUND`


@dataclass(frozen=True)
class Cell:
    """One call of a recurrent layer.

    Attributes:
        kind: LSTM, GRU or simple.
        name: of the tensor that it computes, with the scopes of its layers.
        steps: time steps.
        features: numbers that come in at each step.
        units: numbers that come out at each step.
        activation: of the candidate and, in an LSTM, of the shown state.
        recurrent_activation: of the gates.
        reset_after: the GRU's reset gate is behind the product with the recurrent kernel.
        go_backwards: the last step is computed first; outputs are in the order of computing, as in Keras.
        in_order: outputs are in the order of the input even so.
        return_sequences: all outputs are returned; else the last one.
        return_state: the states after the last step are returned too.
        given_state: the states before the first step are inputs; else they are zero.
        masked: a bool [1, steps] tells which steps count; the others leave output and states as they were.
        zero_masked: outputs of the other steps are zero.
        unread: nobody reads the outputs, but the states that are returned.
        peaks: largest magnitudes, see `peak_names`, where training has them; else calibration finds them.
    """

    kind: Kind
    name: str
    steps: int
    features: int
    units: int
    activation: str = "tanh"
    recurrent_activation: str = "sigmoid"
    reset_after: bool = True
    go_backwards: bool = False
    in_order: bool = False
    return_sequences: bool = False
    return_state: bool = False
    given_state: bool = False
    masked: bool = False
    zero_masked: bool = False
    unread: bool = False
    peaks: Mapping[str, float] = field(default_factory=dict)

    @property
    def states(self) -> int:
        """How many states there are."""
        return STATES[self.kind]

    @property
    def peak_names(self) -> tuple[str, ...]:
        """Values whose largest magnitude an integer form has to know: products with the two kernels, and states."""
        return ("inputs", "recurrent", "output", *(("cell",) if self.kind == "lstm" else ()))

    def peak(self, name: str) -> float:
        """The largest magnitude of a value; one that is large enough for most where nothing is known."""
        return max(self.peaks.get(name) or _USUAL_PEAKS[name], _LEAST_PEAK)

    def with_peaks(self, peaks: Mapping[str, float]) -> Self:
        """The cell with other peaks."""
        return replace(self, peaks=dict(peaks))

    def to_json(self) -> str:
        """Text that `from_json` reads."""
        return json.dumps(asdict(self), sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> Self:
        """The cell in a text of `to_json`."""
        return cls(**json.loads(text))


@dataclass(frozen=True)
class Weights:
    """The weights of a cell, float32, gates side by side in Keras' order: i f c o, z r h, or one.

    Attributes:
        kernel: [features, gates * units].
        recurrent: [units, gates * units].
        bias: [gates * units], added to the product with the input.
        recurrent_bias: [gates * units], added to the product with the state; zeros but for GRUs with `reset_after`.
    """

    kernel: np.ndarray
    recurrent: np.ndarray
    bias: np.ndarray
    recurrent_bias: np.ndarray

    @classmethod
    def of(cls, kernel: np.ndarray, recurrent: np.ndarray, bias: np.ndarray | None) -> Self:
        """From the arrays that a Keras layer has; its bias may be None, or [2, gates * units]."""
        nothing = np.zeros(kernel.shape[1], np.float32)
        if bias is None:
            return cls(kernel, recurrent, nothing, nothing)
        if bias.ndim == 2:
            return cls(kernel, recurrent, bias[0], bias[1])
        return cls(kernel, recurrent, bias, nothing)

    def gate(self, index: int) -> Weights:
        """The part that belongs to one gate."""
        units = self.recurrent.shape[0]
        part = slice(index * units, (index + 1) * units)
        return Weights(self.kernel[:, part], self.recurrent[:, part], self.bias[part], self.recurrent_bias[part])

    def gates(self, *order: int) -> Weights:
        """Several gates, side by side in another order."""
        parts = [self.gate(index) for index in order]
        return Weights(
            np.concatenate([part.kernel for part in parts], axis=1),
            np.concatenate([part.recurrent for part in parts], axis=1),
            np.concatenate([part.bias for part in parts]),
            np.concatenate([part.recurrent_bias for part in parts]),
        )
