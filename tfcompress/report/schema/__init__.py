"""The one definition of report.json: frozen dataclasses with a JSON round trip.

Everything that shows a report reads these attributes.  Version 2 keeps every key of version 1, which can be read.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from tfcompress.errors import InputError
from tfcompress.report.schema.accuracy import (
    Cause,
    Compared,
    Diff,
    Flipped,
    FlippedSample,
    GateVerdict,
    Layer,
    Reference,
    Status,
)
from tfcompress.report.schema.mapping import (
    CompilerFailure,
    ConfigurationMapping,
    CpuTail,
    DeviceMapping,
    LatencyForecast,
    MappingTotals,
    OperatorRow,
)
from tfcompress.report.schema.target import (
    CompileSection,
    Engine,
    FactRow,
    Latency,
    LayerBitWidths,
    NextStep,
    OperatorTime,
    Rewrite,
    TargetSection,
    Weights,
    XnnpackShare,
)
from tfcompress.report.schema.versions import NOT_COMPARED, upgraded
from tfcompress.typed_json import from_plain, to_plain

__all__ = [
    "NOT_COMPARED",
    "SCHEMA_VERSION",
    "Candidate",
    "Cause",
    "Compared",
    "CompileSection",
    "CompilerFailure",
    "Compression",
    "ConfigurationMapping",
    "CpuTail",
    "DeviceMapping",
    "Diff",
    "DiffReport",
    "Engine",
    "FactRow",
    "Flipped",
    "FlippedSample",
    "GateLimit",
    "GateVerdict",
    "Latency",
    "LatencyForecast",
    "Layer",
    "LayerBitWidths",
    "LayerWeights",
    "LayerWidth",
    "MappingTotals",
    "Model",
    "NextStep",
    "OperatorRow",
    "OperatorTime",
    "Reference",
    "Report",
    "Rewrite",
    "Status",
    "TargetSection",
    "Weights",
    "XnnpackShare",
    "exit_code",
]

SCHEMA_VERSION = 2


@dataclass(frozen=True, kw_only=True)
class Model:
    """The float model.

    Attributes:
        name: the file's stem, or the Keras model's name.
        format: `keras_v3`, `keras_v2`, `h5`, `saved_model` or `in_memory`.
        sha256: of the file; None for a model in memory.
        parameters: number of weights.
        macs: multiply-accumulates of one inference.
        float_bytes: of all weights.
        sparsity: share of the weights that are zero; None where they were not counted.
    """

    name: str
    format: str | None = None
    sha256: str | None = None
    parameters: int | None = None
    macs: int | None = None
    float_bytes: int | None = None
    sparsity: float | None = None


@dataclass(frozen=True, kw_only=True)
class LayerWidth:
    """One layer of the user's model that lost channels, or all of itself.

    Attributes:
        layer: its name in the model that was given.
        before: how many channels it had; null where only the layer itself went.
        after: how many are left; 0 for a layer that is gone.
    """

    layer: str
    before: int | None
    after: int


@dataclass(frozen=True, kw_only=True)
class LayerWeights:
    """The kernel of one layer of the user's model, before and after compression.

    Attributes:
        layer: its name in the model that was given.
        type: the Keras class.
        before: number of output channels; None for a layer that was not there.
        after: number of output channels.
        zeros_before: share of the weights that are zero; None likewise.
        zeros_after: share of the weights that are zero.
        values_after: distinct values of the kernel.
    """

    layer: str
    type: str
    before: int | None
    after: int
    zeros_before: float | None
    zeros_after: float
    values_after: int


@dataclass(frozen=True, kw_only=True)
class Compression:
    """What was done to the model before converting.

    Attributes:
        notes: what compression found, a line each.
        stages: sections of the recipe that trained.
        steps: what was done, a line each.
        widths: the layers that are narrower now, or gone, in the order of the model.
        layers: every layer with a kernel that is left, in the order of the model; empty where nothing was trained.
    """

    notes: tuple[str, ...] = ()
    stages: tuple[str, ...] = ()
    steps: tuple[str, ...] = ()
    widths: tuple[LayerWidth, ...] = ()
    layers: tuple[LayerWeights, ...] = ()


@dataclass(frozen=True, kw_only=True)
class GateLimit:
    """The gate that every artifact stands before: the largest drop that is allowed, absolute."""

    max_accuracy_drop: float | None = None


@dataclass(frozen=True, kw_only=True)
class Report:
    """The content of report.json.

    Attributes:
        schema_version: `SCHEMA_VERSION`.
        model: the float model.
        reference: its figures.
        targets: {target: what came of it}, also of those that were not asked for.
        compression: what was done before converting.
        warnings: what a reader of the figures must know, a line each.
        gate: the limit.
        recipe: what was asked, as recipe.json has it.
        seed: the random seed.
        command: that does the same again, in the folder that the conversion ran in; None where there is none.
        no_command: why there is no command; None where there is one.
        versions: {package: version} of all that shapes an artifact; None for one that is not installed.
    """

    model: Model
    schema_version: int = SCHEMA_VERSION
    reference: Reference = field(default_factory=Reference)
    targets: Mapping[str, TargetSection] = field(default_factory=dict)
    compression: Compression = field(default_factory=Compression)
    warnings: tuple[str, ...] = ()
    gate: GateLimit = field(default_factory=GateLimit)
    recipe: Mapping[str, object] | None = None
    seed: int | None = None
    command: str | None = None
    no_command: str | None = None
    versions: Mapping[str, str | None] = field(default_factory=dict)

    @property
    def asked(self) -> dict[str, TargetSection]:
        """The targets that were asked for."""
        return {name: section for name, section in self.targets.items() if section.status != "skipped"}

    def exit_code(self, *, strict_gate: bool = False) -> int:
        """0 all is well; 1 a conversion failed; 3 an artifact failed the gate, or is undecided if `strict_gate`."""
        return exit_code(self.targets.values(), strict_gate=strict_gate)

    def to_plain(self) -> dict[str, Any]:
        """The content of report.json in JSON's own types.

        Raises:
            TypeError: something in it is no JSON value.
        """
        plain: dict[str, Any] = to_plain(self, "report")
        return {"schema_version": plain.pop("schema_version"), **plain}

    def to_json(self) -> str:
        """JSON text that `from_json` reads back to an equal report."""
        return json.dumps(self.to_plain(), indent=2, allow_nan=False) + "\n"

    @classmethod
    def from_plain(cls, value: object) -> Self:
        """The report in a JSON object of version 1 or 2; see `from_json`."""
        return from_plain(cls, upgraded(value, SCHEMA_VERSION), "report.json")

    @classmethod
    def from_json(cls, text: str) -> Self:
        """The report in the text of a report.json.

        Raises:
            InputError: not JSON, another version, an unknown key or a value of another type.
        """
        return cls.from_plain(_loaded(text, "report.json"))


@dataclass(frozen=True, kw_only=True)
class Candidate(Compared):
    """The second of two models that were compared; `name` as it was given."""

    name: str | None = None


@dataclass(frozen=True, kw_only=True)
class DiffReport:
    """The result of ``tfcompress diff``: two models on the same data, and what a reader must know of the figures."""

    reference: Reference
    candidate: Candidate
    warnings: tuple[str, ...] = ()

    @property
    def asked(self) -> dict[str, Candidate]:
        """The candidate, as `Report.asked` has its targets."""
        return {"candidate": self.candidate}

    def exit_code(self, *, strict_gate: bool = False) -> int:
        """As `Report.exit_code`."""
        return exit_code([self.candidate], strict_gate=strict_gate)

    def to_plain(self) -> dict[str, Any]:
        """What ``diff --json`` prints."""
        plain: dict[str, Any] = to_plain(self, "diff")
        return plain

    @classmethod
    def from_plain(cls, value: object) -> Self:
        """The diff in a JSON object.

        Raises:
            InputError: an unknown key or a value of another type.
        """
        return from_plain(cls, value, "diff")


def exit_code(sections: Iterable[Compared], *, strict_gate: bool = False) -> int:
    """The command's exit code for some sections: 1 before 3 before 0."""
    statuses = {section.status for section in sections}
    if "failed" in statuses:
        return 1
    return 3 if "gate_failed" in statuses or (strict_gate and "undecided" in statuses) else 0


def _loaded(text: str, where: str) -> object:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{where}: not valid JSON: {error}") from None
