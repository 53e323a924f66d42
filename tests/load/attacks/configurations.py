"""Attacks by what a configuration names."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.load.attacks.base import change_archive, dense_keras, lambda_text, recorded_call_h5
from tfcompress.runtime import keras, tf, tf_keras

__all__ = ["CONFIGURATIONS"]

Maker = Callable[[Path, Path], Path]


def _calls(function: str, class_name: str = "TFOpLambda", **arguments: Any) -> Maker:
    """A recorded call of ``tf.FUNCTION``; `{canary}` in an argument stands for the canary's path."""

    def make(folder: Path, canary: Path) -> Path:
        filled = {
            key: value.replace("{canary}", str(canary)) if isinstance(value, str) else value
            for key, value in arguments.items()
        }
        call = [["_CONSTANT_VALUE", -1, filled.pop("first"), filled]] if "first" in filled else None
        return recorded_call_h5(folder, class_name, function=function, call=call)

    return make


def _settings(**settings: Any) -> Maker:
    """A setting of the dense layer of a `.keras`."""
    return lambda folder, canary: dense_keras(folder, lambda layer: layer["config"].update(settings))


def _replaced(**entries: Any) -> Maker:
    """The dense layer's own JSON object with other entries."""
    return lambda folder, canary: dense_keras(folder, lambda layer: layer.update(entries))


def _function(module: str, name: str, registered: str | None = None) -> Maker:
    return _settings(
        activation={"module": module, "class_name": "function", "config": name, "registered_name": registered}
    )


def _inner(class_name: str, module: str = "keras.layers", /, **config: Any) -> Maker:
    layer = {"module": module, "class_name": class_name, "registered_name": None, "config": config}
    return lambda folder, canary: dense_keras(folder, lambda dense: dense["config"].update(kernel_constraint=layer))


def model_from_json(folder: Path, canary: Path) -> Path:
    """The Lambda is in a string, which Keras itself parses."""
    inner = tf_keras.Sequential([tf_keras.layers.Lambda(eval(f"lambda x: (open({str(canary)!r}, 'a').close(), x)[1]"))])
    text = json.dumps({"class_name": "Sequential", "config": inner.get_config()})
    return recorded_call_h5(
        folder, "TFOpLambda", function="keras.models.model_from_json", call=[["_CONSTANT_VALUE", -1, text, {}]]
    )


def lambda_in_arguments(folder: Path, canary: Path) -> Path:
    def change(layer: dict[str, Any]) -> None:
        layer["inbound_nodes"][0]["kwargs"]["mask"] = lambda_text(canary)

    return dense_keras(folder, change)


def lambda_in_build_config(folder: Path, canary: Path) -> Path:
    return dense_keras(folder, lambda layer: layer["build_config"].update(extra=lambda_text(canary)))


def lambda_in_nested_loss(folder: Path, canary: Path) -> Path:
    """A compile state is restored with a model inside a model too."""
    x, y = keras.Input((4,)), keras.Input((4,))
    keras.Model(x, keras.Model(y, keras.layers.Dense(2)(y), name="inner")(x)).save(folder / "model.keras")

    def change(config: dict[str, Any]) -> None:
        inner = next(layer for layer in config["config"]["layers"] if layer["class_name"] == "Functional")
        inner["compile_config"] = {"optimizer": "sgd", "loss": lambda_text(canary)}

    return change_archive(folder / "model.keras", change)


def lambda_in_wrappers(folder: Path, canary: Path) -> Path:
    def wrap(inner: Any, class_name: str) -> dict[str, Any]:
        return {"module": "keras.layers", "class_name": class_name, "registered_name": None,
                "config": {"name": class_name.lower(), "layer": inner}}  # fmt: skip

    code = {"module": "keras.layers", "class_name": "Lambda", "registered_name": None,
            "config": {"name": "l", "function": lambda_text(canary)}}  # fmt: skip
    wrapped = wrap(wrap(code, "TimeDistributed"), "Bidirectional")
    return dense_keras(folder, lambda layer: layer.update(wrapped))


def _frozen(operator: Callable[[str], Any], class_name: str = "Dense") -> Maker:
    """Our own layer of a recorded graph, with a graph that writes."""

    def make(folder: Path, canary: Path) -> Path:
        @tf.function(input_signature=[tf.TensorSpec([None, 4])])
        def trace(x: Any) -> Any:
            with tf.control_dependencies([operator(str(canary))]):
                return tf.identity(x)

        graph = trace.get_concrete_function().graph.as_graph_def()
        recording = {"graph_def": base64.b64encode(graph.SerializeToString()).decode(), "inputs": ["x:0"],
                     "outputs": ["Identity:0"], "shapes": [[None, 4]], "single": True}  # fmt: skip
        name = "FrozenLambda3" if class_name == "Dense" else class_name
        return dense_keras(
            folder,
            lambda layer: layer.update(
                module="tfcompress.load.keras_versions.frozen_lambda",
                class_name=class_name if class_name != "Dense" else "Dense",
                registered_name=f"tfcompress>{name}",
                config={"name": "dense", "recordings": [recording]},
            ),
        )

    return make


