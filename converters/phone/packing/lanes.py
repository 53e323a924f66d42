"""Entropy coding of arrays in lanes that run side by side, so that numpy decodes thousands of values in one step.

Each lane is an asymmetric numeral system of 32 bits that takes in 16 bits at a time (Duda 2013, "Asymmetric numeral
systems"; Giesen 2014, "Interleaved entropy coders": the lanes share one stream of words).  Lane `l` of an array with
`steps` T holds the values l * T ... l * T + T - 1.  In one step every lane decodes one value with the tables as they
are; what the step decoded changes the contexts of the next one.  States go on from array to array.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from tfcompress.converters.phone.packing.array_model import (
    ArrayModel,
    Kind,
    level_of,
    magnitudes,
    next_rebuild,
    signed_classes,
)
from tfcompress.converters.phone.packing.prediction import Prediction, as_symbols
from tfcompress.errors import ModelError

__all__ = ["MAX_LANES", "ArrayPlan", "LaneDecoder", "LaneEncoder", "coded_bits", "in_order", "lane_count"]

MAX_LANES = 4096
_LEAST_STATE = 1 << 16
_LARGEST_MEAN = 131072
_SIGNED = signed_classes()
_LEVELS = level_of(np.arange(_LARGEST_MEAN + 4096)).astype(np.int64)


@dataclass(frozen=True)
class ArrayPlan:
    """How one array of bytes is coded.

    Attributes:
        kind: what the contexts are made of.
        centre: the byte that means zero.
        decay: the running mean moves by 2 ** -decay towards each value; 1..8.
        start: what the mean is at first, in 1024ths.
        steps: values per lane.
        period: for `Kind.COLUMN`, after how many values the same column comes again; a divisor of `steps`.
        present: bool [256], the bytes that are coded; at least two.
        taps: for `Kind.PREDICTED`, see `Prediction`.
    """

    kind: Kind
    centre: int
    decay: int
    start: int
    steps: int
    period: int
    present: np.ndarray = field(repr=False)
    taps: tuple[int, ...] = ()

    def bits(self, count: int) -> int:
        """Frequencies sum to 2 ** bits in an array of `count` values: more where the tables are worth it."""
        return 12 if count < 8192 else 14


def in_order(grid: np.ndarray, count: int, chunk: int = 65536) -> Iterator[tuple[int, np.ndarray]]:
    """(position of the first, values) of a grid's values in their own order, in pieces of about `chunk` values."""
    steps, lanes = grid.shape
    together = max(1, chunk // steps)
    for lane in range(0, lanes, together):
        position = lane * steps
        yield position, np.ascontiguousarray(grid[:, lane : lane + together].T).ravel()[: count - position]


def lane_count(count: int, steps: int) -> int:
    """How many lanes an array of `count` values has."""
    return -(-count // steps)


class _Contexts:
    """The contexts of the lanes, step by step."""

    def __init__(self, plan: ArrayPlan, lanes: int, above: np.ndarray | None) -> None:
        """`above`: the grid [steps, lanes] of the bytes above, for `Kind.PLANE`."""
        self._plan, self._above = plan, above
        self._mean = np.full(lanes, plan.start, np.int64)
        self._before = np.zeros((2, lanes), np.int64)  # the last value and the one before it, around the centre
        self._sums = np.zeros(plan.period, np.int64)
        self._lanes = lanes
        self._magnitude = magnitudes(plan.centre)
        self._moves = self._magnitude << (10 - plan.decay)

    def at(self, step: int, active: int) -> np.ndarray:
        """int64 [active]: the context of each lane that has a value at this step."""
        kind = self._plan.kind
        if kind in (Kind.NONE, Kind.UNIFORM):
            return np.zeros(active, np.int64)
        if kind is Kind.PLANE:
            assert self._above is not None
            return (self._above[step, :active] & 15).astype(np.int64)
        level = _LEVELS.take(self._mean[:active])
        if kind in (Kind.MEAN, Kind.PREDICTED):
            return level
        if kind is Kind.SIGNED:
            last, earlier = self._before[:, :active]
            return (level >> 3) * 13 + _SIGNED.take((last * 3 + earlier >> 2) & 255)
        return (level >> 2) * 8 + self._column(step)

    def _column(self, step: int) -> int:
        row, column = divmod(step, self._plan.period)
        if row == 0:
            return 7
        mean = int(self._sums[column]) * 1024 // (self._lanes * row)
        return min(6, int(_LEVELS[min(mean, _LARGEST_MEAN)]) >> 2)

    def take(self, step: int, values: np.ndarray) -> None:
        """Take in the symbols of a step, one for each active lane."""
        kind = self._plan.kind
        if kind in (Kind.NONE, Kind.PLANE, Kind.UNIFORM):
            return
        mean = self._mean[: len(values)]
        mean -= mean >> self._plan.decay
        mean += self._moves.take(values)
        if kind is Kind.SIGNED:
            self._before[1] = self._before[0]
            self._before[0, : len(values)] = (values.astype(np.int64) - self._plan.centre + 128 & 255) - 128
        elif kind is Kind.COLUMN:
            self._sums[step % self._plan.period] += self._magnitude.take(values).sum()


def _by_step(values: np.ndarray, steps: int) -> np.ndarray:
    """uint8 [steps, lanes] of values in their order; the last lane is filled up."""
    lanes = lane_count(len(values), steps)
    padded = np.zeros(lanes * steps, np.uint8)
    padded[: len(values)] = values
    return np.ascontiguousarray(padded.reshape(lanes, steps).T)


def _symbols(plan: ArrayPlan, values: np.ndarray) -> np.ndarray:
    """uint8 [steps, lanes]: what is coded of values: they themselves, or how far a prediction is off."""
    grid = _by_step(values, plan.steps)
    return as_symbols(grid, plan.taps, plan.centre) if plan.kind is Kind.PREDICTED else grid


def _blocks(count: int, steps: int, seldom: bool) -> Iterator[tuple[int, int, int]]:
    """(first step, step behind the last, active lanes at its end) between two makings of the tables.

    A block also ends where the last lane does, so that the number of active lanes is the same within each.
    """
    lanes = lane_count(count, steps)
    whole = count - (lanes - 1) * steps  # steps that the last lane takes part in
    step, seen = 0, 0
    while step < steps:
        due = next_rebuild(seen, seldom=seldom)
        rebuilt_at = step
        while seen < due and step < steps:
            active = lanes if step < whole else lanes - 1
            limit = whole if step < whole else steps
            if active == 0:
                return
            ahead = min(limit, step + -(-(due - seen) // active))
            yield step, ahead, active if rebuilt_at == step else -active
            seen += (ahead - step) * active
            step = ahead


@dataclass
class _Coded:
    """Frequencies and starts of an array's values, [steps, lanes]; 0 where a lane has none."""

    frequency: np.ndarray
    start: np.ndarray
    bits: int

    @property
    def cost(self) -> float:
        """How many bits the values take."""
        used = self.frequency[self.frequency > 0].astype(np.float64)
        return float(self.bits * len(used) - np.log2(used).sum())


def _modelled(plan: ArrayPlan, count: int, grid: np.ndarray, contexts: np.ndarray, seldom: bool = False) -> _Coded:
    """What the decoder will have in its tables for each value of a grid, [steps, lanes], with these contexts."""
    bits = plan.bits(count)
    model = ArrayModel(plan.kind, plan.centre, plan.present, bits)
    coded = _Coded(np.zeros(grid.shape, np.uint16), np.zeros(grid.shape, np.uint16), bits)
    table = start = np.empty(0)
    for first, behind, active in _blocks(count, plan.steps, seldom):
        if active > 0:
            table = model.frequencies()
            start = table.cumsum(1) - table
        part = (slice(first, behind), slice(0, abs(active)))
        coded.frequency[part] = table[contexts[part], grid[part]]
        coded.start[part] = start[contexts[part], grid[part]]
        model.count(contexts[part], grid[part])
    return coded


def _all_contexts(plan: ArrayPlan, grid: np.ndarray, count: int, above: np.ndarray | None) -> np.ndarray:
    steps, lanes = grid.shape
    whole = count - (lanes - 1) * steps
    tracker = _Contexts(plan, lanes, None if above is None else _by_step(above, plan.steps))
    contexts = np.zeros(grid.shape, np.uint8)
    for step in range(steps):
        active = lanes if step < whole else lanes - 1
        contexts[step, :active] = tracker.at(step, active)
        tracker.take(step, grid[step, :active])
    return contexts


def coded_bits(plans: Sequence[ArrayPlan], values: np.ndarray, above: np.ndarray | None = None) -> list[float]:
    """How many bits an array costs with each of several plans, without coding it.

    Args:
        plans: alike but for `ArrayPlan.present`, so that they share their symbols and contexts.
        values: uint8 [n].
        above: for `Kind.PLANE`, the bytes above these, uint8 [n].
    """
    grid = _symbols(plans[0], values)
    contexts = _all_contexts(plans[0], grid, len(values), above)
    return [_modelled(plan, len(values), grid, contexts).cost for plan in plans]


class LaneEncoder:
    """Collects arrays in the order of decoding; `finish` codes them from the last value to the first.

    Args:
        seldom: see `next_rebuild`.
    """

    def __init__(self, *, seldom: bool = False) -> None:
        self._seldom = seldom
        self._arrays: list[_Coded] = []
        self.bits: list[float] = []  # that each array costs

    def add(self, plan: ArrayPlan, values: np.ndarray, above: np.ndarray | None = None) -> None:
        """Take in an array.

        Args:
            plan: how it is coded.
            values: uint8 [n].
            above: for `Kind.PLANE`, the bytes above these, uint8 [n].
        """
        grid = _symbols(plan, values)
        contexts = _all_contexts(plan, grid, len(values), above)
        coded = _modelled(plan, len(values), grid, contexts, self._seldom)
        self.bits.append(coded.cost)
        self._arrays.append(coded)

    @property
    def lanes(self) -> int:
        """The most lanes that an array has."""
        return max((array.frequency.shape[1] for array in self._arrays), default=0)

    def finish(self) -> bytes:
        """The states of all lanes, 32 bits each, then the words, 16 bits each; all little-endian."""
        state = np.full(self.lanes, _LEAST_STATE, np.int64)
        chunks: list[np.ndarray] = []
        for coded in reversed(self._arrays):
            shift = 32 - coded.bits
            for step in range(len(coded.frequency) - 1, -1, -1):
                frequency = coded.frequency[step].astype(np.int64)
                active = len(frequency) if frequency[-1] else len(frequency) - 1
                frequency, x = frequency[:active], state[:active]
                full = np.flatnonzero(x >= frequency << shift)
                if full.size:
                    chunks.append((x[full] & 0xFFFF).astype("<u2"))
                    x[full] >>= 16
                whole = x // frequency
                state[:active] = (whole << coded.bits) + (x - whole * frequency) + coded.start[step, :active]
        words = np.concatenate(chunks[::-1]) if chunks else np.empty(0, "<u2")
        return state.astype("<u4").tobytes() + words.tobytes()


class LaneDecoder:
    """Decodes arrays one after the other.

    Args:
        data: what `LaneEncoder.finish` made.
        lanes: how many states it begins with.
        seldom: see `next_rebuild`.

    Raises:
        ModelError: it is too short.
    """

    def __init__(self, data: bytes, lanes: int, *, seldom: bool = False) -> None:
        self._seldom = seldom
        if len(data) < 4 * lanes or (len(data) - 4 * lanes) % 2:
            raise ModelError(f"a damaged .tfcz: {len(data)} bytes of arrays cannot hold {lanes} lanes; copy it again")
        self._state = np.frombuffer(data, "<u4", lanes).astype(np.int64)
        self._words = np.frombuffer(data, "<u2", offset=4 * lanes)
        self._position = 0

    def decode(self, plan: ArrayPlan, count: int, above: np.ndarray | None = None) -> np.ndarray:
        """uint8 [steps, lanes]: the next array; `in_order` puts it into the order of the file.

        Args:
            plan: how it was coded.
            count: of its values.
            above: for `Kind.PLANE`, the bytes above these, as this function returned them.

        Raises:
            ModelError: the stream ends too early.
        """
        lanes, bits = lane_count(count, plan.steps), plan.bits(count)
        tracker = _Contexts(plan, lanes, above)
        prediction = Prediction(plan.taps, plan.centre, lanes) if plan.kind is Kind.PREDICTED else None
        model = ArrayModel(plan.kind, plan.centre, plan.present, bits)
        grid = np.zeros((plan.steps, lanes), np.uint8)
        symbols = packed = np.empty(0)
        for first, behind, active in _blocks(count, plan.steps, self._seldom):
            if active > 0:
                table = model.frequencies()
                packed = (table << 16 | (table.cumsum(1) - table)).ravel()
                symbols = np.repeat(np.tile(np.arange(256, dtype=np.uint8), len(table)), table.ravel())
            contexts = np.empty((behind - first, abs(active)), np.uint8)
            coded = contexts if prediction is None else np.empty_like(contexts)
            for step in range(first, behind):
                context = tracker.at(step, abs(active))
                values = self._step(context, symbols, packed, bits)
                tracker.take(step, values)
                contexts[step - first] = context
                if prediction is not None:
                    coded[step - first] = values
                    values = (values + prediction.at(len(values))).astype(np.uint8)
                    prediction.take(values)
                grid[step, : abs(active)] = values
            model.count(contexts, grid[first:behind, : abs(active)] if prediction is None else coded)
        return grid

    def _step(self, context: np.ndarray, symbols: np.ndarray, packed: np.ndarray, bits: int) -> np.ndarray:
        """One value of each lane, uint8 [lanes]."""
        state = self._state[: len(context)]
        slot = state & ((1 << bits) - 1)
        values = symbols.take((context << bits) + slot)
        entry = packed.take((context << 8) + values)
        state >>= bits
        state *= entry >> 16
        state += slot
        state -= entry & 0xFFFF
        low = (state < _LEAST_STATE).nonzero()[0]
        if low.size:
            behind = self._position + low.size
            if behind > len(self._words):
                raise ModelError("a damaged .tfcz: the stream of arrays ends too early; copy or make it again")
            state[low] = state[low] << 16 | self._words[self._position : behind]
            self._position = behind
        return values

    def finished(self) -> bool:
        """Whether every word was read and every lane is back where the encoder began."""
        return self._position == len(self._words) and bool((self._state == _LEAST_STATE).all())
