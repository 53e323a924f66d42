"""Values foretold from the four before them in their lane; what is coded is how far the foretold value is off.

Kernels that read a picture, a spectrum or a run of samples change little from one input to the next, so that a weighted
sum of neighbours leaves a difference that costs fewer bits than the value itself.  The weights are few enough to stand
in the directory.
"""

from __future__ import annotations

import numpy as np

__all__ = ["TAPS", "Prediction", "as_symbols", "fitted"]

TAPS = 4  # values that a prediction looks back
_SHIFT = 6  # weights are 64ths


class Prediction:
    """The predictions of all lanes, step by step.

    Args:
        taps: what the last value, the one before it and so on are weighted with, in 64ths; -128..127 each.
        centre: the byte that means zero; before a lane's first value all are the centre.
        lanes: how many there are.
    """

    def __init__(self, taps: tuple[int, ...], centre: int, lanes: int) -> None:
        self._taps, self._centre, self._lanes = taps, centre, lanes
        self._before = [np.zeros(lanes, np.int32) for _ in taps]

    def at(self, active: int) -> np.ndarray:
        """int32 [active]: -128..127, how far from the centre the next value of each lane is expected."""
        total = np.full(active, 1 << (_SHIFT - 1), np.int32)
        for tap, before in zip(self._taps, self._before, strict=True):
            total += before[:active] * tap
        return np.clip(total >> _SHIFT, -128, 127)

    def take(self, values: np.ndarray) -> None:
        """Take in the values of a step, uint8 [active]."""
        latest = np.zeros(self._lanes, np.int32)
        latest[: len(values)] = _around(values, self._centre)
        self._before = [latest, *self._before[:-1]]


def _around(values: np.ndarray, centre: int) -> np.ndarray:
    """int32, -128..127: bytes as distances from the centre."""
    return (values.astype(np.int32) - centre + 128 & 255) - 128


def as_symbols(grid: np.ndarray, taps: tuple[int, ...], centre: int) -> np.ndarray:
    """uint8 [steps, lanes]: the bytes that are coded in place of the values of a grid, [steps, lanes]."""
    prediction = Prediction(taps, centre, grid.shape[1])
    symbols = np.empty_like(grid)
    for step, values in enumerate(grid):
        symbols[step] = values - prediction.at(grid.shape[1]) & 255
        prediction.take(values)
    return symbols


def fitted(values: np.ndarray, centre: int) -> tuple[int, ...]:
    """The taps that leave the least squares.

    Args:
        values: uint8 [n], as they follow each other.
        centre: the byte that means zero.
    """
    signed = np.concatenate([np.zeros(TAPS), _around(values, centre)])
    before = np.stack([signed[TAPS - lag : len(signed) - lag] for lag in range(1, TAPS + 1)])
    strength = 1e-6 * float(np.square(signed).sum()) + 1.0
    taps = np.linalg.solve(before @ before.T + strength * np.eye(TAPS), before @ signed[TAPS:])
    return tuple(int(tap) for tap in np.clip(np.round(taps * (1 << _SHIFT)), -128, 127))