def many_layers(folder: Path, canary: Path) -> Path:
    def change(config: dict[str, Any]) -> None:
        dense = config["config"]["layers"][1]
        config["config"]["layers"] += [json.loads(json.dumps(dense)) for _ in range(20_000)]

    dense_keras(folder)
    return change_archive(folder / "model.keras", change)


def nested_models(folder: Path, canary: Path) -> Path:
    def change(config: dict[str, Any]) -> None:
        inner: dict[str, Any] = {"module": "keras", "class_name": "Sequential", "registered_name": None,
                                 "config": {"name": "s", "layers": []}}  # fmt: skip
        for _ in range(200):
            inner = {**inner, "config": {"name": "s", "layers": [inner]}}
        config["config"]["layers"].append(inner)

    dense_keras(folder)
    return change_archive(folder / "model.keras", change)


def calls_that_double(folder: Path, canary: Path) -> Path:
    """Fourteen models, each of which calls the one before it twice."""
    x = keras.Input((4,))
    model = keras.Model(x, keras.layers.Dense(4)(x))
    for _ in range(14):
        x = keras.Input((4,))
        model = keras.Model(x, model(model(x)))
    model.save(folder / "model.keras")
    return folder / "model.keras"


def unrolled_a_million_times(folder: Path, canary: Path) -> Path:
    x = keras.Input((4, 4))
    keras.Model(x, keras.layers.LSTM(2, unroll=True)(x)).save(folder / "model.keras")

    def change(config: dict[str, Any]) -> None:
        text = json.dumps(config).replace("[null, 4, 4]", "[null, 1000000, 4]")
        config.update(json.loads(text))

    return change_archive(folder / "model.keras", change)


def _enlarged(layer: Any, **settings: Any) -> Maker:
    """A layer without weights that makes a huge tensor of a small one."""

    def make(folder: Path, canary: Path) -> Path:
        x = keras.Input((4, 4, 1))
        twin = type(layer).from_config(layer.get_config())
        keras.Model(x, keras.layers.GlobalMaxPooling2D()(twin(x))).save(folder / "model.keras")

        def change(config: dict[str, Any]) -> None:
            config["config"]["layers"][1]["config"].update(settings)

        return change_archive(folder / "model.keras", change)

    return make


def _saved(folder: Path, layer: Callable[[Any], Any]) -> Path:
    """A sound model of one layer or operation, with all that it gives."""
    x = keras.Input((4,))
    keras.Model(x, layer(x)).save(folder / "model.keras")
    return folder / "model.keras"


def deep_and_wide(folder: Path, canary: Path) -> Path:
    """No tensor is large, all together are."""
    x = keras.Input((4,))
    y = keras.layers.RepeatVector(500_000)(x)
    for _ in range(250):
        y = keras.layers.ReLU(negative_slope=0.9)(y)
    keras.Model(x, keras.layers.GlobalMaxPooling1D()(y)).save(folder / "model.keras")
    return folder / "model.keras"


def node_of_an_operator(operator: str, **attributes: Any) -> Maker:
    node = {"name": "n", "op": operator, "input": ["x"], "attr": attributes}
    return lambda folder, canary: recorded_call_h5(
        folder, "TensorFlowOpLayer", node_def=json.dumps(node), constants={}, function=None
    )


