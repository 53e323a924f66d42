"""What TF Serving reads beside the model: warm-up requests, batching parameters, and a page that tells how to start it.

Formats: TF Serving documentation, "SavedModel Warmup" and "Batching Configuration"; messages of
tensorflow_serving/apis/{prediction_log,predict,model}.proto, written field by field so that their
package is not needed.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator, Sequence
from pathlib import Path
from urllib.parse import quote

import numpy as np

from tfcompress.converters.cloud_tpu.saved_model import signature_name
from tfcompress.data import Samples
from tfcompress.errors import one_line
from tfcompress.model import FloatModel
from tfcompress.runtime import tf

__all__ = ["predict_log", "write_batching_parameters", "write_readme", "write_warmup_requests"]

# TF Serving reads the whole file when it loads a model; larger batches than this are left to the first real request.
LARGEST_REQUEST_BYTES = 16 * 2**20


def write_warmup_requests(folder: Path, samples: Samples, batch_sizes: Sequence[int], *, model_name: str) -> list[int]:
    """Write ``assets.extra/tf_serving_warmup_requests`` into a SavedModel: one request a static signature.

    Args:
        folder: the SavedModel.
        samples: real inputs; repeated where a batch is larger than their number.
        batch_sizes: of the signatures.
        model_name: that the server will know the model by.

    Returns:
        The batch sizes that got a request; others would have made it larger than 16 MiB.
    """
    first = next(samples.batches(max(batch_sizes))).inputs
    path = folder / "assets.extra" / "tf_serving_warmup_requests"
    path.parent.mkdir()
    warmed = []
    with tf.io.TFRecordWriter(str(path)) as writer:
        for size in batch_sizes:
            inputs = {name: np.resize(value, (size, *value.shape[1:])) for name, value in first.items()}
            if sum(value.nbytes for value in inputs.values()) <= LARGEST_REQUEST_BYTES:
                writer.write(predict_log(model_name, signature_name(size), inputs))
                warmed.append(size)
    return warmed


def predict_log(model_name: str, signature: str, inputs: dict[str, np.ndarray]) -> bytes:
    """A serialised `tensorflow.serving.PredictionLog` that holds one `PredictRequest`.

    Layout: PredictionLog{6: PredictLog{1: PredictRequest{1: ModelSpec{1: name, 3: signature}, 2: map inputs}}}.
    """
    spec = _field(1, model_name.encode()) + _field(3, signature.encode())
    request = _field(1, spec)
    for name in sorted(inputs):
        tensor = tf.make_tensor_proto(inputs[name]).SerializeToString(deterministic=True)
        request += _field(2, _field(1, name.encode()) + _field(2, tensor))
    return _field(6, _field(1, request))


def _field(number: int, content: bytes) -> bytes:
    """A length-delimited protobuf field (wire type 2)."""
    return bytes(_varint(number << 3 | 2)) + bytes(_varint(len(content))) + content


def _varint(value: int) -> Iterator[int]:
    while value > 0x7F:
        yield value & 0x7F | 0x80
        value >>= 7
    yield value


def write_batching_parameters(path: Path, batch_sizes: Sequence[int]) -> None:
    """Write TF Serving's ``--batching_parameters_file``, with the signatures' sizes as the only allowed ones."""
    lines = [
        f"max_batch_size {{ value: {max(batch_sizes)} }}",
        "batch_timeout_micros { value: 2000 }",
        "max_enqueued_batches { value: 100 }",
        "num_batch_threads { value: 8 }",
        *(f"allowed_batch_sizes: {size}" for size in batch_sizes),
    ]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def write_readme(path: Path, model: FloatModel, batch_sizes: Sequence[int], *, model_name: str, exported: int) -> None:
    """Write the page that says what the files are and how to serve them.

    Args:
        model_name: that the server will know the model by.
        exported: the batch size of ``model.stablehlo``.
    """
    example = {info.name: [f"... {info.dtype} {list(info.shape[1:])}"] for info in model.inputs}
    signatures = ", ".join(signature_name(size) for size in batch_sizes)
    names = ", ".join(info.name for info in model.inputs)
    results = ", ".join(sorted(info.name for info in model.outputs))
    text = _README.format(
        name=one_line(model_name),
        model_name=shlex.quote(one_line(model_name)),
        url=shlex.quote(f"http://localhost:8501/v1/models/{quote(model_name)}:predict"),
        signatures=signatures,
        request=shlex.quote(json.dumps({"inputs": example})),
        inputs=one_line(names),
        outputs=one_line(results),
        exported=exported,
        arguments=", ".join(
            f"np.zeros({[exported, *info.shape[1:]]}, {info.dtype!r})".replace("None", "SIZE") for info in model.inputs
        ),
    )
    path.write_text(text, encoding="utf-8")


_README = """{name} for Cloud TPU
====================

saved_model/1             SavedModel; signatures: serving_default (any number of samples), {signatures}
                          inputs: {inputs}; outputs: {outputs}
batching_parameters.txt   TF Serving joins requests into exactly these batch sizes
compile.json              what the TPU compiler (libtpu) says of each signature on each topology
model.stablehlo           the same function at batch size {exported} for JAX, weights included

Start a server, in this folder:

    tensorflow_model_server --port=8500 --rest_api_port=8501 \\
        --model_name={model_name} --model_base_path="$PWD/saved_model" \\
        --enable_batching=true --batching_parameters_file="$PWD/batching_parameters.txt"

On a CPU, to try it, add --xla_cpu_compilation_enabled=true: the functions are compiled by XLA.  The server compiles
every signature while it loads, by assets.extra/tf_serving_warmup_requests.  Then:

    curl -d {request} {url}

In Python:

    import tensorflow as tf
    model = tf.saved_model.load("saved_model/1")
    result = model.signatures["serving_default"](**inputs)  # {{output name: tensor}}

In JAX, without TensorFlow:

    import jax, numpy as np
    from jaxlib import _jax
    from jaxlib.mlir import ir
    from jaxlib.mlir.dialects import stablehlo

    device = jax.devices()[0]
    context = ir.Context()
    stablehlo.register_dialect(context)
    with context:
        module = stablehlo.deserialize_portable_artifact(context, open("model.stablehlo", "rb").read())
        run = device.client.compile_and_load(module, _jax.DeviceList((device,)), _jax.CompileOptions())
    arguments = [{arguments}]  # {inputs}
    results = run.execute_sharded([jax.device_put(x, device) for x in arguments])
    arrays = [parts[0] for parts in results.disassemble_into_single_device_arrays()]  # {outputs}
"""
