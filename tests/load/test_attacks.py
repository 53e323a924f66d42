"""Every attack over every way in: nothing runs, nothing hangs, and what is said of it is one line of ours."""

from __future__ import annotations

import contextlib
import resource
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tfcompress
from tests.conftest import CommandLine
from tests.load.attacks import ALL, ARTIFACTS, CONFIGURATIONS, CONTAINERS, GRAPHS, MODELS, PACKED
from tests.load.attacks.artifacts import sound_tflite
from tests.load.attacks.base import dense_keras
from tfcompress.accuracy_diff import runner_for
from tfcompress.converters import TARGETS
from tfcompress.converters.cloud_tpu import prove
from tfcompress.converters.edgetpu.mapping_forecast import forecast, forecast_together
from tfcompress.converters.phone.packing.caged import described
from tfcompress.converters.snapdragon.mapping_forecast import forecast as snapdragon_forecast
from tfcompress.errors import InputError, MissingExtraError, ModelError, TfCompressError
from tfcompress.load import LoadLimits, door, inspect_tflite, load_model, read_admitted
from tfcompress.load.safety import cage_client
from tfcompress.recipe import Pruning, Recipe

# Sound for all that they try: what is odd in them is passed over.
HARMLESS = {"h5_groups_in_each_other", "graph_code_in_metadata", "lambda_in_nested_loss"}
# Take the time or the memory that they are given, so that each is waited for.
_TAKES_ALL = ("endless", "million", "growing", "fills", "bomb", "many_layers", "gigabytes")
GREEDY = {name for name in {**ALL, **PACKED} if any(word in name for word in _TAKES_ALL)}
NEVER = Path("/tmp/tfcompress_never")
SECONDS = 5.0
LONGEST_SECONDS = 300  # by the clock, on a busy machine: five times the limit, and what is done around it
MOST_MEMORY = 2 << 30


def data(folder: Path) -> Path:
    np.savez(folder / "data.npz", x=np.ones((4, 4), "float32"), y=np.zeros((4, 2), "float32"))
    return folder / "data.npz"


def by_load_model(path: Path, folder: Path) -> None:
    model = load_model(path, max_load_seconds=SECONDS)
    model.predict(
        {info.name: np.ones([1, *(size or 4 for size in info.shape[1:])], "float32") for info in model.inputs}
    )


def by_convert(path: Path, folder: Path) -> None:
    tfcompress.convert(path, output=folder / "out", targets="phone", calibration=data(folder), max_load_seconds=SECONDS)


def by_compress(path: Path, folder: Path) -> None:
    recipe = Recipe(pruning=Pruning())
    tfcompress.compress(path, recipe=recipe, train=data(folder), output=folder / "out.keras", max_load_seconds=SECONDS)


def as_reference(path: Path, folder: Path) -> None:
    tfcompress.diff(path, lambda x: x[:, :2], evaluation=data(folder), max_load_seconds=SECONDS)


def as_candidate(path: Path, folder: Path) -> None:
    tfcompress.diff(lambda x: x[:, :2], path, evaluation=data(folder), max_load_seconds=SECONDS)


def by_runner(path: Path, folder: Path) -> None:
    runner = runner_for(path, max_load_seconds=SECONDS)
    runner.run({info.name: np.ones([1, *(size or 4 for size in info.shape[1:])], "float32") for info in runner.inputs})


def by_prove(path: Path, folder: Path) -> None:
    prove(path, ())


def by_forecast(path: Path, folder: Path) -> None:
    forecast(path)


def by_forecast_together(path: Path, folder: Path) -> None:
    forecast_together([path, path])


def by_snapdragon_forecast(path: Path, folder: Path) -> None:
    snapdragon_forecast(path, "SM8650")


def by_inspect_tflite(path: Path, folder: Path) -> None:
    inspect_tflite(path)


def by_target(name: str) -> Callable[[Path, Path], None]:
    """What ``inspect --target`` calls."""

    def inspect(path: Path, folder: Path) -> None:
        look = TARGETS[name].inspect
        assert look is not None
        with contextlib.suppress(MissingExtraError):
            look(path, Recipe())

    return inspect


def by_pack(path: Path, folder: Path) -> None:
    tfcompress.pack(path, output=folder / "out.tfcz")


def by_packed_bytes(path: Path, folder: Path) -> None:
    tfcompress.packed_bytes(path)


def by_unpack(path: Path, folder: Path) -> None:
    tfcompress.unpack(path, output=folder / "out.tflite", max_load_seconds=SECONDS)


def by_inspect_packed(path: Path, folder: Path) -> None:
    described(path, limits=LoadLimits(SECONDS))


# Ways that describe a .tflite and do not run it: what only a run would show is no attack there.
DESCRIBED = {"tflite_far_buffer", "tflite_many_graphs", "tflite_wrong_inputs", "tflite_truncated", "tflite_hollow",
             "tflite_device", "tflite_shared_tables", "tflite_shared_tensors", "tflite_shared_operators",
             "tflite_weights_elsewhere"} & set(ARTIFACTS)  # fmt: skip
