"""When the compiler gives up on the whole model instead of leaving operators on the CPU."""

from __future__ import annotations

from collections.abc import Callable, Collection

from tfcompress.converters.edgetpu.checks import lstm_too_wide
from tfcompress.converters.edgetpu.mapping import Failure
from tfcompress.converters.edgetpu.memory import CHIP_BYTES
from tfcompress.converters.edgetpu.view import OperatorView, is_constant
from tfcompress.graphs.tflite import Subgraph

__all__ = ["expected_failure"]

# Inputs that set the shape of the result: computed ones make the tensor dynamic.
_SHAPE_INPUTS = {
    "RESHAPE": (1,),
    "PAD": (1,),
    "SLICE": (1, 2),
    "STRIDED_SLICE": (1, 2, 3),
    "RESIZE_BILINEAR": (1,),
    "RESIZE_NEAREST_NEIGHBOR": (1,),
    "TILE": (1,),
    "TRANSPOSE_CONV": (0,),
    "EXPAND_DIMS": (1,),
    "TRANSPOSE": (1,),
    "MEAN": (1,),
    "SUM": (1,),
    "BROADCAST_TO": (1,),
    "FILL": (0,),
    "RANGE": (0, 1, 2),
}
_DYNAMIC = (
    "ERROR: Attempting to use a delegate that only supports static-sized tensors"
    " with a graph that has dynamic-sized tensors."
)
_LARGE = "Compilation failed: Compilation failed due to large activation tensors in model."
# Twice the chip; the largest single activation of a public compiled model (PoseNet ResNet-50, 960x736) has 11.3 MB.
_TOO_LARGE = 2 * CHIP_BYTES
# Compiler 1.0 mapped all 67 operators of MobileNet v2 at 1024 x 1024, whose largest activation has 25 MB.
_LARGE_SINCE = 14
_LSTM_INPUTS = 1000


def expected_failure(graph: Subgraph, accepted: Collection[int], *, compiler: int) -> Failure | None:
    """Why the compiler would abort, or None when it is expected to finish.

    Args:
        graph: the main subgraph.
        accepted: operators that are to be mapped; without any the compiler finishes with nothing to do.
        compiler: major version of the compiler.
    """
    if not accepted:
        return None
    views = [OperatorView(graph, graph.operators[index]) for index in sorted(accepted)]
    every = [OperatorView(graph, operator) for operator in graph.operators]
    tests: tuple[Callable[[], Failure | None], ...] = (
        lambda: _dynamic_input(graph),
        lambda: _dynamic_result(every),
        lambda: _bad_scale(views),
        lambda: _wide_lstm(views),
        lambda: _large_activation(views) if compiler >= _LARGE_SINCE else None,
    )
    return next((failure for test in tests if (failure := test()) is not None), None)


def _dynamic_input(graph: Subgraph) -> Failure | None:
    for tensor in (graph.tensors[index] for index in graph.inputs):
        # An exporter writes 1 for an open size; another one was set later, which the interpreter then takes.
        sizes = zip(tensor.shape_signature[1:], tensor.shape[1:], strict=False)
        if any(open_size < 0 and size == 1 for open_size, size in sizes) or any(size < 1 for size in tensor.shape):
            return Failure(
                _DYNAMIC,
                f"input {tensor.name!r} has the open shape {list(tensor.shape_signature)}",
                "give the model a fixed input size before it is converted",
                "documented",
                "coral.ai models-intro, model requirements; google-coral/edgetpu issue 829",
            )
    return None


def _dynamic_result(views: list[OperatorView]) -> Failure | None:
    for view in views:
        for position in _SHAPE_INPUTS.get(view.operator.name, ()):
            tensor = view.input(position)
            if tensor is not None and not is_constant(tensor):
                return Failure(
                    _DYNAMIC,
                    f"operator {view.operator.index} {view.operator.name} computes the shape of its result"
                    f" from {tensor.name!r}",
                    "convert with batch 1 and fixed sizes, so that shapes become constants",
                    "documented",
                    "coral.ai models-intro, model requirements; google-coral/edgetpu issue 829",
                )
    return None


def _bad_scale(views: list[OperatorView]) -> Failure | None:
    for view in views:
        for tensor in view.activations:
            if tensor.quantization is not None and not tensor.quantization.finite:
                return Failure(
                    "Internal compiler error. Aborting!",
                    f"tensor {tensor.name!r} has a scale that is infinite or NaN",
                    "calibrate with data that gives every tensor a finite range",
                    "documented",
                    "google-coral/edgetpu issue 350, staff",
                )
    return None


def _wide_lstm(views: list[OperatorView]) -> Failure | None:
    for view in views:
        if view.operator.name == "UNIDIRECTIONAL_SEQUENCE_LSTM":
            tensor = lstm_too_wide(view, _LSTM_INPUTS)
            if tensor is not None:
                return Failure(
                    "Compilation failed!",
                    f"operator {view.operator.index} is an LSTM with {tensor.shape[-1]} inputs a step;"
                    f" from about {_LSTM_INPUTS} on the compiler fails without a reason",
                    "reduce the inputs of each step with a Dense layer first",
                    "observed",
                    "google-coral/edgetpu issue 598",
                )
    return None


def _large_activation(views: list[OperatorView]) -> Failure | None:
    for view in views:
        for tensor in view.activations:
            if tensor.bytes > _TOO_LARGE:
                return Failure(
                    _LARGE,
                    f"tensor {tensor.name!r} {list(tensor.shape)} has {tensor.bytes:,} bytes,"
                    f" more than twice the chip's memory of {CHIP_BYTES:,}",
                    "use a smaller input, or stop the model earlier",
                    "inferred",
                    "google-coral/edgetpu issue 439 shows the message, of compiler 16; Coral states no limit;"
                    f" taken to hold since compiler {_LARGE_SINCE}",
                )
    return None
