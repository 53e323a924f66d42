"""What we need of TensorFlow, both Kerases and tfmot beyond their public API, in one place; a test keeps it so.

Modules are given as values, attributes through functions.  Each has shipped in every TensorFlow since 2.16, Keras since
3.0, tf_keras since 2.16 and tfmot since 0.8; all are `Any`, as these libraries carry no types.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import ModuleType
from typing import Any

from tfcompress.runtime import keras, tf, tf_keras, tfmot

__all__ = [
    "ATTENTION_KERNELS",
    "KERAS3_OPERATION_MODULES",
    "OPTIMIZER_SLOTS",
    "BaseRandomLayer",
    "CallDispatcher",
    "CustomScaleLayer",
    "FingerprintDef",
    "Keras3LayerScale",
    "PruneLowMagnitude",
    "Pruning",
    "SavedMetadata",
    "SavedModel",
    "TFOpLambda",
    "TfKerasLayerScale",
    "array_operations",
    "array_operators",
    "attention_parts",
    "calls_noted_unless",
    "compiled_loss_weights",
    "compiled_metrics",
    "computes_masks_itself",
    "convert_variables_to_constants_v2",
    "declared_output_shape",
    "determinism",
    "fingerprinting",
    "flat_layers",
    "forget_calls",
    "fourier_operations",
    "frozen_in_parts",
    "functional_of",
    "grouped_attention_parts",
    "input_shapes_built_with",
    "is_built",
    "is_compiled",
    "is_graph_network",
    "keras_history",
    "keyword_arguments",
    "layers_module_of",
    "mask_of",
    "math_operators",
    "mlir_quantize",
    "nested_inputs_and_outputs",
    "node_of",
    "nodes_by_depth",
    "number_of_calls",
    "operation_callbacks",
    "optimizer_key",
    "quantized_variables",
    "random_operators",
    "record_call",
    "recurrent_backend",
    "rename",
    "set_fused_loop",
    "set_input_dtype",
    "set_mask",
    "set_policy",
    "share_variable",
    "spectral_operations",
    "stablehlo",
    "sum_operators",
    "takes_training",
    "uses_fused_loop",
    "volume_operators",
    "xla_convolution",
    "xla_dot",
]


def _internal(module: str, library: ModuleType = tf) -> Any:
    return importlib.import_module(f"{library.__name__}.{module}")


# --- TensorFlow

_freezing = _internal("python.framework.convert_to_constants")
# (concrete function, lower_control_flow=, aggressive_inlining=) -> concrete function without variables
convert_variables_to_constants_v2 = _freezing.convert_variables_to_constants_v2
# .serialize_portable_artifact_str(module text, target version) -> VHLO bytecode
stablehlo = _internal("compiler.mlir.stablehlo.stablehlo")
# .CreateFingerprintDef(folder) -> serialised FingerprintDef
fingerprinting = _internal("python.saved_model.pywrap_saved_model").fingerprinting
SavedModel = _internal("core.protobuf.saved_model_pb2").SavedModel
# .add_op_callback(function) has it called with (type, inputs, attributes, outputs, ...) of every operator that is run
operation_callbacks = _internal("python.framework.op_callbacks")
FingerprintDef = _internal("core.protobuf.fingerprint_pb2").FingerprintDef
# .handle(function, args, kwargs) is asked about calls of `tf` that TensorFlow does not take; .register() enters it
CallDispatcher = _internal("python.util.dispatch").GlobalOpDispatcher
# `tf.config.experimental` exports the switch to turn determinism on, but neither off nor asking for it.
determinism = _internal("python.framework.config")
# .rfft, which `tf.signal.stft` calls
spectral_operations = _internal("python.ops.signal.fft_ops")
# .conv3d, .max_pool3d and .avg_pool3d are what both Kerases and `tf.nn` call
volume_operators = _internal("python.ops.gen_nn_ops")
# .einsum of operands and an equation, which `tf.einsum` calls
sum_operators = _internal("python.ops.gen_linalg_ops")
# .transpose, .reshape and others that move values, and .real, .imag and .complex_abs, which `tf` and both Kerases call
array_operators, math_operators = _internal("python.ops.gen_array_ops"), _internal("python.ops.gen_math_ops")


def frozen_in_parts(function: Any, take: Callable[[Any], None]) -> Any:
    """The same as `convert_variables_to_constants_v2`, of a graph that `take` has made small enough to be a function.

    TensorFlow reads a graph of 2 GiB and more nowhere, as protobuf serialises none.

    Args:
        function: a concrete function.
        take: called with the GraphDef in which every variable is a constant; may take values out of it.
    """
    data = _freezing._FunctionConverterDataInEager(func=function, lower_control_flow=False, aggressive_inlining=True)
    graph_def, converted = _freezing._replace_variables_by_constants(converter_data=data)
    take(graph_def)
    return _freezing._construct_concrete_function(function, graph_def, converted)


def mlir_quantize(content: bytes, **how: object) -> bytes:
    """A float .tflite, with ranges in it, quantized by the quantizer inside TFLiteConverter.

    The public TFLiteConverter insists on its own calibrator, which is ten times slower than ours.
    """
    return bytes(_internal("lite.python.convert").mlir_quantize(content, **how))


_xla_data = _internal("compiler.xla.xla_data_pb2")
_xla_ops = _internal("compiler.tf2xla.ops.gen_xla_ops")  # TensorFlow's own form of XLA's operators


def xla_convolution(
    x: Any,
    kernel: Any,
    strides: Sequence[int],
    pads: Sequence[Sequence[int]],
    dilations: Sequence[int],
    groups: int,
    result: Any,
) -> Any:
    """XLA's convolution of [n, ..., in] and [..., in / groups, out], zeros around, summed in dtype `result`.

    TensorFlow's own convolutions cannot sum products of int8 in int32.
    """
    spatial = range(1, len(strides) + 1)
    numbers = _xla_data.ConvolutionDimensionNumbers(
        input_feature_dimension=len(strides) + 1,
        input_spatial_dimensions=spatial,
        kernel_input_feature_dimension=len(strides),
        kernel_output_feature_dimension=len(strides) + 1,
        kernel_spatial_dimensions=range(len(strides)),
        output_feature_dimension=len(strides) + 1,
        output_spatial_dimensions=spatial,
    )
    sums = _xla_ops.xla_conv_v2(
        lhs=x,
        rhs=kernel,
        window_strides=list(strides),
        padding=[list(pair) for pair in pads],
        lhs_dilation=[1] * len(strides),
        rhs_dilation=list(dilations),
        feature_group_count=groups,
        dimension_numbers=numbers.SerializeToString(),
        precision_config=b"",
        preferred_element_type=result,
        batch_group_count=1,
    )
    sizes = [
        (size + sum(pair) - (length - 1) * dilation - 1) // stride + 1
        for size, pair, length, dilation, stride in zip(
            x.shape[1:-1], pads, kernel.shape[:-2], dilations, strides, strict=True
        )
    ]
    sums.set_shape([x.shape[0], *sizes, kernel.shape[-1]])  # TensorFlow does not tell
    return sums


def xla_dot(x: Any, weights: Any, result: Any) -> Any:
    """XLA's product of [n, in] and [out, in], summed in dtype `result`; see `xla_convolution`."""
    numbers = _xla_data.DotDimensionNumbers(lhs_contracting_dimensions=[1], rhs_contracting_dimensions=[1])
    sums = _xla_ops.xla_dot_v2(
        lhs=x,
        rhs=weights,
        dimension_numbers=numbers.SerializeToString(),
        precision_config=b"",
        preferred_element_type=result,
    )
    sums.set_shape([x.shape[0], weights.shape[0]])
    return sums


