"""What a conversion was asked for, and what is known of it so far: values that the stages read and never change."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Generic, TypeVar

from tfcompress.accuracy_diff import CandidateResult
from tfcompress.accuracy_diff.causes import Cause
from tfcompress.accuracy_diff.comparison import ReferenceResult
from tfcompress.compression import Compressed
from tfcompress.converters import Artifact, parse_targets
from tfcompress.data import Samples
from tfcompress.errors import ConversionError
from tfcompress.job.data_sets import DataSets
from tfcompress.job.options import ConvertOptions
from tfcompress.job.signing import SigningKey
from tfcompress.load.preprocessing import BeforeArtifact
from tfcompress.model import Flavor, FloatModel, TensorInfo
from tfcompress.recipe import Recipe
from tfcompress.report import Report
from tfcompress.report.schema import LayerWeights, LayerWidth

__all__ = ["Lazy", "ModelFacts", "ModelSize", "OriginalModel", "State", "TrainedModel"]

_T = TypeVar("_T")


class Lazy(Generic[_T]):
    """A value that is computed when it is first asked for.

    Args:
        compute: computes it.
    """

    def __init__(self, compute: Callable[[], _T]) -> None:
        self._compute = compute

    @cached_property
    def value(self) -> _T:
        """The value."""
        return self._compute()


@dataclass(frozen=True)
class ModelFacts:
    """What of a model the stages need to know without the model itself.

    Attributes:
        name: see `FloatModel`; so for the next four.
        format: where it came from.
        sha256: of the file; None for a model from memory.
        flavor: which Keras.
        inputs: in the model's order.
        outputs: in the model's order.
        has_layers: it is a Keras model, not a signature alone.
        section: the `model` section of report.json.
        sample_bytes: see `FloatModel`.
    """

    name: str
    format: str
    sha256: str | None
    flavor: Flavor
    inputs: tuple[TensorInfo, ...]
    outputs: tuple[TensorInfo, ...]
    has_layers: bool
    section: Mapping[str, Any]
    sample_bytes: int = 0


@dataclass(frozen=True)
class OriginalModel:
    """The float model: its facts, and itself, which is loaded when it is first needed.

    Attributes:
        facts: of the model that is converted.
        model: that model.
        front: the part before it that no accelerator runs, such as a vocabulary's; None where there is none.
    """

    facts: ModelFacts
    model: Lazy[FloatModel] = field(repr=False)
    front: BeforeArtifact | None = None


@dataclass(frozen=True)
class ModelSize:
    """What a model with other layers than the original costs; None where that is not known."""

    macs: int | None
    parameters: int | None


@dataclass(frozen=True)
class TrainedModel:
    """What fine-tuning made of the model.

    Attributes:
        notes: a line for each thing done.
        widths: the layers that got narrower, or are gone.
        size: of a model whose layers are others now; None where they are the same.
        layers: the kernels before and after.
        compressed: the models, once they are needed.
    """

    notes: tuple[str, ...]
    widths: tuple[LayerWidth, ...]
    size: ModelSize | None
    layers: tuple[LayerWeights, ...]
    compressed: Lazy[Compressed] = field(repr=False)


@dataclass(frozen=True, kw_only=True)
class State:
    """All that is known of a conversion after some of its stages.

    Attributes:
        options: what the user asked for.
        targets: names of the targets to convert for, in the order asked for.
        recipe: what is done to the model.
        work: the folder that is being filled.
        missing: collects, a line each, what nobody's artifact depends on and could not be made.
        signing_key: signs the manifest; None signs nothing.
        ids: {stage or stage/part: fingerprint of all that its result depends on}; None for a result that nothing can
            name, such as a model that came from memory.
        original: the float model.
        data: the opened data sets.
        trained: what fine-tuning made; None where nothing is trained.
        representative: the samples that calibrate.
        artifacts: an artifact per target, or why there is none.
        reference: the float model's figures; None without data to compare on.
        results: how each artifact compares.
        repaired: {target: causes that its first artifact had}, of those that were replaced by a good one.
        report: once it is written.
    """

    options: ConvertOptions
    targets: tuple[str, ...]
    recipe: Recipe
    work: Path
    missing: list[str] = field(default_factory=list)
    signing_key: SigningKey | None = None
    ids: Mapping[str, str | None] = field(default_factory=dict)
    original: OriginalModel | None = None
    data: DataSets | None = None
    trained: TrainedModel | None = None
    representative: Samples | None = None
    artifacts: Mapping[str, Artifact | ConversionError] = field(default_factory=dict)
    reference: ReferenceResult | None = None
    results: Mapping[str, CandidateResult] = field(default_factory=dict)
    repaired: Mapping[str, tuple[Cause, ...]] = field(default_factory=dict)
    report: Report | None = None

    @classmethod
    def start(
        cls,
        options: ConvertOptions,
        work: Path,
        *,
        missing: list[str] | None = None,
        signing_key: SigningKey | None = None,
    ) -> State:
        """Before the first stage.

        Args:
            options: what the user asked for.
            work: an empty folder to fill.
            missing: collects what is lost on the way.
            signing_key: signs the manifest.
        """
        return cls(
            options=options,
            targets=parse_targets(options.targets),
            recipe=options.recipe or Recipe(),
            work=work,
            missing=[] if missing is None else missing,
            signing_key=signing_key,
        )

    @property
    def model(self) -> OriginalModel:
        """The float model, of a state in which it is loaded."""
        assert self.original is not None, "the stage `load` comes first"
        return self.original

    @property
    def data_sets(self) -> DataSets:
        """The data, of a state in which they are opened."""
        assert self.data is not None, "the stage `data` comes first"
        return self.data

    @property
    def made(self) -> Mapping[str, Artifact]:
        """The artifacts that there are."""
        return {name: item for name, item in self.artifacts.items() if isinstance(item, Artifact)}
