"""`quality=best` of a model that was trained for int8: never further from float than without the training."""

from __future__ import annotations

import dataclasses

import pytest

from tests.converters.litert.models import images, samples_for, small_cnn
from tfcompress.compression import wrap
from tfcompress.converters.litert import Int8Model, quantize_int8, to_float_tflite
from tfcompress.converters.litert.limits import Abilities
from tfcompress.converters.litert.quality import held_apart, typical_error
from tfcompress.errors import ConversionError
from tfcompress.load import float_model_from_keras
from tfcompress.model import FloatModel
from tfcompress.recipe import Clustering, Distillation, PostTraining, Pruning, Quantization, Recipe, Structure, Training

BEST = Recipe(quantization=Quantization(), distillation=Distillation(), post_training=PostTraining(quality="best"))
EITHER = Abilities(untrained=True)


def simulated(teacher: FloatModel | None, original: FloatModel) -> FloatModel:
    """A model with quantizers and the ranges that calibration gives them, as before the first step of training."""
    wrapped = wrap(original.keras_model, BEST, calibration=samples_for(original, images(32)))
    return dataclasses.replace(float_model_from_keras(wrapped), teacher=teacher)


def best_of(model: FloatModel, abilities: Abilities) -> Int8Model:
    return quantize_int8(model, samples_for(model, images(128)), BEST, abilities=abilities)


@pytest.fixture
def nothing_learnt(monkeypatch: pytest.MonkeyPatch) -> None:
    """Learning integers takes longest, and which file is taken does not depend on it."""
    monkeypatch.setattr("tfcompress.converters.litert.int8.learnt", lambda content, *rest: (content, "not tried"))


@pytest.mark.usefixtures("nothing_learnt")
def test_best_of_a_trained_model_is_as_close_to_float_as_best_without_training() -> None:
    original = small_cnn()
    result = best_of(simulated(original, original), EITHER)
    plain = best_of(original, EITHER)
    floats, (_, chosen_by) = to_float_tflite(original), held_apart(samples_for(original, images(128)))
    errors = [typical_error(floats, item.content, chosen_by) for item in (result, plain)]
    assert errors[0] <= errors[1]
    assert "on 32 calibration samples held apart" in result.notes[0]


@pytest.mark.usefixtures("nothing_learnt")
@pytest.mark.parametrize("closer", [True, False])
def test_what_was_taken_and_by_what_it_was_chosen_is_told(closer: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tfcompress.converters.litert.int8.is_closer", lambda errors, others: closer)
    original = small_cnn()
    result = best_of(simulated(original, original), EITHER)
    assert f"took the file {'of' if closer else 'without'} quantization-aware training" in result.notes[0]
    assert (result.calibration is None) == closer


def test_other_targets_keep_the_trained_file_with_its_integers_learnt(monkeypatch: pytest.MonkeyPatch) -> None:
    aims = list[bytes]()

    def learnt(content: bytes, floats: bytes, *rest: object) -> tuple[bytes, str | None]:
        aims.append(floats)
        return content, "not tried"

    monkeypatch.setattr("tfcompress.converters.litert.int8.learnt", learnt)
    original = small_cnn()
    result = best_of(simulated(original, original), Abilities())
    assert result.calibration is None
    assert "not tried" in result.notes
    assert aims == [to_float_tflite(original)], "the model that training was to imitate"


@pytest.mark.usefixtures("nothing_learnt")
def test_the_trained_file_is_not_lost_where_none_can_be_made_without_training(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*given: object) -> Int8Model:
        raise ConversionError("no engine takes it")

    monkeypatch.setattr("tfcompress.converters.litert.int8._searched", refuse)
    original = small_cnn()
    result = best_of(simulated(original, original), EITHER)
    assert result.calibration is None
    assert any("without training there is none (no engine takes it)" in note for note in result.notes)


def test_a_model_that_was_trained_towards_something_else_is_left_as_it_is() -> None:
    original = small_cnn()
    trained = simulated(None, original)
    result = best_of(trained, EITHER)
    assert result.content == quantize_int8(trained, None, Recipe(quantization=Quantization())).content
    assert any("leaves a trained file as training made it" in note for note in result.notes)


def test_a_recipe_imitates_the_model_where_nothing_else_has_a_say() -> None:
    assert BEST.imitates
    others = (
        {"distillation": None},
        {"distillation": Distillation(weight=0.5)},
        {"quantization": None},
        {"pruning": Pruning()},
        {"clustering": Clustering()},
        {"structure": Structure(macs=0.5)},
        {"training": Training(pretraining_epochs=1)},
    )
    for change in others:
        assert not dataclasses.replace(BEST, **change).imitates, change
