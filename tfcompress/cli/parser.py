"""Commands and flags; imports nothing heavy, so that ``--help`` is instant."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import NoReturn

from absl.flags import argparse_flags

from tfcompress.converters.target import DEFAULT_TARGETS, TARGETS
from tfcompress.errors import InputError
from tfcompress.targets import DEFAULT_TOPOLOGIES

__all__ = ["build_parser"]

_DATA_HELP = "path (.npz, .npy, .csv, .tfrecord, folder or .zip of class folders) or package.module:function"


class _Parser(argparse_flags.ArgumentParser):
    """Says what is wrong in one line, as every other error of ours."""

    def error(self, message: str) -> NoReturn:
        print(f"{self.prog}: error: {message}; see {self.prog} --help", file=sys.stderr)
        raise SystemExit(InputError.exit_code)


def build_parser() -> argparse.ArgumentParser:
    """The parser of the whole command line; `command` of the result is the command's name."""
    version = (Path(__file__).parent.parent / "VERSION").read_text(encoding="utf-8").strip()
    parser = _Parser(
        prog="tfcompress",
        description="Keras models to TFLite int8, Edge TPU and Cloud TPU, each proven against the float model.",
        epilog="exit codes: 0 done, 1 a conversion failed, 2 bad usage or bad input, 3 the accuracy gate failed",
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"tfcompress {version}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    _convert(_command(commands, "convert", "convert a model for each target and prove every artifact"))
    _compress(_command(commands, "compress", "prune, cluster or quantization-aware-train a model and save it"))
    _diff(_command(commands, "diff", "compare the accuracy of any two models or artifacts"))
    _inspect(_command(commands, "inspect", "what is in a model or artifact, and where it would run"))
    _verify(_command(commands, "verify", "check an output folder against its manifest"))
    _demo(_command(commands, "demo", "the main job on an example model with bundled data"))
    return parser


def _command(commands: argparse._SubParsersAction[_Parser], name: str, text: str) -> argparse.ArgumentParser:
    parser = commands.add_parser(name, help=text, description=text[0].upper() + text[1:] + ".", allow_abbrev=False)
    parser.add_argument("--json", action="store_true", help="print JSON on standard output, and nothing else there")
    parser.add_argument("--quiet", action="store_true", help="no progress and no notes on standard error")
    parser.add_argument("--seed", type=int, default=0, help="of everything random (default: 0)")
    return parser


def _add_loading(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--custom_objects", metavar="MODULE:DICT", help="custom layers, as package.module:dict")
    parser.add_argument(
        "--allow_unsafe_deserialization",
        action="store_true",
        help="let code inside the model file run (Lambda, pickles)",
    )


def _add_data(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--preprocess", default="none", help="none, unit (x/255), signed_unit (x/127.5-1) or package.module:function"
    )
    parser.add_argument(
        "--label_column", metavar="NAME", help="label of a .csv: a name or a number (default: the last)"
    )


def _add_calibration_samples(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--calibration_samples", type=_positive, default=500, metavar="N", help="how many calibrate (default: 500)"
    )


def _add_gate(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--max_accuracy_drop", type=_share, default=0.01, metavar="DROP", help="the gate, absolute (default: 0.01)"
    )
    parser.add_argument("--task", help="what the outputs mean (default: found from the outputs)")


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"got {text}, expected a number >= 1")
    return number


def _share(text: str) -> float:
    number = float(text)
    if not 0 <= number <= 1:
        raise argparse.ArgumentTypeError(f"got {text}, expected a share between 0 and 1")
    return number


def _add_summaries(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--junit_xml", metavar="FILE", help="write the gate's verdict for a CI server")
    parser.add_argument("--markdown", metavar="FILE", help="write a summary in GitHub-flavoured markdown")
    parser.add_argument("--model_explorer", metavar="FILE", help="write per-layer figures as Model Explorer node data")
    parser.add_argument("--tensorboard", metavar="DIR", help="write metrics and per-layer figures as TensorBoard logs")


def _sizes(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split(","))


def _names(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",") if part.strip())


def _convert(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", metavar="MODEL", help=".keras, .h5 or SavedModel folder")
    parser.add_argument(
        "--targets",
        default=",".join(DEFAULT_TARGETS),
        help=f"one or more of {','.join(TARGETS)} (default: {','.join(DEFAULT_TARGETS)})",
    )
    parser.add_argument("--calibration", metavar="DATA", help=f"representative data: {_DATA_HELP}")
    parser.add_argument("--evaluation", metavar="DATA", help="data to compare on (default: the calibration data)")
    parser.add_argument("--train", metavar="DATA", help="data to fine-tune on (default: the calibration data)")
    parser.add_argument("--output", required=True, metavar="DIR", help="folder to make")
    _add_calibration_samples(parser)
    parser.add_argument(
        "--suggest", action="store_true", help="where the gate fails or compression is lost, try the causes' repairs"
    )
    _add_recipe(parser)
    _add_data(parser)
    _add_gate(parser)
    _add_loading(parser)
    phone = parser.add_argument_group("phone and edgetpu")
    phone.add_argument(
        "--scheme", help="int8, int8_float_io, int16x8, float16, dynamic or int4_weights (default: int8)"
    )
    phone.add_argument("--engine", help="auto, litert or tflite_converter (default: auto)")
    phone.add_argument("--estimator", help="min_max, moving_average, percentile, entropy or mse (default: min_max)")
    phone.add_argument("--quality", help="fast, balanced or best (default: balanced)")
    phone.add_argument("--keep_float", type=_names, metavar="P,P", help="layer name patterns left in float")
    phone.add_argument("--keep_int16", type=_names, metavar="P,P", help="layer name patterns with 16-bit activations")
    phone.add_argument(
        "--calibration_selection", metavar="HOW", help="of samples: spread or representative (default: spread)"
    )
    phone.add_argument(
        "--calibration_ranges", metavar="FILE", help="reuse the phone/calibration.json of an earlier run"
    )
    phone.add_argument(
        "--allow_select_ops", action="store_const", const=True, help="let TensorFlow (Flex) operators in"
    )
    phone.add_argument("--rewrite", help="edgetpu graph rewrites: none, safe or all (default: safe)")
    tpu = parser.add_argument_group("cloud_tpu")
    tpu.add_argument("--tpu_precision", help="bfloat16, float32 or mixed (default: bfloat16)")
    tpu.add_argument("--keep_float32", type=_names, metavar="P,P", help="layer name patterns computed in float32")
    tpu.add_argument("--freeze", action="store_const", const=True, help="store weights as constants, not variables")
    tpu.add_argument("--batch_sizes", type=_sizes, metavar="N,N", help="one signature each (default: 1,8,32,128)")
    tpu.add_argument(
        "--topologies", type=_names, metavar="T,T", help=f"to compile for (default: {','.join(DEFAULT_TOPOLOGIES)})"
    )


def _add_recipe(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--recipe", metavar="FILE", help="JSON recipe: what is done to the model")


def _compress(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", metavar="MODEL", help=".keras, .h5 or SavedModel folder")
    _add_recipe(parser)
    parser.add_argument("--train", required=True, metavar="DATA", help=f"data to fine-tune on: {_DATA_HELP}")
    parser.add_argument("--output", required=True, metavar="FILE.keras", help="file to write")
    parser.add_argument("--checkpoints", metavar="DIR", help="resume from here, and save here, after every epoch")
    parser.add_argument("--strategy", help="tf.distribute strategy: none, mirrored, multi_worker or tpu")
    _add_data(parser)
    _add_loading(parser)


def _diff(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "reference", metavar="REFERENCE", help=".keras, .h5, SavedModel, .tflite, .onnx or package.module:function"
    )
    parser.add_argument("candidate", metavar="CANDIDATE", help="the same")
    parser.add_argument("--evaluation", required=True, metavar="DATA", help=_DATA_HELP)
    _add_summaries(parser)
    parser.add_argument("--samples", type=_positive, metavar="N", help="use the first N samples only")
    parser.add_argument(
        "--metrics", type=_names, default=(), metavar="M,M", help="Keras metrics to count as well (AUC, mse, ...)"
    )
    parser.add_argument(
        "--resume", metavar="FILE", help="keep the state here, and continue from it after the diff was killed"
    )
    _add_data(parser)
    _add_gate(parser)
    _add_loading(parser)


def _inspect(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("artifact", nargs="+", metavar="ARTIFACT", help=".keras, .h5, SavedModel folder or .tflite")
    parser.add_argument("--target", choices=list(TARGETS), help="say how it would run there")
    parser.add_argument("--topologies", type=_names, metavar="T,T", help="for cloud_tpu: what to compile for")
    parser.add_argument("--calibration", metavar="DATA", help="for a model: look at its activations on this data too")
    _add_calibration_samples(parser)
    _add_data(parser)
    parser.add_argument("--edgetpu_log", action="store_true", help="the ARTIFACTs are logs of the Edge TPU compiler")
    _add_loading(parser)


def _verify(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("folder", metavar="DIR", help="an output folder of convert")


def _demo(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--output", default="demo_output", metavar="DIR", help="folder to make (default: demo_output)")
