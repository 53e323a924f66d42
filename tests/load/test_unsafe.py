"""Files that would run code, read files or exhaust memory: each is refused, and a canary proves that nothing ran."""

from __future__ import annotations

import io
import json
import pickle
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from tfcompress.data import open_data
from tfcompress.errors import InputError, ModelError, UnsafeModelError
from tfcompress.load import load_model
from tfcompress.runtime import keras, tf, tf_keras

SAFE_SECONDS = 60


@pytest.fixture
def canary(tmp_path: Path) -> Path:
    """The file that every malicious model tries to create."""
    return tmp_path / "canary"


def touching(canary: Path) -> Callable[[Any], Any]:
    """A function whose bytecode creates the canary and is otherwise the identity."""
    source = f"lambda x: (open({str(canary)!r}, 'a').close(), x)[1]"
    return eval(source)


def dense_model(library: Any = keras) -> Any:
    x = library.Input((4,))
    return library.Model(x, library.layers.Dense(2)(x))


def lambda_in_keras3(folder: Path, canary: Path) -> Path:
    x = keras.Input((4,))
    model = keras.Model(x, keras.layers.Lambda(touching(canary), output_shape=(4,))(x))
    model.save(folder / "model.keras")
    return folder / "model.keras"


def lambda_in_keras2(folder: Path, canary: Path) -> Path:
    model = tf_keras.Sequential([tf_keras.Input((4,)), tf_keras.layers.Lambda(touching(canary))])
    model.save(folder / "model.keras")
    return folder / "model.keras"


def lambda_in_h5(folder: Path, canary: Path) -> Path:
    model = tf_keras.Sequential([tf_keras.Input((4,)), tf_keras.layers.Lambda(touching(canary))])
    model.save(folder / "model.h5", save_format="h5")
    return folder / "model.h5"


def lambda_in_nested_model(folder: Path, canary: Path) -> Path:
    x, y = keras.Input((4,)), keras.Input((4,))
    inner = keras.Sequential([keras.Input((4,)), keras.layers.Lambda(touching(canary), output_shape=(4,))])
    middle = keras.Model(x, inner(x))
    keras.Model(y, keras.layers.Dense(2)(middle(y))).save(folder / "model.keras")
    return folder / "model.keras"


def lambda_in_a_wrapper(folder: Path, canary: Path) -> Path:
    x = tf_keras.Input((3, 4))
    model = tf_keras.Model(x, tf_keras.layers.TimeDistributed(tf_keras.layers.Lambda(touching(canary)))(x))
    model.save(folder / "model.h5", save_format="h5")
    return folder / "model.h5"


def lambda_as_an_initializer(folder: Path, canary: Path) -> Path:
    path = saved_dense(folder)
    return rewritten(path, lambda config: _first_dense(config)["config"].update(kernel_initializer=serialized(canary)))


def serialized(canary: Path) -> dict[str, Any]:
    layer = keras.layers.Lambda(touching(canary), output_shape=(4,))
    return layer.get_config()["function"]


def saved_dense(folder: Path) -> Path:
    dense_model().save(folder / "model.keras")
    return folder / "model.keras"


def _first_dense(config: dict[str, Any]) -> dict[str, Any]:
    return next(layer for layer in config["config"]["layers"] if layer["class_name"] == "Dense")


def rewritten(path: Path, change: Callable[[dict[str, Any]], None]) -> Path:
    """The archive at `path` with its configuration changed in place."""
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    config = json.loads(members["config.json"])
    change(config)
    members["config.json"] = json.dumps(config).encode()
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return path


def rewritten_h5(path: Path, change: Callable[[dict[str, Any]], None]) -> Path:
    """The `.h5` at `path` with its configuration changed in place."""
    with h5py.File(path, "a") as file:
        config = json.loads(str(file.attrs["model_config"]))
        change(config)
        file.attrs["model_config"] = json.dumps(config)
    return path


def reference_to_a_function(folder: Path, canary: Path) -> Path:
    call = {"module": "os", "class_name": "function", "config": "system", "registered_name": "system"}
    return rewritten(saved_dense(folder), lambda config: _first_dense(config)["config"].update(activation=call))


