"""Layers and models of one's own, as the Keras tutorials and public collections write them, small."""

from __future__ import annotations

from typing import Any

from tfcompress.runtime import keras, tf

layers, ops = keras.layers, keras.ops


class TransformerBlock(keras.layers.Layer):
    """Sublayers made in the constructor and no `build`: keras.io, text classification with a transformer."""

    def __init__(self, width: int, heads: int = 2, rate: float = 0.1, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.attention = layers.MultiHeadAttention(num_heads=heads, key_dim=width)
        self.ffn = keras.Sequential([layers.Dense(2 * width, activation="relu"), layers.Dense(width)])
        self.norm1, self.norm2 = layers.LayerNormalization(), layers.LayerNormalization()
        self.drop1, self.drop2 = layers.Dropout(rate), layers.Dropout(rate)

    def call(self, inputs: Any, training: bool = False) -> Any:
        attended = self.drop1(self.attention(inputs, inputs), training=training)
        x = self.norm1(inputs + attended)
        return self.norm2(x + self.drop2(self.ffn(x), training=training))


class TokenAndPositionEmbedding(keras.layers.Layer):
    """An embedding called on numbers."""

    def __init__(self, length: int, words: int, width: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.tokens, self.positions = layers.Embedding(words, width), layers.Embedding(length, width)

    def call(self, inputs: Any) -> Any:
        return self.tokens(inputs) + self.positions(ops.arange(0, ops.shape(inputs)[-1], 1))


class SequencePooling(keras.layers.Layer):
    """keras.io, compact convolutional transformers."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.weigh = layers.Dense(1)

    def call(self, inputs: Any) -> Any:
        weights = ops.transpose(ops.softmax(self.weigh(inputs), axis=1), axes=(0, 2, 1))
        return ops.squeeze(ops.matmul(weights, inputs), axis=-2)


class ClassToken(keras.layers.Layer):
    """A weight of the layer itself, repeated for each sample: vit-keras."""

    def build(self, input_shape: Any) -> None:
        self.token = self.add_weight(shape=(1, 1, input_shape[-1]), initializer="random_normal", name="token")

    def call(self, inputs: Any) -> Any:
        token = ops.broadcast_to(self.token, (ops.shape(inputs)[0], 1, inputs.shape[-1]))
        return ops.concatenate([token, inputs], axis=1)


class RepeatedToken(ClassToken):
    """The same with `repeat`, and zeros made for the batch."""

    def call(self, inputs: Any) -> Any:
        batch = ops.shape(inputs)[0]
        zeros = ops.zeros((batch, 1, inputs.shape[-1]))
        return ops.concatenate([ops.repeat(self.token, batch, axis=0), inputs, zeros], axis=1)


class AttentionByHand(keras.layers.Layer):
    """The batch's size in `reshape`, as in kecam and the Swin tutorial."""

    def __init__(self, width: int, heads: int = 2, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.width, self.heads = width, heads
        self.qkv, self.proj = layers.Dense(3 * width), layers.Dense(width)

    def call(self, x: Any) -> Any:
        batch, length = ops.shape(x)[0], ops.shape(x)[1]
        qkv = ops.reshape(self.qkv(x), (batch, length, 3, self.heads, self.width // self.heads))
        q, k, v = ops.unstack(ops.transpose(qkv, (2, 0, 3, 1, 4)), 3)
        weights = ops.softmax(ops.matmul(q, ops.transpose(k, (0, 1, 3, 2))) / self.width**0.5)
        mixed = ops.transpose(ops.matmul(weights, v), (0, 2, 1, 3))
        return self.proj(ops.reshape(mixed, (batch, length, self.width)))


class WindowAttention(AttentionByHand):
    """Windows folded into the batch, so that its size is multiplied."""

    def call(self, x: Any) -> Any:
        batch, length, width = ops.shape(x)[0], x.shape[1], x.shape[2]
        windows = ops.reshape(x, (batch * 2, length // 2, width))
        return ops.reshape(super().call(windows), (batch, length, width))


class OwnDense(keras.layers.Layer):
    """keras.io, making new layers: weights by `add_weight`, a product by hand."""

    def __init__(self, units: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.units = units

    def build(self, input_shape: Any) -> None:
        self.w = self.add_weight(shape=(input_shape[-1], self.units), initializer="random_normal", name="w")
        self.b = self.add_weight(shape=(self.units,), initializer="random_normal", name="b")

    def call(self, inputs: Any) -> Any:
        return ops.matmul(inputs, self.w) + self.b


class ListOfWeights(keras.layers.Layer):
    """Weights in a list, where no attribute is one."""

    def build(self, input_shape: Any) -> None:
        shape = (input_shape[-1],)
        self.scales = [self.add_weight(shape=shape, initializer="random_normal", name=f"s{i}") for i in range(2)]

    def call(self, inputs: Any) -> Any:
        for scale in self.scales:
            inputs = inputs * scale
        return inputs


class DropPath(keras.layers.Layer):
    """Random while training, nothing at inference."""

    def __init__(self, rate: float = 0.1, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.rate = rate

    def call(self, x: Any, training: bool | None = None) -> Any:
        if training:
            keep = keras.random.uniform((ops.shape(x)[0], 1, 1)) > self.rate
            return x * ops.cast(keep, x.dtype) / (1 - self.rate)
        return x


class InTensorFlow(keras.layers.Layer):
    """Calls of `tf`, sizes included."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.dense = layers.Dense(8)

    def call(self, x: Any) -> Any:
        rows = tf.reshape(x, [tf.shape(x)[0], -1, 4])
        wide = tf.reshape(tf.nn.relu(self.dense(rows)), (tf.shape(x)[0], x.shape[1], 16))
        return wide + tf.reduce_mean(x, axis=-1, keepdims=True)


class TwoOutputs(keras.layers.Layer):
    """Returns a tuple."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.left, self.right = layers.Dense(4), layers.Dense(4)

    def call(self, x: Any) -> Any:
        return self.left(x), self.right(x)


class NamedOutputs(keras.layers.Layer):
    """Returns a dictionary, of a layer that returns a tuple."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.inner = TwoOutputs()

    def call(self, x: Any) -> Any:
        left, right = self.inner(x)
        return {"sum": left + right, "difference": left - right}


class WithScoresOnRequest(keras.layers.Layer):
    """Returns None beside its result, as the blocks of transformers do for scores that nobody asked for."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.inner = layers.Dense(8)

    def call(self, x: Any, return_scores: bool = False) -> Any:
        y = self.inner(x)
        return x + y, (y if return_scores else None)


class EncoderWithScoresOnRequest(keras.layers.Layer):
    """Calls such blocks, and is no example of how to write `get_config`: it cannot be copied."""

    def __init__(self, count: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.blocks = [WithScoresOnRequest() for _ in range(count)]

    def call(self, x: Any) -> Any:
        for block in self.blocks:
            x, _ = block(x)
        return x

    def get_config(self) -> Any:
        raise AttributeError("count")


class MaskedSummary(keras.layers.Layer):
    """Makes a mask, hands it on, and heeds it."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.embedding = layers.Embedding(50, 8, mask_zero=True)
        self.recurrent = layers.LSTM(6, return_sequences=True)
        self.supports_masking = True

    def compute_mask(self, inputs: Any, mask: Any = None) -> Any:
        return self.embedding.compute_mask(inputs)

    def call(self, inputs: Any) -> Any:
        return self.recurrent(self.embedding(inputs))


class Residual(keras.layers.Layer):
    """A layer that is given, and called twice."""

    def __init__(self, layer: Any, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.layer = layer

    def call(self, x: Any) -> Any:
        return x + self.layer(self.layer(x))


class ByValue(keras.layers.Layer):
    """Control flow on values: what it computes cannot be known without running it."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.dense = layers.Dense(8)

    def call(self, x: Any) -> Any:
        return ops.cond(ops.mean(x) > 0, lambda: self.dense(x), lambda: -x)

    def get_config(self) -> dict[str, Any]:
        return super().get_config()


class DenseOfOnesOwn(keras.layers.Dense):
    """A built-in layer under another name."""


class Perceptron(keras.Model):
    """A subclassed model."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.hidden = [layers.Dense(8, activation="relu") for _ in range(2)]
        self.out = layers.Dense(3, activation="softmax")

    def call(self, x: Any, training: bool = False) -> Any:
        for layer in self.hidden:
            x = layer(x)
        return self.out(x)


class TwoTowers(keras.Model):
    """A subclassed model of a dictionary of inputs."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.user, self.item = Perceptron(), Perceptron()
        self.dot = layers.Dot(axes=-1)

    def call(self, inputs: Any) -> Any:
        return {"score": self.dot([self.user(inputs["user"]), self.item(inputs["item"])])}
