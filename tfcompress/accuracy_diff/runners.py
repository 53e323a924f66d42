"""What the harness can run: one interface over every kind of model.

A runner takes a batch as {input name: array} with the batch dimension first and gives {output name: float32 array}.
It is called from several threads at a time.
"""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np

from tfcompress.errors import ModelError, TfCompressError, cause_of
from tfcompress.file_hashes import sha256_of_files
from tfcompress.load import open_saved_model
from tfcompress.model import FloatModel, TensorInfo
from tfcompress.native_output import silenced
from tfcompress.runtime import tf
from tfcompress.tensor_info import in_order_of_names

__all__ = [
    "Arrays",
    "CallableRunner",
    "FloatModelRunner",
    "Runner",
    "SavedModelRunner",
    "answers",
    "as_float32",
    "in_fixed_batches",
]

Arrays = Mapping[str, np.ndarray]


@runtime_checkable
class Runner(Protocol):
    """A model that can be run.

    Attributes:
        name: for messages and reports.
        inputs: in the model's order; empty when the runner takes whatever the data has.
        outputs: in the model's order; empty when only a run would tell.
        sha256: of the model; None for a function, whose code cannot be hashed.
    """

    @property
    def name(self) -> str: ...  # noqa: D102 - described above

    @property
    def inputs(self) -> tuple[TensorInfo, ...]: ...  # noqa: D102

    @property
    def outputs(self) -> tuple[TensorInfo, ...]: ...  # noqa: D102

    @property
    def sha256(self) -> str | None: ...  # noqa: D102

    def run(self, inputs: Arrays) -> dict[str, np.ndarray]:
        """Outputs of one batch, real values in float32 (integers of an integer output are dequantized)."""
        ...


def answers(runner: Runner, inputs: Arrays) -> dict[str, np.ndarray]:
    """What a runner says to a batch; see `Runner.run`.  An output that is one number for all samples has one row.

    Raises:
        ModelError: it cannot compute on the batch, whatever its runtime raises for that; the message quotes it.
    """
    try:
        return {name: np.atleast_1d(value) for name, value in runner.run(inputs).items()}
    except TfCompressError:
        raise
    except Exception as error:  # TensorFlow, LiteRT, ONNX Runtime and a user's function have no error in common
        shapes = ", ".join(f"{name} {np.shape(array)}" for name, array in inputs.items())
        raise ModelError(
            f"{runner.name}: cannot compute on inputs of the shapes {shapes}: {cause_of(error)}"
        ) from error


def as_float32(value: Any) -> np.ndarray:
    """Any numeric tensor or array as float32, bfloat16 included."""
    return np.asarray(value).astype(np.float32, copy=False)


def in_fixed_batches(
    run: Callable[[dict[str, np.ndarray]], dict[str, np.ndarray]], inputs: Arrays, size: int
) -> dict[str, np.ndarray]:
    """Run a model whose batch size is fixed: `inputs` is cut into pieces, the last one filled up and cut back."""
    pieces = [_cut_back(run(piece), rows) for piece, rows in _pieces(inputs, size)]
    if len(pieces) == 1:
        return pieces[0]
    return {name: np.concatenate([piece[name] for piece in pieces]) for name in pieces[0]}


def _pieces(inputs: Arrays, size: int) -> Iterator[tuple[dict[str, np.ndarray], int]]:
    total = len(next(iter(inputs.values())))
    for start in range(0, total, size):
        piece = {name: array[start : start + size] for name, array in inputs.items()}
        rows = min(size, total - start)
        if rows < size:
            piece = {name: np.concatenate([array, array[-1:].repeat(size - rows, 0)]) for name, array in piece.items()}
        yield piece, rows


def _cut_back(outputs: Mapping[str, np.ndarray], rows: int) -> dict[str, np.ndarray]:
    return {name: np.atleast_1d(value)[:rows] for name, value in outputs.items()}


def _hash_of_weights(model: FloatModel) -> str:
    digest = hashlib.sha256(model.name.encode())
    for weight in () if model.keras_model is None else model.keras_model.get_weights():
        digest.update(np.ascontiguousarray(weight).tobytes())
    return digest.hexdigest()


def _fixed_batch(infos: Sequence[TensorInfo]) -> int | None:
    """The batch size that the inputs demand; None when it is open."""
    return next((info.shape[0] for info in infos if info.shape and info.shape[0] is not None), None)


class FloatModelRunner:
    """A loaded float model (Keras 3, tf_keras or a SavedModel's function), run as one graph."""

    def __init__(self, model: FloatModel) -> None:
        self.model = model
        self.name = model.name
        self.inputs = model.inputs
        self.outputs = model.outputs
        self._batch = _fixed_batch(model.inputs)
        with silenced():
            self.function = model.concrete_function(self._batch)

    @property
    def sha256(self) -> str:
        """Of the file; of the weights for a model that came from memory."""
        return self.model.sha256 or _hash_of_weights(self.model)

    def run(self, inputs: Arrays) -> dict[str, np.ndarray]:
        """Outputs of one batch; see `Runner.run`."""
        if self._batch is not None:
            return in_fixed_batches(self._run, inputs, self._batch)
        return self._run(inputs)

    def _run(self, inputs: Arrays) -> dict[str, np.ndarray]:
        tensors = [tf.constant(inputs[info.name], info.dtype) for info in self.inputs]
        return {name: as_float32(value) for name, value in self.function(*tensors).items()}


