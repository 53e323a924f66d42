"""Collections of image networks: classifiers, segmenters and detectors."""

from __future__ import annotations

import importlib
import os
from typing import Any

from benchmarks.zoo.calls import Table, attribute, entries_of
from benchmarks.zoo.entry import Entry
from tfcompress.runtime import keras, tf_keras

__all__ = ["VISION"]

SHAPE = (64, 64, 3)
PLAIN: dict[str, Any] = {"pretrained": None, "input_shape": SHAPE, "num_classes": 10}
KECAM = "keras_cv_attention_models"
KECAM_TABLE: Table = {
    "AotNet": (
        f"{KECAM}.aotnet:AotNet",
        {**PLAIN, "num_blocks": [1, 1, 1, 1], "out_channels": [32, 64, 96, 128], "stem_width": 16},
    ),
    "Beit": (f"{KECAM}.beit:Beit", {**PLAIN, "depth": 2, "embed_dim": 32, "num_heads": 2, "patch_size": 16}),
    "BotNet26T": (f"{KECAM}.botnet:BotNet26T", PLAIN),
    "CAFormer": (
        f"{KECAM}.caformer:CAFormer",
        {**PLAIN, "num_blocks": [1, 1, 2, 1], "out_channels": [32, 32, 64, 64], "head_filter": 64},
    ),
    "CMTTiny": (f"{KECAM}.cmt:CMTTiny", PLAIN),
    "CoaT": (
        f"{KECAM}.coat:CoaT",
        {**PLAIN, "serial_depths": [1, 1, 1, 1], "embed_dims": [16, 32, 32, 48], "num_heads": 4},
    ),
    "CoAtNet": (
        f"{KECAM}.coatnet:CoAtNet",
        {**PLAIN, "num_blocks": [1, 1, 1, 1], "out_channels": [32, 32, 64, 64], "stem_width": 16},
    ),
    "ConvNeXt": (f"{KECAM}.convnext:ConvNeXt", {**PLAIN, "num_blocks": [1, 1, 2, 1], "out_channels": [16, 32, 48, 64]}),
    "CotNet": (
        f"{KECAM}.aotnet:AotNet",
        {**PLAIN, "num_blocks": [1, 1, 1, 1], "out_channels": [32, 64, 96, 128], "stem_width": 16, "attn_types": "cot"},
    ),
    "CSPNeXtTiny": (f"{KECAM}.cspnext:CSPNeXtTiny", PLAIN),
    "DaViT": (
        f"{KECAM}.davit:DaViT",
        {**PLAIN, "num_blocks": [1, 1, 1, 1], "out_channels": [16, 32, 48, 64], "num_heads": [1, 2, 2, 4]},
    ),
    "EdgeNeXt_XX_Small": (f"{KECAM}.edgenext:EdgeNeXt_XX_Small", PLAIN),
    "EfficientFormer": (
        f"{KECAM}.efficientformer:EfficientFormer",
        {**PLAIN, "num_blocks": [1, 1, 1, 2], "out_channels": [16, 32, 48, 64]},
    ),
    "EfficientNetV1B0": (f"{KECAM}.efficientnet:EfficientNetV1B0", PLAIN),
    "EfficientViT_M0": (f"{KECAM}.efficientvit:EfficientViT_M0", PLAIN),
    "FasterNetT0": (f"{KECAM}.fasternet:FasterNetT0", PLAIN),
    "FasterViT": (
        f"{KECAM}.fastervit:FasterViT",
        {**PLAIN, "num_blocks": [1, 1, 1, 1], "num_heads": [1, 2, 2, 4], "stem_hidden_dim": 16, "embed_dim": 16},
    ),
    "FastViT_T8": (f"{KECAM}.fastvit:FastViT_T8", PLAIN),
    "GCViT": (
        f"{KECAM}.gcvit:GCViT",
        {**PLAIN, "num_blocks": [1, 1, 1, 1], "num_heads": [1, 2, 2, 4], "embed_dim": 16},
    ),
    "GhostNet_050": (f"{KECAM}.ghostnet:GhostNet_050", PLAIN),
}

