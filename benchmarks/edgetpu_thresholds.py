"""What bounds the sizes from which operators stay on the CPU, and what does without the observation nearest to a bound.

A threshold lies above every size that was seen mapped and not above any that was refused.  The sizes that were seen
are those of the operators of ``../shared/edgetpu`` and those that ``RULES.md`` there reports of other pairs and logs.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypedDict

from benchmarks.models import SHARED
from tfcompress.converters.edgetpu.checks import flat_elements_at_least
from tfcompress.converters.edgetpu.view import OperatorView
from tfcompress.graphs.tflite import read_tflite

__all__ = ["THRESHOLDS", "Bounds", "Fact", "Threshold", "bounds", "largest_layer_bounds", "pair_file", "truth"]


class Fact(TypedDict):
    """What the compiler did with a model of ``../shared/edgetpu``, as far as it is used here."""

    name: str
    cpu_op_indices: list[int]
    min_runtime: int
    cached_parameter_bytes: int
    streamed_parameter_bytes: int


class Bounds(TypedDict):
    """Thresholds that agree with all observations, and with all but the nearest on either side; None: no bound."""

    threshold: int
    agrees_from: int | None
    agrees_to: int | None
    left_out_from: int | None
    left_out_to: int | None


@dataclass(frozen=True)
class Threshold:
    """A size from which an operator is refused.

    Attributes:
        value: the least size that is refused.
        operators: which ones.
        size: of an operator; None where the rule does not speak of it.
        mapped: sizes that were seen mapped elsewhere.
        refused: sizes that were seen refused elsewhere.
    """

    value: int
    operators: tuple[str, ...]
    size: Callable[[OperatorView], int | None]
    mapped: tuple[int, ...] = ()
    refused: tuple[int, ...] = ()


def _elements(view: OperatorView) -> int:
    return max(tensor.elements for tensor in view.outputs)


def _flat_elements(view: OperatorView) -> int | None:
    """Of a result without rows and columns."""
    return None if flat_elements_at_least(view, 1) is None else _elements(view)


def _bytes(view: OperatorView) -> int:
    return max(tensor.bytes for tensor in view.outputs)


def _side(view: OperatorView) -> int:
    return max(view.outputs[0].shape[1:3])


def _channels(view: OperatorView) -> int:
    return view.outputs[0].shape[-1]


def _positions(view: OperatorView) -> int | None:
    source, axes = view.input(0), view.integers(1)
    if source is None or len(source.shape) != 4 or axes is None:
        return None
    return math.prod(source.shape[axis] for axis in axes if axis % 4 in (1, 2))


_RESIZES = ("RESIZE_NEAREST_NEIGHBOR", "RESIZE_BILINEAR")
# {rule: threshold}; "elsewhere" is what RULES.md says of operators that no pair of ../shared has.
THRESHOLDS: dict[str, Threshold] = {
    "large_concatenation": Threshold(1_209_600, ("CONCATENATION",), _flat_elements, refused=(144 * 8400,)),
    "large_logistic": Threshold(672_000, ("LOGISTIC",), _flat_elements, (80 * 2100,), (80 * 8400,)),
    "large_softmax": Threshold(65_857, ("SOFTMAX",), _elements, (16_384, 48_384, 65_856)),
    "large_transpose": Threshold(82_945, ("TRANSPOSE",), _elements, (22 * 22 * 144, 82_944), (40 * 40 * 65,)),
    "many_outputs": Threshold(100_000, ("FULLY_CONNECTED",), _channels, (8192,), (100_000,)),
    "large_mean": Threshold(32_768, ("MEAN",), _positions, (8_192,), (256 * 128,)),
    "bilinear_size": Threshold(513, ("RESIZE_BILINEAR",), _side, (48, 54), (513,)),
    "resize_bytes": Threshold(4_194_304, _RESIZES, _bytes, (128 * 128 * 128,), (256 * 256 * 64,)),
}


def truth() -> list[Fact]:
    """What the compiler did with the pairs."""
    facts: list[Fact] = json.loads((SHARED / "edgetpu" / "truth.json").read_text(encoding="utf-8"))
    return facts


def pair_file(name: str) -> Path:
    """The uncompiled file of a pair."""
    return SHARED / "edgetpu" / "pairs" / name / "model.tflite"


def bounds(rule: str) -> Bounds:
    """What bounds a threshold."""
    threshold = THRESHOLDS[rule]
    mapped = sorted({*threshold.mapped, *_mapped(threshold)})
    refused = sorted(threshold.refused)
    return Bounds(
        threshold=threshold.value,
        agrees_from=mapped[-1] + 1 if mapped else None,
        agrees_to=refused[0] if refused else None,
        left_out_from=mapped[-2] + 1 if len(mapped) > 1 else None,
        left_out_to=refused[1] if len(refused) > 1 else None,
    )


def _mapped(threshold: Threshold) -> Iterator[int]:
    """Sizes of mapped operators of the pairs."""
    for fact in truth():
        graph = read_tflite(pair_file(fact["name"])).main
        for operator in graph.operators:
            if operator.name in threshold.operators and operator.index not in fact["cpu_op_indices"]:
                size = threshold.size(OperatorView(graph, operator))
                if size is not None:
                    yield size


def largest_layer_bounds() -> Bounds:
    """What bounds the largest layer that is cached, from published figures of chains."""
    from benchmarks import edgetpu_chains
    from tfcompress.converters.edgetpu.memory import LARGEST_LAYER

    cached: set[int] = set()
    streamed: set[int] = set()
    for figure in filter(edgetpu_chains.is_right, edgetpu_chains.FIGURES):
        needs = edgetpu_chains.needs(figure["chain"], figure["size"])
        kept = needs.cached(needs.room)
        cached.update(layer.occupied for layer in kept)
        free = needs.room - sum(layer.occupied for layer in kept)
        streamed.update(layer.occupied for layer in needs.layers if layer not in kept and layer.occupied <= free)
    largest, smallest = sorted(cached), sorted(streamed)
    return Bounds(
        threshold=LARGEST_LAYER,
        agrees_from=largest[-1],
        agrees_to=smallest[0] - 1 if smallest else None,
        left_out_from=largest[-2],
        left_out_to=smallest[1] - 1 if len(smallest) > 1 else None,
    )