class SavedModelRunner:
    """One signature of a SavedModel folder.

    Args:
        path: the folder that has `saved_model.pb`.
        signature: which one; None takes `serving_default`, or the only one.
        loaded: what `tfcompress.load.open_saved_model` gave for it; None opens it, through the door.

    Raises:
        ModelError: not a SavedModel, or no such signature.
    """

    def __init__(self, path: str | Path, *, signature: str | None = None, loaded: Any = None) -> None:
        self.name = str(path)
        self._loaded = open_saved_model(Path(path)) if loaded is None else loaded
        self.function = self._choose(signature)
        self._specs = dict(self.function.structured_input_signature[1])
        self.inputs = tuple(_info(name, spec) for name, spec in self._specs.items())
        self.outputs = tuple(_info(name, spec) for name, spec in in_order_of_names(self.function.structured_outputs))
        self._batch = _fixed_batch(self.inputs)

    @property
    def sha256(self) -> str:
        """Of all files of the folder."""
        root = Path(self.name)
        return sha256_of_files(root, [path for path in root.rglob("*") if path.is_file()])

    def static(self, most: int) -> tuple[Any, int | None]:
        """The signature whose graph shows the layers best, and its batch size.

        One for any batch may be a choice among those of fixed sizes, whose layers are hidden in its branches: then the
        largest of up to `most` samples is taken.  None stands for an open size.
        """
        same = [each for each in self._loaded.signatures.values() if self._takes_the_same(each)]
        sizes = {self._fixed(each): each for each in same}
        fixed_sizes = sorted(size for size in sizes if size is not None)
        if self._batch is not None or not fixed_sizes:
            return self.function, self._batch
        size = max((size for size in fixed_sizes if size <= most), default=fixed_sizes[0])
        return sizes[size], size

    def _takes_the_same(self, signature: Any) -> bool:
        return signature.structured_input_signature[1].keys() == self._specs.keys()

    def _fixed(self, signature: Any) -> int | None:
        return _fixed_batch([_info(name, spec) for name, spec in signature.structured_input_signature[1].items()])

    def _choose(self, wanted: str | None) -> Any:
        signatures = dict(self._loaded.signatures)
        if wanted is None:
            wanted = "serving_default" if "serving_default" in signatures else next(iter(signatures), None)
        if wanted not in signatures:
            choices = ", ".join(signatures) or "none"
            raise ModelError(f"{self.name}: no signature {wanted or 'serving_default'!r}, the SavedModel has {choices}")
        return signatures[wanted]

    def run(self, inputs: Arrays) -> dict[str, np.ndarray]:
        """Outputs of one batch; see `Runner.run`."""
        if self._batch is not None:
            return in_fixed_batches(self._run, inputs, self._batch)
        return self._run(inputs)

    def _run(self, inputs: Arrays) -> dict[str, np.ndarray]:
        tensors = {name: tf.cast(tf.constant(inputs[name]), spec.dtype) for name, spec in self._specs.items()}
        return {name: as_float32(value) for name, value in self.function(**tensors).items()}


def _info(name: str, spec: Any) -> TensorInfo:
    shape = tuple(spec.shape.as_list()) if spec.shape.rank is not None else ()
    return TensorInfo(name, shape, spec.dtype.name)


class CallableRunner:
    """Any Python function of the input arrays, in order.

    Args:
        function: called with one array an input, batch first; returns an array, a sequence of arrays or
            {output name: array}.
        name: for messages; None takes the function's own name.
        inputs: None means that the function takes what the data has, in order.
        outputs: names for a result that is not a mapping; None calls them `output_0`, `output_1`, ...
    """

    def __init__(
        self,
        function: Callable[..., object],
        *,
        name: str | None = None,
        inputs: tuple[TensorInfo, ...] | None = None,
        outputs: tuple[TensorInfo, ...] | None = None,
    ) -> None:
        self._function = function
        self.name = name or str(getattr(function, "__name__", type(function).__name__))
        self.inputs = inputs or ()
        self.outputs = outputs or ()
        self.sha256 = None

    def run(self, inputs: Arrays) -> dict[str, np.ndarray]:
        """Outputs of one batch; see `Runner.run`."""
        names = [info.name for info in self.inputs] or list(inputs)
        result = self._function(*(inputs[name] for name in names))
        if isinstance(result, Mapping):
            return {str(name): as_float32(value) for name, value in result.items()}
        values = list(result) if isinstance(result, tuple | list) else [result]
        names = [info.name for info in self.outputs] or [f"output_{i}" for i in range(len(values))]
        if len(names) != len(values):
            raise ModelError(f"{self.name}: gave {len(values)} outputs, expected {len(names)} ({', '.join(names)})")
        return {name: as_float32(value) for name, value in zip(names, values, strict=True)}


def is_plain_callable(value: object) -> bool:
    """Whether `value` is something to wrap in a `CallableRunner`: callable, and not a class."""
    return callable(value) and not inspect.isclass(value)