def random_operators() -> Iterator[tuple[ModuleType, str, str]]:
    """(module, name, what is drawn) of each function that makes a random operator of `tf.random`, whoever calls it."""
    stateful = {"random_standard_normal": "normal", "truncated_normal": "normal", "random_uniform": "uniform",
                "random_uniform_int": "whole", "multinomial": "class"}  # fmt: skip
    stateless = {"stateless_random_normal_v2": "normal", "stateless_truncated_normal_v2": "normal",
                 "stateless_random_uniform_v2": "uniform", "stateless_random_uniform_int_v2": "whole"}  # fmt: skip
    for module, kinds in (
        ("gen_random_ops", stateful),
        ("gen_stateless_random_ops_v2", stateless),
        ("gen_stateless_random_ops", {"stateless_multinomial": "class"}),
    ):
        for name, kind in kinds.items():
            yield _internal(f"python.ops.{module}"), name, kind


# --- both Kerases

SavedMetadata = _internal("protobuf.saved_metadata_pb2", tf_keras).SavedMetadata
BaseRandomLayer = _internal("src.engine.base_layer", tf_keras).BaseRandomLayer
TFOpLambda = _internal("src.layers.core.tf_op_layer", tf_keras).TFOpLambda
TfKerasLayerScale = _internal("src.applications.convnext", tf_keras).LayerScale
Keras3LayerScale = _internal("src.applications.convnext", keras).LayerScale
CustomScaleLayer = _internal("src.applications.inception_resnet_v2", keras).CustomScaleLayer
KERAS3_OPERATION_MODULES = f"{keras.__name__}.src.ops."
# .fft and .fft2 of (real, imaginary), which `keras.ops` calls
fourier_operations = _internal("src.backend.tensorflow.math", keras)
# .argmax and .argmin, which `keras.ops` calls
array_operations = _internal("src.backend.tensorflow.numpy", keras)
# whose globals are those of a Lambda layer's bytecode, in Keras 3 and in tf_keras
scopes_of_bytecode = (_internal("src.utils.python_utils", keras), _internal("src.layers.core.lambda_layer", tf_keras))
# `rnn`, which knows `unroll` also where a layer refuses it
recurrent_backend = _internal("src.backend", tf_keras)


