"""Models that Keras 3's own `quantize` has changed, with float weights again: converters take no others.

`quantize` replaces the kernels of `Dense`, `EinsumDense`, `Embedding` and `ReversibleEmbedding` (Keras documentation,
"Quantization").  The modes that go on training or wait for calibration, float8 and an uncalibrated gptq or awq, keep
the float kernel; the others keep integers and scales.  The float kernel that these stand for is read off the layer's
own computation on one-hot inputs, so that it holds for every mode, block size and LoRA adapter.
"""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator, Mapping
from typing import Any, Protocol

import numpy as np

from tfcompress.errors import ModelError, one_line
from tfcompress.graphs.keras.call_graph import is_graph
from tfcompress.graphs.keras.protocols import Config, KerasModel, Tensor, Variable
from tfcompress.graphs.tensorflow.private_names import flat_layers
from tfcompress.native_output import silenced
from tfcompress.remarks import remark
from tfcompress.runtime import keras

__all__ = ["is_quantized_by_keras", "with_float_weights", "with_quantized_attention"]


class _Layer(Protocol):
    """What is used of the layers of Keras 3 that can be quantized."""

    name: str
    kernel: Variable
    bias: Variable | None
    embeddings: Variable
    reverse_embeddings: Variable
    input_dim: int
    output_dim: int
    equation: str

    def __call__(self, inputs: np.ndarray, **arguments: object) -> Tensor: ...
    def get_config(self) -> Config: ...
    @classmethod
    def from_config(cls, config: object) -> _Layer: ...
    def save_own_variables(self, store: dict[str, object]) -> None: ...
    def load_own_variables(self, store: dict[str, object]) -> None: ...


_ATTENTION = frozenset({"GroupQueryAttention", "GroupedQueryAttention", "MultiHeadAttention"})
_ATTENTION_PARTS = ("attention_output", "gate", "key", "query", "value")
_FLOAT: Mapping[str, object] = {"module": "keras", "class_name": "DTypePolicy", "config": {"name": "float32"}}
_BESIDE_THE_PRODUCT = ("activation", "bias", "inputs_quantizer", "logit_soft_cap")
_SETTINGS = frozenset({"gptq_unpacked_column_size", "lora_alpha", "lora_rank", "quantization_config"})


def is_quantized_by_keras(model: KerasModel) -> bool:
    """Whether Keras 3's `quantize` has changed a layer of a model, at any depth."""
    return isinstance(model, keras.Model) and any(_mode(layer) for layer in flat_layers(model))


def with_float_weights(model: Any, name: str) -> Any:
    """A copy of a model that Keras 3's `quantize` has changed, with float layers; any other model as it is.

    Args:
        model: of either Keras; it stays as it is.
        name: for the remark that says which weights the copy has.

    Raises:
        ModelError: the model cannot be copied, or a quantized layer is of a kind that is not known here.
    """
    if not is_quantized_by_keras(model):
        return model
    changed = [layer for layer in flat_layers(model) if _mode(layer)]
    with silenced():
        copy = _float_copy(model, name)
        kept = [_give_weights(old, new, name) for old, new in _pairs(model, copy, name)]
    modes = ", ".join(sorted({str(_mode(layer)) for layer in changed}))
    lost = len(changed) - sum(kept)
    if lost:
        remark(
            f"{name}: Keras's quantize ({modes}) has changed its weights: {lost} of {len(changed)} layers are "
            "converted from what is left of their float weights; a model from before `quantize` is more accurate"
        )
    else:
        remark(
            f"{name}: Keras's quantize ({modes}) has changed it: converted from the float weights, which it still has"
        )
    return copy


