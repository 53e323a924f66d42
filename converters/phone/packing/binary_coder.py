"""A binary arithmetic coder with 32-bit bounds and probabilities in 65536ths.

The interval [low, high] holds every continuation of the stream; a bit splits it in proportion to its probability, and
bytes that both bounds share are shifted out (the carryless range coder of Schindler 1998, with a binary alphabet).
"""

from __future__ import annotations

from collections.abc import Callable

__all__ = ["Coder", "decoder", "encoder"]

# Given the probability of a 1 in 65536ths (1..65535) and, when encoding, the bit: the bit.
Coder = Callable[[int, int], int]


def encoder(out: bytearray) -> tuple[Coder, Callable[[], None]]:
    """A coder that appends to `out`, and the function that ends the stream."""
    low, high = 0, 0xFFFFFFFF

    def code(probability: int, bit: int) -> int:
        nonlocal low, high
        middle = low + ((high - low) >> 16) * probability + ((((high - low) & 0xFFFF) * probability) >> 16)
        if bit:
            high = middle
        else:
            low = middle + 1
        while (low ^ high) < 0x1000000:
            out.append(high >> 24)
            low = (low << 8) & 0xFFFFFFFF
            high = (high << 8) & 0xFFFFFFFF | 0xFF
        return bit

    def finish() -> None:
        # As few bytes as name a number inside the interval whatever follows; a decoder reads zeros behind the end.
        for count in range(1, 5):
            step = 1 << (32 - 8 * count)
            value = (low + step - 1) // step * step
            if value <= high:
                out.extend(value.to_bytes(4, "big")[:count])
                break
        while out and out[-1] == 0:
            out.pop()

    return code, finish


def decoder(data: bytes) -> Coder:
    """A coder that reads `data`, and zeros behind its end; its argument `bit` is not looked at."""
    low, high = 0, 0xFFFFFFFF
    value = int.from_bytes(data[:4].ljust(4, b"\0"), "big")
    position, end = 4, len(data)

    def code(probability: int, _: int) -> int:
        nonlocal low, high, value, position
        middle = low + ((high - low) >> 16) * probability + ((((high - low) & 0xFFFF) * probability) >> 16)
        if value <= middle:
            bit, high = 1, middle
        else:
            bit, low = 0, middle + 1
        while (low ^ high) < 0x1000000:
            low = (low << 8) & 0xFFFFFFFF
            high = (high << 8) & 0xFFFFFFFF | 0xFF
            value = (value << 8) & 0xFFFFFFFF | (data[position] if position < end else 0)
            position += 1
        return bit

    return code
