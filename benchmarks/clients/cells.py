"""One artifact in one program: what came out, in a few words.

A `Cell` is fine, or not, or neither: then the program is not made for such a file, and the words say why.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import re
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.clients import browser
from benchmarks.clients.environments import npm_folder, python_of
from benchmarks.clients.litert import REFERENCE, USUAL, lone_operators, outputs_by_kernels
from tfcompress.converters.ethos_u import compile_for
from tfcompress.report.exports import write_model_explorer, write_tensorboard
from tfcompress.report.schema import Report

__all__ = ["CLIENTS", "Artifact", "Cell"]

SCRIPTS = Path(__file__).parent / "scripts"
SECONDS = 300.0
SCORE_STEP = 1 / 256  # of the scores that 8 bits hold
# How far two sound kernels of one operator may round apart: a step of integers, and of the largest float.
ROUNDING_STEPS, ROUNDING_OF_FLOATS = 1.0, 1e-6


@dataclass(frozen=True)
class Cell:
    """What a program did with a file.

    Attributes:
        fine: it did what it is for; None where it is not made for such a file.
        text: in a few words.
    """

    fine: bool | None
    text: str


@dataclass(frozen=True)
class Artifact:
    """A file, and what LiteRT makes of some inputs.

    Attributes:
        path: the .tflite.
        report: of the conversion that made it.
        inputs: stored numbers [samples, ...], in the file's order.
        outputs: likewise, by LiteRT as it comes, without XNNPACK, and with its reference kernels.
        scores: the real values of the only output, for a classifier; None for others.
        pictures: uint8 [samples, height, width, 3], for a classifier of images that takes them as they are.
    """

    path: Path
    report: Report
    inputs: Sequence[np.ndarray]
    outputs: Mapping[str, Sequence[np.ndarray]]
    scores: np.ndarray | None
    pictures: np.ndarray | None

    @property
    def usual(self) -> Sequence[np.ndarray]:
        """The outputs of LiteRT as it comes."""
        return self.outputs[USUAL]


def litert_js(artifact: Artifact) -> Cell:
    """LiteRT.js in headless Chromium, on its WebAssembly backend."""
    package = npm_folder("litert_js")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "node_modules").symlink_to(package / "node_modules")
        (folder / "model.tflite").write_bytes(artifact.path.read_bytes())
        (folder / "inputs.json").write_text(json.dumps([_plain(value) for value in artifact.inputs]))
        (folder / "page.html").write_text((SCRIPTS / "litert_js.html").read_text())
        with browser.served(folder) as place:
            answer = json.loads(browser.visit(place, "page.html")["/answer"])
    if "error" in answer:
        return Cell(None, f"refuses: {_short(answer['error'])}")
    given = [
        np.array([sample[at] for sample in answer["outputs"]], value.dtype).reshape(value.shape)
        for at, value in enumerate(artifact.usual)
    ]
    return _compared(artifact, given)


def _plain(value: np.ndarray) -> dict[str, object]:
    return {"type": str(value.dtype), "shape": [1, *value.shape[1:]], "samples": value.reshape(len(value), -1).tolist()}


def tflite_runtime(artifact: Artifact) -> Cell:
    """tflite-runtime 2.14, as it comes; where that differs, also with its own XNNPACK off and its reference kernels."""
    given = _run(python_of("tflite_runtime"), "tflite_runtime_script.py", artifact.path, _arrays(artifact))
    if isinstance(given, str):
        return Cell(None, f"refuses: {given}")
    usual, plain, reference = (
        _compared(artifact, _numbered(artifact, given, prefix)) for prefix in ("", "plain_", "reference_")
    )
    if usual.fine:
        return usual
    if plain.fine:
        return Cell(True, f"{usual.text}; with its older XNNPACK off, {plain.text}")
    if reference.fine:
        return Cell(True, f"{usual.text}; with its reference kernels, {reference.text}")
    return _by_operator(artifact, usual, python_of("tflite_runtime"), "tflite_runtime_script.py")


def tflm(artifact: Artifact) -> Cell:
    """TensorFlow Lite Micro's interpreter."""
    given = _run(Path(sys.executable), "tflm_script.py", artifact.path, _arrays(artifact))
    if isinstance(given, str):
        return Cell(None, f"refuses: {given}")
    whole = _compared(artifact, _numbered(artifact, given))
    return whole if whole.fine else _by_operator(artifact, whole, Path(sys.executable), "tflm_script.py")


