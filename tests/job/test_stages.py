"""Stages are rows of one table, and a second run repeats only what has changed."""

from __future__ import annotations

import dataclasses
import json
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tfcompress
from tfcompress.compression.training import training
from tfcompress.converters import TARGETS, Artifact
from tfcompress.converters.edgetpu.options import EdgeTpu
from tfcompress.data import Samples
from tfcompress.data.functions import FunctionSource
from tfcompress.errors import ModelError
from tfcompress.file_hashes import sha256_of
from tfcompress.job import stages
from tfcompress.job.data_sets import DataSets
from tfcompress.job.options import ConvertOptions
from tfcompress.job.stage import Stage, fingerprint_of
from tfcompress.job.stages import loading
from tfcompress.job.stages.comparing import DIFF
from tfcompress.job.stages.training import TRAINING
from tfcompress.job.state import State
from tfcompress.recipe import Clustering, PostTraining, Pruning, Quantization, Recipe, Training
from tfcompress.runtime import keras

Ran = Counter[str]
TRAINED = Recipe(
    pruning=Pruning(sparsity=0.5, skip=()), quantization=Quantization(), training=Training(epochs=1, batch_size=8)
)


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """A folder with a small model, and 32 labelled samples for it."""
    keras.utils.set_random_seed(0)
    x = keras.Input((8, 8, 3), name="x")
    hidden = keras.layers.Conv2D(4, 3, activation="relu", name="conv")(x)
    digit = keras.layers.Dense(3, activation="softmax", name="digit")(keras.layers.Flatten()(hidden))
    keras.Model(x, digit).save(tmp_path / "small.keras")
    rng = np.random.default_rng(0)
    np.savez(tmp_path / "data.npz", x=rng.random((32, 8, 8, 3), np.float32), y=rng.integers(0, 3, 32))
    return tmp_path


@pytest.fixture
def ran(monkeypatch: pytest.MonkeyPatch) -> Ran:
    """Counts what is made, and not found in the store: {stage or stage/part: how often}."""
    counted: Ran = Counter()

    def counting(stage: Stage) -> Callable[[State, Sequence[str]], State]:
        def run(state: State, parts: Sequence[str]) -> State:
            counted.update(f"{stage.name}/{part}".rstrip("/") for part in parts)
            return stage.run(state, parts)

        return run

    table = tuple(dataclasses.replace(stage, run=counting(stage)) for stage in stages.STAGES)
    monkeypatch.setattr(stages, "STAGES", table)
    return counted


def convert(files: Path, output: str = "out", **options: Any) -> Path:
    """The output folder of a conversion that keeps its results in ``files/cache``."""
    given = {"targets": "phone", "cache_dir": files / "cache", "calibration": files / "data.npz", **options}
    return tfcompress.convert(files / "small.keras", output=files / output, **given).output


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def new_in(ran: Ran, name: str = "") -> set[str]:
    """What was made since the last time this was asked, of the stages that keep anything."""
    names = {each for each in ran if each.partition("/")[0] in ("load", "training", "convert", "diff", name)}
    ran.clear()
    return names


def test_the_second_run_makes_nothing_and_gives_the_same_bytes(files: Path, ran: Ran) -> None:
    first = contents(convert(files))
    assert new_in(ran) == {"load", "convert/phone", "diff/phone"}
    assert contents(convert(files)) == first
    assert new_in(ran) == set()
    assert tfcompress.verify(files / "out") == []


def test_another_scheme_makes_only_what_has_the_scheme(files: Path, ran: Ran) -> None:
    convert(files, targets="phone,edgetpu")
    new_in(ran)
    convert(files, targets="phone,edgetpu", recipe=Recipe(post_training=PostTraining(scheme="int16x8")))
    assert new_in(ran) == {"convert/phone", "diff/phone"}


@pytest.mark.slow
def test_an_artifact_that_another_scheme_left_alone_is_what_it_would_have_been(files: Path) -> None:
    convert(files, targets="edgetpu")
    recipe = Recipe(post_training=PostTraining(scheme="int16x8"))
    kept = convert(files, "kept", targets="edgetpu", recipe=recipe)
    fresh = convert(files, "fresh", targets="edgetpu", recipe=recipe, no_cache=True)
    assert (kept / "edgetpu/model.tflite").read_bytes() == (fresh / "edgetpu/model.tflite").read_bytes()


