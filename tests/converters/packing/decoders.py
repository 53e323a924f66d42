"""The three decoders as functions from bytes to bytes; None stands for a file that was refused."""

from __future__ import annotations

import functools
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest

import tfcompress.converters.phone.packing as packing
from tfcompress.converters.phone.packing.files import unpack_bytes
from tfcompress.errors import ModelError

SOURCES = Path(packing.__file__).parent / "decoders"
REFUSED = 7  # exit code of both programs below
SECONDS = 300
SANITIZERS = ("-fsanitize=address,undefined", "-fno-sanitize-recover=all")

_C = """
#include "tfcz.h"
#include <stdio.h>
#include <stdlib.h>
static int next(void *file) { return fgetc((FILE *)file); }
static int one(const char *from, const char *to) {
    FILE *in = fopen(from, "rb"), *out;
    tfcz_header header;
    tfcz_status status = tfcz_read_header(next, in, &header);
    void *output, *work;
    size_t need;
    if (status == TFCZ_OK && header.size > 1u << 26) status = TFCZ_DAMAGED;
    if (status != TFCZ_OK) { fclose(in); return 7; }
    need = tfcz_work_bytes(&header);
    if (need > header.size + (6u << 20)) { fclose(in); return 9; } /* with the output: twice the size, and tables */
    output = malloc(header.size + 1);
    work = malloc(need);
    status = tfcz_unpack(&header, next, in, output, header.size, work, need);
    fclose(in);
    if (status == TFCZ_OK) {
        out = fopen(to, "wb");
        fwrite(output, 1, header.size, out);
        fclose(out);
    }
    free(output);
    free(work);
    return status == TFCZ_OK ? 0 : 7;
}
int main(int count, char **names) {
    int i;
    for (i = 1; i + 1 < count; i += 2) printf("%d\\n", one(names[i], names[i + 1]));
    return 0;
}
"""

_JS = """
const fs = require("fs");
const { unpackTfcz } = require(process.argv[2]);
for (let i = 3; i + 1 < process.argv.length; i += 2) {
  try {
    const packed = new Uint8Array(fs.readFileSync(process.argv[i]));
    fs.writeFileSync(process.argv[i + 1], unpackTfcz(packed, { maxBytes: 2 ** 26 }));
    console.log(0);
  } catch (error) {
    if (error.constructor !== Error) throw error;
    console.log(7);
  }
}
"""


def by_python(files: list[bytes]) -> list[bytes | None]:
    """Each file unpacked by this package."""
    results: list[bytes | None] = []
    for packed in files:
        try:
            results.append(unpack_bytes(packed, max_bytes=1 << 26))
        except ModelError:
            results.append(None)
    return results


def by_c(files: list[bytes]) -> list[bytes | None]:
    """Each file unpacked by tfcz.c, under the address and undefined-behaviour sanitizers."""
    return _run([str(_program())], files)


def by_javascript(files: list[bytes]) -> list[bytes | None]:
    """Each file unpacked by tfcz.js in node."""
    node = shutil.which("node")
    if node is None:
        pytest.skip("node is not installed")
    with tempfile.TemporaryDirectory() as folder:
        script = Path(folder) / "main.js"
        script.write_text(_JS, encoding="utf-8")
        return _run([node, str(script), str(SOURCES / "tfcz.js")], files)


DECODERS: dict[str, Callable[[list[bytes]], list[bytes | None]]] = {
    "python": by_python,
    "c": by_c,
    "javascript": by_javascript,
}


@functools.cache
def _program() -> Path:
    compiler = shutil.which("gcc")
    if compiler is None:
        pytest.skip("gcc is not installed")
    folder = Path(tempfile.mkdtemp(prefix="tfcz_test_"))
    (folder / "main.c").write_text(_C, encoding="utf-8")
    command = [compiler, "-std=c99", "-Wall", "-Wextra", "-Werror", "-pedantic", "-O1", *SANITIZERS]
    command += [f"-I{SOURCES}", str(folder / "main.c"), str(SOURCES / "tfcz.c"), "-o", str(folder / "tfcz")]
    subprocess.run(command, check=True)
    return folder / "tfcz"


def _run(command: list[str], files: list[bytes]) -> list[bytes | None]:
    with tempfile.TemporaryDirectory() as name:
        folder, arguments = Path(name), []
        for number, packed in enumerate(files):
            source, target = folder / f"{number}.tfcz", folder / f"{number}.tflite"
            source.write_bytes(packed)
            arguments += [str(source), str(target)]
        done = subprocess.run(
            [*command, *arguments], capture_output=True, text=True, timeout=SECONDS + len(files), check=False
        )
        assert done.returncode == 0, done.stderr[-2000:]
        codes = [int(line) for line in done.stdout.split()]
        assert len(codes) == len(files)
        assert set(codes) <= {0, REFUSED}
        return [(folder / f"{number}.tflite").read_bytes() if code == 0 else None for number, code in enumerate(codes)]
