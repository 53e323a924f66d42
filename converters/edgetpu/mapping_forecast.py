"""The forecast: what the Edge TPU compiler will do with a .tflite, without the compiler."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from tfcompress.converters.edgetpu.advice import memory_advice, sharing_advice
from tfcompress.converters.edgetpu.compiled import CUSTOM_OPERATOR, compiled_mapping
from tfcompress.converters.edgetpu.explain import Broken, LayerOf, Verdict
from tfcompress.converters.edgetpu.failures import expected_failure
from tfcompress.converters.edgetpu.latency import RATES, Latency, latency_of
from tfcompress.converters.edgetpu.mapping import Failure, Mapping
from tfcompress.converters.edgetpu.memory import (
    CHIP_BYTES,
    Demand,
    ParameterBytes,
    demand,
    largest_activation,
    share,
)
from tfcompress.converters.edgetpu.operators import SUPPORTED
from tfcompress.converters.edgetpu.options import EdgeTpu
from tfcompress.converters.edgetpu.rules import broken_rule
from tfcompress.converters.edgetpu.tail import tail_of
from tfcompress.converters.edgetpu.versions import NEWEST, RUNTIMES, known_compiler
from tfcompress.converters.edgetpu.view import OperatorView
from tfcompress.converters.edgetpu.work import work_of
from tfcompress.graphs.tflite import Subgraph, TfliteFile
from tfcompress.graphs.tflite.partition import partitions
from tfcompress.layer_names import as_named_in, layer_or_scope
from tfcompress.load import opened_tflite

__all__ = ["CompilerOptions", "forecast", "forecast_together"]


@dataclass(frozen=True, kw_only=True)
class CompilerOptions:
    """How the compiler is called.

    Attributes:
        compiler: its major version, one of `versions.COMPILERS`.
        multiple_subgraphs: ``--enable_multiple_subgraphs``: every Edge TPU subgraph is kept, not the first alone.
        search_delegate: ``--search_delegate``: where the model would not compile, it is stopped at an earlier operator.
    """

    compiler: int = NEWEST
    multiple_subgraphs: bool = False
    search_delegate: bool = False

    @classmethod
    def of(cls, section: EdgeTpu) -> Self:
        """The options of a recipe."""
        return cls(
            compiler=known_compiler(section.compiler),
            multiple_subgraphs=section.multiple_subgraphs,
            search_delegate=section.search_delegate,
        )


_DEFAULT = CompilerOptions()


@dataclass(frozen=True)
class _Planned:
    """A forecast before parameter memory is given out."""

    mapping: Mapping
    graph: Subgraph
    mapped: frozenset[int]
    needs: Demand | None


def forecast(
    model: str | Path | TfliteFile, *, layer_names: Collection[str] = (), options: CompilerOptions = _DEFAULT
) -> Mapping:
    """Where each operator of a .tflite will run, with the reason and the fix.

    Args:
        model: path of a .tflite, compiled or not, or one that is read already.
        layer_names: names of the Keras layers, to say which layer an operator belongs to; without them the scope of a
            tensor's name is taken for the layer.
        options: how the compiler is called.

    Raises:
        ModelError: the file cannot be read or is damaged.
    """
    plan = _plan(model, layer_names, options)
    if plan.needs is None:
        return plan.mapping
    return _with_memory(plan, plan.needs.within(plan.needs.room), options)


def forecast_together(
    models: Sequence[str | Path | TfliteFile], *, options: CompilerOptions = _DEFAULT
) -> list[Mapping]:
    """The forecast of models that are compiled in one call, in its order: they share the cache (see `memory.share`).

    Args:
        models: paths of .tflite files; a compiled one keeps what the compiler gave it.
        options: how the compiler is called.

    Raises:
        ModelError: a file cannot be read or is damaged.
    """
    plans = [_plan(model, (), options) for model in models]
    shares = iter(share([plan.needs for plan in plans if plan.needs is not None], compiler=options.compiler))
    return [plan.mapping if plan.needs is None else _with_memory(plan, next(shares), options) for plan in plans]


def _plan(model: str | Path | TfliteFile, layer_names: Collection[str], options: CompilerOptions) -> _Planned:
    file = opened_tflite(model)
    graph = file.main
    names = as_named_in(layer_names, (tensor.name for tensor in graph.tensors))
    layer_of = functools.partial(layer_or_scope, layer_names=names)
    if any(operator.custom and operator.name == CUSTOM_OPERATOR for operator in graph.operators):
        return _Planned(compiled_mapping(graph, layer_of), graph, frozenset(), None)
    return _planned(graph, layer_of, options)


def _planned(graph: Subgraph, layer_of: LayerOf, options: CompilerOptions) -> _Planned:
    broken: Broken = {
        operator.index: rule
        for operator in graph.operators
        if (rule := broken_rule(OperatorView(graph, operator), compiler=options.compiler)) is not None
    }
    # The compiler keeps the first of these subsets, or all with --enable_multiple_subgraphs.  Over 238 public
    # pairs this is wrong on 3 operators; "stop at the first unsupported operator in file order" is wrong on 94.
    subsets = partitions(graph, [operator.index for operator in graph.operators if operator.index not in broken])
    kept = subsets if options.multiple_subgraphs else subsets[:1]
    mapped, stopped, failure = _compiled(graph, frozenset().union(*kept), options)
    verdict = Verdict(graph, broken, mapped, failure, stopped, layer_of)
    views = [OperatorView(graph, graph.operators[index]) for index in sorted(mapped)]
    needs = demand(views, compiler=options.compiler)
    mapping = Mapping(
        operators=verdict.rows(),
        subgraphs=sum(not mapped.isdisjoint(subset) for subset in kept),
        on_chip_bytes=0,
        off_chip_bytes=0,
        min_runtime=RUNTIMES[options.compiler] if mapped else None,
        lowest_runtime=max((SUPPORTED[view.operator.name].min_runtime for view in views), default=None),
        advice=memory_advice(views, needs, layer_of, compiler=options.compiler),
        failure=failure,
        warnings=tuple(_warnings(views, stopped)),
        tail=tail_of(graph, mapped),
    )
    return _Planned(mapping, graph, mapped, needs)


def _compiled(
    graph: Subgraph, mapped: frozenset[int], options: CompilerOptions
) -> tuple[frozenset[int], frozenset[int], Failure | None]:
    """What is mapped in the end, what the delegate search left out for it, and why nothing is where that is so."""
    failure = expected_failure(graph, mapped, compiler=options.compiler)
    if failure is None:
        return mapped, frozenset(), None
    if options.search_delegate and options.compiler >= NEWEST:
        order = sorted(mapped)
        # Whatever makes the first operators fail makes more of them fail, so the latest stop can be halved towards.
        least, most = 0, len(order) - 1
        while least < most:
            end = (least + most + 1) // 2
            fails = expected_failure(graph, frozenset(order[:end]), compiler=options.compiler) is not None
            least, most = (least, end - 1) if fails else (end, most)
        if least:
            return frozenset(order[:least]), mapped.difference(order[:least]), None
    return frozenset(), frozenset(), failure


def _with_memory(plan: _Planned, memory: ParameterBytes, options: CompilerOptions) -> Mapping:
    alone = 0 if plan.needs is None else plan.needs.within(plan.needs.room).off_chip
    most = memory.off_chip if plan.needs is None else plan.needs.within(plan.needs.least_room).off_chip
    return dataclasses.replace(
        plan.mapping,
        on_chip_bytes=memory.on_chip,
        off_chip_bytes=memory.off_chip,
        streamed_between=(memory.off_chip, most) if most > memory.off_chip else None,
        advice=(*plan.mapping.advice, *sharing_advice(alone, memory.off_chip)),
        latency=_latencies(plan, memory, options) if plan.mapped else (),
    )


def _latencies(plan: _Planned, memory: ParameterBytes, options: CompilerOptions) -> tuple[Latency, ...]:
    work = work_of(plan.graph, plan.mapped, memory.off_chip, compiler=options.compiler)
    return tuple(latency_of(work, link) for link in RATES)


def _warnings(views: Iterable[OperatorView], stopped: Collection[int]) -> Iterable[str]:
    largest = largest_activation(views)
    if largest > CHIP_BYTES:
        yield (
            f"the largest operator reads and writes {largest:,} bytes, more than the chip's {CHIP_BYTES:,}:"
            " the compiler may abort with 'large activation tensors'; Coral states no limit (inferred)"
        )
    if stopped:
        yield (
            f"--search_delegate: {len(stopped)} operators are left to the CPU so that the others compile; the compiler"
            " tries each stop and may need an earlier one than is foretold here (inferred)"
        )
