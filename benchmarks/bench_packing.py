"""How fast a .tfcz is unpacked, in Python, C and JavaScript, against zstd's decoder on the same file.

The file is the trained MobileNetV2 of the Edge TPU pairs in ../shared, 3.5 MB.  Processor time, the best of three.
"""

from __future__ import annotations

import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import zstandard

import tfcompress.converters.phone.packing as packing
from benchmarks.entry import entry
from benchmarks.models import SHARED
from tfcompress.converters.phone.packing.files import pack_bytes, unpack_bytes

MODEL = SHARED / "edgetpu/pairs/gcold-mobilenet_v2_1.0_224_quant/model.tflite"
DECODERS = Path(packing.__file__).parent / "decoders"
RUNS = 3

_C = """
#include "tfcz.h"
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
static int next(void *file) { return getc((FILE *)file); }
int main(int count, char **names) {
    FILE *in = fopen(names[count - 1], "rb");
    tfcz_header header;
    clock_t begin = clock();
    tfcz_status status = tfcz_read_header(next, in, &header);
    size_t need = tfcz_work_bytes(&header);
    if (status == TFCZ_OK)
        status = tfcz_unpack(&header, next, in, malloc(header.size), header.size, malloc(need), need);
    printf("%f", (double)(clock() - begin) / CLOCKS_PER_SEC);
    return (int)status;
}
"""
_JS = """
const { unpackTfcz } = require(process.argv[2]);
const data = new Uint8Array(require("fs").readFileSync(process.argv[3]));
const begin = process.cpuUsage();
unpackTfcz(data);
const { user, system } = process.cpuUsage(begin);
console.log((user + system) / 1e6);
"""


def measure() -> list[dict[str, Any]]:
    """A row for each decoder that can run here; none where ../shared is absent."""
    if not MODEL.exists():
        return []
    content = MODEL.read_bytes()
    packed = pack_bytes(content)
    squeezed = zstandard.ZstdCompressor(level=22).compress(content)
    other = best(lambda: _timed(lambda: zstandard.ZstdDecompressor().decompress(squeezed)))
    by_decoder = {"python": best(lambda: _timed(lambda: unpack_bytes(packed)))}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "model.tfcz").write_bytes(packed)
        by_decoder |= _native(folder)
    return [
        entry(f"unpack_{language}_vs_zstd", seconds, other, "zstd -22's decoder", "s")
        for language, seconds in by_decoder.items()
    ]


def _native(folder: Path) -> dict[str, float]:
    seconds = {}
    gcc, node = shutil.which("gcc"), shutil.which("node")
    if gcc is not None:
        (folder / "main.c").write_text(_C, encoding="utf-8")
        source = [str(folder / "main.c"), str(DECODERS / "tfcz.c")]
        subprocess.run([gcc, "-std=c99", "-O2", f"-I{DECODERS}", *source, "-o", str(folder / "tfcz")], check=True)
        seconds["c"] = best(lambda: _printed([str(folder / "tfcz"), str(folder / "model.tfcz")]))
    if node is not None:
        (folder / "main.js").write_text(_JS, encoding="utf-8")
        command = [node, str(folder / "main.js"), str(DECODERS / "tfcz.js"), str(folder / "model.tfcz")]
        seconds["javascript"] = best(lambda: _printed(command))
    return seconds


def best(run: Callable[[], float]) -> float:
    """The least of `RUNS` results."""
    return min(run() for _ in range(RUNS))


def _timed(action: Callable[[], object]) -> float:
    begin = time.process_time()
    action()
    return time.process_time() - begin


def _printed(command: list[str]) -> float:
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
