"""Image examples of keras.io, written anew after their descriptions, in Keras 3."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from benchmarks.zoo.entry import Entry
from benchmarks.zoo.tutorial_layers import OWN, PatchEncoder, Patches, Sampling, SequencePooling
from tfcompress.runtime import keras

__all__ = ["TUTORIALS_OF_IMAGES"]

layers, ops = keras.layers, keras.ops


def _convnet() -> Any:
    """Simple MNIST convnet."""
    return keras.Sequential(
        [
            keras.Input((28, 28, 1)),
            layers.Conv2D(16, 3, activation="relu"),
            layers.MaxPooling2D(),
            layers.Conv2D(32, 3, activation="relu"),
            layers.MaxPooling2D(),
            layers.Flatten(),
            layers.Dropout(0.5),
            layers.Dense(10, activation="softmax"),
        ]
    )


def _halved(x: Any, filters: int) -> Any:
    """A residual block of separable convolutions, as Xception has them, that halves the size of an image."""
    y = x
    for _ in range(2):
        y = layers.SeparableConv2D(filters, 3, padding="same")(layers.Activation("relu")(y))
        y = layers.BatchNormalization()(y)
    y = layers.MaxPooling2D(3, strides=2, padding="same")(y)
    return layers.add([y, layers.Conv2D(filters, 1, strides=2, padding="same")(x)])


def _from_scratch() -> Any:
    """Image classification from scratch: a small Xception behind augmentation and rescaling."""
    inputs = keras.Input((64, 64, 3))
    x = layers.RandomRotation(0.1)(layers.RandomFlip("horizontal")(inputs))
    x = layers.Conv2D(16, 3, strides=2, padding="same")(layers.Rescaling(1 / 255)(x))
    x = layers.Activation("relu")(layers.BatchNormalization()(x))
    for size in (24, 32):
        x = _halved(x, size)
    x = layers.Dropout(0.25)(layers.GlobalAveragePooling2D()(x))
    return keras.Model(inputs, layers.Dense(1)(x))


def _encoder_block(x: Any, heads: int, width: int, dropout: float = 0.1) -> Any:
    normed = layers.LayerNormalization(epsilon=1e-6)(x)
    x = layers.Add()([layers.MultiHeadAttention(heads, width // heads, dropout=dropout)(normed, normed), x])
    hidden = layers.LayerNormalization(epsilon=1e-6)(x)
    for units in (2 * width, width):
        hidden = layers.Dropout(dropout)(layers.Dense(units, activation=keras.activations.gelu)(hidden))
    return layers.Add()([hidden, x])


def _vit() -> Any:
    """Image classification with a Vision Transformer, with its two layers of one's own."""
    inputs = keras.Input((32, 32, 3))
    x = PatchEncoder(16, 32)(Patches(8)(inputs))
    for _ in range(2):
        x = _encoder_block(x, 2, 32)
    x = layers.Flatten()(layers.LayerNormalization(epsilon=1e-6)(x))
    return keras.Model(inputs, layers.Dense(10)(layers.Dropout(0.5)(x)))


def _compact_transformer() -> Any:
    """Compact Convolutional Transformers: convolutional tokens, and pooling of the sequence with its own layer."""
    inputs = keras.Input((32, 32, 3))
    x = layers.Rescaling(1 / 255)(inputs)
    for filters in (16, 32):
        x = layers.MaxPooling2D(3, 2, padding="same")(layers.Conv2D(filters, 3, padding="same", activation="relu")(x))
    x = layers.Reshape((64, 32))(x)
    for _ in range(2):
        x = _encoder_block(x, 2, 32)
    return keras.Model(inputs, layers.Dense(10)(SequencePooling()(layers.LayerNormalization()(x))))


def _conv_mixer() -> Any:
    """Image classification with ConvMixer."""
    inputs = keras.Input((32, 32, 3))
    x = layers.Conv2D(32, 2, strides=2)(layers.Rescaling(1 / 255)(inputs))
    x = layers.BatchNormalization()(layers.Activation("gelu")(x))
    for _ in range(3):
        kept = x
        x = layers.BatchNormalization()(layers.Activation("gelu")(layers.DepthwiseConv2D(5, padding="same")(x)))
        x = layers.Add()([x, kept])
        x = layers.BatchNormalization()(layers.Activation("gelu")(layers.Conv2D(32, 1)(x)))
    return keras.Model(inputs, layers.Dense(10, activation="softmax")(layers.GlobalAvgPool2D()(x)))


