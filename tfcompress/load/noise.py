"""Models that draw random numbers at inference, with an input in the place of each draw.

The application draws the numbers then, and may draw others, or none: zeros give the mean.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from tfcompress.errors import InputError
from tfcompress.graphs.keras.call_graph import (
    calls,
    dtype_name,
    flatten,
    input_structure,
    is_graph,
    is_keras3,
    is_symbolic,
    map_structure,
    module_of,
    nested_tensors,
    subclassed_structures,
)
from tfcompress.graphs.keras.protocols import KerasModel, Layer, Tensor
from tfcompress.graphs.tensorflow.draws import Draw, DrawKind, draws_replaced
from tfcompress.graphs.tensorflow.private_names import (
    flat_layers,
    forget_calls,
    layers_module_of,
    number_of_calls,
)
from tfcompress.load.float_model import float_model_from_keras
from tfcompress.model import FloatModel, TensorInfo
from tfcompress.native_output import silenced
from tfcompress.remarks import remark
from tfcompress.runtime import keras, tf, tf_keras

__all__ = ["Noise", "with_noise_inputs"]

_RUNS_CODE_OF_OTHERS = frozenset({"Lambda", "OpLambda", "SlicingOpLambda", "TFOpLambda"})


@dataclass(frozen=True)
class Noise:
    """What the application draws, which comes before the artifact as a vocabulary does.

    Attributes:
        raw: the model's own inputs.
        inputs: of the artifact: these and the noise.
        kinds: {noise input: ``normal`` of mean 0 and deviation 1, or ``uniform`` from 0 to 1}.
    """

    raw: tuple[TensorInfo, ...]
    inputs: tuple[TensorInfo, ...]
    kinds: Mapping[str, DrawKind] = field(default_factory=dict)

    @property
    def fingerprint(self) -> str:
        """Of what is drawn for a sample, which its own bytes decide."""
        return f"noise {sorted(self.kinds.items())} {self.inputs}"

    def __call__(self, values: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """The artifact's inputs of a batch; a sample gets the same noise whenever it is read."""
        result = dict(values)
        rows = zip(*(values[info.name] for info in self.raw), strict=True)
        seeds = [zlib.crc32(b"".join(np.ascontiguousarray(part).tobytes() for part in row)) for row in rows]
        for number, info in enumerate(info for info in self.inputs if info.name in self.kinds):
            size = tuple(length or 1 for length in info.shape[1:])
            drawn = [_drawn(np.random.default_rng((seed, number)), self.kinds[info.name], size) for seed in seeds]
            result[info.name] = np.stack(drawn).astype(info.dtype)
        return result

    def write(self, folder: Path) -> None:
        """Write how the noise is drawn.

        Args:
            folder: existing; gets ``noise.json`` and ``NOISE.md``.
        """
        for name, text in {**self.files, "NOISE.md": _PAGE.format(lines=self._lines())}.items():
            (folder / name).write_text(text, encoding="utf-8")

    @property
    def files(self) -> dict[str, str]:
        """{``noise.json``: what is drawn for each input}."""
        inputs = [{**asdict(info), "drawn": self.kinds[info.name]} for info in self.inputs if info.name in self.kinds]
        return {"noise.json": json.dumps({"inputs": inputs}, indent=1) + "\n"}

    def _lines(self) -> str:
        noise = [info for info in self.inputs if info.name in self.kinds]
        return "".join(f"- `{x.name}` {list(x.shape)} {x.dtype}: {self.kinds[x.name]}\n" for x in noise)


_PAGE = """# The noise that the artifact takes

The model draws random numbers at inference. Here they are inputs, which the application draws anew for each run; zeros
(0.5 for uniform) give the mean.

{lines}
`normal` has mean 0 and deviation 1; `uniform` lies between 0 and 1. In Python they are drawn by
`numpy.random.default_rng().normal(size=shape)` and `.uniform(size=shape)`, and quantized first where the artifact takes
int8.
"""


def _drawn(generator: np.random.Generator, kind: DrawKind, size: tuple[int, ...]) -> np.ndarray:
    return generator.normal(size=size) if kind == "normal" else generator.uniform(size=size)


def with_noise_inputs(model: FloatModel) -> tuple[Noise, FloatModel] | None:
    """A model with an input for each draw of normal or uniform numbers; None for a model that draws none.

    Raises:
        InputError: only a signature is known of the model.
    """
    source = model.keras_model
    if source is None:
        raise InputError(f"--sampling=input: {model.name} has no Keras layers; give the .keras or .h5 file")
    replay = _Replay(keras if is_keras3(source) else tf_keras)
    with silenced():
        built = replay.whole(source)
    if not replay.noise:
        return None
    rest = float_model_from_keras(built, name=model.name, format=model.format, sha256=model.sha256)
    kinds = dict(zip(replay.noise, replay.kinds, strict=True))
    remark(f"{model.name}: draws random numbers at inference: they are inputs of the artifact: {', '.join(kinds)}")
    return Noise(model.inputs, rest.inputs, kinds), replace(
        rest, fingerprint=model.fingerprint, sample_bytes=model.sample_bytes
    )