def layers_module_of(library: ModuleType) -> str:
    """How the names of the modules begin that hold a Keras' own layers."""
    return f"{library.__name__}.src.layers."


def keras_history(tensor: object) -> tuple[Any, int, int] | None:
    """(layer or operation, node, position) that a symbolic tensor came out of; None for another tensor."""
    history = getattr(tensor, "_keras_history", None)
    return None if history is None else (history[0], history[1], history[2])


def flat_layers(model: object) -> Sequence[Any]:
    """A model's or layer's layers at all depths, itself among them; none for what is no layer."""
    return list(getattr(model, "_flatten_layers", list)())


def number_of_calls(operation: Any) -> tuple[int, int]:
    """How many symbolic calls an operation or layer has noted: of itself, and of what reads its outputs."""
    return len(operation._inbound_nodes), len(operation._outbound_nodes)


def forget_calls(operation: Any, number: tuple[int, int]) -> None:
    """Let an operation or layer forget the symbolic calls that it noted after it had `number` of them."""
    del operation._inbound_nodes[number[0] :], operation._outbound_nodes[number[1] :]


def record_call(operation: Any, args: Any, kwargs: Any, outputs: Any) -> None:
    """Note a symbolic call of a Keras 3 operation, as Keras does."""
    _internal("src.ops.node", keras).Node(operation, call_args=args, call_kwargs=kwargs, outputs=outputs)


@contextmanager
def calls_noted_unless(skipped: Callable[[Any, Any], bool]) -> Iterator[None]:
    """Within, Keras 3 notes no call of a layer for which `skipped` (layer, outputs) is true; it refuses None there."""
    module = _internal("src.layers.layer", keras)
    node = module.Node

    def noted(operation: Any, call_args: Any, call_kwargs: Any, outputs: Any) -> Any:
        return None if skipped(operation, outputs) else node(operation, call_args, call_kwargs, outputs)

    module.Node = noted
    try:
        yield
    finally:
        module.Node = node


def node_of(tensor: Any) -> Any:
    """The call that a symbolic tensor of Keras 3 came out of; None for one that stands for an input."""
    operation, number, _ = tensor._keras_history if hasattr(tensor, "_keras_history") else (None, 0, 0)
    return None if operation is None else operation._inbound_nodes[number]


def mask_of(tensor: object) -> Any:
    """The mask that goes with a symbolic tensor of Keras 3 or tf_keras; None where there is none."""
    return getattr(tensor, "_keras_mask", None)


def computes_masks_itself(layer: Any) -> bool:
    """Whether a tf_keras layer has a `compute_mask` of its own, and not one that Keras puts in its place."""
    return hasattr(layer, "compute_mask") and not getattr(layer.compute_mask, "_is_default", False)


def set_mask(tensor: Any, mask: Any) -> None:
    """Let a mask go with a tensor of Keras 3."""
    tensor._keras_mask = mask


def set_policy(layer: Any, policy: Any, *, keras3: bool) -> None:
    """Let a layer, built or not, compute by another dtype policy; public ways change what it shares with others."""
    if keras3:
        layer._dtype_policy = policy
    else:
        layer._set_dtype_policy(policy)


def set_input_dtype(layer: Any, dtype: str, *, keras3: bool) -> None:
    """Let an input layer that was made take another dtype: a model casts what it is given to that of its inputs."""
    if keras3:
        layer._dtype = layer.output._dtype = dtype
    else:
        spec = layer.output._type_spec
        layer.output._type_spec = type(spec)(spec.shape, tf.as_dtype(dtype), name=spec.name)


def rename(layer: Any, name: str) -> Any:
    """A tf_keras layer, not called yet, under another name."""
    layer._name = name
    return layer


def functional_of(sequential: Any) -> Any:
    """The functional model inside of a Keras 3 sequential one; None before it is built."""
    return sequential._functional


def is_graph_network(model: object) -> bool:
    """Whether a tf_keras model is a functional or sequential one, whose graph can be walked."""
    return bool(getattr(model, "_is_graph_network", False))


def nodes_by_depth(model: object) -> dict[int, Any]:
    """{depth: nodes} of a graph of calls; empty for a model without."""
    return dict(getattr(model, "_nodes_by_depth", None) or {})


