"""Flags come from the options' metadata; what is wrong is refused before TensorFlow is imported."""

from __future__ import annotations

import inspect
import json
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Literal, get_args, get_origin

import pytest

import tfcompress
from tfcompress.cli.named_functions import why_no_function
from tfcompress.cli.parser import COMMANDS, build_parser, checked_options, parse
from tfcompress.converters.cloud_tpu.options import CloudTpu
from tfcompress.converters.edgetpu.options import EdgeTpu
from tfcompress.errors import InputError
from tfcompress.job.options import CompressOptions, ConvertOptions, DiffOptions
from tfcompress.job.reproduce import from_memory, reproduce_command, why_no_command
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
    groups = [(options_of(group.section), group.names) for group in COMMANDS[name].sections()]
    listed = [item for items, names in groups for item in items if names is None or item.name in names]
    for item in [*options_of(COMMANDS[name].options), *listed]:
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
        (["--recipe=none.json"], "none.json: cannot be read: No such file"),
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


@pytest.mark.parametrize(
    "name",
    [
        "-model.keras",
        "--output",
        "a 'quoted' \"name\".keras",
        "new\nline.keras",
        "modèle;rm -rf $HOME.keras",
        "#.keras",
    ],
)
def test_whatever_a_file_is_called_the_printed_command_names_it(name: str) -> None:
    options = ConvertOptions(model=name, output=name, calibration=name, targets=["phone", "edgetpu"], labels=Path(name))
    command = reproduce_command(options)
    assert command is not None
    again = checked_options(parse(shlex.split(command)[1:]))
    assert isinstance(again, ConvertOptions)
    assert Path(str(again.model)) == Path(name)
    assert (again.output, again.calibration, again.labels) == (name, name, name)
    assert again.targets == "phone,edgetpu"


def test_what_came_from_memory_has_no_command_and_the_report_says_why() -> None:
    unnamed: list[dict[str, object]] = [
        {"calibration": list},
        {"labels": ["cat", "dog"]},  # the flag takes a file
        {"labels": ["cat, striped", "dog"]},
        {"preprocess": lambda value: value},
        {"custom_objects": {"Mine": object}},
    ]
    for given in unnamed:
        options = ConvertOptions(model="m.keras", output="o", **given)  # type: ignore[arg-type]
        assert reproduce_command(options) is None
        assert str(why_no_command(options)).startswith(f"{next(iter(given))}: given as Python values")
    assert why_no_command(ConvertOptions(model="m.keras", output="o")) is None
    with from_memory("model"):  # saved for a while, for another process
        assert reproduce_command(ConvertOptions(model="/tmp/m.keras", output="o")) is None


REFUSED_AT_ONCE = [
    (["convert", "m.keras", "--output=o", "--targets=android"], "unknown target 'android'"),
    (["convert", "m.keras", "--output=o", "--max_accuracy_drop=1"], "--max_accuracy_drop: got 1.0"),
    (["convert", "m.keras", "--output=o", "--scheme=int7"], "--scheme: got 'int7', expected one of int8"),
    (["convert", "m.keras", "--output=o", "--batch_sizes=99999999999999"], "cloud_tpu.batch_sizes is"),
    (["convert", "m.keras", "--output=o", "--calibration="], "--calibration: got nothing, expected a value"),
    (["convert", "m.keras", "--output=o", "--calibration=absent.npz"], "--calibration=absent.npz: no such file"),
    (["convert", "m.keras", "--output=o", "--targets=onnx"], "--calibration: not given, but onnx cannot do without"),
    (["convert", "m.keras", "--output=o", "--labels=absent.txt"], "--labels=absent.txt: no such file"),
    (["convert", "m.keras", "--output=o", "--sign_key=absent.pem"], "--sign_key=absent.pem: no such file"),
    (["convert", "m.keras", "--output=o", "--custom_objects=layers"], "--custom_objects: got 'layers', expected"),
    (["convert", "m.keras", "--output=o", "--calibration_ranges=absent.json"], "calibration_ranges is 'absent.json'"),
    (["convert", "m.keras", "--output=o", "--recipe=student.json"], "student.model is 'absent.keras': no such file"),
    (
        ["convert", "m.keras", "--output=o", "--recipe=loss.json"],
        "training.loss is 'mean_square_error', expected the name",
    ),
    (["convert", "m.keras", "--output=o", "--calibration=absent:data"], "no module 'absent' in the current folder"),
    (["convert", "m.keras", "--output=o", "--calibration=a b:c"], "no such file or function: expected package.module"),
    (["convert", "m.keras", "--output=o", "--preprocess=absent.part:scale"], "--preprocess=absent.part:scale: no such"),
    (["convert", "m.keras", "--output=o", "--custom_objects=mine.layer:ALL"], "no module 'mine.layer' in the current"),
    (["convert", "m.keras", "--output=o", "--task=detection", "--decode=mine.boxes:"], "--decode=mine.boxes:: no such"),
    (["convert", "no:model.keras", "--output=o"], "no:model.keras: no such file or folder"),
    (["diff", "m.keras", "absent:model", "--evaluation=m.keras"], "absent:model: no such file or function: no module"),
    (
        ["diff", "m.keras", "m.keras", "--evaluation=m.keras", "--metrics=auc,absent:one"],
        "--metrics=absent:one: no such",
    ),
    (
        ["diff", "m.keras", "m.keras", "--evaluation=m.keras", "--metrics=acuracy"],
        "expected a name such as Accuracy or",
    ),
    (["convert", "m.keras", "--output=o", "--verbosity=loud"], "--verbosity=loud"),
    (["convert", "m.keras", "--output=o", "--stderrthreshold=loud"], "--stderrthreshold"),
    (["convert", "m.keras", "--targets=cloud_tpu", "--output=absent/o"], "absent is not a folder; create it first"),
    (["convert", "m.keras", "--targets=cloud_tpu", "--output=."], "holds files that tfcompress did not write"),
    (["convert", "absent.keras", "--output=o"], "absent.keras: no such file or folder"),
    (["diff", "m.keras", "absent.tflite", "--evaluation=m.keras"], "absent.tflite: no such file or folder"),
    (["compress", "m.keras", "--train=m.keras", "--output=o.keras"], "required: --recipe"),
    (["inspect", "absent.keras"], "absent.keras: no such file or folder"),
    (["pack", "absent.tflite", "--output=o"], "absent.tflite: no such file or folder"),
    (["completion", "fish"], "got 'fish', expected one of bash, zsh"),
]
IN_ANOTHER_PROCESS = """
import contextlib, io, json, sys
from tfcompress.cli import main
for argv in json.loads(sys.argv[1]):
    said = io.StringIO()
    with contextlib.redirect_stderr(said):
        code = main(argv)
    heavy = [name for name in ("tensorflow", "keras", "jax") if name in sys.modules]
    print(json.dumps([code, said.getvalue(), heavy]))
"""


