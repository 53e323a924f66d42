"""Rewrites of the float graph, before quantization, so that more of it maps to the Edge TPU.

They work on the float .tflite that the Keras graph becomes, not on the Keras layers.  TFLiteConverter would fuse the
mapped forms back into the operators that do not map: maximum(x, a * x) into LEAKY_RELU, x * relu6(x + 3) / 6 into
HARD_SWISH, reshape and Dense into FULLY_CONNECTED with keep_num_dims.  So, too, SavedModels and layers of any class are
covered, and what TFLite has no Keras layer for (SPLIT_V, UNPACK, BATCH_TO_SPACE_ND).  The layers are named all the
same: from the tensors' names.  Each kind of rewrite is proven by running the graph before and after it.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, Literal

from tfcompress.converters.edgetpu.rewriting.graph import GraphEditor
from tfcompress.converters.edgetpu.rewriting.proof import TOLERANCE, largest_difference
from tfcompress.converters.edgetpu.rewriting.table import REWRITES, Level, Rewrite
from tfcompress.graphs.tflite import pack, read_tflite, unpack
from tfcompress.layer_names import as_named_in, layers_of

__all__ = ["REWRITES", "TOLERANCE", "AppliedRewrite", "Rewrite", "rewrite_float_graph"]


@dataclass(frozen=True)
class AppliedRewrite:
    """A kind of rewrite that was done to a model.

    Attributes:
        name: of the row in `REWRITES`.
        level: `safe` or `all`.
        what: a sentence.
        operators: how many operators were replaced.
        keras_layers: the layers that they belong to, as far as names tell.
        max_abs_error: largest difference of any float output before and after, relative to that output's largest value
            where that is above 1.
        in_int8: done to the quantized file; the float graph was changed only for the proof.
    """

    name: str
    level: Level
    what: str
    operators: int
    keras_layers: tuple[str, ...]
    max_abs_error: float
    in_int8: bool = False

    def note(self) -> str:
        """One line for people."""
        warning = "; in int8 at most one step off" if self.in_int8 else ""
        warning += "" if self.level == "safe" else "; this changes the function: fine-tune the model"
        return f"rewrote {self.operators}: {self.what} (float difference {self.max_abs_error:.1g}{warning})"

    def to_json(self) -> dict[str, object]:
        """The rewrite as report.json has it."""
        return {**vars(self), "keras_layers": list(self.keras_layers)}


def rewrite_float_graph(
    content: bytes, level: Literal["none", "safe", "all"], *, layer_names: Collection[str] = ()
) -> tuple[bytes, tuple[AppliedRewrite, ...]]:
    """Apply the rewrites to a float .tflite.

    A safe rewrite that does not pass its proof on this model is left out.

    Args:
        content: the float .tflite, at batch 1.
        level: which rewrites; `none` returns the content as it is.
        layer_names: of the Keras model, to name the layers that were changed.

    Returns:
        The new .tflite and what was done.
    """
    applied: list[AppliedRewrite] = []
    known = as_named_in(layer_names, (tensor.name for tensor in read_tflite(content).main.tensors))
    for rewrite in REWRITES if level != "none" else ():
        if rewrite.level not in ("safe", level) or _operators(content).isdisjoint(rewrite.operators):
            continue
        changed, tensors = _apply(content, rewrite)
        if not tensors:
            continue
        error = largest_difference(content, changed)
        if rewrite.level == "safe" and not error <= TOLERANCE:
            continue
        layers = tuple(dict.fromkeys(layer for name in tensors for layer in layers_of(name, known)[:1]))
        applied.append(
            AppliedRewrite(
                rewrite.name, rewrite.level, rewrite.what, len(tensors), layers, error, in_int8=rewrite.in_int8
            )
        )
        content = content if rewrite.in_int8 else changed
    return content, tuple(applied)


def _operators(content: bytes) -> frozenset[str]:
    """Names of the operators of the main graph; reading them costs far less than unpacking the file."""
    return frozenset(operator.name for operator in read_tflite(content).main.operators)


def _apply(content: bytes, rewrite: Rewrite) -> tuple[bytes, list[str]]:
    """The content with one kind of rewrite done everywhere, and the names of the results of what was replaced."""
    graph = GraphEditor(unpack(content))
    replaced = []
    for operator in list(graph.operators):
        if graph.name_of(operator) not in rewrite.operators:
            continue
        name = graph.tensor_name(operator.outputs[0])
        made: list[Any] | None = rewrite.apply(graph, operator)
        if made is not None:
            graph.replace([operator], made)
            replaced.append(name)
    if not replaced:
        return content, []
    graph.drop_unused()
    return pack(graph.tree), replaced