KIMM = {"weights": None, "input_shape": SHAPE, "classes": 10, "include_preprocessing": False}
KIMM_TABLE: Table = {
    name: ("kimm.models:" + name, KIMM) for name in ("ConvNeXtAtto", "GhostNetW050", "LCNet035", "MobileOneS0")
}
K3IM_TABLE: Table = {
    "CaiT": (
        "k3im.cait:CaiTModel",
        {
            "image_size": 32,
            "patch_size": 8,
            "num_classes": 10,
            "dim": 32,
            "depth": 2,
            "heads": 2,
            "mlp_dim": 64,
            "cls_depth": 1,
            "dim_head": 16,
        },
    ),
    "CCT": (
        "k3im.cct:CCT",
        {
            "input_shape": (32, 32, 3),
            "num_heads": 2,
            "projection_dim": 32,
            "kernel_size": 3,
            "stride": 1,
            "padding": 1,
            "transformer_units": [64, 32],
            "stochastic_depth_rate": 0.1,
            "transformer_layers": 2,
            "num_classes": 10,
        },
    ),
    "ConvMixer": ("k3im.convmixer:ConvMixer", {"image_size": 32, "filters": 32, "depth": 2}),
    "EANet": (
        "k3im.eanet:EANet",
        {
            "input_shape": (32, 32, 3),
            "patch_size": 4,
            "embedding_dim": 32,
            "num_transformer_blocks": 2,
            "mlp_dim": 32,
            "num_heads": 2,
            "dim_coefficient": 2,
            "attention_dropout": 0.1,
            "projection_dropout": 0.1,
            "num_classes": 10,
        },
    ),
}
MEDICAI = {"encoder_name": "resnet18", "input_shape": SHAPE, "num_classes": 3}
MEDICAI_TABLE: Table = {
    "ResNet18": ("medicai.models:ResNet18", {"input_shape": SHAPE, "num_classes": 10}),
    "SegFormer": ("medicai.models:SegFormer", {**MEDICAI, "encoder_name": "mit_b0", "decoder_head_embedding_dim": 32}),
    "UNet": ("medicai.models:UNet", {**MEDICAI, "decoder_filters": (64, 32, 16, 16, 8)}),
    "DenseNet121": ("medicai.models:DenseNet121", {"input_shape": SHAPE, "num_classes": 10}),
}
KERAS_VISION_TABLE: Table = {
    "MobileViT_v1": (
        "keras_vision.MobileViT_v1:build_MobileViT_v1",
        {"model_type": "XXS", "num_classes": 10, "input_shape": SHAPE},
    ),
    "MobileViT_v2": (
        "keras_vision.MobileViT_v2:build_MobileViT_v2",
        {"width_multiplier": 0.5, "num_classes": 10, "input_shape": SHAPE},
    ),
}
SEGMENTATION = {"input_shape": SHAPE, "classes": 3, "encoder_weights": None, "activation": "softmax"}
SEGMENTATION_TABLE: Table = {
    "Unet": (
        "segmentation_models:Unet",
        {**SEGMENTATION, "backbone_name": "mobilenetv2", "decoder_filters": (64, 32, 16, 16, 8)},
    ),
    "Linknet": ("segmentation_models:Linknet", {**SEGMENTATION, "backbone_name": "resnet18"}),
    "FPN": ("segmentation_models:FPN", {**SEGMENTATION, "backbone_name": "resnet18", "pyramid_block_filters": 32}),
    "PSPNet": (
        "segmentation_models:PSPNet",
        {**SEGMENTATION, "backbone_name": "resnet18", "input_shape": (96, 96, 3), "psp_conv_filters": 32},
    ),
}
UNETS = {"input_size": SHAPE, "filter_num": [8, 16, 32], "n_labels": 3, "batch_norm": True}
UNETS_TABLE: Table = {
    "unet_2d": ("keras_unet_collection.models:unet_2d", UNETS),
    "vnet_2d": ("keras_unet_collection.models:vnet_2d", {**UNETS, "filter_num": [16, 32, 64], "activation": "PReLU"}),
    "unet_plus_2d": ("keras_unet_collection.models:unet_plus_2d", UNETS),
    "att_unet_2d": ("keras_unet_collection.models:att_unet_2d", UNETS),
}
VIT_KERAS = {
    "image_size": 64,
    "patch_size": 16,
    "num_layers": 2,
    "hidden_size": 32,
    "num_heads": 2,
    "mlp_dim": 64,
    "classes": 10,
    "name": "vit",
}
CLASSIFIERS = ("resnet18", "seresnet18", "resnext50", "mobilenet")


