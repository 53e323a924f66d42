"""Networks of other people's Keras collections and of the Keras tutorials, through three targets and training.

`benchmarks.zoo` says by which rule they were chosen.  The collections are dependencies of this table alone:

    pip install --no-deps --target=FOLDER/packages -r benchmarks/zoo/requirements.txt
    TFCOMPRESS_ZOO=FOLDER python -m benchmarks tables zoo --columns=phone --missing

Each network is built and saved in one process and converted in another per column, as a user would convert the file:
64 samples calibrate (and train, one epoch), 32 others are compared.  The columns are phone, edgetpu, cloud_tpu, qat,
which is quantization-aware training and then phone, and integers, which is phone with ``--integer_only``, for networks
alone whose phone file has operators in float: there the default chooses them for time, which depends on the machine,
or for closeness.  Cells that a run was not asked for are kept.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

from benchmarks.zoo.cells import COLUMNS, Row, cell_of, status_of
from benchmarks.zoo.entries import ENTRIES
from benchmarks.zoo.entry import Entry

__all__ = ["SECONDS", "done", "last_words", "names", "row"]

HERE = Path(__file__).parent
LIMIT = 600  # seconds of one cell; the bar is 300
SECONDS = (1 + len(COLUMNS)) * LIMIT
NOT_FOUND = "TFCOMPRESS_ZOO: expected the folder that has packages/, see benchmarks/table_zoo.py"


def names() -> list[str]:
    """One row per network; none, and a word about it, where the collections are not installed."""
    if _zoo() is None:
        print(NOT_FOUND, file=sys.stderr)
        return []
    return list(ENTRIES)


def done(row: Row, columns: str) -> bool:
    """Whether a row has every one of the columns, or has none because its network could not be built."""
    return row["status"] == "not built" or all(name in row for name in _columns(columns) if _is_needed(name, row))


def _is_needed(column: str, row: Row) -> bool:
    return column != "integers" or (row.get("phone") == "converts" and not row.get("phone:fully_integer"))


def row(name: str, columns: str = "") -> Row:
    """Measure the cells of `columns` (comma-separated; all if empty), and keep the row's others."""
    zoo, entry = _zoo(), ENTRIES[name]
    if zoo is None:
        raise FileNotFoundError(NOT_FOUND)
    folder = zoo / "models" / name
    folder.mkdir(parents=True, exist_ok=True)
    facts: Row = {"collection": entry.collection}
    error = _built(entry, folder)
    if error is not None:
        return {"status": "not built", "reason": error, **facts}
    built = json.loads((folder / "built.json").read_text(encoding="utf-8"))
    facts |= {"file": built["file"], "keras": built["keras"], "parameters": built["parameters"]}
    cells = {key: value for key, value in _existing(name).items() if key.split(":")[0] in COLUMNS}
    for run in _runs(_columns(columns)):
        cells = {key: value for key, value in cells.items() if key.split(":")[0] not in run}
        for column, measured in _measured(entry, [name for name in run if _is_needed(name, cells)], folder).items():
            cells |= cell_of(column, measured)
    return {**status_of(cells), **facts, **dict(sorted(cells.items(), key=lambda item: _place(item[0])))}


def _place(key: str) -> int:
    return COLUMNS.index(key.split(":")[0])


def _columns(columns: str) -> list[str]:
    return columns.split(",") if columns else list(COLUMNS)


def _zoo() -> Path | None:
    """The folder with the collections; None where there is none."""
    folder = Path(os.environ.get("TFCOMPRESS_ZOO", ""))
    return folder.resolve() if (folder / "packages").is_dir() else None


def _existing(name: str) -> Row:
    path = HERE / "tables/zoo.json"
    rows = json.loads(path.read_text(encoding="utf-8")) if path.exists() else []
    return next((row for row in rows if row["model"] == name), {})


def _built(entry: Entry, folder: Path) -> str | None:
    """None once the network lies in the folder, else why it could not be built; both are kept."""
    failure = folder / "error.txt"
    if not (folder / "built.json").exists() and not failure.exists():
        error = _child(entry, folder, "benchmarks.zoo.build")
        if error is not None:
            failure.write_text(error, encoding="utf-8")
    return failure.read_text(encoding="utf-8") if failure.exists() else None


def _runs(columns: list[str]) -> list[list[str]]:
    """The columns of one conversion together: the targets; those with a recipe of their own stand alone, last."""
    alone = ("qat", "integers")
    return [
        run
        for run in ([name for name in columns if name not in alone], *([name] for name in alone if name in columns))
        if run
    ]


def _measured(entry: Entry, columns: list[str], folder: Path) -> dict[str, Row]:
    if not columns:
        return {}
    results = {column: folder / f"{column}.json" for column in columns}
    for path in results.values():
        path.unlink(missing_ok=True)
    error = _child(entry, folder, "benchmarks.zoo.cell", ",".join(columns))
    if error is not None:
        return {column: {"status": "failed", "reason": error} for column in columns}
    return {column: json.loads(path.read_text(encoding="utf-8")) for column, path in results.items()}


def _child(entry: Entry, folder: Path, module: str, *arguments: str) -> str | None:
    """None where the module did its work on the network in `folder`, else its last words."""
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(HERE.parent), str(folder.parents[2] / "packages")]),
        "SM_FRAMEWORK": "tf.keras",  # read by segmentation-models
        **({"TF_USE_LEGACY_KERAS": "1"} if entry.legacy else {}),
    }
    command = [sys.executable, "-m", module, entry.model, *arguments, str(folder)]
    try:
        subprocess.run(command, check=True, env=environment, timeout=LIMIT, stderr=subprocess.PIPE, text=True)
    except subprocess.TimeoutExpired:
        return f"not done after {LIMIT} seconds"
    except subprocess.CalledProcessError as error:
        if error.returncode < 0:
            return f"ended by {signal.Signals(-error.returncode).name}"
        return last_words(error.stderr) or f"ended with {error.returncode} and no message"
    return None


def last_words(output: str) -> str:
    """The exception that a process ended with, in one line; else its last line."""
    lines = output.strip().splitlines()
    starts = [index for index, line in enumerate(lines) if re.match(r"[A-Za-z_][\w.]*(Error|Exception|Exit)\b", line)]
    return " ".join(" ".join(lines[starts[-1] if starts else -1 :]).split())[:400]
