"""keras-hub: backbones with a head, image families first, then text families."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

from benchmarks.zoo.entry import Entry
from tfcompress.runtime import keras

__all__ = ["HUB"]

SHAPE = (64, 64, 3)
WORDS = {"vocabulary_size": 64, "num_layers": 2, "num_heads": 2, "hidden_dim": 32, "intermediate_dim": 64}
GROUPED = {
    "vocabulary_size": 64,
    "num_layers": 2,
    "num_query_heads": 4,
    "num_key_value_heads": 2,
    "hidden_dim": 32,
    "intermediate_dim": 64,
}
SHORT = {"max_sequence_length": 32, "dropout": 0.0}
PATCHES = {"patch_size": 16, "num_layers": 2, "num_heads": 2, "hidden_dim": 32}


def _hub() -> Any:
    return importlib.import_module("keras_hub").models


def _image(family: str, head: dict[str, Any] | None = None, /, **settings: Any) -> Callable[[], Any]:
    def build() -> Any:
        backbone = getattr(_hub(), f"{family}Backbone")(**{"image_shape": SHAPE, **settings})
        return getattr(_hub(), f"{family}ImageClassifier")(
            backbone=backbone, num_classes=10, preprocessor=None, **(head or {})
        )

    return build


def _text(family: str, **settings: Any) -> Callable[[], Any]:
    def build() -> Any:
        backbone = getattr(_hub(), f"{family}Backbone")(**{**WORDS, **SHORT, **settings})
        return getattr(_hub(), f"{family}TextClassifier")(backbone=backbone, num_classes=4)

    return build


def _backbone(family: str, **settings: Any) -> Callable[[], Any]:
    return lambda: getattr(_hub(), f"{family}Backbone")(**settings)


def _csp() -> Any:
    return _image(
        "CSPNet",
        stem_filters=16,
        stem_kernel_size=3,
        stem_strides=1,
        stackwise_depth=(1, 1),
        stackwise_strides=(2, 2),
        stackwise_num_filters=(16, 32),
        block_type="dark_block",
        stage_type="csp",
        bottle_ratio=(0.5, 0.5),
        block_ratio=(0.5, 0.5),
        expand_ratio=(1.0, 1.0),
        down_growth=True,
        stem_padding="same",
    )()


def _resnet_backbone() -> Any:
    return _hub().ResNetBackbone(
        input_conv_filters=[64],
        input_conv_kernel_sizes=[7],
        stackwise_num_filters=[64, 64, 64, 64],
        stackwise_num_blocks=[1, 1, 1, 1],
        stackwise_num_strides=[1, 2, 2, 2],
        block_type="basic_block",
        image_shape=SHAPE,
    )


def _resnet() -> Any:
    return _hub().ResNetImageClassifier(backbone=_resnet_backbone(), num_classes=10)


def _hgnet() -> Any:
    return _image(
        "HGNetV2",
        depths=[1, 1, 1],
        embedding_size=16,
        hidden_sizes=[32, 48, 64],
        stem_channels=[3, 8, 16],
        hidden_act="relu",
        use_learnable_affine_block=True,
        stackwise_stage_filters=[(16, 8, 32, 1, 2, 3), (32, 16, 48, 1, 2, 3), (48, 16, 64, 1, 2, 5)],
        apply_downsample=[False, True, True],
        use_lightweight_conv_block=[False, False, True],
    )()


def _mit_backbone() -> Any:
    return _hub().MiTBackbone(
        layerwise_depths=[1, 1, 1, 1],
        num_layers=4,
        layerwise_num_heads=[1, 1, 2, 2],
        layerwise_sr_ratios=[4, 2, 2, 1],
        max_drop_path_rate=0.1,
        layerwise_patch_sizes=[7, 3, 3, 3],
        layerwise_strides=[4, 2, 2, 2],
        image_shape=SHAPE,
        hidden_dims=[16, 24, 32, 48],
    )


def _mit() -> Any:
    return _hub().MiTImageClassifier(backbone=_mit_backbone(), num_classes=10)


def _segformer() -> Any:
    backbone = _hub().SegFormerBackbone(image_encoder=_mit_backbone(), projection_filters=32)
    return _hub().SegFormerImageSegmenter(backbone=backbone, num_classes=4)


def _deeplab() -> Any:
    backbone = _hub().DeepLabV3Backbone(
        image_encoder=_resnet_backbone(),
        low_level_feature_key="P2",
        spatial_pyramid_pooling_key="P4",
        dilation_rates=[1, 2],
        upsampling_size=4,
        image_shape=SHAPE,
    )
    return _hub().DeepLabV3ImageSegmenter(backbone=backbone, num_classes=4)


def _mobilenet() -> Any:
    return _image(
        "MobileNet",
        stackwise_expansion=[[16, 24], [24, 32]],
        stackwise_num_blocks=[2, 2],
        stackwise_num_filters=[[16, 16], [24, 24]],
        stackwise_kernel_size=[[3, 3], [5, 5]],
        stackwise_num_strides=[[2, 1], [2, 1]],
        stackwise_se_ratio=[[None, None], [0.25, 0.25]],
        stackwise_activation=[["relu", "relu"], ["hard_swish", "hard_swish"]],
        stackwise_padding=[[1, 1], [2, 2]],
        output_num_filters=64,
        depthwise_filters=8,
        depthwise_stride=2,
        depthwise_residual=False,
        last_layer_filter=64,
        squeeze_and_excite=0.5,
    )()


def _efficientnet() -> Any:
    return _image(
        "EfficientNet",
        stackwise_kernel_sizes=[3, 3, 5],
        stackwise_num_repeats=[1, 2, 1],
        stackwise_input_filters=[16, 16, 24],
        stackwise_output_filters=[16, 24, 32],
        stackwise_expansion_ratios=[1, 4, 4],
        stackwise_squeeze_and_excite_ratios=[0.25, 0.25, 0.25],
        stackwise_strides=[1, 2, 2],
        stackwise_block_types=["v1", "v1", "v1"],
        stackwise_width_coefficients=[1.0, 1.0, 1.0],
        stackwise_depth_coefficients=[1.0, 1.0, 1.0],
        stackwise_force_input_filters=[0, 0, 0],
        stackwise_nores_option=[False, False, False],
        num_features=64,
    )()


def _mixed_task(kind: str, backbone: Callable[[], Any]) -> Callable[[], Any]:
    return lambda: getattr(_hub(), kind)(backbone=backbone())


def _with_pool(backbone: Callable[[], Any]) -> Callable[[], Any]:
    """A backbone of tokens with a class for the whole text."""

    def build() -> Any:
        body = backbone()
        pooled = keras.layers.GlobalAveragePooling1D()(body.output)
        return keras.Model(body.inputs, keras.layers.Dense(4)(pooled))

    return build


IMAGES: dict[str, Callable[[], Any]] = {
    "CSPNet": _csp,
    "DeiT": _image("DeiT", **PATCHES, intermediate_dim=64),
    "DenseNet": _image("DenseNet", stackwise_num_repeats=[2, 2], growth_rate=8),
    "EfficientNet": _efficientnet,
    "HGNetV2": _hgnet,
    "MiT": _mit,
    "MobileNet": _mobilenet,
    "ResNet": _resnet,
    "SwinTransformer": _image(
        "SwinTransformer", embed_dim=16, depths=(2, 2), num_heads=(2, 4), window_size=4, drop_path=0.0
    ),
    "VGG": _image(
        "VGG", {"pooling_hidden_dim": 64}, stackwise_num_repeats=[1, 1, 2], stackwise_num_filters=[16, 24, 32]
    ),
    "ViT": _image("ViT", **{**PATCHES, "patch_size": (16, 16)}, mlp_dim=64),
    "Xception": _image(
        "Xception", stackwise_conv_filters=[[16, 16], [24, 24], [32, 32]], stackwise_pooling=[True, True, False]
    ),
    "DeepLabV3": _deeplab,
    "SegFormer": _segformer,
    "DINOV2": _backbone("DINOV2", **PATCHES, intermediate_dim=64, image_shape=SHAPE, position_embedding_shape=SHAPE),
}
TEXTS: dict[str, Callable[[], Any]] = {
    "Albert": _text("Albert", embedding_dim=16),
    "Bert": _text("Bert"),
    "DebertaV3": _text("DebertaV3", bucket_size=16),
    "DistilBert": _text("DistilBert"),
    "FNet": lambda: _hub().FNetTextClassifier(
        backbone=_hub().FNetBackbone(**{key: value for key, value in WORDS.items() if key != "num_heads"}, **SHORT),
        num_classes=4,
    ),
    "Roberta": _text("Roberta"),
    "GPT2": _mixed_task("GPT2CausalLM", _backbone("GPT2", **WORDS, **SHORT)),
    "Bloom": _mixed_task("BloomCausalLM", _backbone("Bloom", **WORDS)),
    "Gemma": _mixed_task("GemmaCausalLM", _backbone("Gemma", **GROUPED, head_dim=8)),
    "Llama": _mixed_task("LlamaCausalLM", _backbone("Llama", **GROUPED)),
    "Whisper": _backbone("Whisper", **WORDS, max_encoder_sequence_length=32, max_decoder_sequence_length=16),
}
HUB = [
    *(Entry(collection="keras-hub", name=name, build=build, modules=("keras_hub",)) for name, build in IMAGES.items()),
    *(Entry(collection="keras-hub", name=name, build=build, modules=("keras_hub",)) for name, build in TEXTS.items()),
]