def _classifier(name: str) -> Any:
    classifiers = importlib.import_module("classification_models.tfkeras").Classifiers
    return lambda: classifiers.get(name)[0](input_shape=SHAPE, weights=None, classes=10)


def _later(make: Any, *arguments: Any) -> Any:
    return lambda: make(*arguments)()


def _segmentation(table: Table) -> Table:
    os.environ.setdefault("SM_FRAMEWORK", "tf.keras")  # read when the collection is imported
    return table


def _keras_cv() -> Any:
    backbone = attribute("keras_cv.models:CSPDarkNetBackbone")(
        stackwise_channels=[16, 32, 48, 64], stackwise_depth=[1, 1, 1, 1], include_rescaling=False, input_shape=SHAPE
    )
    return attribute("keras_cv.models:ImageClassifier")(backbone=backbone, num_classes=10)


def _keras_cv_segmenter() -> Any:
    backbone = attribute("keras_cv.models:ResNetV2Backbone")(
        stackwise_filters=[16, 32, 48, 64],
        stackwise_blocks=[1, 1, 1, 1],
        stackwise_strides=[1, 2, 2, 2],
        include_rescaling=False,
        input_shape=SHAPE,
    )
    return attribute("keras_cv.models:DeepLabV3Plus")(backbone=backbone, num_classes=3)


def _squeezenet() -> Any:
    return attribute("keras_squeezenet:SqueezeNet")(weights=None, input_shape=SHAPE, classes=10)


def _keras_resnet() -> Any:
    return attribute("keras_resnet.models:ResNet2D18")(keras.Input(SHAPE), classes=10)


def _retinanet() -> Any:
    models = importlib.import_module("keras_retinanet.models.resnet")
    return models.resnet_retinanet(num_classes=4, backbone="resnet50", inputs=keras.Input((96, 96, 3)))


def _swin_unet() -> Any:
    return attribute("keras_unet_collection.models:swin_unet_2d")(
        SHAPE, 16, 3, 2, 1, 1, patch_size=(2, 2), num_heads=[2, 2, 2], window_size=[4, 4, 4], num_mlp=32
    )


def _larq(name: str) -> Any:
    return attribute(f"larq_zoo.{name}")(input_shape=SHAPE, weights=None, num_classes=10)


def _stardist() -> Any:
    """The star-convex U-net that StarDist's page describes, by the collection's own block."""
    unet = attribute("csbdeep.internals.blocks:unet_block")
    inputs = keras.Input((64, 64, 1))
    features = unet(n_depth=2, n_filter_base=8, kernel_size=(3, 3), pool=(2, 2))(inputs)
    shape = keras.layers.Conv2D(32, 3, padding="same", activation="relu")(features)
    probability = keras.layers.Conv2D(1, 1, activation="sigmoid", name="prob")(shape)
    return keras.Model(inputs, [probability, keras.layers.Conv2D(8, 1, name="dist")(shape)])


def _mtcnn(name: str, side: int) -> Any:
    network = attribute(f"mtcnn.network.{name.lower()}:{name}")()
    inputs = tf_keras.Input((side, side, 3))
    return tf_keras.Model(inputs, network(inputs))


def _official(name: str, **settings: Any) -> Any:
    module = importlib.import_module(f"official.vision.modeling.backbones.{name.lower()}")
    specs = attribute("tensorflow:keras").layers.InputSpec(shape=[None, *SHAPE])
    backbone = getattr(module, name)(input_specs=specs, **settings)
    features = backbone(backbone.input)
    last = features[max(key for key in features if key.isdigit())]
    pooled = tf_keras.layers.GlobalAveragePooling2D()(last)
    return tf_keras.Model(backbone.input, tf_keras.layers.Dense(10)(pooled))


