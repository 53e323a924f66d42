"""`remove_layers`: residual blocks, and runs of layers that keep a tensor's shape, by the recipe's section `layers`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from tfcompress.compression.structure.batch_norm import estimate_batch_norms
from tfcompress.compression.structure.batch_sizes import batch_within
from tfcompress.compression.structure.linear_merging import merge_linear
from tfcompress.compression.structure.shrink import Shrunk
from tfcompress.compression.training.objective import heads_of
from tfcompress.data import Samples
from tfcompress.errors import RecipeError
from tfcompress.graphs.keras.lineage import Lineage, Origin
from tfcompress.graphs.keras.protocols import KerasModel, Tensor
from tfcompress.graphs.keras.replay import Call, Copies, calls_of, consumers_of, rebuild
from tfcompress.layer_names import patterns_match
from tfcompress.recipe import Layers
from tfcompress.runtime import tf_keras

__all__ = ["remove_layers"]

_L = tf_keras.layers
_SAMPLES = 128
_DIGITS = 6
_SUMS = (_L.Add,)
# Layers that a run may hold beside the one with the kernel.
_FOLLOWERS = (_L.BatchNormalization, _L.Activation, _L.ReLU, _L.LeakyReLU, _L.PReLU, _L.ELU, _L.Dropout)
_KERNELS = (_L.Dense, _L.Conv1D, _L.Conv2D, _L.Conv3D, _L.SeparableConv1D, _L.SeparableConv2D, _L.LSTM, _L.GRU)


@dataclass(frozen=True)
class _Part:
    """A part of the model that can be left out: what reads its end reads its beginning instead.

    Attributes:
        begin: the tensor that goes in.
        end: the call that makes the tensor that comes out.
        layers: names of the layers that go.
    """

    begin: Tensor
    end: Call
    layers: tuple[str, ...]


def remove_layers(model: KerasModel, section: Layers, samples: Samples) -> Shrunk:
    """Leave out the parts whose absence changes the outputs least, one after the other.

    Args:
        model: flat tf_keras model; it is not changed.
        section: how many parts go, or how large the error may become.
        samples: 128 of them are compared; no labels are needed.

    Raises:
        RecipeError: the model has too few parts that can be left out, or a pattern fits no layer.
    """
    for pattern in section.skip:
        if not any(patterns_match(layer.name, [pattern]) for layer in model.layers):
            raise RecipeError(f"recipe: layers.skip: {pattern!r} fits no layer of the model")
    wanted = _outputs(model, samples)
    current, lineage, notes = model, Lineage({layer.name: Origin(layer.name) for layer in model.layers}), list[str]()
    most = section.remove if section.remove is not None else len(model.layers)
    while len(notes) < most:
        tried = [(part, _without(current, part)) for part in _parts(current, section.skip)]
        if not tried:
            break
        errors = [_error(wanted, _outputs(candidate, samples)) for _, candidate in tried]
        # Of parts whose absence is felt alike, the largest goes.
        ranks = [
            (round(error, _DIGITS), smaller.count_params()) for error, (_, smaller) in zip(errors, tried, strict=True)
        ]
        best = ranks.index(min(ranks))
        if section.error is not None and errors[best] > section.error:
            break
        part, current = tried[best]
        left = {layer.name for layer in current.layers}
        lineage = lineage.then(Lineage({name: Origin(name) for name in left}, part.layers))
        notes.append(f"layers: left out {', '.join(part.layers)} (error of the outputs {errors[best]:.3f})")
    if section.remove is not None and len(notes) < section.remove:
        raise RecipeError(
            f"recipe: layers.remove is {section.remove}, but the model has {len(notes)} residual blocks or runs of "
            "layers that keep a tensor's shape and are not skipped; ask for at most so many"
        )
    if not notes:
        return Shrunk(current, lineage, ("layers: none could be left out within the error asked for",))
    estimate_batch_norms(current, samples)
    merged = merge_linear(current, skip=section.skip)
    return Shrunk(merged.model, lineage.then(merged.lineage), (*notes, *merged.notes))


def _outputs(model: KerasModel, samples: Samples) -> list[np.ndarray]:
    """What the heads give before their activations."""
    before = tf_keras.Model(model.inputs, [head.tensor for head in heads_of(model)])
    batches = samples.spread(_SAMPLES).batches(batch_within(model, _SAMPLES))
    rows = [before.predict(list(batch.inputs.values()), verbose=0) for batch in batches]
    return [np.concatenate(parts) for parts in zip(*(r if isinstance(r, list) else [r] for r in rows), strict=True)]


def _error(wanted: Sequence[np.ndarray], got: Sequence[np.ndarray]) -> float:
    """The mean squared difference over the variance, averaged over the outputs."""
    pairs = zip(wanted, got, strict=True)
    return float(np.mean([np.mean(np.square(a - b)) / max(float(np.var(a)), 1e-12) for a, b in pairs]))


def _parts(model: KerasModel, skip: Sequence[str]) -> Iterator[_Part]:
    """All parts that can be left out."""
    calls = calls_of(model)
    makers = {id(tensor): call for call in calls for tensor in call.old_outputs}
    readers = consumers_of(model)
    for call in calls:
        part = None
        if isinstance(call.layer, _SUMS) and len(call.old_inputs) == 2:
            part = _block(call, makers)
        elif type(call.layer) in _KERNELS:
            part = _run(call, readers)
        if part is not None and not any(patterns_match(name, skip) for name in part.layers):
            yield part


def _block(call: Call, makers: dict[int, Call]) -> _Part | None:
    """A residual block: a sum of a tensor and of what layers make of that tensor alone."""
    for shortcut, branch in (call.old_inputs, call.old_inputs[::-1]):
        names = _between(shortcut, branch, makers)
        if names and tuple(shortcut.shape) == tuple(call.old_outputs[0].shape):
            return _Part(shortcut, call, (*names, call.layer.name))
    return None


def _between(begin: Tensor, end: Tensor, makers: dict[int, Call]) -> tuple[str, ...]:
    """Names of the layers on all ways from `begin` to `end`; empty where there is another way in."""
    names: dict[str, None] = {}
    waiting = [end]
    while waiting:
        tensor = waiting.pop()
        if tensor is begin:
            continue
        call = makers.get(id(tensor))
        if call is None:
            return ()
        names.setdefault(call.layer.name)
        waiting.extend(call.old_inputs)
    return tuple(reversed(names))


def _run(call: Call, readers: dict[int, list[Call | None]]) -> _Part | None:
    """A layer with a kernel and what follows it alone, where a tensor of the same shape comes out."""
    if len(call.old_inputs) != 1:
        return None
    begin, end, names = call.old_inputs[0], call, [call.layer.name]
    while True:
        following = readers.get(id(end.old_outputs[0]), [])
        alone = following[0] if len(following) == 1 else None
        if alone is None or not isinstance(alone.layer, _FOLLOWERS):
            break
        end = alone
        names.append(alone.layer.name)
    out = end.old_outputs[0]
    makes_output = None in readers.get(id(out), [])
    same = tuple(begin.shape) == tuple(out.shape)
    shared = any(len(layer_call.layer.inbound_nodes) > 1 for layer_call in (call, end))
    return None if makes_output or not same or shared else _Part(begin, end, tuple(names))


def _without(model: KerasModel, part: _Part) -> KerasModel:
    """A copy of the model in which what reads the part's end reads its beginning."""
    copies = Copies()
    tensors: dict[int, Tensor] = {}

    def entered(old: Tensor, new: Tensor) -> Tensor:
        tensors[id(old)] = new
        return new

    def emit(call: Call) -> object:
        if call.old_outputs[0] is part.end.old_outputs[0]:
            return tensors[id(part.begin)]
        outputs = copies.repeat(call)
        for old, new in zip(call.old_outputs, outputs if isinstance(outputs, list | tuple) else [outputs], strict=True):
            tensors[id(old)] = new
        return outputs

    smaller: KerasModel = rebuild(model, emit, enter=entered)  # type: ignore[arg-type]
    copies.copy_weights()
    return smaller
