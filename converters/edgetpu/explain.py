"""One row an operator: where it runs, in the compiler's words, with the reason and the fix."""

from __future__ import annotations

import functools
from collections.abc import Callable, Collection
from dataclasses import dataclass

from tfcompress.converters.edgetpu.mapping import Failure, OperatorMapping
from tfcompress.converters.edgetpu.operators import SUPPORTED, UNSUPPORTED_FIXES
from tfcompress.converters.edgetpu.rules import Rule, Status
from tfcompress.converters.edgetpu.view import OperatorView
from tfcompress.graphs.tflite import Subgraph, Tensor
from tfcompress.graphs.tflite.partition import causes

__all__ = ["Broken", "LayerOf", "Verdict"]

LayerOf = Callable[[str], str | None]
Broken = dict[int, tuple[Rule, Tensor]]


@dataclass(frozen=True)
class Verdict:
    """What was found of a graph.

    Attributes:
        graph: the main subgraph.
        broken: the rule that an operator breaks, by index.
        mapped: indices of the operators on the Edge TPU.
        failure: the compiler is expected to abort; None when not.
        stopped: indices of the operators that the delegate search leaves out.
        layer_of: the Keras layer of a tensor's name, or None.
    """

    graph: Subgraph
    broken: Broken
    mapped: Collection[int]
    failure: Failure | None
    stopped: Collection[int]
    layer_of: LayerOf

    def rows(self) -> tuple[OperatorMapping, ...]:
        """One row an operator, in order."""
        return tuple(self._row(index) for index in range(len(self.graph.operators)))

    @functools.cached_property
    def _causes(self) -> dict[int, int]:
        return causes(self.graph, self.broken)

    def _row(self, index: int) -> OperatorMapping:
        if index in self.broken:
            return self._refused(index, *self.broken[index])
        if self.failure is not None:
            return self._aborted(index, self.failure)
        if index in self.mapped:
            return self._mapped(index)
        return self._stopped(index) if index in self.stopped else self._stranded(index)

    def _make(self, index: int, *, tensor: Tensor | None = None, mapped: bool = False, **texts: str) -> OperatorMapping:
        operator = self.graph.operators[index]
        result = self.graph.tensors[operator.outputs[0]] if operator.outputs else None
        shown = tensor if tensor is not None else result
        return OperatorMapping(
            index=index,
            operator=operator.name,
            version=operator.version,
            mapped=mapped,
            tensor="" if shown is None else shown.name,
            shape=() if shown is None else shown.shape,
            keras_layer=self._keras_layer(OperatorView(self.graph, operator)),
            **texts,  # type: ignore[arg-type]
        )

    def _keras_layer(self, view: OperatorView) -> str | None:
        """The layer of the first result; where its name does not tell, as at the model's outputs, that of an input."""
        names = (tensor.name for tensor in (*view.outputs, *view.inputs))
        return next((layer for name in names if (layer := self.layer_of(name)) is not None), None)

    def _refused(self, index: int, rule: Rule, tensor: Tensor) -> OperatorMapping:
        name = self.graph.operators[index].name
        fix = UNSUPPORTED_FIXES.get(name, rule.fix) if rule.name in ("operator", "data_type") else rule.fix
        return self._make(
            index,
            tensor=tensor,
            status=rule.status.value,
            explanation=f"{rule.why}; here {tensor.name!r} is {tensor.dtype} {list(tensor.shape)}",
            certainty=rule.certainty,
            rule=rule.name,
            source=rule.source,
            fix=fix,
        )

    def _aborted(self, index: int, failure: Failure) -> OperatorMapping:
        return self._make(
            index,
            status=failure.message,
            explanation=f"the compiler aborts: {failure.explanation}",
            certainty=failure.certainty,
            rule="failure",
            source=failure.source,
            fix=failure.fix,
        )

    def _mapped(self, index: int) -> OperatorMapping:
        supported = SUPPORTED[self.graph.operators[index].name]
        return self._make(
            index,
            mapped=True,
            status=Status.MAPPED.value,
            explanation="",
            certainty=supported.certainty,
            rule="mapped",
            source=supported.source,
            fix="",
        )

    def _stopped(self, index: int) -> OperatorMapping:
        return self._make(
            index,
            status=Status.SECOND_SUBGRAPH.value,
            explanation="the delegate search stops before it, so that what comes first compiles",
            certainty="inferred",
            rule="delegate_search",
            source="coral/tools in google-coral/libcoral, --search_delegate; the compiler may stop earlier than this",
            fix="use a smaller input, or split the model there and give the rest to a second Edge TPU",
        )

    def _stranded(self, index: int) -> OperatorMapping:
        cause = self._causes.get(index)
        blocker = "an operator on the CPU" if cause is None else f"operator {cause} {self.graph.operators[cause].name}"
        return self._make(
            index,
            status=Status.SECOND_SUBGRAPH.value,
            explanation=f"it could map, but needs the result of {blocker}, and only the first Edge TPU subgraph is"
            " kept",
            certainty="observed",
            rule="partition",
            source="data-flow partition of TensorFlow Lite delegates; right on 11,204 of 11,207 operators of public"
            " pairs",
            fix=f"repair {blocker}, or try edgetpu_compiler --enable_multiple_subgraphs and measure",
        )