def reference_to_keras_utils(folder: Path, canary: Path) -> Path:
    call = {"module": "keras.utils", "class_name": "function", "config": "get_file", "registered_name": "get_file"}
    return rewritten(saved_dense(folder), lambda config: _first_dense(config)["config"].update(activation=call))


def function_of_python(folder: Path, canary: Path) -> Path:
    call = {"module": "builtins", "class_name": "function", "config": "breakpoint", "registered_name": "function"}
    return rewritten(saved_dense(folder), lambda config: _first_dense(config)["config"].update(activation=call))


def function_of_ours(folder: Path, canary: Path) -> Path:
    call = {
        "module": "tfcompress.native_output",
        "class_name": "function",
        "config": "show_native_output",
        "registered_name": None,
    }
    return rewritten(saved_dense(folder), lambda config: _first_dense(config)["config"].update(activation=call))


def function_inside_keras(folder: Path, canary: Path) -> Path:
    call = {"module": "keras.src.backend.common.global_state", "class_name": "function", "config": "clear_session"}
    return rewritten(saved_dense(folder), lambda config: _first_dense(config)["config"].update(activation=call))


def class_of_another_module(folder: Path, canary: Path) -> Path:
    change = {
        "module": "subprocess",
        "class_name": "Popen",
        "registered_name": None,
        "config": {"args": ["touch", str(canary)]},
    }
    return rewritten(saved_dense(folder), lambda config: _first_dense(config).update(change))


def tensorflow_function_that_writes(folder: Path, canary: Path) -> Path:
    x = tf_keras.Input(())
    tf_keras.Model(x, tf.math.log1p(x)).save(folder / "model.h5", save_format="h5")
    return rewritten_h5(
        folder / "model.h5", lambda config: config["config"]["layers"][1]["config"].update(function="io.write_file")
    )


def vocabulary_file(folder: Path, canary: Path) -> Path:
    lookup = {"module": "keras.layers", "class_name": "StringLookup", "registered_name": None,
              "config": {"name": "look", "vocabulary": "/etc/passwd"}}  # fmt: skip
    return rewritten(saved_dense(folder), lambda config: config["config"]["layers"].append(lookup))


def pickled_torch_module(folder: Path, canary: Path) -> Path:
    change = {
        "module": "keras.layers",
        "class_name": "TorchModuleWrapper",
        "config": {"module": "gASV", "name": "torch"},
    }
    return rewritten(saved_dense(folder), lambda config: _first_dense(config).update(change))


class Exploit:
    """Its pickle creates the canary when it is loaded."""

    def __init__(self, canary: Path) -> None:
        self.canary = canary

    def __reduce__(self) -> tuple[Any, ...]:
        return (open, (str(self.canary), "a"))


def bare_pickle(folder: Path, canary: Path) -> Path:
    (folder / "model.keras").write_bytes(pickle.dumps(Exploit(canary)))
    return folder / "model.keras"


def escaping_member(folder: Path, canary: Path) -> Path:
    path = saved_dense(folder)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("assets/../../../canary", b"x")
    return path


def symbolic_link_member(folder: Path, canary: Path) -> Path:
    path = saved_dense(folder)
    link = zipfile.ZipInfo("assets/link")
    link.external_attr = 0o120777 << 16
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(link, "/etc/passwd")
    return path


def archive_bomb(folder: Path, canary: Path) -> Path:
    """10 GiB of zeros in 10 MiB: one deflated block repeated, as bombs are made."""
    path, block, count = saved_dense(folder), bytes(1 << 24), 640
    deflate = zlib.compressobj(9, zlib.DEFLATED, -15)
    packed = deflate.compress(block) + deflate.flush(zlib.Z_FULL_FLUSH)
    with zipfile.ZipFile(path, "a") as archive, archive.open("assets/zeros", "w", force_zip64=True) as member:
        for _ in range(count):
            member.write(packed)
        member.write(zlib.compressobj(9, zlib.DEFLATED, -15).flush())
    declare(path, "assets/zeros", size=count * len(block))
    return path


def declare(path: Path, member: str, size: int) -> None:
    """Make the archive's directory say that a stored member is deflated and `size` bytes long."""
    with zipfile.ZipFile(path, "a") as archive:
        info = archive.getinfo(member)
        info.compress_type, info.file_size = zipfile.ZIP_DEFLATED, size
        archive.writestr("assets/more", b"")  # a change, so that the directory is written again


