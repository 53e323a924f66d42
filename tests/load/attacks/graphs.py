"""Attacks by the graph of a SavedModel."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tfcompress.runtime import tf, tf_keras

__all__ = ["GRAPHS", "sound_saved_model"]

Maker = Callable[[Path, Path], Path]
_SPEC = [tf.TensorSpec([None, 4], tf.float32, name="x")]


def _saved(folder: Path, function: Callable[[Any], Any], **objects: Any) -> Path:
    module = tf.Module()
    for name, value in objects.items():
        setattr(module, name, value)
    module.v = tf.Variable([1.0, 2.0, 3.0, 4.0])
    module.serve = tf.function(lambda x: function(x) * module.v, input_signature=_SPEC, autograph=False)
    tf.saved_model.save(module, str(folder / "saved"), signatures={"serving_default": module.serve})
    return folder / "saved"


def sound_saved_model(folder: Path) -> Path:
    """A SavedModel that only computes."""
    return _saved(folder, lambda x: x + 1.0)


def _does(effect: Callable[[Path], Any]) -> Maker:
    """The signature does something on the side; `effect` gives the operation."""

    def make(folder: Path, canary: Path) -> Path:
        def function(x: Any) -> Any:
            with tf.control_dependencies([effect(canary)]):
                return tf.identity(x)

        return _saved(folder, function)

    return make


def _inside(wrap: Callable[[Callable[[], Any], Any], Any]) -> Maker:
    """Writing a file inside another construct."""

    def make(folder: Path, canary: Path) -> Path:
        def write() -> Any:
            return tf.io.write_file(str(canary), "x")

        return _saved(folder, lambda x: wrap(write, x))

    return make


def _in_branch(write: Callable[[], Any], x: Any) -> Any:
    def branch() -> Any:
        with tf.control_dependencies([write()]):
            return tf.identity(x)

    return tf.cond(tf.reduce_sum(x) > -1e9, branch, lambda: x)


def _in_loop(write: Callable[[], Any], x: Any) -> Any:
    def body(i: Any, y: Any) -> Any:
        with tf.control_dependencies([write()]):
            return i + 1, y

    return tf.while_loop(lambda i, y: i < 2, body, [0, x])[1]


def _in_calls(write: Callable[[], Any], x: Any) -> Any:
    def nested(depth: int) -> Any:
        @tf.function(autograph=False)
        def call(y: Any) -> Any:
            if depth:
                return nested(depth - 1)(y)
            with tf.control_dependencies([write()]):
                return tf.identity(y)

        return call

    return nested(4)(x)


def _dataset(make: Callable[[Path], Any]) -> Maker:
    def effect(canary: Path) -> Any:
        return make(canary).reduce(tf.constant(0, tf.int64), lambda count, _: count + 1)

    return _does(effect)


def table_from_a_file(folder: Path, canary: Path) -> Path:
    """Filled when the model is loaded, from any path."""
    shutil.copy("/etc/passwd", folder / "words")
    source = tf.lookup.TextFileInitializer(
        str(folder / "words"), tf.string, tf.lookup.TextFileIndex.WHOLE_LINE, tf.int64,
        tf.lookup.TextFileIndex.LINE_NUMBER,
    )  # fmt: skip
    table = tf.lookup.StaticHashTable(source, -1)
    return _saved(folder, lambda x: x + tf.cast(table.lookup(tf.constant(["root"])), tf.float32), table=table)


def _edited(change: Callable[[Any, Path, Path], Any], make: Maker | None = None) -> Maker:
    """A SavedModel whose protocol buffer was changed."""

    def maker(folder: Path, canary: Path) -> Path:
        from tensorflow.core.protobuf.saved_model_pb2 import SavedModel

        path = make(folder, canary) if make else sound_saved_model(folder)
        message = SavedModel.FromString((path / "saved_model.pb").read_bytes())
        change(message.meta_graphs[0], canary, path)
        (path / "saved_model.pb").write_bytes(message.SerializeToString())
        return path

    return maker


def _nodes(meta: Any) -> Any:
    return [node for function in meta.graph_def.library.function for node in function.node_def]


def _asset_elsewhere(meta: Any, canary: Path, path: Path) -> None:
    for asset in meta.asset_file_def:
        asset.filename = "../../../../../../../etc/passwd"


def _primitive_call(meta: Any, canary: Path, path: Path) -> None:
    """A call whose function is not in the library but is the name of an operator."""
    for node in _nodes(meta):
        if node.op == "AddV2":
            node.op = "StatefulPartitionedCall"
            node.attr.clear()
            node.attr["f"].func.name = "WriteFile"
            node.attr["Tin"].list.type.extend([1, 1])
            node.attr["Tout"].list.type.append(1)


def _recursion(meta: Any, canary: Path, path: Path) -> None:
    """A function that calls itself."""
    for function in meta.graph_def.library.function:
        for node in function.node_def:
            if node.op == "AddV2":
                node.op = "StatefulPartitionedCall"
                node.attr.clear()
                node.attr["f"].func.name = function.signature.name
                node.attr["Tin"].list.type.extend([1, 20])
                node.attr["Tout"].list.type.append(1)


def _huge_constant(meta: Any, canary: Path, path: Path) -> None:
    for node in _nodes(meta):
        if node.op == "Const" and node.attr["dtype"].type == 1:
            tensor = node.attr["value"].tensor
            for _ in range(3):
                tensor.tensor_shape.dim.add(size=2_000)
            del node.attr["_output_shapes"]


def _object_constant(meta: Any, canary: Path, path: Path) -> None:
    for node in _nodes(meta):
        if node.op == "Const":
            node.attr["dtype"].type = 21
            node.attr["value"].tensor.dtype = 21
            node.attr["value"].tensor.variant_val.add(type_name="tensorflow::Tensor", metadata=b"x")


def _saver_as_signature(meta: Any, canary: Path, path: Path) -> None:
    """The signature's output is what the saver gives."""
    for port in meta.signature_def["serving_default"].outputs.values():
        port.name = meta.saver_def.save_tensor_name


