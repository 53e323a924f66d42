"""`make_student`: a smaller model to be trained towards the user's, by the recipe's section `student`."""

from __future__ import annotations

import math

import numpy as np

from tfcompress.compression.structure.batch_norm import estimate_batch_norms
from tfcompress.compression.structure.families import backbone_of
from tfcompress.compression.structure.importance import importance_of
from tfcompress.compression.structure.shrink import Shrunk
from tfcompress.compression.structure.statistics import measure_reads
from tfcompress.compression.training.objective import heads_of
from tfcompress.data import Samples
from tfcompress.errors import ModelError, RecipeError
from tfcompress.graphs.keras.channels.cutting import cut_channels
from tfcompress.graphs.keras.channels.graph import trace_channels
from tfcompress.graphs.keras.lineage import Lineage, Origin
from tfcompress.graphs.keras.protocols import KerasModel, Layer, Tensor
from tfcompress.graphs.keras.replay import Call, Copies, flatten, rebuild
from tfcompress.layer_names import patterns_match
from tfcompress.recipe import Student
from tfcompress.runtime import tf_keras

__all__ = ["make_student"]

_L = tf_keras.layers


def make_student(model: KerasModel, section: Student, samples: Samples, *, seed: int = 0) -> Shrunk:
    """The student that a recipe asks for, not yet trained.

    A narrower student of the user's own architecture begins with the channels that matter most, and one with separable
    convolutions with the nearest separable kernels; a network of a family, and one of the user's own, as they are.

    Args:
        model: flat tf_keras model, the teacher; it is not changed.
        section: which student.
        samples: what a narrower student's channels are chosen by; no labels are needed.
        seed: of the weights of a new network.

    Raises:
        RecipeError: the section does not fit the model.
        ModelError: the student's inputs or outputs are not those of the teacher.
    """
    if section.model is not None:
        return _of_the_user_s_own(model, section.model)
    if section.family is not None:
        return _of_a_family(model, section, seed)
    current, lineage, notes = model, Lineage({layer.name: Origin(layer.name) for layer in model.layers}), list[str]()
    if section.width != 1:
        student = _narrower(current, section, samples, seed)
        current, lineage = student.model, student.lineage
        notes.extend(student.notes)
    if section.convolutions == "depthwise_separable":
        student = _separable(current, section)
        current, lineage = student.model, lineage.then(student.lineage)
        notes.extend(student.notes)
    estimate_batch_norms(current, samples)
    return Shrunk(current, lineage, tuple(notes))


def _narrower(model: KerasModel, section: Student, samples: Samples, seed: int) -> Shrunk:
    """Every family of channels keeps the same share, its most important ones."""
    graph = trace_channels(model, keep=section.skip)
    statistics = measure_reads(graph, samples)
    scores = importance_of(graph, "activation", samples, statistics, loss=None, seed=seed)
    removed: list[int] = []
    for family in graph.families:
        if family.reason is None:
            size = len(family.groups)
            wanted = math.ceil(size * section.width / section.round_to) * section.round_to
            order = np.argsort(scores[family.groups], kind="stable")
            removed += [int(root) for root in family.groups[order][: max(0, size - wanted)]]
    if not removed:
        raise RecipeError(
            f"recipe: student.width is {section.width:g}, but no layer of the model has channels to lose at round_to "
            f"{section.round_to}; set a smaller one"
        )
    cut = cut_channels(graph, removed, means=statistics.means)
    return Shrunk(cut.model, cut.lineage, (f"student: the model's own architecture at width {section.width:g}",))


def _separable(model: KerasModel, section: Student) -> Shrunk:
    """KxK convolutions as a depthwise and a pointwise one (Howard et al. 2017, section 3.1)."""
    copies, origins = Copies(), dict[str, Origin]()
    weights: list[tuple[Layer, list[np.ndarray]]] = []
    replaced: list[str] = []

    def emit(call: Call) -> object:
        layer = call.layer
        origins[layer.name] = Origin(layer.name)
        if not _may_be_separable(layer) or patterns_match(layer.name, section.skip):
            return copies.repeat(call)
        replaced.append(layer.name)
        x: Tensor = call.inputs[0]
        for piece, values in copies.get((layer, "separable"), lambda: _separable_pieces(layer, copies)):
            origins[piece.name] = Origin(layer.name)
            weights.append((piece, values))
            x = piece(x)
        return x

    new: KerasModel = rebuild(model, emit)
    if not replaced:
        raise RecipeError("recipe: student.convolutions: the model has no Conv2D of more than one pixel to replace")
    copies.copy_weights()
    for layer, values in weights:
        layer.set_weights(values)
    return Shrunk(new, Lineage(origins), (f"student: depthwise separable: {', '.join(replaced)}",))