def with_quantized_attention(config: Mapping[str, object]) -> Mapping[str, object]:
    """A configuration that says of attention layers too that they are quantized, as its other layers are.

    Keras 3.15 quantizes the parts of an attention layer and saves them so, but not in the layer's configuration, and
    cannot load such a file.

    Args:
        config: of a model, as JSON values.

    Returns:
        `config` itself where no layer is quantized.
    """
    policies = [policy for policy in _policies(config) if "mode" in _settings_of(policy)]
    if not policies:
        return config

    def changed(value: object) -> object:
        if isinstance(value, list | tuple):
            return [changed(item) for item in value]
        if not isinstance(value, Mapping):
            return value
        if value.get("class_name") in _ATTENTION and _settings_of(value):
            parts = {f".*/{name}": policies[0] for name in _ATTENTION_PARTS}
            inner = {"default_policy": _FLOAT, "policy_map": parts}
            dtype = {"module": "keras.dtype_policies", "class_name": "DTypePolicyMap", "config": inner}
            return {**value, "config": {**_settings_of(value), "dtype": {**dtype, "registered_name": None}}}
        return {key: changed(item) for key, item in value.items()}

    return {key: changed(item) for key, item in config.items()}


def _settings_of(described: Mapping[str, object]) -> Mapping[str, object]:
    """The configuration inside of an object's description; empty where there is none."""
    inner = described.get("config")
    return inner if isinstance(inner, Mapping) else {}


def _policies(config: object) -> Iterator[Mapping[str, object]]:
    """The dtype policies in a configuration."""
    if isinstance(config, Mapping) and _is_policy(config):
        yield config
    elif isinstance(config, Mapping | list | tuple):
        for value in config.values() if isinstance(config, Mapping) else config:
            yield from _policies(value)


def _is_policy(config: Mapping[str, object]) -> bool:
    return "DTypePolicy" in str(config.get("class_name")) and isinstance(config.get("config"), Mapping)


def _mode(layer: object) -> str | None:
    return getattr(layer, "quantization_mode", None)


def _float_copy(model: Any, name: str) -> Any:
    """A model of the same layers in float, with new weights."""
    objects = {type(layer).__name__: type(layer) for layer in flat_layers(model)}
    try:
        with keras.saving.custom_object_scope(objects):
            if is_graph(model):
                copy = keras.models.clone_model(model, clone_function=_float_layer, recursive=True)
                if not copy.built:
                    copy.build(model.input_shape)
                return copy
            copy = type(model).from_config(_in_float(model.get_config()))
            copy.build_from_config(model.get_build_config())
    except Exception as error:  # the user's own layers may raise anything
        raise ModelError(
            f"{name}: Keras's quantize has changed it, and it cannot be rebuilt in float: {type(error).__name__}: "
            f"{one_line(error, 200)}; convert the model as it was before `quantize`"
        ) from error
    return copy


def _float_layer(layer: _Layer) -> _Layer:
    return type(layer).from_config(_in_float(layer.get_config(), of_quantized=_mode(layer) is not None))


def _in_float(config: object, *, of_quantized: bool = False) -> object:
    """A configuration whose dtype policies are those from before `quantize`."""
    if isinstance(config, list):
        return [_in_float(value) for value in config]
    if isinstance(config, tuple):
        return tuple(_in_float(value) for value in config)
    if not isinstance(config, Mapping):
        return config
    if _is_policy(config) and "mode" in _settings_of(config):
        return {**_FLOAT, "config": {"name": _settings_of(config)["source_name"] or "float32"}}
    quantized = of_quantized or config.get("quantization_config") is not None
    plain = {key: _in_float(value) for key, value in config.items() if not (quantized and key in _SETTINGS)}
    dtype = plain.get("dtype")
    if isinstance(dtype, str) and "_from_" in dtype:  # such as int8_from_float32
        plain["dtype"] = dtype.rpartition("_from_")[2]
    return plain


def _pairs(model: object, copy: object, name: str) -> list[tuple[_Layer, _Layer]]:
    """Each layer with its copy."""
    layers, copies = flat_layers(model), flat_layers(copy)
    if [type(layer) for layer in layers] != [type(layer) for layer in copies] or any(_mode(layer) for layer in copies):
        raise ModelError(
            f"{name}: Keras's quantize has changed it, and its configuration does not rebuild it in float; convert the "
            "model as it was before `quantize`"
        )
    return list(zip(layers, copies, strict=True))


