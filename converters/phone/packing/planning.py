"""How the arrays of a file are coded: which together, in which order of their values, with which contexts.

Every choice is made by what it costs, on a model of the coder that counts bits.  A decoder needs none of this.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from tfcompress.converters.phone.packing.array_model import Kind, magnitudes
from tfcompress.converters.phone.packing.container import group_values
from tfcompress.converters.phone.packing.directory import (
    MAX_GROUPS,
    MAX_PERIOD,
    MAX_SEGMENTS,
    PRODUCT,
    ROTATED,
    Directory,
    Group,
    Segment,
)
from tfcompress.converters.phone.packing.lanes import MAX_LANES, ArrayPlan, coded_bits
from tfcompress.converters.phone.packing.layout import Array
from tfcompress.converters.phone.packing.prediction import fitted
from tfcompress.converters.phone.packing.rest import LARGE

__all__ = ["plan"]

_ALONE = 2048  # elements from which an array may have a group of its own
_TRIED = 1 << 15  # elements of an array that choices are made on
_FEW_ROWS, _ROWS_TRIED = 16, 64  # fewer rows than the first tell nothing of columns, and so many are tried then
_TRIAL_STEPS = 256  # values per lane in a trial
_GROUP_BITS = 8 * 14.0  # what a group costs in the directory, about
_BYTES_A_LANE = 1024  # when coded; a lane costs two
_BYTES_A_COMMON_LANE = 1600  # when coded, in a large file as a whole
_WIDER_COSTS = 1.004  # times the bits that a group may take with more lanes,
_WIDER_COSTS_THE_FILE = 0.0002  # and this share of the bits of all groups beside
_LEAST_STEPS = 64  # values that a lane is long at least, as each begins with nothing but the array's mean
_PRODUCT_ULPS = 16  # how far a scale may lie from the product for the product to be its prediction
_ROOTS = 8  # members of a family that are tried as the one that the others are multiples of
_DECAYS = (4, 6)
_SIMPLE = (Kind.UNIFORM, Kind.NONE, Kind.MEAN)  # kinds of arrays that may be coded together


@dataclass
class _Choice:
    """One way to code one array of bytes: its cost in bits, and the group it would be."""

    bits: float
    kind: Kind
    decay: int
    turned: bool


def plan(content: bytes, arrays: Sequence[Array]) -> Directory:
    """The directory of a file.

    Args:
        content: of the .tflite.
        arrays: see `find_arrays`.
    """
    groups: list[tuple[Group, list[Segment]]] = []
    arrays = arrays[:MAX_SEGMENTS]
    fills, rest = _constant(content, arrays)
    groups += fills
    products, others = _products(content, rest)
    by_kind: dict[tuple[object, ...], list[Array]] = defaultdict(list)
    for array in others:
        by_kind[_kinship(array)].append(array)
    for members in by_kind.values():
        if members[0].width == 1:
            groups += _byte_groups(content, members)
        else:
            groups.append(_number_group(content, [(segment, b"", 0) for segment in members]))
    if products:  # behind the groups that hold their factors
        groups.append(_number_group(content, products, transform=PRODUCT))
    return _directory(_side_by_side(content, groups) if len(content) >= LARGE else groups)


def _side_by_side(content: bytes, groups: list[tuple[Group, list[Segment]]]) -> list[tuple[Group, list[Segment]]]:
    """The groups with as many lanes in each as the largest has, so that a decoder takes few steps in all."""
    values = [group_values(content, *group) for group in groups]
    costs = [_bits(group, own) for (group, _), own in zip(groups, values, strict=True)]
    lanes = [-(-len(own) // group.steps) for (group, _), own in zip(groups, values, strict=True) if _plans(group)]
    most = min(MAX_LANES, max([1, round(sum(costs) / 8 / _BYTES_A_COMMON_LANE), *lanes]))
    wide = []
    for (group, segments), own, cost in zip(groups, values, costs, strict=True):
        wider = _widened(group, max(-(-len(own) // most), min(len(own), _LEAST_STEPS)))
        allowed = cost * _WIDER_COSTS + sum(costs) * _WIDER_COSTS_THE_FILE
        worth = cost > 0 and wider.steps < group.steps and _bits(wider, own) <= allowed
        wide.append((wider if worth else group, segments))
    return wide


def _plans(group: Group) -> list[ArrayPlan]:
    return [plane for plane in group.planes if isinstance(plane, ArrayPlan)]


def _widened(group: Group, steps: int) -> Group:
    """A group with another number of values a lane: `steps`, or the next multiple of the period."""
    period = max((plane.period for plane in _plans(group)), default=0)
    steps = -(-steps // period) * period if period else steps
    planes = tuple(replace(plane, steps=steps) if isinstance(plane, ArrayPlan) else plane for plane in group.planes)
    return replace(group, steps=steps, planes=planes)


def _bits(group: Group, values: np.ndarray) -> float:
    """What the elements of a group, uint8 [elements, width], cost; a filled one has no planes."""
    bits, above = 0.0, None
    for place, plane in zip(range(group.width - 1, -1, -1), group.planes, strict=False):
        own = np.ascontiguousarray(values[:, place])
        if isinstance(plane, ArrayPlan):
            bits += coded_bits([plane], own, above)[0]
        above = own
    return bits


def _kinship(array: Array) -> tuple[object, ...]:
    centre = array.centre if array.width == 1 else None
    return array.role, array.dtype, array.width, centre


def _directory(groups: list[tuple[Group, list[Segment]]]) -> Directory:
    """All groups, or the largest where there are too many: what is in no group is left to the byte model."""
    if len(groups) > MAX_GROUPS:
        sizes = [group.width * sum(segment.count for segment in members) for group, members in groups]
        least = sorted(sizes, reverse=True)[MAX_GROUPS - 1]
        groups = [group for group, size in zip(groups, sizes, strict=True) if size >= least][:MAX_GROUPS]
    segments = [replace(segment, group=number) for number, (_, members) in enumerate(groups) for segment in members]
    return Directory(tuple(group for group, _ in groups), tuple(sorted(segments, key=lambda item: item.offset)))


def _constant(content: bytes, arrays: Iterable[Array]) -> tuple[list[tuple[Group, list[Segment]]], list[Array]]:
    """Groups of arrays whose elements are all the same, and the other arrays."""
    fills: dict[bytes, list[Segment]] = defaultdict(list)
    others = []
    for array in arrays:
        first = content[array.offset : array.offset + array.width]
        if first * array.count == content[array.offset : array.behind]:
            fills[first].append(Segment(array.offset, array.count, 0))
        else:
            others.append(array)
    return [(Group(len(value), value), members) for value, members in fills.items()], others


def _products(content: bytes, arrays: list[Array]) -> tuple[list[tuple[Array, bytes, int]], list[Array]]:
    """Scales that are another array of scales times one number: (array, the number, where the other lies), and others.

    Those of a bias are: input scale * weight scale (LiteRT 8-bit quantization specification).  The product was rounded,
    so that the way back is less exact: of arrays that are multiples of each other, that one is kept as it is which
    gives the others with the fewest corrections, wherever in the file it lies.
    """
    families: dict[int, list[list[_Scales]]] = defaultdict(list)
    for array in arrays:
        if array.role in ("scales", "ranges"):
            scales = _Scales(array, np.frombuffer(content, "<f4", array.count, array.offset))
            near = families[array.count][-8:]
            family = next((each for each in reversed(near) if _factor(scales.values, each[0].values)), None)
            if family is None:
                families[array.count].append([scales])
            else:
                family.append(scales)
    products = [item for same_size in families.values() for family in same_size for item in _multiples(family)]
    replaced = {array.offset for array, _, _ in products}
    return sorted(products, key=lambda item: item[0].offset), [item for item in arrays if item.offset not in replaced]


@dataclass(frozen=True)
class _Scales:
    array: Array
    values: np.ndarray


def _multiples(family: Sequence[_Scales]) -> list[tuple[Array, bytes, int]]:
    """The members of a family as multiples of the one that gives the others best: see `_products`."""
    best: list[tuple[Array, bytes, int]] = []
    fewest: int | None = None
    for root in family[:_ROOTS]:
        factors = [(item.array, _factor(item.values, root.values)) for item in family if item is not root]
        multiples = [(array, factor[0], root.array.offset) for array, factor in factors if factor is not None]
        wrong = sum(factor[1] for _, factor in factors if factor is not None)
        if len(multiples) == len(family) - 1 and (fewest is None or wrong < fewest):
            best, fewest = multiples, wrong
    return best


def _factor(values: np.ndarray, source: np.ndarray) -> tuple[bytes, int] | None:
    """The float32 that takes `source` to `values` nearly, and how many it misses; None where there is none."""
    with np.errstate(all="ignore"):
        ratio = values.astype(np.float64) / source
        guess = np.float32(np.median(ratio))
        if not np.isfinite(ratio).all() or not np.isfinite(guess):
            return None
        if np.abs(ratio / guess - 1).max() > _PRODUCT_ULPS * 2.0**-23:
            return None
        tried = np.array([np.nextafter(guess, np.float32(s * np.inf)) for s in (-1, 1)] + [guess], np.float32)
        wrong = [np.count_nonzero(source * factor != values) for factor in tried]
    best = int(np.argmin(wrong))
    return tried[best].tobytes(), int(wrong[best])


def _byte_groups(content: bytes, arrays: list[Array]) -> list[tuple[Group, list[Segment]]]:
    """Arrays of bytes: large ones alone where that pays, the others together."""
    together: list[Segment] = []
    alone: list[tuple[Group, list[Segment], float]] = []
    for array in arrays:
        segment = Segment(array.offset, array.count, 0)
        if array.count < _ALONE:
            together.append(segment)
            continue
        choice = _best(content, array)
        turned = replace(segment, columns=array.columns if choice.turned else 0)
        simple = choice.kind in _SIMPLE
        group, bits = _byte_group(content, array, [turned], choice)
        alone.append((group, [turned], bits if simple else -bits))
    merged = together + [segments[0] for _, segments, bits in alone if bits > 0]
    special = [(group, segments) for group, segments, bits in alone if bits <= 0]
    if not merged:
        return special
    whole = _merged(content, arrays[0], merged)
    small = _merged(content, arrays[0], together) if together else None
    apart = sum(bits + _GROUP_BITS for *_, bits in alone if bits > 0) + (small[1] if small else 0)
    if whole[1] <= apart:
        return [*special, (whole[0], sorted(merged, key=lambda item: item.offset))]
    groups = [*special, *((group, segments) for group, segments, bits in alone if bits > 0)]
    return groups + ([(small[0], together)] if small else [])


def _merged(content: bytes, array: Array, segments: list[Segment]) -> tuple[Group, float]:
    ordered = sorted(segments, key=lambda choice: choice.offset)
    choices = [_Choice(0, Kind.MEAN, decay, False) for decay in _DECAYS] + [_Choice(0, Kind.UNIFORM, 4, False)]
    return min((_byte_group(content, array, ordered, choice) for choice in choices), key=lambda group: group[1])


def _byte_group(
    content: bytes, array: Array, segments: list[Segment], choice: _Choice, *, tried: int = _TRIED
) -> tuple[Group, float]:
    """A group of one plane, and what it costs in bits, told by its first `tried` values."""
    values = group_values(content, Group(1), segments)[:, 0]
    period = 0
    if choice.kind is Kind.COLUMN:
        period = array.count // array.columns if choice.turned else array.columns
    steps = _steps(values[:, None], period)
    array_plan, bits = _array_plan(values, choice, _centre(array, values), steps, period, tried=tried)
    return Group(1, None, 0, steps, (array_plan,)), bits


def _best(content: bytes, array: Array) -> _Choice:
    """The cheapest way to code an array of bytes alone, tried on its first values."""
    wide = array.columns * _FEW_ROWS > _TRIED
    count = min(array.count, array.columns * _ROWS_TRIED if wide else _TRIED)
    rows = count // array.columns if array.columns else 0
    tried: list[_Choice] = []
    for turned in (False, True) if rows > 1 else (False,):
        part = replace(array, count=rows * array.columns if turned else count)
        scale = array.count / part.count
        segments = [Segment(part.offset, part.count, 0, part.columns if turned else 0)]
        for kind in (Kind.UNIFORM, Kind.NONE, Kind.MEAN, Kind.SIGNED, Kind.COLUMN, Kind.PREDICTED):
            period = part.count // max(part.columns, 1) if turned else part.columns
            if kind is Kind.COLUMN and not (rows > 1 and 1 < period <= MAX_PERIOD):
                continue
            _, bits = _byte_group(
                content, part, segments, _Choice(0, kind, _DECAYS[0], turned), tried=max(count, _TRIED)
            )
            tried.append(_Choice(bits * scale, kind, _DECAYS[0], turned))
    best = min(tried, key=lambda choice: choice.bits)
    simple = min((c for c in tried if c.kind in _SIMPLE), key=lambda choice: choice.bits)
    # With contexts of the simple kind an array can join others, which saves its group and what each must learn.
    chosen = best if best.bits + 2 * _GROUP_BITS < simple.bits * 0.995 else simple
    if chosen.kind in (Kind.NONE, Kind.UNIFORM):
        return chosen
    segment = Segment(array.offset, array.count, 0, array.columns if chosen.turned else 0)
    slower = replace(chosen, decay=_DECAYS[1])
    costs = [_byte_group(content, array, [segment], option)[1] for option in (chosen, slower)]
    return chosen if costs[0] <= costs[1] else slower


def _centre(array: Array, values: np.ndarray) -> int:
    return int(np.bincount(values, minlength=256).argmax()) if array.centre is None else array.centre


def _steps(planes: np.ndarray, period: int) -> int:
    """Values a lane: enough that the lanes' own bytes do not count, few enough that a decoder has many lanes.

    Args:
        planes: uint8 [elements, width].
        period: the lanes hold whole periods; 0 where there is none.
    """
    count, coded = len(planes), 0.0
    for values in planes.T:
        shares = np.bincount(values) / count
        shares = shares[shares > 0]
        coded -= float((shares * np.log2(shares)).sum()) / 8 * count
    lanes = max(1, min(MAX_LANES, round(coded / planes.shape[1] / _BYTES_A_LANE)))
    steps = -(-count // lanes)
    return -(-steps // period) * period if period else steps


def _trial_steps(steps: int, period: int) -> int:
    """Values a lane for a trial: short lanes, of which many run side by side, cost little time and nearly the same."""
    few = -(-_TRIAL_STEPS // period) * period if period else _TRIAL_STEPS
    return min(steps, few)


def _array_plan(
    values: np.ndarray,
    choice: _Choice,
    centre: int,
    steps: int,
    period: int = 0,
    above: np.ndarray | None = None,
    *,
    tried: int = _TRIED,
) -> tuple[ArrayPlan | int, float]:
    """The plan of an array of bytes, or the only byte that it has, and about what it costs in bits.

    The cost is that of the first values alone; it includes what the plan itself needs in the directory.
    """
    counts = np.bincount(values, minlength=256)
    present = counts > 0
    if int(present.sum()) == 1:
        return int(values[0]), 16.0
    mean = int(magnitudes(centre) @ counts) * 1024 // len(values)
    plan = ArrayPlan(choice.kind, centre, choice.decay, mean & ~511, steps, period, np.ones(256, bool))
    if choice.kind is Kind.UNIFORM:
        return plan, 8.0 * (len(values) + 2)
    if choice.kind is Kind.PREDICTED:
        return _predicted(plan, values)
    ranged = np.zeros(256, bool)
    ranged[present.argmax() : 256 - present[::-1].argmax()] = True
    options = [(plan, 40.0)]
    if not ranged.all():
        options.append((replace(plan, present=ranged), 56.0))
    if int(present.sum()) < int(ranged.sum()) * 0.8:
        options.append((replace(plan, present=present), 40.0 + min(256.0, 10.0 * int(present.sum()))))
    parts = values[:tried], None if above is None else above[:tried]
    scale = len(values) / len(parts[0])
    trials = [replace(option, steps=_trial_steps(steps, period)) for option, _ in options]
    costs = [bits * scale + more for bits, (_, more) in zip(coded_bits(trials, *parts), options, strict=True)]
    best = int(np.argmin(costs))
    return options[best][0], costs[best]


def _predicted(plan: ArrayPlan, values: np.ndarray) -> tuple[ArrayPlan, float]:
    """A plan of predictions with its taps, and about what it costs in bits."""
    predicted = replace(plan, taps=fitted(values, plan.centre))
    tried = values[:_TRIED]
    trial = replace(predicted, steps=_trial_steps(plan.steps, 0))
    return predicted, coded_bits([trial], tried)[0] * len(values) / len(tried) + 72.0


def _number_group(
    content: bytes, members: list[tuple[Array, bytes, int]], transform: int | None = None
) -> tuple[Group, list[Segment]]:
    """Elements of several bytes: each significance is an array of bytes, from the most significant."""
    array = members[0][0]
    if transform is None:
        transform = ROTATED if array.is_float else 0
    segments = [Segment(item.offset, item.count, 0, 0, source, factor) for item, factor, source in members]
    values = group_values(content, Group(array.width, None, transform), segments)
    steps = _steps(values, 0)
    planes: list[ArrayPlan | int] = []
    above: np.ndarray | None = None
    for place in range(array.width - 1, -1, -1):
        own = np.ascontiguousarray(values[:, place])
        planes.append(_plane(own, above, transform, steps))
        above = own
    return Group(array.width, None, transform, steps, tuple(planes)), segments


def _plane(values: np.ndarray, above: np.ndarray | None, transform: int, steps: int) -> ArrayPlan | int:
    centre = 0 if transform != ROTATED else int(np.bincount(values, minlength=256).argmax())
    kinds = [Kind.UNIFORM, Kind.NONE, Kind.MEAN, Kind.SIGNED] + ([Kind.PLANE] if above is not None else [])
    tried = []
    for kind in kinds:
        array_plan, bits = _array_plan(values, _Choice(0, kind, 4, False), centre, steps, above=above)
        tried.append((bits, array_plan))
    return min(tried, key=lambda result: result[0])[1]