def test_what_cannot_be_is_refused_in_one_line_before_tensorflow_is_imported(tmp_path: Path) -> None:
    (tmp_path / "m.keras").write_bytes(b"never opened")
    (tmp_path / "student.json").write_text('{"student": {"model": "absent.keras"}}')
    (tmp_path / "loss.json").write_text('{"training": {"loss": "mean_square_error"}}')
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "layers.py").write_text("raise AssertionError('nothing of the user is imported')")
    asked = json.dumps([argv for argv, _ in REFUSED_AT_ONCE])
    done = subprocess.run(
        [sys.executable, "-c", IN_ANOTHER_PROCESS, asked], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    for (argv, message), (code, said, heavy) in zip(REFUSED_AT_ONCE, answers, strict=True):
        assert (code, heavy) == (2, []), (argv, said)
        assert message in said, argv
        assert said.count("\n") == 1, said


def test_the_name_of_a_function_that_may_be_there_is_not_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for package in ("plain", "makes_modules"):
        (tmp_path / package).mkdir()
        (tmp_path / package / "__init__.py").write_text("function = max")
        (tmp_path / package / "inner.py").write_text("def function(): ...")
    (tmp_path / "makes_modules/__init__.py").write_text("import sys\nsys.modules['makes_modules.more'] = sys")
    (tmp_path / "single.py").write_text("import other as function")
    (tmp_path / "star.py").write_text("from plain.inner import *")
    there = ("plain", "plain.inner", "makes_modules.more", "single", "single.made_by_it", "star")
    assert [why_no_function(f"{module}:function") for module in there] == [None] * 6
    installed = ("tensorflow.keras.applications.mobilenet_v2:MobileNetV2", "os.path:join", "numpy:load")
    assert [why_no_function(name) for name in (*installed, "keras.applications.resnet:preprocess_input")] == [None] * 4
    for absent in ("plain.more", "absent", "absent.inner"):
        assert "no module" in (why_no_function(f"{absent}:function") or "")
    (tmp_path / "empty.py").write_text("print('never run')")
    for nothing in ("empty:function", "plain:other", "plain.inner:other"):
        assert "has no 'other'" in (why_no_function(nothing) or "").replace("function", "other")
    for no_name in (":", "plain:", ":function", "plain:two words", "plain.:function", "C:/data.npz", "plain:a.b"):
        assert why_no_function(no_name) == "expected package.module:function"


def test_the_help_names_every_choice_and_no_dataclass(capsys: pytest.CaptureFixture[str]) -> None:
    texts = {}
    for name in COMMANDS:
        with pytest.raises(SystemExit):
            build_parser().parse_args([name, "--help"])
        texts[name] = " ".join(capsys.readouterr().out.split())
        assert "Recipe(" not in texts[name], name
        assert "%%" not in texts[name], name
    assert "(choices: int8, int8_float_io, int16x8, float16, dynamic, int4_weights, auto)" in texts["convert"]
    assert "95 % interval" in texts["search"]
