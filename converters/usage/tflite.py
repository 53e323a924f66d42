"""The pages of the targets that run a plain .tflite: phone and Edge TPU."""

from __future__ import annotations

from tfcompress.converters.usage.languages import (
    cpp_labels,
    cpp_lines,
    identifier,
    kotlin_fits,
    kotlin_lines,
    python_feed,
    python_read,
    quoted,
    swift_lines,
)
from tfcompress.converters.usage.pages import page, sample
from tfcompress.converters.usage.ports import Port, Ports
from tfcompress.usage import Words

__all__ = ["edgetpu_page", "phone_page", "python_section"]

_TEXT_STEPS = {  # by TextVectorization's way to standardize, what is left to the application
    None: "text",
    "lower": "text.lower()",
    "lower_and_strip_punctuation": 'text.lower().translate(str.maketrans("", "", string.punctuation))',
}
_ARRAYS = {"float32": "Float32Array", "int32": "Int32Array", "uint8": "Uint8Array"}  # what LiteRT.js takes


def phone_page(ports: Ports) -> str:
    """USE.md of the phone target."""
    return page(
        "How to use model.tflite",
        "An app feeds one sample and reads one result.  Where a type is an integer, its numbers stand for real values:",
        ports.table(),
        python_section(ports),
        _kotlin(ports),
        _swift(ports),
        _javascript(ports),
        _mediapipe(ports),
        _cpp(ports),
    )


def edgetpu_page(ports: Ports) -> str:
    """USE.md of the edgetpu target."""
    return page(
        "How to use this model on an Edge TPU",
        "`model.tflite` is what the Edge TPU compiler takes; `mapping.json` says which operators it is going to map.",
        ports.table(),
        sample("edgetpu", feed=python_feed(ports), read=python_read(ports)),
        python_section(ports),
    )


def python_section(ports: Ports) -> str:
    """How `model.tflite` beside the page is run in Python."""
    return sample("python", file="model.tflite", feed=python_feed(ports), read=python_read(ports))


def _kotlin(ports: Ports) -> str:
    if not kotlin_fits(ports):
        return (
            "## Android (Kotlin)\n\nLiteRT's Kotlin API has no arrays of this file's types: convert with "
            "`--io=int8` or `--io=float32`."
        )
    feed, read = kotlin_lines(ports)
    return sample("kotlin", feed=feed, read=read)


def _swift(ports: Ports) -> str:
    feed, read = swift_lines(ports)
    return sample("swift", feed=feed, read=read)


def _javascript(ports: Ports) -> str:
    others = {port.dtype for port in (*ports.inputs, *ports.outputs)} - set(_ARRAYS)
    if others:
        return (
            "## Browser (LiteRT.js)\n\nLiteRT.js takes float32, int32 and uint8 at the edges, "
            f"not {', '.join(sorted(others))}: convert with `--io=float32` or `--io=uint8`."
        )
    feed = [_js_tensor(port) for port in ports.inputs]
    read = [
        f"const {identifier(port.name, index, 'output')} = await outputs[{index}].data();"
        for index, port in enumerate(ports.outputs)
    ]
    if ports.scores is not None:
        name = identifier(ports.outputs[ports.scores].name, ports.scores, "output")
        read.append(f"const labels = [{', '.join(map(quoted, ports.labels))}];")
        read.append(f"console.log(labels[{name}.indexOf(Math.max(...{name}))]);")
    return sample("javascript", feed="\n".join(feed), read="\n".join(read))


def _js_tensor(port: Port) -> str:
    return f"new Tensor(new {_ARRAYS[port.dtype]}({port.count}), {list(port.shape)}),  // {port.name}"


def _mediapipe(ports: Ports) -> str | None:
    """For a classifier of images, sounds or texts alone, which MediaPipe recognises by the metadata."""
    if len(ports.inputs) != 1 or len(ports.outputs) != 1 or not ports.labels:
        return None
    taken, given = ports.inputs[0].dtype, ports.outputs[0].dtype
    if ports.inputs[0].normalization is not None:
        fits = {taken, given} <= {"uint8", "float32"}
        return sample("mediapipe") if fits else _mediapipe_wants("uint8 or float32 at the edges", "uint8")
    if ports.sample_rate is not None:
        fits = {taken, given} <= {"float32"}
        return sample("mediapipe_audio") if fits else _mediapipe_wants("sounds as float32", "float32")
    if ports.words is not None and taken == "int32":
        fits = given in ("uint8", "float32")
        return _texts(ports.words) if fits else _mediapipe_wants("uint8 or float32 out", "float32")
    return None


def _texts(words: Words) -> str:
    steps = _TEXT_STEPS[words.standardize]
    return sample("mediapipe_text", imports="import string\n\n" if "string." in steps else "", steps=steps)


def _mediapipe_wants(what: str, io: str) -> str:
    return f"## MediaPipe Tasks\n\nMediaPipe takes {what}: convert with `--io={io}`."


def _cpp(ports: Ports) -> str:
    feed, read = cpp_lines(ports)
    return sample("cpp", labels=cpp_labels(ports), feed=feed, read=read)
