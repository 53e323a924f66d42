"""Channels that depend on each other go together, and a cut model computes what the masked one does."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from tests.compression.models import functional
from tfcompress.graphs.keras.channels.cutting import CutModel, cut_channels, masked
from tfcompress.graphs.keras.channels.graph import ChannelGraph, trace_channels
from tfcompress.graphs.keras.replay import flatten
from tfcompress.load import to_tf_keras
from tfcompress.runtime import keras, tf, tf_keras

L = tf_keras.layers

# Between the cut model and the masked one, of the largest output: sums of fewer float32 terms round otherwise.
EXACT = 1e-5

Build = Callable[[Any], Any]


def sequence(*layers: Build) -> Build:
    """The layers one after the other."""

    def build(x: Any) -> Any:
        for layer in layers:
            x = layer(x)
        return x

    return build


def head(x: Any) -> Any:
    return L.Dense(3, activation="softmax", name="head")(x)


def block(x: Any) -> Any:
    """Conv, batch normalization, ReLU twice, with a sum around them."""
    y = L.ReLU()(L.BatchNormalization()(L.Conv2D(8, 3, padding="same", use_bias=False)(x)))
    y = L.BatchNormalization()(L.Conv2D(8, 3, padding="same", use_bias=False)(y))
    return L.ReLU()(L.Add()([x, y]))


def squeeze_and_excite(x: Any) -> Any:
    gate = L.GlobalAveragePooling2D(keepdims=True)(x)
    gate = L.Conv2D(4, 1, activation="relu", name="squeeze")(gate)
    gate = L.Conv2D(8, 1, activation="sigmoid", name="excite")(gate)
    return L.Multiply()([x, gate])


def shuffled(x: Any) -> Any:
    """A ShuffleNet unit: half of the channels pass, and the halves are interleaved."""
    first, second = tf.split(x, 2, axis=-1)
    second = L.ReLU()(L.BatchNormalization()(L.Conv2D(4, 1, name="half")(second)))
    y = tf.reshape(tf.concat([first, second], axis=-1), [-1, 6, 6, 2, 4])
    return tf.reshape(tf.transpose(y, [0, 1, 2, 4, 3]), [-1, 6, 6, 8])


def attention_by_hand(x: Any) -> Any:
    """Heads made by reshapes of Dense layers, as transformers written with operations have them."""
    query, key, value = (L.Dense(16, name=name)(x) for name in ("query", "key", "value"))
    parts = [L.Permute((2, 1, 3))(L.Reshape((6, 4, 4))(part)) for part in (query, key, value)]
    return L.Dense(5, name="joined")(L.Reshape((6, 16))(L.Permute((2, 1, 3))(L.Add()(parts))))


def shared(x: Any) -> Any:
    """One layer on two tensors."""
    layer = L.Dense(8, name="shared")
    a, b = L.Dense(6, activation="relu", name="a")(x), L.Dense(6, activation="relu", name="b")(x)
    return L.Concatenate()([layer(a), layer(b)])


def stem(x: Any) -> Any:
    return L.Conv2D(8, 3, padding="same", activation="relu", name="stem")(x)


IMAGE, SERIES, VECTOR = (6, 6, 3), (6, 5), (10,)
MODELS: dict[str, tuple[tuple[int, ...], Build]] = {
    "residual": (IMAGE, sequence(stem, block, block, L.GlobalAveragePooling2D(), head)),
    "flatten": (IMAGE, sequence(stem, L.MaxPooling2D(), L.Flatten(), L.Dense(12, activation="tanh"), head)),
    "depthwise": (
        IMAGE,
        sequence(
            stem, L.DepthwiseConv2D(3, depth_multiplier=2), L.BatchNormalization(), L.ReLU(6.0), L.Flatten(), head
        ),
    ),
    "separable": (IMAGE, sequence(stem, L.SeparableConv2D(8, 3), L.PReLU(shared_axes=[1, 2]), L.Flatten(), head)),
    "prelu": (IMAGE, sequence(stem, L.PReLU(), L.Flatten(), head)),
    "grouped": (IMAGE, sequence(stem, L.Conv2D(8, 3, groups=2), L.ReLU(), L.Conv2D(8, 1), L.Flatten(), head)),
    "many_groups": (IMAGE, sequence(stem, L.Conv2D(16, 3, groups=4), L.ReLU(), L.Conv2D(8, 1), L.Flatten(), head)),
    "dense_block": (
        IMAGE,
        sequence(
            stem,
            lambda x: L.Concatenate()([x, L.Conv2D(4, 3, padding="same")(x)]),
            L.BatchNormalization(),
            L.ReLU(),
            L.Conv2D(6, 1),
            L.GlobalMaxPooling2D(),
            head,
        ),
    ),
    "squeeze_and_excite": (IMAGE, sequence(stem, squeeze_and_excite, L.Conv2D(4, 1), L.Flatten(), head)),
    "shuffled": (IMAGE, sequence(stem, shuffled, L.Conv2D(4, 1, name="after"), L.Flatten(), head)),
    "slices": (IMAGE, sequence(stem, lambda x: x[:, 1:, :, 2:7], L.Conv2D(4, 1), L.Flatten(), head)),
    "transposed": (
        IMAGE,
        sequence(stem, L.Conv2DTranspose(6, 2, strides=2), L.UpSampling2D(), L.ZeroPadding2D(), L.Conv2D(2, 3)),
    ),
    "sigmoid_into_dense": (
        VECTOR,
        sequence(L.Dense(16, activation="sigmoid", name="a"), L.Dense(8, use_bias=False), head),
    ),
    "group_norm": (IMAGE, sequence(stem, L.GroupNormalization(4), L.ReLU(), L.Conv2D(4, 1), L.Flatten(), head)),
    "layer_norm": (SERIES, sequence(L.Dense(8), L.LayerNormalization(), L.Dense(16, activation="gelu"), L.Dense(4))),
    "lstm": (SERIES, sequence(L.LSTM(8, return_sequences=True), L.LSTM(6), head)),
    "gru": (SERIES, sequence(L.GRU(8, return_sequences=True), L.GRU(6, reset_after=False), head)),
    "bidirectional": (
        SERIES,
        sequence(L.Bidirectional(L.LSTM(8, return_sequences=True)), L.Bidirectional(L.GRU(4)), head),
    ),
    "simple_rnn": (
        SERIES,
        sequence(L.SimpleRNN(8), L.RepeatVector(3), L.TimeDistributed(L.Dense(8)), L.Flatten(), head),
    ),
    "attention": (
        SERIES,
        sequence(lambda x: L.MultiHeadAttention(4, 3, name="heads")(x, x), L.Dense(6), L.Flatten(), head),
    ),
    "attention_by_hand": (SERIES, attention_by_hand),
    "einsum_dense": (SERIES, sequence(L.EinsumDense("abc,cd->abd", (None, 8), bias_axes="d"), L.ReLU(), L.Dense(3))),
    "conv_1d": (
        SERIES,
        sequence(L.Conv1D(8, 3, padding="causal", activation="relu"), L.GlobalAveragePooling1D(), head),
    ),
    "conv_3d": ((4, 4, 4, 2), sequence(L.Conv3D(8, 3, activation="relu"), L.Flatten(), head)),
    "shared": (VECTOR, sequence(shared, head)),
    "arithmetic": (VECTOR, sequence(L.Dense(8), lambda x: tf.nn.relu(x * 2.0) + 0.5, L.Dense(4), head)),
}


def quarter(graph: ChannelGraph, share: float = 0.25, seed: int = 0) -> list[int]:
    """Roots of a share of the groups of each family that may lose some."""
    random = np.random.default_rng(seed)
    free = [family.groups for family in graph.families if family.reason is None]
    return [int(g) for groups in free for g in random.permutation(groups)[: int(len(groups) * share)]]


def batch(model: Any, seed: int = 1) -> list[np.ndarray]:
    random = np.random.default_rng(seed)
    return [random.normal(size=(4, *tensor.shape[1:])).astype(np.float32) for tensor in model.inputs]


def difference(first: Any, second: Any, x: list[np.ndarray]) -> float:
    """The largest difference of any output, relative to the largest value of the second model's."""
    pairs = zip(*(tf.nest.flatten(model(x, training=False)) for model in (first, second)), strict=True)
    return max(
        float(np.abs(a - b).max() / (np.abs(b).max() + 1e-9))
        for a, b in ((np.asarray(a), np.asarray(b)) for a, b in pairs)
    )


