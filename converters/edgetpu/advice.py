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
_CACHED_INPUTS = 6000  # a round number of inputs that is cached wherever truth exists
_PART = 2**20  # bytes of the parts that a large layer is advised to be split into
_LEAST_INPUTS = 64

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
    rest = [layer for layer in left if layer.occupied <= min(LARGEST_LAYER, needs.room)]
    free = needs.room - sum(layer.occupied for layer in needs.layers if layer.position in cached)
    lines = [_long(_name(view, layer_of), view, compiler, free) for view in views if reads_a_long_input(view)]
    if oversized:
        lines.append(
            _oversized([_name(views[layer.position], layer_of) for layer in oversized], oversized, needs, free)
        )
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


def _long(name: str, view: OperatorView, compiler: int, free: int) -> str:
    size = operator_bytes(view, compiler=compiler).streamed
    source = view.input(0)
    if source is None or _milliseconds(size) < _WORTH_A_LINE:
        return ""
    reads = f"{name} reads {source.elements:,} values at once, so its {size:,} parameter bytes are streamed"
    most = min(LARGEST_LAYER, free) * 19 // 20  # what is beside the weights does not shrink with the inputs
    inputs = min(_CACHED_INPUTS, source.elements * most // size)
    if inputs < _LEAST_INPUTS:
        return reads
    rounded = inputs if inputs < 1000 else inputs // 1000 * 1000
    return f"{reads}; pooling them to {rounded:,} or fewer first lets it be cached, which saves {_worth(size)}"


def _oversized(names: Sequence[str], layers: Sequence[Layer], needs: Demand, free: int) -> str:
    """All layers that are too large in one line, because they would share what is free."""
    most = min(LARGEST_LAYER, needs.room)
    limit = f"more than the {most:,} that the chip can cache of one layer"
    if len(layers) > 1:
        sizes = f"{min(layer.occupied for layer in layers):,} bytes or more each"
        line = f"{', '.join(names)} take {sizes}, {limit}, so all of them are streamed; "
    else:
        (layer,) = layers
        line = f"{names[0]} alone takes {layer.occupied:,} bytes, {limit}, so all of it is streamed; "
        if most <= free:
            smaller = _share(layer.occupied - most, layer.occupied)
            line += f"smaller by {smaller} it is cached whole, which saves {_worth(layer.cacheable)}; "
    kept = min(sum(layer.occupied for layer in layers), free // _PART * _PART)
    if _milliseconds(kept) < _WORTH_A_LINE:
        return f"{line}the other layers leave no room for parts of it"
    return f"{line}divided by outputs into layers of up to 1 MiB, {kept:,} bytes are cached, which saves {_worth(kept)}"


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
    line = (
        f"{size:,} parameter bytes do not fit the chip beside the others and are streamed: a model smaller by"
        f" {_share(needs.wanted - needs.room, needs.wanted)}, or split over {chips} Edge TPUs (edgetpu_compiler"
        f" --num_segments={chips}), saves {_worth(size)};"
        f" {'the largest of them belong to' if len(layers) > 1 else 'they belong to'} {named}"
    )
    if needs.waiting and needs.wanted <= needs.room + needs.waiting:
        line += (
            f"; all would fit without the {needs.waiting:,} bytes of results that wait on the chip for a later"
            " operator, as shortcuts do: a smaller input leaves more room"
        )
    return line
