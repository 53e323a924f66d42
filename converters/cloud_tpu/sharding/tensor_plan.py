"""Which dimension of each weight is split where every chip has a part of the weights.

Products take turns, as in Shoeybi et al. 2019 ("Megatron-LM", section 3): one whose operand is whole splits its weights
by output, so that its result is split; the next one finds its operand split along the summed dimension, splits its
weights in the same way, and the chips add up their parts.  So the chips talk once every two products.  What happens in
between is followed through the program.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from tfcompress.converters.cloud_tpu.sharding.module import Main, Split, Step

__all__ = ["tensor_plan"]

# Weights that no rule places, such as those of loops, are split where they are large enough to count.
LARGE_ELEMENTS = 2**16
_REDUCING = frozenset({"reduce"})


def tensor_plan(main: Main, inputs: int, devices: int) -> tuple[Split, ...]:
    """The split of each argument.

    Args:
        main: of a program whose weights are its trailing arguments.
        inputs: how many of the arguments, the first ones, are no weights; they stay whole.
        devices: how many parts; a dimension is split only where it divides its size.
    """
    flow = _Flow(main, inputs, devices)
    for step in main.steps:
        flow.follow(step)
    for index in range(inputs, main.arguments):
        sizes = main.shapes[index]
        if index not in flow.chosen and math.prod(sizes) >= LARGE_ELEMENTS:
            flow.choose(index, _largest(sizes, devices))
    return tuple(flow.chosen.get(index) for index in range(main.arguments))


def _largest(sizes: Sequence[int], devices: int) -> Split:
    """The largest dimension that falls into equal parts; None without one."""
    fitting = [axis for axis, size in enumerate(sizes) if size % devices == 0 and size]
    return max(fitting, key=lambda axis: sizes[axis], default=None)


class _Flow:
    """What is known of each value while the program is followed.

    Attributes:
        chosen: {argument: dimension that is split, None where it stays whole}.
        split: {value: its split dimension}, of computed values that are split.
        moved: {value: (argument, the argument's dimension behind each of its own)}, of weights and their moved copies.
    """

    def __init__(self, main: Main, inputs: int, devices: int) -> None:
        self.main = main
        self.devices = devices
        self.chosen: dict[int, Split] = {}
        self.split: dict[int, int] = {}
        self.moved: dict[int, tuple[int, tuple[Split, ...]]] = {
            index: (index, tuple(range(len(main.shapes[index])))) for index in range(inputs, main.arguments)
        }

    def choose(self, argument: int, axis: Split) -> None:
        """Split a weight, unless it has been placed before."""
        self.chosen.setdefault(argument, axis)

    def follow(self, step: Step) -> None:
        """Take one operator into account."""
        if not step.results:
            return
        if step.op == "dot_general":
            self._dot(step)
        elif step.op == "convolution":
            self._convolution(step)
        elif step.op == "gather":
            self._gather(step)
        else:
            self._carried(step)

    def _carried(self, step: Step) -> None:
        """An operator that moves values or computes them element by element."""
        for operand in step.operands:
            origin = self.moved.get(operand)
            if origin and len(step.operands) == 1 and step.op in _MOVES:
                axes = tuple(self._source(step, operand, axis) for axis in range(len(self._sizes(step.results[0]))))
                self.moved[step.results[0]] = origin[0], tuple(None if a is None else origin[1][a] for a in axes)
            if operand in self.split:
                for result in step.results:
                    axis = self._target(step, operand, self.split[operand], result)
                    if axis is not None:
                        self.split.setdefault(result, axis)
        self._place_beside(step)

    def _place_beside(self, step: Step) -> None:
        """Weights that are combined element by element with a split value, such as biases, are split like it."""
        axis = self.split.get(step.results[0])
        if axis is None:
            return
        for operand in step.operands:
            if operand in self.moved and self._sizes(operand) == self._sizes(step.results[0]):
                self._place(operand, axis)

    def _place(self, value: int, axis: int) -> bool:
        """Split the weight behind dimension `axis` of a value; whether its size allows that and it lies so now."""
        argument, axes = self.moved[value]
        source = axes[axis]
        if source is None or self.main.shapes[argument][source] % self.devices:
            return False
        self.choose(argument, source)
        return self.chosen[argument] == source

    def _dot(self, step: Step) -> None:
        lhs, rhs = step.operands
        numbers = step.dimensions
        sides = {
            side: (numbers[f"{side}_batching_dimensions"], numbers[f"{side}_contracting_dimensions"])
            for side in ("lhs", "rhs")
        }
        free = {
            side: [a for a in range(len(self._sizes(value))) if a not in (*sides[side][0], *sides[side][1])]
            for side, value in (("lhs", lhs), ("rhs", rhs))
        }
        batch = len(sides["lhs"][0])
        starts = {"lhs": batch, "rhs": batch + len(free["lhs"])}
        for side, value, other, other_side in (("rhs", rhs, lhs, "lhs"), ("lhs", lhs, rhs, "rhs")):
            if value in self.moved and other not in self.moved:
                along = self.split.get(other)
                summed = sides[other_side][1]
                if along in summed and self._place(value, sides[side][1][summed.index(along)]):
                    return  # the chips add up their parts
                if along is not None and along not in summed:
                    break
                self._split_output(step, value, [(axis, starts[side] + n) for n, axis in enumerate(free[side])])
                return
        for side, value in (("lhs", lhs), ("rhs", rhs)):
            along = self.split.get(value)
            if along in sides[side][0]:
                self.split[step.results[0]] = sides[side][0].index(along)
            elif along in free[side]:
                self.split.setdefault(step.results[0], starts[side] + free[side].index(along))

    def _split_output(self, step: Step, weights: int, axes: Sequence[tuple[int, int]]) -> None:
        """Split weights along the first of (their dimension, the result's) that falls into equal parts."""
        for axis, result in axes:
            if self._place(weights, axis):
                self.split[step.results[0]] = result
                return

    def _convolution(self, step: Step) -> None:
        x, kernel = step.operands
        numbers = {name: axes[0] for name, axes in step.dimensions.items()}
        along, feature = self.split.get(x), numbers["input_feature_dimension"]
        grouped = self._sizes(x)[feature] != self._sizes(kernel)[numbers["kernel_input_feature_dimension"]]
        if kernel not in self.moved or (along is not None and along != feature):
            return
        if grouped and along is None:
            return  # each of its outputs needs a part of the inputs alone: it follows what its operand does
        summed = along == feature and not grouped
        if summed and self._place(kernel, numbers["kernel_input_feature_dimension"]):
            return
        out = numbers["kernel_output_feature_dimension"], numbers["output_feature_dimension"]
        self._split_output(step, kernel, [out])

    def _gather(self, step: Step) -> None:
        """A table of rows is split by rows: each chip looks up its own, and the chips add up what they have."""
        table = step.operands[0]
        if table not in self.moved:
            return
        rows = step.dimensions["start_index_map"]
        if not any(self._place(table, axis) for axis in rows):
            self.choose(self.moved[table][0], _largest(self.main.shapes[self.moved[table][0]], self.devices))

    def _sizes(self, value: int) -> tuple[int, ...]:
        return self.main.shapes[value]

    def _target(self, step: Step, operand: int, axis: int, result: int) -> Split:
        """Where a dimension of an operand is in a result; None where it is gone."""
        old, new = self._sizes(operand), self._sizes(result)
        if step.op == "transpose":
            return step.dimensions["permutation"].index(axis)
        if step.op == "broadcast_in_dim":
            return step.dimensions["broadcast_dimensions"][axis]
        if step.op in _REDUCING:
            gone = step.dimensions["dimensions"]
            return None if axis in gone or len(old) == len(new) else axis - sum(other < axis for other in gone)
        if step.op == "reshape":
            target = _reshaped(old, new, axis)
            return target if target is not None and new[target] % self.devices == 0 else None
        return axis if len(old) == len(new) and old[axis] == new[axis] else None

    def _source(self, step: Step, operand: int, axis: int) -> Split:
        """The dimension of an operand that dimension `axis` of the result comes from; None for none of its own."""
        old, new = self._sizes(operand), self._sizes(step.results[0])
        if step.op == "transpose":
            return step.dimensions["permutation"][axis]
        if step.op == "broadcast_in_dim":
            axes = step.dimensions["broadcast_dimensions"]
            return axes.index(axis) if axis in axes and old[axes.index(axis)] == new[axis] else None
        return _reshaped(new, old, axis) if step.op == "reshape" else axis


_MOVES = frozenset({"transpose", "broadcast_in_dim", "reshape", "convert"})


def _reshaped(old: Sequence[int], new: Sequence[int], axis: int) -> Split:
    """The dimension of `new` that begins where dimension `axis` of `old` does, counted in elements; None without one.

    Parts of `axis` are then parts of that dimension, if both fall into equal ones.
    """
    before = math.prod(old[:axis])
    if old[axis] == 1:
        return None
    for target, size in enumerate(new):
        if size != 1 and math.prod(new[:target]) == before:
            return target
    return None