@pytest.mark.parametrize("name", MODELS)
def test_a_cut_model_computes_what_the_masked_one_does(name: str) -> None:
    graph = trace_channels(flatten(functional(*MODELS[name])))
    removed = quarter(graph)
    cut: CutModel = cut_channels(graph, removed)
    x = batch(graph.model)
    assert removed
    assert cut.model.count_params() < graph.model.count_params()
    assert difference(cut.model, masked(graph, removed), x) < EXACT
    assert [tuple(t.shape) for t in cut.model.outputs] == [tuple(t.shape) for t in graph.model.outputs]


def test_another_cut_would_be_seen() -> None:
    graph = trace_channels(flatten(functional(*MODELS["residual"])))
    cut = cut_channels(graph, quarter(graph))
    assert difference(cut.model, masked(graph, quarter(graph, seed=5)), batch(graph.model)) > 100 * EXACT


@pytest.mark.parametrize("name", ["residual", "lstm", "shuffled", "attention"])
def test_a_cut_of_nothing_changes_nothing(name: str) -> None:
    graph = trace_channels(flatten(functional(*MODELS[name])))
    cut = cut_channels(graph, [])
    assert difference(cut.model, graph.model, batch(graph.model)) == 0
    assert [layer.name for layer in cut.model.layers] == [layer.name for layer in graph.model.layers]
    assert all(origin.kept is None for origin in cut.lineage.origins.values())