@dataclass(frozen=True)
class _Alone:
    """What a program makes of one operator, given the numbers that LiteRT's reference kernels give it.

    Attributes:
        equal: names of the kernels of LiteRT that give the same.
        different: how many numbers differ from the nearest kernels.
        total: of how many.
        largest: the largest difference from them.
        integers: whether that is in steps.
    """

    equal: tuple[str, ...]
    different: int
    total: int
    largest: float
    integers: bool


def _by_operator(artifact: Artifact, whole: Cell, python: Path, script: str) -> Cell:
    """Why the whole file differs: which operators do, each by itself."""
    operators: dict[str, list[_Alone]] = {}
    with tempfile.TemporaryDirectory() as folder:
        for number, (name, content, inputs) in enumerate(lone_operators(artifact.path.read_bytes(), artifact.inputs)):
            path = Path(folder) / f"{number}.tflite"
            path.write_bytes(content)
            lone = Artifact(path, artifact.report, inputs, outputs_by_kernels(content, inputs), None, None)
            given = _run(python, script, path, _arrays(lone))
            if isinstance(given, str):
                return Cell(False, f"{whole.text}; {name} alone: {given}")
            operators.setdefault(name, []).append(_alone(lone, _numbered(lone, given)))
    return _explained(whole, operators)


def _alone(lone: Artifact, values: Sequence[np.ndarray]) -> _Alone:
    distances = {kernels: _difference(wanted, values) for kernels, wanted in lone.outputs.items()}
    equal = tuple(kernels for kernels, distance in distances.items() if distance[0] == 0)
    total = sum(value.size for value in values)
    different, largest = min(distances.values())
    return _Alone(equal, different, total, largest, _are_integers(values))


def _explained(whole: Cell, operators: Mapping[str, Sequence[_Alone]]) -> Cell:
    texts, fine = [], True
    for name, rows in operators.items():
        equal = [kernels for kernels in rows[0].equal if all(kernels in row.equal for row in rows)]
        if REFERENCE in equal:
            continue
        if equal:
            texts.append(f"{name} equal to {equal[-1]}")
            continue
        largest, integers = max(row.largest for row in rows), all(row.integers for row in rows)
        fine &= largest <= (ROUNDING_STEPS if integers else ROUNDING_OF_FLOATS)
        counts = f"{sum(row.different for row in rows)} of {sum(row.total for row in rows)}"
        texts.append(f"{name} rounds {counts} otherwise, by up to {largest:.2g} {_unit(integers)}")
    if not texts:
        return whole
    return Cell(fine, f"{whole.text}; operator by operator equal to {REFERENCE}, but {', '.join(texts)}")


def _arrays(artifact: Artifact) -> dict[str, np.ndarray]:
    """What a script is given: the inputs by their positions, and the number of outputs."""
    arrays = {str(place): value for place, value in enumerate(artifact.inputs)}
    return arrays | {"outputs": np.array(len(artifact.usual))}


def _numbered(artifact: Artifact, given: Mapping[str, np.ndarray], prefix: str = "") -> list[np.ndarray]:
    return [given[f"{prefix}{place}"].reshape(value.shape) for place, value in enumerate(artifact.usual)]


