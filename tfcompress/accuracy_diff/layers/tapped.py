"""A .tflite whose layers can be watched: the same operators, with every layer's output made an output of the file.

`tapped` leaves the graph as it is, so a layer shows the errors that it inherits.  `teacher_forced` also cuts the graph
at every layer: each operator reads the layers before it from inputs of the file, which are fed with the float model's
values, so a layer shows its own error alone.  Either is one file and one run for all layers.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from tfcompress.graphs.tflite import Operator, Tensor, TfliteFile
from tfcompress.graphs.tflite.editor import ModelEditor, TensorNode
from tfcompress.graphs.tflite.operators import CONVERSIONS
from tfcompress.graphs.tflite.quantization import real_limits
from tfcompress.layer_names import as_named_in, layers_of

__all__ = [
    "LayerTensor",
    "Tapped",
    "find_layer_tensors",
    "output_tensor",
    "tapped",
    "teacher_forced",
    "tensor_range",
]


@dataclass(frozen=True)
class LayerTensor:
    """The tensor of a .tflite that holds a layer's output.

    Attributes:
        layer: the Keras layer, the last of those fused.
        fused: the other layers fused into the same operators.
        leaves: last parts of the names of the TensorFlow operators that it stands for.
        tensor: as the file has it.
        operator: that computes it.
    """

    layer: str
    fused: tuple[str, ...]
    leaves: tuple[str, ...]
    tensor: Tensor
    operator: Operator

    @property
    def port(self) -> str:
        """Name of the tensor among the outputs of a tapped file."""
        return f"t{self.tensor.index}"

    @property
    def real_range(self) -> tuple[float, float] | None:
        """Lowest and highest real value that the tensor can hold; None for a float tensor."""
        return tensor_range(self.tensor)


def tensor_range(tensor: Tensor) -> tuple[float, float] | None:
    """Lowest and highest real value that a quantized tensor can hold; None for a float tensor."""
    if tensor.quantization is None or tensor.dtype not in ("int8", "uint8", "int16"):
        return None
    return real_limits(tensor.dtype, float(tensor.quantization.scales[0]), int(tensor.quantization.zero_points[0]))


@dataclass(frozen=True)
class Tapped:
    """An edited file.

    Attributes:
        content: the .tflite.
        fed: {input name: port} of the inputs that take a tensor's float values; empty for `tapped`.
    """

    content: bytes
    fed: dict[str, str]


def find_layer_tensors(file: TfliteFile, layer_names: Collection[str]) -> list[LayerTensor]:
    """The tensor of each layer, the last one that bears its name first, in the order of execution."""
    graph = file.main
    tensors: dict[str, LayerTensor] = {}
    # In a recurrent layer some tensors have time first: they cannot be compared sample by sample.
    sizes = {graph.tensors[index].shape[0] for index in graph.inputs if graph.tensors[index].shape}
    names = as_named_in(layer_names, (tensor.name for tensor in graph.tensors))
    for operator in graph.operators:
        for index in operator.outputs:
            tensor = graph.tensors[index]
            layers = layers_of(_last_first(tensor.name), names)
            if operator.name in CONVERSIONS or not layers or not _is_real(tensor) or tensor.shape[0] not in sizes:
                continue
            earlier = tensors.pop(layers[0]).fused if layers[0] in tensors else ()
            fused = tuple(dict.fromkeys((*layers[1:], *earlier)))
            tensors[layers[0]] = LayerTensor(layers[0], fused, _leaves(tensor.name, layers[0], names), tensor, operator)
    return list(tensors.values())


def _last_first(tensor_name: str) -> str:
    """The parts of a name with a fused ReLU before all others: fully connected operators name their MatMul first."""
    parts = tensor_name.split(";")
    return ";".join(sorted(parts, key=lambda part: not part.rsplit("/", 1)[-1].startswith("Relu")))


def output_tensor(file: TfliteFile, index: int, layer: str) -> LayerTensor | None:
    """The tensor of an output of the file, before a conversion to float; None for an output that nothing computes."""
    graph = file.main
    producer = graph.producer(index)
    while producer is not None and producer.name in CONVERSIONS:
        index = producer.inputs[0]
        producer = graph.producer(index)
    return None if producer is None else LayerTensor(layer, (), (), graph.tensors[index], producer)


def _leaves(tensor_name: str, layer: str, layer_names: Collection[str]) -> tuple[str, ...]:
    parts = tensor_name.split(";")
    return tuple(part.rsplit("/", 1)[-1] for part in parts if layers_of(part, layer_names) == (layer,))


def _is_real(tensor: Tensor) -> bool:
    return len(tensor.shape) > 0 and (tensor.dtype.startswith("float") or tensor.quantization is not None)


def tapped(content: bytes, tensors: Collection[LayerTensor]) -> Tapped:
    """The file with every layer's tensor as an output."""
    model = ModelEditor.read(content)
    _expose(model, tensors)
    return Tapped(model.to_bytes(), {})


def teacher_forced(content: bytes, tensors: Collection[LayerTensor]) -> Tapped:
    """The file with every layer reading float values instead of the layers before it."""
    model = ModelEditor.read(content)
    graph = model.main
    twins: dict[TensorNode, str] = {}
    for item in tensors:
        original = graph.tensors[item.tensor.index]
        twin = original.copy(f"f{item.tensor.index}")
        graph.redirect(original, twin)
        twins[twin] = item.port
    fed = {twin: port for twin, port in twins.items() if graph.consumers(twin)}
    graph.inputs = [*graph.inputs, *fed]
    _expose(model, tensors)
    return Tapped(model.to_bytes(), {twin.name: port for twin, port in fed.items()})


def _expose(model: ModelEditor, tensors: Collection[LayerTensor]) -> None:
    """Make the tensors outputs, name every tensor after its index, and drop what would contradict that."""
    graph = model.main
    for index, tensor in enumerate(graph.tensors):
        tensor.name = f"t{index}"
    graph.outputs = [graph.tensors[item.tensor.index] for item in tensors]
    model.signatures = []
