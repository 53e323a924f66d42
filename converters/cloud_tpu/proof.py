"""The proof: every signature compiled by the real TPU compiler, in child processes, with results cached by content."""

from __future__ import annotations

import base64
import importlib.metadata
import json
import math
import os
import subprocess
import sys
import tempfile
import time
import zlib
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from tfcompress import console
from tfcompress.cache import Store, fingerprint, store_in_use
from tfcompress.compile_row import CompileRow
from tfcompress.converters.cloud_tpu.chips import check_topologies, chip_of, compiler_topology
from tfcompress.converters.cloud_tpu.estimates import collectives, estimate
from tfcompress.converters.cloud_tpu.findings import read_findings
from tfcompress.converters.cloud_tpu.layouts import entry_arguments
from tfcompress.converters.cloud_tpu.precheck import with_layer
from tfcompress.converters.cloud_tpu.stablehlo import Lowered

__all__ = ["CompileRow", "compile_all", "compiler_version"]

WORKER = Path(__file__).with_name("compile_worker.py")
SECONDS_PER_MODULE = 900
SECONDS_BETWEEN_LOOKS = 1.0
PIP_COMMAND = "pip install 'tfcompress[tpu]'"
# What to do about a program that does not fit, by how it is split.
_SMALLER = {
    None: "use a smaller batch, or --sharding=tensor for several chips",
    "data": "use a smaller batch, or --sharding=tensor",
    "tensor": "use a smaller batch, or more chips",
}
Keep = Callable[[str, Mapping[str, object]], None]


def compiler_version() -> str | None:
    """Versions of the installed compiler; None without the `tpu` extra."""
    try:
        libtpu, jaxlib = (importlib.metadata.version(name) for name in ("libtpu", "jaxlib"))
    except importlib.metadata.PackageNotFoundError:
        return None
    return f"libtpu {libtpu}, jaxlib {jaxlib}"


def compile_all(
    lowered: Sequence[Lowered], topologies: Sequence[str], layer_names: Collection[str] = ()
) -> list[CompileRow]:
    """Compile every module for every topology.

    Topologies run side by side, one process each and no more than there are processors.  A compiler that is missing,
    dies, or takes too long gives rows that say so; nothing is raised for it.

    Args:
        lowered: what to compile.
        topologies: what for.
        layer_names: of the Keras layers, for messages and advice.

    Raises:
        RecipeError: a topology is misspelt.
    """
    check_topologies(topologies)
    version = compiler_version()
    if version is None:
        reason = f"not proven: the TPU compiler (jax and libtpu) is not installed: {PIP_COMMAND}"
        return [_row(module, topology, ok=None, error=reason) for topology in topologies for module in lowered]
    store = store_in_use()  # the threads below see another context
    workers = max(1, min(len(topologies), os.cpu_count() or 1))
    with console.progress("TPU compile", len(topologies)) as advance, ThreadPoolExecutor(workers) as pool:

        def job(topology: str) -> list[CompileRow]:
            rows = _compile_topology(lowered, topology, version, layer_names, store)
            advance(1)
            return rows

        return [row for rows in pool.map(job, topologies) for row in rows]


def _row(module: Lowered, topology: str, **facts: Any) -> CompileRow:
    return CompileRow(
        topology=topology,
        signature=module.signature,
        batch_size=module.batch_size,
        sharding=module.sharding,
        devices=module.devices,
        **facts,
    )


def _compile_topology(
    lowered: Sequence[Lowered], topology: str, version: str, layer_names: Collection[str], store: Store
) -> list[CompileRow]:
    keys = {id(module): _key(module, topology, version) for module in lowered if not module.error}
    replies = {key: _kept_reply(store, key) for key in keys.values()}
    missing = {keys[id(module)]: module for module in lowered if not module.error and replies[keys[id(module)]] is None}
    if missing:
        replies |= _run_worker(missing, topology, lambda key, reply: store.put(key, json.dumps(reply).encode()))
    rows = []
    for module in lowered:
        if module.error:
            rows.append(_row(module, topology, ok=False, error=module.error, compiler_version=version))
        else:
            rows.append(_row_from_reply(module, topology, version, replies[keys[id(module)]] or {}, layer_names))
    return rows


def _key(module: Lowered, topology: str, version: str) -> str:
    """Without the rest of our code, which the compiler does not see."""
    return fingerprint("tpu compile", module.artifact, module.devices, topology, version, WORKER.read_bytes())


def _kept_reply(store: Store, key: str) -> dict[str, object] | None:
    content = store.get(key)
    value = None if content is None else json.loads(content)
    return value if isinstance(value, dict) else None


