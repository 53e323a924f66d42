"""Where the int8 file quantizes: for every tensor of a lowered model, whether and how its range comes about."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from tfcompress.runtime import tf_keras
from tfcompress.wrappers.graph import Call, calls_of, consumers_of
from tfcompress.wrappers.layer_rules import Placement, Rule, fuses, joins, rule_for

__all__ = ["Plan", "Quantized", "place"]


@dataclass(frozen=True)
class Quantized:
    """One tensor that is quantized.

    Attributes:
        tensor: of the lowered model.
        placement: how its range comes about; never `MOVED` or `FLOAT`.
        fixed: lowest and highest value, for `FIXED`.
        source: the tensor whose range it shares, for `SAME`.
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
    """

    tensors: Mapping[int, Quantized]
    grid: Mapping[int, Any]
    left_float: Mapping[str, str]


def place(model: Any, *, skip: Callable[[str], bool] = lambda name: False) -> Plan:
    """Decide what is quantized.

    Args:
        model: a lowered tf_keras model.
        skip: whether the layer of a name stays in float because the user asked for it.
    """
    return _Placing(model, skip).plan()


class _Placing:
    def __init__(self, model: Any, skip: Callable[[str], bool]) -> None:
        self.model = model
        self.skip = skip
        self.consumers = consumers_of(model)
        self.tensors: dict[int, Quantized] = {}
        self.left_float: dict[str, str] = {}
        self.grid: dict[int, Any] = {}

    def plan(self) -> Plan:
        for tensor in self.model.inputs:
            self._own_if_read_by_integer(tensor)
        for call in calls_of(self.model):
            self._place_call(call)
        return Plan(self.tensors, self.grid, self.left_float)

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

    def _place_output(self, call: Call, rule: Rule, tensor: Any) -> None:
        source = self.grid.get(id(call.old_inputs[0])) if call.old_inputs else None
        if rule.placement is Placement.MOVED:
            if source is not None:
                self.grid[id(tensor)] = source
        elif rule.placement is Placement.SAME and source is not None:
            self._quantize(tensor, Placement.SAME, source=source)
            self.grid[id(tensor)] = source
        elif rule.placement is Placement.FIXED:
            self._quantize(tensor, Placement.FIXED, fixed=rule.fixed)
        elif not self._merged_into_reader(rule, tensor):
            self._quantize(tensor, Placement.OWN)

    def _merged_into_reader(self, rule: Rule, tensor: Any) -> bool:
        """Whether the file never holds this tensor: a fused ReLU follows, or a concatenation rescales it as its own."""
        readers = self.consumers.get(id(tensor), [])
        if len(readers) != 1 or readers[0] is None or self.skip(readers[0].layer.name):
            return False
        reader = readers[0].layer
        batch_norm = type(reader) is tf_keras.layers.BatchNormalization and bool(rule.weights)
        return (rule.fuses_relu and (fuses(reader) or joins(reader))) or batch_norm

    def _own_if_read_by_integer(self, tensor: Any) -> None:
        readers = [call for call in self.consumers.get(id(tensor), []) if call is not None]
        if _is_float(tensor) and any(self._rule(call).placement is not Placement.FLOAT for call in readers):
            self._quantize(tensor, Placement.OWN)

    def _quantize(
        self, tensor: Any, placement: Placement, *, fixed: tuple[float, float] | None = None, source: Any = None
    ) -> None:
        self.tensors[id(tensor)] = Quantized(tensor, placement, fixed, source)
        self.grid[id(tensor)] = tensor


def _is_float(tensor: Any) -> bool:
    return bool(tensor.dtype.is_floating)