class _Replay:
    """A functional graph made anew, with calls that draw given what they would have drawn."""

    def __init__(self, library: Any) -> None:
        self.library = library
        self.keras3 = library is keras
        self.noise: dict[str, Tensor] = {}
        self.kinds: list[DrawKind] = []
        self._noted: dict[int, tuple[Layer, tuple[int, int]]] = {}

    def whole(self, model: Any) -> Any:
        """The new model: the inputs of the old one, and the noise."""
        structure = input_structure(model) if is_graph(model) else subclassed_structures(model)[0]
        inputs = {
            info.name: self.library.Input(batch_shape=info.shape, dtype=info.dtype, name=info.name)
            for info in structure.infos
        }
        if is_graph(model):
            outputs = self._graph(model, list(inputs.values()))
        else:
            outputs = self._called(model, (structure.pack(inputs),), {"training": False})
        built = self.library.Model([*inputs.values(), *self.noise.values()], outputs, name=model.name)
        for layer, number in self._noted.values():  # the user's layers must not seem to be called twice in their model
            forget_calls(layer, number)
        return built

    def _graph(self, model: KerasModel, inputs: list[Tensor]) -> object:
        starts, ends = nested_tensors(model)
        new = {id(old): tensor for old, tensor in zip(flatten(starts, keras3=self.keras3), inputs, strict=True)}

        def replaced(value: object) -> object:
            return new.get(id(value), value)

        for call in list(calls(model)):
            if not call.is_input:
                args, kwargs = (
                    map_structure(replaced, part, keras3=self.keras3) for part in (call.args, dict(call.kwargs))
                )
                outputs = flatten(self._called(call.layer, args, kwargs), keras3=self.keras3)
                new.update({id(old): tensor for old, tensor in zip(call.outputs, outputs, strict=True)})
        return map_structure(replaced, ends, keras3=self.keras3)

    def _called(self, layer: Any, args: Sequence[object], kwargs: Mapping[str, object]) -> object:
        draws = self._draws(layer, args, kwargs) if _may_draw(layer) else []
        if draws and is_graph(layer):
            return self._graph(layer, flatten(args, keras3=self.keras3))
        if not draws:
            self._noted.setdefault(id(layer), (layer, number_of_calls(layer)))
            return layer(*args, **kwargs)
        kind = _Drawn3 if self.keras3 else _Drawn
        return kind(layer, name=f"{layer.name}_drawn")(self._inputs(layer, draws), *args, **kwargs)

    def _draws(self, layer: Callable[..., object], args: object, kwargs: object) -> list[Draw]:
        """What a call draws that an input can stand for."""
        symbolic = [leaf for leaf in flatten((args, kwargs), keras3=self.keras3) if is_symbolic(leaf)]
        every: list[Draw] = []

        def trace(*tensors: Tensor) -> None:
            new = {id(old): tensor for old, tensor in zip(symbolic, tensors, strict=True)}
            values = map_structure(lambda leaf: new.get(id(leaf), leaf), (args, kwargs), keras3=self.keras3)
            with keras.StatelessScope(), draws_replaced() as draws:
                layer(*values[0], **values[1])
            every.extend(draws)

        specs = [tf.TensorSpec(tuple(tensor.shape), dtype_name(tensor.dtype)) for tensor in symbolic]
        tf.function(trace, autograph=False).get_concrete_function(*specs)
        return [draw for draw in every if draw.kind != "choice"]

    def _inputs(self, layer: Layer, draws: Iterable[Draw]) -> list[Tensor]:
        result = []
        for draw in draws:
            shape = draw.shape or (1,)
            if shape[0] is not None or None in shape[1:]:
                raise InputError(
                    f"--sampling=input: the layer {layer.name!r} draws numbers of the shape {draw.shape}, expected one "
                    "row for each sample, and sizes that are known; use --sampling=mean"
                )
            name = f"noise_{len(self.noise)}" if self.noise else "noise"
            self.noise[name] = self.library.Input(batch_shape=shape, dtype=draw.dtype, name=name)
            self.kinds.append(draw.kind)
            result.append(self.noise[name])
        return result


def _may_draw(layer: object) -> bool:
    """Whether a layer runs code that is not Keras's own, at any depth."""
    own = (layers_module_of(keras), layers_module_of(tf_keras))
    return any(
        not module_of(type(part)).startswith(own) or type(part).__name__ in _RUNS_CODE_OF_OTHERS
        for part in flat_layers(layer)
    )


def _drawn_class(library: Any) -> Callable[..., Any]:
    class Drawn(library.layers.Layer):
        """A layer that is given what it would draw."""

        def __init__(self, layer: Layer, **settings: object) -> None:
            super().__init__(**settings)
            self.layer = layer

        def call(self, noise: list[Tensor], *args: object, **kwargs: object) -> object:
            """What the layer makes of its own arguments and the noise."""
            with draws_replaced(noise):
                return self.layer(*args, **kwargs)

    return Drawn


_Drawn3, _Drawn = _drawn_class(keras), _drawn_class(tf_keras)