def _may_be_separable(layer: Layer) -> bool:
    if type(layer) is not _L.Conv2D:
        return False
    settings, kernel = layer.get_config(), layer.get_weights()[0]
    return bool(settings["groups"] == 1 and max(kernel.shape[:2]) > 1 and kernel.shape[2] > 3)


def _separable_pieces(layer: Layer, copies: Copies) -> list[tuple[Layer, list[np.ndarray]]]:
    """The nearest kernel of that form: for each input channel, the best product of a window and a row of outputs."""
    settings, values = layer.get_config(), layer.get_weights()
    kernel = values[0].astype(np.float64)
    height, width, inputs, outputs = kernel.shape
    matrices = np.transpose(kernel, (2, 0, 1, 3)).reshape(inputs, height * width, outputs)
    left, scale, right = np.linalg.svd(matrices, full_matrices=False)
    root = np.sqrt(scale[:, :1])
    window = (left[:, :, 0] * root).T.reshape(height, width, inputs, 1)
    rows = (right[:, 0] * root)[None, None]
    shared = {key: settings[key] for key in ("padding", "dilation_rate", "data_format", "dtype")}
    strides = settings["strides"]
    depthwise = _L.DepthwiseConv2D(
        (height, width), strides=strides, use_bias=False, name=copies.unique_name(f"{layer.name}_depthwise"), **shared
    )
    ones = {"kernel_size": (1, 1), "strides": (1, 1), "dilation_rate": (1, 1)}
    pointwise = _L.Conv2D.from_config({**settings, **ones, "name": copies.unique_name(layer.name)})
    return [(depthwise, [window.astype(np.float32)]), (pointwise, [rows.astype(np.float32), *values[1:]])]


def _of_a_family(model: KerasModel, section: Student, seed: int) -> Shrunk:
    """A new network with the teacher's input and outputs like the teacher's."""
    assert section.family is not None
    shape = tuple(model.inputs[0].shape)
    vectors = all(len(tensor.shape) == 2 for tensor in model.outputs)
    if len(model.inputs) != 1 or len(shape) != 4 or not vectors:
        raise RecipeError(
            f"recipe: student.family: {section.family} is for models of one image [batch, height, width, channels] "
            "with vectors as outputs; use width or convolutions"
        )
    tf_keras.utils.set_random_seed(seed)
    (name,) = model.input_names  # type: ignore[attr-defined]
    image = tf_keras.Input(shape[1:], dtype=model.inputs[0].dtype, name=name)
    scaled = _L.BatchNormalization(name="scale")(image)  # whatever range the teacher takes
    features = _L.GlobalAveragePooling2D(name="average")(backbone_of(section.family, section.width)(scaled))
    outputs = []
    names = model.output_names  # type: ignore[attr-defined]
    for head, tensor, layer_name in zip(heads_of(model), model.outputs, names, strict=True):
        dense = _L.Dense(int(tensor.shape[-1]), name=f"{layer_name}_values")(features)
        outputs.append(_L.Activation(head.kind, name=layer_name)(dense))
    student = tf_keras.Model(image, outputs[0] if len(outputs) == 1 else outputs, name=model.name)
    gone = tuple(layer.name for layer in model.layers)
    note = f"student: {section.family} at width {section.width:g}, {student.count_params():,} weights"
    return Shrunk(student, Lineage({}, gone), (note,))


def _of_the_user_s_own(model: KerasModel, path: str) -> Shrunk:
    from tfcompress.load import load_model, to_tf_keras

    loaded = load_model(path)
    if loaded.keras_model is None:
        raise ModelError(f"recipe: student.model: {path}: a SavedModel without Keras layers cannot be trained")
    student = flatten(to_tf_keras(loaded.keras_model))
    for what in ("inputs", "outputs"):
        wanted, got = ([tuple(t.shape[1:]) for t in getattr(m, what)] for m in (model, student))
        if wanted != got:
            raise ModelError(f"recipe: student.model: {path}: has {what} {got}, expected those of the model, {wanted}")
    note = f"student: {loaded.name}, {student.count_params():,} weights"
    return Shrunk(student, Lineage({}, tuple(layer.name for layer in model.layers)), (note,))
