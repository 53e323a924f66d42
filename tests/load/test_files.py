"""Files of every kind: told apart by content, repaired where the Kerases disagree, refused with the cause."""

from __future__ import annotations

import json
import os
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from tests.load.test_conversion import Doubler, Subclassed, assert_close, outputs_of
from tests.load.test_unsafe import rewritten, rewritten_h5
from tfcompress.errors import InputError, ModelError
from tfcompress.file_hashes import sha256_of
from tfcompress.load import float_model_from_keras, load_model, parse_custom_objects, to_keras3, to_tf_keras
from tfcompress.model import FloatModel
from tfcompress.runtime import keras, tf, tf_keras, tfmot


def small_model(library: Any) -> Any:
    """A functional model with most of what the two Kerases store differently."""
    layers = library.layers
    x = library.Input((8, 8, 3), name="picture")
    y = layers.DepthwiseConv2D(3, padding="same")(layers.Conv2D(4, 3, strides=2)(x))
    y = layers.LeakyReLU(0.1)(layers.BatchNormalization()(y))
    return library.Model(x, layers.Dense(3, activation="softmax", name="class")(layers.Flatten()(y)))


def predictions(model: FloatModel) -> dict[str, np.ndarray]:
    x = np.random.default_rng(3).random((2, *model.inputs[0].sizes()), dtype=np.float32)
    return model.predict({model.inputs[0].name: x})


def save_keras3(folder: Path) -> tuple[Path, Any]:
    model = small_model(keras)
    model.save(folder / "a.keras")
    return folder / "a.keras", model


def save_keras3_h5(folder: Path) -> tuple[Path, Any]:
    model = small_model(keras)
    model.save(folder / "a.h5")
    return folder / "a.h5", model


def save_keras2(folder: Path) -> tuple[Path, Any]:
    model = small_model(tf_keras)
    model.save(folder / "b.keras")
    return folder / "b.keras", model


def save_keras2_h5(folder: Path) -> tuple[Path, Any]:
    model = small_model(tf_keras)
    model.save(folder / "b.h5", save_format="h5")
    return folder / "b.h5", model


def save_keras2_saved_model(folder: Path) -> tuple[Path, Any]:
    model = small_model(tf_keras)
    model.save(folder / "b_saved", save_format="tf")
    return folder / "b_saved", model


def save_keras3_export(folder: Path) -> tuple[Path, Any]:
    model = small_model(keras)
    model.export(folder / "c_saved", verbose=False)
    return folder / "c_saved", model


Saver = Callable[[Path], tuple[Path, Any]]
SAVERS: dict[Saver, tuple[str, str]] = {
    save_keras3: ("keras_v3", "keras3"),
    save_keras3_h5: ("h5", "keras3"),
    save_keras2: ("keras_v2", "tf_keras"),
    save_keras2_h5: ("h5", "tf_keras"),
    save_keras2_saved_model: ("saved_model", "tf_keras"),
    save_keras3_export: ("saved_model", "saved_model"),
}


