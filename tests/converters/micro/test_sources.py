"""What goes into a firmware compiles, holds the model and says what it needs."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.converters.micro.conftest import LABELS
from tfcompress.converters.artifact import Artifact
from tfcompress.graphs.tflite import read_tflite

COMPILER = shutil.which("g++")
STUB = Path(__file__).with_name("tflm_stub.h")
HEADERS = (
    "tensorflow/lite/micro/micro_interpreter.h",
    "tensorflow/lite/micro/micro_mutable_op_resolver.h",
    "tensorflow/lite/schema/schema_generated.h",
)
needs_compiler = pytest.mark.skipif(COMPILER is None, reason="g++ is not installed")


def compiled(folder: Path, *arguments: object) -> str:
    """What the compiler says; empty where it is content."""
    command = [str(COMPILER), "-std=c++17", "-Wall", "-Wextra", "-Werror", *map(str, arguments)]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False).stderr


@needs_compiler
def test_the_array_compiles_is_aligned_and_is_the_model(artifact: Artifact, tmp_path: Path) -> None:
    (tmp_path / "main.cc").write_text(
        '#include "model.h"\n#include <cstdint>\n#include <cstdio>\n'
        "int main() {\n"
        "  if (reinterpret_cast<std::uintptr_t>(g_model) % 16 != 0) return 1;\n"
        "  std::fwrite(g_model, 1, g_model_len, stdout);\n"
        "  for (const char* label : kLabels) std::puts(label);\n"
        "}\n"
    )
    sources = (tmp_path / "main.cc", artifact.folder / "model.cc")
    assert compiled(tmp_path, f"-I{artifact.folder}", *sources, "-o", "main") == ""
    printed = subprocess.run([tmp_path / "main"], capture_output=True, check=True).stdout
    assert printed == (artifact.folder / "model.tflite").read_bytes() + "".join(f"{name}\n" for name in LABELS).encode()


def test_the_operators_to_register_are_those_of_the_file(artifact: Artifact) -> None:
    listing = json.loads((artifact.folder / "ops.json").read_text())
    names = [operator.name for operator in read_tflite(artifact.runnable.read_bytes()).main.operators]
    assert {row["op"]: row["count"] for row in listing["operators"]} == {name: names.count(name) for name in names}
    header = (artifact.folder / "model.h").read_text()
    assert re.findall(r"resolver\.(\w+)\(\)", header) == [row["method"] for row in listing["operators"]]
    assert f"kOperators = {len(listing['operators'])};" in header
    assert f"kArenaBytes = {listing['arena_bytes']};" in header
    assert listing["proven"] is True


@needs_compiler
@pytest.mark.parametrize(
    ("opening", "closing"),
    [("", ""), ("namespace micro {", "}")],
    ids=["classes in tflite", "classes in tflite::micro"],
)
def test_the_sample_on_the_page_compiles_against_the_interface(
    artifact: Artifact, tmp_path: Path, opening: str, closing: str
) -> None:
    for name in HEADERS:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f'#define TFLM_OPEN {opening}\n#define TFLM_CLOSE {closing}\n#include "{STUB}"\n')
    page = (artifact.folder / "USE.md").read_text()
    (main,) = [block for block in re.findall(r"```cpp\n(.*?)```", page, re.DOTALL) if "int main" in block]
    (tmp_path / "main.cc").write_text(main)
    assert compiled(tmp_path, f"-I{artifact.folder}", "-I.", "-c", "main.cc", "-o", "main.o") == ""
    (tmp_path / "main.cc").write_text(main.replace("Invoke()", "Invoked()"))
    assert "Invoked" in compiled(tmp_path, f"-I{artifact.folder}", "-I.", "-c", "main.cc", "-o", "main.o")