def hdf5_bomb(folder: Path, canary: Path) -> Path:
    dense_model(tf_keras).save(folder / "model.h5", save_format="h5")
    with h5py.File(folder / "model.h5", "a") as file:
        file.create_dataset("model_weights/huge", (10**11,), "f4", chunks=(10**6,), compression="gzip")
    return folder / "model.h5"


def hdf5_link_to_another_file(folder: Path, canary: Path) -> Path:
    dense_model(tf_keras).save(folder / "model.h5", save_format="h5")
    with h5py.File(folder / "model.h5", "a") as file:
        file["model_weights/stolen"] = h5py.ExternalLink("/etc/passwd", "/")
    return folder / "model.h5"


def layer_of_a_trillion_elements(folder: Path, canary: Path) -> Path:
    return rewritten(saved_dense(folder), lambda config: _first_dense(config)["config"].update(units=250 * 10**9))


def trillion_elements_in_h5(folder: Path, canary: Path) -> Path:
    dense_model(tf_keras).save(folder / "model.h5", save_format="h5")
    return rewritten_h5(folder / "model.h5", lambda config: _first_dense(config)["config"].update(units=250 * 10**9))


def activation_of_a_trillion_elements(folder: Path, canary: Path) -> Path:
    x = keras.Input((4,))
    keras.Model(x, keras.layers.GlobalAveragePooling1D()(keras.layers.RepeatVector(3)(x))).save(folder / "model.keras")

    def enlarge(config: dict[str, Any]) -> None:
        layer = next(layer for layer in config["config"]["layers"] if layer["class_name"] == "RepeatVector")
        layer["config"]["n"] = 10**12

    return rewritten(folder / "model.keras", enlarge)


def deeply_nested_configuration(folder: Path, canary: Path) -> Path:
    path = saved_dense(folder)
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    members["config.json"] = b'{"a":' * 200_000 + b"1" + b"}" * 200_000
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return path


def python_function_in_saved_model(folder: Path, canary: Path) -> Path:
    class Module(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec([None, 4])])
        def serve(self, x: Any) -> Any:
            return tf.py_function(touching(canary), [x], tf.float32)

    module = Module()
    tf.saved_model.save(module, str(folder / "saved"), signatures={"serving_default": module.serve})
    return folder / "saved"


def saved_model_that_reads_files(folder: Path, canary: Path) -> Path:
    class Module(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec([])])
        def serve(self, x: Any) -> Any:
            return {"text": tf.io.read_file("/etc/passwd"), "x": x}

    module = Module()
    tf.saved_model.save(module, str(folder / "saved"), signatures={"serving_default": module.serve})
    return folder / "saved"


MALICIOUS = [
    (lambda_in_keras3, "carries code: layer .*lambda.* marshalled Python bytecode"),
    (lambda_in_keras2, "carries code: layer .*lambda.* marshalled Python bytecode"),
    (lambda_in_h5, "carries code: layer .*lambda.* marshalled Python bytecode"),
    (lambda_in_nested_model, "carries code: layer .*lambda.* marshalled Python bytecode"),
    (lambda_in_a_wrapper, "carries code: layer .*lambda.* marshalled Python bytecode"),
    (lambda_as_an_initializer, "carries code: layer 'dense.*' holds marshalled"),
    (reference_to_a_function, "custom objects that it does not contain: system"),
    (reference_to_keras_utils, "a reference to keras.utils.get_file"),
    (function_of_python, "custom objects that it does not contain: breakpoint"),
    (function_of_ours, "custom objects that it does not contain: show_native_output"),
    (function_inside_keras, "a reference to keras.src.backend.common.global_state.clear_session"),
    (class_of_another_module, "custom objects that it does not contain: Popen"),
    (tensorflow_function_that_writes, "a call of tf.io.write_file"),
    (vocabulary_file, "the path of a file to read, '/etc/passwd'"),
    (pickled_torch_module, "a pickled PyTorch module"),
    (bare_pickle, "a Python pickle, which is never loaded"),
    (escaping_member, "leaves the archive's folder"),
    (symbolic_link_member, "is a symbolic link"),
    (archive_bomb, "refused: its [0-9]+ bytes expand to over"),
    (hdf5_bomb, "expands beyond"),
    (hdf5_link_to_another_file, "is a link to another file"),
    (layer_of_a_trillion_elements, "asks for a weight .*1000000000000 elements"),
    (trillion_elements_in_h5, "asks for a weight .*1000000000000 elements"),
    (activation_of_a_trillion_elements, "larger than this machine's memory"),
    (deeply_nested_configuration, "nested too deeply"),
    (python_function_in_saved_model, r"is a EagerPyFunc \(tf.py_function\)"),
    (saved_model_that_reads_files, "is a ReadFile, which is not on the list"),
]


