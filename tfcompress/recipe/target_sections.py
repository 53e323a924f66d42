"""The sections of a recipe that belong to targets."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from tfcompress.npu_chips import DEFAULT_CONFIGS, DEFAULT_SOCS, check_configs, check_socs
from tfcompress.recipe.options import documented, option
from tfcompress.recipe.section import Section
from tfcompress.targets import DEFAULT_TOPOLOGIES, check_topologies

__all__ = ["CloudTpu", "EdgeTpu", "EthosU", "PostTraining", "Snapdragon"]


@documented()
@dataclass(frozen=True, kw_only=True)
class PostTraining(Section):
    """Quantization after training, for the targets that run LiteRT files (LiteRT, "Post-training quantization")."""

    key: ClassVar[str] = "post_training"
    scheme: Literal["int8", "int8_float_io", "int16x8", "float16", "dynamic", "int4_weights"] = option(
        "int8", flag="scheme", help="what is stored and what is computed; int8 has integer inputs and outputs"
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
    estimator: Literal["min_max", "moving_average", "percentile", "entropy", "mse"] = option(
        "min_max", flag="estimator", help="how an activation range is estimated from calibration data"
    )
    percentile: float = option(
        99.99, help="share of values inside the range in percent, for the percentile estimator, in (50, 100]"
    )
    quality: Literal["fast", "balanced", "best"] = option(
        "balanced", flag="quality", help="how much effort goes into rounding: which of the next three options run"
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
        help="calibration.json of an earlier run's phone folder, reused by the phone target instead of calibrating; "
        "refused if the model or the samples differ",
    )

    def _check(self) -> None:
        self.require(50 < self.percentile <= 100, "percentile", "in (50, 100]")
        self.require(
            self.io != "uint8" or self.scheme in ("int8", "int8_float_io"),
            "io",
            "int8 or float32 unless scheme is int8",
        )


@documented()
@dataclass(frozen=True, kw_only=True)
class EdgeTpu(Section):
    """Options of the edgetpu target."""

    key: ClassVar[str] = "edgetpu"
    rewrite: Literal["none", "safe", "all"] = option(
        "safe",
        flag="rewrite",
        help="which graph rewrites run before quantization; safe ones keep the float function, all may change it",
    )
    float_io: bool = option(False, help="keep float32 inputs and outputs (one CPU operator at each end)")
    compiler: Literal["16", "15", "14", "2", "1"] = option(
        "16", flag="edgetpu_compiler", help="version of edgetpu_compiler that the forecast is for"
    )
    multiple_subgraphs: bool = option(
        False, flag="edgetpu_multiple_subgraphs", help="forecast edgetpu_compiler -a: every subgraph is kept"
    )
    search_delegate: bool = option(
        False,
        flag="edgetpu_search_delegate",
        help="forecast edgetpu_compiler -d: what would not compile whole is stopped earlier",
    )


@documented()
@dataclass(frozen=True, kw_only=True)
class CloudTpu(Section):
    """Options of the cloud_tpu target."""

    key: ClassVar[str] = "cloud_tpu"
    precision: Literal["bfloat16", "float32", "mixed"] = option(
        "bfloat16",
        flag="tpu_precision",
        help="bfloat16 computes and stores in bfloat16 with float32 inputs and outputs",
    )
    batch_sizes: tuple[int, ...] = option(
        (1, 8, 32, 128), flag="batch_sizes", metavar="N,N", help="batch sizes, ascending, with one signature each"
    )
    topologies: tuple[str, ...] = option(
        DEFAULT_TOPOLOGIES, flag="topologies", metavar="T,T", help="what to compile for, as chip:XxY"
    )
    keep_float32: tuple[str, ...] = option(
        (), flag="keep_float32", metavar="P,P", help="layer name patterns computed in float32"
    )
    freeze: bool = option(False, flag="freeze", help="store weights as constants instead of variables")

    def _check(self) -> None:
        sizes = self.batch_sizes
        ok = bool(sizes) and min(sizes) >= 1 and list(sizes) == sorted(set(sizes))
        self.require(ok, "batch_sizes", "positive sizes, ascending, without repeats")
        check_topologies(self.topologies)


@documented()
@dataclass(frozen=True, kw_only=True)
class Snapdragon(Section):
    """Options of the snapdragon target."""

    key: ClassVar[str] = "snapdragon"
    socs: tuple[str, ...] = option(
        DEFAULT_SOCS, flag="socs", metavar="S,S", help="Snapdragon chips to compile for, by Qualcomm's names"
    )

    def _check(self) -> None:
        check_socs(self.socs)


@documented()
@dataclass(frozen=True, kw_only=True)
class EthosU(Section):
    """Options of the ethos_u target."""

    key: ClassVar[str] = "ethos_u"
    configs: tuple[str, ...] = option(
        DEFAULT_CONFIGS,
        flag="ethos_u_configs",
        metavar="C,C",
        help="accelerator configurations to compile for, by Vela's names",
    )

    def _check(self) -> None:
        check_configs(self.configs)
