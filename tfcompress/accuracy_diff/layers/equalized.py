"""Channels of an artifact that equalization has scaled: the same values in other units, which are no error.

Nagel et al. 2019 ("Data-Free Quantization", section 4.1): a channel may be divided by what the weights that read it
are multiplied with.  Then the artifact's tensor is the float layer's times a factor of each channel, and what reads it
gives what it should.  A fault may scale a tensor too, but not leave the outputs as they are.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from tfcompress.accuracy_diff.runners import Arrays

__all__ = ["SOUND_DB", "channel_factors", "outputs_db"]

SOUND_DB = 25.0  # of the worst output: a file that keeps so much computes what the float model does
ALIKE, OTHER = 0.01, 0.04  # of the power: what is left with the factors at most, and without them at least
TINY = 1e-12


def outputs_db(wanted: Arrays, given: Arrays, names: Mapping[str, str]) -> float:
    """SQNR in dB of the worst output; infinite where none has a signal.

    Args:
        wanted: the float model's outputs.
        given: the artifact's.
        names: {output of the float model: the artifact's}.
    """
    worst = np.inf
    for name, own in names.items():
        truth, value = wanted[name].astype(np.float64), given[own].astype(np.float64)
        power, noise = float((truth**2).sum()), float(((truth - value) ** 2).sum())
        if power > 0 and noise > 0:
            worst = min(worst, float(10 * np.log10(power / noise)))
    return float(worst)


def channel_factors(wanted: np.ndarray, given: np.ndarray) -> np.ndarray | None:
    """float64 [channels]: by what a layer's float values are multiplied in the artifact; None for those that are alike.

    Args:
        wanted: the float layer's output, channels last.
        given: the artifact's, of the same shape.
    """
    if wanted.ndim < 2:
        return None
    truth, value = (item.reshape(-1, item.shape[-1]).astype(np.float64) for item in (wanted, given))
    power = float((value**2).sum())
    if float(((value - truth) ** 2).sum()) < OTHER * power:
        return None
    factors = (truth * value).sum(0) / np.maximum((truth**2).sum(0), TINY)
    if float(((value - factors * truth) ** 2).sum()) > ALIKE * power or (factors < 0).any():
        return None
    return np.where(factors > 0, factors, 1.0)  # a channel that is always zero has any
