"""A flag that nothing would read is refused, naming what reads it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tfcompress.cli.parser import checked_options, parse
from tfcompress.converters.target import TARGETS
from tfcompress.errors import InputError
from tfcompress.recipe.options import options_of


def refusal(*arguments: str) -> str:
    """The one line with which a command is refused before anything heavy is imported; empty for one that is taken."""
    try:
        checked_options(parse(list(arguments)))
    except InputError as error:
        said = str(error)
    else:
        return ""
    assert "\n" not in said
    return said


@pytest.mark.parametrize(
    ("given", "needed"),
    [
        ("--edgetpu_compiler=14", "--target=edgetpu"),
        ("--edgetpu_search_delegate", "--target=edgetpu"),
        ("--socs=SM8650", "--target=snapdragon"),
        ("--ethos_u_configs=ethos-u55-128", "--target=ethos_u"),
        ("--topologies=v5e:2x2", "--target=cloud_tpu"),
    ],
)
def test_inspect_refuses_an_option_of_a_target_that_it_is_not_asked_for(given: str, needed: str) -> None:
    said = refusal("inspect", "m.tflite", given)
    assert given in said
    assert needed in said
    assert needed in refusal("inspect", "m.tflite", given, "--target=phone")
    assert refusal("inspect", "m.tflite", given, needed) == ""


def test_inspect_has_the_flags_alone_that_it_reads(capsys: pytest.CaptureFixture[str]) -> None:
    for flag in ("--scheme=int8", "--rewrite=none", "--tpu_precision=int8", "--quality=best"):
        with pytest.raises(SystemExit) as stop:
            parse(["inspect", "m.tflite", flag])
        assert stop.value.code == InputError.exit_code
        assert "unrecognized argument" in capsys.readouterr().err


def test_what_targets_say_that_inspect_reads_are_options_with_flags() -> None:
    for target in TARGETS.values():
        flags = set() if target.options is None else {item.name for item in options_of(target.options) if item.flag}
        assert set(target.inspect_reads) <= flags


def test_inspect_refuses_what_goes_with_another_kind_of_file(tmp_path: Path) -> None:
    assert "--target=edgetpu" in refusal("inspect", "a.log", "--edgetpu_log", "--target=edgetpu")
    for arguments in (["m.tflite"], ["m.keras", "--target=edgetpu"], ["m.log", "--edgetpu_log"]):
        assert "--calibration=x.npz" in refusal("inspect", *arguments, "--calibration=x.npz")
    assert refusal("inspect", "m.keras", "--calibration=x.npz") == ""
    recipe = tmp_path / "recipe.json"
    recipe.write_text(json.dumps({"version": 1, "edgetpu": {"compiler": "14"}}))
    assert "--recipe" in refusal("inspect", "m.tflite", f"--recipe={recipe}")
    assert refusal("inspect", "m.tflite", f"--recipe={recipe}", "--target=edgetpu") == ""


@pytest.mark.parametrize(
    ("targets", "given", "reader"),
    [
        ("phone", "--edgetpu_compiler=14", "edgetpu"),
        ("phone,edgetpu", "--tpu_precision=int8", "cloud_tpu"),
        ("edgetpu", "--scheme=float16", "phone"),
        ("cloud_tpu", "--quality=best", "phone"),
        ("micro", "--socs=SM8650", "snapdragon"),
    ],
)
def test_convert_refuses_a_flag_that_changes_nothing_for_its_targets(targets: str, given: str, reader: str) -> None:
    convert = ["convert", "m.keras", "--output=o", given]
    said = refusal(*convert, f"--targets={targets}")
    assert given in said
    assert f"--targets={targets}" in said
    assert reader in said
    assert refusal(*convert, f"--targets={targets},{reader}") == ""


def test_a_flag_that_repeats_the_default_is_no_mistake() -> None:
    assert refusal("convert", "m.keras", "--output=o", "--targets=phone", "--edgetpu_compiler=16") == ""


def test_a_recipe_file_may_speak_of_other_targets(tmp_path: Path) -> None:
    recipe = tmp_path / "recipe.json"
    recipe.write_text(json.dumps({"version": 1, "edgetpu": {"compiler": "14"}}))
    assert refusal("convert", "m.keras", "--output=o", "--targets=phone", f"--recipe={recipe}") == ""
