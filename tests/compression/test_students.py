"""The recipe's section `student`: a smaller model that is trained towards the user's."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.compression.models import functional, small_cnn
from tests.compression.test_structure import images, macs
from tfcompress.compression import finetune
from tfcompress.compression.structure.students import make_student
from tfcompress.errors import ModelError, RecipeError
from tfcompress.graphs.keras.channels.cutting import cut_channels
from tfcompress.graphs.keras.channels.graph import trace_channels
from tfcompress.graphs.keras.replay import flatten
from tfcompress.recipe import Distillation, Recipe, Structure, Student, Training
from tfcompress.runtime import tf_keras

L = tf_keras.layers


def teacher() -> Any:
    """Images of 32x32 with three channels, two classes."""
    return flatten(
        functional(
            (32, 32, 3),
            lambda x: L.Dense(2, activation="softmax", name="scores")(
                L.GlobalAveragePooling2D()(L.Conv2D(16, 3, activation="relu")(L.Conv2D(16, 3, name="first")(x)))
            ),
        )
    )


def error_towards(model: Any, other: Any) -> float:
    x = next(images(256).batches(256)).inputs["image"]
    return float(np.mean(np.abs(np.asarray(model(x)) - np.asarray(other(x)))))


@pytest.mark.parametrize("family", ["mobilenet_v2", "shufflenet_v2"])
@pytest.mark.parametrize("width", [0.5, 1.0])
def test_a_student_of_a_family_has_the_inputs_and_outputs_of_the_teacher(family: Any, width: float) -> None:
    model = teacher()
    student: Any = make_student(model, Student(family=family, width=width), images()).model
    assert [tuple(t.shape) for t in student.outputs] == [(None, 2)]
    assert student.input_names == model.input_names
    np.testing.assert_allclose(np.sum(student(np.zeros((1, 32, 32, 3))), -1), 1, atol=1e-5)


def test_the_seed_gives_the_weights_of_a_new_student() -> None:
    first, again, other = (
        make_student(teacher(), Student(family="mobilenet_v2", width=0.25), images(), seed=seed).model
        for seed in (3, 3, 4)
    )
    assert all(np.array_equal(a, b) for a, b in zip(first.get_weights(), again.get_weights(), strict=True))
    assert not all(np.array_equal(a, b) for a, b in zip(first.get_weights(), other.get_weights(), strict=True))


def test_the_published_mobilenet_v2_has_as_many_weights() -> None:
    """Keras' own MobileNetV2 without its top has 2,257,984; ours has four more for each channel of the picture."""
    model = flatten(functional((96, 96, 3), lambda x: L.Dense(1)(L.GlobalAveragePooling2D()(x))))
    student = make_student(model, Student(family="mobilenet_v2", width=1.0), images()).model
    head = 1280 + 1
    assert student.count_params() == 2_257_984 + head + 4 * 3


def test_a_shuffled_student_can_lose_channels_itself() -> None:
    student = flatten(make_student(teacher(), Student(family="shufflenet_v2", width=0.5), images()).model)
    graph = trace_channels(student)
    free = [family for family in graph.families if family.reason is None]
    removed = [int(root) for family in free for root in family.groups[: len(family.groups) // 4]]
    assert removed
    assert cut_channels(graph, removed).model.count_params() < student.count_params()


def test_a_narrower_student_keeps_the_architecture_and_learns_without_labels() -> None:
    model, samples = small_cnn(), images(256, labels=False)
    untrained = finetune(model, Recipe(student=Student(width=0.5, round_to=1, epochs=0)), samples).stripped
    trained = finetune(model, Recipe(student=Student(width=0.5, round_to=1), training=Training(epochs=8)), samples)
    assert trained.stripped.get_layer("conv_1").filters == 4
    assert trained.lineage is not None
    assert trained.lineage.origins["conv_1"].before == 8
    assert error_towards(trained.stripped, model) < error_towards(untrained, model)


def test_separable_convolutions_begin_with_the_nearest_kernels() -> None:
    model = flatten(small_cnn())
    kernel = model.get_layer("conv_2").get_weights()[0]
    window, rows = np.random.default_rng(0).normal(size=(3, 3, 8, 1)), kernel[1, 1]
    model.get_layer("conv_2").set_weights([window * rows, model.get_layer("conv_2").get_weights()[1]])
    student = make_student(model, Student(convolutions="depthwise_separable"), images()).model
    product = student.get_layer("conv_2_depthwise").get_weights()[0] * student.get_layer("conv_2").get_weights()[0]
    np.testing.assert_allclose(product, window * rows, atol=1e-5)
    assert macs(student) < macs(model)


def test_a_model_of_the_user_s_own_is_trained(tmp_path: Path) -> None:
    x = L.Input((8, 8, 1), name="image")
    tf_keras.Model(x, L.Dense(3, activation="softmax", name="scores")(L.Flatten()(x))).save(tmp_path / "own.keras")
    recipe = Recipe(student=Student(model=str(tmp_path / "own.keras")), training=Training(epochs=4))
    done = finetune(small_cnn(), recipe, images(256, labels=False))
    assert done.stripped.count_params() == 64 * 3 + 3
    assert "conv_1" in (done.lineage.removed if done.lineage is not None else ())


def test_a_student_with_other_outputs_is_refused_with_both_shapes(tmp_path: Path) -> None:
    x = L.Input((8, 8, 1))
    tf_keras.Model(x, L.Dense(5)(L.Flatten()(x))).save(tmp_path / "own.keras")
    with pytest.raises(ModelError, match=r"outputs \[\(5,\)\], expected those of the model, \[\(3,\)\]"):
        make_student(flatten(small_cnn()), Student(model=str(tmp_path / "own.keras")), images())


def test_inner_features_come_nearer_where_they_are_asked_for() -> None:
    """A separable student has inner layers of the teacher's names and shapes."""
    model, samples = small_cnn(), images(256, labels=False)
    errors = []
    for features in (0.0, 10.0):
        recipe = Recipe(
            student=Student(convolutions="depthwise_separable"),
            distillation=Distillation(features=features),
            training=Training(epochs=8),
        )
        student = finetune(model, recipe, samples).stripped
        inner = [tf_keras.Model(m.inputs, m.get_layer("relu_2").output) for m in (model, student)]
        errors.append(error_towards(*inner))
    assert errors[1] < errors[0]


def test_a_family_needs_an_image() -> None:
    model = flatten(functional((10,), L.Dense(3)))
    with pytest.raises(RecipeError, match="models of one image"):
        make_student(model, Student(family="mobilenet_v2"), images())


@pytest.mark.parametrize(
    "text",
    [
        '{"student": {}}',
        '{"student": {"width": 0}}',
        '{"student": {"family": "vgg"}}',
        '{"student": {"model": "a.keras", "width": 0.5}}',
        '{"student": {"family": "mobilenet_v2", "convolutions": "depthwise_separable"}}',
        '{"student": {"family": "mobilenet_v2"}, "structure": {"macs": 0.5}}',
    ],
)
def test_a_bad_section_is_refused_in_one_line(text: str) -> None:
    with pytest.raises(RecipeError, match="recipe: student") as caught:
        Recipe.from_json(text)
    assert "\n" not in str(caught.value)


def test_a_narrower_student_can_be_cut_further() -> None:
    recipe = Recipe(
        student=Student(width=0.75, round_to=2, epochs=0),
        structure=Structure(macs=0.4, round_to=2, epochs=0),
    )
    assert macs(finetune(small_cnn(), recipe, images()).stripped) <= 0.4 * macs(small_cnn())
