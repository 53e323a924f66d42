"""Attacks by .tflite and .onnx files."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema

from tfcompress.runtime import tf

__all__ = ["ARTIFACTS", "sound_onnx", "sound_tflite"]

Maker = Callable[[Path, Path], Path]


def _converted(folder: Path, function: Callable[[Any], Any], *, flex: bool = False) -> Path:
    concrete = tf.function(function, input_signature=[tf.TensorSpec([1, 4])], autograph=False).get_concrete_function()
    converter = tf.lite.TFLiteConverter.from_concrete_functions([concrete])
    if flex:
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS, tf.lite.OpsSet.SELECT_TF_OPS]
    (folder / "model.tflite").write_bytes(converter.convert())
    return folder / "model.tflite"


def sound_tflite(folder: Path) -> Path:
    """A .tflite that only computes."""
    return _converted(folder, lambda x: tf.nn.relu(tf.matmul(x, tf.ones([4, 4]))) + 1.0)


def flex_operator(folder: Path, canary: Path) -> Path:
    """A TensorFlow operator inside a .tflite."""
    return _converted(folder, lambda x: tf.linalg.inv(tf.reshape(x, [2, 2])), flex=True)


def flex_write_file(folder: Path, canary: Path) -> Path:
    path = flex_operator(folder, canary)
    data = path.read_bytes()
    path.write_bytes(data.replace(b"FlexMatrixInverse", b"FlexWriteFile\0\0\0\0"))
    return path


def endless_tflite(folder: Path, canary: Path) -> Path:
    return _converted(folder, lambda x: tf.while_loop(lambda y: tf.reduce_sum(y) > -1e30, lambda y: [y * 1.0], [x])[0])


def _edited(change: Callable[[Any], Any]) -> Maker:
    """A small .tflite unpacked, changed and packed."""

    def make(folder: Path, canary: Path) -> Path:
        path = sound_tflite(folder)
        model = schema.ModelT.InitFromPackedBuf(path.read_bytes(), 0)
        change(model)
        builder = flatbuffers.Builder()
        builder.Finish(model.Pack(builder), b"TFL3")
        path.write_bytes(bytes(builder.Output()))
        return path

    return make


def _huge_tensor(model: Any) -> None:
    for tensor in model.subgraphs[0].tensors:
        if model.buffers[tensor.buffer].data is None:
            tensor.shape = np.array([1 << 15, 1 << 15], np.int32)
            tensor.shapeSignature = None


def _custom_operator(model: Any) -> None:
    for code in model.operatorCodes:
        code.builtinCode = code.deprecatedBuiltinCode = 32
        code.customCode = b"RunAnything"


def _far_buffer(model: Any) -> None:
    for buffer in model.buffers:
        if buffer.data is not None:
            buffer.data, buffer.offset, buffer.size = None, 1 << 40, 1 << 40


def _weights_elsewhere(model: Any) -> None:
    model.externalBufferGroups = [schema.ExternalBufferGroupT(name=b"/etc/passwd")]
    model.externalBuffers = [schema.ExternalBufferT(id=1, group=0, offset=0, length=64, packing=b"")]
    for tensor in model.subgraphs[0].tensors:
        if model.buffers[tensor.buffer].data is not None:
            tensor.buffer, tensor.externalBuffer = 0, 1


def _many_graphs(model: Any) -> None:
    model.subgraphs = model.subgraphs * 5_000


def _wrong_inputs(model: Any) -> None:
    for operator in model.subgraphs[0].operators:
        operator.inputs = np.array([0] * len(operator.inputs), np.int32)


def _writes_a_constant(model: Any) -> None:
    """LiteRT leaves the output where the file's bytes are, and in a larger batch it would write beyond them."""
    graph = model.subgraphs[0]
    model.buffers.append(schema.BufferT(data=np.zeros(16, np.uint8)))
    for operator in graph.operators:
        graph.tensors[operator.outputs[0]].buffer = len(model.buffers) - 1


def _constant_input(model: Any) -> None:
    graph = model.subgraphs[0]
    model.buffers.append(schema.BufferT(data=np.zeros(16, np.uint8)))
    graph.tensors[graph.inputs[0]].buffer = len(model.buffers) - 1


def _no_inputs_at_all(model: Any) -> None:
    for operator in model.subgraphs[0].operators:
        operator.inputs = np.array([-1] * len(operator.inputs), np.int32)


def _repeated(count: int, vector: Callable[[Any], tuple[Any, int]]) -> Maker:
    """A vector of tables that names its first one many times; `vector` gives the table that holds it, and its slot."""

    def make(folder: Path, canary: Path) -> Path:
        path = _converted(folder, lambda x: x + 1.0)
        data = bytearray(path.read_bytes())
        holder, slot = vector(schema.Model.GetRootAs(bytes(data)))
        field = holder.Pos + holder.Offset(slot)
        entry = field + int.from_bytes(data[field : field + 4], "little") + 4
        first, start = entry + int.from_bytes(data[entry : entry + 4], "little"), len(data) + (-len(data)) % 4
        data += bytes(start - len(data)) + count.to_bytes(4, "little")
        for i in range(count):
            data += ((first - (start + 4 + 4 * i)) & 0xFFFFFFFF).to_bytes(4, "little")
        data[field : field + 4] = (start - field).to_bytes(4, "little")
        path.write_bytes(bytes(data))
        return path

    return make


