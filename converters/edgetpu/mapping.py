"""Where each operator of a .tflite runs: the forecast's result, and the `mapping` section of report.json."""

from __future__ import annotations

from collections.abc import Mapping as JsonObject
from dataclasses import dataclass

from tfcompress.converters.edgetpu.latency import Latency
from tfcompress.converters.edgetpu.operators import Certainty
from tfcompress.converters.edgetpu.tail import Tail

__all__ = ["Failure", "Mapping", "OperatorMapping"]


@dataclass(frozen=True)
class OperatorMapping:
    """Where one operator runs, and why.

    Attributes:
        index: of the operator in the main graph.
        operator: TFLite builtin operator, or the custom operator's name.
        version: operator version.
        mapped: it runs on the Edge TPU.
        status: the compiler's own words; a run that aborts has its message here.
        explanation: the rule in a sentence; empty for a mapped operator.
        certainty: how sure the rule is.
        rule: its name in `rules.RULES`, or `partition`, `mapped`, `failure`, `compiled`.
        source: where the rule is from.
        tensor: name of the tensor that breaks the rule, or of the first result.
        shape: of that tensor.
        keras_layer: the layer that the operator computes, or None when the names do not tell; for a file without its
            Keras model, the name scope that Keras gives a layer.
        fix: what to do; empty for a mapped operator.
    """

    index: int
    operator: str
    version: int
    mapped: bool
    status: str
    explanation: str
    certainty: Certainty
    rule: str
    source: str
    tensor: str
    shape: tuple[int, ...]
    keras_layer: str | None
    fix: str

    def to_json(self) -> dict[str, object]:
        """The operator's row of `mapping.ops` in report.json."""
        return {
            "index": self.index,
            "op": self.operator,
            "version": self.version,
            "mapped": self.mapped,
            "reason": self.status,
            "explanation": self.explanation,
            "certainty": self.certainty,
            "rule": self.rule,
            "source": self.source,
            "tensor": self.tensor,
            "shape": list(self.shape),
            "keras_layer": self.keras_layer,
            "fix": self.fix,
        }


@dataclass(frozen=True)
class Failure:
    """The compiler is expected to abort, so that nothing is mapped.

    Attributes:
        message: the compiler's own words.
        explanation: which tensor or operator, and why.
        fix: what to do.
        certainty: how sure that is.
        source: where the rule is from.
    """

    message: str
    explanation: str
    fix: str
    certainty: Certainty
    source: str

    def to_json(self) -> dict[str, str]:
        """The `failure` object of the mapping section."""
        return {
            "message": self.message,
            "explanation": self.explanation,
            "fix": self.fix,
            "certainty": self.certainty,
            "source": self.source,
        }


@dataclass(frozen=True)
class Mapping:
    """The forecast for a whole file.

    Attributes:
        operators: one row an operator of the main graph, in order.
        subgraphs: Edge TPU subgraphs: 1, or 0 when nothing maps.
        on_chip_bytes: parameters cached on the chip; None when not known.
        off_chip_bytes: parameters streamed in every inference; None when not known.
        streamed_between: the fewest and the most bytes that may be streamed, where the rule is inferred; None where it
            was observed.
        min_runtime: runtime version that compiler 16 writes into the package; None when nothing maps.
        lowest_runtime: oldest runtime that has all the mapped operators (`edgetpu_compiler --min_runtime_version`).
        latency: milliseconds of one inference, one entry a link, USB 3 first; empty when nothing is known.
        advice: what would make the model fit the chip, and what that is worth; one line each.
        failure: the compiler is expected to abort; None when not.
        warnings: one line each.
        tail: what runs on the CPU after the Edge TPU part; None when nothing does.
        compiled: what an already compiled file contains; None for any other.
        measured: what `edgetpu_compiler` itself said; None when it was not run.
    """

    operators: tuple[OperatorMapping, ...]
    subgraphs: int
    on_chip_bytes: int | None
    off_chip_bytes: int | None
    min_runtime: int | None
    lowest_runtime: int | None
    streamed_between: tuple[int, int] | None = None
    latency: tuple[Latency, ...] = ()
    advice: tuple[str, ...] = ()
    failure: Failure | None = None
    warnings: tuple[str, ...] = ()
    tail: Tail | None = None
    compiled: JsonObject[str, object] | None = None
    measured: JsonObject[str, object] | None = None

    @property
    def mapped_ops(self) -> int:
        """Number of operators on the Edge TPU."""
        return sum(operator.mapped for operator in self.operators)

    @property
    def cpu_ops(self) -> int:
        """Number of operators on the CPU."""
        return len(self.operators) - self.mapped_ops

    def _latency(self) -> dict[str, object] | None:
        """USB 3 as the section's own figures, and the other links by name."""
        if not self.latency:
            return None
        first, *others = self.latency
        return {**first.to_json(), **{other.link: other.to_json() for other in others}}

    def to_json(self) -> dict[str, object]:
        """The `mapping` section of report.json, and mapping.json."""
        return {
            "mapped_ops": self.mapped_ops,
            "cpu_ops": self.cpu_ops,
            "subgraphs": self.subgraphs,
            "on_chip_bytes": self.on_chip_bytes,
            "off_chip_bytes": self.off_chip_bytes,
            "streamed_between": None if self.streamed_between is None else list(self.streamed_between),
            "min_runtime": self.min_runtime,
            "lowest_runtime": self.lowest_runtime,
            "latency_ms": self._latency(),
            "advice": list(self.advice),
            "failure": None if self.failure is None else self.failure.to_json(),
            "warnings": list(self.warnings),
            "tail": None if self.tail is None else self.tail.to_json(),
            "compiled": None if self.compiled is None else dict(self.compiled),
            "measured": None if self.measured is None else dict(self.measured),
            "ops": [operator.to_json() for operator in self.operators],
        }
