"""What TF Serving reads beside the model: warm-up requests, batching parameters, and a page that tells how to start it.

Formats: TF Serving documentation, "SavedModel Warmup" and "Batching Configuration"; messages of
tensorflow_serving/apis/{prediction_log,predict,model}.proto, written field by field so that their
package is not needed.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from tfcompress.converters.cloud_tpu.saved_model import signature_name
from tfcompress.converters.usage.pages import cell, page, sample
from tfcompress.data import Samples
from tfcompress.errors import one_line
from tfcompress.model import FloatModel
from tfcompress.runtime import tf

__all__ = ["predict_log", "write_batching_parameters", "write_usage", "write_warmup_requests"]

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


def write_usage(
    path: Path, model: FloatModel, batch_sizes: Sequence[int], *, model_name: str, exported: int | None
) -> None:
    """Write the page that says what the files are and how to serve them.

    Args:
        path: of the page.
        model: its inputs and outputs are used.
        batch_sizes: of the signatures.
        model_name: that the server will know the model by.
        exported: the batch size of ``model.stablehlo``; None without that file.
    """
    zeros = {info.name: f"np.zeros({(1, *info.sizes())}, {info.dtype!r})" for info in model.inputs}
    grpc = [f"request.inputs[{name!r}].CopyFrom(tf.make_tensor_proto({value}))" for name, value in zeros.items()]
    signatures = ", ".join(f"`{signature_name(size)}`" for size in batch_sizes)
    text = sample(
        "serving",
        signatures=signatures,
        table=_table(model),
        name=_server_name(model_name),
        rest=", ".join(f"{json.dumps(name)}: {value}.tolist()" for name, value in zeros.items()),
        grpc="\n".join(grpc),
        in_process=_in_process(zeros),
        exported="" if exported is None else _exported(model, exported),
    )
    path.write_text(page("How to use this model on Cloud TPU", text), encoding="utf-8")


def _exported(model: FloatModel, size: int) -> str:
    """A section that runs ``model.stablehlo``."""
    arguments = [f"np.zeros({(size, *info.sizes())}, {info.dtype!r})" for info in model.inputs]
    return sample(
        "exported",
        size=size,
        arguments=", ".join(arguments),
        inputs=one_line(", ".join(info.name for info in model.inputs)),
        outputs=one_line(", ".join(sorted(info.name for info in model.outputs))),  # in which it gives them
    )


def _in_process(zeros: Mapping[str, str]) -> str:
    """A section that runs the model in Python; TFSMLayer takes the input of a signature by position, and only one."""
    if len(zeros) == 1:
        return sample("keras", value=next(iter(zeros.values())))
    return sample("tensorflow", values=", ".join(f"{name!r}: tf.constant({value})" for name, value in zeros.items()))


def _server_name(name: str) -> str:
    """The name that the server is to know the model by: it stands in commands for a shell and in addresses."""
    return re.sub(r"[^A-Za-z0-9_.-]+", "_", name).strip("_.-") or "model"


def _table(model: FloatModel) -> str:
    rows = ["| | name | shape | type |", "|---|---|---|---|"]
    for side, infos in (("input", model.inputs), ("output", model.outputs)):
        for info in infos:
            sizes = ", ".join("any" if size is None else str(size) for size in info.shape)
            rows.append(f"| {side} | {cell(info.name)} | [{sizes}] | {info.dtype} |")
    return "\n".join(rows)
