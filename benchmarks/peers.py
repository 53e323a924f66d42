"""What other tools make of a model: int8 files of TFLiteConverter, litert-quantizer, and tfmot driven by hand."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

import numpy as np
from litert_quantizer import quantizer
from litert_quantizer import recipe as litert_recipe

from tfcompress.converters.litert.float_tflite import new_converter
from tfcompress.data import Samples
from tfcompress.model import FloatModel
from tfcompress.native_output import silenced
from tfcompress.runtime import tf, tf_keras, tfmot

__all__ = ["by_converter", "by_litert", "by_tfmot"]

_CORE = "tensorflow_model_optimization.python.core"
_PRESERVE = f"{_CORE}.quantization.keras.collab_opts.cluster_preserve"

# As in tfmot's own guides ("Pruning in Keras example", "Sparsity and cluster preserving quantization aware training").
_SPARSITY, _CLUSTERS, _BATCH = 0.8, 16, 128
_EPOCHS = {"pruning": 6, "clustering": 3, "quantization": 3}
_RATES = {"pruning": 1e-3, "clustering": 1e-4, "quantization": 1e-4}


def by_converter(model: FloatModel, samples: Samples) -> bytes | str:
    """TFLiteConverter's int8 file, or in a few words why there is none."""

    def make() -> bytes:
        converter = new_converter(model, allow_select_ops=False)
        return _int8(converter, lambda: (list(batch.inputs.values()) for batch in samples.batches(1)))

    return _tried(make)


def by_litert(content: bytes, samples: Samples) -> bytes | str:
    """litert-quantizer's int8 file of a float .tflite, or in a few words why there is none."""

    def make() -> bytes:
        engine = quantizer.Quantizer(bytearray(content), litert_recipe.static_wi8_ai8())
        data = [dict(batch.inputs) for batch in samples.batches(1)]
        ranges = engine.calibrate({"serving_default": data})
        return bytes(engine.quantize(ranges).quantized_model or b"")

    return _tried(make)


def by_tfmot(model: Any, x: np.ndarray, y: np.ndarray) -> bytes | str:
    """tfmot's pruning, clustering and quantization-aware training one after the other, then TFLiteConverter.

    Args:
        model: sequential or functional tf_keras classifier; it is not changed.
        x: training inputs.
        y: their class numbers.
    """

    def make() -> bytes:
        tf_keras.utils.set_random_seed(0)
        copy = tf_keras.models.clone_model(model)
        copy.set_weights(model.get_weights())
        steps = len(x) // _BATCH * _EPOCHS["pruning"]
        schedule = tfmot.sparsity.keras.PolynomialDecay(0.0, _SPARSITY, 0, max(1, steps // 2), frequency=20)
        pruned = tfmot.sparsity.keras.prune_low_magnitude(copy, schedule)
        _fit(pruned, "pruning", x, y, tfmot.sparsity.keras.UpdatePruningStep())
        cluster = importlib.import_module(f"{_CORE}.clustering.keras.experimental.cluster")
        centroids = tfmot.clustering.keras.CentroidInitialization.KMEANS_PLUS_PLUS
        sparse = tfmot.sparsity.keras.strip_pruning(pruned)
        clustered = cluster.cluster_weights(sparse, _CLUSTERS, centroids, preserve_sparsity=True)
        _fit(clustered, "clustering", x, y)
        plain = tfmot.clustering.keras.strip_clustering(clustered)
        scheme = importlib.import_module(f"{_PRESERVE}.default_8bit_cluster_preserve_quantize_scheme")
        aware = tfmot.quantization.keras.quantize_apply(
            tfmot.quantization.keras.quantize_annotate_model(plain),
            scheme.Default8BitClusterPreserveQuantizeScheme(preserve_sparsity=True),
        )
        _fit(aware, "quantization", x, y)
        strip = importlib.import_module(f"{_PRESERVE}.cluster_utils").strip_clustering_cqat
        return _int8(tf.lite.TFLiteConverter.from_keras_model(strip(aware)), None)

    return _tried(make)


def _fit(model: Any, stage: str, x: np.ndarray, y: np.ndarray, *callbacks: object) -> None:
    model.compile(tf_keras.optimizers.Adam(_RATES[stage]), "sparse_categorical_crossentropy")
    model.fit(x, y, batch_size=_BATCH, epochs=_EPOCHS[stage], verbose=0, callbacks=list(callbacks))


def _int8(converter: Any, data: Callable[[], object] | None) -> bytes:
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if data is not None:
        converter.representative_dataset = data
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    converter.inference_input_type = converter.inference_output_type = tf.int8
    return bytes(converter.convert())


def _tried(make: Callable[[], bytes]) -> bytes | str:
    """A peer's file, or in a few words why there is none."""
    try:
        with silenced():
            return bytes(make())
    except Exception as error:  # whatever the peers raise
        return f"{type(error).__name__} {' '.join(str(error).split())[:80]}"
