"""Damaged copies of model files: bit flips, truncations and spliced members, all from a seed."""

from __future__ import annotations

import json
import shutil
import sys
import time
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from tfcompress.accuracy_diff import runner_for
from tfcompress.errors import TfCompressError
from tfcompress.load import load_model
from tfcompress.load.keras_versions.equivalence import random_inputs

__all__ = ["MUTATIONS", "SECONDS", "mutate"]

SECONDS = 20.0
MOST_ELEMENTS = 1e7


def flip_bits(data: bytes, generator: np.random.Generator) -> bytes:
    """1 to 8 bits turned over anywhere."""
    damaged = bytearray(data)
    for _ in range(int(generator.integers(1, 9))):
        damaged[int(generator.integers(len(damaged)))] ^= 1 << int(generator.integers(8))
    return bytes(damaged)


def flip_bits_near_the_start(data: bytes, generator: np.random.Generator) -> bytes:
    """Where HDF5 keeps its structure and an `.h5` model its configuration."""
    size = min(len(data), 16384)
    return flip_bits(data[:size], generator) + data[size:]


def truncate(data: bytes, generator: np.random.Generator) -> bytes:
    """Cut off anywhere."""
    return data[: int(generator.integers(len(data)))]


def drop_block(data: bytes, generator: np.random.Generator) -> bytes:
    """A piece of the middle is missing."""
    start = int(generator.integers(len(data)))
    return data[:start] + data[start + int(generator.integers(1, 4096)) :]


def overwrite_block(data: bytes, generator: np.random.Generator) -> bytes:
    """Random bytes over a piece."""
    start, size = int(generator.integers(len(data))), int(generator.integers(1, 512))
    return (data[:start] + generator.bytes(size) + data[start + size :])[: len(data)]


MUTATIONS: tuple[Callable[[bytes, np.random.Generator], bytes], ...] = (
    flip_bits, flip_bits_near_the_start, truncate, drop_block, overwrite_block,
)  # fmt: skip


def splice_archive(path: Path, other: Path, generator: np.random.Generator, target: Path) -> None:
    """A `.keras` archive with one member from another, or with a damaged member and a right checksum."""
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(other) as archive:
        foreign = {name: archive.read(name) for name in archive.namelist()}
    name = str(generator.choice(sorted(members)))
    if generator.random() < 0.5:
        members[name] = foreign[name]
    else:
        members[name] = MUTATIONS[int(generator.integers(len(MUTATIONS)))](members[name], generator)
    with zipfile.ZipFile(target, "w") as archive:
        for member, data in members.items():
            archive.writestr(member, data)


def mutate(originals: Sequence[Path], seed: int, folder: Path) -> Path:
    """One damaged copy of one of the `originals`, chosen and damaged by `seed`."""
    generator = np.random.default_rng(seed)
    original = originals[int(generator.integers(len(originals)))]
    target = folder / f"{seed}_{original.name}"
    if original.is_dir():
        shutil.copytree(original, target, copy_function=shutil.copyfile)
        damaged = sorted(file for file in target.rglob("*") if file.is_file() and file.stat().st_size)
        victim = damaged[int(generator.integers(len(damaged)))]
    else:
        archives = [path for path in originals if path.suffix == ".keras"]
        if original.suffix == ".keras" and generator.random() < 0.5:
            splice_archive(original, archives[int(generator.integers(len(archives)))], generator, target)
            return target
        victim = target
        shutil.copyfile(original, target)
    victim.chmod(0o600)
    mutation = MUTATIONS[int(generator.integers(len(MUTATIONS)))]
    victim.write_bytes(mutation(victim.read_bytes(), generator))
    return target


def open_and_run(path: Path) -> None:
    """Load a model and predict with it, or run an artifact, as a user would."""
    if path.suffix in {".tflite", ".onnx"}:
        runner = runner_for(path, max_load_seconds=SECONDS)
        shapes = {info.name: [1, *(size or 4 for size in info.shape[1:])] for info in runner.inputs}
        if sum(np.prod(shape, dtype=float) for shape in shapes.values()) < MOST_ELEMENTS:
            runner.run({name: np.ones(shape, "float32") for name, shape in shapes.items()})
        return
    model = load_model(path, max_load_seconds=SECONDS)
    values = random_inputs(model.inputs)
    model.predict({info.name: np.asarray(x) for info, x in zip(model.inputs, values, strict=True)})


def main(request: Path) -> None:
    """Load each of the damaged files, one line of JSON each; the process stands for the user's own."""
    wanted = json.loads(request.read_text())
    originals = [Path(path) for path in wanted["originals"]]
    for seed in wanted["seeds"]:
        print(json.dumps({"seed": seed, "status": "started"}), flush=True)
        path = mutate(originals, seed, request.parent)
        started = time.perf_counter()
        row: dict[str, object] = {"seed": seed, "file": path.name}
        try:
            open_and_run(path)
            row["status"] = "loads"
        except TfCompressError as error:
            row |= {"status": "refused", "message": str(error)}
        except Exception as error:
            row |= {"status": "traceback", "message": f"{type(error).__name__}: {error}"}
        row["seconds"] = time.perf_counter() - started
        print(json.dumps(row), flush=True)
        shutil.rmtree(path) if path.is_dir() else path.unlink()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
