"""Predicts the bytes of a flatbuffer, bit by bit: what is not an array goes through here.

Six contexts (the byte before, the byte four back, ...) each name a slot with an adaptive probability of the next bit;
a small network that learns while it codes mixes them (Mahoney 2005, "Adaptive Weighing of Context Models for Lossless
Data Compression", the logistic mixing of PAQ).  Where the last bytes occurred before and at least 12 of them agree, one
decision first asks whether the next byte agrees as well.
"""

from __future__ import annotations

import copy
from array import array

import numpy as np

from tfcompress.converters.phone.packing.binary_coder import Coder
from tfcompress.converters.phone.packing.logistic import RATES, SQUASH, STRETCH, updated_slots

__all__ = ["ByteModel"]

_CONTEXTS = 6
_LONGEST = 65535  # a match is not counted further
_SHORTEST = 6  # bytes that must agree before a match is followed
_SURE = 12  # bytes that must agree before a byte is coded as one decision
_LOOK_BACK = 32  # bytes that are compared when a match is found
_START_WEIGHT = 19661  # 0.3 in 65536ths
_START_MATCH = 16384
_BIAS = 256
_MASK = 0xFFFFFFFF
_UPDATED = (updated_slots(0), updated_slots(1))


def _scrambled(value: int, salt: int) -> int:
    value = ((value ^ salt << 29) * 0x9E3779B1) & _MASK
    value ^= value >> 15
    value = (value * 0x85EBCA6B) & _MASK
    return value ^ (value >> 13)


