"""Fingerprints tell values apart, by type and content, and say so of what they cannot tell."""

from __future__ import annotations

import dataclasses
import enum
import json
import os
import re
import subprocess
import sys
import typing
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from tfcompress.cache import fingerprint
from tfcompress.cache.fingerprints import _hash_of_all, code_of_others, surroundings
from tfcompress.recipe import PostTraining, Recipe, Student
from tfcompress.recipe.options import names_file, options_of
from tfcompress.recipe.section import Section
from tfcompress.target_sections import target_sections


@dataclass(frozen=True)
class One:
    a: int = 1


@dataclass(frozen=True)
class Two:
    a: int = 1


class Colour(enum.Enum):
    RED = 1


DIFFERENT = [
    None,
    False,
    0,
    0.0,
    -0.0,
    "",
    "0",
    b"",
    b"0",
    (),
    (0,),
    ((0,),),
    (0, 0),
    ("ab", "c"),
    ("a", "bc"),
    {},
    {"a": 1},
    {"a": 2},
    {"b": 1},
    One(),
    Two(),
    One(2),
    Colour.RED,
    Path("0"),
    np.zeros(2, np.int8),
    np.zeros(2, np.uint8),
    np.zeros((2, 1), np.int8),
    np.array(["a"], object),
    Recipe(),
    Recipe(post_training=PostTraining(scheme="float16")),
]


def test_different_values_have_different_fingerprints() -> None:
    assert len({fingerprint(value) for value in DIFFERENT}) == len(DIFFERENT)


def test_equal_values_have_equal_ones_whatever_the_order_of_keys() -> None:
    assert fingerprint({"a": 1, "b": 2}) == fingerprint({"b": 2, "a": 1})
    assert fingerprint(frozenset("abc")) == fingerprint(frozenset("cba"))
    assert fingerprint([1, 2]) == fingerprint((1, 2))
    assert fingerprint(np.arange(6).reshape(2, 3).T) == fingerprint(np.arange(6).reshape(2, 3).T.copy())


@pytest.mark.parametrize("value", [object(), lambda: 0, [object()], {"a": {1: object()}}])
def test_what_nobody_can_compare_is_refused(value: object) -> None:
    with pytest.raises(TypeError, match="has no fingerprint"):
        fingerprint(value)


def test_another_process_gives_the_same() -> None:
    code = "from tfcompress.cache import fingerprint; print(fingerprint({'x', 'y', 'z'}, 1.5, 'text'))"
    printed = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    assert printed.strip() == fingerprint({"x", "y", "z"}, 1.5, "text")


def test_an_option_that_names_a_file_counts_by_the_files_content(tmp_path: Path) -> None:
    path = tmp_path / "model.keras"
    section = Student(model=str(path))
    prints = {fingerprint(section)}  # there is no such file yet
    for content in (b"one", b"two"):
        path.write_bytes(content)
        os.utime(path, ns=(0, 0))  # neither its time nor its size tells them apart
        prints.add(fingerprint(section))
    assert len(prints) == 3
    assert fingerprint(Recipe(student=section)) != fingerprint(Recipe(student=Student(model=str(tmp_path))))


def test_every_option_of_a_recipe_that_names_a_file_is_marked_as_one() -> None:
    hints = [hint for name in typing.get_type_hints(Recipe).values() for hint in (name, *typing.get_args(name))]
    sections = {hint for hint in hints if isinstance(hint, type) and issubclass(hint, Section)}
    sections |= set(target_sections().values())
    marked, worded = set(), set()
    for section in sections:
        marked |= {(section.key, item.name) for item in dataclasses.fields(section) if names_file(item)}
        texts = {item.name: f"{item.metavar} {item.help}" for item in options_of(section)}
        worded |= {(section.key, name) for name, text in texts.items() if re.search(r"FILE|^None file|\.json", text)}
    assert marked == worded == {("post_training", "calibration_ranges"), ("student", "model")}


