"""The forecast: what the Edge TPU compiler 16 will do with a .tflite, without the compiler."""

from __future__ import annotations

import functools
from collections.abc import Callable, Collection, Iterable
from pathlib import Path

from tfcompress.converters.edgetpu.compiled import CUSTOM_OPERATOR, compiled_mapping
from tfcompress.converters.edgetpu.failures import expected_failure
from tfcompress.converters.edgetpu.mapping import Failure, Mapping, OperatorMapping
from tfcompress.converters.edgetpu.memory import CHIP_BYTES, ParameterBytes, demand, largest_activation
from tfcompress.converters.edgetpu.operators import NEWEST_RUNTIME, SUPPORTED, UNSUPPORTED_FIXES
from tfcompress.converters.edgetpu.partition import first_cause, first_partition
from tfcompress.converters.edgetpu.rules import Rule, Status, broken_rule
from tfcompress.converters.edgetpu.tail import tail_of
from tfcompress.converters.edgetpu.view import OperatorView
from tfcompress.graphs.tflite import Subgraph, Tensor, TfliteFile, read_tflite
from tfcompress.layer_names import as_named_in, layers_of

__all__ = ["forecast"]

LayerOf = Callable[[str], str | None]
_Broken = dict[int, tuple[Rule, Tensor]]


def forecast(model: str | Path | TfliteFile, *, layer_names: Collection[str] = (), compiler: int = 16) -> Mapping:
    """Where each operator of a .tflite will run, with the reason and the fix.

    Args:
        model: path of a .tflite, compiled or not, or one that is read already.
        layer_names: names of the Keras layers, to say which layer an operator belongs to; without them the scope of a
            tensor's name is taken for the layer.
        compiler: major version of the compiler.

    Raises:
        ModelError: the file cannot be read or is damaged.
    """
    file = model if isinstance(model, TfliteFile) else read_tflite(model)
    graph = file.main
    names = as_named_in(layer_names, (tensor.name for tensor in graph.tensors))
    layer_of = functools.partial(_layer_of, layer_names=names)
    if any(operator.custom and operator.name == CUSTOM_OPERATOR for operator in graph.operators):
        return compiled_mapping(graph, layer_of)
    broken = {
        operator.index: found
        for operator in graph.operators
        if (found := broken_rule(OperatorView(graph, operator))) is not None
    }
    accepted = [operator.index for operator in graph.operators if operator.index not in broken]
    mapped = first_partition(graph, accepted)
    failure = expected_failure(graph, mapped)
    if failure is not None:
        mapped = frozenset()
    rows = tuple(_row(graph, index, broken, mapped, failure, layer_of) for index in range(len(graph.operators)))
    views = [OperatorView(graph, graph.operators[index]) for index in sorted(mapped)]
    needs = demand(views, compiler=compiler)
    memory = needs.within(needs.room) if failure is None else ParameterBytes(0, 0)
    return Mapping(
        operators=rows,
        subgraphs=1 if mapped else 0,
        on_chip_bytes=memory.on_chip,
        off_chip_bytes=memory.off_chip,
        min_runtime=NEWEST_RUNTIME if mapped else None,
        lowest_runtime=max((SUPPORTED[view.operator.name].min_runtime for view in views), default=None),
        failure=failure,
        warnings=tuple(_warnings(views)),
        tail=tail_of(graph, mapped),
    )


def _layer_of(tensor_name: str, *, layer_names: Collection[str]) -> str | None:
    if layer_names:
        return next(iter(layers_of(tensor_name, layer_names)), None)
    scopes = [
        scope for scope in tensor_name.split(";")[0].split("/") if not scope.startswith("StatefulPartitionedCall")
    ]
    return scopes[1] if len(scopes) >= 3 else None  # model/layer/operator, as Keras names them


