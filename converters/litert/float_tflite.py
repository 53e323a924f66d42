"""From a float model to a float .tflite that everything else here starts from.

The file has a batch of 1, a signature with the model's own input and output names, and its graph inputs and outputs in
the model's own order (the converter sorts a function's outputs by name).
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from typing import Any

import numpy as np

from tfcompress.cache import remembered
from tfcompress.compression.in_float import in_float
from tfcompress.converters.litert.interface import order_inputs_and_outputs
from tfcompress.converters.litert.recurrent import as_markers, unrolled, with_loops
from tfcompress.converters.rewriting import FLOAT_FILE, Rewritten, rewrite_graph, rows_for
from tfcompress.data import Samples
from tfcompress.errors import ConversionError, one_line
from tfcompress.graphs.tensorflow.complex_values import complex_values_in_parts
from tfcompress.graphs.tensorflow.einsums import einsums_as_products
from tfcompress.graphs.tensorflow.extremes import plain_places_of_extremes
from tfcompress.graphs.tensorflow.fourier import transforms_as_products
from tfcompress.graphs.tensorflow.volumes import volumes_as_pictures
from tfcompress.graphs.tflite import read_tflite
from tfcompress.graphs.tflite.editor import ModelEditor
from tfcompress.layer_names import all_layers, as_named_in, layers_of
from tfcompress.model import FloatModel
from tfcompress.native_output import silenced
from tfcompress.remarks import remark
from tfcompress.runtime import tf

__all__ = ["convert_with", "first_sample", "float_file", "new_converter", "to_float_tflite", "without_quantizers"]


def new_converter(model: FloatModel, *, allow_select_ops: bool, loops: bool = False, fused_only: bool = False) -> Any:
    """A `tf.lite.TFLiteConverter` for the model at batch 1.

    Args:
        model: any model.
        allow_select_ops: let TensorFlow (Flex) operators in.
        loops: recurrent layers become one operator each, see `recurrent`; else they are unrolled.
        fused_only: only those that LiteRT's fused LSTM computes.
    """
    sets = [tf.lite.OpsSet.TFLITE_BUILTINS]
    if allow_select_ops:
        sets.append(tf.lite.OpsSet.SELECT_TF_OPS)
    recurrent = as_markers(model, fused_only=fused_only) if loops else unrolled(model)
    with recurrent, _forms_of_tflite():
        function = model.concrete_function(1)
    # The converter writes a SavedModel first.  Given the Keras model it would trace and save every layer of it; given
    # just the variables it saves the one function, which takes a fifth of the time and gives the same bytes.
    holder = tf.Module()
    holder.variables_of_function = list(function.graph.variables)
    converter = tf.lite.TFLiteConverter.from_concrete_functions([function], holder)
    converter.target_spec.supported_ops = sets
    converter.allow_custom_ops = loops
    return converter


@contextlib.contextmanager
def _forms_of_tflite() -> Iterator[None]:
    """Within, what is traced has forms that the converter knows."""
    with (
        volumes_as_pictures(),
        transforms_as_products(),
        complex_values_in_parts(),
        plain_places_of_extremes(),
        einsums_as_products(),
    ):
        yield


def convert_with(converter: Any, model: FloatModel) -> bytes:
    """Run a converter, with its failures turned into one line.

    Raises:
        ConversionError: the model has an operator that TFLite lacks.
    """
    try:
        with silenced():
            return converter.convert()
    # The converter raises its own ConverterError, and whatever the MLIR passes or the tracing raise.
    except Exception as error:
        raise ConversionError(f"{model.name}: {explain(str(error), model)}") from error


def explain(message: str, model: FloatModel) -> str:
    """A converter failure in one line: which operators of which Keras layers, and what the user can do."""
    lacking = sorted(set(re.findall(r"'tf\.(\w+)' op is neither", message)))
    if not lacking:
        return f"TFLiteConverter failed: {one_line(message)}"
    with silenced():
        places = "; ".join(f"{name}{_made_by(model, name)}" for name in lacking)
    if "Custom ops:" in message:
        return f"neither TFLite nor TensorFlow's Flex delegate has {places}; replace the layer"
    return (
        f"TFLite has no builtin operator for {places}; replace the layer, or use --allow_select_ops "
        "(needs TensorFlow's Flex delegate on the phone)"
    )


def _made_by(model: FloatModel, operation: str) -> str:
    """`` (layer 'a', 'b')``: the Keras layers whose scopes have the operation; empty when none is known."""
    with unrolled(model):
        graph = model.concrete_function(1).graph.as_graph_def()
    nodes = [*graph.node, *(node for function in graph.library.function for node in function.node_def)]
    names = as_named_in([layer.name for layer in all_layers(model.keras_model)], (node.name for node in nodes))
    layers = dict.fromkeys(layer for node in nodes if node.op == operation for layer in layers_of(node.name, names))
    return f" (layer {', '.join(map(repr, layers))})" if layers else ""


def to_float_tflite(model: FloatModel, *, allow_select_ops: bool = False, loops: bool = False) -> bytes:
    """The content of `float_file`, with a warning for what it left out.

    Args:
        model: any float model.
        allow_select_ops: let TensorFlow (Flex) operators in.
        loops: see `float_file`.

    Raises:
        ConversionError: the model has an operator that TFLite lacks.
    """
    result = float_file(model, allow_select_ops=allow_select_ops, loops=loops)
    for item in result.dropped:
        remark(item.note(), is_note=True)
    return result.content


def float_file(
    model: FloatModel,
    *,
    allow_select_ops: bool = False,
    samples: Samples | None = None,
    loops: bool = False,
    fused_only: bool = False,
) -> Rewritten:
    """The model as a float32 .tflite at batch 1, with the rewrites that are for every float file.

    Args:
        model: any float model.
        allow_select_ops: let TensorFlow (Flex) operators in.
        samples: on whose first sample, beside random inputs, each rewrite is proven; None has random inputs alone.
        loops: recurrent layers become loops where they can, see `recurrent`; else they are unrolled.
        fused_only: only those that LiteRT's fused LSTM computes; a loop stands for it in the float file.

    Raises:
        ConversionError: the model has an operator that TFLite lacks.
        DataError: the first sample is bad.
    """
    proven_on = "" if samples is None else samples.identity
    depends_on = (model.fingerprint, model.inputs, allow_select_ops, proven_on, loops, fused_only)
    return remembered(
        Rewritten,
        "float .tflite",
        depends_on,
        lambda: _converted(model, allow_select_ops, samples, loops=loops, fused_only=fused_only),
    )


def without_quantizers(model: FloatModel) -> bytes:
    """A quantization-aware model as a float32 .tflite at batch 1, as if it had no quantizers.

    Raises:
        ConversionError: the model has an operator that TFLite lacks.
    """
    with in_float():
        return _converted(model, False, None, loops=True).content


def _converted(
    model: FloatModel, allow_select_ops: bool, samples: Samples | None, *, loops: bool, fused_only: bool = False
) -> Rewritten:
    with silenced():
        converter = new_converter(model, allow_select_ops=allow_select_ops, loops=loops, fused_only=fused_only)
    tree = _with_signature(converter, model)
    order_inputs_and_outputs(tree, [i.name for i in model.inputs], [o.name for o in model.outputs])
    content = with_loops(tree.to_bytes())
    if loops and any(op.custom and not op.name.startswith("Flex") for op in read_tflite(content).main.operators):
        # A recurrent layer is let in as a custom operator, and so is what TFLite lacks, which is named now.
        return _converted(model, allow_select_ops, samples, loops=False)
    return rewrite_graph(content, rows_for(FLOAT_FILE), samples=first_sample(content, samples))


def _with_signature(converter: Any, model: FloatModel) -> ModelEditor:
    """The converted file.

    Raises:
        ConversionError: as `convert_with`; or the model looks up text or other values in tables, which the converter
            leaves out of the file.
    """
    texts = ", ".join(repr(info.name) for info in model.inputs if info.dtype in ("string", "object"))
    tree, said = None, ""
    try:
        tree = ModelEditor.read(convert_with(converter, model))
    except ConversionError as error:
        if not texts:
            raise
        said = f"; {str(error).removeprefix(f'{model.name}: ')}"  # which may be for another reason
    if tree is None or not tree.signatures:  # without one the converter has left out the tables
        what = f"input {texts} takes text, which" if texts else "it looks values up in tables, which"
        raise ConversionError(
            f"{model.name}: {what} TFLiteConverter cannot write from a SavedModel; give the model as .keras, whose "
            f"lookup layers are cut off and go beside the file, or export what comes behind them{said}"
        )
    return tree


def first_sample(content: bytes, samples: Samples | None) -> tuple[tuple[np.ndarray, ...], ...]:
    """The first sample as inputs of a float .tflite, in its order and dtypes; empty without samples.

    Raises:
        DataError: the first sample is bad.
    """
    if samples is None:
        return ()
    file = read_tflite(content)
    given = next(samples.take(1).batches(1)).inputs
    tensors = [(name, file.main.tensors[index]) for name, index in file.signatures[0].inputs.items()]
    by_index = {tensor.index: np.asarray(given[name], tensor.dtype) for name, tensor in tensors}
    return (tuple(by_index[index] for index in file.main.inputs),)