def test_another_section_or_one_more_target_makes_only_that(files: Path, ran: Ran) -> None:
    convert(files)
    new_in(ran)
    convert(files, recipe=Recipe(edgetpu=EdgeTpu(rewrite="none")))
    assert new_in(ran) == set()
    convert(files, targets="phone,edgetpu", recipe=Recipe(edgetpu=EdgeTpu(rewrite="none")))
    assert new_in(ran) == {"convert/edgetpu", "diff/edgetpu"}
    convert(files, max_accuracy_drop=0.5)
    assert new_in(ran) == {"diff/phone"}


@pytest.mark.slow
def test_other_data_another_model_and_another_seed_are_seen(files: Path, ran: Ran) -> None:
    convert(files)
    new_in(ran)
    with np.load(files / "data.npz") as data:
        np.savez(files / "other.npz", x=data["x"][::-1], y=data["y"][::-1])
        np.savez(files / "labels.npz", x=data["x"], y=(data["y"] + 1) % 3)
    convert(files, calibration=files / "other.npz")
    assert new_in(ran) == {"convert/phone", "diff/phone"}
    convert(files, evaluation=files / "labels.npz")
    assert new_in(ran) == {"diff/phone"}
    convert(files, calibration_samples=16)
    assert "convert/phone" in new_in(ran)
    convert(files, seed=1)
    assert new_in(ran) == {"diff/phone"}
    model = keras.models.load_model(files / "small.keras")
    model.layers[1].set_weights([value * 0.5 for value in model.layers[1].get_weights()])
    model.save(files / "small.keras")
    convert(files)
    assert new_in(ran) == {"load", "convert/phone", "diff/phone"}


@pytest.mark.slow
def test_data_from_memory_counts_by_its_values_and_labels(files: Path, ran: Ran) -> None:
    with np.load(files / "data.npz") as data:
        x, y = data["x"], data["y"]
    convert(files, calibration=(x, y))
    new_in(ran)
    convert(files, calibration=(x.copy(), y.copy()))
    assert new_in(ran) == set()
    convert(files, calibration=(x, (y + 1) % 3))
    assert "diff/phone" in new_in(ran)
    convert(files, calibration=lambda: zip(x, y, strict=True))
    assert "convert/phone" in new_in(ran)
    convert(files, calibration=lambda: zip(x, y, strict=True))
    assert new_in(ran) == set()
    convert(files, calibration=(x, y), preprocess=lambda value: value / 2)
    assert new_in(ran) == {"convert/phone", "diff/phone"}
    convert(files, calibration=(x, y), preprocess=lambda value: value / 4)
    assert new_in(ran) == {"convert/phone", "diff/phone"}


def test_remarks_made_while_something_was_kept_are_made_again(
    files: Path, ran: Ran, capsys: pytest.CaptureFixture[str]
) -> None:
    model = keras.models.load_model(files / "small.keras")
    with np.load(files / "data.npz") as data:
        x = data["x"]
        np.savez(files / "wrong.npz", x=x, y=(model.predict(x, verbose=0).argmax(axis=1) + 1) % 3)
    with tfcompress.show_progress():
        first = contents(convert(files, evaluation=files / "wrong.npz"))
        said = capsys.readouterr().err
        new_in(ran)
        assert contents(convert(files, evaluation=files / "wrong.npz")) == first
    assert new_in(ran) == set()
    assert "no more than by chance" in json.loads(first["report.json"])["warnings"][0]
    assert "no more than by chance" in " ".join(said.split())
    assert capsys.readouterr().err == said


def test_a_part_whose_diagnosis_failed_is_made_again(files: Path, ran: Ran, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*arguments: Any) -> Any:
        raise RuntimeError("no layers today")

    with monkeypatch.context() as patch:
        patch.setattr("tfcompress.accuracy_diff.harness.compare_layers", fails)
        convert(files)
    new_in(ran)
    convert(files)
    assert new_in(ran) == {"diff/phone"}


def test_code_of_the_users_is_never_taken_for_what_it_was(files: Path, ran: Ran) -> None:
    for _ in range(2):
        convert(files, custom_objects={"Mine": keras.layers.Dense})
        assert new_in(ran) == {"load", "convert/phone", "diff/phone"}


def test_classes_that_are_registered_with_keras_are_never_taken_for_what_they_were(files: Path, ran: Ran) -> None:
    convert(files)
    new_in(ran)
    registry = keras.saving.get_custom_objects()
    registry["mine>Layer"] = type("Layer", (keras.layers.Layer,), {"__module__": "users_module"})
    try:
        convert(files)
    finally:
        del registry["mine>Layer"]
    assert new_in(ran) == {"load", "convert/phone", "diff/phone"}
    convert(files)
    assert new_in(ran) == set()