# Of those, what is whole and only cannot run: describing it is right.
CAN_BE_DESCRIBED = {"tflite_wrong_inputs"}
WAYS_IN: dict[str, tuple[Callable[[Path, Path], None], set[str]]] = {
    "load_model": (by_load_model, {*MODELS, *GRAPHS}),
    "convert": (by_convert, {*MODELS, *GRAPHS}),
    "compress": (by_compress, {*MODELS, *GRAPHS}),
    "diff_reference": (as_reference, set(ALL)),
    "diff_candidate": (as_candidate, set(ALL)),
    "runner_for": (by_runner, set(ALL)),
    "prove": (by_prove, set(GRAPHS) - GREEDY),
    "forecast": (by_forecast, DESCRIBED),
    "forecast_together": (by_forecast_together, DESCRIBED),
    "snapdragon_forecast": (by_snapdragon_forecast, DESCRIBED),
    "inspect_tflite": (by_inspect_tflite, DESCRIBED),
    "inspect_edgetpu": (by_target("edgetpu"), DESCRIBED),
    "inspect_snapdragon": (by_target("snapdragon"), DESCRIBED),
    "inspect_ethos_u": (by_target("ethos_u"), DESCRIBED),
    "inspect_cloud_tpu": (by_target("cloud_tpu"), set(GRAPHS) - GREEDY),
    "pack": (by_pack, DESCRIBED),
    "packed_bytes": (by_packed_bytes, DESCRIBED),
    "unpack": (by_unpack, set(PACKED)),
    "inspect_packed": (by_inspect_packed, set(PACKED) - {"packed_endless_rest", "packed_cut"}),
}


@pytest.fixture(autouse=True)
def quiet_disk() -> None:
    NEVER.unlink(missing_ok=True)


def refusal(act: Callable[[], Any]) -> str | None:
    """What our error says, which must be one line for bad input; None where there is none."""
    try:
        act()
    except TfCompressError as error:
        refused = error
    else:
        return None
    assert refused.exit_code == InputError.exit_code, str(refused)
    assert str(refused).isprintable(), str(refused)
    return str(refused)


def attempt(way: str, name: str, folder: Path) -> str | None:
    """Make the attack's file and open it; what was said of it, None where it was let in."""
    folder.mkdir()
    canary = folder / "canary"
    path = {**ALL, **PACKED}[name](folder, canary)
    canary.unlink(missing_ok=True)
    started = time.monotonic()
    said = refusal(lambda: WAYS_IN[way][0](path, folder))
    assert not canary.exists(), f"{name} ran"
    assert not NEVER.exists(), f"{name} ran"
    assert time.monotonic() - started < LONGEST_SECONDS
    return said


def check(way: str, name: str, folder: Path) -> None:
    said = attempt(way, name, folder)
    if name not in HARMLESS:
        assert said is not None, f"{name} was let in by {way}"


@pytest.mark.parametrize("name", sorted((set(CONFIGURATIONS) | set(CONTAINERS)) - GREEDY))
def test_attack_by_a_keras_file_is_refused(name: str, tmp_path: Path) -> None:
    check("load_model", name, tmp_path / "attack")


@pytest.mark.parametrize("name", sorted(set(GRAPHS) - GREEDY))
def test_attack_by_a_saved_model_is_refused(name: str, tmp_path: Path) -> None:
    check("runner_for", name, tmp_path / "attack")


@pytest.mark.parametrize("name", sorted(set(ARTIFACTS) - GREEDY))
def test_attack_by_an_artifact_is_refused(name: str, tmp_path: Path) -> None:
    check("runner_for", name, tmp_path / "attack")


@pytest.mark.parametrize("way", ["forecast", "inspect_tflite", "inspect_edgetpu", "inspect_ethos_u", "pack"])
@pytest.mark.parametrize("name", ["tflite_far_buffer", "tflite_hollow", "tflite_device", "tflite_shared_operators"])
def test_what_describes_a_tflite_goes_through_the_door(way: str, name: str, tmp_path: Path) -> None:
    check(way, name, tmp_path / "attack")


@pytest.mark.parametrize("name", sorted(set(PACKED) - GREEDY))
def test_attack_by_a_packed_file_is_refused(name: str, tmp_path: Path) -> None:
    check("unpack", name, tmp_path / "attack")


def test_a_file_that_changes_while_it_is_tried_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, other = sound_tflite(tmp_path), tmp_path / "other.tflite"
    other.write_bytes(path.read_bytes() + b"\0")
    run = cage_client.run_caged

    def swapped(*arguments: Any, **named: Any) -> dict[str, Any]:
        other.replace(path)
        return run(*arguments, **named)

    monkeypatch.setattr("tfcompress.load.door.run_caged", swapped)
    with pytest.raises(ModelError, match="changed while it was read"):
        read_admitted(path)


