"""Examples of keras.io for text, tables, series, sound, graphs and control, written anew after their descriptions."""

from __future__ import annotations

from typing import Any

from benchmarks.zoo.calls import Table, entries_of
from benchmarks.zoo.entry import Entry
from benchmarks.zoo.tutorial_layers import OWN, GatedResidual, TokenAndPositionEmbedding, TransformerBlock
from tfcompress.runtime import keras

__all__ = ["OTHER_TUTORIALS"]

layers, ops = keras.layers, keras.ops
WORDS, LENGTH = 64, 32


def _text_transformer() -> Any:
    """Text classification with a Transformer."""
    inputs = keras.Input((LENGTH,), dtype="int32")
    x = TransformerBlock(32, 2, 32)(TokenAndPositionEmbedding(LENGTH, WORDS, 32)(inputs))
    x = layers.Dropout(0.1)(layers.GlobalAveragePooling1D()(x))
    x = layers.Dropout(0.1)(layers.Dense(20, activation="relu")(x))
    return keras.Model(inputs, layers.Dense(2, activation="softmax")(x))


def _reviews() -> Any:
    """Bidirectional LSTM on IMDB, of open length."""
    inputs = keras.Input((None,), dtype="int32")
    x = layers.Embedding(WORDS, 32)(inputs)
    x = layers.Bidirectional(layers.LSTM(32, return_sequences=True))(x)
    return keras.Model(inputs, layers.Dense(1, activation="sigmoid")(layers.Bidirectional(layers.LSTM(32))(x)))


def _text_from_scratch() -> Any:
    """Text classification from scratch: one-dimensional convolutions over words."""
    inputs = keras.Input((64,), dtype="int64")
    x = layers.Dropout(0.5)(layers.Embedding(WORDS, 32)(inputs))
    for _ in range(2):
        x = layers.Conv1D(32, 7, padding="valid", activation="relu", strides=3)(x)
    x = layers.Dense(32, activation="relu")(layers.GlobalMaxPooling1D()(x))
    return keras.Model(inputs, layers.Dense(1, activation="sigmoid", name="predictions")(layers.Dropout(0.5)(x)))


def _translation() -> Any:
    """Character-level recurrent sequence-to-sequence: an LSTM whose states start another."""
    source, target = keras.Input((16, 24), name="source"), keras.Input((16, 24), name="target")
    _, hidden, cell = layers.LSTM(32, return_state=True)(source)
    x, _, _ = layers.LSTM(32, return_sequences=True, return_state=True)(target, initial_state=[hidden, cell])
    return keras.Model([source, target], layers.Dense(24, activation="softmax")(x))


def _entities() -> Any:
    """Named entity recognition using Transformers: a class for each word."""
    inputs = keras.Input((LENGTH,), dtype="int32")
    x = layers.Dropout(0.1)(TransformerBlock(32, 4, 64)(TokenAndPositionEmbedding(LENGTH, WORDS, 32)(inputs)))
    x = layers.Dropout(0.1)(layers.Dense(32, activation="relu")(x))
    return keras.Model(inputs, layers.Dense(9, activation="softmax")(x))


def _miniature_gpt() -> Any:
    """Text generation with a miniature GPT: causal attention, the next word at each place."""
    inputs = keras.Input((LENGTH,), dtype="int32")
    x = TransformerBlock(32, 2, 64, causal=True)(TokenAndPositionEmbedding(LENGTH, WORDS, 32)(inputs))
    return keras.Model(inputs, layers.Dense(WORDS)(x))


def _fnet() -> Any:
    """Text generation using FNet, of which the encoder: Fourier transforms in the place of attention."""
    inputs = keras.Input((LENGTH,), dtype="int32")
    x = TokenAndPositionEmbedding(LENGTH, WORDS, 32)(inputs)
    for _ in range(2):
        mixed, _ = ops.fft2((x, ops.zeros_like(x)))
        x = layers.LayerNormalization()(x + mixed)
        x = layers.LayerNormalization()(x + layers.Dense(32)(layers.Dense(64, activation="relu")(x)))
    return keras.Model(inputs, layers.Dense(4)(layers.GlobalAveragePooling1D()(x)))


def _cross_network() -> Any:
    """Structured data learning with wide, deep, and cross networks."""
    numbers = keras.Input((6,), name="numbers")
    codes = [keras.Input((), dtype="int32", name=name) for name in ("area", "soil")]
    start = layers.concatenate(
        [layers.BatchNormalization()(numbers), *(layers.Embedding(WORDS, 8)(code) for code in codes)]
    )
    cross = start
    for _ in range(2):
        cross = start * layers.Dense(start.shape[-1])(cross) + cross
    deep = start
    for units in (32, 32):
        deep = layers.Dropout(0.1)(layers.ReLU()(layers.BatchNormalization()(layers.Dense(units)(deep))))
    merged = layers.concatenate([layers.BatchNormalization()(cross), deep])
    return keras.Model([numbers, *codes], layers.Dense(7, activation="softmax")(merged))


