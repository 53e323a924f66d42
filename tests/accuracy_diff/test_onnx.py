"""ONNX files in ONNX Runtime: the graph's own answers, in batches, and a diff against the Keras model it came from."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.accuracy_diff.faults import Bench
from tests.accuracy_diff.models import pictures_like, rows
from tfcompress.accuracy_diff import compare, runner_for
from tfcompress.accuracy_diff.litert_runner import LiteRtRunner
from tfcompress.errors import ModelError
from tfcompress.load import float_model_from_keras
from tfcompress.model import FloatModel
from tfcompress.runtime import tf_keras

onnx: Any = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

TOLERANCE = 1e-5  # two float32 runtimes on probabilities


def keras_mlp() -> FloatModel:
    tf_keras.utils.set_random_seed(0)
    layers = [
        tf_keras.layers.Input((6, 6, 3), name="image"),
        tf_keras.layers.Flatten(name="flat"),
        tf_keras.layers.Dense(16, activation="relu", name="hidden"),
        tf_keras.layers.Dense(4, activation="softmax", name="answer"),
    ]
    return float_model_from_keras(tf_keras.Sequential(layers, name="mlp"), name="mlp")


def as_onnx(model: FloatModel, path: Path, *, batch: int | str = "batch", quiet: float = 1.0) -> Path:
    """The same network written down in ONNX; its last weights times `quiet`."""
    helper = onnx.helper
    hidden, answer = (model.keras_model.get_layer(name).get_weights() for name in ("hidden", "answer"))
    values = {"w1": hidden[0], "b1": hidden[1], "w2": answer[0] * np.float32(quiet), "b2": answer[1]}
    nodes = [
        helper.make_node("Flatten", ["image"], ["flat"], axis=1),
        helper.make_node("Gemm", ["flat", "w1", "b1"], ["dense"]),
        helper.make_node("Relu", ["dense"], ["hidden"]),
        helper.make_node("Gemm", ["hidden", "w2", "b2"], ["logits"]),
        helper.make_node("Softmax", ["logits"], ["answer"], axis=1),
    ]
    kind = onnx.TensorProto.FLOAT
    graph = helper.make_graph(
        nodes,
        "mlp",
        [helper.make_tensor_value_info("image", kind, [batch, 6, 6, 3])],
        [helper.make_tensor_value_info("answer", kind, [batch, 4])],
        [onnx.numpy_helper.from_array(value, name) for name, value in values.items()],
    )
    onnx_model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    onnx.checker.check_model(onnx_model)
    onnx.save(onnx_model, path)
    return path


@pytest.fixture(scope="module")
def bench() -> Bench:
    return Bench(keras_mlp())


@pytest.mark.parametrize("batch", ["batch", 1, 4])
def test_an_onnx_file_gives_the_keras_models_answers(bench: Bench, tmp_path: Path, batch: int | str) -> None:
    images = pictures_like((None, 6, 6, 3), 11, np.random.default_rng(0))
    runner = runner_for(as_onnx(bench.model, tmp_path / "mlp.onnx", batch=batch))
    wanted = bench.model.predict({"image": images})["answer"]
    given = runner.run({"image": images})["answer"]
    assert given.dtype == np.float32
    assert np.abs(given - wanted).max() < TOLERANCE
    assert np.abs(given[::-1] - wanted).max() > TOLERANCE  # the check can fail
    assert [(info.name, info.shape[1:]) for info in (*runner.inputs, *runner.outputs)] == [
        ("image", (6, 6, 3)),
        ("answer", (4,)),
    ]


def test_an_onnx_file_can_be_either_side_of_a_diff(bench: Bench, tmp_path: Path) -> None:
    same = runner_for(as_onnx(bench.model, tmp_path / "same.onnx"))
    other = runner_for(as_onnx(bench.model, tmp_path / "other.onnx", quiet=-1.0))
    comparison = compare(runner_for(bench.model), {"same": same, "other": other}, bench.evaluation, layers=True)
    assert comparison.candidates["same"].diff["top1_agreement"] == 1
    assert comparison.candidates["same"].diff["sqnr_db"] > 90
    assert comparison.candidates["other"].gate.failed
    assert comparison.candidates["same"].layers == ()
    back = compare(same, {"int8": LiteRtRunner(bench.sound)}, bench.evaluation).candidates["int8"]
    assert back.diff["top1_agreement"] > 0.9
    assert back.diff["sqnr_db"] > 20


@pytest.mark.parametrize("content", [b"", b"not a model", b"\x08\x08\x12\x04junk"])
def test_a_broken_onnx_file_is_refused_in_one_line(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "broken.onnx"
    path.write_bytes(content)
    with pytest.raises(ModelError, match=r"broken\.onnx: (corrupt, or )?not an \.onnx") as caught:
        runner_for(path)
    assert "\n" not in str(caught.value)


def test_data_of_another_shape_are_refused(bench: Bench, tmp_path: Path) -> None:
    runner = runner_for(as_onnx(bench.model, tmp_path / "mlp.onnx"))
    with pytest.raises(ModelError, match="are these two forms of the same model"):
        compare(runner_for(lambda x: x), {"it": runner}, rows(8))