def test_a_model_that_is_exchanged_while_it_is_loaded_is_refused(files: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is made of it would else be kept as made of the file that was there before."""

    def exchange(path: Path) -> str:
        sha256 = sha256_of(path)
        model = keras.Sequential([keras.Input((8, 8, 3)), keras.layers.Flatten(), keras.layers.Dense(3)])
        model.save(path)
        return sha256

    monkeypatch.setattr("tfcompress.job.stages.loading.sha256_of", exchange)
    with pytest.raises(ModelError, match="it changed while it was read"):
        convert(files)


def test_no_cache_keeps_nothing_and_uses_nothing(files: Path, ran: Ran) -> None:
    convert(files, no_cache=True)
    assert not (files / "cache").exists()
    convert(files)
    new_in(ran)
    convert(files, no_cache=True)
    assert "convert/phone" in new_in(ran)


def test_a_damaged_store_costs_time_and_nothing_else(files: Path, ran: Ran) -> None:
    first = contents(convert(files))
    new_in(ran)
    for number, path in enumerate(sorted((files / "cache").glob("??/*"))):
        content = bytearray(path.read_bytes())
        content[(number * 97) % len(content)] ^= 0x10
        path.write_bytes(bytes(content) if number % 2 else content[: len(content) // 2])
    second = contents(convert(files))
    assert new_in(ran) == {"load", "convert/phone", "diff/phone"}
    assert second["phone/model.tflite"] == first["phone/model.tflite"]


def test_results_of_other_code_or_other_libraries_are_not_used(
    files: Path, ran: Ran, monkeypatch: pytest.MonkeyPatch
) -> None:
    convert(files)
    new_in(ran)
    monkeypatch.setattr("tfcompress.job.stage.surroundings", lambda: ("other code", "machine", ()))
    convert(files)
    assert new_in(ran) == {"load", "convert/phone", "diff/phone"}


TOOL_VERSION = ["1"]
PHONE_WITH_A_TOOL = dataclasses.replace(TARGETS["phone"], tools=lambda: {"compiler": TOOL_VERSION[0]})


def test_another_version_of_a_targets_tool_makes_and_compares_anew(
    files: Path, ran: Ran, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(TARGETS.places, "phone", f"{__name__}:PHONE_WITH_A_TOOL")
    convert(files)
    new_in(ran)
    convert(files)
    assert new_in(ran) == set()
    monkeypatch.setattr(f"{__name__}.TOOL_VERSION", ["2"])
    convert(files)
    assert new_in(ran) == {"convert/phone", "diff/phone"}


def test_a_target_whose_code_nobody_can_name_is_made_and_compared_anew(
    files: Path, ran: Ran, monkeypatch: pytest.MonkeyPatch
) -> None:
    def convert_like_the_phone(*arguments: Any) -> Any:
        return phone.convert(*arguments)

    phone = TARGETS["phone"]
    convert_like_the_phone.__module__ = "__main__"  # as in a script or a notebook
    in_a_script = dataclasses.replace(phone, convert=convert_like_the_phone)
    monkeypatch.setattr(f"{__name__}.PHONE_WITH_A_TOOL", in_a_script)
    monkeypatch.setitem(TARGETS.places, "phone", f"{__name__}:PHONE_WITH_A_TOOL")
    for _ in range(2):
        convert(files)
        assert {"convert/phone", "diff/phone"} <= new_in(ran)


def test_what_a_detector_is_decoded_with_is_never_taken_for_what_it_was(files: Path) -> None:
    options = ConvertOptions(model=files / "small.keras", output=files / "out", targets="phone")
    samples = Samples(FunctionSource("data", list, (), ()), (), (), content="data")
    (files / "phone").mkdir()
    (files / "phone/model.tflite").write_bytes(b"")
    artifact = Artifact("phone", files / "phone", files / "phone/model.tflite", {}, ())

    def diff(decode: str) -> str | None:
        state = State.start(dataclasses.replace(options, task="detection", decode=decode), files)
        data, ids = DataSets(samples, samples, samples), {"load": "the model"}
        return DIFF.fingerprint(dataclasses.replace(state, ids=ids, data=data, artifacts={"phone": artifact}), "phone")

    assert diff("yolo") not in (None, diff("postprocessed"))
    assert diff("my_module:decode") is None


def test_what_says_how_a_model_is_changed_before_training_is_part_of_the_training(files: Path) -> None:
    options = ConvertOptions(model=files / "small.keras", output=files / "out", targets="edgetpu")
    samples = Samples(FunctionSource("data", list, (), ()), (), (), content="data")

    def training(compiler: str, rewrite: str = "all") -> str | None:
        recipe = Recipe(quantization=Quantization(), edgetpu=EdgeTpu(rewrite=rewrite, compiler=compiler))  # type: ignore[arg-type]
        state = State.start(dataclasses.replace(options, recipe=recipe), files)
        state = dataclasses.replace(state, ids={"load": "the model"}, data=DataSets(samples, samples, samples))
        return TRAINING.fingerprint(state, "")

    assert training("16") == training("16")
    assert training("16") != training("14")  # a target's options may say how its model is changed
    assert training("16", "safe") == training("14", "safe")  # nothing is changed


@pytest.mark.slow
def test_another_quantization_does_not_prune_again(files: Path, ran: Ran, monkeypatch: pytest.MonkeyPatch) -> None:
    trained, original = list[str](), training._train_epoch

    def counting(stage: str, *arguments: Any, **options: Any) -> None:
        trained.append(stage)
        original(stage, *arguments, **options)

    monkeypatch.setattr(training, "_train_epoch", counting)
    first = contents(convert(files, recipe=TRAINED))
    assert (trained, new_in(ran)) == (["pruning", "quantization"], {"load", "training", "convert/phone", "diff/phone"})
    other = dataclasses.replace(TRAINED, quantization=Quantization(estimator="min_max"))
    convert(files, recipe=other)
    assert trained == ["pruning", "quantization", "quantization"]
    new_in(ran)
    with_scheme = dataclasses.replace(TRAINED, post_training=PostTraining(scheme="int8_float_io"))
    convert(files, recipe=with_scheme)
    # A remedy that was tried may have made this artifact already.
    assert (trained[3:], new_in(ran) - {"convert/phone"}) == ([], {"diff/phone"})
    assert contents(convert(files, recipe=TRAINED)) == first
    assert (trained[3:], new_in(ran)) == ([], set())
    clustered = dataclasses.replace(TRAINED, clustering=Clustering(clusters=8, skip=()))
    convert(files, recipe=clustered)
    assert trained[3:] == ["clustering", "quantization"]


@pytest.mark.slow
def test_a_kept_training_gives_what_training_gives(files: Path) -> None:
    convert(files, recipe=TRAINED)
    other = dataclasses.replace(TRAINED, post_training=PostTraining(scheme="int8_float_io"))
    kept = convert(files, "kept", recipe=other)
    fresh = convert(files, "fresh", recipe=other, no_cache=True)
    assert (kept / "phone/model.tflite").read_bytes() == (fresh / "phone/model.tflite").read_bytes()


TOY_LOG = "toy.txt"


def _toy(state: State, parts: Sequence[str]) -> State:
    del parts
    names = ", ".join(sorted(state.made))
    (state.work / TOY_LOG).write_text(f"between the artifacts {names} and the report", encoding="utf-8")
    return state


TOY = Stage(
    name="toy",
    run=_toy,
    fingerprint=lambda state, part: fingerprint_of("toy", state.ids["convert/phone"]),
    keep=lambda state, part: (state.work / TOY_LOG).read_bytes(),
    restore=lambda state, part, content: _restored(state, content),
)


def _restored(state: State, content: bytes) -> State:
    (state.work / TOY_LOG).write_bytes(content)
    return state


def test_a_stage_is_added_by_one_row(files: Path, monkeypatch: pytest.MonkeyPatch, ran: Ran) -> None:
    def counting(state: State, parts: Sequence[str]) -> State:
        ran.update(["toy"])
        return _toy(state, parts)

    table = (*stages.STAGES[:-1], dataclasses.replace(TOY, run=counting), stages.STAGES[-1])
    monkeypatch.setattr(stages, "STAGES", table)
    out = convert(files)
    assert (out / TOY_LOG).read_text() == "between the artifacts phone and the report"
    assert TOY_LOG in json.loads((out / "manifest.json").read_text())["files"]
    assert "toy" in new_in(ran, "toy")
    assert (convert(files) / TOY_LOG).read_text() == "between the artifacts phone and the report"
    assert new_in(ran, "toy") == set()


def test_a_folder_without_a_model_is_refused_before_it_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A home folder, given by mistake, holds more than can be read in an hour."""

    def read(path: Path) -> str:
        raise AssertionError(f"{path} was read")

    monkeypatch.setattr(loading, "sha256_of", read)
    monkeypatch.setattr(loading, "supplied_names", lambda given: given)  # whatever other tests registered with Keras
    with pytest.raises(ModelError, match=r"a folder without saved_model\.pb"):
        tfcompress.convert(tmp_path, targets="phone", cache_dir=tmp_path / "cache", output=tmp_path / "out")
