"""The lines of sample code that differ from model to model, language by language.

Every sample feeds zeros of the right shape and type, so that it runs as it is; the comment says what belongs there.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from tfcompress.converters.usage.ports import Port, Ports

__all__ = [
    "c_type",
    "cpp_labels",
    "cpp_lines",
    "identifier",
    "kotlin_fits",
    "kotlin_lines",
    "python_feed",
    "python_read",
    "quoted",
    "swift_lines",
    "tflm_data",
]

_C_TYPES = {"float32": "float", "bool": "bool", "float16": "uint16_t"}


def identifier(name: str, index: int, side: str) -> str:
    """A variable for an input or output, in any of the languages: its name where that is a word, else its number."""
    word = re.sub(r"\W+", "_", name, flags=re.ASCII).strip("_").lower()
    plain = word and word[0].isalpha() and word not in _TAKEN
    return f"{word}_{side}" if plain else f"{side}_{index}"


_TAKEN = {"input", "output", "inputs", "outputs", "model", "interpreter"}


def c_type(port: Port) -> str:
    """Of a port's values, in C++."""
    return _C_TYPES.get(port.dtype, f"{port.dtype}_t")


def python_feed(ports: Ports, setter: str = "interpreter.set_tensor(inputs[{index}]['index'], {value})") -> str:
    """Lines of Python that set every input."""
    lines = []
    for index, port in enumerate(ports.inputs):
        name = identifier(port.name, index, "input")
        dtype = port.dtype if port.scale is None else "float32"
        lines.append(f"{name} = np.zeros({port.shape}, np.{_numpy(dtype)})  # your data, as the Keras model takes it")
        value = name
        if port.scale is not None:
            low, high = port.limits
            value = f"stored_{index}"
            rounded = f"np.round({name} / {port.scale_text}) + {port.zero_point}"
            lines.append(f"{value} = np.clip({rounded}, {low}, {high}).astype(np.{port.dtype})")
        lines.append(setter.format(index=index, value=value))
    return "\n".join(lines)


def python_read(ports: Ports, getter: str = "interpreter.get_tensor(outputs[{index}]['index'])") -> str:
    """Lines of Python that read every output as real values, and name the likeliest class."""
    lines = []
    for index, port in enumerate(ports.outputs):
        name, raw = identifier(port.name, index, "output"), getter.format(index=index)
        if port.scale is None:
            lines.append(f"{name} = {raw}")
        else:
            lines.append(f"{name} = {port.scale_text} * ({raw}.astype(np.float32) - {port.zero_point})")
        lines.append(f"print({port.name!r}, {name})")
    if ports.scores is not None:
        name = identifier(ports.outputs[ports.scores].name, ports.scores, "output")
        lines.append(f"labels = {list(ports.labels)!r}")
        lines.append(f"print(labels[int({name}[0].argmax())])")
    return "\n".join(lines)


def _numpy(dtype: str) -> str:
    return "bool_" if dtype == "bool" else dtype


def kotlin_lines(ports: Ports) -> tuple[str, str]:
    """Lines of Kotlin that write every input, and that read every output."""
    feed, read = [], []
    for index, port in enumerate(ports.inputs):
        name = identifier(port.name, index, "input")
        kind, call = _KOTLIN[port.dtype]
        if port.scale is None:
            feed.append(f"val {name} = {kind}Array({port.count})  // your data, as the Keras model takes it")
            feed.append(f"inputs[{index}].write{call}({name})")
            continue
        low, high = port.limits
        feed.append(f"val {name} = FloatArray({port.count})  // your data, as the Keras model takes it")
        stored = f"(round({name}[it] / {port.scale_text}f).toInt() + {port.zero_point}).coerceIn({low}, {high})"
        feed.append(f"inputs[{index}].write{call}({kind}Array({port.count}) {{ {stored}.to{kind}() }})")
    for index, port in enumerate(ports.outputs):
        name = identifier(port.name, index, "output")
        _, call = _KOTLIN[port.dtype]
        if port.scale is None:
            read.append(f"val {name} = outputs[{index}].read{call}()")
            continue
        number = "it.toUByte().toInt()" if port.dtype == "uint8" else "it.toInt()"
        real = f"{port.scale_text}f * ({number} - ({port.zero_point}))"
        read.append(f"val {name} = outputs[{index}].read{call}().map {{ {real} }}")
    if ports.scores is not None:
        name = identifier(ports.outputs[ports.scores].name, ports.scores, "output")
        names = ", ".join(quoted(label).replace("$", "\\$") for label in ports.labels)
        read.append(f"val labels = listOf({names})")
        read.append(f"val best = labels[{name}.indices.maxBy {{ {name}[it] }}]")
    return "\n".join(feed), "\n".join(read)


# {dtype: (element of the array, ending of TensorBuffer's methods)}; 8 bits without a sign go as bytes.
_KOTLIN = {
    "float32": ("Float", "Float"),
    "int32": ("Int", "Int"),
    "int64": ("Long", "Long"),
    "bool": ("Boolean", "Boolean"),
    "int8": ("Byte", "Int8"),
    "uint8": ("Byte", "Int8"),
}