CONFIGURATIONS: dict[str, Maker] = {
    # Published: CVE-2024-3660 and CVE-2025-9905 are Lambda layers (tests/load/test_unsafe.py has those too).
    "cve_2025_1550_module_of_python": _replaced(module="subprocess", class_name="Popen", config={"args": ["true"]}),
    "cve_2025_8747_get_file": _function("keras.utils", "get_file", "get_file"),
    "cve_2025_9906_enable_unsafe": _function("keras.config", "enable_unsafe_deserialization"),
    "cve_2025_49655_torch_module": _replaced(class_name="TorchModuleWrapper", config={"module": "gASV", "name": "t"}),
    "cve_2025_12058_vocabulary_url": _inner("StringLookup", name="s", vocabulary="http://127.0.0.1:9/x"),
    "cve_2025_12060_extract": _function("keras.src.utils.file_utils", "extract_archive"),
    "cve_2026_1462_saved_model_layer": _replaced(class_name="TFSMLayer", config={"filepath": "/tmp/x", "name": "t"}),
    "cve_2026_12479_name_as_a_path": _inner("StringLookup", name="../../../../../../tmp/tfcompress_never"),
    "name_as_an_absolute_path": _settings(name="/tmp/tfcompress_never"),
    "ghsa_class_that_is_no_layer": _replaced(module="keras.src.saving.saving_lib", class_name="DiskIOStore",
                                             config={"root_path": "/tmp/x"}),
    # Calls of TensorFlow's API.
    "call_model_from_json": model_from_json,
    "call_write_file": _calls("io.write_file", first="{canary}", contents="x"),
    "call_write_file_v1": _calls("compat.v1.raw_ops.WriteFile", first="{canary}", contents="x"),
    "call_copy": _calls("io.gfile.copy", first="/etc/passwd", dst="{canary}"),
    "call_make_folder": _calls("io.gfile.makedirs", first="{canary}"),
    "call_load_library": _calls("load_library", first="{canary}"),
    "call_load_op_library": _calls("load_op_library", first="{canary}"),
    "call_print": _calls("print", first="x", output_stream="file://{canary}"),
    "call_print_tensor": _calls("keras.backend.print_tensor"),
    "call_summary": _calls("summary.create_file_writer", first="{canary}"),
    "call_saved_model": _calls("saved_model.load", first="{canary}"),
    "call_load_weights": _calls("keras.models.load_model", first="{canary}"),
    "call_download": _calls("keras.utils.get_file", first="{canary}", origin="http://127.0.0.1:9/x"),
    "call_data_set": _calls("keras.datasets.mnist.load_data"),
    "call_application": _calls("keras.applications.vgg16.VGG16"),
    "call_image": _calls("keras.preprocessing.image.load_img", first="/etc/passwd"),
    "call_read_file": _calls("raw_ops.ReadFile", first="/etc/passwd"),
    "call_vocabulary_of_a_sampler": _calls("random.fixed_unigram_candidate_sampler", vocab_file="/etc/passwd"),
    "call_window_of_text": _calls("signal.stft", frame_length=2, frame_step=1, window_fn="os.system"),
    "call_set_floatx": _calls("keras.backend.set_floatx", first="float16"),
    "call_dump": _calls("debugging.experimental.enable_dump_debug_info", first="{canary}"),
    "call_numpy_function": _calls("numpy_function"),
    "call_server": _calls("distribute.Server.create_local_server"),
    "call_private": _calls("__internal__.function.Function"),
    "slicing_write_file": _calls("io.write_file", "SlicingOpLambda", first="{canary}", contents="x"),
    "slicing_copy": _calls("io.gfile.copy", "SlicingOpLambda", first="/etc/passwd", dst="{canary}"),
    "slicing_load_library": _calls("load_op_library", "SlicingOpLambda", first="{canary}"),
    "method_of_a_writer": lambda folder, canary: recorded_call_h5(
        folder, "ClassMethod", cls_symbol="io.TFRecordWriter", method_name="__init__"),
    "method_of_a_data_set": lambda folder, canary: recorded_call_h5(
        folder, "ClassMethod", cls_symbol="data.Dataset", method_name="list_files"),
    "attribute_globals": lambda folder, canary: recorded_call_h5(
        folder, "InstanceProperty", attr_name="__init__.__globals__"),
    "attribute_graph": lambda folder, canary: recorded_call_h5(folder, "InstanceProperty", attr_name="graph"),
    "method_eval": lambda folder, canary: recorded_call_h5(folder, "InstanceMethod", attr_name="eval"),
    "node_write_file": node_of_an_operator("WriteFile"),
    "node_python": node_of_an_operator("EagerPyFunc"),
    "node_with_a_function": node_of_an_operator("PartitionedCall", f={"func": {"name": "WriteFile"}}),
    # Classes and functions.
    "function_of_tfmot": _function("tensorflow_model_optimization.python.core.keras.compat", "assert_keras"),
    "function_of_tensorflow": _function("tensorflow.python.platform.gfile", "Copy"),
    "function_of_ops_with_python": _function("keras.ops", "map"),
    "function_in_private_module": _function("keras.src.saving.serialization_lib", "enable_unsafe_deserialization"),
    "function_under_another_name": _function("keras.activations", "relu", "tfcompress>keras3_celu2"),
    "function_of_callbacks": _function("keras.callbacks", "CSVLogger"),
    "class_of_callbacks": _inner("CSVLogger", "keras.callbacks", filename="/tmp/tfcompress_never"),
    "class_of_tf_keras_saving": _inner("H5IOStore", "tf_keras.src.saving.saving_lib", root_path="/tmp/x"),
    "class_jax": _inner("JaxLayer", name="j", call_fn=None),
    "class_flax": _inner("FlaxLayer", "keras.src.utils.jax_layer", name="j", module="x"),
    "class_feature_space": _inner("FeatureSpace", "keras.src.layers.preprocessing.feature_space", features={}),
    "operation_map": _replaced(module="keras.src.ops.core", class_name="Map", registered_name="Map", config={}),
    "operation_while": _replaced(module="keras.src.ops.core", class_name="WhileLoop", registered_name="WhileLoop",
                                 config={"cond": "x", "body": "y", "maximum_iterations": None}),
    "operation_in_another_module": _replaced(module="keras.src.ops.function", class_name="Function",
                                             registered_name="Function", config={}),
    "type_of_python": _settings(kernel_initializer={"class_name": "__typespec__", "spec_name": "Popen",
                                                    "module": "subprocess", "registered_name": None, "config": []}),
    "initializer_deserialize": _settings(kernel_initializer="deserialize"),
    "activation_get": _settings(activation="get"),
    "activation_of_another_module": _settings(activation="keras.utils.get_file"),
    "metric_wrapper": _inner("MeanMetricWrapper", "keras.metrics", name="m", fn="io.write_file"),
    "vocabulary_of_integers": _inner("IntegerLookup", name="s", vocabulary="/etc/passwd"),
    "vocabulary_of_text": _inner("TextVectorization", name="s", vocabulary="/etc/passwd"),
    "text_standardized_by_code": lambda folder, canary: _inner(
        "TextVectorization", name="s", standardize=lambda_text(canary))(folder, canary),
    "lambda_in_arguments": lambda_in_arguments,
    "lambda_in_build_config": lambda_in_build_config,
    "lambda_in_wrappers": lambda_in_wrappers,
    "lambda_in_nested_loss": lambda_in_nested_loss,
    "frozen_lambda_that_writes": _frozen(lambda path: tf.io.write_file(path, "x"), "FrozenLambda3"),
    "frozen_lambda_that_reads": _frozen(lambda path: tf.io.read_file("/etc/passwd"), "FrozenLambda3"),
    "frozen_lambda_that_prints": _frozen(lambda path: tf.print("x", output_stream=f"file://{path}"), "FrozenLambda3"),
    "frozen_lambda_as_dense": _frozen(lambda path: tf.io.write_file(path, "x")),
    # Memory and time.
    "many_layers": many_layers,
    "name_of_five_megabytes": _settings(name="n" * 5_000_000),
    "nested_models": nested_models,
    "calls_that_double": calls_that_double,
    "unrolled_a_million_times": unrolled_a_million_times,
    "padding_of_a_terabyte": _enlarged(keras.layers.ZeroPadding2D(1), padding=[[0, 500_000], [0, 500_000]]),
    "padding_of_ten_gigabytes": _enlarged(keras.layers.ZeroPadding2D(1), padding=[[0, 50_000], [0, 50_000]]),
    "upsampling": _enlarged(keras.layers.UpSampling2D(2), size=[100_000, 100_000]),
    "upsampling_to_700_million": _enlarged(keras.layers.UpSampling2D(2), size=[6_600, 6_600]),
    "deep_and_wide": deep_and_wide,
    "wide_output": lambda folder, canary: _saved(folder, keras.layers.RepeatVector(20_000_000)),
    "one_hot_of_a_billion": lambda folder, canary: _saved(
        folder, keras.layers.CategoryEncoding(10**9, output_mode="multi_hot")),
    "repeated": lambda folder, canary: _saved(folder, lambda x: keras.ops.repeat(x, 10**8, axis=1)),
    "tiled": lambda folder, canary: _saved(folder, lambda x: keras.ops.tile(x, (1, 10**8))),
    "broadcast": lambda folder, canary: _saved(folder, lambda x: keras.ops.broadcast_to(x, (10**8, 4))),
    "outer_product": lambda folder, canary: _saved(
        folder, lambda x: keras.ops.outer(keras.ops.tile(x, (1, 4_000)), keras.ops.tile(x, (1, 4_000)))),
    "resizing": _enlarged(keras.layers.Resizing(8, 8), height=200_000, width=200_000),
    "embedding_of_a_trillion": _inner("Embedding", name="e", input_dim=10**12, output_dim=8),
    "units_beyond_int64": _settings(units=10**30),
    "units_below_zero": _settings(units=-5),
    "input_of_a_trillion": lambda folder, canary: change_archive(
        dense_keras(folder), lambda config: config["config"]["layers"][0]["config"].update(
            batch_shape=[10**6, 10**6])),
    "numbers_that_are_not": _settings(units=float("nan")),
}  # fmt: skip
