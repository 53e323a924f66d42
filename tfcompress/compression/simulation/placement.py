"""Where the int8 file quantizes: for every tensor of a lowered model, whether and how its range comes about."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tfcompress.compression.lowering.activations import activation_name
from tfcompress.compression.simulation.layer_rules import Placement, Rule, fuses, joins, rule_for
from tfcompress.compression.simulation.ranges import Ranges
from tfcompress.graphs.keras.call_graph import producer
from tfcompress.graphs.keras.protocols import KerasModel, Tensor
from tfcompress.graphs.keras.replay import Call, calls_of, consumers_of
from tfcompress.runtime import tf_keras

__all__ = ["Plan", "Quantized", "place", "ranges_as_xnnpack_rounds", "slope_as_xnnpack_rounds"]

_FEW = 8  # 256ths: a whole number of fewer could cost more than an eighth of the resolution


@dataclass(frozen=True)
class Quantized:
    """One tensor that is quantized.

    Attributes:
        tensor: of the lowered model.
        placement: how its range comes about; never `MOVED` or `FLOAT`.
        fixed: lowest and highest value, for `FIXED`.
        source: for `SAME`, `AVERAGE` and `JOINED`, the tensor whose range it shares.
    """

    tensor: Any
    placement: Placement
    fixed: tuple[float, float] | None = None
    source: Any = None


@dataclass(frozen=True)
class Plan:
    """What is quantized in a lowered model.

    Attributes:
        tensors: {id of a tensor: how it is quantized}, in the order in which they are computed.
        grid: {id of a tensor: the quantized tensor on whose grid its values lie}, itself or one whose values it holds.
        left_float: {layer name: why it stays in float}.
        rescaled: (tensor, what it becomes) where XNNPACK knows the ratio of their scales as a fraction of 256 alone.
    """

    tensors: Mapping[int, Quantized]
    grid: Mapping[int, Any]
    left_float: Mapping[str, str]
    rescaled: Sequence[tuple[Tensor, Tensor]] = ()

    def owner(self, tensor: Tensor) -> Quantized:
        """What a quantized tensor has its range from: itself, or a tensor before it."""
        return _owner(self.tensors, tensor)

    def to_measure(self) -> list[Tensor]:
        """The tensors whose ranges have to be measured, for `joined`."""
        measured = (Placement.OWN, Placement.JOINED)
        return [item.tensor for item in self.tensors.values() if item.placement in measured]

    def joined(self, ranges: Ranges) -> Ranges:
        """The ranges of the owners, each wide enough for all that it is joined with."""
        common: dict[int, tuple[float, float]] = {}
        for identity, (low, high) in ranges.items():
            owner = id(self.owner(self.tensors[identity].tensor).tensor)
            wide = common.get(owner, (low, high))
            common[owner] = min(low, wide[0]), max(high, wide[1])
        return common


def place(model: KerasModel, *, skip: Callable[[str], bool] = lambda name: False) -> Plan:
    """Decide what is quantized.

    Args:
        model: a lowered tf_keras model.
        skip: whether the layer of a name stays in float because the user asked for it.
    """
    return _Placing(model, skip).plan()


class _Placing:
    def __init__(self, model: KerasModel, skip: Callable[[str], bool]) -> None:
        self.model = model
        self.skip = skip
        self.consumers = consumers_of(model)
        self.tensors: dict[int, Quantized] = {}
        self.left_float: dict[str, str] = {}
        self.grid: dict[int, Tensor] = {}
        self.rescaled: list[tuple[Tensor, Tensor]] = []

    def plan(self) -> Plan:
        for tensor in self.model.inputs:
            self._own_if_read_by_integer(tensor)
        every = calls_of(self.model)
        for call in every:
            self._place_call(call)
        joining = [call for call in every if joins(call.layer)]
        for call in joining:
            self._share_range(call)
        for call in joining:
            self._note_fixed(call)
        return Plan(self.tensors, self.grid, self.left_float, self.rescaled)

    def _rule(self, call: Call) -> Rule:
        if self.skip(call.layer.name):
            return Rule(Placement.FLOAT, {}, reason="the recipe's quantization.skip names it")
        return rule_for(call.layer)

    def _place_call(self, call: Call) -> None:
        rule = self._rule(call)
        if rule.placement is Placement.FLOAT:
            if any(_is_float(tensor) for tensor in call.old_outputs):
                self.left_float[call.layer.name] = rule.reason
            for tensor in call.old_outputs:
                self._own_if_read_by_integer(tensor)
            return
        for tensor in call.old_outputs:
            if _is_float(tensor):
                self._place_output(call, rule, tensor)

    def _place_output(self, call: Call, rule: Rule, tensor: Tensor) -> None:
        source = self.grid.get(id(call.old_inputs[0])) if call.old_inputs else None
        if rule.placement is Placement.MOVED:
            if source is not None:
                self.grid[id(tensor)] = source
            elif call.old_inputs and not _is_float(call.old_inputs[0]) and not rule.weights:
                self._quantize(tensor, Placement.OWN)  # numbers made of integers or booleans, not rows of a table
        elif rule.placement in (Placement.SAME, Placement.AVERAGE) and source is not None:
            self._quantize(tensor, rule.placement, source=source)
            self.grid[id(tensor)] = source
        elif rule.placement is Placement.FIXED:
            self._quantize(tensor, Placement.FIXED, fixed=rule.fixed)
        elif not self._merged_into_reader(rule, tensor):
            self._quantize(tensor, Placement.OWN)
            if rule.multiplies_by_256ths and source is not None:
                self.rescaled.append((source, tensor))

    def _share_range(self, call: Call) -> None:
        """Give what a concatenation joins, where others read it too, one range with it: that of the first of them.

        TFLiteConverter gives all operands of such an operator the scale of one of them, which would cut off the others.
        """
        owners, _ = self._joined_by(call)
        for owner in owners[1:]:
            self.tensors[id(owner.tensor)] = Quantized(owner.tensor, Placement.JOINED, source=owners[0].tensor)

    def _note_fixed(self, call: Call) -> None:
        """What has a fixed range, such as a sigmoid, is rescaled as it is joined; the others' ranges are multiples."""
        owners, fixed = self._joined_by(call)
        if owners and fixed:
            finest = min(fixed, key=lambda item: _width(item.fixed or (0.0, 0.0)))
            self.rescaled.append((finest.tensor, owners[0].tensor))

    def _joined_by(self, call: Call) -> tuple[list[Quantized], list[Quantized]]:
        """What the operands and the result of a call have their ranges from: those free to change, and fixed ones."""
        tensors = [*call.old_inputs, *call.old_outputs]
        grids = (self.grid[id(tensor)] for tensor in tensors if id(tensor) in self.grid)
        owners = {id(_owner(self.tensors, grid).tensor) for grid in grids}
        items = [item for identity, item in self.tensors.items() if identity in owners]
        free = [item for item in items if item.placement is Placement.OWN]
        return free, [item for item in items if item.placement is Placement.FIXED]

    def _merged_into_reader(self, rule: Rule, tensor: Tensor) -> bool:
        """Whether the file never holds this tensor: a fused ReLU follows, or a concatenation rescales it as its own."""
        call = self._only_reader(tensor)
        if call is None or self.skip(call.layer.name):
            return False
        batch_norm = type(call.layer) is tf_keras.layers.BatchNormalization and bool(rule.weights)
        return (rule.fuses_relu and (fuses(call.layer) or joins(call.layer))) or batch_norm

    def _only_reader(self, tensor: Tensor) -> Call | None:
        """The one call that reads a tensor, if need be through linear activations; None where there are several."""
        readers = self.consumers.get(id(tensor), [])
        if len(readers) != 1 or readers[0] is None:
            return None
        layer = readers[0].layer
        if type(layer) is tf_keras.layers.Activation and activation_name(layer.activation) == "linear":
            return self._only_reader(readers[0].old_outputs[0])
        return readers[0]

    def _own_if_read_by_integer(self, tensor: Any) -> None:
        if not _is_float(tensor):
            return
        rules = [self._rule(call) for call in self.consumers.get(id(tensor), []) if call is not None]
        if any(rule.reads_indices for rule in rules):
            reason = "indices that are given as floats would be rounded to int8"
            self.left_float[producer(tensor).name] = reason
        elif any(rule.placement is not Placement.FLOAT for rule in rules):
            self._quantize(tensor, Placement.OWN)

    def _quantize(
        self, tensor: Tensor, placement: Placement, *, fixed: tuple[float, float] | None = None, source: object = None
    ) -> None:
        self.tensors[id(tensor)] = Quantized(tensor, placement, fixed, source)
        self.grid[id(tensor)] = tensor


