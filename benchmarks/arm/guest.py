"""The program inside of the emulation: runs .tflite files and marks in QEMU's log where an inference begins and ends.

Each line of standard input is the name of a folder with `model.tflite` and `inputs.npz`, whose arrays hold one sample a
row; `outputs.npz` is written there, and one line of JSON printed.  It needs NumPy and LiteRT alone.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import numpy as np
from ai_edge_litert.interpreter import Interpreter

LIBRARY = "libpywrap_litert_common.so"
BEGIN, END = b"\nMARK begin\n", b"\nMARK end\n"


def main() -> None:
    """Say where the library's code lies, then serve until there is no more input."""
    print(json.dumps(_code()), flush=True)
    for line in sys.stdin:
        try:
            _run(Path(line.strip()))
            print(json.dumps({}), flush=True)
        except (RuntimeError, ValueError) as error:
            print(json.dumps({"error": str(error)[:200]}), flush=True)


def _code() -> list[int]:
    """First address and length of the library's code."""
    for line in Path("/proc/self/maps").read_text(encoding="utf-8").splitlines():
        if LIBRARY in line and "r-xp" in line:
            first, last = (int(end, 16) for end in line.split()[0].split("-"))
            return [first, last - first]
    raise SystemExit(f"{LIBRARY} is not loaded")


def _run(folder: Path) -> None:
    interpreter = Interpreter(model_path=str(folder / "model.tflite"), num_threads=1)
    interpreter.allocate_tensors()
    with np.load(folder / "inputs.npz") as file:
        arrays = [file[name] for name in file.files]
    details = interpreter.get_input_details()
    results: list[list[np.ndarray]] = []
    for number in range(len(arrays[0]) if arrays else 1):
        for detail, values in zip(details, arrays, strict=True):
            interpreter.set_tensor(detail["index"], values[number])
        if number == 0:
            interpreter.invoke()  # what the first one prepares is not counted
            os.write(2, BEGIN)
        interpreter.invoke()
        if number == 0:
            os.write(2, END)
        results.append([interpreter.get_tensor(detail["index"]) for detail in interpreter.get_output_details()])
    stacked = [np.stack(values) for values in zip(*results, strict=True)]
    np.savez(folder / "outputs.npz", *stacked)


if __name__ == "__main__":
    main()
