"""Quantization after training: the section of a recipe that all targets share which run LiteRT files."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from tfcompress.recipe.options import documented, option
from tfcompress.recipe.section import Section

__all__ = ["PostTraining"]


@documented()
@dataclass(frozen=True, kw_only=True)
class PostTraining(Section):
    """Quantization after training, for the targets that run LiteRT files (LiteRT, "Post-training quantization")."""

    key: ClassVar[str] = "post_training"
    title: ClassVar[str] = "quantization after training"
    scheme: Literal["int8", "int8_float_io", "int16x8", "float16", "dynamic", "int4_weights", "auto"] = option(
        "int8",
        flag="scheme",
        help="number formats to store and compute in; int8 has integer inputs and outputs too, and on the phone keeps "
        "in float the operators that XNNPACK cannot run in int8, if the file would otherwise be slower than the float "
        "file; auto keeps in float every operator that is faster that way on this machine (phone only; on other "
        "targets it is int8)",
    )
    integer_only: bool = option(
        False,
        flag="integer_only",
        help="keep every operator in integers (phone), however much faster or closer to the model float would be",
    )
    io: Literal["int8", "uint8", "float32"] = option(
        "int8",
        flag="io",
        help="type of an int8 file's inputs and outputs; most sample code and MediaPipe feed uint8 or float32, which "
        "are converted at the edges of the file",
    )
    engine: Literal["auto", "litert", "tflite_converter"] = option(
        "auto", flag="engine", help="which quantizer runs; auto chooses one per model and reports why"
    )
    mixed_inputs: Literal["float", "one_scale"] = option(
        "float",
        flag="mixed_inputs",
        help="how to treat an input whose features differ so much in scale that 8 bits lose the small ones: float "
        "makes it float32 and computes the first operators in float; one_scale gives it integers of one scale",
    )
    mixed_outputs: Literal["float", "one_scale"] = option(
        "float",
        flag="mixed_outputs",
        help="how to treat an output that joins parts of very different range, such as boxes and scores: float "
        "keeps a scale for each part and gives the output as float32; one_scale gives it as integers of one scale",
    )
    wider_activations: Literal["auto", "never"] = option(
        "auto",
        flag="wider_activations",
        help="what becomes of an int8 file whose outputs 8 bits spoil (phone): auto gives 16-bit activations to the "
        "operators that need them, or leaves them in float where nothing else helps, and says so; never leaves all at "
        "8 bits",
    )
    estimator: Literal["min_max", "moving_average", "percentile", "entropy", "mse"] = option(
        "min_max", flag="estimator", help="how an activation range is estimated from calibration data"
    )
    percentile: float = option(
        99.99, help="share of values inside the range in percent, for the percentile estimator, in (50, 100]"
    )
    quality: Literal["fast", "balanced", "best"] = option(
        "balanced",
        flag="quality",
        help="how much effort goes into rounding: fast rounds each weight to the nearest step; balanced also corrects "
        "biases, and rounds small models adaptively; best rounds all models so, equalizes those with depthwise layers, "
        "and keeps whichever of several results is closest to float",
    )
    bias_correction: bool | None = option(
        None,
        help="shift biases by the mean error that weight rounding causes (Nagel et al. 2019, section 4.2); None "
        "leaves the choice to quality",
    )
    cross_layer_equalization: bool | None = option(
        None,
        help="equalize channel ranges across layers (Nagel et al. 2019, section 4.1); None leaves the "
        "choice to quality",
    )
    adaptive_rounding: bool | None = option(
        None,
        help="round each weight up or down according to unlabelled data (Nagel et al. 2020, AdaRound); None leaves "
        "the choice to quality",
    )
    compact_rounding: bool = option(
        False,
        help="spend what adaptive rounding gains on a smaller packed file: of the integers near a weight take the one "
        "that codes shorter, as long as each layer's output error stays at most that of rounding to the nearest",
    )
    allow_select_ops: bool = option(
        False, flag="allow_select_ops", help="allow TensorFlow (Flex) operators in the file"
    )
    selection: Literal["spread", "representative"] = option(
        "spread",
        flag="calibration_selection",
        help="which samples calibrate: spread evenly over the data, or representative ones, chosen in one pass over "
        "all of the data so that they show every class that the model predicts and the extremes of its activations",
    )
    calibration_ranges: str | None = option(
        None,
        flag="calibration_ranges",
        metavar="FILE",
        is_file=True,
        help="calibration.json of an earlier run's phone folder, reused by the phone target instead of calibrating; "
        "refused if the model or the samples differ",
    )

    def _check(self) -> None:
        compact = self.compact_rounding and self.adaptive_rounding is False
        self.require(not compact, "compact_rounding", "false where adaptive_rounding is false")
        self.require(50 < self.percentile <= 100, "percentile", "in (50, 100]")
        self.require(
            self.io != "uint8" or self.scheme in ("int8", "int8_float_io", "auto"),
            "io",
            "int8 or float32 unless scheme is int8 or auto",
        )
