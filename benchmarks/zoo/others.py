"""Collections for tables, text, time series, graphs and sound; layers stand in the network that their page shows."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks.zoo.calls import attribute, called, entries_of
from benchmarks.zoo.entry import Entry
from tfcompress.runtime import keras, tf, tf_keras

__all__ = ["OTHERS"]

FEATURES, CLICKS = ("age", "city", "device"), 16
Builder = Callable[[], Any]


def _click_columns(*, pooled: bool = False) -> list[Any]:
    columns = importlib.import_module("deepctr.feature_column")
    sparse = [columns.SparseFeat(name, vocabulary_size=CLICKS, embedding_dim=8) for name in FEATURES]
    if pooled:
        history = columns.VarLenSparseFeat(columns.SparseFeat("history", CLICKS, embedding_dim=8), maxlen=6)
        return [*sparse, history]
    return [*sparse, columns.DenseFeat("price", 1)]


def _click(name: str, **settings: Any) -> Builder:
    return lambda: attribute(f"deepctr.models:{name}")(_click_columns(), _click_columns(), **settings)


def _matching(name: str, **settings: Any) -> Builder:
    def build() -> Any:
        columns = importlib.import_module("deepmatch.layers") and importlib.import_module("deepctr.feature_column")
        user = [columns.SparseFeat(key, CLICKS, embedding_dim=8) for key in ("user", "gender")]
        item = [columns.SparseFeat(key, CLICKS, embedding_dim=8) for key in ("movie", "genre")]
        return attribute(f"deepmatch.models:{name}")(user, item, **settings)

    return build


def _in_sequence(layer: Builder, *, keras2: bool, steps: int = 32, width: int = 8) -> Builder:
    """Steps of features through the layer, and one number out of them."""

    def build() -> Any:
        library = tf_keras if keras2 else keras
        inputs = library.Input((steps, width))
        x = layer()(inputs)
        x = library.layers.GlobalAveragePooling1D()(x) if len(x.shape) == 3 else x
        return library.Model(inputs, library.layers.Dense(4)(x))

    return build


def _on_features(layer: Builder, *, keras2: bool, width: int = 16) -> Builder:
    """A vector of features through the layer, and a class out of it."""

    def build() -> Any:
        library = tf_keras if keras2 else keras
        inputs = library.Input((width,))
        return library.Model(inputs, library.layers.Dense(4)(layer()(inputs)))

    return build


def _on_words(layer: Builder, *, keras2: bool) -> Builder:
    """Words through an embedding, a bidirectional LSTM and the layer, as the pages of attention layers do."""

    def build() -> Any:
        library = tf_keras if keras2 else keras
        layers = library.layers
        inputs = library.Input((24,), dtype="int32")
        x = layers.Bidirectional(layers.LSTM(16, return_sequences=True))(layers.Embedding(64, 16)(inputs))
        x = layer()(x)
        x = layers.GlobalAveragePooling1D()(x) if len(x.shape) == 3 else x
        return library.Model(inputs, layers.Dense(4, activation="softmax")(x))

    return build


def _graph(layers: Callable[[], tuple[Any, Any]], *, keras2: bool) -> Builder:
    """Node features and a dense adjacency matrix through two graph convolutions."""

    def build() -> Any:
        library = tf_keras if keras2 else keras
        nodes, edges = library.Input((12, 8), name="nodes"), library.Input((12, 12), name="adjacency")
        first, second = layers()
        hidden = library.layers.Activation("relu")(first([nodes, edges]))
        pooled = library.layers.GlobalAveragePooling1D()(second([hidden, edges]))
        return library.Model([nodes, edges], library.layers.Dense(3)(pooled))

    return build


def _spektral(name: str, **settings: Any) -> Builder:
    return _graph(
        lambda: (
            attribute(f"spektral.layers:{name}")(16, **settings),
            attribute(f"spektral.layers:{name}")(16, **settings),
        ),
        keras2=True,
    )


def _nbeats() -> Any:
    network = attribute("nbeats_keras.model:NBeatsNet")(
        backcast_length=16, forecast_length=4, hidden_layer_units=32, nb_blocks_per_stack=2
    )
    return network.models["forecast"]


def _tabnet(name: str, **settings: Any) -> Builder:
    def build() -> Any:
        inputs = tf_keras.Input((16,))
        return tf_keras.Model(inputs, attribute(f"tabnet_keras:{name}")(**settings)(inputs))

    return build


def _bert() -> Any:
    body = attribute("keras_bert:get_model")(
        token_num=64,
        head_num=2,
        transformer_num=2,
        embed_dim=32,
        feed_forward_dim=64,
        seq_len=16,
        pos_num=16,
        dropout_rate=0.0,
        training=False,
        trainable=True,
    )
    inputs, output = body
    return tf_keras.Model(inputs, tf_keras.layers.Dense(4)(tf_keras.layers.Lambda(lambda x: x[:, 0])(output)))


def _keras_transformer() -> Any:
    return attribute("keras_transformer:get_model")(
        token_num=64, embed_dim=32, encoder_num=1, decoder_num=1, head_num=2, hidden_dim=64, dropout_rate=0.0
    )


def _hugging(
    name: str, config: str, inputs: tuple[str, ...] = ("input_ids", "attention_mask"), **settings: Any
) -> Builder:
    """A TensorFlow class of transformers as its page saves it: called on symbolic inputs."""

    def build() -> Any:
        library = importlib.import_module("transformers")
        network = getattr(library, name)(getattr(library, config)(**settings))
        if inputs == ("pixel_values",):
            tensors: Any = tf_keras.Input((3, 32, 32), name="pixel_values")
            result = network(tensors)
            return tf_keras.Model(tensors, result.logits if hasattr(result, "logits") else result[0])
        tensors = {key: tf_keras.Input((16,), dtype="int32", name=key) for key in inputs}
        result = network(tensors)
        return tf_keras.Model(tensors, result.logits if hasattr(result, "logits") else result[0])

    return build


HUGGING: dict[str, Any] = {
    "vocab_size": 64,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 64,
}


def _sound(name: str, **settings: Any) -> Builder:
    def build() -> Any:
        layers = tf_keras.layers
        layer = attribute(f"kapre.composed:{name}")(input_shape=(2048, 1), n_fft=256, hop_length=128, **settings)
        inputs = tf_keras.Input((2048, 1))
        x = layers.Conv2D(8, 3, activation="relu")(layer(inputs))
        return tf_keras.Model(inputs, layers.Dense(4)(layers.GlobalAveragePooling2D()(x)))

    return build


def _cross() -> Any:
    inputs = keras.Input((16,))
    crossed = attribute("keras_rs.layers:FeatureCross")(projection_dim=8)(inputs, inputs)
    return keras.Model(inputs, keras.layers.Dense(1)(crossed))


def _interaction() -> Any:
    users, items = keras.Input((1,), dtype="int32", name="user"), keras.Input((1,), dtype="int32", name="item")
    parts = [keras.layers.Flatten()(keras.layers.Embedding(64, 16)(part)) for part in (users, items)]
    dots = attribute("keras_rs.layers:DotInteraction")(self_interaction=False, skip_gather=True)(parts)
    return keras.Model([users, items], keras.layers.Dense(1)(keras.layers.Concatenate()([dots, *parts])))


def _bayesflow(name: str, shape: tuple[int, ...], **settings: Any) -> Builder:
    def build() -> Any:
        inputs = keras.Input(shape)
        return keras.Model(inputs, attribute(f"bayesflow.networks:{name}")(**settings)(inputs))

    return build


def _recognizer() -> Any:
    parts = attribute("keras_ocr.recognition:build_model")(
        alphabet="abcdefghij",
        height=31,
        width=64,
        color=False,
        filters=(8, 8, 16, 16, 16, 16, 16),
        rnn_units=(16, 16),
        dropout=0.0,
        rnn_steps_to_discard=2,
        pool_size=2,
        stn=False,
    )
    return parts[1]


def _kgcnn() -> Any:
    return attribute("kgcnn.literature.GCN:make_model")(
        inputs=[
            {"shape": (12,), "name": "node_number", "dtype": "int64"},
            {"shape": (20, 1), "name": "edge_weights", "dtype": "float32"},
            {"shape": (20, 2), "name": "edge_indices", "dtype": "int64"},
            {"shape": (), "name": "total_nodes", "dtype": "int64"},
            {"shape": (), "name": "total_edges", "dtype": "int64"},
        ],
        input_node_embedding={"input_dim": 95, "output_dim": 16},
        gcn_args={"units": 16},
        depth=2,
    )


def _auto_image() -> Any:
    """The network that AutoKeras's first trial of an image classifier is."""
    blocks, tuner = importlib.import_module("autokeras"), importlib.import_module("keras_tuner")
    inputs = keras.Input((32, 32, 3))
    x = blocks.ConvBlock(kernel_size=3, num_blocks=1, num_layers=2).build(tuner.HyperParameters(), inputs)
    return keras.Model(inputs, keras.layers.Dense(10)(keras.layers.Flatten()(x)))


