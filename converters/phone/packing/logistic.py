"""The logistic function and its inverse in integers, and how fast a probability follows what it sees.

Every decoder has to come to the very same integers, so nothing here is computed in floating point: the logistic
function is 65 listed numbers with straight lines between them, and the inverse is found by looking through them.
"""

from __future__ import annotations

__all__ = ["RATES", "SQUASH", "STRETCH", "updated_slots"]

# round(65536 / (1 + exp(-x / 256))) at x = -2048, -1984, ..., 2048.
_KNOTS = (
    22, 28, 36, 47, 60, 77, 98, 126, 162, 208, 267, 342, 439, 562, 720, 922,
    1179, 1506, 1921, 2446, 3108, 3938, 4971, 6249, 7812, 9702, 11955, 14595, 17625, 21025, 24743, 28693,
    32768, 36843, 40793, 44511, 47911, 50941, 53581, 55834, 57724, 59287, 60565, 61598, 62428, 63090, 63615, 64030,
    64357, 64614, 64816, 64974, 65097, 65194, 65269, 65328, 65374, 65410, 65438, 65459, 65476, 65489, 65500, 65508,
    65514,
)  # fmt: skip
_MOST_SEEN = 15  # a slot counts so far; it fits four bits


def _squash(x: int) -> int:
    index, part = (x + 2048) >> 6, (x + 2048) & 63
    return (_KNOTS[index] * (64 - part) + _KNOTS[index + 1] * part + 32) >> 6


def _stretch() -> list[int]:
    """For each p of 4096, the least x whose squash is (p + 1/2) / 4096 or more."""
    table, x = [], -2047
    for p in range(4096):
        while x < 2047 and SQUASH[x + 2048] < (p << 4 | 8):
            x += 1
        table.append(x)
    return table


# SQUASH[x + 2048]: probability in 65536ths for a stretched value x in -2048..2047.
SQUASH: list[int] = [_squash(x) for x in range(-2048, 2048)]
# STRETCH[p >> 4]: the stretched value of a probability p in 65536ths.
STRETCH: list[int] = _stretch()
# RATES[n]: in 65536ths, how far a probability that was updated n times moves towards the bit that it sees.
RATES: list[int] = [131072 // (2 * n + 3) for n in range(64)]


def updated_slots(bit: int) -> list[int]:
    """What each of the 65536 values of a slot (probability of a 1 in 4096ths << 4 | times seen) becomes after `bit`."""
    table = []
    for slot in range(65536):
        p, seen = slot & ~15 | 8, slot & 15
        p = p + ((65535 - p) * RATES[seen] >> 16) if bit else p - (p * RATES[seen] >> 16)
        table.append(p & ~15 | min(seen + 1, _MOST_SEEN))
    return table
