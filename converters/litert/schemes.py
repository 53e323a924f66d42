"""The schemes besides int8: who makes each, and from what."""

from __future__ import annotations

from typing import Any

from litert_quantizer import qtyping, recipe, recipe_manager

from tfcompress.converters.litert import litert_engine

__all__ = ["dynamic", "float16", "int4_weights"]

# CONV_2D is left at 8 bits: with 4-bit weights LiteRT 2.3 dies (SIGSEGV) when the batch is resized.
_FOUR_BIT = (qtyping.TFLOperationName.FULLY_CONNECTED, qtyping.TFLOperationName.EMBEDDING_LOOKUP)


def float16(content: bytes) -> bytes:
    """Weights stored as float16; inputs, outputs and activations stay float32.

    Raises:
        ConversionError: litert-quantizer cannot handle the model.
    """
    manager = recipe_manager.RecipeManager()
    manager.add_quantization_config(
        ".*",
        qtyping.TFLOperationName.ALL_SUPPORTED,
        qtyping.OpQuantizationConfig(
            weight_tensor_config=qtyping.TensorQuantizationConfig(num_bits=16, dtype=qtyping.TensorDataType.FLOAT),
            compute_precision=qtyping.ComputePrecision.FLOAT,
        ),
        recipe_manager.AlgorithmName.FLOAT_CASTING,
    )
    return litert_engine.run(content, manager.get_quantization_recipe(), None)


def dynamic(content: bytes) -> bytes:
    """int8 weights; activations are float32 in the file and quantized while running.

    Raises:
        ConversionError: litert-quantizer cannot handle the model.
    """
    return litert_engine.run(content, recipe.dynamic_wi8_afp32(), None)


def int4_weights(content: bytes) -> bytes:
    """As `dynamic`, with 4-bit weights where LiteRT runs them safely: Dense and Embedding.

    Raises:
        ConversionError: litert-quantizer cannot handle the model.
    """
    plan: list[dict[str, Any]] = recipe.dynamic_wi8_afp32()
    for operation in _FOUR_BIT:
        manager = recipe_manager.RecipeManager()
        manager.add_dynamic_config(".*", operation, 4)
        plan += manager.get_quantization_recipe()
    return litert_engine.run(content, plan, None)
