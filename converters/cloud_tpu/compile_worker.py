"""The child process that runs the TPU compiler: ``python compile_worker.py REQUEST.json``.

It compiles StableHLO modules for one topology without any TPU (ahead-of-time compilation through PJRT) and appends a
JSON line to the reply file for each module, so that what was done before a crash is kept.  It imports jax and nothing
of tfcompress: a compiler that dies, hangs or fills the memory must not take the conversion with it.

REQUEST.json: {"topology": "v5e:2x2", "modules": [{"id", "path", "hlo_path", "devices"}], "reply": path}
Reply lines: {"compiler_version"} first, then {"id", "ok", "error", "stats", "cost"} for each module.  A program for
several devices has its shardings in its text; figures are those of one device.
"""

from __future__ import annotations

import importlib.metadata
import json
import os
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

MEMORY_STATS = (
    "argument_size_in_bytes",
    "output_size_in_bytes",
    "temp_size_in_bytes",
    "alias_size_in_bytes",
    "generated_code_size_in_bytes",
    "peak_memory_in_bytes",
)


def exit_with_parent() -> None:
    """End when standard input closes: the parent died, and nobody waits for the result any more."""

    def wait() -> None:
        sys.stdin.buffer.read()
        os._exit(1)

    threading.Thread(target=wait, daemon=True).start()


def set_up_environment() -> None:
    """What libtpu must be told where there is no TPU, before it is loaded."""
    os.environ["JAX_PLATFORMS"] = "cpu"
    os.environ["TPU_SKIP_MDS_QUERY"] = "1"  # no query of the cloud's metadata server
    os.environ["ALLOW_MULTIPLE_LIBTPU_LOAD"] = "1"  # no /tmp/libtpu_lockfile: a compiler needs no device of its own
    os.environ.setdefault("TPU_ACCELERATOR_TYPE", "")
    os.environ.setdefault("TPU_WORKER_HOSTNAMES", "localhost")


def one_message(error: BaseException) -> str:
    """The first line of an error that says anything."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0] if lines else type(error).__name__


def compiler_for(topology: str) -> tuple[str, Callable[[bytes, int], Any]]:
    """The compiler's version, and a function from a portable StableHLO artifact and its devices to an executable."""
    import libtpu
    import numpy as np
    from jax.experimental import topologies
    from jaxlib import _jax  # pyright: ignore[reportAttributeAccessIssue]
    from jaxlib.mlir import ir
    from jaxlib.mlir.dialects import stablehlo

    available = topologies.get_topology_desc(platform="tpu", topology_name=topology).devices
    version = f"libtpu {libtpu.__version__}, jaxlib {importlib.metadata.version('jaxlib')}"

    def options_for(count: int) -> Any:
        options = _jax.CompileOptions()
        build = options.executable_build_options
        build.num_partitions = count
        build.use_spmd_partitioning = count > 1
        build.device_assignment = _jax.DeviceAssignment.create(np.arange(count).reshape(1, count))
        return options

    def compile_module(artifact: bytes, count: int) -> object:
        if count > len(available):
            raise ValueError(f"{topology} has {len(available)} devices, expected {count}")
        context = ir.Context()
        stablehlo.register_dialect(context)
        with context:
            module = stablehlo.deserialize_portable_artifact(context, artifact)
            devices = _jax.DeviceList(tuple(available[:count]))
            options = options_for(count) if count > 1 else _jax.CompileOptions()
            return available[0].client.compile(module, devices, options)

    return version, compile_module


def facts_of(executable: Any, hlo_path: str) -> dict[str, object]:
    """What the compiler says of its result; the optimised HLO goes to `hlo_path`."""
    stats = executable.get_compiled_memory_stats()
    cost = executable.cost_analysis()
    Path(hlo_path).write_text(text_of(executable), encoding="utf-8")
    return {
        "stats": {name: getattr(stats, name) for name in MEMORY_STATS},
        "cost": {name: value for name, value in cost.items() if "{" not in name},
    }


def text_of(executable: Any) -> str:
    """The optimised HLO; empty where this jaxlib cannot print it, as for some programs of several devices."""
    try:
        return str(executable.hlo_modules()[0].to_string())
    except Exception:  # a native library's own error; figures other than cycles are there all the same
        return ""


def main(request_path: str) -> None:
    """Serve one request; see the module's docstring."""
    exit_with_parent()
    set_up_environment()
    request = json.loads(Path(request_path).read_text(encoding="utf-8"))
    with open(request["reply"], "a", encoding="utf-8", buffering=1) as reply:

        def say(line: dict[str, Any]) -> None:
            reply.write(json.dumps(line) + "\n")

        try:
            version, compile_module = compiler_for(request["topology"])
        except Exception as error:  # any failure of a native library is the result itself
            say({"failed": one_message(error)})
            return
        say({"compiler_version": version})
        for module in request["modules"]:
            try:
                executable = compile_module(Path(module["path"]).read_bytes(), module.get("devices", 1))
                say({"id": module["id"], "ok": True, "error": None, **facts_of(executable, module["hlo_path"])})
            except Exception as error:
                say({"id": module["id"], "ok": False, "error": str(error), "stats": {}, "cost": {}})


if __name__ == "__main__":
    main(sys.argv[1])
    sys.stdout.flush()
    os._exit(0)  # libtpu's own shutdown may wait for a device that is not there
