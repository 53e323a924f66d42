"""Flags come from the options' metadata; what is wrong is refused before TensorFlow is imported."""

from __future__ import annotations

import inspect
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Literal, get_args, get_origin

import pytest

import tfcompress
from tfcompress.cli.parser import COMMANDS, build_parser, checked_options, parse
from tfcompress.converters.cloud_tpu.options import CloudTpu
from tfcompress.converters.edgetpu.options import EdgeTpu
from tfcompress.errors import InputError
from tfcompress.job.options import CompressOptions, ConvertOptions, DiffOptions
from tfcompress.job.reproduce import reproduce_command
from tfcompress.recipe import PostTraining, Recipe, Training
from tfcompress.recipe.options import options_of

SECTIONS = [Recipe, Training, PostTraining, EdgeTpu, CloudTpu]


@pytest.mark.parametrize(
    ("function", "options"),
    [(tfcompress.convert, ConvertOptions), (tfcompress.compress, CompressOptions), (tfcompress.diff, DiffOptions)],
)
def test_a_python_function_takes_what_its_command_takes(function: object, options: type) -> None:
    parameters = inspect.signature(function).parameters  # type: ignore[arg-type]
    fields = {item.name: item for item in options_of(options)}
    assert set(parameters) == set(fields)
    for name, parameter in parameters.items():
        if not fields[name].required and name not in ("targets", "recipe"):
            assert parameter.default == fields[name].default, name
        assert f"{name}: {fields[name].help}." in (function.__doc__ or "")


@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_has_a_flag_with_its_help(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        build_parser().parse_args([name, "--help"])
    printed = " ".join(capsys.readouterr().out.split())
    sections = [section for section, _ in COMMANDS[name].sections()]
    for item in [*options_of(COMMANDS[name].options), *(item for one in sections for item in options_of(one))]:
        if item.flag or item in options_of(COMMANDS[name].options):
            assert item.help.split()[0] in printed
            assert item.positional or f"--{item.flag or item.name}" in printed


@pytest.mark.parametrize("section", SECTIONS)
def test_every_flag_of_a_section_reaches_the_recipe(section: type) -> None:
    given = {"int": "3", "bool": None}
    for item in options_of(section):
        if item.flag is None:
            continue
        others = [choice for choice in get_args(item.hint) if choice != item.default]
        if get_origin(item.hint) is Literal:
            text = others[0]
        else:
            shaped = {"batch_sizes": "2,4", "topologies": "v4:2x2x1"}
            text = shaped.get(item.flag, given.get(getattr(item.hint, "__name__", ""), "a,b"))
        command = "compress" if section is Training else "convert"
        needed = ["--train=x", "--recipe=r"] if command == "compress" else []
        flag = f"--{item.flag}" if text is None else f"--{item.flag}={text}"
        parsed = parse([command, "m", "--output=o", *needed, flag])
        assert getattr(parsed, item.flag) not in (None, item.default), item.flag


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--targets=android"], "unknown target 'android'"),
        (["--max_accuracy_drop=1"], "expected a share in [0, 1)"),
        (["--max_accuracy_drop=nan"], "expected a share in [0, 1)"),
        (["--calibration_samples=0"], "expected a number >= 1"),
        (["--seed=-1"], "expected a whole number from 0"),
        (["--preprocess=half"], "expected one of none, unit, signed_unit"),
        (["--topologies=v99:2x2"], "v99:2x2"),
        (["--recipe=none.json"], "cannot read the recipe"),
    ],
)
def test_a_wrong_value_is_refused_when_the_options_are_made(flags: list[str], said: str) -> None:
    with pytest.raises(InputError) as caught:
        checked_options(parse(["convert", "m.keras", "--output=o", *flags]))
    assert said in str(caught.value)


@pytest.mark.parametrize("flags", [["--targets=android"], ["--scheme=int3"], ["--max_accuracy_drop=2"]])
def test_what_is_refused_does_not_wait_for_tensorflow(flags: list[str]) -> None:
    arguments = ["convert", "m.keras", "--output=o", *flags]
    program = f"import sys; from tfcompress.cli import main; code = main({arguments!r})\n"
    program += "assert 'tensorflow' not in sys.modules, 'TensorFlow was imported'; sys.exit(code)"
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert run.returncode == 2, run.stderr
    assert run.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("flag", "meant"),
    [("--target=phone", "--targets"), ("--max-accuracy-drop=0.1", "--max_accuracy_drop"), ("--calibrate=x", "--cal")],
)
def test_a_misspelt_flag_is_answered_with_the_right_one(
    flag: str, meant: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stop:
        parse(["convert", "m.keras", "--output=o", flag])
    assert stop.value.code == 2
    assert f"did you mean {meant}" in capsys.readouterr().err


def test_the_printed_command_reads_back_to_the_same_options(tmp_path: Path) -> None:
    recipe = Recipe(post_training=PostTraining(scheme="int16x8"), keep_float=("head*",))
    recipe.save(tmp_path / "recipe.json")
    options = ConvertOptions(
        model="a model.keras",
        output=str(tmp_path),
        targets="phone",
        calibration="data.npz",
        recipe=recipe,
        calibration_samples=7,
        max_accuracy_drop=0.25,
        task="regression",
        seed=3,
        suggest=True,
        allow_unsafe_deserialization=True,
    )
    command = reproduce_command(options)
    assert command is not None
    assert checked_options(parse(shlex.split(command)[1:])) == options


def test_what_came_from_memory_has_no_command() -> None:
    assert reproduce_command(ConvertOptions(model="m.keras", output="o", calibration=list)) is None
