"""What would make a model fit the chip's parameter memory, and how many milliseconds that is worth."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from tfcompress.converters.edgetpu.latency import RATES
from tfcompress.converters.edgetpu.memory import Demand
from tfcompress.converters.edgetpu.parameters import operator_bytes, reads_a_long_input
from tfcompress.converters.edgetpu.view import OperatorView

__all__ = ["memory_advice"]

_WORTH_A_LINE = 0.05  # milliseconds over USB 3
_LARGEST = 3


def memory_advice(
    views: Sequence[OperatorView], needs: Demand, layer_of: Callable[[str], str | None], *, compiler: int
) -> tuple[str, ...]:
    """One line for each way to stream less; none where that would not be felt.

    Args:
        views: the mapped operators.
        needs: what they ask of the parameter memory.
        layer_of: the Keras layer of a tensor's name, or None.
        compiler: major version of the compiler.
    """
    lines = [_long(view, layer_of, compiler) for view in views if reads_a_long_input(view)]
    over = needs.wanted - needs.room
    late = needs.streamed - sum(operator_bytes(view, compiler=compiler).streamed for view in views)
    if _milliseconds(max(over, late)) >= _WORTH_A_LINE:
        lines.append(_smaller(views, max(over, late), layer_of, compiler))
    return tuple(line for line in lines if line)


def _milliseconds(size: int) -> float:
    return RATES["usb3"].streamed * size / 1e6


def _worth(size: int) -> str:
    return f"about {_milliseconds(size):.1f} ms of each inference over USB 3"


def _name(view: OperatorView, layer_of: Callable[[str], str | None]) -> str:
    names = (layer for tensor in view.outputs if (layer := layer_of(tensor.name)) is not None)
    return next(names, f"operator {view.operator.index} {view.operator.name}")


def _long(view: OperatorView, layer_of: Callable[[str], str | None], compiler: int) -> str:
    size = operator_bytes(view, compiler=compiler).streamed
    if _milliseconds(size) < _WORTH_A_LINE:
        return ""
    source = view.input(0)
    elements = 0 if source is None else source.elements
    return (
        f"{_name(view, layer_of)} reads {elements:,} values at once, so its {size:,} parameter bytes are streamed;"
        f" pooling them to 6,000 or fewer first lets it be cached, which saves {_worth(size)}"
    )


def _smaller(views: Sequence[OperatorView], over: int, layer_of: Callable[[str], str | None], compiler: int) -> str:
    sized = [(operator_bytes(view, compiler=compiler).cacheable, view) for view in views]
    largest = sorted(sized, key=lambda pair: -pair[0])[:_LARGEST]
    named = ", ".join(f"{_name(view, layer_of)} ({size:,})" for size, view in largest)
    return (
        f"{over:,} parameter bytes do not fit the chip and are streamed: a model smaller by that much, or split over"
        f" two Edge TPUs (edgetpu_compiler --num_segments), saves {_worth(over)}; the largest layers are {named}"
    )