def _mlp_mixer() -> Any:
    """Image classification with modern MLP models: mixing over patches and over channels."""
    inputs = keras.Input((32, 32, 3))
    x = layers.Dense(32)(Patches(8)(inputs))
    for _ in range(2):
        across = layers.Permute((2, 1))(layers.LayerNormalization()(x))
        across = layers.Dense(16)(layers.Dense(16, activation="gelu")(across))
        x = layers.Add()([layers.Permute((2, 1))(across), x])
        x = layers.Add()([layers.Dense(32)(layers.Dense(64, activation="gelu")(layers.LayerNormalization()(x))), x])
    return keras.Model(inputs, layers.Dense(10)(layers.GlobalAveragePooling1D()(x)))


def _captcha() -> Any:
    """OCR model for reading captchas: a convolutional front and two bidirectional LSTMs."""
    inputs = keras.Input((96, 32, 1), name="image")
    x = inputs
    for filters in (16, 32):
        x = layers.MaxPooling2D()(layers.Conv2D(filters, 3, activation="relu", padding="same")(x))
    x = layers.Dropout(0.2)(layers.Dense(32, activation="relu")(layers.Reshape((24, 8 * 32))(x)))
    for units in (32, 16):
        x = layers.Bidirectional(layers.LSTM(units, return_sequences=True, dropout=0.25))(x)
    return keras.Model(inputs, layers.Dense(20, activation="softmax")(x))


def _unet() -> Any:
    """Image segmentation with a U-Net-like architecture."""
    inputs = keras.Input((64, 64, 3))
    x = layers.Conv2D(16, 3, strides=2, padding="same")(inputs)
    x = layers.Activation("relu")(layers.BatchNormalization()(x))
    for filters in (16, 32):
        x = _halved(x, filters)
    previous = x
    for filters in (32, 16, 8):
        for _ in range(2):
            x = layers.Conv2DTranspose(filters, 3, padding="same")(layers.Activation("relu")(x))
            x = layers.BatchNormalization()(x)
        residual = layers.Conv2D(filters, 1, padding="same")(layers.UpSampling2D(2)(previous))
        x = previous = layers.add([layers.UpSampling2D(2)(x), residual])
    return keras.Model(inputs, layers.Conv2D(3, 3, activation="softmax", padding="same")(x))


def _super_resolution() -> Any:
    """Image super-resolution with an efficient sub-pixel CNN, of open size, by depth_to_space."""
    inputs = keras.Input((32, 32, 1))
    x = inputs
    for filters, size in ((32, 5), (32, 3), (16, 3)):
        x = layers.Conv2D(filters, size, padding="same", activation="relu", kernel_initializer="orthogonal")(x)
    x = layers.Conv2D(9, 3, padding="same", activation="relu")(x)
    x = layers.Reshape((32, 32, 3, 3))(x)
    x = layers.Reshape((96, 96, 1))(layers.Permute((1, 3, 2, 4))(x))
    return keras.Model(inputs, x)


def _low_light() -> Any:
    """Zero-DCE for low-light image enhancement: curves that are applied to the picture eight times."""
    inputs = keras.Input((64, 64, 3))
    first = [layers.Conv2D(16, 3, activation="relu", padding="same")(inputs)]
    for _ in range(3):
        first.append(layers.Conv2D(16, 3, activation="relu", padding="same")(first[-1]))
    x = layers.Conv2D(16, 3, activation="relu", padding="same")(layers.Concatenate()([first[3], first[2]]))
    x = layers.Conv2D(16, 3, activation="relu", padding="same")(layers.Concatenate()([x, first[1]]))
    curves = layers.Conv2D(24, 3, activation="tanh", padding="same")(layers.Concatenate()([x, first[0]]))
    picture = inputs
    for index in range(8):
        picture = picture + curves[..., 3 * index : 3 * index + 3] * (ops.square(picture) - picture)
    return keras.Model(inputs, picture)