def nested_inputs_and_outputs(model: Any, *, keras3: bool) -> tuple[Any, Any]:
    """The symbolic inputs and outputs of a functional model, nested as it takes and returns them."""
    if keras3:
        return model._inputs_struct, model._outputs_struct
    return model._nested_inputs, model._nested_outputs


def input_shapes_built_with(model: Any) -> Any:
    """{argument: shape} with which a Keras 3 model was built."""
    return model._build_shapes_dict


def declared_output_shape(layer: Any) -> Any:
    """The shape that the user gave a Lambda or an attention layer; None where none was given."""
    return layer._output_shape


def takes_training(layer: Any, *, keras3: bool) -> bool:
    """Whether the layer's `call` has an argument `training`."""
    return bool(layer._call_has_training_arg) if keras3 else "training" in layer._call_spec.arg_names


def share_variable(variable: Any, weight: object) -> None:
    """Let a Keras 3 variable hold a TensorFlow variable: both Kerases then read and write one and the same."""
    variable._value = weight


def is_compiled(model: Any, *, keras3: bool) -> bool:
    """Whether the model was compiled."""
    return bool(model.compiled if keras3 else model._is_compiled)


def is_built(optimizer: object) -> bool:
    """Whether an optimizer has its variables."""
    return bool(getattr(optimizer, "built", False) or getattr(optimizer, "_built", False))


def keyword_arguments(wrapper: object) -> dict[str, object]:
    """With which a loss or metric calls the function that it wraps; empty where there are none."""
    return dict(getattr(wrapper, "_fn_kwargs", {}))


def compiled_metrics(model: Any, *, keras3: bool) -> object:
    """The metrics as the user gave them to `compile`; neither library has a public way to ask."""
    holder = model._compile_metrics if keras3 else model.compiled_metrics
    return None if holder is None else holder._user_metrics


def compiled_loss_weights(model: Any, *, keras3: bool) -> Any:
    """The loss weights as the user gave them to `compile`."""
    if not keras3:
        return model.compiled_loss._user_loss_weights
    return model._loss_weights if hasattr(model, "_loss_weights") else model.get_compile_config().get("loss_weights")


def optimizer_key(optimizer: Any, variable: object) -> object:
    """Under which a tf_keras optimizer keeps what it knows of a variable."""
    return optimizer._var_key(variable)


# Lists of slot variables, called the same in both libraries' optimizers
OPTIMIZER_SLOTS = (
    "_momentums",
    "_velocities",
    "_average_gradients",
    "_accumulators",
    "_accumulated_grads",
    "momentums",
    "_m",
    "_u",
)


def attention_parts(layer: Any) -> dict[str, Any]:
    """The Dense layers of a MultiHeadAttention (`query`, `key`, `value`, `output`), and its `heads`, `key_dim` and
    `value_dim`.
    """
    return {
        "query": layer._query_dense,
        "key": layer._key_dense,
        "value": layer._value_dense,
        "output": layer._output_dense,
        "heads": layer._num_heads,
        "key_dim": layer._key_dim,
        "value_dim": layer._value_dim,
    }


def grouped_attention_parts(layer: Any) -> dict[str, Any]:
    """As `attention_parts`, of Keras 3's GroupedQueryAttention; `shared_heads` are those of key and value."""
    return {
        "query": layer._query_dense,
        "key": layer._key_dense,
        "value": layer._value_dense,
        "output": layer._output_dense,
        "heads": layer.num_query_heads,
        "shared_heads": layer.num_key_value_heads,
        "key_dim": layer.head_dim,
        "value_dim": layer.head_dim,
    }


# Paths to the kernels of a tf_keras MultiHeadAttention
ATTENTION_KERNELS = ("_query_dense.kernel", "_key_dense.kernel", "_value_dense.kernel", "_output_dense.kernel")


def uses_fused_loop(layer: object) -> bool | None:
    """Whether a tf_keras recurrent layer takes a fused loop whatever `unroll` says; None for one that never does."""
    return getattr(layer, "_could_use_gpu_kernel", None)


def set_fused_loop(layer: Any, allowed: bool) -> None:
    """Let a layer take its fused loop, or not."""
    layer._could_use_gpu_kernel = allowed


# --- tfmot: it exports the functions that make these classes, but not the classes

_PRUNING = "python.core.sparsity.keras"
Pruning = _internal(f"{_PRUNING}.pruning_impl", tfmot).Pruning
PruneLowMagnitude = _internal(f"{_PRUNING}.pruning_wrapper", tfmot).PruneLowMagnitude


def quantized_variables(wrapper: Any) -> list[tuple[Any, Any, Any]]:
    """(variable, its quantizer, that one's own variables) of a quantize wrapper."""
    return list(wrapper._weight_vars)
