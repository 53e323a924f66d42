"""The custom objects that some of the real models in ../shared name, written from their weights and configurations."""

from __future__ import annotations

from typing import Any

from tfcompress.runtime import keras, tf_keras

__all__ = ["CUSTOM_OBJECTS", "custom_objects_for"]


class MultiScaleTemporalConvolution(tf_keras.layers.DepthwiseConv2D):
    """A depthwise convolution along time, of the one scale that the stored models have (Keras 2)."""

    def __init__(self, stride: int, scales: list[int], **kwargs: Any) -> None:
        (size,) = scales
        super().__init__((size, 1), strides=(stride, stride), padding="same", use_bias=False, **kwargs)
        self.settings = {"stride": stride, "scales": scales}

    def get_config(self) -> dict[str, Any]:
        return {"name": self.name, "trainable": self.trainable, "dtype": self.dtype, **self.settings}


class CastAndClipLayer(keras.layers.Layer):
    """Makes a float column an index below `num_districts` (Keras 3)."""

    def __init__(self, num_districts: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.num_districts = num_districts

    def call(self, inputs: Any) -> Any:
        return keras.ops.clip(keras.ops.cast(inputs, "int32"), 0, self.num_districts - 1)

    def compute_output_spec(self, inputs: Any) -> Any:
        return keras.KerasTensor(inputs.shape, "int32")

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "num_districts": self.num_districts}


CUSTOM_OBJECTS = {
    "MultiScaleTemporalConvolution": MultiScaleTemporalConvolution,
    "CastAndClipLayer": CastAndClipLayer,
}


def custom_objects_for(loads_in: str) -> dict[str, Any]:
    """The objects that the index's column `loads_in` asks for."""
    return {name: value for name, value in CUSTOM_OBJECTS.items() if name in loads_in}