def _row(
    graph: Subgraph,
    index: int,
    broken: _Broken,
    mapped: Collection[int],
    failure: Failure | None,
    layer_of: LayerOf,
) -> OperatorMapping:
    if index in broken:
        rule, tensor = broken[index]
        return _refused(graph, index, rule, tensor, layer_of)
    if failure is not None:
        return _aborted(graph, index, failure, layer_of)
    if index in mapped:
        return _mapped(graph, index, layer_of)
    return _stranded(graph, index, broken, layer_of)


def _make_row(
    graph: Subgraph,
    index: int,
    layer_of: LayerOf,
    *,
    tensor: Tensor | None = None,
    mapped: bool = False,
    **texts: str,
) -> OperatorMapping:
    operator = graph.operators[index]
    result = graph.tensors[operator.outputs[0]] if operator.outputs else None
    shown = tensor if tensor is not None else result
    return OperatorMapping(
        index=index,
        operator=operator.name,
        version=operator.version,
        mapped=mapped,
        tensor="" if shown is None else shown.name,
        shape=() if shown is None else shown.shape,
        keras_layer=_keras_layer(OperatorView(graph, operator), layer_of),
        **texts,  # type: ignore[arg-type]
    )


def _keras_layer(view: OperatorView, layer_of: LayerOf) -> str | None:
    """The layer of the first result; where its name does not tell, as at the model's outputs, that of an input."""
    names = (tensor.name for tensor in (*view.outputs, *view.inputs))
    return next((layer for name in names if (layer := layer_of(name)) is not None), None)


def _refused(graph: Subgraph, index: int, rule: Rule, tensor: Tensor, layer_of: LayerOf) -> OperatorMapping:
    name = graph.operators[index].name
    fix = UNSUPPORTED_FIXES.get(name, rule.fix) if rule.name in ("operator", "data_type") else rule.fix
    return _make_row(
        graph,
        index,
        layer_of,
        tensor=tensor,
        status=rule.status.value,
        explanation=f"{rule.why}; here {tensor.name!r} is {tensor.dtype} {list(tensor.shape)}",
        certainty=rule.certainty,
        rule=rule.name,
        source=rule.source,
        fix=fix,
    )


def _aborted(graph: Subgraph, index: int, failure: Failure, layer_of: LayerOf) -> OperatorMapping:
    return _make_row(
        graph,
        index,
        layer_of,
        status=failure.message,
        explanation=f"the compiler aborts: {failure.explanation}",
        certainty=failure.certainty,
        rule="failure",
        source=failure.source,
        fix=failure.fix,
    )


def _mapped(graph: Subgraph, index: int, layer_of: LayerOf) -> OperatorMapping:
    known = SUPPORTED[graph.operators[index].name]
    return _make_row(
        graph,
        index,
        layer_of,
        mapped=True,
        status=Status.MAPPED.value,
        explanation="",
        certainty=known.certainty,
        rule="mapped",
        source=known.source,
        fix="",
    )


def _stranded(graph: Subgraph, index: int, broken: _Broken, layer_of: LayerOf) -> OperatorMapping:
    cause = first_cause(graph, index, broken)
    blocker = "an operator on the CPU" if cause is None else f"operator {cause} {graph.operators[cause].name}"
    return _make_row(
        graph,
        index,
        layer_of,
        status=Status.SECOND_SUBGRAPH.value,
        explanation=f"it could map, but needs the result of {blocker}, and only the first Edge TPU subgraph is kept",
        certainty="observed",
        rule="partition",
        source="data-flow partition of TensorFlow Lite delegates; right on 11,204 of 11,207 operators of public pairs",
        fix=f"repair {blocker}, or try edgetpu_compiler --enable_multiple_subgraphs and measure",
    )


def _warnings(views: Iterable[OperatorView]) -> Iterable[str]:
    largest = largest_activation(views)
    if largest > CHIP_BYTES:
        yield (
            f"the largest operator reads and writes {largest:,} bytes, more than the chip's {CHIP_BYTES:,}:"
            " the compiler may abort with 'large activation tensors'; Coral states no limit (inferred)"
        )
