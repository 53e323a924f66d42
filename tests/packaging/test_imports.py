"""`import tfcompress` and `--help` bring nothing heavy, and modules import each other in one direction only."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import tfcompress
from tests.converters.packing.files import tflite
from tfcompress.job.manifest import write_manifest

ROOT = Path(__file__).parents[2]
HEAVY = ("tensorflow", "tf_keras", "keras", "jax", "litert_quantizer", "ai_edge_litert")


@pytest.mark.parametrize("code", ["import tfcompress", "import tfcompress.cli; tfcompress.cli.main(['--help'])"])
def test_starting_imports_nothing_heavy(code: str) -> None:
    check = f"{code}\nimport sys\nloaded = [m for m in {HEAVY!r} if m in sys.modules]\nassert not loaded, loaded"
    subprocess.run([sys.executable, "-c", check], check=True, capture_output=True)


def test_commands_that_only_look_at_files_do_without_tensorflow(tmp_path: Path) -> None:
    content = tflite([("w", np.arange(100, dtype=np.int8), None)])
    (tmp_path / "model.tflite").write_bytes(content)
    (tmp_path / "out").mkdir()
    write_manifest(tmp_path / "out", {})
    commands = [
        ["pack", "model.tflite", "--output=model.tfcz"],
        ["unpack", "model.tfcz", "--output=again.tflite"],
        ["inspect", "model.tfcz"],
        ["inspect", "model.tflite"],
        ["verify", "out"],
    ]
    check = (
        f"import sys, tfcompress.cli\nassert [tfcompress.cli.main(line) for line in {commands!r}] == [0] * 5\n"
        "assert 'tensorflow' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", check], check=True, capture_output=True, cwd=tmp_path)
    assert (tmp_path / "again.tflite").read_bytes() == content


LEFT_OUT = """
import sys
from tfcompress import unneeded_imports
if sys.argv[1] == "command":
    unneeded_imports.leave_out()
import tfcompress.runtime
print("sklearn" in sys.modules)
import sklearn.utils
"""


def test_a_command_leaves_out_what_keras_has_no_need_of_but_a_users_process_does_not() -> None:
    def imports_it(process: str) -> str:
        command = [sys.executable, "-c", LEFT_OUT, process]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()

    assert imports_it("command") == "False"
    assert imports_it("user's") == "True"


def test_every_public_name_is_there_and_documented() -> None:
    for name in tfcompress.__all__:
        value = getattr(tfcompress, name)
        assert name == "__version__" or (value.__doc__ and not value.__doc__.startswith(f"{name}(")), name


LAYERS = [  # each may import those before it, never those after
    {
        "errors",
        "recipe",
        "compile_row",
        "target_sections",
        "native_output",
        "console",
        "plain_files",
        "file_hashes",
        "keras_backend",
        "lazy_names",
        "layer_histogram",
        "layer_names",
        "loss_names",
        "metric_names",
        "printable",
        "processor",
        "progress",
        "task_names",
        "tensor_info",
        "usage",
        "typed_json",
        "unique_names",
        "unneeded_imports",
    },
    {"interruption", "process_state", "remarks"},
    {"runtime", "model"},
    {"data", "graphs", "cache"},
    {"load"},
    {"calibration", "accuracy_diff", "compression"},
    {"converters"},
    {"report"},
    {"job"},
    {"search"},
    {"api"},
    {"example_models"},
    {"cli"},
]
# (file, module): what looks upwards, and why.
UPWARDS = {("tfcompress/search/__init__.py", "api")}  # the package is called like the public function of its name
RANK = {name: rank for rank, names in enumerate(LAYERS) for name in names}


def sources() -> list[tuple[str, Path]]:
    modules = []
    for folder, package in [("tfcompress", ""), ("converters", "converters"), ("calibration", "calibration")]:
        for path in sorted((ROOT / folder).rglob("*.py")):
            inside = path.relative_to(ROOT / folder).parts
            if not package and (inside[0] in ("converters", "calibration", "example_models") or len(inside) == 1):
                if inside[0] in ("__init__.py", "__main__.py") or len(inside) > 1:
                    continue
                modules.append((path.stem, path))
            else:
                modules.append((package or inside[0], path))
    return modules


def imported(path: Path) -> set[str]:
    return imported_in(path.read_text(encoding="utf-8"))


def imported_in(text: str) -> set[str]:
    """Our modules that a source text imports, also by `importlib.import_module` with a text."""
    names = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.ImportFrom) and node.level:
            names.add("a relative name")
        elif isinstance(node, ast.ImportFrom) and node.module:
            if node.module == "tfcompress":
                names |= {alias.name for alias in node.names}
            elif node.module.startswith("tfcompress."):
                names.add(node.module.split(".")[1])
        elif isinstance(node, ast.Import):
            names |= {alias.name.split(".")[1] for alias in node.names if alias.name.startswith("tfcompress.")}
        elif isinstance(node, ast.Call) and "import_module" in (
            getattr(node.func, "id", ""),
            getattr(node.func, "attr", ""),
        ):
            given = node.args[0] if node.args else None
            text_of = given.value if isinstance(given, ast.Constant) else ""
            if str(text_of).startswith("tfcompress."):
                names.add(str(text_of).split(".")[1])
    return names


def test_the_check_sees_every_way_to_import() -> None:
    assert imported_in("from tfcompress import job") == {"job"}
    assert imported_in("def f():\n    from tfcompress.job.state import State") == {"job"}
    assert imported_in("import tfcompress.job.state") == {"job"}
    assert imported_in("importlib.import_module('tfcompress.job.state')") == {"job"}
    assert imported_in("from ..job import state") == {"a relative name"}


def test_modules_import_in_one_direction_only() -> None:
    wrong = []
    for module, path in sources():
        assert module in RANK, f"{path}: give {module} a place in LAYERS"
        wrong += [
            f"{path.relative_to(ROOT)} imports {name}"
            for name in imported(path)
            if RANK.get(name, -1) > RANK[module] or name == "a relative name"
            if (path.relative_to(ROOT).as_posix(), name) not in UPWARDS
        ]
    assert wrong == []
    assert all(name in imported(ROOT / path) for path, name in UPWARDS), "no longer needed"


def test_the_accuracy_diff_imports_leaves_only() -> None:
    for module, path in sources():
        if module == "accuracy_diff":
            assert not imported(path) & {"calibration", "converters", "job", "compression", "report"}, path


@pytest.mark.parametrize("name", ["converters", "calibration", "example_models"])
def test_the_top_level_folders_are_not_import_names(name: str) -> None:
    run = subprocess.run([sys.executable, "-c", f"import {name}"], cwd=ROOT, capture_output=True, text=True)
    assert run.returncode != 0
    assert f"import tfcompress.{name}" in run.stderr


def test_benchmarks_import_nothing_from_tests() -> None:
    for path in sorted((ROOT / "benchmarks").glob("*.py")):
        assert not re.search(r"^\s*(from|import) tests\b", path.read_text(encoding="utf-8"), re.MULTILINE), path
