"""Models that begin with text, categories or bins: cut in two behind the layers that no accelerator has a kernel for.

The front, `StringLookup` and its like, runs where the application is written; the rest becomes the artifact.  Layers
that compute with numbers alone, such as `Normalization`, `Rescaling` and `Resizing`, stay in the artifact.
"""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from tfcompress import console
from tfcompress.errors import ModelError, one_line
from tfcompress.graphs.keras.call_graph import (
    Call,
    calls,
    dtype_name,
    flatten,
    is_graph,
    is_keras3,
    is_symbolic,
    map_structure,
    nested_tensors,
    producer,
)
from tfcompress.graphs.keras.protocols import Layer
from tfcompress.graphs.tensorflow.private_names import forget_calls, number_of_calls
from tfcompress.layer_names import all_layers
from tfcompress.load.float_model import float_model_from_keras
from tfcompress.model import FloatModel, TensorInfo
from tfcompress.native_output import silenced
from tfcompress.runtime import keras, tf, tf_keras

__all__ = ["BeforeArtifact", "Front", "file_name_of", "joined", "split_preprocessing", "together"]


class BeforeArtifact(Protocol):
    """What an application does before the artifact runs."""

    @property
    def raw(self) -> tuple[TensorInfo, ...]:
        """What it takes: the inputs of the whole model."""
        ...

    @property
    def inputs(self) -> tuple[TensorInfo, ...]:
        """What it gives: the inputs of the artifact."""
        ...

    @property
    def fingerprint(self) -> str | None:
        """Of all that shapes what it gives; None where nothing can name that."""
        ...

    def __call__(self, values: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """The artifact's inputs of a batch, {name: array}, batch first."""
        ...

    @property
    def files(self) -> dict[str, str]:
        """{name: text} of the rules and vocabularies."""
        ...

    def write(self, folder: Path) -> None:
        """Write into an existing folder what an application needs to do it."""
        ...


@dataclass(frozen=True)
class _Together:
    first: BeforeArtifact
    second: BeforeArtifact

    @property
    def raw(self) -> tuple[TensorInfo, ...]:
        return self.first.raw

    @property
    def inputs(self) -> tuple[TensorInfo, ...]:
        return self.second.inputs

    @property
    def fingerprint(self) -> str | None:
        first, second = self.first.fingerprint, self.second.fingerprint
        return None if first is None or second is None else f"{first} {second}"

    def __call__(self, values: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        return self.second(self.first(values))

    @property
    def files(self) -> dict[str, str]:
        return {**self.first.files, **self.second.files}

    def write(self, folder: Path) -> None:
        self.first.write(folder)
        self.second.write(folder)


def together(first: BeforeArtifact | None, second: BeforeArtifact | None) -> BeforeArtifact | None:
    """Both, the second on what the first gives; None stands for nothing to do."""
    return _Together(first, second) if first is not None and second is not None else first or second


_ON_THE_HOST = frozenset(
    {"CategoryEncoding", "Discretization", "HashedCrossing", "Hashing", "IntegerLookup", "StringLookup",
     "TextVectorization"}
)  # fmt: skip
_NOT_IN_FILE_NAMES = r"[^\w.-]"
_LONGEST_NAME = 100
_LOOKUPS = frozenset({"IntegerLookup", "StringLookup", "TextVectorization"})


@dataclass(frozen=True)
class Front:
    """The part of a model that comes before the artifact.

    Attributes:
        model: of either Keras: from the model's inputs to the artifact's.
        raw: the inputs of the whole model, as data have them.
        inputs: of the artifact.
        fingerprint: of all that the whole model was made from; None where nothing can name that.
    """

    model: Any = field(repr=False)
    raw: tuple[TensorInfo, ...]
    inputs: tuple[TensorInfo, ...]
    fingerprint: str | None = None

    def __call__(self, values: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """The artifact's inputs, {name: array}, of a batch of raw ones, {name: array}; batch first in all."""
        given = {info.name: _as_taken(values[info.name], info.dtype) for info in self.raw}
        starts, _ = nested_tensors(self.model)
        flat = [given[info.name] for info in self.raw]
        keras3 = is_keras3(self.model)
        nest = keras.tree if keras3 else tf.nest
        results = flatten(self.model(nest.pack_sequence_as(starts, flat), training=False), keras3=keras3)
        return {
            info.name: np.asarray(value).astype(info.dtype) for info, value in zip(self.inputs, results, strict=True)
        }

    def write(self, folder: Path) -> None:
        """Write what the front needs: its Keras model, its rules as JSON, and its vocabularies.

        Args:
            folder: existing; gets ``front.keras``, ``rules.json`` and ``LAYER.txt`` for each vocabulary, a word a line.
        """
        with silenced():
            self.model.save(folder / "front.keras")
        for name, text in {**self.files, "USE.md": _usage(self)}.items():
            (folder / name).write_text(text, encoding="utf-8")

    @property
    def files(self) -> dict[str, str]:
        """{name: text} of the rules, ``rules.json``, and of each vocabulary, ``LAYER.txt``."""
        steps = [call for call in calls(self.model) if not call.is_input]
        ends = {
            "inputs": [dataclasses.asdict(info) for info in self.raw],
            "artifact_inputs": [dataclasses.asdict(info) for info in self.inputs],
            "steps": [_rule(call) for call in steps],
        }
        vocabularies = {name: words for call in steps for name, words in _vocabularies(call.layer).items()}
        return {"rules.json": json.dumps(ends, indent=1, default=_as_json) + "\n", **vocabularies}


def split_preprocessing(model: FloatModel) -> tuple[Front, FloatModel] | None:
    """The part of a model that no accelerator runs, and the rest; None where there is no such part.

    Raises:
        ModelError: such a layer is inside of a subclassed model, or nothing is left behind it.
    """
    source = model.keras_model
    if source is None or not any(_is_host_layer(layer) for layer in all_layers(source)):
        return None
    if not is_graph(source):
        raise ModelError(
            f"{model.name}: a subclassed model with {_host_names(source)} inside: build it as a functional model, "
            "so that these layers can be cut off and run before the artifact"
        )
    in_front = _in_front(source)
    boundary = _boundary(source, in_front)
    front = Front(_front_model(source, boundary), model.inputs, (), model.fingerprint)
    back = _back_model(source, in_front, boundary)
    console.note(
        f"{model.name}: the artifact begins behind {_host_names(source)}; how that part is run is written beside it"
    )
    rest = float_model_from_keras(back, name=model.name, format=model.format, sha256=model.sha256)
    rest = dataclasses.replace(rest, fingerprint=model.fingerprint, sample_bytes=model.sample_bytes)
    return dataclasses.replace(front, inputs=rest.inputs), rest


def joined(front: Front, rest: Any) -> Any:
    """One model of the front and what was made of the rest, of the same Keras; they stay whole inside of it."""
    starts, _ = nested_tensors(front.model)
    library = keras if is_keras3(front.model) else tf_keras
    middle = flatten(front.model(starts), keras3=is_keras3(front.model))
    return library.Model(starts, rest(middle if len(middle) > 1 else middle[0]), name=rest.name)


def _is_host_layer(layer: Any) -> bool:
    return type(layer).__name__ in _ON_THE_HOST


def _host_names(model: Any) -> str:
    return ", ".join(layer.name for layer in all_layers(model) if _is_host_layer(layer))


def _in_front(model: Any) -> set[int]:
    """Ids of the tensors that the front computes or takes: those that a host layer comes out of or depends on."""
    built = {id(tensor): call for call in calls(model) for tensor in call.outputs}
    stack = [tensor for call in calls(model) if _is_on_host(call) for tensor in call.outputs]
    result: set[int] = set()
    while stack:
        tensor = stack.pop()
        if id(tensor) not in result:
            call = built[id(tensor)]
            result.update(id(output) for output in call.outputs)
            stack.extend(_read(call))
    return result


def _is_on_host(call: Call) -> bool:
    if call.is_input:
        return False
    inner = [call.layer, *all_layers(call.layer)]
    strings = any(dtype_name(tensor.dtype) == "string" for tensor in (*_read(call), *call.outputs))
    return strings or any(_is_host_layer(layer) for layer in inner)


def _read(call: Call) -> list[Any]:
    leaves = flatten((call.args, dict(call.kwargs)), keras3=is_keras3(call.layer))
    return [leaf for leaf in leaves if is_symbolic(leaf)]


def _boundary(model: Any, in_front: set[int]) -> list[Any]:
    """The tensors that the rest reads of the front, and the model's inputs that it reads itself, in their order."""
    result: dict[int, Any] = {}
    for call in calls(model):
        if not call.is_input and not all(id(tensor) in in_front for tensor in call.outputs):
            starts = [tensor for tensor in _read(call) if id(tensor) in in_front or _is_start(model, tensor)]
            result.update({id(tensor): tensor for tensor in starts})
    if not result:
        raise ModelError(
            f"{model.name!r}: nothing is left behind {_host_names(model)}, so there is no artifact to make"
        )
    return list(result.values())


def _is_start(model: Any, tensor: Any) -> bool:
    return any(tensor is start for start in model.inputs)


def _front_model(model: Any, boundary: Sequence[Any]) -> Any:
    starts, _ = nested_tensors(model)
    library = keras if is_keras3(model) else tf_keras
    return library.Model(starts, list(boundary), name=f"{model.name}_front")


def _back_model(model: Any, in_front: set[int], boundary: Sequence[Any]) -> Any:
    keras3 = is_keras3(model)
    library = keras if keras3 else tf_keras
    inputs = [
        library.Input(batch_shape=tuple(tensor.shape), dtype=_artifact_dtype(model, in_front, tensor), name=name)
        for tensor, name in zip(boundary, _names(boundary), strict=True)
    ]
    new = {id(old): tensor for old, tensor in zip(boundary, inputs, strict=True)}
    # The user's layers must not seem to be called twice in the user's own model.
    noted = [(layer, number_of_calls(layer)) for layer in {id(c.layer): c.layer for c in calls(model)}.values()]

    def replaced(value: Any) -> Any:
        return new.get(id(value), value)

    for call in calls(model):
        if call.is_input or all(id(tensor) in in_front for tensor in call.outputs):
            continue
        args, kwargs = (map_structure(replaced, part, keras3=keras3) for part in (call.args, dict(call.kwargs)))
        outputs = flatten(call.layer(*args, **kwargs), keras3=keras3)
        new.update({id(old): tensor for old, tensor in zip(call.outputs, outputs, strict=True)})
    _, ends = nested_tensors(model)
    built = library.Model(inputs, map_structure(replaced, ends, keras3=keras3), name=model.name)
    for layer, number in noted:
        forget_calls(layer, number)
    return built


def _artifact_dtype(model: Any, in_front: set[int], tensor: Any) -> str:
    """Of an input of the rest: numbers of words that embeddings alone read are int32, as most clients want them."""
    dtype = dtype_name(tensor.dtype)
    if dtype != "int64" or not _is_host_layer(producer(tensor)):
        return dtype
    rest = [call for call in calls(model) if not all(id(output) in in_front for output in call.outputs)]
    readers = [call.layer for call in rest if not call.is_input and any(part is tensor for part in _read(call))]
    return "int32" if all(type(layer).__name__ == "Embedding" for layer in readers) else dtype


def _names(tensors: Sequence[Any]) -> Iterator[str]:
    taken: dict[str, int] = {}
    for tensor in tensors:
        name = str(producer(tensor).name)
        count = taken.get(name, 0)
        taken[name] = count + 1
        yield f"{name}_{count}" if count else name


def _as_taken(value: np.ndarray, dtype: str) -> Any:
    if dtype == "string":
        return tf.constant(value.astype(object) if value.dtype.kind == "U" else value, tf.string)
    return tf.constant(value, dtype)


def _rule(call: Call) -> dict[str, Any]:
    """One step of the front in words that any language can follow."""
    layer = call.layer
    step: dict[str, Any] = {
        "layer": layer.name,
        "class": type(layer).__name__,
        "reads": [producer(tensor).name for tensor in _read(call)],
        "settings": {key: value for key, value in layer.get_config().items() if key not in ("vocabulary", "layers")},
    }
    vocabularies = list(_vocabularies(layer))
    return {**step, "vocabularies": vocabularies} if vocabularies else step


def _vocabularies(layer: Layer) -> dict[str, str]:
    """{file name: the words, one a line} of a layer and those inside of it."""
    result = {}
    for inner in [layer, *all_layers(layer)]:
        if type(inner).__name__ in _LOOKUPS:
            words = "".join(f"{word}\n" for word in inner.get_vocabulary())
            result[f"{file_name_of(inner)}.txt"] = words.encode("utf-8", "replace").decode("utf-8")
    return result


def file_name_of(layer: Layer) -> str:
    """A layer's name as that of a file, without an ending."""
    return re.sub(_NOT_IN_FILE_NAMES, "_", layer.name)[:_LONGEST_NAME]


def _as_json(value: object) -> object:
    """Numbers in a layer's settings that are numpy's."""
    if isinstance(value, np.generic | np.ndarray):
        return value.tolist()
    raise TypeError(f"{type(value).__name__} has no JSON form")


def _in_words(info: TensorInfo) -> str:
    name = one_line(info.name, 120).replace("`", "'")  # a name out of a model must not end the code that it stands in
    return f"`{name}` {list(info.shape)} {info.dtype}"


def _usage(front: Front) -> str:
    raw, built = (", ".join(map(_in_words, infos)) for infos in (front.raw, front.inputs))
    return f"""# The part before the artifact

The model begins with layers that no accelerator has a kernel for. They run in the application; the artifact takes what
they give.

- takes: {raw}
- gives, in this order, the artifact's inputs: {built}

`front.keras` is that part as a Keras model:

```python
import keras  # or tf_keras, for a model of Keras 2

front = keras.models.load_model("front.keras")
values = front.predict(raw_inputs)  # what goes into the artifact, cast to its type, or quantized where that is int8
```

In another language follow `rules.json`, step by step: each names its layer's class, settings and what it reads. A
vocabulary is a text file; a word's number is its line, the first being 0. Words that are in no line have the number of
the line `[UNK]`; an empty first line stands for padding.
"""