def _give_weights(old: _Layer, new: _Layer, name: str) -> bool:
    """Give a layer's copy its weights; whether they are the float weights from before `quantize`."""
    if not _mode(old):
        _copy_own(old, new)
        return False
    float_kernel = _float_kernel(old)
    if isinstance(old, keras.layers.Embedding):
        new.embeddings.assign(_embeddings(old))
        if hasattr(new, "reverse_embeddings"):
            new.reverse_embeddings.assign(_product(old, np.eye(old.output_dim, dtype=np.float32), reverse=True))
        return False
    if isinstance(old, keras.layers.Dense):
        kernel = _product(old, np.eye(new.kernel.shape[0], dtype=np.float32)) if float_kernel is None else float_kernel
    elif isinstance(old, keras.layers.EinsumDense):
        kernel = _einsum_kernel(old, tuple(new.kernel.shape)) if float_kernel is None else float_kernel
    else:
        raise ModelError(
            f"{name}: the layer {old.name!r} ({type(old).__name__}) quantizes its weights in its own way, so its float "
            "weights cannot be read; convert the model as it was before `quantize`"
        )
    new.kernel.assign(kernel)
    if old.bias is not None and new.bias is not None:
        new.bias.assign(old.bias)
    return float_kernel is not None


def _copy_own(old: Any, new: Any) -> None:
    """What a layer holds itself: its weights, and the vocabulary of a lookup."""
    store: dict[str, object] = {}
    old.save_own_variables(store)
    new.load_own_variables(store)
    if hasattr(old, "save_assets"):
        with tempfile.TemporaryDirectory(prefix="tfcompress_") as folder:
            old.save_assets(folder)
            new.load_assets(folder)


def _float_kernel(layer: _Layer) -> Variable | None:
    """The kernel that a layer computed with before `quantize`; None where it is gone."""
    mode = _mode(layer)
    uncalibrated = mode in {"awq", "gptq"} and not getattr(layer, f"is_{mode}_calibrated", False)
    return layer.kernel if mode == "float8" or uncalibrated else None


@contextlib.contextmanager
def _linear(layer: _Layer) -> Iterator[None]:
    """Within, a layer multiplies by its weights and does nothing else; its inputs stay in float."""
    fields = vars(layer)  # past Keras, which would count a variable that is set again twice
    before: dict[str, object] = {key: fields[key] for key in _BESIDE_THE_PRODUCT if key in fields}
    fields.update(dict.fromkeys(before))
    try:
        yield
    finally:
        fields.update(before)


def _product(layer: _Layer, inputs: np.ndarray, **arguments: object) -> np.ndarray:
    with _linear(layer):
        return np.asarray(layer(inputs, **arguments), np.float32)


def _embeddings(layer: _Layer) -> np.ndarray:
    return np.asarray(layer(np.arange(layer.input_dim, dtype=np.int32)), np.float32)


def _einsum_kernel(layer: _Layer, shape: tuple[int, ...]) -> np.ndarray:
    """The kernel of an `EinsumDense`, read off its answers to one-hot inputs.

    A letter of the inputs and the kernel alone is summed over: a sample for each of its places.  One of the output too
    is not, and is given ones throughout.  The first letter that is not in the kernel counts the samples.
    """
    terms, _, output = layer.equation.replace(" ", "").partition("->")
    taken, _, kernel = terms.partition(",")  # none has dots: Keras does not quantize those
    sizes = dict(zip(kernel, shape, strict=True))
    summed = [letter for letter in taken if letter in kernel and letter not in output]
    counter = next(letter for letter in taken if letter not in kernel)
    count = int(np.prod([sizes[letter] for letter in summed]))
    one_hot = np.eye(count, dtype=np.float32).reshape([count, *(sizes[letter] for letter in summed)])
    axes = [counter, *summed]
    order = [axes.index(letter) for letter in taken if letter in axes]
    fitted = [count if letter == counter else sizes.get(letter, 1) if letter in summed else 1 for letter in taken]
    whole = [count if letter == counter else sizes.get(letter, 1) for letter in taken]
    answers = _product(layer, np.broadcast_to(one_hot.transpose(order).reshape(fitted), whole))
    left = [letter for letter in output if letter in kernel]
    answers = np.moveaxis(answers, output.index(counter), 0)
    kernel_like = answers.reshape([sizes[letter] for letter in summed] + [sizes[letter] for letter in left])
    return kernel_like.transpose([[*summed, *left].index(letter) for letter in kernel])
