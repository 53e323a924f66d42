"""A program with its weights as arguments, and what it becomes when it is split over several devices."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from tfcompress.converters.cloud_tpu.saved_model import WeightStore
from tfcompress.converters.cloud_tpu.sharding.module import Main, Split, annotated, read_main, sharding_of
from tfcompress.converters.cloud_tpu.sharding.tensor_plan import tensor_plan
from tfcompress.converters.cloud_tpu.stablehlo import Lowered, lower_with_weights
from tfcompress.graphs.tensorflow.inference_graph import InferenceGraph

__all__ = ["Layout", "Program", "Unsplit", "from_lowered", "split_program", "unsplit"]

Layout = Literal["data", "tensor"]


@dataclass(frozen=True)
class Unsplit:
    """A program with its weights as arguments, before it is split.

    Attributes:
        lowered: it, for one device.
        main: the function in it.
        inputs: names of the first arguments.
        outputs: names of the results, in their order; empty where they are not known.
        variables: for each argument after the inputs, the position of its weight among the SavedModel's variables;
            empty where that is not known.
    """

    lowered: Lowered
    main: Main
    inputs: tuple[str, ...]
    outputs: tuple[str, ...] = ()
    variables: tuple[int, ...] = ()


@dataclass(frozen=True)
class Program:
    """A split program.

    Attributes:
        whole: what it was split from.
        lowered: what is compiled.
        arguments: the dimension of each argument that is split.
        results: likewise.
    """

    whole: Unsplit
    lowered: Lowered
    arguments: tuple[Split, ...]
    results: tuple[Split, ...]

    def described(self) -> dict[str, object]:
        """What each argument and result is: for the file beside the artifact."""
        whole, devices = self.whole, self.lowered.devices
        keys = [{"input": name} for name in whole.inputs]
        # The name of a SavedModel's variable in its checkpoint.
        keys += [{"variable": f"weights_/{position}/.ATTRIBUTES/VARIABLE_VALUE"} for position in whole.variables]
        arguments: list[Mapping[str, object]] = [
            key | _array(whole.main.shapes[index], split, devices)
            for index, (key, split) in enumerate(zip(keys, self.arguments, strict=True))
        ]
        results: list[Mapping[str, object]] = [
            {"output": name} | _array(whole.main.shapes[value], split, devices)
            for name, value, split in zip(whole.outputs, whole.main.results, self.results, strict=True)
        ]
        return {
            "sharding": self.lowered.sharding,
            "devices": devices,
            "batch_size": self.lowered.batch_size,
            "arguments": arguments,
            "results": results,
        }


def _array(sizes: Sequence[int], split: Split, devices: int) -> dict[str, object]:
    return {"shape": list(sizes), "split_dimension": split, "sharding": sharding_of(sizes, split, devices)}


def unsplit(graph: InferenceGraph, store: WeightStore, layer_names: Collection[str] = ()) -> Unsplit:
    """The program of a graph, with its weights as arguments.

    Args:
        graph: to lower.
        store: that holds the weights of the model's graphs, or their shapes alone.
        layer_names: of the Keras layers, for messages.

    Raises:
        ConversionError: XLA refuses an operator.
    """
    artifact, variables = lower_with_weights(graph, store, layer_names)
    inputs = tuple(info.name for info in graph.inputs)
    lowered = Lowered(f"batch_{graph.batch_size}", graph.batch_size, artifact, inputs=len(inputs))
    return Unsplit(lowered, read_main(artifact), inputs, tuple(sorted(graph.outputs)), variables)


def from_lowered(lowered: Lowered) -> Unsplit:
    """The program of a SavedModel's signature, whose variables are its trailing arguments."""
    names = tuple(f"input {position}" for position in range(lowered.inputs))
    return Unsplit(lowered, read_main(lowered.artifact), names)


def split_program(whole: Unsplit, layout: Layout, devices: int) -> Program:
    """The program for `devices` devices; an error in place of the artifact where the batch cannot be split."""
    main, batch, inputs = whole.main, whole.lowered.batch_size, len(whole.inputs)
    lowered = replace(whole.lowered, artifact=b"", sharding=layout, devices=devices)
    if layout == "data":
        arguments = tuple(
            0 if index < inputs and main.shapes[index][:1] == (batch,) else None for index in range(main.arguments)
        )
        results = tuple(0 if main.shapes[value][:1] == (batch,) else None for value in main.results)
    else:
        arguments, results = tensor_plan(main, inputs, devices), (None,) * len(main.results)
    if layout == "data" and (batch is None or batch % devices):
        error = f"batch {batch} does not fall into equal parts for {devices} devices; give a multiple of {devices}"
        return Program(whole, replace(lowered, error=error), arguments, results)
    artifact = annotated(whole.lowered.artifact, arguments, results, devices)
    return Program(whole, replace(lowered, artifact=artifact), arguments, results)
