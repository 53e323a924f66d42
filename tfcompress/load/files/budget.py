"""A model may only create weights that its file can fill, and activations that this machine could hold."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from tfcompress.errors import UnsafeModelError
from tfcompress.graphs.keras.call_graph import calls, is_graph
from tfcompress.load.files.limits import physical_memory
from tfcompress.load.files.source import StoredWeights
from tfcompress.runtime import keras, tf

__all__ = ["refuse_absurd_activations", "refuse_expanding_calls", "weight_budget"]

# State that is not stored: random seeds, states of stateful RNNs, a weight built once more while a model is loaded.
_SLACK_FACTOR = 4
_SLACK_ELEMENTS = 1_000_000
_BYTES_PER_ELEMENT = 4
# Models inside models may call each other again and again: 14 levels that each call the next one twice are 16,384 calls
# of one layer.  Attention over 100 steps with shared layers, unrolled, makes 100 calls of each.
_CALLS_ALWAYS_ALLOWED = 5_000
_CALLS_PER_LAYER = 100


@contextlib.contextmanager
def weight_budget(path: Path, stored: StoredWeights | None) -> Iterator[None]:
    """Refuse to create more weights than the file holds, before their memory is taken.

    Args:
        path: for the message.
        stored: what the file holds; None allows half of this machine's memory.

    Raises:
        UnsafeModelError: a weight, or all of them together, is larger than the file can fill.
    """
    if stored is None:
        allowed, held = physical_memory() // 2 // _BYTES_PER_ELEMENT, "this machine's memory allows"
    else:
        allowed, held = _SLACK_FACTOR * stored.total + _SLACK_ELEMENTS, f"the {stored.total} that the file holds"
    created = 0

    def take(name: Any, shape: Any) -> None:
        nonlocal created
        created += _elements(shape)
        if created > allowed:
            raise UnsafeModelError(
                f"{path}: refused: its configuration asks for a weight {name!r} of shape {list(shape)}, "
                f"{created} elements in all, more than {held}"
            )

    def create(next_creator: Any, **kwargs: object) -> Any:
        take(kwargs.get("name"), kwargs.get("shape"))
        return next_creator(**kwargs)

    with tf.variable_creator_scope(create), _watched_keras3_weights(take):
        yield


@contextlib.contextmanager
def _watched_keras3_weights(take: Callable[[object, object], None]) -> Iterator[None]:
    """Call `take` before each `add_weight` of a Keras 3 layer.

    Keras 3 hands TensorFlow an initializer without a shape, so a variable creator comes too late; it has no hook of
    its own, hence the method itself is replaced for the time being.
    """
    base = keras.layers.Layer
    original = base.add_weight

    def add_weight(self: Any, *args: Any, **kwargs: object) -> Any:
        take(kwargs.get("name"), kwargs.get("shape"))
        return original(self, *args, **kwargs)

    base.add_weight = add_weight
    try:
        yield
    finally:
        base.add_weight = original


def _elements(shape: object) -> int:
    """Elements of a variable; unknown sizes count as one."""
    return 0 if shape is None else math.prod(int(size or 1) for size in tf.TensorShape(shape).as_list() or [])


def refuse_absurd_activations(path: Path, model: Any) -> None:
    """Refuse a model one of whose tensors could not be held in memory for a single sample.

    Raises:
        UnsafeModelError: names the layer and the shape.
    """
    if not is_graph(model):
        return
    for call in calls(model):
        for tensor in call.outputs:
            sizes = [int(size) for size in tensor.shape if size is not None]
            if math.prod(sizes) * _BYTES_PER_ELEMENT > physical_memory():
                raise UnsafeModelError(
                    f"{path}: refused: the layer {call.layer.name!r} makes a tensor of shape {list(tensor.shape)}, "
                    "larger than this machine's memory"
                )


def refuse_expanding_calls(path: Path, model: Any) -> None:
    """Refuse a model whose nested models call their few layers so often that running it once takes minutes.

    Raises:
        UnsafeModelError: gives the numbers.
    """
    if not is_graph(model):
        return
    layers: set[int] = set()
    total = _expanded_calls(model, layers, {})
    if total > max(_CALLS_ALWAYS_ALLOWED, _CALLS_PER_LAYER * len(layers)):
        raise UnsafeModelError(
            f"{path}: refused: its nested models call {len(layers)} layers {total} times, more than {_CALLS_PER_LAYER} "
            "times each; save a model that calls them less often"
        )


def _expanded_calls(model: Any, layers: set[int], counts: dict[int, int]) -> int:
    """Calls of layers that one run of a model makes, those in nested models for each call of theirs.

    Args:
        model: sequential or functional.
        layers: gets the identities of the layers.
        counts: {identity of a nested model: its calls}, so that each is counted once.
    """
    if id(model) not in counts:
        total = 0
        for call in calls(model):
            nested = hasattr(call.layer, "layers") and is_graph(call.layer)
            if not nested:
                layers.add(id(call.layer))
            total += _expanded_calls(call.layer, layers, counts) if nested else 1
        counts[id(model)] = total
    return counts[id(model)]