def mediapipe(artifact: Artifact) -> Cell:
    """MediaPipe's ImageClassifier, where the model is one."""
    if artifact.pictures is None:
        return Cell(None, "no task of MediaPipe takes such inputs and outputs")
    given = _run(python_of("mediapipe"), "mediapipe_script.py", artifact.path, {"pictures": artifact.pictures})
    if isinstance(given, str):
        return Cell(None, f"refuses: {given}")
    assert artifact.scores is not None
    error = float(np.abs(given["scores"] - artifact.scores).max())
    names = len(set(map(str, given["names"])) - {""})
    if error == 0.0:
        return Cell(True, f"equal scores, {names} names")
    return Cell(error <= SCORE_STEP, f"scores within {error:.2g}, {names} names")


def _run(python: Path, script: str, model: Path, arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray] | str:
    """The arrays that a script wrote, or why it failed."""
    with tempfile.TemporaryDirectory() as name:
        given, written = Path(name) / "inputs.npz", Path(name) / "outputs.npz"
        np.savez(given, **arrays)  # type: ignore[arg-type]
        command = [str(python), str(SCRIPTS / script), str(model), str(given), str(written)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=False)
        if done.returncode != 0:
            return _reason(done.stderr) or f"ended with {done.returncode}"
        with np.load(written) as arrays_out:
            return dict(arrays_out)


def _reason(text: str) -> str:
    """The line that says why: the first that names an error, else the last one."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    telling = [line for line in lines if re.match(r"(\w+\.)*\w*Error: ", line) or "not" in line.lower().split()]
    return _short((telling or lines[-1:] or [""])[-1])


def _short(text: str) -> str:
    return " ".join(re.sub(r"(/[\w.-]+)+/", "", text).split())[:160]


def _compared(artifact: Artifact, given: Sequence[np.ndarray]) -> Cell:
    """Equal to LiteRT as it comes, or to other kernels of it; else how far from those that are nearest."""
    for name, wanted in artifact.outputs.items():
        if _difference(wanted, given)[0] == 0:
            return Cell(True, "equal" if name == USUAL else f"equal to {name}")
    name = min(artifact.outputs, key=lambda kernels: _difference(artifact.outputs[kernels], given))
    different, largest = _difference(artifact.outputs[name], given)
    total = sum(value.size for value in given)
    unit = _unit(_are_integers(given))
    return Cell(False, f"{different} of {total} numbers differ from {name}, by up to {largest:.2g} {unit}")


def _are_integers(values: Sequence[np.ndarray]) -> bool:
    return all(value.dtype.kind in "iu" for value in values)


def _unit(integers: bool) -> str:
    return "steps" if integers else "of the largest value"


def _difference(wanted: Sequence[np.ndarray], given: Sequence[np.ndarray]) -> tuple[int, float]:
    """How many numbers differ, and the largest difference."""
    pairs = list(zip(wanted, given, strict=True))
    return sum(int((a != b).sum()) for a, b in pairs), max(_distance(a, b) for a, b in pairs)


def _distance(wanted: np.ndarray, given: np.ndarray) -> float:
    """In steps of integers, or relative to the largest number."""
    difference = float(np.abs(wanted.astype(np.float64) - given).max())
    return difference if wanted.dtype.kind in "iu" else difference / max(float(np.abs(wanted).max()), 1e-9)


def vela(artifact: Artifact) -> Cell:
    """Vela for Ethos-U55-128, which compiles."""
    mapping = compile_for(artifact.path.read_bytes(), "ethos-u55-128").mapping
    if not mapping.compiled:
        return Cell(None, f"refuses: {_short(mapping.reason or '')}")
    return Cell(True, f"compiles: {mapping.mapped_ops} of {len(mapping.operators)} operators on the NPU")


def model_explorer(artifact: Artifact) -> Cell:
    """Model Explorer in Chromium, with our node data laid over its graph."""
    with tempfile.TemporaryDirectory() as name:
        target = artifact.path.parent.name
        node_data = Path(name) / "tfcompress_sqnr.json"
        if not write_model_explorer(_only(artifact.report, target), node_data):
            return Cell(None, "no layer of this file could be matched with a Keras layer")
        wanted = set(next(iter(json.loads(node_data.read_text()).values()))["results"])
        with _server("model_explorer", "model_explorer_script.py", artifact.path, node_data) as address:
            request = {"cmdId": "convert", "extensionId": "builtin_tflite_flatbuffer", "modelPath": str(artifact.path)}
            body = json.dumps({**request, "settings": {}, "deleteAfterConversion": False}).encode()
            post = urllib.request.Request(
                f"{address}/apipost/v1/send_command", body, {"Content-Type": "application/json"}
            )
            graphs = json.load(urllib.request.urlopen(post, timeout=SECONDS))
            laid = json.load(urllib.request.urlopen(f"{address}/api/v1/read_text_file?path={node_data}"))
    text = json.dumps(graphs)
    met = [tensor for tensor in wanted if json.dumps(tensor) in text]
    same = json.loads(laid["content"]) is not None
    return Cell(bool(met) and same, f"opens; {len(met)} of {len(wanted)} figures lie on its nodes")


def netron(artifact: Artifact) -> Cell:
    """Netron's page in Chromium: the nodes that it draws."""
    package = next(python_of("netron").parents[1].glob("lib/python*/site-packages/netron"))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for file in package.iterdir():
            (folder / file.name).symlink_to(file)
        (folder / "model.tflite").write_bytes(artifact.path.read_bytes())
        with browser.served(folder, cookie="consent=1") as place:
            page = browser.document(f"{place.address}/index.html?url=/model.tflite", milliseconds=30_000)
    drawn = len(re.findall(r'<g[^>]*class="node graph-node', page)) or page.count('id="node-id-')
    return Cell(drawn > 0, f"draws {drawn} nodes" if drawn else "draws nothing")