def _autoencoder() -> Any:
    """Convolutional autoencoder for image denoising."""
    inputs = keras.Input((28, 28, 1))
    x = inputs
    for _ in range(2):
        x = layers.MaxPooling2D(2, padding="same")(layers.Conv2D(16, 3, activation="relu", padding="same")(x))
    for _ in range(2):
        x = layers.Conv2DTranspose(16, 3, strides=2, activation="relu", padding="same")(x)
    return keras.Model(inputs, layers.Conv2D(1, 3, activation="sigmoid", padding="same")(x))


def _siamese() -> Any:
    """Image similarity with a Siamese network: one embedding for two pictures, and their distance."""
    left, right = keras.Input((28, 28, 1), name="left"), keras.Input((28, 28, 1), name="right")
    embed = keras.Sequential(
        [
            keras.Input((28, 28, 1)),
            layers.BatchNormalization(),
            layers.Conv2D(8, 5, activation="tanh"),
            layers.AveragePooling2D(2),
            layers.Conv2D(16, 5, activation="tanh"),
            layers.AveragePooling2D(2),
            layers.Flatten(),
            layers.BatchNormalization(),
            layers.Dense(10, activation="tanh"),
        ]
    )
    squares = ops.sum(ops.square(embed(left) - embed(right)), axis=1, keepdims=True)
    distance = ops.sqrt(ops.maximum(squares, keras.backend.epsilon()))
    return keras.Model([left, right], layers.Dense(1, activation="sigmoid")(layers.BatchNormalization()(distance)))


def _frames() -> Any:
    """Next-frame video prediction with convolutional LSTMs."""
    inputs = keras.Input((6, 24, 24, 1))
    x = inputs
    for size in (5, 3):
        x = layers.BatchNormalization()(
            layers.ConvLSTM2D(8, size, padding="same", return_sequences=True, activation="relu")(x)
        )
    return keras.Model(inputs, layers.Conv3D(1, 3, activation="sigmoid", padding="same")(x))


def _scans() -> Any:
    """3D image classification from CT scans."""
    inputs = keras.Input((32, 32, 16, 1))
    x = inputs
    for filters in (8, 16, 32):
        x = layers.Conv3D(filters, 3, activation="relu", padding="same")(x)
        x = layers.BatchNormalization()(layers.MaxPool3D(2)(x))
    x = layers.Dense(32, activation="relu")(layers.GlobalAveragePooling3D()(x))
    return keras.Model(inputs, layers.Dense(1, activation="sigmoid")(layers.Dropout(0.3)(x)))


def _points() -> Any:
    """Point cloud classification with PointNet: a learnt transformation of the points."""

    def convolved(x: Any, filters: int) -> Any:
        x = layers.BatchNormalization(momentum=0.0)(layers.Conv1D(filters, 1, padding="valid")(x))
        return layers.Activation("relu")(x)

    def transformed(x: Any, features: int) -> Any:
        pooled = layers.GlobalMaxPooling1D()(convolved(convolved(x, 16), 32))
        square = layers.Dense(features * features)(layers.Dense(16, activation="relu")(pooled))
        return layers.Dot(axes=(2, 1))([x, layers.Reshape((features, features))(square)])

    inputs = keras.Input((128, 3))
    x = transformed(convolved(transformed(inputs, 3), 16), 16)
    x = layers.GlobalMaxPooling1D()(convolved(convolved(x, 16), 32))
    x = layers.Dropout(0.3)(layers.BatchNormalization(momentum=0.0)(layers.Dense(32, activation="relu")(x)))
    return keras.Model(inputs, layers.Dense(10, activation="softmax")(x))


def _mobile_vit() -> Any:
    """MobileViT: convolutions, and a transformer over unfolded patches."""
    inputs = keras.Input((64, 64, 3))
    x = layers.Conv2D(16, 3, strides=2, padding="same", activation="swish")(layers.Rescaling(1 / 255)(inputs))
    for filters in (16, 24):
        expanded = layers.Activation("swish")(layers.BatchNormalization()(layers.Conv2D(32, 1, use_bias=False)(x)))
        deep = layers.DepthwiseConv2D(3, strides=2, padding="same", use_bias=False)(expanded)
        x = layers.BatchNormalization()(
            layers.Conv2D(filters, 1, use_bias=False)(layers.Activation("swish")(layers.BatchNormalization()(deep)))
        )
    local = layers.Conv2D(32, 1, activation="swish")(layers.Conv2D(32, 3, padding="same", activation="swish")(x))
    patches = layers.Reshape((4, 16, 32))(local)
    for _ in range(2):
        patches = _encoder_block(patches, 2, 32)
    folded = layers.Conv2D(24, 1, activation="swish")(layers.Reshape((8, 8, 32))(patches))
    x = layers.Conv2D(32, 3, padding="same", activation="swish")(layers.Concatenate()([x, folded]))
    return keras.Model(inputs, layers.Dense(5, activation="softmax")(layers.GlobalAvgPool2D()(x)))