def _truncated(folder: Path, canary: Path) -> Path:
    path = _converted(folder, lambda x: x + 1.0)
    path.write_bytes(path.read_bytes()[:-200])
    return path


def _onnx_model(
    folder: Path,
    nodes: list[Any],
    initializers: tuple[Any, ...] = (),
    functions: tuple[Any, ...] = (),
    opsets: tuple[str, ...] = (),
) -> Path:
    import onnx

    helper = onnx.helper
    kind = onnx.TensorProto.FLOAT
    graph = helper.make_graph(
        nodes, "g", [helper.make_tensor_value_info("x", kind, [1, 4])],
        [helper.make_tensor_value_info("y", kind, None)], list(initializers),
    )  # fmt: skip
    imports = [helper.make_opsetid("", 18), *(helper.make_opsetid(name, 1) for name in opsets)]
    model = helper.make_model(graph, opset_imports=imports, ir_version=10, functions=list(functions))
    (folder / "model.onnx").write_bytes(model.SerializeToString())
    return folder / "model.onnx"


def sound_onnx(folder: Path) -> Path:
    """An .onnx that only computes."""
    import onnx

    weights = onnx.helper.make_tensor("w", onnx.TensorProto.FLOAT, [4, 4], [0.5] * 16)
    nodes = [onnx.helper.make_node("MatMul", ["x", "w"], ["z"]), onnx.helper.make_node("Relu", ["z"], ["y"])]
    return _onnx_model(folder, nodes, (weights,))


def _external(location: Callable[[Path], str]) -> Maker:
    def make(folder: Path, canary: Path) -> Path:
        import onnx

        tensor = onnx.TensorProto(name="w", data_type=1, dims=[4], data_location=onnx.TensorProto.EXTERNAL)
        tensor.external_data.add(key="location", value=location(folder))
        return _onnx_model(folder, [onnx.helper.make_node("Add", ["x", "w"], ["y"])], (tensor,))

    return make


def _linked(folder: Path) -> str:
    os.symlink("/etc/passwd", folder / "weights.bin")
    return "weights.bin"


def _onnx_node(operator: str, domain: str = "", **attributes: Any) -> Maker:
    def make(folder: Path, canary: Path) -> Path:
        import onnx

        node = onnx.helper.make_node(operator, ["x"], ["y"], domain=domain, **attributes)
        return _onnx_model(folder, [node], opsets=(domain,) if domain else ())

    return make


def hidden_in_a_function(folder: Path, canary: Path) -> Path:
    import onnx

    inner = onnx.helper.make_node("RunAnything", ["a"], ["b"], domain="evil")
    opsets = [onnx.helper.make_opsetid("evil", 1)]
    function = onnx.helper.make_function("own", "F", ["a"], ["b"], [inner], opsets)
    return _onnx_model(
        folder, [onnx.helper.make_node("F", ["x"], ["y"], domain="own")], (), (function,), ("own", "evil")
    )


def function_that_poses_as_an_operator(folder: Path, canary: Path) -> Path:
    """The body is harmless, and ONNX Runtime would run its own operator of that name."""
    import onnx

    inner = onnx.helper.make_node("Identity", ["a"], ["b"])
    function = onnx.helper.make_function(
        "com.microsoft", "EPContext", ["a"], ["b"], [inner], [onnx.helper.make_opsetid("", 18)]
    )
    node = onnx.helper.make_node("EPContext", ["x"], ["y"], domain="com.microsoft", ep_cache_context="/etc/passwd")
    return _onnx_model(folder, [node], (), (function,), ("com.microsoft",))


def _body(nodes: list[Any]) -> Any:
    import onnx

    helper, kind = onnx.helper, onnx.TensorProto
    inputs = [helper.make_tensor_value_info(name, dtype, shape) for name, dtype, shape in
              (("i", kind.INT64, []), ("c", kind.BOOL, []), ("v", kind.FLOAT, [1, 4]))]  # fmt: skip
    outputs = [helper.make_tensor_value_info("c2", kind.BOOL, []),
               helper.make_tensor_value_info("v2", kind.FLOAT, [1, 4])]  # fmt: skip
    return helper.make_graph([helper.make_node("Identity", ["c"], ["c2"]), *nodes], "body", inputs, outputs)


def endless_onnx(folder: Path, canary: Path) -> Path:
    import onnx

    helper = onnx.helper
    body = _body([helper.make_node("Identity", ["v"], ["v2"])])
    truth = helper.make_tensor("t", onnx.TensorProto.BOOL, [], [True])
    return _onnx_model(folder, [helper.make_node("Loop", ["", "t", "x"], ["y"], body=body)], (truth,))


def hidden_in_a_loop(folder: Path, canary: Path) -> Path:
    import onnx

    helper = onnx.helper
    body = _body([helper.make_node("RunAnything", ["v"], ["v2"], domain="evil")])
    truth = helper.make_tensor("t", onnx.TensorProto.BOOL, [], [True])
    return _onnx_model(folder, [helper.make_node("Loop", ["", "t", "x"], ["y"], body=body)], (truth,), opsets=("evil",))