def test_a_model_that_is_exchanged_while_it_is_loaded_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = dense_keras(tmp_path)
    content = path.read_bytes()
    tried = door.try_model_file

    def exchanged(*arguments: Any, **named: Any) -> None:
        tried(*arguments, **named)
        path.write_bytes(content)

    monkeypatch.setattr("tfcompress.load.loading.try_model_file", exchanged)
    with pytest.raises(ModelError, match="changed while it was read"):
        load_model(path)


ONE_OF_EACH_KIND = ["call_model_from_json", "zip_and_h5", "graph_write_file"]


@pytest.mark.parametrize("name", ONE_OF_EACH_KIND)
@pytest.mark.parametrize("way", ["convert", "compress", "diff_reference", "diff_candidate"])
def test_no_way_in_goes_around_the_door(way: str, name: str, tmp_path: Path) -> None:
    check(way, name, tmp_path / "attack")


def test_forecast_for_a_tpu_goes_through_the_door(tmp_path: Path) -> None:
    check("prove", "graph_print", tmp_path / "attack")


@pytest.mark.slow
@pytest.mark.parametrize("way", WAYS_IN)
def test_every_attack_over_every_way_in(way: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    wrong = []
    for name in sorted(WAYS_IN[way][1]):
        NEVER.unlink(missing_ok=True)
        try:
            said = attempt(way, name, tmp_path / name)
            verdict = "let in" if said is None else said
            if said is None and name not in HARMLESS | (CAN_BE_DESCRIBED if WAYS_IN[way][1] is DESCRIBED else set()):
                wrong.append(f"{name} was let in")
        except Exception as error:
            verdict = f"{type(error).__name__}: {error}"
            wrong.append(f"{name}: {verdict}")
        with capsys.disabled():
            print(f"\n{way:15} {name:40} {verdict[:110]}", end="")
    assert wrong == []
    children = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024
    assert children < MOST_MEMORY


COMMANDS: dict[str, tuple[str, ...]] = {
    "inspect": ("inspect", "{path}"),
    "inspect_json": ("inspect", "{path}", "--json"),
    "inspect_edgetpu": ("inspect", "{path}", "--target=edgetpu"),
    "inspect_cloud_tpu": ("inspect", "{path}", "--target=cloud_tpu"),
    "convert": ("convert", "{path}", "--targets=phone", "--calibration={data}", "--output={folder}/out"),
    "diff": ("diff", "{path}", "{path}", "--evaluation={data}"),
}
OF_COMMANDS = {
    "call_write_file": "inspect",
    "fifo": "inspect",
    "tflite_far_buffer": "inspect_json",
    "tflite_many_graphs": "inspect_edgetpu",
    "graph_endless_loop": "inspect_cloud_tpu",
    "graph_print": "inspect_cloud_tpu",
    "graph_table_from_a_file": "diff",
    "onnx_ep_context": "diff",
    "h5_external_data": "convert",
}


@pytest.mark.slow
@pytest.mark.parametrize(("name", "command"), OF_COMMANDS.items())
def test_command_says_one_line_and_ends_with_2(
    name: str, command: str, tmp_path: Path, tfcompress_command: CommandLine
) -> None:
    if name not in ALL:
        pytest.skip("onnx is not installed")
    folder = tmp_path / "attack"
    folder.mkdir()
    path = ALL[name](folder, folder / "canary")
    places = {"path": path, "data": data(tmp_path), "folder": folder}
    arguments = [argument.format(**places) for argument in COMMANDS[command]]
    done = tfcompress_command(*arguments, f"--max_load_seconds={SECONDS:.0f}")
    assert done.returncode == 2, done.stderr
    assert done.stdout == ""
    assert len([line for line in done.stderr.splitlines() if "error:" in line]) == 1, done.stderr
    assert "Traceback" not in done.stderr
    assert not (folder / "canary").exists()


def test_limits_must_be_positive(tmp_path: Path) -> None:
    with pytest.raises(tfcompress.InputError, match=r"--max_load_seconds=0: expected a number above 0"):
        load_model(tmp_path / "m.keras", max_load_seconds=0)


def only_called_in(function: str, places: set[str]) -> None:
    """Fail where the source calls `function` anywhere else."""
    root = Path(tfcompress.__file__).parent
    sources: list[Any] = [
        path for base in (root, *(link.resolve() for link in root.iterdir() if link.is_symlink()))
        for path in base.rglob("*.py") if not any(part.is_symlink() for part in path.parents)
    ]  # fmt: skip
    callers = {path.name for path in sources if f"{function}(" in path.read_text(encoding="utf-8")}
    assert callers <= places, f"{function} is called in {callers - places}"


def test_nothing_but_the_loader_opens_models() -> None:
    only_called_in("saved_model.load", {"saved_model.py", "serving.py"})  # the other is in a text for users
    # preprocessing.py has it in a text for users.
    only_called_in("models.load_model", {"restore.py", "saved_model.py", "preprocessing.py"})
    # The emulator's worker is a process of its own, for files that a conversion made; usage.py has a text for users.
    only_called_in("InferenceSession", {"onnx_runner.py", "tasks.py", "emulator_worker.py", "usage.py"})
    only_called_in("h5py.File", {"hdf5.py", "restore.py", "old_layout.py"})