def _run_worker(modules: Mapping[str, Lowered], topology: str, keep: Keep) -> dict[str, dict[str, object]]:
    """{key: reply} for each module; `keep` gets each as soon as it is there: a proof that is killed keeps it."""
    with tempfile.TemporaryDirectory(prefix="tfcompress_tpu_") as folder:
        request, reply = Path(folder, "request.json"), Path(folder, "reply.jsonl")
        entries = []
        for key, module in modules.items():
            path = Path(folder, f"{key}.stablehlo")
            path.write_bytes(module.artifact)
            hlo_path = str(path.with_suffix(".hlo"))
            entries.append({"id": key, "path": str(path), "hlo_path": hlo_path, "devices": module.devices})
        request.write_text(
            json.dumps({"topology": compiler_topology(topology), "modules": entries, "reply": str(reply)})
        )
        reply.touch()
        done: dict[str, dict[str, object]] = {}

        def look() -> None:
            for line in _lines(reply):
                if "id" in line and line["id"] not in done:
                    done[line["id"]] = _with_hlo(line, folder)
                    keep(line["id"], done[line["id"]])

        ending = _run(request, len(modules), look)
        look()
        failed = next((line["failed"] for line in _lines(reply) if "failed" in line), None)
        lost = {"ok": False, "error": failed or ending or "the TPU compiler gave no answer"}
        return {key: done.get(key, lost) for key in modules}


def _lines(reply: Path) -> list[dict[str, Any]]:
    """The whole lines that the worker has written so far."""
    return [json.loads(line) for line in reply.read_text(encoding="utf-8").splitlines() if line.endswith("}")]


def _with_hlo(line: dict[str, object], folder: str) -> dict[str, object]:
    """A reply with the compressed text of the optimised HLO, which findings are read off later."""
    path = Path(folder, f"{line['id']}.hlo")
    packed = base64.b64encode(zlib.compress(path.read_bytes())).decode() if path.exists() else None
    return line | {"hlo": packed}


def _run(request: Path, modules: int, look: Callable[[], None]) -> str | None:
    """Run the worker to its end, with a `look` at its replies now and then; None, or how it ended before its time."""
    command = [sys.executable, "-P", str(WORKER), str(request)]
    limit = SECONDS_PER_MODULE * modules
    # Standard input stays open for as long as this process lives: its end tells the worker to stop.
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=request.parent
    ) as child:
        try:
            code = _waited(child, limit, look)
        except BaseException:
            child.kill()
            raise
        if code is None:
            child.kill()
            return f"the TPU compiler took more than {limit} s and was stopped"
    if code < 0:
        return f"the TPU compiler was killed by signal {-code}"
    return None if code == 0 else f"the TPU compiler ended with exit code {code}"


def _waited(child: subprocess.Popen[bytes], limit: float, look: Callable[[], None]) -> int | None:
    """The child's exit code; None where it takes longer than `limit` seconds."""
    end = time.monotonic() + limit
    while True:
        try:
            return child.wait(min(SECONDS_BETWEEN_LOOKS, max(end - time.monotonic(), 0.0)))
        except subprocess.TimeoutExpired:
            look()
            if time.monotonic() >= end:
                return None


def _row_from_reply(
    module: Lowered, topology: str, version: str, reply: Mapping[str, Any], layer_names: Collection[str]
) -> CompileRow:
    if not reply["ok"]:
        error = with_layer(reply["error"], layer_names)
        return _row(module, topology, ok=False, error=error, compiler_version=version)
    stats, cost = reply["stats"], reply["cost"]
    chip = chip_of(topology)
    limit = chip.hbm_bytes
    needed = stats["peak_memory_in_bytes"]
    hlo = zlib.decompress(base64.b64decode(reply["hlo"])).decode()
    findings = read_findings(hlo, layer_names)
    flops, moved = _known(cost.get("flops")), _known(cost.get("bytes accessed"))
    estimated = estimate(hlo, chip, layer_names, flops=flops, bytes_accessed=moved)
    return _row(
        module,
        topology,
        ok=needed <= limit,
        error=None
        if needed <= limit
        else f"needs {needed} bytes of HBM, and the chip has {limit}; {_SMALLER[module.sharding]}",
        hbm_bytes=needed,
        hbm_limit_bytes=limit,
        argument_bytes=stats["argument_size_in_bytes"],
        weight_bytes=_weight_bytes(hlo, module.inputs, stats["argument_size_in_bytes"]),
        flops=flops,
        bytes_accessed=moved,
        estimated_cycles=estimated.cycles,
        estimated_seconds=estimated.seconds,
        optimal_seconds=_known(cost.get("optimal_seconds")),
        compiler_version=version,
        time_share=findings.time_share,
        padding_waste=findings.padding_waste,
        advice=(*module.advice, *findings.advice),
        figures=estimated.figures() | ({"collectives": collectives(hlo)} if module.devices > 1 and hlo else {}),
    )


def _weight_bytes(hlo: str, inputs: int, argument_bytes: int) -> int | None:
    """Bytes of the program's arguments after the first `inputs`; None where all do not add up to `argument_bytes`."""
    sizes = {index: array.bytes if array else 0 for index, array in entry_arguments(hlo).items()}
    if sum(sizes.values()) != argument_bytes:
        return None
    return sum(size for index, size in sizes.items() if index >= inputs)


def _known(value: float | None) -> float | None:
    """A figure of the compiler, or None: it marks what it cannot estimate with a negative number."""
    return value if value is not None and math.isfinite(value) and value >= 0 else None