def _vae() -> Any:
    """Variational autoencoder, of which the encoder with its own sampling layer."""
    inputs = keras.Input((28, 28, 1))
    x = layers.Conv2D(16, 3, activation="relu", strides=2, padding="same")(inputs)
    x = layers.Conv2D(32, 3, activation="relu", strides=2, padding="same")(x)
    x = layers.Dense(16, activation="relu")(layers.Flatten()(x))
    mean, spread = layers.Dense(2, name="z_mean")(x), layers.Dense(2, name="z_log_var")(x)
    return keras.Model(inputs, [mean, spread, Sampling()([mean, spread])])


def _generator() -> Any:
    """DCGAN to generate face images: the generator."""
    return keras.Sequential(
        [
            keras.Input((32,)),
            layers.Dense(8 * 8 * 16),
            layers.Reshape((8, 8, 16)),
            layers.Conv2DTranspose(16, 4, strides=2, padding="same"),
            layers.LeakyReLU(negative_slope=0.2),
            layers.Conv2DTranspose(32, 4, strides=2, padding="same"),
            layers.LeakyReLU(negative_slope=0.2),
            layers.Conv2D(3, 5, padding="same", activation="sigmoid"),
        ]
    )


def _diffusion() -> Any:
    """Denoising diffusion implicit models: the residual U-Net with sinusoidal noise levels."""

    def residual(x: Any, width: int) -> Any:
        kept = x if x.shape[3] == width else layers.Conv2D(width, 1)(x)
        x = layers.BatchNormalization(center=False, scale=False)(x)
        x = layers.Conv2D(width, 3, padding="same", activation="swish")(x)
        return layers.Add()([layers.Conv2D(width, 3, padding="same")(x), kept])

    noisy, variance = keras.Input((32, 32, 3), name="picture"), keras.Input((1, 1, 1), name="variance")
    angles = 2.0 * 3.14159265 * ops.exp(ops.linspace(0.0, 3.0, 8)) * variance
    level = layers.UpSampling2D(32)(ops.concatenate([ops.sin(angles), ops.cos(angles)], axis=3))
    x = layers.Concatenate()([layers.Conv2D(16, 1)(noisy), level])
    skips = []
    for width in (16, 24):
        x = residual(x, width)
        skips.append(x)
        x = layers.AveragePooling2D(2)(x)
    x = residual(x, 32)
    for width in (24, 16):
        x = layers.Concatenate()([layers.UpSampling2D(2, interpolation="bilinear")(x), skips.pop()])
        x = residual(x, width)
    return keras.Model([noisy, variance], layers.Conv2D(3, 1, kernel_initializer="zeros")(x))


IMAGES: dict[str, Callable[[], Any]] = {
    "mnist_convnet": _convnet,
    "image_classification_from_scratch": _from_scratch,
    "image_classification_with_vision_transformer": _vit,
    "cct": _compact_transformer,
    "convmixer": _conv_mixer,
    "mlp_image_classification": _mlp_mixer,
    "captcha_ocr": _captcha,
    "oxford_pets_image_segmentation": _unet,
    "super_resolution_sub_pixel": _super_resolution,
    "zero_dce": _low_light,
    "autoencoder": _autoencoder,
    "siamese_contrastive": _siamese,
    "conv_lstm": _frames,
    "3D_image_classification": _scans,
    "pointnet": _points,
    "mobilevit": _mobile_vit,
    "vae": _vae,
    "dcgan_overriding_train_step": _generator,
    "ddim": _diffusion,
}
PIXELS = {"image_classification_from_scratch", "cct", "convmixer", "mobilevit"}
TUTORIALS_OF_IMAGES: list[Entry] = [
    Entry(collection="keras.io", name=name, build=build, objects=OWN, pixels=255.0 if name in PIXELS else 1.0)
    for name, build in IMAGES.items()
]