def hidden_by_a_wide_tag(folder: Path, canary: Path) -> Path:
    """A node whose tag has a 33rd bit, which ONNX Runtime drops: a walk that keeps it sees an unknown field."""
    import onnx

    path = _onnx_model(folder, [onnx.helper.make_node("Relu", ["x"], ["y"])], (), (), ("evil",))
    hidden = onnx.helper.make_node("RunAnything", ["y"], ["z"], domain="evil").SerializeToString()
    node = b"\x8a\x80\x80\x80\x10" + bytes([len(hidden)]) + hidden
    path.write_bytes(path.read_bytes() + b"\x3a" + bytes([len(node)]) + node)
    return path


def filling_onnx(folder: Path, canary: Path) -> Path:
    import onnx

    helper = onnx.helper
    shape = helper.make_tensor("s", onnx.TensorProto.INT64, [2], [10**6, 10**6])
    return _onnx_model(folder, [helper.make_node("Expand", ["x0", "s"], ["y"])],
                       (shape, helper.make_tensor("x0", 1, [1], [1.0])))  # fmt: skip


def wide_onnx(folder: Path, canary: Path) -> Path:
    """It runs in the memory that it has; its outputs of a few samples would not fit anywhere."""
    import onnx

    helper = onnx.helper
    times = helper.make_tensor("s", onnx.TensorProto.INT64, [2], [1, 15_000_000])
    return _onnx_model(folder, [helper.make_node("Tile", ["x", "s"], ["y"])], (times,))


def _onnx_text(data: bytes) -> Maker:
    def make(folder: Path, canary: Path) -> Path:
        (folder / "model.onnx").write_bytes(data)
        return folder / "model.onnx"

    return make


def hollow_tflite(folder: Path, canary: Path) -> Path:
    path = sound_tflite(folder)
    os.truncate(path, 1 << 40)
    return path


def device_tflite(folder: Path, canary: Path) -> Path:
    (folder / "model.tflite").symlink_to("/dev/zero")
    return folder / "model.tflite"


_TFLITE: dict[str, Maker] = {
    "tflite_hollow": hollow_tflite,
    "tflite_device": device_tflite,
    "tflite_flex_operator": flex_operator,
    "tflite_flex_write_file": flex_write_file,
    "tflite_custom_operator": _edited(_custom_operator),
    "tflite_huge_tensor": _edited(_huge_tensor),
    "tflite_wide_output": lambda folder, canary: _converted(folder, lambda x: tf.tile(x, [1, 15_000_000])),
    "tflite_far_buffer": _edited(_far_buffer),
    "tflite_weights_elsewhere": _edited(_weights_elsewhere),
    "tflite_many_graphs": _edited(_many_graphs),
    "tflite_wrong_inputs": _edited(_wrong_inputs),
    "tflite_no_inputs_at_all": _edited(_no_inputs_at_all),
    "tflite_writes_a_constant": _edited(_writes_a_constant),
    "tflite_constant_input": _edited(_constant_input),
    "tflite_shared_tables": _repeated(1_000_000, lambda model: (model._tab, 8)),  # graphs
    "tflite_shared_tensors": _repeated(400_000, lambda model: (model.Subgraphs(0)._tab, 4)),
    "tflite_shared_operators": _repeated(400_000, lambda model: (model.Subgraphs(0)._tab, 10)),
    "tflite_truncated": _truncated,
    "tflite_endless_loop": endless_tflite,
}
_ONNX: dict[str, Maker] = {
    "onnx_external_parent": _external(lambda folder: "../../../../../../etc/passwd"),
    "onnx_external_absolute": _external(lambda folder: "/etc/passwd"),
    "onnx_external_link": _external(_linked),
    "onnx_external_memory_address": _external(lambda folder: "*/_ORT_MEM_ADDR_/*"),
    "onnx_external_missing": _external(lambda folder: "nothing.bin"),
    "onnx_custom_domain": _onnx_node("RunAnything", "evil"),
    "onnx_ep_context": _onnx_node("EPContext", "com.microsoft", ep_cache_context="/etc/passwd", embed_mode=0),
    "onnx_python_operator": _onnx_node("PythonOp", "com.microsoft"),
    "onnx_hidden_in_a_function": hidden_in_a_function,
    "onnx_function_that_poses_as_an_operator": function_that_poses_as_an_operator,
    "onnx_hidden_in_a_loop": hidden_in_a_loop,
    "onnx_hidden_by_a_wide_tag": hidden_by_a_wide_tag,
    "onnx_fills_memory": filling_onnx,
    "onnx_wide_output": wide_onnx,
    "onnx_endless_loop": endless_onnx,
    "onnx_nothing": _onnx_text(b""),
    "onnx_text": _onnx_text(b"\x3a\xff\xff\xff\xff\x0f"),
}
ARTIFACTS: dict[str, Maker] = {**_TFLITE, **(_ONNX if importlib.util.find_spec("onnx") else {})}
