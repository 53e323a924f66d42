"""The default engine: litert-quantizer, fed with our own calibration."""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Any

import numpy as np
from litert_quantizer import quantizer, recipe, recipe_manager
from litert_quantizer.qtyping import TFLOperationName

from tfcompress.calibration import Calibration
from tfcompress.converters.litert.limits import Limits
from tfcompress.converters.litert.recurrent import held_back, restored
from tfcompress.converters.rewriting import INT8_FILE, rewrite_graph, rows_for
from tfcompress.errors import ConversionError, one_line
from tfcompress.native_output import silenced

__all__ = ["quantize", "run"]

_EVERYTHING = ".*"
# litert-quantizer keeps rules in the order in which their patterns first came, and the last match holds: a pattern of
# its own, equal in meaning, puts a rule behind all others.
_LAST_WORD = "^.*"


def quantize(content: bytes, calibration: Calibration, limits: Limits) -> bytes:
    """A float .tflite quantized to int8 weights per channel and int8 (or int16) activations.

    Operators that litert-quantizer does not know are left in float.

    Args:
        content: the float .tflite.
        calibration: ranges of its tensors.
        limits: what the result has to look like.

    Raises:
        ConversionError: litert-quantizer cannot handle the model.
    """
    plan = recipe.static_wi8_ai16() if limits.int16 else recipe.static_wi8_ai8()
    plan += _override(limits.keep_int16, recipe.static_wi8_ai16())
    plan += _override(limits.keep_float, _no_quantization(TFLOperationName.ALL_SUPPORTED))
    if not limits.int16:
        plan += _only(TFLOperationName.OUTPUT, recipe.static_wi8_ai8())  # also behind an operator with 16 bits
    if not limits.integer_io:
        for end in (TFLOperationName.INPUT, TFLOperationName.OUTPUT):
            plan += _only(end, _no_quantization(end))
    plain, held = held_back(content, limits.keep_float)
    quantized = restored(run(plain, plan, calibration), held, calibration.ranges, limits.recurrent)
    return rewrite_graph(quantized, rows_for(INT8_FILE), except_for=limits.keep_float).content


def run(content: bytes, plan: list[dict[str, Any]], calibration: Calibration | None) -> bytes:
    """litert-quantizer with a recipe of its own.

    Raises:
        ConversionError: it cannot handle the model.
    """
    ranges = None if calibration is None else _ranges(calibration)
    try:
        with silenced():
            engine = _Quantizer(bytearray(content), plan)
            result = engine.quantize(ranges, enable_progress_report=False, enable_progress_bar=False)
    except (ValueError, RuntimeError, KeyError, IndexError, NotImplementedError, TypeError) as error:
        raise ConversionError(f"litert-quantizer failed: {type(error).__name__}: {one_line(error)}") from error
    if result.quantized_model is None:
        raise ConversionError("litert-quantizer gave no model")
    return bytes(result.quantized_model)


class _Quantizer(quantizer.Quantizer):
    """litert-quantizer, which does not run the file to look for missing ranges.

    It could not, where the file has an operator of ours (`recurrent.held_back`), and `Calibration` has all ranges.
    """

    def _ensure_model_qsv_sufficient(self, calibration_result: Any) -> None:
        """Nothing."""


def _ranges(calibration: Calibration) -> dict[str, Any]:
    return {
        name: {"min": np.array([[item.low]], np.float32), "max": np.array([[item.high]], np.float32)}
        for name, item in ((name, limits.with_a_scale()) for name, limits in calibration.ranges.items())
    }


def _no_quantization(operation: TFLOperationName) -> list[dict[str, object]]:
    manager = recipe_manager.RecipeManager()
    manager.add_quantization_config(_EVERYTHING, operation, algorithm_key=recipe_manager.AlgorithmName.NO_QUANTIZE)
    return manager.get_quantization_recipe()


def _only(operation: TFLOperationName, rules: list[dict[str, object]]) -> list[dict[str, object]]:
    """The rules, limited to one kind of operator."""
    return [{**rule, "operation": operation, "regex": _LAST_WORD} for rule in rules]


def _override(names: Collection[str], rules: list[dict[str, object]]) -> list[dict[str, object]]:
    """The rules, limited to operators with these output tensors."""
    if not names:
        return []
    pattern = "|".join(re.escape(name) for name in sorted(names))
    return [{**rule, "regex": f"(?:^|;)(?:{pattern})(?:;|$)"} for rule in rules]