def tensorboard(artifact: Artifact) -> Cell:
    """TensorBoard, with the figures that `--tensorboard` writes; it reads no .tflite."""
    target = artifact.path.parent.name
    with tempfile.TemporaryDirectory() as folder:
        write_tensorboard(_only(artifact.report, target), folder)
        arguments = ["-m", "tensorboard.main", "--logdir", folder, "--host=127.0.0.1", "--port"]
        port = _free_port()
        with _started([str(python_of("tensorboard")), *arguments, str(port)], port) as address:
            tags: dict[str, list[str]] = {}
            for _ in range(30):
                with urllib.request.urlopen(f"{address}/data/plugin/scalars/tags", timeout=SECONDS) as stream:
                    tags = json.load(stream)
                if target in tags:
                    break
                time.sleep(1)
    count = len(tags.get(target, ()))
    return Cell(count > 0, f"reads no .tflite; shows {count} figures that we write for it")


def _only(report: Report, target: str) -> Report:
    """The report with one of its targets."""
    return dataclasses.replace(report, targets={target: report.targets[target]})


def _server(name: str, script: str, *arguments: Path) -> contextlib.AbstractContextManager[str]:
    """A script of another environment that serves on the port it is given last."""
    port = _free_port()
    return _started([str(python_of(name)), str(SCRIPTS / script), *map(str, arguments), str(port)], port)


@contextlib.contextmanager
def _started(command: list[str], port: int) -> Iterator[str]:
    """The address of a server, once it answers."""
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        for _ in range(int(SECONDS)):
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
                break
            time.sleep(1)
        else:
            raise TimeoutError(f"{command[-2]} did not answer")
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait()


def _free_port() -> int:
    with socket.socket() as place:
        place.bind(("127.0.0.1", 0))
        return int(place.getsockname()[1])


CLIENTS: dict[str, Callable[[Artifact], Cell]] = {
    "litert_js": litert_js,
    "mediapipe": mediapipe,
    "tflm": tflm,
    "tflite_runtime": tflite_runtime,
    "vela": vela,
    "model_explorer": model_explorer,
    "netron": netron,
    "tensorboard": tensorboard,
}
