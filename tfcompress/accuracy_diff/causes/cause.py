"""The causes that are recognised, and what repairs each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

__all__ = ["Cause", "CauseKind"]

CauseKind = Literal[
    "batch_norm",
    "class_order",
    "clusters_lost",
    "dead_activation",
    "mask_in_range",
    "mixed_ranges",
    "needs_more_bits",
    "per_tensor_weights",
    "pooling_rescaled",
    "preprocessing",
    "range_too_narrow",
    "range_too_wide",
    "softmax_tail",
    "sparsity_lost",
    "too_few_calibration_samples",
    "training_mode",
    "unequal_ranges",
    "unscaled_features",
    "weights_differ",
]

_REPAIRS: dict[CauseKind, str] = {
    "batch_norm": "set quantization.freeze_batch_norm in the recipe, and convert the model in inference mode",
    "clusters_lost": (
        "keep the clusters: post_training.adaptive_rounding=false in the recipe, "
        "and where it trains a clustering section with clusters={advice}"
    ),
    "dead_activation": "keep the layer in float: keep_float={layers} in the recipe",
    "class_order": "convert the float model itself again, or give the classes in the file's order: --labels=FILE",
    "mask_in_range": "convert again, which keeps masks out of the ranges: tfcompress convert, --estimator=min_max",
    "mixed_ranges": "give each part of the output a scale of its own: --mixed_outputs=float",
    "needs_more_bits": "give the layer 16-bit activations: keep_int16={layers} in the recipe",
    "per_tensor_weights": "quantize weights per channel: --engine=litert",
    "pooling_rescaled": "quantize with an engine that keeps a pooling layer's scale: --engine=litert",
    "preprocessing": "give calibration and evaluation the same --preprocess={advice}",
    "range_too_narrow": "take the whole range of the data: --estimator=min_max, and more --calibration_samples",
    "range_too_wide": "leave outliers out of the range: --estimator=mse",
    "softmax_tail": "keep the output in float: --scheme=int8_float_io, and keep_float={layers} in the recipe",
    "sparsity_lost": (
        "keep the zeros: post_training.adaptive_rounding=false in the recipe, "
        "and where it trains clustering.preserve_sparsity and a pruning section with sparsity={advice}"
    ),
    "too_few_calibration_samples": "calibrate on more, and more varied, data: four times the --calibration_samples",
    "training_mode": "convert the model in inference mode: tfcompress convert does, from the Keras model",
    "unscaled_features": "scale the features in float: --mixed_inputs=float",
    "weights_differ": "convert the float model that it is compared with: tfcompress convert",
    "unequal_ranges": "give the layer 16-bit activations: keep_int16={layers} in the recipe",
}


@dataclass(frozen=True)
class Cause:
    """One reason for an error.

    Attributes:
        kind: which of the known causes.
        layer: the Keras layer to which it belongs; None for the whole model.
        text: one line with the figures that gave it away.
        advice: a value for the repair that the figures point to, where there is one.
        layers: those to which the repair applies, where they are more than `layer`.
        tried: what a trial of the repair gave: ``tried on 256 samples: drop 0.354 -> 0.024``; None where it was not
            tried.
        remedy: another repair, that a trial has shown to be enough where the cause's own was not.
    """

    kind: CauseKind
    layer: str | None
    text: str
    advice: str | None = None
    layers: tuple[str, ...] = ()
    tried: str | None = None
    remedy: str | None = None

    @property
    def repair(self) -> str:
        """One line: the flag or the recipe key to set."""
        if self.remedy is not None:
            return self.remedy
        names = ", ".join(self.repair_layers)
        advice = self.advice or "none, unit or signed_unit, whichever the model was trained with"
        return _REPAIRS[self.kind].format(layers=names, advice=advice)

    @property
    def repair_layers(self) -> tuple[str, ...]:
        """The layers to which the repair applies; empty for the whole model."""
        return self.layers or ((self.layer,) if self.layer is not None else ())

    def to_json(self) -> dict[str, Any]:
        """The cause's row in report.json."""
        return {
            "cause": self.kind,
            "layer": self.layer,
            "text": self.text,
            "repair": self.repair,
            "tried": self.tried,
        }