def made_by(graph: ChannelGraph) -> set[tuple[str, ...]]:
    return {family.made_by for family in graph.families if family.reason is None}


def test_the_layers_of_a_sum_lose_the_same_channels() -> None:
    graph = trace_channels(flatten(functional(*MODELS["residual"])))
    assert sorted(len(layers) for layers in made_by(graph)) == [1, 1, 3]  # within each block; on the sums


def test_what_comes_out_of_the_model_stays_and_says_why() -> None:
    graph = trace_channels(flatten(functional(*MODELS["flatten"])))
    (last,) = [family for family in graph.families if family.made_by == ("head",)]
    assert last.reason is not None
    assert "softmax" in last.reason or "output of the model" in last.reason
    with pytest.raises(ValueError, match="must stay"):
        cut_channels(graph, [int(last.groups[0])])


def test_a_layer_that_is_named_keeps_its_channels() -> None:
    model = flatten(functional(*MODELS["flatten"]))
    free = [family for family in trace_channels(model, keep=["st*"]).families if family.reason is None]
    assert all("stem" not in family.made_by for family in free)


def test_what_a_layer_normalization_reads_stays_with_the_reason() -> None:
    graph = trace_channels(flatten(functional(*MODELS["layer_norm"])))
    reasons = [family.reason for family in graph.families if family.reason]
    assert any("mean and variance over all channels" in reason for reason in reasons)


def test_what_would_leave_more_than_a_constant_beside_a_border_stays() -> None:
    build = sequence(L.Conv2D(8, 3, activation="sigmoid", name="first"), L.Conv2D(8, 3, padding="same", name="second"))
    (first, _) = trace_channels(flatten(functional(IMAGE, build))).families
    assert first.reason == "a removed channel would not be zero where second (Conv2D) reads it"


def test_a_layer_of_the_user_s_own_keeps_its_channels_uncut() -> None:
    class Mine(tf_keras.layers.Layer):
        def call(self, x: object) -> object:
            return tf.cumsum(x, axis=-1)

    graph = trace_channels(flatten(functional(VECTOR, sequence(L.Dense(8, name="before"), Mine(name="mine"), head))))
    (before,) = [family for family in graph.families if family.made_by == ("before",)]
    assert before.reason == "mine (Mine) is not known to keep channels apart"


def test_the_lineage_names_the_channels_that_a_layer_kept() -> None:
    graph = trace_channels(flatten(functional(*MODELS["flatten"])))
    (stem_family,) = [family for family in graph.families if family.made_by == ("stem",)]
    gone = [int(stem_family.groups[0]), int(stem_family.groups[3])]
    origin = cut_channels(graph, gone).lineage.origins["stem"]
    assert (origin.layer, origin.before, origin.kept) == ("stem", 8, (1, 2, 4, 5, 6, 7))


def test_two_changes_have_one_lineage() -> None:
    graph = trace_channels(flatten(functional(*MODELS["flatten"])))
    first = cut_channels(graph, quarter(graph))
    again = trace_channels(first.model)
    second = cut_channels(again, quarter(again, seed=3))
    origin = first.lineage.then(second.lineage).origins["stem"]
    old = graph.model.get_layer("stem").get_weights()[0]
    new = second.model.get_layer("stem").get_weights()[0]
    assert origin.kept is not None
    np.testing.assert_array_equal(old[..., list(origin.kept)], new)


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    ["VGG16", "MobileNet", "MobileNetV2", "MobileNetV3Small", "ResNet50", "ResNet50V2", "DenseNet121", "InceptionV3",
     "InceptionResNetV2", "Xception", "NASNetMobile", "EfficientNetB0", "EfficientNetV2B0", "ConvNeXtTiny"],
)  # fmt: skip
def test_every_family_of_keras_applications_is_cut_exactly(name: str) -> None:
    size = {"NASNetMobile": 224, "VGG16": 32}.get(name, 96)
    model = to_tf_keras(getattr(keras.applications, name)(weights=None, input_shape=(size, size, 3), classes=10))
    graph = trace_channels(flatten(model))
    removed = quarter(graph)
    x = batch(graph.model)
    assert removed
    assert difference(cut_channels(graph, removed).model, masked(graph, removed), x) < EXACT
