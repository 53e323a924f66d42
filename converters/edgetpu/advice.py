"""What would make a model fit the chip's parameter memory, and how many milliseconds that is worth."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from tfcompress.converters.edgetpu.latency import RATES
from tfcompress.converters.edgetpu.memory import LARGEST_LAYER, Demand, Layer
from tfcompress.converters.edgetpu.parameters import operator_bytes, reads_a_long_input
from tfcompress.converters.edgetpu.view import OperatorView

__all__ = ["memory_advice", "sharing_advice"]

_WORTH_A_LINE = 0.05  # milliseconds over USB 3
_LARGEST = 3

LayerOf = Callable[[str], str | None]


def memory_advice(views: Sequence[OperatorView], needs: Demand, layer_of: LayerOf, *, compiler: int) -> tuple[str, ...]:
    """One line for each way to stream less; none where that would not be felt.

    Args:
        views: the mapped operators.
        needs: what they ask of the parameter memory.
        layer_of: the Keras layer of a tensor's name, or None.
        compiler: major version of the compiler.
    """
    cached = {layer.position for layer in needs.cached(needs.room)}
    left = [layer for layer in needs.layers if layer.position not in cached]
    oversized = [layer for layer in left if layer.occupied > min(LARGEST_LAYER, needs.room)]
    fits = needs.wanted - sum(layer.occupied for layer in oversized) <= needs.room
    rest = [layer for layer in left if layer not in oversized]
    lines = [_long(_name(view, layer_of), view, compiler) for view in views if reads_a_long_input(view)]
    lines += [_oversized(_name(views[layer.position], layer_of), layer, needs.room) for layer in oversized]
    if rest and fits:
        lines.append(_late(_name(views[rest[0].position], layer_of), rest))
    elif rest:
        largest = sorted(rest, key=lambda layer: -layer.cacheable)[:_LARGEST]
        named = [(_name(views[layer.position], layer_of), layer.cacheable) for layer in largest]
        lines.append(_too_many(needs, rest, named))
    return tuple(line for line in lines if line)


def sharing_advice(alone: int, together: int) -> tuple[str, ...]:
    """What being compiled together costs a model; nothing where that would not be felt.

    Args:
        alone: bytes that the model streams when it is compiled alone.
        together: bytes that it streams beside the others.
    """
    more = together - alone
    if _milliseconds(more) < _WORTH_A_LINE:
        return ()
    return (
        f"the other models take the place of {more:,} parameter bytes, which are streamed: compiled alone it saves"
        f" {_worth(more)}, but then the models replace each other's parameters when they take turns",
    )


def _milliseconds(size: int) -> float:
    return RATES["usb3"].streamed * size / 1e6


def _worth(size: int) -> str:
    return f"about {_milliseconds(size):.1f} ms of each inference over USB 3"


def _share(part: int, whole: int) -> str:
    """In whole per cents, and never too few."""
    return f"{-(-100 * part // whole)}%"


def _name(view: OperatorView, layer_of: LayerOf) -> str:
    names = (layer for tensor in view.outputs if (layer := layer_of(tensor.name)) is not None)
    return next(names, f"operator {view.operator.index} {view.operator.name}")


def _long(name: str, view: OperatorView, compiler: int) -> str:
    size = operator_bytes(view, compiler=compiler).streamed
    if _milliseconds(size) < _WORTH_A_LINE:
        return ""
    source = view.input(0)
    elements = 0 if source is None else source.elements
    return (
        f"{name} reads {elements:,} values at once, so its {size:,} parameter bytes are streamed;"
        f" pooling them to 6,000 or fewer first lets it be cached, which saves {_worth(size)}"
    )


def _oversized(name: str, layer: Layer, room: int) -> str:
    most = min(LARGEST_LAYER, room)
    return (
        f"{name} alone takes {layer.occupied:,} bytes, more than the {most:,} that the chip can cache of one layer, so"
        f" all of it is streamed; a layer smaller by {_share(layer.occupied - most, layer.occupied)}, or two thinner"
        f" ones in its place, can be cached, which saves up to {_worth(layer.cacheable)}"
    )


def _late(name: str, layers: Sequence[Layer]) -> str:
    size = sum(layer.cacheable for layer in layers)
    if _milliseconds(size) < _WORTH_A_LINE:
        return ""
    return (
        f"the compiler caches no more than a certain number of Dense layers: from {name} on,"
        f" {len(layers)} of them with {size:,} parameter bytes are streamed; fewer and wider layers save {_worth(size)}"
    )


def _too_many(needs: Demand, layers: Sequence[Layer], largest: Sequence[tuple[str, int]]) -> str:
    size = sum(layer.cacheable for layer in layers)
    if _milliseconds(size) < _WORTH_A_LINE:
        return ""
    chips = -(-needs.wanted // needs.room) if needs.room else 2
    named = ", ".join(f"{name} ({size:,})" for name, size in largest)
    return (
        f"{size:,} parameter bytes do not fit the chip beside the others and are streamed: a model smaller by"
        f" {_share(needs.wanted - needs.room, needs.wanted)}, or split over {chips} Edge TPUs (edgetpu_compiler"
        f" --num_segments={chips}), saves {_worth(size)}; the largest layers of these are {named}"
    )
