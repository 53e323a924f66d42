"""What may be done in one place only is done there: private names of other libraries, and making interpreters."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PRIVATE_NAMES = Path("tfcompress/graphs/tensorflow/private_names.py")
INTERPRETERS = Path("tfcompress/graphs/tflite/interpreter.py")

PRIVATE_MODULES = re.compile(
    r"\btensorflow\.(python|core|compiler|lite\.python)\b|\b(tf_)?keras\.(src|protobuf)\b"
    r"|\btensorflow_model_optimization\.python\b"
)
PUBLIC = {"_replace", "_asdict", "_fields", "_make", "_exit"}  # of named tuples, and os._exit
# (file, attribute): what cannot move, and why.
ALLOWED = {
    ("tfcompress/graphs/tflite/flatbuffer.py", "_tab"),  # the position of a flatbuffer's table: no Keras, no TensorFlow
    ("tfcompress/graphs/tflite/interpreter.py", "_get_ops_details"),  # LiteRT's; interpreters are made there
    ("tfcompress/cli/parser.py", "_actions"),  # argparse's own: it has no public way to list a parser's flags
    ("tfcompress/cli/completion.py", "_actions"),
    ("tfcompress/cli/completion.py", "_SubParsersAction"),
    ("converters/phone/packing/layout.py", "_tab"),
}


# It looks into modules only where they are imported already; the place for private names would import them.
WITHOUT_IMPORTING = Path("tfcompress/process_state.py")
VOCABULARY = Path("tfcompress/load/safety")  # knows the names that files of strangers may mention


def sources() -> list[Path]:
    """Every file of the package but those that may use private names, relative to the repository's root."""
    folders = ("tfcompress", "converters", "calibration", "example_models")
    paths = {path.resolve().relative_to(ROOT) for folder in folders for path in (ROOT / folder).rglob("*.py")}
    return sorted(paths - {PRIVATE_NAMES, WITHOUT_IMPORTING})


def makes_interpreters(text: str) -> bool:
    """Whether a source text calls `Interpreter`."""
    calls = [node.func for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Call)]
    return any("Interpreter" in (getattr(call, "id", ""), getattr(call, "attr", "")) for call in calls)


def own_names(tree: ast.AST) -> set[str]:
    """Names that a file itself defines, as functions, classes or attributes."""
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            names.add(node.name)
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            names.add(node.target.id)
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store) and _is_self(node.value):
            names.add(node.attr)
    return names


def _is_self(node: ast.AST) -> bool:
    called = isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "super"
    return called or (isinstance(node, ast.Name) and node.id in ("self", "cls"))


def private_uses(text: str, *, names_are_data: bool = False) -> Iterator[str]:
    """Private modules and attributes of others that a source text uses; its strings may be names that files hold."""
    tree = ast.parse(text)
    own = own_names(tree)
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and node.attr == "src":
            yield node.attr
        elif isinstance(node, ast.Attribute) and node.attr.startswith("_") and not node.attr.startswith("__"):
            if not _is_self(node.value) and node.attr not in own | PUBLIC:
                yield node.attr
        elif isinstance(node, ast.ImportFrom) and PRIVATE_MODULES.search(node.module or ""):
            yield str(node.module)
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if PRIVATE_MODULES.search(alias.name))
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            if node.func.id in ("getattr", "hasattr", "setattr") and len(node.args) > 1:
                name = node.args[1]
                if isinstance(name, ast.Constant) and re.match(r"_[a-z]", str(name.value)) and name.value not in own:
                    yield str(name.value)
        elif isinstance(node, ast.Constant) and not names_are_data and PRIVATE_MODULES.match(str(node.value)):
            yield str(node.value)


def test_private_names_of_other_libraries_are_in_one_place() -> None:
    uses = {
        (str(path), use)
        for path in sources()
        for use in private_uses((ROOT / path).read_text(encoding="utf-8"), names_are_data=VOCABULARY in path.parents)
    }
    assert uses - ALLOWED == set(), f"give these a name in {PRIVATE_NAMES}"
    assert ALLOWED - uses == set(), "these are no longer needed"


@pytest.mark.parametrize(
    "text",
    [
        "from tensorflow.python.framework import ops",
        "import keras.src.backend",
        "importlib.import_module('tf_keras.src.backend')",
        "keras.src.applications",
        "tensor._keras_history",
        "getattr(layer, '_could_use_gpu_kernel', False)",
        "import tensorflow_model_optimization.python.core",
        "self.layer._call_spec",
    ],
)
def test_the_check_sees_a_private_name(text: str) -> None:
    assert list(private_uses(text))


@pytest.mark.parametrize(
    "text", ["self._mine", "super()._check()", "tf.keras.layers", "def _f(): ...\nx._f()", "x.__doc__"]
)
def test_the_check_leaves_our_own_names_alone(text: str) -> None:
    assert not list(private_uses(text))


def test_interpreters_are_made_in_one_place() -> None:
    makers = [path for path in sources() if makes_interpreters((ROOT / path).read_text(encoding="utf-8"))]
    assert makers == [INTERPRETERS]
