"""Why XLA refuses a SavedModel of somebody else's, signature by signature, in words."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from tfcompress.compile_row import CompileRow, refusals
from tfcompress.converters.cloud_tpu.stablehlo import Lowered, lower_saved_model
from tfcompress.report.schema import CompileSection
from tfcompress.report.target_tables import compile_tables
from tfcompress.runtime import tf, tf_keras

ROWS = tf.TensorSpec([None, 4], tf.float32, name="x")
PICTURES = tf.TensorSpec([None, 8, 8, 3], tf.float32, name="x")
SIZE = tf.TensorSpec([2], tf.int32, name="size")


def lowered(folder: Path, signatures: Mapping[str, Any], holder: Any = None) -> dict[str, Lowered]:
    tf.saved_model.save(holder or tf.Module(), str(folder), signatures=dict(signatures))
    return {module.signature: module for module in lower_saved_model(folder, [2])}


def counting(holder: Any) -> Callable[[Any], Any]:
    holder.calls = tf.Variable(0.0)

    def call(x: Any) -> Any:
        with tf.name_scope("model/counter"):
            return {"y": x + holder.calls.assign_add(1.0)}

    return call


def resizing(x: Any, size: Any) -> Any:
    with tf.name_scope("model/zoom"):
        return {"y": tf.reduce_mean(tf.image.resize(x, size), [1, 2])}


def sparse(x: Any) -> Any:
    return {"y": tf.sparse.sparse_dense_matmul(tf.sparse.from_dense(x), tf.ones([4, 2]))}


def test_each_refused_signature_has_a_reason_that_names_its_operator(tmp_path: Path) -> None:
    holder = tf.Module()
    modules = lowered(
        tmp_path,
        {
            "counts": tf.function(counting(holder), input_signature=[ROWS]),
            "resizes": tf.function(resizing, input_signature=[PICTURES, SIZE]),
            "is_sparse": tf.function(sparse, input_signature=[ROWS]),
            "is_sound": tf.function(lambda x: {"y": 2 * x}, input_signature=[ROWS]),
        },
        holder,
    )
    assert "'model/counter/AssignAddVariableOp' (AssignAddVariableOp): it changes a variable" in str(
        modules["counts"].error
    )
    assert "training=False" in str(modules["counts"].error)
    assert "'model/zoom/resize/ResizeBilinear' (ResizeBilinear): the size of a resized image" in str(
        modules["resizes"].error
    )
    assert "(SparseTensorDenseMatMul): XLA has dense tensors only" in str(modules["is_sparse"].error)
    assert modules["is_sound"].error is None
    assert modules["is_sound"].artifact


def test_a_written_variable_is_told_only_where_nothing_else_is_refused(tmp_path: Path) -> None:
    holder = tf.Module()
    count = counting(holder)
    modules = lowered(
        tmp_path,
        {
            "resizes": tf.function(
                lambda x, size: {"y": count(x)["y"][:, 0, 0] + resizing(x, size)["y"]},
                input_signature=[PICTURES, SIZE],
            ),
            "is_sparse": tf.function(lambda x: {"y": count(x)["y"][:, :2] + sparse(x)["y"]}, input_signature=[ROWS]),
            "counts": tf.function(count, input_signature=[ROWS]),
        },
        holder,
    )
    assert "(ResizeBilinear): the size of a resized image" in str(modules["resizes"].error)
    assert "(SparseTensorDenseMatMul): XLA has dense tensors only" in str(modules["is_sparse"].error)
    assert "it changes a variable" in str(modules["counts"].error)


@pytest.mark.parametrize("training", [True, False])
def test_dropout_that_is_left_in_training_is_told(tmp_path: Path, *, training: bool) -> None:
    model = tf_keras.Sequential([tf_keras.layers.Dropout(0.5, name="drops"), tf_keras.layers.Dense(2)])
    model(np.zeros([1, 4], np.float32))
    call = tf.function(lambda x: {"y": model(x, training=training)}, input_signature=[ROWS])
    (module,) = lowered(tmp_path, {"serving_default": call}, model).values()
    advice = " ".join([*module.advice, module.error or ""])
    assert ("drops" in advice and "training=True" in advice) == training


def row(topology: str, signature: str, batch: int, error: str | None = None, *, ok: bool | None = None) -> CompileRow:
    return CompileRow(
        topology=topology, signature=signature, batch_size=batch, error=error, ok=error is None if ok is None else ok
    )


def test_a_reason_stands_once_with_what_it_holds_for() -> None:
    both = [row(topology, f"batch_{size}", size, "no") for topology in ("v5e:2x2", "v6e:1x1") for size in (1, 8)]
    assert refusals(both) == ("no",)
    some = [*both[:2], row("v6e:1x1", "batch_1", 1), row("v6e:1x1", "batch_8", 8, "too large")]
    assert refusals(some) == ("v5e:2x2; batch 1, 8: no", "v6e:1x1; batch 8: too large")
    assert refusals([row("v4:2x2x1", "a", 1), row("v4:2x2x1", "b", 1, "no")]) == (
        "v4:2x2x1; signature 'b'; batch 1: no",
    )
    assert refusals([row("v4:2x2x1", "a", 1)]) == ()


def printed(rows: list[CompileRow]) -> str:
    console = Console(width=80)
    with console.capture() as capture:
        for part in compile_tables([CompileSection(**vars(row)) for row in rows]):
            console.print(part)
    return capture.get()


def test_the_table_names_signatures_where_they_tell_rows_apart_and_gives_reasons_below() -> None:
    rows = [row("v5p:2x2x1", "serving_default", 1), row("v5p:2x2x1", "classify", 1, "XLA refuses it: " + "why " * 30)]
    text = printed(rows)
    assert all(f" {name} " in text for name in ("serving_default", "classify", "v5p:2x2x1"))
    assert text.count("XLA refuses it") == 1
    assert "fails" in text
    own = printed([row("v5p:2x2x1", "batch_1", 1), row("v5p:2x2x1", "batch_8", 8)])
    assert "batch_1" not in own
    assert "padding" in own