def kotlin_fits(ports: Ports) -> bool:
    """Whether the Kotlin API has the types of all inputs and outputs."""
    return all(port.dtype in _KOTLIN for port in (*ports.inputs, *ports.outputs))


def swift_lines(ports: Ports) -> tuple[str, str]:
    """Lines of Swift that copy every input, and that read every output."""
    feed, read = [], []
    for index, port in enumerate(ports.inputs):
        name, kind = identifier(port.name, index, "input"), _swift(port.dtype)
        real = "Float" if port.scale is not None else kind
        feed.append(
            f"let {name} = [{real}](repeating: 0, count: {port.count})  // your data, as the Keras model takes it"
        )
        value = name
        if port.scale is not None:
            low, high = port.limits
            value = f"stored{index}"
            number = f"($0 / {port.scale_text}).rounded() + Float({port.zero_point})"
            feed.append(f"let {value} = {name}.map {{ {kind}(min(max({number}, {low}), {high})) }}")
        feed.append(f"try interpreter.copy({value}.withUnsafeBytes {{ Data($0) }}, toInputAt: {index})")
    for index, port in enumerate(ports.outputs):
        name, kind = identifier(port.name, index, "output"), _swift(port.dtype)
        read.append(f"let data{index} = try interpreter.output(at: {index}).data")
        array = f"data{index}.withUnsafeBytes {{ Array($0.bindMemory(to: {kind}.self)) }}"
        if port.scale is None:
            read.append(f"let {name} = {array}")
        else:
            real = f"Float({port.scale_text}) * (Float($0) - Float({port.zero_point}))"
            read.append(f"let {name} = {array}.map {{ {real} }}")
    if ports.scores is not None:
        name = identifier(ports.outputs[ports.scores].name, ports.scores, "output")
        read.append(f"let labels = [{', '.join(map(quoted, ports.labels))}]")
        read.append(f"let best = labels[{name}.indices.max {{ {name}[$0] < {name}[$1] }}!]")
    return "\n".join(feed), "\n".join(read)


def _swift(dtype: str) -> str:
    kinds = {"float32": "Float", "float16": "UInt16", "bool": "Bool"}
    return kinds.get(dtype) or (f"U{dtype[1:].capitalize()}" if dtype[0] == "u" else dtype.capitalize())


def _typed_tensor(side: str, kind: str, index: int) -> str:
    return f"interpreter->typed_{side}_tensor<{kind}>({index})"


_TFLM_MEMBERS = {
    "float": "f",
    "int8_t": "int8",
    "uint8_t": "uint8",
    "int16_t": "i16",
    "int32_t": "i32",
    "int64_t": "i64",
}


def tflm_data(side: str, kind: str, index: int) -> str:
    """How a tensor's numbers are got at in TensorFlow Lite Micro, which has a member for each type."""
    return f"interpreter.{side}({index})->data.{_TFLM_MEMBERS.get(kind, 'b')}"


def cpp_lines(ports: Ports, data: Callable[[str, str, int], str] = _typed_tensor) -> tuple[str, str]:
    """Lines of C++ that fill every input, and that read every output.

    Args:
        ports: of the file.
        data: how a tensor's numbers are got at, from its side (input or output), their type and its index.
    """
    feed, read = [], []
    for index, port in enumerate(ports.inputs):
        name, kind = identifier(port.name, index, "input"), c_type(port)
        stored = (
            "0" if port.scale is None else f"Quantize(0.0f, {port.scale_text}f, {port.zero_point}, {_bounds(port)})"
        )
        feed.append(f"{kind}* {name} = {data('input', kind, index)};")
        feed.append(f"for (int i = 0; i < {port.count}; ++i) {{")
        feed.append(f"  {name}[i] = static_cast<{kind}>({stored});  // your data, as the Keras model takes it")
        feed.append("}")
    for index, port in enumerate(ports.outputs):
        name, kind = identifier(port.name, index, "output"), c_type(port)
        read.append(f"const {kind}* {name} = {data('output', kind, index)};")
        real = f"static_cast<double>({name}[i])"
        real = real if port.scale is None else f"{port.scale_text} * ({real} - ({port.zero_point}))"
        label = f"kLabels[i % {len(ports.labels)}]" if index == ports.scores else quoted(port.name)
        read.append(f"for (int i = 0; i < {port.count}; ++i) {{")
        read.append(f'  std::printf("%s %d: %g\\n", {label}, i, {real});')
        read.append("}")
    return "\n".join(feed), "\n".join(read)


def _bounds(port: Port) -> str:
    low, high = port.limits
    return f"{low}, {high}"


def cpp_labels(ports: Ports) -> str:
    """A C++ array of the labels; a comment where there are none."""
    if not ports.labels:
        return "// The model has no labels: give --labels=FILE to name its classes."
    return f"const char* const kLabels[] = {{{', '.join(map(quoted, ports.labels))}}};"


def quoted(text: str) -> str:
    """As a string of C, Kotlin, Swift and JavaScript."""
    plain = "".join(char if char.isprintable() else " " for char in text)
    return '"' + plain.replace("\\", "\\\\").replace('"', '\\"') + '"'
