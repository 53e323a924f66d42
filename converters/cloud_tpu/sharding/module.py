"""The main function of a StableHLO artifact as plain data, and the artifact with a sharding at each argument.

jaxlib's MLIR bindings read and write it; nothing else here touches them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from tfcompress.converters.cloud_tpu.stablehlo import TARGET_VERSION

__all__ = ["Main", "Split", "Step", "annotated", "read_main", "sharding_of"]

# The dimension of an array that is split over all chips; None where each chip has the whole array.
Split = int | None
_ARGUMENT_SHARDING = "mhlo.sharding"  # as JAX exports it


@dataclass(frozen=True)
class Step:
    """One operator of the main function.

    Attributes:
        op: its name without the dialect, such as ``dot_general``.
        operands: values that it reads, by number.
        results: values that it makes.
        dimensions: its attributes that are dimensions, by name.
    """

    op: str
    operands: tuple[int, ...]
    results: tuple[int, ...]
    dimensions: Mapping[str, tuple[int, ...]] = field(default_factory=dict)


@dataclass(frozen=True)
class Main:
    """A function: its values are numbered, arguments first.

    Attributes:
        shapes: {value: sizes}.
        arguments: how many.
        steps: in the order of computation.
        results: values that it returns.
    """

    shapes: Mapping[int, tuple[int, ...]]
    arguments: int
    steps: tuple[Step, ...]
    results: tuple[int, ...]


@contextmanager
def _module(artifact: bytes) -> Iterator[Any]:
    from jaxlib.mlir import ir
    from jaxlib.mlir.dialects import stablehlo

    context = ir.Context()
    stablehlo.register_dialect(context)
    with context, ir.Location.unknown(context):
        yield stablehlo.deserialize_portable_artifact(context, artifact)


def _main_of(module: Any) -> Any:
    (main,) = (op for op in module.body.operations if op.attributes["sym_name"].value == "main")
    return main


def read_main(artifact: bytes) -> Main:
    """The main function of a portable artifact.

    Raises:
        ImportError: jaxlib is not installed.
    """
    with _module(artifact) as module:
        block = _main_of(module).regions[0].blocks[0]
        numbers: dict[Any, int] = {argument: index for index, argument in enumerate(block.arguments)}
        shapes = {index: _sizes(argument.type) for index, argument in enumerate(block.arguments)}
        arguments = len(shapes)
        steps: list[Step] = []
        results: tuple[int, ...] = ()
        for line in block.operations:
            operation = line.operation
            operands = tuple(numbers[value] for value in operation.operands)
            produced = []
            for value in operation.results:
                numbers[value] = number = len(shapes)
                shapes[number] = _sizes(value.type)
                produced.append(number)
            name = operation.name.rpartition(".")[2]
            if name == "return":
                results = operands
            elif name == "dot":  # the older form, of two matrices or vectors
                steps.append(Step("dot_general", operands, tuple(produced), _of_dot(len(shapes[operands[0]]))))
            else:
                steps.append(Step(name, operands, tuple(produced), _dimensions(name, operation.attributes)))
        return Main(shapes, arguments, tuple(steps), results)


def annotated(artifact: bytes, arguments: Sequence[Split], results: Sequence[Split], devices: int) -> bytes:
    """The same artifact for `devices` chips, with the split of each argument and result.

    Args:
        artifact: of one program.
        arguments: the dimension of each argument that is split.
        results: likewise.
        devices: how many parts.
    """
    from jaxlib.mlir import ir
    from jaxlib.mlir.dialects import stablehlo

    with _module(artifact) as module:
        main = _main_of(module)
        kind = ir.FunctionType(ir.TypeAttr(main.attributes["function_type"]).value)
        for name, types, splits in (("arg_attrs", kind.inputs, arguments), ("res_attrs", kind.results, results)):
            main.attributes[name] = ir.ArrayAttr.get(
                [
                    ir.DictAttr.get({_ARGUMENT_SHARDING: ir.StringAttr.get(sharding_of(_sizes(type_), split, devices))})
                    for type_, split in zip(types, splits, strict=True)
                ]
            )
        number = ir.IntegerType.get_signless(32)
        module.operation.attributes["mhlo.num_partitions"] = ir.IntegerAttr.get(number, devices)
        module.operation.attributes["mhlo.num_replicas"] = ir.IntegerAttr.get(number, 1)
        return bytes(stablehlo.serialize_portable_artifact(module, TARGET_VERSION))


def sharding_of(sizes: Sequence[int], split: Split, devices: int) -> str:
    """XLA's words for an array of which dimension `split` lies on `devices` chips in turn.

    Source: openxla.org, "HLO sharding".
    """
    if split is None:
        return "{replicated}"
    parts = ",".join(str(devices if axis == split else 1) for axis in range(len(sizes)))
    return f"{{devices=[{parts}]<=[{devices}]}}"


def _sizes(type_: Any) -> tuple[int, ...]:
    from jaxlib.mlir import ir

    return tuple(type_.shape) if isinstance(type_, ir.RankedTensorType) else ()


def _of_dot(rank: int) -> dict[str, tuple[int, ...]]:
    summed = {"lhs_contracting_dimensions": (rank - 1,), "rhs_contracting_dimensions": (0,)}
    return {"lhs_batching_dimensions": (), "rhs_batching_dimensions": (), **summed}


def _dimensions(name: str, attributes: Any) -> dict[str, tuple[int, ...]]:
    reader = _READERS.get(name)
    return {} if reader is None else reader(attributes)


def _array(name: str) -> Callable[[Any], dict[str, tuple[int, ...]]]:
    def read(attributes: Any) -> dict[str, tuple[int, ...]]:
        return {name: tuple(int(value) for value in attributes[name])}

    return read


def _of_numbers(attribute: str, kind: str, *names: str) -> Callable[[Any], dict[str, tuple[int, ...]]]:
    def read(attributes: Any) -> dict[str, tuple[int, ...]]:
        from jaxlib.mlir.dialects import stablehlo

        numbers = getattr(stablehlo, kind)(attributes[attribute])
        values = {name: getattr(numbers, name) for name in names}
        return {name: tuple(value) if isinstance(value, list) else (value,) for name, value in values.items()}

    return read


_READERS: dict[str, Callable[[Any], dict[str, tuple[int, ...]]]] = {
    "transpose": _array("permutation"),
    "broadcast_in_dim": _array("broadcast_dimensions"),
    "reduce": _array("dimensions"),
    "dot_general": _of_numbers(
        "dot_dimension_numbers",
        "DotDimensionNumbers",
        "lhs_batching_dimensions",
        "rhs_batching_dimensions",
        "lhs_contracting_dimensions",
        "rhs_contracting_dimensions",
    ),
    "convolution": _of_numbers(
        "dimension_numbers",
        "ConvDimensionNumbers",
        "input_batch_dimension",
        "input_feature_dimension",
        "kernel_input_feature_dimension",
        "kernel_output_feature_dimension",
        "output_batch_dimension",
        "output_feature_dimension",
    ),
    "gather": _of_numbers("dimension_numbers", "GatherDimensionNumbers", "start_index_map"),
}