VISION: list[Entry] = [
    *entries_of("keras-cv-attention-models", KECAM_TABLE, modules=(KECAM,), legacy=True),
    *entries_of("kimm", KIMM_TABLE, modules=("kimm",)),
    *entries_of("k3im", K3IM_TABLE, modules=("k3im",)),
    *entries_of("medicai", MEDICAI_TABLE, modules=("medicai.models",)),
    *entries_of("keras-vision", KERAS_VISION_TABLE, modules=("keras_vision",)),
    *entries_of(
        "segmentation-models", _segmentation(SEGMENTATION_TABLE), modules=("segmentation_models",), legacy=True
    ),
    *entries_of("keras-unet-collection", {**UNETS_TABLE}, modules=("keras_unet_collection.models",), legacy=True),
    *entries_of(
        "vit-keras", {"ViT": ("vit_keras.vit:build_model", VIT_KERAS)}, modules=("vit_keras.layers",), legacy=True
    ),
    *entries_of(
        "efficientnet",
        {
            "EfficientNetB0": (
                "efficientnet.tfkeras:EfficientNetB0",
                {"weights": None, "input_shape": SHAPE, "classes": 10},
            )
        },
        modules=("efficientnet.tfkeras",),
        legacy=True,
    ),
    *entries_of("image-classifiers", {name: _later(_classifier, name) for name in CLASSIFIERS}, legacy=True),
    *entries_of("keras-cv", {"CSPDarkNet": _keras_cv, "DeepLabV3Plus": _keras_cv_segmenter}, modules=("keras_cv",)),
    *entries_of(
        "keras-efficientnet-v2",
        {"EfficientNetV2B0": ("keras_efficientnet_v2:EfficientNetV2B0", PLAIN)},
        legacy=True,
    ),
    *entries_of("keras-resnet", {"ResNet2D18": _keras_resnet}, modules=("keras_resnet",)),
    *entries_of("keras-squeezenet", {"SqueezeNet": _squeezenet}, legacy=True),
    *entries_of(
        "keras-unet",
        {
            "vanilla_unet": (
                "keras_unet.models:vanilla_unet",
                {"input_shape": (188, 188, 1), "filters": 8, "num_layers": 3},
            ),
            "satellite_unet": ("keras_unet.models:satellite_unet", {"input_shape": SHAPE, "num_layers": 2}),
        },
        legacy=True,
    ),
    *entries_of(
        "mlp-mixer-keras",
        {
            "MlpMixer": (
                "mlp_mixer_keras.mlp_mixer:MlpMixerModel",
                {
                    "input_shape": (32, 32, 3),
                    "num_classes": 10,
                    "num_blocks": 2,
                    "patch_size": 8,
                    "hidden_dim": 32,
                    "tokens_mlp_dim": 16,
                    "channels_mlp_dim": 64,
                },
            )
        },
        legacy=True,
    ),
    *entries_of("keras-retinanet", {"resnet50": _retinanet}, modules=("keras_retinanet.models",)),
    *entries_of(
        "larq-zoo",
        {
            name: _later(lambda name: lambda: _larq(name), place)
            for name, place in {
                "BinaryAlexNet": "literature:BinaryAlexNet",
                "BiRealNet": "literature:BiRealNet",
                "QuickNetSmall": "sota:QuickNetSmall",
            }.items()
        },
        modules=("larq",),
        legacy=True,
    ),
    *entries_of("stardist", {"unet": _stardist}),
    *entries_of(
        "mtcnn",
        {"PNet": lambda: _mtcnn("PNet", 48), "RNet": lambda: _mtcnn("RNet", 24), "ONet": lambda: _mtcnn("ONet", 48)},
        legacy=True,
    ),
    *entries_of(
        "tf-models-official",
        {
            "MobileNet": lambda: _official("MobileNet", model_id="MobileNetV2", filter_size_scale=0.5),
            "ResNet": lambda: _official("ResNet", model_id=18),
            "EfficientNet": lambda: _official("EfficientNet", model_id="b0"),
        },
        legacy=True,
    ),
]