def _gated_residual() -> Any:
    """Classification with gated residual and variable selection networks."""
    inputs = [keras.Input((1,), name=f"feature_{index}") for index in range(4)]
    encoded = [layers.Dense(16)(value) for value in inputs]
    weights = layers.Dense(4, activation="softmax")(GatedResidual(16)(layers.concatenate(encoded)))
    stacked = ops.stack([GatedResidual(16)(value) for value in encoded], axis=1)
    chosen = ops.squeeze(ops.matmul(ops.expand_dims(weights, 1), stacked), axis=1)
    return keras.Model(inputs, layers.Dense(1, activation="sigmoid")(chosen))


def _tab_transformer() -> Any:
    """Structured data learning with TabTransformer: contextual embeddings of categories."""
    codes = [keras.Input((), dtype="int32", name=name) for name in ("work", "school", "job")]
    numbers = keras.Input((3,), name="numbers")
    x = ops.stack([layers.Embedding(WORDS, 16)(code) for code in codes], axis=1)
    x = x + layers.Embedding(3, 16)(ops.arange(0, 3, 1))
    for _ in range(2):
        x = layers.LayerNormalization()(layers.Add()([layers.MultiHeadAttention(2, 16)(x, x), x]))
        x = layers.LayerNormalization()(layers.Add()([layers.Dense(16, activation="gelu")(x), x]))
    merged = layers.concatenate([layers.Flatten()(x), layers.LayerNormalization()(numbers)])
    hidden = layers.Dense(32, activation=keras.activations.selu)(layers.BatchNormalization()(merged))
    return keras.Model([*codes, numbers], layers.Dense(1, activation="sigmoid")(hidden))


def _films() -> Any:
    """Collaborative filtering for movie recommendations."""
    pair = keras.Input((2,), dtype="int32", name="user_and_film")
    users, films = layers.Embedding(WORDS, 16)(pair[:, 0]), layers.Embedding(WORDS, 16)(pair[:, 1])
    biases = layers.Embedding(WORDS, 1)(pair[:, 0]) + layers.Embedding(WORDS, 1)(pair[:, 1])
    return keras.Model(pair, ops.sigmoid(ops.sum(users * films, axis=1, keepdims=True) + biases))


def _anomalies() -> Any:
    """Timeseries anomaly detection using an autoencoder."""
    inputs = keras.Input((96, 1))
    x = layers.Dropout(0.2)(layers.Conv1D(16, 7, padding="same", strides=2, activation="relu")(inputs))
    x = layers.Conv1D(8, 7, padding="same", strides=2, activation="relu")(x)
    x = layers.Dropout(0.2)(layers.Conv1DTranspose(8, 7, padding="same", strides=2, activation="relu")(x))
    x = layers.Conv1DTranspose(16, 7, padding="same", strides=2, activation="relu")(x)
    return keras.Model(inputs, layers.Conv1DTranspose(1, 7, padding="same")(x))


def _series() -> Any:
    """Timeseries classification from scratch: a fully convolutional network."""
    inputs = keras.Input((128, 1))
    x = inputs
    for _ in range(3):
        x = layers.ReLU()(layers.BatchNormalization()(layers.Conv1D(32, 3, padding="same")(x)))
    return keras.Model(inputs, layers.Dense(2, activation="softmax")(layers.GlobalAveragePooling1D()(x)))


def _series_transformer() -> Any:
    """Timeseries classification with a Transformer model."""
    inputs = keras.Input((64, 1))
    x = inputs
    for _ in range(2):
        attended = layers.Dropout(0.25)(layers.MultiHeadAttention(2, 32, dropout=0.25)(x, x))
        middle = layers.LayerNormalization(epsilon=1e-6)(attended) + x
        hidden = layers.Dropout(0.25)(layers.Conv1D(4, 1, activation="relu")(middle))
        x = layers.LayerNormalization(epsilon=1e-6)(layers.Conv1D(1, 1)(hidden)) + middle
    x = layers.GlobalAveragePooling1D(data_format="channels_last")(x)
    x = layers.Dropout(0.4)(layers.Dense(32, activation="relu")(x))
    return keras.Model(inputs, layers.Dense(2, activation="softmax")(x))


def _weather() -> Any:
    """Timeseries forecasting for weather prediction."""
    inputs = keras.Input((60, 7))
    return keras.Model(inputs, layers.Dense(1)(layers.LSTM(32)(inputs)))


def _traffic() -> Any:
    """Traffic forecasting using graph neural networks and an LSTM, the graph's matrix a constant."""
    neighbours = ops.cast(ops.eye(10) + 0.5 * ops.eye(10, k=1) + 0.5 * ops.eye(10, k=-1), "float32")
    inputs = keras.Input((12, 10, 1))
    x = ops.matmul(neighbours, layers.Dense(8)(inputs))
    x = layers.Reshape((12, 80))(layers.Activation("relu")(layers.concatenate([x, layers.Dense(8)(inputs)])[..., :8]))
    return keras.Model(inputs, layers.Dense(10)(layers.LSTM(32)(x)))