class ByteModel:
    """Codes bytes one after the other, and learns from each.

    Args:
        code: the arithmetic coder.
        table_bits: 2 ** table_bits slots of two bytes, and a quarter as many positions of four bytes.
    """

    def __init__(self, code: Coder, table_bits: int) -> None:
        self._code = code
        self._bits, self._mask = table_bits, (1 << table_bits) - 1
        self._slots = array("H", [0x8000]) * (1 << table_bits)
        self._seen_at = array("I", [0]) * (1 << (table_bits - 2))
        self._weights = [[_START_WEIGHT] * _CONTEXTS + [_START_MATCH, 0] for _ in range(12)]
        self._match_slots = [0x8000] * 16
        self._long_hits = [[60000, 0] for _ in range(32)]
        self._byte_hits = [[60000, 0] for _ in range(4096)]
        self._length = 0  # of the match that is followed
        self._pointer = 0  # the byte that it foretells
        self.history = bytearray(16)  # zeros stand before the first byte

    def copy(self, code: Coder) -> ByteModel:
        """A model that has learned the same and codes with another coder."""
        other = copy.copy(self)
        other._code = code
        other._slots, other._seen_at = self._slots[:], self._seen_at[:]
        other._weights = [row[:] for row in self._weights]
        other._match_slots = self._match_slots[:]
        other._long_hits = [hit[:] for hit in self._long_hits]
        other._byte_hits = [hit[:] for hit in self._byte_hits]
        other.history = self.history[:]
        return other

    def code_byte(self, byte: int, phase: int) -> int:
        """The next byte; `byte` is only looked at when encoding.

        Args:
            byte: 0..255.
            phase: its place in the file modulo 4.
        """
        symbol = -1
        if self._length >= _SURE:
            symbol = self._code_agreement(byte, phase)
        if symbol < 0:
            symbol = self._code_bits(byte, phase)
        self._follow(symbol)
        return symbol

    def learn(self, data: bytes) -> None:
        """Learn from bytes that both sides know, without coding them.

        What was learned is then held to have been seen once, so that the file itself soon counts for more.
        """
        code, self._code = self._code, lambda _, bit: bit
        for place, byte in enumerate(data):
            self.code_byte(byte, place & 3)
        self._code = code
        slots = np.frombuffer(self._slots, np.uint16)
        slots[:] = (slots & 0xFFF0) | np.minimum(slots & 15, 1)
        self._match_slots = [slot & 0xFFF0 | min(slot & 15, 1) for slot in self._match_slots]
        for hit in (*self._long_hits, *self._byte_hits):
            hit[1] = min(hit[1], 1)

    def _code_agreement(self, byte: int, phase: int) -> int:
        """One decision: the byte of the match, or -1 when it is another."""
        history, length = self.history, self._length
        foretold = history[self._pointer]
        if length < 64:
            bucket = (length >= 16) + (length >= 24) + (length >= 32) + (length >= 48)
        else:
            bucket = 5 + (length >= 128) + (length >= 400)
        first = self._long_hits[bucket << 2 | phase]
        second = self._byte_hits[_scrambled(foretold | history[-1] << 8, phase) & 4095]
        stretched = ((STRETCH[first[0] >> 4] + STRETCH[second[0] >> 4]) * 5) >> 3
        hit = self._code(SQUASH[max(-2047, min(2047, stretched)) + 2048], int(byte == foretold))
        for slot in (first, second):
            p, rate = slot[0], RATES[slot[1]]
            slot[0] = p + ((65535 - p) * rate >> 16) if hit else p - (p * rate >> 16)
            slot[1] = min(slot[1] + 1, 60)
        return foretold if hit else -1

    def _code_bits(self, byte: int, phase: int) -> int:
        """Eight decisions, each mixed from the six contexts and the match."""
        slots, stretch, squash, code, mask = self._slots, STRETCH, SQUASH, self._code, self._mask
        a, b, c, d, e, f = self._contexts(phase)
        length = min(self._length, 15)
        foretold = self.history[self._pointer] | 256 if length else 0
        row = (0 if length == 0 else 4 if length < 9 else 8) + phase
        node, v = 1, 0
        for place in (7, 6, 5, 4, 3, 2, 1, 0):
            step = node * 0x9E3779B1
            i, j, k = (a + step) & mask, (b + step) & mask, (c + step) & mask
            m, n, o = (d + step) & mask, (e + step) & mask, (f + step) & mask
            p, q, r = stretch[slots[i] >> 4], stretch[slots[j] >> 4], stretch[slots[k] >> 4]
            s, t, u = stretch[slots[m] >> 4], stretch[slots[n] >> 4], stretch[slots[o] >> 4]
            follows = foretold >> (place + 1) == node
            expected = foretold >> place & 1
            if follows:
                v = stretch[self._match_slots[length] >> 4]
                w = self._weights[row]
                v = v if expected else -v
            else:
                v, w = 0, self._weights[phase]
            dot = (p*w[0] + q*w[1] + r*w[2] + s*w[3] + t*w[4] + u*w[5] + v*w[6] + _BIAS*w[7]) >> 16  # fmt: skip
            probability = squash[dot + 2048 if -2048 < dot < 2048 else 1 if dot < 0 else 4095]
            bit = code(probability, byte >> place & 1)
            error = ((bit * 65535 - probability) >> 4) * 6
            w[0] += (p * error + 8192) >> 14
            w[1] += (q * error + 8192) >> 14
            w[2] += (r * error + 8192) >> 14
            w[3] += (s * error + 8192) >> 14
            w[4] += (t * error + 8192) >> 14
            w[5] += (u * error + 8192) >> 14
            w[6] += (v * error + 8192) >> 14
            w[7] += (_BIAS * error + 8192) >> 14
            after = _UPDATED[bit]
            # One after the other: two contexts may share a slot.
            slots[i] = after[slots[i]]
            slots[j] = after[slots[j]]
            slots[k] = after[slots[k]]
            slots[m] = after[slots[m]]
            slots[n] = after[slots[n]]
            slots[o] = after[slots[o]]
            if follows:
                self._match_slots[length] = _UPDATED[bit == expected][self._match_slots[length]]
            node = node << 1 | bit
        return node & 255

    def _contexts(self, phase: int) -> tuple[int, ...]:
        h = self.history
        last_byte, last_four = h[-1], h[-4]
        return (
            _scrambled(phase, 1),
            _scrambled(last_byte << 2 | phase, 2),
            _scrambled(last_four << 2 | phase, 3),
            _scrambled(last_byte | h[-2] << 8 | h[-3] << 16, 4),
            _scrambled((h[-12] | h[-16] << 8) << 2 | phase, 5),
            _scrambled((h[-8] | last_four << 8 | last_byte << 16) << 2 | phase, 6),
        )

    def _follow(self, byte: int) -> None:
        """Take a byte into the history, and go on with the match or look for one."""
        history = self.history
        if self._length and history[self._pointer] == byte:
            self._length = min(self._length + 1, _LONGEST)
            self._pointer += 1
        else:
            self._length = 0
        history.append(byte)
        end = len(history)
        value = int.from_bytes(history[-_SHORTEST:], "little")
        place = _scrambled((value & _MASK) ^ (value >> 32) * 0x2C1B3C6D & _MASK, 7) >> (34 - self._bits)
        if self._length == 0:
            self._pointer = candidate = self._seen_at[place]
            while (
                self._length < _LOOK_BACK
                and self._length < candidate
                and history[candidate - 1 - self._length] == history[end - 1 - self._length]
            ):
                self._length += 1
            if self._length < _SHORTEST:
                self._length = 0
        self._seen_at[place] = end