def _unknown_operator(meta: Any, canary: Path, path: Path) -> None:
    for node in _nodes(meta):
        if node.op == "AddV2":
            node.op = "XlaCallModule"


def variables_behind_a_link(folder: Path, canary: Path) -> Path:
    path = sound_saved_model(folder)
    shutil.move(path / "variables", folder / "elsewhere")
    os.symlink(folder / "elsewhere", path / "variables")
    return path


def fifo_among_the_variables(folder: Path, canary: Path) -> Path:
    path = sound_saved_model(folder)
    (path / "variables/variables.index").unlink()
    os.mkfifo(path / "variables/variables.index")
    return path


def second_graph(folder: Path, canary: Path) -> Path:
    path = sound_saved_model(folder)
    (path / "saved_model.cpb").write_bytes((path / "saved_model.pb").read_bytes())
    return path


def damaged_variables(folder: Path, canary: Path) -> Path:
    path = sound_saved_model(folder)
    file = path / "variables/variables.index"
    file.write_bytes(file.read_bytes()[:40] + bytes(range(256)))
    return path


def code_in_keras_metadata(folder: Path, canary: Path) -> Path:
    """Code in the metadata is passed over: the signature computes the same."""
    function = eval(f"lambda x: (open({str(canary)!r}, 'a').close(), x)[1]")
    tf_keras.Sequential([tf_keras.Input((4,)), tf_keras.layers.Lambda(function)]).save(folder / "m", save_format="tf")
    return folder / "m"


def endless_loop(folder: Path, canary: Path) -> Path:
    return _saved(folder, lambda x: tf.while_loop(lambda y: tf.reduce_sum(y) > -1e30, lambda y: [y + 0.0], [x])[0])


def endless_loop_of_a_large_batch(folder: Path, canary: Path) -> Path:
    module = tf.Module()
    loop = tf.function(
        lambda x: tf.while_loop(lambda y: tf.reduce_sum(y) > -1e30, lambda y: [y + 0.0], [x])[0],
        input_signature=[tf.TensorSpec([16, 4], tf.float32, name="x")], autograph=False,
    )  # fmt: skip
    tf.saved_model.save(module, str(folder / "saved"), signatures={"serving_default": loop})
    return folder / "saved"


def hollow_graph(folder: Path, canary: Path) -> Path:
    path = sound_saved_model(folder)
    os.truncate(path / "saved_model.pb", 1 << 40)
    return path


def hollow_variables(folder: Path, canary: Path) -> Path:
    path = sound_saved_model(folder)
    os.truncate(next((path / "variables").glob("*.data*")), 1 << 40)
    return path


def endless_loop_of_another_signature(folder: Path, canary: Path) -> Path:
    module = tf.Module()
    module.v = tf.Variable(1.0)
    loop = tf.function(
        lambda x: tf.while_loop(lambda y: tf.reduce_sum(y) > -1e30, lambda y: [y + 0.0], [x])[0],
        input_signature=_SPEC, autograph=False,
    )  # fmt: skip
    serve = tf.function(lambda x: x * module.v, input_signature=_SPEC, autograph=False)
    signatures = {"serving_default": serve, "other": loop}
    tf.saved_model.save(module, str(folder / "saved"), signatures=signatures)
    return folder / "saved"


def growing_list(folder: Path, canary: Path) -> Path:
    """A loop that keeps all that it makes."""

    def function(x: Any) -> Any:
        array = tf.TensorArray(tf.float32, size=0, dynamic_size=True)
        row = tf.zeros([1 << 20])
        _, array = tf.while_loop(lambda i, a: i < 10**6, lambda i, a: (i + 1, a.write(i, row + 1.0)), [0, array])
        return x + array.read(0)[:4]

    return _saved(folder, function)