def _speaker() -> Any:
    """Speaker recognition with an FFT in front and one-dimensional residual blocks."""
    inputs = keras.Input((256, 1))
    x = inputs
    for filters, count in ((8, 2), (16, 2), (32, 3)):
        kept = layers.Conv1D(filters, 1, padding="same")(x)
        for _ in range(count - 1):
            x = layers.Activation("relu")(layers.Conv1D(filters, 3, padding="same")(x))
        x = layers.Activation("relu")(layers.Add()([layers.Conv1D(filters, 3, padding="same")(x), kept]))
        x = layers.MaxPool1D(pool_size=2, strides=2)(x)
    x = layers.Flatten()(layers.AveragePooling1D(pool_size=3, strides=3)(x))
    return keras.Model(inputs, layers.Dense(5, activation="softmax")(layers.Dense(32, activation="relu")(x)))


def _speech() -> Any:
    """Automatic speech recognition using CTC: convolutions over a spectrogram, then bidirectional GRUs."""
    inputs = keras.Input((48, 40), name="spectrogram")
    x = layers.Reshape((48, 40, 1))(inputs)
    for size, strides in (((11, 21), (2, 2)), ((11, 11), (1, 2))):
        x = layers.Conv2D(8, size, strides=strides, padding="same", use_bias=False)(x)
        x = layers.ReLU()(layers.BatchNormalization()(x))
    x = layers.Reshape((24, 80))(x)
    for _ in range(2):
        x = layers.Bidirectional(layers.GRU(16, return_sequences=True))(x)
    x = layers.Dropout(0.5)(layers.ReLU()(layers.Dense(32)(x)))
    return keras.Model(inputs, layers.Dense(30, activation="softmax")(x))


def _actor_critic() -> Any:
    """Actor critic method for CartPole."""
    inputs = keras.Input((4,))
    common = layers.Dense(64, activation="relu")(inputs)
    return keras.Model(inputs, [layers.Dense(2, activation="softmax")(common), layers.Dense(1)(common)])


def _q_network() -> Any:
    """Deep Q-learning for Atari Breakout: four frames of pixels."""
    inputs = keras.Input((84, 84, 4))
    x = layers.Conv2D(16, 8, strides=4, activation="relu")(inputs)
    x = layers.Conv2D(16, 4, strides=2, activation="relu")(x)
    x = layers.Dense(64, activation="relu")(layers.Flatten()(layers.Conv2D(16, 3, activation="relu")(x)))
    return keras.Model(inputs, layers.Dense(4, activation="linear")(x))


def _machine_translation() -> Any:
    """English-to-Spanish translation with a sequence-to-sequence Transformer."""
    source = keras.Input((LENGTH,), dtype="int32", name="encoder_inputs")
    target = keras.Input((LENGTH,), dtype="int32", name="decoder_inputs")
    encoded = TransformerBlock(32, 2, 64)(TokenAndPositionEmbedding(LENGTH, WORDS, 32)(source))
    x = TransformerBlock(32, 2, 64, causal=True)(TokenAndPositionEmbedding(LENGTH, WORDS, 32)(target))
    attended = layers.MultiHeadAttention(2, 32)(query=x, value=encoded, key=encoded)
    x = layers.LayerNormalization()(x + attended)
    x = layers.LayerNormalization()(x + layers.Dense(32)(layers.Dense(64, activation="relu")(x)))
    return keras.Model([source, target], layers.Dense(WORDS, activation="softmax")(layers.Dropout(0.5)(x)))


def _recurrent_mnist() -> Any:
    """Working with RNNs: rows of a digit through a GRU."""
    return keras.Sequential(
        [keras.Input((28, 28)), layers.GRU(32), layers.BatchNormalization(), layers.Dense(10, activation="softmax")]
    )


TABLE: Table = {
    "text_classification_with_transformer": _text_transformer,
    "bidirectional_lstm_imdb": _reviews,
    "text_classification_from_scratch": _text_from_scratch,
    "lstm_seq2seq": _translation,
    "ner_transformers": _entities,
    "text_generation_with_miniature_gpt": _miniature_gpt,
    "text_generation_fnet": _fnet,
    "neural_machine_translation_with_transformer": _machine_translation,
    "wide_deep_cross_networks": _cross_network,
    "classification_with_grn_and_vsn": _gated_residual,
    "tabtransformer": _tab_transformer,
    "collaborative_filtering_movielens": _films,
    "timeseries_anomaly_detection": _anomalies,
    "timeseries_classification_from_scratch": _series,
    "timeseries_classification_transformer": _series_transformer,
    "timeseries_weather_forecasting": _weather,
    "timeseries_traffic_forecasting": _traffic,
    "speaker_recognition_using_cnn": _speaker,
    "ctc_asr": _speech,
    "actor_critic_cartpole": _actor_critic,
    "deep_q_network_breakout": _q_network,
    "working_with_rnns": _recurrent_mnist,
}
OTHER_TUTORIALS: list[Entry] = entries_of("keras.io", TABLE, objects=OWN)
