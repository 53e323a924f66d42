"""What is done where Keras runs on JAX or PyTorch: in a child process with TensorFlow, from a file of the model.

Keras's backend is chosen once a process.  A model of any backend is the same file, so it is saved and converted there.
This module imports neither TensorFlow nor Keras.
"""

from __future__ import annotations

import json
import os
import pickle
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tfcompress import errors
from tfcompress.errors import ConversionError, InputError, ModelError, one_line
from tfcompress.keras_backend import ON_TENSORFLOW, backend_in_use

__all__ = [
    "ELSEWHERE",
    "ConvertedElsewhere",
    "compress_elsewhere",
    "convert_elsewhere",
    "diff_elsewhere",
]

Answer = dict[str, Any]  # JSON values by name
_CHILD = "from tfcompress.api.other_backend import answer_here; answer_here()"


@dataclass(frozen=True)
class ConvertedElsewhere:
    """What a run of `convert` in a child process made; see `tfcompress.Conversion`.

    Attributes:
        output: the folder.
        report: the content of report.json, as plain JSON values.
        exit_code: 0 all is well; 1 a conversion failed; 3 an artifact failed the accuracy gate.
        figures: {``target/figure``: value}.
    """

    output: Path
    report: dict[str, Any] = field(repr=False)
    exit_code: int
    figures: dict[str, float] = field(repr=False)

    @property
    def targets(self) -> Answer:
        """What came of each target, as in report.json."""
        return {name: part for name, part in self.report["targets"].items() if part["status"] != "skipped"}


def convert_elsewhere(model: Any, *, output: str | Path, **options: object) -> ConvertedElsewhere:
    """`tfcompress.convert` in a process where Keras runs on TensorFlow.

    Args:
        model: a built Keras model of any backend, or a path.
        output: the folder.
        options: as `tfcompress.convert` takes them; data as arrays, paths or ``package.module:function``.

    Raises:
        InputError: an option cannot be given to another process; or what `tfcompress.convert` raises.
        ConversionError: likewise.
        ModelError: the model cannot be saved; or the child process ended without an answer.
    """
    answer = _done_elsewhere("convert", [model], {"output": Path(output).absolute(), **options})
    return ConvertedElsewhere(Path(output), answer["report"], answer["exit_code"], answer["figures"])


def compress_elsewhere(model: object, *, output: str | Path, **options: object) -> Answer:
    """`tfcompress.compress` in a process where Keras runs on TensorFlow; see `convert_elsewhere`."""
    return {
        **_done_elsewhere("compress", [model], {"output": Path(output).absolute(), **options}),
        "output": str(output),
    }


def diff_elsewhere(reference: object, candidate: object, **options: object) -> Answer:
    """`tfcompress.diff` in a process where Keras runs on TensorFlow; see `convert_elsewhere`."""
    return _done_elsewhere("diff", [reference, candidate], options)


ELSEWHERE: dict[str, Callable[..., Any]] = {
    "compress": compress_elsewhere,
    "convert": convert_elsewhere,
    "diff": diff_elsewhere,
}
"""{public function: what does the same where Keras runs on another backend}."""


def _done_elsewhere(function: str, models: Sequence[object], options: Mapping[str, object]) -> Answer:
    with tempfile.TemporaryDirectory(prefix="tfcompress_") as name:
        folder = Path(name)
        given = [_given(model, folder / str(index)) for index, model in enumerate(models)]
        names = ["model"] if function == "convert" and hasattr(models[0], "save") else []
        try:
            (folder / "request").write_bytes(pickle.dumps((function, given, options, names)))
        except (pickle.PicklingError, AttributeError, TypeError) as error:
            raise InputError(
                f"with Keras on {backend_in_use()} the work is done in another process, which cannot be given "
                f"{one_line(error, 200)}; give data as arrays, and functions and classes from a module"
            ) from error
        answer = _answer(folder)
    if "error" in answer:
        kind = getattr(errors, str(answer["error"]), ConversionError)
        raise kind(answer["message"])
    return answer


def _given(model: Any, folder: Path) -> object:
    """A model as another process can be given it: its file; a path or a function stays what it is."""
    if isinstance(model, str) and ":" in model and not Path(model).exists():
        return model
    return _saved(model, folder) if hasattr(model, "save") else Path(model) if isinstance(model, str) else model


def _saved(model: Any, folder: Path) -> Path:
    folder.mkdir()
    path = folder / f"{getattr(model, 'name', 'model')}.keras"
    try:
        model.save(path)
    except Exception as error:  # the user's own layers may raise anything
        raise ModelError(
            f"with Keras on {backend_in_use()} a model is converted through its file, and saving it failed: "
            f"{type(error).__name__}: {one_line(error, 200)}"
        ) from error
    return path


def _answer(folder: Path) -> Answer:
    environment = {**os.environ, **ON_TENSORFLOW, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}
    done = subprocess.run([sys.executable, "-c", _CHILD, str(folder)], env=environment, check=False)
    try:
        answer = json.loads((folder / "answer.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ModelError(
            f"the process with Keras on TensorFlow ended with code {done.returncode} and no answer"
        ) from error
    return dict(answer)


def answer_here() -> None:
    """In the child process: do what the folder on the command line asks for, and leave the answer there."""
    import tfcompress
    from tfcompress.job.reproduce import from_memory

    folder = Path(sys.argv[1])
    function, given, options, names = pickle.loads((folder / "request").read_bytes())
    try:
        with from_memory(*names):  # their files go when this process ends
            result = getattr(tfcompress, function)(*given, **options)
    except errors.TfCompressError as error:
        answer: Answer = {"error": type(error).__name__, "message": str(error)}
    else:
        converted = function == "convert"
        answer = (
            {"report": result.report, "exit_code": result.exit_code, "figures": result.figures} if converted else result
        )
    (folder / "answer.json").write_text(json.dumps(answer), encoding="utf-8")
