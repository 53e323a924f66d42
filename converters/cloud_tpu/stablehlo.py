"""The signatures of a SavedModel as StableHLO, the form in which the TPU compiler takes them."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tfcompress.converters.cloud_tpu.precheck import left_in_training, with_layer
from tfcompress.converters.cloud_tpu.refusals import known_refusal, refusal_in_words
from tfcompress.converters.cloud_tpu.saved_model import WeightStore, compiled_function, function_of_weights
from tfcompress.errors import ConversionError, ModelError, one_line
from tfcompress.graphs.tensorflow.inference_graph import InferenceGraph
from tfcompress.graphs.tensorflow.private_names import stablehlo
from tfcompress.load import open_saved_model
from tfcompress.native_output import silenced
from tfcompress.runtime import tf

__all__ = ["TARGET_VERSION", "Lowered", "lower", "lower_graph", "lower_saved_model", "lower_with_weights"]

# Readable by every StableHLO since 1.0 (compatibility guarantee: github.com/openxla/stablehlo, docs/compatibility.md).
TARGET_VERSION = "1.0.0"
# A graph in a SavedModel is called through one function more than the graph itself.
CALLS = re.compile(r"(StatefulPartitionedCall[/_])\1+")
# Loop bodies and branches, and the places that speak of them, carry their function's number in the process.
COUNTED_FUNCTION = re.compile(r"((?:while_body|while_cond|_frozen|__inference_\w*?))_\d+")


@dataclass(frozen=True)
class Lowered:
    """One signature at one batch size.

    Attributes:
        signature: its name in the SavedModel.
        batch_size: of the first dimension; None for a signature without inputs.
        artifact: portable StableHLO (VHLO bytecode), weights as trailing arguments; empty where lowering failed.
        error: why XLA refuses to lower it, or None.
        inputs: how many of the artifact's arguments, the first ones, are inputs of the signature.
        advice: what to change about the signature, a line each.
        sharding: how it is split over several devices; None for a program of one.
        devices: how many.
    """

    signature: str
    batch_size: int | None
    artifact: bytes
    error: str | None = None
    inputs: int = 0
    advice: tuple[str, ...] = ()
    sharding: str | None = None
    devices: int = 1


def lower_graph(graph: InferenceGraph, layer_names: Collection[str] = (), *, freeze: bool = True) -> bytes:
    """`graph`, weights included, as one portable artifact: arguments in input order, results in order of their names.

    Args:
        graph: to lower.
        freeze: leave the weights constants; else they are the artifact's trailing arguments.
        layer_names: of the Keras layers, to name the one that XLA refuses.

    Raises:
        ConversionError: XLA refuses an operator.
    """
    store = WeightStore(freeze=freeze)  # the function does not keep its variables alive
    with silenced():
        function = compiled_function(graph, store)
    try:
        return lower(function, graph.specs())
    except ConversionError as error:
        raise ConversionError(with_layer(str(error), layer_names)) from None


def lower_with_weights(
    graph: InferenceGraph, store: WeightStore, layer_names: Collection[str] = ()
) -> tuple[bytes, tuple[int, ...]]:
    """`graph` as one portable artifact whose trailing arguments are its weights.

    Args:
        graph: to lower.
        store: that holds the weights, or their shapes alone.
        layer_names: of the Keras layers, to name the one that XLA refuses.

    Returns:
        The artifact, and for each trailing argument the position of its weight in `store`.

    Raises:
        ConversionError: XLA refuses an operator.
    """
    with silenced():
        function, order = function_of_weights(graph, store)
    try:
        return lower(function, [*graph.specs(), *(store.spec(index) for index in order)]), order
    except ConversionError as error:
        raise ConversionError(with_layer(str(error), layer_names)) from None


def lower_saved_model(
    folder: Path, batch_sizes: Sequence[int], layer_names: Collection[str] = (), *, loaded: Any = None
) -> list[Lowered]:
    """Every signature of the SavedModel in `folder`; one with an open batch dimension at each of `batch_sizes`.

    Our own ``serving_default`` is left out beside the ``batch_N`` that it pads for and calls.

    Args:
        folder: holds ``saved_model.pb``.
        batch_sizes: for signatures with an open batch dimension.
        layer_names: of the Keras layers, to name the one that XLA refuses.
        loaded: what `tfcompress.load.open_saved_model` gave for it; None opens it, through the door.

    Raises:
        ModelError: the folder holds no loadable SavedModel, or no signature.
    """
    loaded = open_saved_model(folder) if loaded is None else loaded
    signatures = dict(loaded.signatures)
    if not signatures:
        raise ModelError(f"{folder}: the SavedModel has no signature; export it with a serving signature")
    static = {name for name, function in signatures.items() if _is_static(function)}
    jobs: list[tuple[str, object, int | None]] = []
    for name, function in sorted(signatures.items()):
        if name in static:
            jobs.append((name, function, None))
        elif not _calls_static_ones(name, function, {other: signatures[other] for other in static}):
            jobs += [(name, function, size) for size in batch_sizes]
    lowered = [_lower_signature(name, function, size, layer_names) for name, function, size in jobs]
    return sorted(lowered, key=lambda module: (module.batch_size or 0, module.signature))


def _is_static(function: Any) -> bool:
    return all(spec.shape.is_fully_defined() for spec in function.structured_input_signature[1].values())


def _calls_static_ones(name: str, function: Any, static: Mapping[str, Any]) -> bool:
    """Whether this is our signature for any number of samples, beside those of fixed numbers (see `saved_model`)."""

    def inputs(item: Any) -> dict[str, tuple[object, list[int | None]]]:
        specs = item.structured_input_signature[1]
        return {key: (spec.dtype, spec.shape.as_list()[1:]) for key, spec in specs.items() if spec.shape.rank}

    sizes = [other for other in static if re.fullmatch(r"batch_\d+", other)]
    return name == "serving_default" and any(inputs(static[other]) == inputs(function) for other in sizes)


def _no_tensor_for_xla(key: str, spec: Any) -> str | None:
    """Why XLA has no form for an input, and what to do; None where it has one."""
    if not isinstance(spec, tf.TensorSpec):
        return f"input {key!r} is sparse or ragged ({type(spec).__name__}), and XLA has dense ones only; make it dense"
    if spec.dtype == tf.string:
        return (
            f"input {key!r} is text or encoded bytes (DT_STRING), which XLA has no dtype for; decode it on the host, "
            "before the model, and export a signature from the first numeric tensor"
        )
    if spec.dtype in (tf.resource, tf.variant):
        return f"input {key!r} is a {spec.dtype.name}, which lives on the host; export a signature of numeric tensors"
    if spec.shape.rank is None or None in spec.shape.as_list()[1:]:
        return f"dynamic shape: input {key!r} is {spec.shape}, and XLA for TPU needs fixed sizes beyond the batch"
    return None


def _lower_signature(name: str, function: Any, batch_size: int | None, layer_names: Collection[str]) -> Lowered:
    specs = function.structured_input_signature[1]
    static = []
    for key, spec in specs.items():
        refused = _no_tensor_for_xla(key, spec)
        if refused:
            return Lowered(name, batch_size, b"", error=refused)
        shape = [batch_size if length is None else length for length in spec.shape.as_list()]
        static.append(tf.TensorSpec(shape, spec.dtype))
    size = static[0].shape[0] if static and static[0].shape.rank else None
    names = list(specs)
    try:
        artifact = lower(lambda *tensors: function(**dict(zip(names, tensors, strict=True))), static)
    except ConversionError as error:
        why = known_refusal(function, static, layer_names, str(error)) or with_layer(str(error), layer_names)
        return Lowered(name, size, b"", error=why)
    advice = left_in_training(function.graph.as_graph_def(), layer_names)
    return Lowered(name, size, artifact, inputs=len(static), advice=advice)


def _without_counters(text: str) -> str:
    """A module's text without what does not belong to its graph: equal graphs give equal artifacts.

    That is TensorFlow's process-wide counters of functions, and through how many functions the graph was called.
    """
    text = re.sub(r"^module @\S+", "module @tfcompress", text, count=1, flags=re.MULTILINE)
    return CALLS.sub(r"\1", COUNTED_FUNCTION.sub(r"\1", text))


def lower(function: Any, specs: Sequence[Any]) -> bytes:
    """`function` lowered to a portable StableHLO artifact.

    Args:
        function: of one tensor a spec.
        specs: `tf.TensorSpec` of static shape.

    Returns:
        The artifact; variables of the function are its trailing arguments.

    Raises:
        ConversionError: XLA refuses an operator.
    """
    compiled = tf.function(function, jit_compile=True, autograph=False)
    try:
        with silenced():
            text = compiled.experimental_get_compiler_ir(*specs)(stage="stablehlo")
    except (ValueError, TypeError, tf.errors.OpError) as error:
        raise ConversionError(refusal_in_words(str(error))) from None
    try:
        with silenced():
            return stablehlo.serialize_portable_artifact_str(_without_counters(text), TARGET_VERSION)
    except ValueError as error:
        raise ConversionError(f"no portable StableHLO {TARGET_VERSION}: {one_line(error)}") from None