@pytest.mark.parametrize("save", SAVERS, ids=lambda save: save.__name__)
def test_every_format_loads_with_the_keras_that_wrote_it(save: Saver, tmp_path: Path) -> None:
    path, original = save(tmp_path)
    model = load_model(path)
    assert (model.format, model.flavor) == SAVERS[save]
    assert model.name == path.stem
    assert model.sha256 is not None
    assert len(model.sha256) == 64
    assert [info.shape for info in model.inputs] == [(None, 8, 8, 3)]
    assert model.inputs[0].name == "picture"
    (expected,) = predictions(float_model_from_keras(original)).values()
    (actual,) = predictions(model).values()
    np.testing.assert_allclose(actual, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("save", [save_keras3, save_keras2, save_keras2_h5], ids=lambda save: save.__name__)
def test_content_decides_and_not_the_name(save: Saver, tmp_path: Path) -> None:
    path, _ = save(tmp_path)
    wrong = ".h5" if path.suffix == ".keras" else ".keras"
    for name in (f"renamed{wrong}", "without_a_suffix"):
        shutil.copyfile(path, tmp_path / name)
        assert load_model(tmp_path / name).format == SAVERS[save][0]


def test_models_from_memory_are_taken_as_they_are() -> None:
    for library, flavor in ((keras, "keras3"), (tf_keras, "tf_keras")):
        model = small_model(library)
        loaded = load_model(model)
        assert loaded.keras_model is model
        assert (loaded.format, loaded.flavor, loaded.sha256) == ("in_memory", flavor, None)


def test_something_that_is_no_model_is_refused() -> None:
    with pytest.raises(ModelError, match=r"expected a path, a keras.Model or a tf_keras.Model, got builtins.int"):
        load_model(5)


def cut(data: bytes) -> bytes:
    return data[: len(data) // 2]


def write(name: str, content: bytes) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        (folder / name).write_bytes(content)
        return folder / name

    return make


def truncated(save: Saver) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        path, _ = save(folder)
        victim = path / "saved_model.pb" if path.is_dir() else path
        victim.write_bytes(cut(victim.read_bytes()))
        return path

    return make


def weights_of_keras3(folder: Path) -> Path:
    small_model(keras).save_weights(folder / "a.weights.h5")
    return folder / "a.weights.h5"


def weights_of_keras2(folder: Path) -> Path:
    small_model(tf_keras).save_weights(folder / "b.h5")
    return folder / "b.h5"


def empty_folder(folder: Path) -> Path:
    (folder / "empty").mkdir()
    return folder / "empty"


def folder_above_a_saved_model(folder: Path) -> Path:
    save_keras3_export(folder)
    return folder


def pb_alone(folder: Path) -> Path:
    path, _ = save_keras3_export(folder)
    return path / "saved_model.pb"


def zip_of(name: str) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        with zipfile.ZipFile(folder / "some.zip", "w") as archive:
            archive.writestr(name, b"x")
        return folder / "some.zip"

    return make


def custom_layer_file(folder: Path) -> Path:
    x = keras.Input((4,))
    keras.Model(x, Doubler(3.0)(x)).save(folder / "custom.keras")
    return folder / "custom.keras"


def variables_missing(folder: Path) -> Path:
    path, _ = save_keras3_export(folder)
    shutil.rmtree(path / "variables")
    return path


BAD_FILES: list[tuple[str, Callable[[Path], Path], str]] = [
    ("missing", lambda folder: folder / "none.keras", "no such file or folder"),
    ("empty", write("model.keras", b""), "the file is empty"),
    (
        "text",
        write("model.h5", b"hello world, this is no model"),
        r"neither a zip archive nor HDF5 although .* ends in .h5",
    ),
    ("json", write("model.json", b'{"class_name": "Sequential"}'), "JSON text, which holds no weights"),
    (
        "tflite",
        write("m.tflite", b"\x1c\0\0\0TFL3" + bytes(64)),
        "`tfcompress diff` and `tfcompress inspect` take .tflite",
    ),
    ("numpy", write("x.npy", b"\x93NUMPY" + bytes(64)), "a numpy array"),
    ("gzip", write("m.gz", b"\x1f\x8b" + bytes(64)), "unpack it first"),
    ("truncated .keras", truncated(save_keras3), "corrupt or truncated .keras archive"),
    ("truncated .h5", truncated(save_keras2_h5), "corrupt or truncated HDF5"),
    ("truncated SavedModel", truncated(save_keras3_export), "corrupt or truncated saved_model.pb"),
    ("weights of Keras 3", weights_of_keras3, "weights only"),
    ("weights of Keras 2", weights_of_keras2, "weights only"),
    ("empty folder", empty_folder, "without saved_model.pb"),
    ("folder above", folder_above_a_saved_model, r"a SavedModel is in .*c_saved"),
    ("pb alone", pb_alone, "give its folder"),
    ("zip of data", zip_of("x.npy"), "that is data, not a model"),
    ("zip of a SavedModel", zip_of("m/saved_model.pb"), "unpack it and give the folder"),
    ("another zip", zip_of("readme.txt"), "without config.json"),
    ("no variables", variables_missing, "cannot be restored"),
    ("custom layer", custom_layer_file, r"does not contain: Doubler; supply them with --custom_objects"),
]


@pytest.mark.parametrize(("make", "message"), [case[1:] for case in BAD_FILES], ids=[case[0] for case in BAD_FILES])
def test_bad_file_is_one_line_that_says_what_is_wrong(
    make: Callable[[Path], Path], message: str, tmp_path: Path
) -> None:
    path = make(tmp_path)
    with pytest.raises(ModelError, match=message) as caught:
        load_model(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert caught.value.exit_code == 2


def test_custom_objects_are_given_by_name_or_as_a_dictionary(tmp_path: Path) -> None:
    path = custom_layer_file(tmp_path)
    for objects in ({"Doubler": Doubler}, "tests.load.test_files:OBJECTS"):
        (output,) = predictions(load_model(path, custom_objects=objects)).values()
        assert output.shape == (2, 4)


OBJECTS = {"Doubler": Doubler}


def test_keras2_layer_for_a_keras3_file_is_explained(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"written by Keras 3.* derive them from keras.layers.Layer"):
        load_model(custom_layer_file(tmp_path), custom_objects={"Doubler": Keras2Marker})


def test_a_file_whose_name_is_no_text_does_not_disturb_a_saved_model(tmp_path: Path) -> None:
    (tmp_path / "saved").mkdir()
    (tmp_path / "saved/saved_model.pb").write_bytes(b"x")
    before = sha256_of(tmp_path / "saved")
    (tmp_path / "saved" / os.fsdecode(b"\xff\xfe")).touch()
    assert sha256_of(tmp_path / "saved") != before


def test_impossible_name_is_one_line() -> None:
    with pytest.raises(ModelError, match="File name too long"):
        load_model("x" * 5000)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("nonsense", "expected package.module:name"),
        ("no_such_module_here:OBJECTS", "importing no_such_module_here failed: ModuleNotFoundError"),
        ("tests.load.test_files:MISSING", "has no 'MISSING'"),
        ("tests.load.test_files:BAD_FILES", "expected a dictionary"),
    ],
)
def test_bad_custom_objects_are_explained(spec: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        parse_custom_objects(spec)


def test_subclassed_model_from_a_file_predicts(tmp_path: Path) -> None:
    model = Subclassed()
    model(np.ones((2, 4), "float32"))
    model.save(tmp_path / "sub.keras")
    loaded = load_model(tmp_path / "sub.keras", custom_objects={"Subclassed": Subclassed})
    x = np.ones((3, 4), "float32")
    np.testing.assert_allclose(loaded.predict({"input": x})["output"], model(x), rtol=1e-6)


# --- repairs ---------------------------------------------------------------------------------------------------------


def old_sequential(folder: Path) -> Path:
    """A bare list of layers, as Keras before 2.2.3 stored it, with the dtype of 2.0 in an initializer."""
    model = tf_keras.Sequential([tf_keras.layers.Dense(3, input_shape=(4,)), tf_keras.layers.Dense(2)])
    model.save(folder / "old.h5", save_format="h5")

    def age(config: dict[str, Any]) -> None:
        config["config"] = [layer for layer in config["config"]["layers"] if layer["class_name"] != "InputLayer"]
        for layer in config["config"]:
            layer["config"]["kernel_initializer"] = {
                "class_name": "GlorotUniform",
                "config": {"seed": None, "dtype": "float32"},
            }
        config["config"][0]["config"]["batch_input_shape"] = [None, 4]

    rewritten_h5(folder / "old.h5", age)
    with h5py.File(folder / "old.h5", "a") as file:
        file.attrs["keras_version"] = "2.1.3"
    return folder / "old.h5"


def test_old_sequential_loads_in_tf_keras(tmp_path: Path) -> None:
    model = load_model(old_sequential(tmp_path))
    assert (model.flavor, model.parameters) == ("tf_keras", 23)


KERAS1_LAYERS: list[tuple[str, dict[str, Any]]] = [
    ("Convolution2D", {"name": "c", "nb_filter": 4, "nb_row": 3, "nb_col": 2, "init": "uniform",
                       "subsample": [2, 1], "border_mode": "same", "dim_ordering": "tf", "activation": "linear",
                       "bias": True,
                       "W_regularizer": {"name": "WeightRegularizer", "l1": 0.0, "l2": 0.01}, "b_regularizer": None,
                       "activity_regularizer": None, "W_constraint": None, "b_constraint": None, "trainable": True,
                       "batch_input_shape": [None, 8, 6, 3], "input_dtype": "float32"}),
    ("BatchNormalization", {"name": "n", "mode": 0, "axis": -1, "momentum": 0.9, "epsilon": 1e-5, "trainable": True,
                            "gamma_regularizer": None, "beta_regularizer": None}),
    ("Activation", {"name": "a", "activation": "relu", "trainable": True}),
    ("MaxPooling2D", {"name": "m", "pool_size": [2, 2], "strides": [2, 2], "border_mode": "valid", "dim_ordering": "tf",
                      "trainable": True}),
    ("Dropout", {"name": "o", "p": 0.5, "trainable": True}),
    ("Flatten", {"name": "f", "trainable": True}),
    ("Dense", {"name": "d", "output_dim": 2, "init": "normal", "activation": "softmax", "bias": True, "input_dim": 24,
               "W_regularizer": None, "b_regularizer": None, "activity_regularizer": None, "W_constraint": None,
               "b_constraint": None, "trainable": True}),
]  # fmt: skip


def test_keras1_file_loads(tmp_path: Path) -> None:
    layers = tf_keras.layers
    modern = tf_keras.Sequential(
        [
            layers.Conv2D(4, (3, 2), strides=(2, 1), padding="same", name="c", input_shape=(8, 6, 3)),
            layers.BatchNormalization(epsilon=1e-5, name="n"),
            layers.Activation("relu", name="a"),
            layers.MaxPooling2D(name="m"),
            layers.Dropout(0.5, name="o"),
            layers.Flatten(name="f"),
            layers.Dense(2, activation="softmax", name="d"),
        ]
    )
    modern.save(tmp_path / "m.h5", save_format="h5")
    old = [{"class_name": class_name, "config": config} for class_name, config in KERAS1_LAYERS]
    rewritten_h5(tmp_path / "m.h5", lambda config: config.update(config=old))
    with h5py.File(tmp_path / "m.h5", "a") as file:
        file.attrs["keras_version"] = file["model_weights"].attrs["keras_version"] = "1.2.1"
    loaded = load_model(tmp_path / "m.h5")
    assert_close(outputs_of(loaded.keras_model), outputs_of(modern))
    assert loaded.keras_model.layers[0].kernel_regularizer.l2 == pytest.approx(0.01)


class Keras3Marker(keras.layers.Layer):
    """A Keras 3 layer of the user's in a file that Keras 2 wrote."""

    def call(self, inputs: Any) -> Any:
        return inputs + 1.0


class Keras2Marker(tf_keras.layers.Layer):
    """The same as a Keras 2 layer, which wrote the file."""

    def call(self, inputs: Any) -> Any:
        return inputs + 1.0


@pytest.mark.parametrize("sequential", [True, False])
def test_keras2_file_with_a_keras3_custom_layer_is_repaired_for_keras3(tmp_path: Path, sequential: bool) -> None:
    layers = tf_keras.layers
    stack = [layers.Conv2D(4, 3, input_shape=(8, 8, 3)), layers.DepthwiseConv2D(3), layers.BatchNormalization(),
             layers.LeakyReLU(0.2), Keras2Marker(), layers.Flatten(), layers.Dense(2)]  # fmt: skip
    model = tf_keras.Sequential(stack)
    if not sequential:
        model = tf_keras.Model(model.inputs, model.outputs)
    model.save(tmp_path / "m.h5", save_format="h5")

    def age(config: dict[str, Any]) -> None:
        for layer in config["config"]["layers"]:
            if layer["class_name"] == "DepthwiseConv2D":
                layer["config"]["groups"] = 1
            if "kernel_initializer" in layer["config"]:
                layer["config"]["kernel_initializer"] = {"class_name": "GlorotUniform", "config": {"dtype": "float32"}}

    rewritten_h5(tmp_path / "m.h5", age)
    by_keras2 = load_model(tmp_path / "m.h5", custom_objects={"Keras2Marker": Keras2Marker})
    by_keras3 = load_model(tmp_path / "m.h5", custom_objects={"Keras2Marker": Keras3Marker})
    assert (by_keras2.flavor, by_keras3.flavor) == ("tf_keras", "keras3")
    (expected,) = predictions(by_keras2).values()
    (actual,) = predictions(by_keras3).values()
    np.testing.assert_allclose(actual, expected, rtol=1e-5, atol=1e-6)


def test_pruning_wrappers_left_in_a_file_are_taken_off(tmp_path: Path) -> None:
    plain = small_model(tf_keras)
    wrapped = tfmot.sparsity.keras.prune_low_magnitude(plain)
    for name, options in (("w.h5", {"save_format": "h5"}), ("w.keras", {})):
        wrapped.save(tmp_path / name, **options)
        loaded = load_model(tmp_path / name)
        assert loaded.parameters == plain.count_params()
        assert_close(outputs_of(loaded.keras_model), outputs_of(plain))


@pytest.mark.slow
def test_clustering_wrappers_left_in_a_file_are_taken_off(tmp_path: Path) -> None:
    plain = small_model(tf_keras)
    cluster = tfmot.clustering.keras
    wrapped = cluster.cluster_weights(plain, 4, cluster.CentroidInitialization.LINEAR)
    wrapped.save(tmp_path / "w.h5", save_format="h5")
    loaded = load_model(tmp_path / "w.h5")
    assert all(type(layer).__name__ != "ClusterWeights" for layer in loaded.keras_model.layers)


def test_quantize_wrappers_left_in_a_file_are_recognised(tmp_path: Path) -> None:
    x = tf_keras.Input((8, 8, 3))
    y = tf_keras.layers.Flatten()(tf_keras.layers.Conv2D(4, 3, activation="relu")(x))
    aware = tfmot.quantization.keras.quantize_model(tf_keras.Model(x, tf_keras.layers.Dense(2)(y)))
    aware.save(tmp_path / "q.h5", save_format="h5")
    loaded = load_model(tmp_path / "q.h5")
    assert loaded.quantization_aware
    assert not load_model(small_model(tf_keras)).quantization_aware
    assert_close(outputs_of(loaded.keras_model), outputs_of(aware))


def test_compile_state_with_a_loss_that_nobody_has_does_not_matter(tmp_path: Path) -> None:
    def my_loss(a: Any, b: Any) -> Any:
        return tf.reduce_mean(a - b)

    model = small_model(tf_keras)
    model.compile("adam", my_loss)
    model.save(tmp_path / "m.h5", save_format="h5")
    assert load_model(tmp_path / "m.h5").parameters == model.count_params()


def test_converted_model_with_adapters_can_be_saved_and_loaded(tmp_path: Path) -> None:
    x = keras.Input((8,))
    y = keras.ops.log_softmax(Doubler(2.0)(x)[:, 1:])
    model = to_tf_keras(keras.Model(x, keras.layers.Dense(2, activation="hard_sigmoid")(y)))
    model.save(tmp_path / "m.keras")
    loaded = load_model(tmp_path / "m.keras", custom_objects={"Doubler": Doubler})
    assert_close(outputs_of(loaded.keras_model), outputs_of(model))
    back = to_keras3(loaded.keras_model)
    back.save(tmp_path / "k.keras")
    assert_close(
        outputs_of(load_model(tmp_path / "k.keras", custom_objects={"Doubler": Doubler}).keras_model), outputs_of(back)
    )


@pytest.mark.parametrize("family", ["ConvNeXtTiny", "InceptionResNetV2"])
def test_layers_that_only_keras_applications_has_are_known(tmp_path: Path, family: str) -> None:
    if family == "ConvNeXtTiny":
        x = keras.Input((4, 4, 3))
        model = keras.Model(x, keras.src.applications.convnext.LayerScale(0.5, 3)(x))
    else:
        x = keras.Input((4, 4, 3))
        model = keras.Model(x, keras.src.applications.inception_resnet_v2.CustomScaleLayer(0.3)([x, x]))
    model.save(tmp_path / "m.keras")
    assert_close(outputs_of(load_model(tmp_path / "m.keras").keras_model), outputs_of(model))


def test_adapter_cannot_smuggle_code(tmp_path: Path) -> None:
    x = keras.Input((8,))
    model = to_tf_keras(keras.Model(x, keras.ops.sparsemax(x[:, 1:])))
    model.save(tmp_path / "m.keras")

    def smuggle(config: dict[str, Any]) -> None:
        text, place = json.dumps(config), '"class_name": "Sparsemax"'
        assert place in text, "the adapter holds another operation"
        config.clear()
        config.update(json.loads(text.replace(place, '"class_name": "__lambda__"')))

    with pytest.raises(ModelError, match="marshalled Python bytecode"):
        load_model(rewritten(tmp_path / "m.keras", smuggle))


# --- SavedModels -----------------------------------------------------------------------------------------------------


def test_signature_keeps_names_and_runs_at_a_fixed_batch(tmp_path: Path) -> None:
    path, original = save_keras3_export(tmp_path)
    model = load_model(path)
    assert (model.keras_model, model.parameters) == (None, None)
    concrete = model.concrete_function(3)
    x = np.random.default_rng(0).random((3, 8, 8, 3), dtype=np.float32)
    (actual,) = concrete(tf.constant(x)).values()
    np.testing.assert_allclose(actual, original(x), rtol=1e-5, atol=1e-6)


def test_saved_model_without_a_signature_says_how_to_make_one(tmp_path: Path) -> None:
    module = tf.Module()
    module.v = tf.Variable(1.0)
    tf.saved_model.save(module, str(tmp_path / "m"))
    with pytest.raises(ModelError, match=r"signatures \[\], expected 'serving_default' or exactly one; export it"):
        load_model(tmp_path / "m")


def test_lambda_in_the_metadata_of_a_saved_model_is_not_run(tmp_path: Path) -> None:
    model = tf_keras.Sequential([tf_keras.Input((4,)), tf_keras.layers.Lambda(lambda x: x * 2.0)])
    model.save(tmp_path / "m", save_format="tf")
    loaded = load_model(tmp_path / "m")
    assert loaded.flavor == "saved_model"
    (output,) = loaded.predict({loaded.inputs[0].name: np.ones((1, 4), "float32")}).values()
    np.testing.assert_array_equal(output, np.full((1, 4), 2.0))