GRAPHS: dict[str, Maker] = {
    "graph_python": _does(lambda canary: tf.py_function(lambda: open(canary, "a").close(), [], [])),
    "graph_numpy": _does(lambda canary: tf.numpy_function(lambda: open(canary, "a").close(), [], [])),
    "graph_write_file": _does(lambda canary: tf.io.write_file(str(canary), "x")),
    "graph_read_file": _does(lambda canary: tf.io.read_file("/etc/passwd")),
    "graph_matching_files": _does(lambda canary: tf.io.matching_files("/etc/*")),
    "graph_print": _does(lambda canary: tf.print("x", output_stream=f"file://{canary}")),
    "graph_save": _does(lambda canary: tf.raw_ops.SaveV2(
        prefix=str(canary), tensor_names=["a"], shape_and_slices=[""], tensors=[tf.ones(3)])),
    "graph_restore": _does(lambda canary: tf.raw_ops.RestoreV2(
        prefix="/tmp/tfcompress_x", tensor_names=["a"], shape_and_slices=[""], dtypes=[tf.float32])[0]),
    "graph_merge_checkpoints": _does(lambda canary: tf.raw_ops.MergeV2Checkpoints(
        checkpoint_prefixes=["/tmp/tfcompress_x"], destination_prefix=str(canary), delete_old_dirs=True)),
    "graph_load_matrix": _does(lambda canary: tf.raw_ops.LoadAndRemapMatrix(
        ckpt_path="/tmp/tfcompress_x", old_tensor_name="a", row_remapping=[0], col_remapping=[0],
        initializing_values=[], num_rows=1, num_cols=1)),
    "graph_vocabulary_remapping": _does(lambda canary: tf.raw_ops.GenerateVocabRemapping(
        new_vocab_file="/etc/passwd", old_vocab_file="/etc/passwd", new_vocab_offset=0, num_new_vocab=1)[0]),
    "graph_mapped_memory": _does(lambda canary: tf.raw_ops.ImmutableConst(
        dtype=tf.uint8, shape=[8], memory_region_name="/etc/passwd")),
    "graph_debug": _does(lambda canary: tf.raw_ops.DebugIdentityV2(
        input=tf.ones(3), tfdbg_context_id="x", op_name="y", output_slot=0, tensor_debug_mode=1,
        debug_urls=[f"file://{canary}"])),
    "graph_summary": _does(lambda canary: tf.raw_ops.CreateSummaryFileWriter(
        writer=tf.raw_ops.SummaryWriter(), logdir=str(canary), max_queue=1, flush_millis=1, filename_suffix=".x")),
    "graph_proto_descriptor": _does(lambda canary: tf.raw_ops.DecodeProtoV2(
        bytes=[b""], message_type="a", field_names=["b"], output_types=[tf.string],
        descriptor_source="/etc/passwd")[0]),
    "graph_sampler_vocabulary": _does(lambda canary: tf.raw_ops.FixedUnigramCandidateSampler(
        true_classes=[[1]], num_true=1, num_sampled=1, unique=True, range_max=2, vocab_file="/etc/passwd")[0]),
    "graph_temporary": _does(lambda canary: tf.raw_ops.Abort(error_msg="x")),
    "graph_text_lines": _dataset(lambda canary: tf.data.TextLineDataset("/etc/passwd")),
    "graph_cache_on_disk": _dataset(lambda canary: tf.data.Dataset.range(3).cache(str(canary))),
    "graph_records": _dataset(lambda canary: tf.data.TFRecordDataset("/etc/passwd")),
    "graph_write_in_branch": _inside(_in_branch),
    "graph_write_in_loop": _inside(_in_loop),
    "graph_write_in_nested_calls": _inside(_in_calls),
    "graph_table_from_a_file": table_from_a_file,
    "graph_asset_elsewhere": _edited(_asset_elsewhere, table_from_a_file),
    "graph_call_of_an_operator": _edited(_primitive_call),
    "graph_function_calls_itself": _edited(_recursion),
    "graph_huge_constant": _edited(_huge_constant),
    "graph_constant_object": _edited(_object_constant),
    "graph_saver_as_signature": _edited(_saver_as_signature),
    "graph_of_xla": _edited(_unknown_operator),
    "graph_variables_behind_a_link": variables_behind_a_link,
    "graph_in_two_forms": second_graph,
    "graph_fifo": fifo_among_the_variables,
    "graph_damaged_variables": damaged_variables,
    "graph_code_in_metadata": code_in_keras_metadata,
    "graph_fills_memory": lambda folder, canary: _saved(
        folder, lambda x: x + tf.reduce_sum(tf.sin(tf.fill([10**5, 10**6], x[0, 0])))),
    "graph_string_bomb": lambda folder, canary: _saved(
        folder, lambda x: x + tf.cast(tf.reduce_max(tf.strings.length(tf.strings.join(
            [tf.fill([10**7], tf.strings.as_string(x[0, 0])), "y" * 400]))), tf.float32)),
    "graph_growing_list": growing_list,
    "graph_endless_loop": endless_loop,
    "graph_endless_loop_elsewhere": endless_loop_of_another_signature,
    "graph_endless_loop_of_16": endless_loop_of_a_large_batch,
    "graph_hollow": hollow_graph,
    "graph_hollow_variables": hollow_variables,
}  # fmt: skip