def ranges_as_xnnpack_rounds(plan: Plan, ranges: Ranges) -> Ranges:
    """The ranges, widened until XNNPACK knows exactly what each tensor of `plan.rescaled` is multiplied by.

    Args:
        plan: of a lowered model.
        ranges: as measured, of owners.
    """
    rounded = dict(ranges)
    # Later ones first: where one's result is what the next one rescales, its range has to be known.
    for tensor, becomes in reversed(plan.rescaled):
        before, after = plan.owner(tensor), plan.owner(becomes)
        ratio = _ratio(before, after, rounded)
        if ratio is None or ratio < _FEW or before is after:
            continue
        if before.fixed is None:
            # With an odd number hardly a product lies between two steps, where XNNPACK rounds up and we to even.
            _widen(rounded, before, (math.ceil(ratio) | 1) / ratio)
        else:
            _widen(rounded, after, ratio / math.floor(ratio))
    return rounded


def slope_as_xnnpack_rounds(plan: Plan, call: Call, ranges: Ranges) -> float:
    """A LeakyReLU's slope as XNNPACK has it: its product with the ratio of the scales is a number of 256ths.

    Args:
        plan: of a lowered model.
        call: of the LeakyReLU.
        ranges: of `ranges_as_xnnpack_rounds`; without them the slope is the layer's own.
    """
    alpha = float(call.layer.alpha)
    source, result = plan.grid.get(id(call.old_inputs[0])), plan.grid.get(id(call.old_outputs[0]))
    ratio = None if source is None or result is None else _ratio(plan.owner(source), plan.owner(result), ranges)
    if ratio is None:
        return alpha
    whole = round(alpha * ratio)
    # Of a multiple of 4, many products lie between two steps, where XNNPACK rounds up and we to even.
    return (whole + 1 if whole and whole % 4 == 0 else whole) / ratio


def _ratio(before: Quantized, after: Quantized, ranges: Ranges) -> float | None:
    """256 times the scale of one owner of a range, divided by that of another; None without their ranges."""
    ends, new_ends = (item.fixed or ranges.get(id(item.tensor)) for item in (before, after))
    return None if ends is None or new_ends is None else 256 * _width(ends) / _width(new_ends)


def _widen(ranges: dict[int, tuple[float, float]], item: Quantized, factor: float) -> None:
    low, high = ranges[id(item.tensor)]
    ranges[id(item.tensor)] = low * factor, high * factor


def _owner(tensors: Mapping[int, Quantized], tensor: Tensor) -> Quantized:
    item = tensors[id(tensor)]
    return item if item.placement in (Placement.OWN, Placement.FIXED) else _owner(tensors, item.source)


def _width(ends: tuple[float, float]) -> float:
    return max(ends[1], 0.0) - min(ends[0], 0.0)


def _is_float(tensor: Tensor) -> bool:
    return bool(tensor.dtype.is_floating)