def _official_bert(name: str, **settings: Any) -> Builder:
    return called(f"official.nlp.modeling.networks:{name}", vocab_size=64, num_layers=2, **settings)


def _classifier_1d(name: str) -> Builder:
    def build() -> Any:
        make, _ = attribute("classification_models_1D.tfkeras:Classifiers").get(name)
        return make(input_shape=(256, 2), weights=None, classes=4)

    return build


def _tab_transformer() -> Any:
    features = {"city": np.array([f"c{i}" for i in range(8)]), "job": np.array([f"j{i}" for i in range(8)])}
    lookup = {name: tf_keras.layers.StringLookup(vocabulary=list(values)) for name, values in features.items()}
    network = attribute("tabtransformertf.models.tabtransformer:TabTransformer")(
        out_dim=1,
        out_activation="sigmoid",
        categorical_features=list(features),
        numerical_features=["age"],
        categorical_lookup=lookup,
        embedding_dim=16,
        depth=1,
        heads=2,
    )
    inputs = {
        "age": tf_keras.Input((1,), name="age"),
        **{name: tf_keras.Input((1,), dtype=tf.string, name=name) for name in features},
    }
    return tf_keras.Model(inputs, network(inputs))


OLD: dict[str, Any] = {"legacy": True}
OTHERS: list[Entry] = [
    *entries_of(
        "transformers",
        {
            "Bert": _hugging("TFBertForSequenceClassification", "BertConfig", **HUGGING),
            "DistilBert": _hugging(
                "TFDistilBertForSequenceClassification",
                "DistilBertConfig",
                vocab_size=64,
                dim=32,
                n_layers=2,
                n_heads=2,
                hidden_dim=64,
            ),
            "GPT2": _hugging("TFGPT2LMHeadModel", "GPT2Config", vocab_size=64, n_embd=32, n_layer=2, n_head=2),
            "ViT": _hugging(
                "TFViTForImageClassification",
                "ViTConfig",
                ("pixel_values",),
                image_size=32,
                patch_size=8,
                **{key: value for key, value in HUGGING.items() if key != "vocab_size"},
            ),
        },
        modules=("transformers",),
        **OLD,
    ),
    *entries_of(
        "tf-models-official",
        {
            "BertEncoder": _official_bert("BertEncoder", hidden_size=32, num_attention_heads=2, inner_dim=64),
            "AlbertEncoder": _official_bert(
                "AlbertEncoder", embedding_width=16, hidden_size=32, num_attention_heads=2, intermediate_size=64
            ),
        },
        **OLD,
    ),
    *entries_of(
        "deepctr",
        {
            "WDL": _click("WDL", dnn_hidden_units=(32, 16)),
            "DeepFM": _click("DeepFM", dnn_hidden_units=(32, 16)),
            "DCN": _click("DCN", dnn_hidden_units=(32, 16)),
            "AutoInt": _click("AutoInt", dnn_hidden_units=(32, 16)),
        },
        modules=("deepctr.layers",),
        vocabulary=CLICKS,
        **OLD,
    ),
    *entries_of(
        "deepmatch",
        {
            "DSSM": _matching("DSSM", loss_type="logistic"),
            "NCF": called("deepmatch.models:NCF", {"user": CLICKS, "gender": CLICKS}, {"movie": CLICKS}),
        },
        modules=("deepmatch.layers",),
        vocabulary=CLICKS,
        **OLD,
    ),
    *entries_of(
        "keras-tcn",
        {
            "TCN": _in_sequence(lambda: attribute("tcn:TCN")(nb_filters=16, dilations=(1, 2, 4)), keras2=False),
            "TCN_sequences": _in_sequence(
                lambda: attribute("tcn:TCN")(
                    nb_filters=16, dilations=(1, 2, 4), return_sequences=True, use_batch_norm=True
                ),
                keras2=False,
            ),
        },
        modules=("tcn",),
    ),
    *entries_of("nbeats-keras", {"NBeats": _nbeats}, modules=("nbeats_keras.model",), **OLD),
    *entries_of(
        "spektral",
        {
            "GCN": _spektral("GCNConv"),
            "GAT": _spektral("GATConv", attn_heads=2),
            "GIN": _spektral("GCSConv"),
            "ARMA": _spektral("ARMAConv"),
        },
        modules=("spektral.layers",),
        **OLD,
    ),
    *entries_of("kgcnn", {"GCN": _kgcnn}, modules=("kgcnn",), vocabulary=12),
    *entries_of(
        "tabnet-keras",
        {"TabNetClassifier": _tabnet("TabNetClassifier", n_classes=3), "TabNetRegressor": _tabnet("TabNetRegressor")},
        modules=("tabnet_keras",),
        **OLD,
    ),
    *entries_of("tabtransformertf", {"TabTransformer": _tab_transformer}, modules=("tabtransformertf",), **OLD),
    *entries_of(
        "keras-self-attention",
        {
            "additive": _on_words(lambda: attribute("keras_self_attention:SeqSelfAttention")(units=16), keras2=True),
            "multiplicative": _on_words(
                lambda: attribute("keras_self_attention:SeqSelfAttention")(
                    attention_type="multiplicative", attention_width=9, attention_activation="sigmoid"
                ),
                keras2=True,
            ),
        },
        modules=("keras_self_attention",),
        **OLD,
    ),
    *entries_of("keras-bert", {"Bert": _bert}, modules=("keras_bert",), tokens=True, **OLD),
    *entries_of(
        "keras-transformer", {"Transformer": _keras_transformer}, modules=("keras_transformer",), tokens=True, **OLD
    ),
    *entries_of(
        "keras-multi-head",
        {
            "MultiHeadAttention": _on_words(
                lambda: attribute("keras_multi_head:MultiHeadAttention")(head_num=2), keras2=True
            )
        },
        modules=("keras_multi_head",),
        **OLD,
    ),
    *entries_of(
        "attention",
        {
            # Keras 3 itself cannot run what it saves of this layer: it hands `training` over twice.
            "luong": _on_words(lambda: attribute("attention:Attention")(16), keras2=True),
            "bahdanau": _on_words(lambda: attribute("attention:Attention")(16, score="bahdanau"), keras2=True),
        },
        modules=("attention",),
        **OLD,
    ),
    *entries_of(
        "keras-mdn-layer",
        {"MDN": _on_features(lambda: attribute("keras_mdn_layer:MDN")(2, 3), keras2=False)},
        modules=("keras_mdn_layer",),
    ),
    *entries_of(
        "keras-lmu",
        {
            "LMU": _in_sequence(
                lambda: attribute("keras_lmu:LMU")(
                    memory_d=2, order=8, theta=32, hidden_cell=keras.layers.SimpleRNNCell(16), return_sequences=False
                ),
                keras2=False,
                steps=16,
            )
        },
        modules=("keras_lmu",),
    ),
    *entries_of(
        "kapre",
        {
            "stft": _sound("get_stft_magnitude_layer", return_decibel=True),
            "melspectrogram": _sound("get_melspectrogram_layer", sample_rate=8000, n_mels=32),
        },
        modules=("kapre",),
        **OLD,
    ),
    *entries_of("keras-rs", {"FeatureCross": _cross, "DotInteraction": _interaction}, modules=("keras_rs",)),
    *entries_of(
        "bayesflow",
        {
            "MLP": _bayesflow("MLP", (16,), widths=(32, 32)),
            "DeepSet": _bayesflow("DeepSet", (16, 2)),
            "TimeSeriesNetwork": _bayesflow("TimeSeriesNetwork", (32, 2)),
        },
        modules=("bayesflow",),
    ),
    *entries_of(
        "keras-nac",
        {
            "NAC": _in_sequence(
                lambda: attribute("keras_nac.layers:NAC")(d_model=16, num_heads=2), keras2=False, steps=16
            )
        },
        modules=("keras_nac.layers",),
    ),
    *entries_of(
        "keras-efficient-kan",
        {"KANLinear": _on_features(lambda: attribute("keras_efficient_kan:KANLinear")(16), keras2=False)},
        modules=("keras_efficient_kan",),
    ),
    *entries_of(
        "tf-kan-latest",
        {"DenseKAN": _on_features(lambda: attribute("tfkan.layers:DenseKAN")(16), keras2=False)},
        modules=("tfkan.layers",),
    ),
    *entries_of("keras-ocr", {"CRNN": _recognizer}, **OLD),
    *entries_of("autokeras", {"ConvBlock": _auto_image}, modules=("autokeras",)),
    *entries_of("classification-models-1d", {name: _classifier_1d(name) for name in ("resnet18", "mobilenet")}, **OLD),
]