@pytest.mark.parametrize(("make", "message"), MALICIOUS, ids=[make.__name__ for make, _ in MALICIOUS])
def test_malicious_file_is_refused_and_nothing_runs(
    make: Callable[[Path, Path], Path], message: str, tmp_path: Path, canary: Path
) -> None:
    path = make(tmp_path, canary)
    canary.unlink(missing_ok=True)
    with pytest.raises(ModelError, match=message) as caught:
        load_model(path)
    assert "\n" not in str(caught.value)
    assert not canary.exists()
    assert not list(tmp_path.parent.glob("canary"))


def test_pickle_in_npz_is_refused_and_nothing_runs(tmp_path: Path, canary: Path) -> None:
    stream = io.BytesIO()
    np.save(stream, np.array([Exploit(canary)], dtype=object), allow_pickle=True)
    with zipfile.ZipFile(tmp_path / "data.npz", "w") as archive:
        archive.writestr("x.npy", stream.getvalue())
    model = load_model(dense_model())
    with pytest.raises(InputError):
        open_data(str(tmp_path / "data.npz"), model.inputs, model.outputs)
    assert not canary.exists()


@pytest.mark.parametrize(
    "make",
    [
        lambda_in_nested_model,
        *(pytest.param(make, marks=pytest.mark.slow) for make in (lambda_in_keras3, lambda_in_h5, lambda_in_a_wrapper)),
    ],
)
def test_trusted_code_runs_in_another_process_and_not_in_this_one(
    make: Callable[[Path, Path], Path], tmp_path: Path, canary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = make(tmp_path, canary)
    canary.unlink(missing_ok=True)
    model = load_model(path, allow_unsafe_deserialization=True)
    assert canary.exists()
    canary.unlink()
    shape = [2, *model.inputs[0].sizes()]
    outputs = model.predict({model.inputs[0].name: np.ones(shape, "float32")})
    assert all(np.isfinite(value).all() for value in outputs.values())
    assert not canary.exists()


@pytest.mark.slow
def test_trusted_code_that_crashes_python_is_an_error_and_not_a_crash(tmp_path: Path) -> None:
    crash = eval("lambda x: (__import__('ctypes').string_at(0), x)[1]")
    path = tmp_path / "model.keras"
    x = keras.Input((4,))
    layer = keras.layers.Lambda(lambda x: x, output_shape=(4,))
    layer(x)
    model = keras.Model(x, layer(x))
    layer.function = crash
    model.save(path)
    with pytest.raises(ModelError, match=r"crashed its process \(signal 11\)"):
        load_model(path, allow_unsafe_deserialization=True)


def test_named_function_of_a_lambda_comes_from_custom_objects(tmp_path: Path) -> None:
    def double(x: Any) -> Any:
        return 2 * x

    path = tmp_path / "model.h5"
    tf_keras.Sequential([tf_keras.Input((4,)), tf_keras.layers.Lambda(double)]).save(path, save_format="h5")
    by_name = {"function": "double", "function_type": "function", "module": None}  # as Keras before 2.1 stored it
    rewritten_h5(path, lambda config: config["config"]["layers"][1]["config"].update(by_name))
    with pytest.raises(UnsafeModelError, match="reference to the Python function 'double'"):
        load_model(path)
    loaded = load_model(path, custom_objects={"double": double})
    assert loaded.predict({loaded.inputs[0].name: np.ones((1, 4), "float32")}).popitem()[1].sum() == 8


def test_spectra_are_sound(tmp_path: Path) -> None:
    x = tf_keras.Input((64,))
    model = tf_keras.Model(x, tf.abs(tf.signal.inverse_stft(tf.signal.stft(x, 16, 8), 16, 8)))
    model.save(tmp_path / "m.h5")
    assert load_model(tmp_path / "m.h5").outputs[0].shape == (None, 64)
