"""Layers of one's own as tutorials teach them: sublayers made in ``__init__``, no ``build``, a call in operations."""

from __future__ import annotations

from typing import Any

from tfcompress.runtime import keras

__all__ = [
    "OWN",
    "GatedResidual",
    "PatchEncoder",
    "Patches",
    "Sampling",
    "SequencePooling",
    "TokenAndPositionEmbedding",
    "TransformerBlock",
]

layers, ops = keras.layers, keras.ops


class Patches(keras.layers.Layer):
    """Square pieces of pictures, each as one vector."""

    def __init__(self, size: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.size = size

    def call(self, images: Any) -> Any:
        """[batch, height, width, channels] to [batch, patches, values]."""
        batch, height, width, channels = ops.shape(images)
        down, across = height // self.size, width // self.size
        pieces = ops.image.extract_patches(images, size=self.size)
        return ops.reshape(pieces, (batch, down * across, self.size * self.size * channels))

    def get_config(self) -> dict[str, Any]:
        """What makes the layer anew."""
        return {**super().get_config(), "size": self.size}


class PatchEncoder(keras.layers.Layer):
    """Patches projected, with a learnt vector for each place."""

    def __init__(self, count: int, width: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.count, self.width = count, width
        self.projection = layers.Dense(width)
        self.positions = layers.Embedding(count, width)

    def call(self, patches: Any) -> Any:
        """What the layer computes."""
        places = ops.expand_dims(ops.arange(0, self.count, 1), axis=0)
        return self.projection(patches) + self.positions(places)

    def get_config(self) -> dict[str, Any]:
        """What makes the layer anew."""
        return {**super().get_config(), "count": self.count, "width": self.width}


class SequencePooling(keras.layers.Layer):
    """A weighted mean over the sequence, the weights learnt from it."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.attention = layers.Dense(1)

    def call(self, x: Any) -> Any:
        """What the layer computes."""
        weights = ops.transpose(ops.softmax(self.attention(x), axis=1), (0, 2, 1))
        return ops.squeeze(ops.matmul(weights, x), axis=-2)


class TransformerBlock(keras.layers.Layer):
    """Self-attention and two dense layers, each with a residual and normalization behind."""

    def __init__(self, width: int, heads: int, hidden: int, causal: bool = False, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.settings = {"width": width, "heads": heads, "hidden": hidden, "causal": causal}
        self.attention = layers.MultiHeadAttention(heads, width)
        self.feed_forward = keras.Sequential([layers.Dense(hidden, activation="relu"), layers.Dense(width)])
        self.first_norm, self.second_norm = (
            layers.LayerNormalization(epsilon=1e-6),
            layers.LayerNormalization(epsilon=1e-6),
        )
        self.first_dropout, self.second_dropout = layers.Dropout(0.1), layers.Dropout(0.1)

    def call(self, x: Any) -> Any:
        """What the layer computes."""
        attended = self.first_dropout(self.attention(x, x, use_causal_mask=self.settings["causal"]))
        middle = self.first_norm(x + attended)
        return self.second_norm(middle + self.second_dropout(self.feed_forward(middle)))

    def get_config(self) -> dict[str, Any]:
        """What makes the layer anew."""
        return {**super().get_config(), **self.settings}


class TokenAndPositionEmbedding(keras.layers.Layer):
    """An embedding of words plus one of places."""

    def __init__(self, length: int, vocabulary: int, width: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.settings = {"length": length, "vocabulary": vocabulary, "width": width}
        self.words = layers.Embedding(vocabulary, width)
        self.places = layers.Embedding(length, width)

    def call(self, x: Any) -> Any:
        """What the layer computes."""
        return self.words(x) + self.places(ops.arange(0, ops.shape(x)[-1], 1))

    def get_config(self) -> dict[str, Any]:
        """What makes the layer anew."""
        return {**super().get_config(), **self.settings}


class GatedResidual(keras.layers.Layer):
    """A gated residual network (Lim et al. 2019, "Temporal Fusion Transformers")."""

    def __init__(self, units: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.units = units
        self.elu, self.linear = layers.Dense(units, activation="elu"), layers.Dense(units)
        self.gate, self.value = layers.Dense(units, activation="sigmoid"), layers.Dense(units)
        self.norm, self.project = layers.LayerNormalization(), layers.Dense(units)

    def call(self, x: Any) -> Any:
        """What the layer computes."""
        hidden = self.linear(self.elu(x))
        kept = self.project(x) if x.shape[-1] != self.units else x
        return self.norm(kept + self.value(hidden) * self.gate(hidden))

    def get_config(self) -> dict[str, Any]:
        """What makes the layer anew."""
        return {**super().get_config(), "units": self.units}


class Sampling(keras.layers.Layer):
    """Draws from a normal distribution of the given mean and logarithm of the variance."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.seed_generator = keras.random.SeedGenerator(1337)

    def call(self, inputs: Any) -> Any:
        """What the layer computes."""
        mean, log_variance = inputs
        noise = keras.random.normal(ops.shape(mean), seed=self.seed_generator)
        return mean + ops.exp(0.5 * log_variance) * noise


OWN = {
    kind.__name__: f"{__name__}:{kind.__name__}"
    for kind in (
        Patches, PatchEncoder, SequencePooling, TransformerBlock, TokenAndPositionEmbedding, GatedResidual, Sampling,
    )
}  # fmt: skip