def test_tables_and_texts_beside_the_code_count_as_code(tmp_path: Path) -> None:
    (tmp_path / "operators.csv").write_text("ADD,yes")
    first = _hash_of_all([tmp_path])
    (tmp_path / "operators.pyc").write_text("made by Python")
    assert _hash_of_all([tmp_path]) == first
    (tmp_path / "operators.csv").write_text("ADD,no!")
    assert _hash_of_all([tmp_path]) != first


@pytest.mark.parametrize("name", ["TF_ENABLE_ONEDNN_OPTS", "OMP_NUM_THREADS", "XLA_FLAGS"])
def test_how_the_libraries_are_told_to_compute_is_part_of_the_surroundings(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    before = surroundings()
    monkeypatch.setenv(name, "3")
    assert surroundings() != before


def test_how_many_cores_may_be_used_is_part_of_the_surroundings(monkeypatch: pytest.MonkeyPatch) -> None:
    before = surroundings()
    monkeypatch.setattr("os.sched_getaffinity", lambda process: set(range(977)))
    assert surroundings() != before


def test_keras_own_file_counts_by_what_it_changes(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    before = surroundings()
    for text in ('{"floatx": "float32", "epsilon": 1e-07, "backend": "jax"}', "[]", "no JSON"):  # nothing is changed
        (tmp_path / "keras.json").write_text(text)
        assert surroundings() == before
    (tmp_path / "keras.json").write_text('{"floatx": "float16"}')
    assert surroundings() != before


SETTINGS_IN_PYTHON = {  # each needs a process of its own: TensorFlow takes threads only before it has computed anything
    "threads": "tf.config.threading.set_intra_op_parallelism_threads(1)",
    "threads between operators": "tf.config.threading.set_inter_op_parallelism_threads(1)",
    "XLA": "tf.config.optimizer.set_jit('autoclustering')",
    "graph rewrites": "tf.config.optimizer.set_experimental_options({'remapping': False})",
    "eager functions": "tf.config.run_functions_eagerly(True)",
    "a policy of Keras": "keras.config.set_dtype_policy('mixed_bfloat16')",
    "a policy of tf_keras": "tf_keras.mixed_precision.set_global_policy('mixed_bfloat16')",
    "a float type": "keras.config.set_floatx('float64'); keras.config.set_floatx('float16')",
}


def test_what_python_code_sets_in_tensorflow_and_keras_is_part_of_the_surroundings() -> None:
    """And importing them is not, so that a process that has not imported them yet finds what another one kept."""
    lines = [
        "import json",
        "from tfcompress.cache.fingerprints import surroundings",
        "seen = [surroundings()]",
        "from tfcompress.runtime import keras, tf, tf_keras",
        "seen.append(surroundings())",
        *(f"{statement}; seen.append(surroundings())" for statement in SETTINGS_IN_PYTHON.values()),
        "print(json.dumps([seen.index(each) for each in seen]))",
    ]
    code = "\n".join(lines)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == [0, 0, *range(2, 2 + len(SETTINGS_IN_PYTHON))]


def test_code_that_is_not_ours_counts_by_the_files_of_its_package(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "strangers" / "inner").mkdir(parents=True)
    for name in ("__init__.py", "inner/__init__.py", "inner/target.py", "table.csv"):
        (tmp_path / "strangers" / name).write_text("")
    (tmp_path / "alone.py").write_text("")
    modules = frozenset({"strangers.inner.target", "tfcompress.model", "functools"})
    ask = code_of_others.__wrapped__  # without what this process knows already
    before = ask(modules)
    assert before
    (tmp_path / "strangers" / "table.csv").write_text("ADD,yes")
    assert ask(modules) not in (before, None, "")
    assert ask(frozenset({"tfcompress.model", "functools"})) == ""
    for nobody_knows in ("alone", "__main__", "no_such_module"):
        assert ask(modules | {nobody_knows}) is None
