"""Ten and more faults, injected into two models each: the cause, the layer and a repair that works are found."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest

from tests.accuracy_diff import faults
from tests.accuracy_diff.faults import Bench
from tests.accuracy_diff.models import balance, branched_cnn, pictures_like, plain_cnn, seeded, two_towers
from tfcompress.accuracy_diff import CandidateResult, Cause, suggest, try_suggestions
from tfcompress.converters.litert import quantize_int8
from tfcompress.recipe import Clustering, PostTraining, Pruning, Quantization, Recipe
from tfcompress.runtime import tf_keras


@pytest.fixture(scope="module")
def benches() -> dict[str, Bench]:
    return {"plain": Bench(seeded(plain_cnn)), "branched": Bench(seeded(branched_cnn))}


CLIPPED = 0.002  # share of values, from which on a range counts as too narrow
CLIPPING = Recipe(post_training=PostTraining(estimator="percentile"))
SLOW = pytest.mark.slow  # the second model of most faults
BOTH = ["plain", pytest.param("branched", marks=SLOW)]


def kinds(result: CandidateResult) -> set[str]:
    return {cause.kind for cause in result.causes}


def blamed(result: CandidateResult, kind: str) -> list[str | None]:
    return [cause.layer for cause in result.causes if cause.kind == kind]


def repaired(bench: Bench, result: CandidateResult, recipe: Recipe | None = None) -> bool:
    """Whether a suggestion brings the artifact below the gate, which it failed before."""
    assert result.gate.failed
    trials = try_suggestions(suggest(result.causes, recipe or Recipe()), lambda item: bench.repaired(item).gate)
    return bool(trials) and not trials[-1].gate.failed


@pytest.mark.parametrize("name", ["plain", "branched"])
def test_a_sound_artifact_has_no_cause(benches: dict[str, Bench], name: str) -> None:
    result = benches[name].judged(benches[name].sound)
    assert result.causes == ()
    assert result.gate.verdict == "passed"
    assert suggest(result.causes, Recipe()) == ()


@pytest.mark.parametrize("name", BOTH)
def test_a_float_file_has_no_cause(benches: dict[str, Bench], name: str) -> None:
    result = benches[name].judged(benches[name].float_content)
    assert result.causes == ()
    assert min(row.sqnr_db or 0 for row in result.layers) > 90


@pytest.mark.parametrize(("name", "layer"), [("plain", "conv_b"), pytest.param("branched", "pointwise", marks=SLOW)])
def test_a_range_too_narrow_is_found(benches: dict[str, Bench], name: str, layer: str) -> None:
    bench = benches[name]
    result = bench.judged(bench.with_ranges(faults.scaled(layer, 0.05)))
    assert blamed(result, "range_too_narrow") == [layer]
    assert kinds(result) == {"range_too_narrow"}
    assert "--estimator=min_max" in result.causes[0].repair
    assert repaired(bench, result, CLIPPING)


@pytest.mark.parametrize(("name", "layer"), [("plain", "conv_b"), pytest.param("branched", "pointwise", marks=SLOW)])
def test_a_range_blown_up_is_found(benches: dict[str, Bench], name: str, layer: str) -> None:
    bench = benches[name]
    result = bench.judged(bench.with_ranges(faults.scaled(layer, 150.0)))
    assert blamed(result, "range_too_wide") == [layer]
    assert kinds(result) == {"range_too_wide"}
    assert "--estimator=mse" in result.causes[0].repair
    assert repaired(bench, result)


@pytest.mark.parametrize("name", BOTH)
def test_other_preprocessing_at_calibration_is_found(benches: dict[str, Bench], name: str) -> None:
    bench = benches[name]
    raw = dataclasses.replace(bench.calibration_data, preprocess=lambda value: value * 127.5 + 127.5)
    result = bench.judged(bench.with_ranges(lambda _, interval: interval, raw))
    assert kinds(result) == {"preprocessing"}
    assert "--preprocess=signed_unit" in result.causes[0].repair
    assert suggest(result.causes, Recipe())[0].preprocess == "signed_unit"
    assert repaired(bench, result)


@pytest.mark.parametrize("name", BOTH)
def test_too_few_calibration_samples_are_found(benches: dict[str, Bench], name: str) -> None:
    bench = benches[name]
    dim = dataclasses.replace(bench.calibration_data.take(1), preprocess=lambda value: value * 0.25)

    def keep_input(tensor: str, interval: Any) -> Any:
        return bench.calibration.ranges[tensor] if "image" in tensor else interval

    result = bench.judged(bench.with_ranges(keep_input, dim))
    assert "too_few_calibration_samples" in kinds(result)
    assert "range_too_narrow" not in kinds(result)
    tried = suggest(result.causes, Recipe(), calibration_samples=20)
    assert [suggestion.calibration_samples for suggestion in tried[:2]] == [80, 320]
    assert tried[0].flag == "--calibration_samples=80"
    assert repaired(bench, result)


def _with_a_huge_idle_filter(layer: str) -> Bench:
    build, convolution = (plain_cnn, "conv_a") if layer == "relu_a" else (branched_cnn, layer)

    def enlarge(keras_model: Any) -> None:
        kernel, bias = keras_model.get_layer(convolution).get_weights()
        kernel[..., 0] *= 100
        bias[0] = -1e4  # the ReLU behind lets nothing of it through
        keras_model.get_layer(convolution).set_weights([kernel, bias])

    return Bench(faults.changed(seeded(build), enlarge))


@pytest.mark.parametrize("layer", ["relu_a", pytest.param("stem", marks=SLOW)])
def test_one_scale_for_unequal_channels_is_found(layer: str) -> None:
    bench = _with_a_huge_idle_filter(layer)
    result = bench.judged(faults.per_tensor(bench))
    assert blamed(result, "per_tensor_weights") == [layer]
    assert "--engine=litert" in result.causes[0].repair
    assert repaired(bench, result)
    assert "per_tensor_weights" not in kinds(bench.judged(bench.sound))


@pytest.mark.parametrize(("name", "layer"), [("plain", "conv_b"), pytest.param("branched", "stem", marks=SLOW)])
def test_a_dead_activation_is_found(benches: dict[str, Bench], name: str, layer: str) -> None:
    bench = benches[name]
    result = bench.judged(faults.edited(bench.sound, layer, faults.drowned_bias))
    assert blamed(result, "dead_activation") == [layer]
    assert f"keep_float={layer}" in result.causes[0].repair
    assert repaired(bench, result)


@pytest.mark.parametrize(("name", "layer"), [("plain", "conv_b"), pytest.param("branched", "stem", marks=SLOW)])
def test_a_layer_that_needs_more_bits_is_found(benches: dict[str, Bench], name: str, layer: str) -> None:
    bench = benches[name]
    result = bench.judged(faults.edited(bench.sound, layer, faults.coarse_weights))
    assert blamed(result, "needs_more_bits") == [layer]
    assert suggest(result.causes, Recipe())[0].recipe.keep_int16 == (layer,)
    assert repaired(bench, result)


@pytest.mark.parametrize(
    ("name", "norm", "layer"), [("plain", "norm_a", "relu_a"), pytest.param("branched", "norm", "relu", marks=SLOW)]
)
def test_other_batch_norm_statistics_are_found(benches: dict[str, Bench], name: str, norm: str, layer: str) -> None:
    bench = benches[name]

    def disturb(keras_model: Any) -> None:
        gamma, beta, mean, variance = keras_model.get_layer(norm).get_weights()
        spread = np.linspace(0.15, 6.0, len(gamma))
        keras_model.get_layer(norm).set_weights([gamma, beta, mean + 0.05, variance * spread])

    result = bench.judged(faults.converted(faults.changed(bench.model, disturb), bench.calibration_data))
    assert blamed(result, "batch_norm") == [layer]
    assert "freeze_batch_norm" in result.causes[0].repair
    assert repaired(bench, result, Recipe(quantization=Quantization(freeze_batch_norm=False)))


def _with_faint_logits(build: Any) -> Bench:
    def fade(keras_model: Any) -> None:
        head = keras_model.get_layer("logits")
        head.set_weights([weights / 600 for weights in head.get_weights()])

    return Bench(faults.changed(seeded(build), fade))


@pytest.mark.parametrize("build", [plain_cnn, pytest.param(branched_cnn, marks=SLOW)])
def test_answers_lost_in_the_softmaxs_8_bits_are_found(build: Any) -> None:
    bench = _with_faint_logits(build)
    result = bench.judged(bench.sound)
    assert blamed(result, "softmax_tail") == ["answer"]
    assert suggest(result.causes, Recipe())[0].recipe.keep_float == ("answer",)
    assert repaired(bench, result)


def test_logits_that_clip_where_a_float_softmax_does_not_care_are_no_cause() -> None:
    def sharpen(keras_model: Any) -> None:
        head = keras_model.get_layer("logits")
        head.set_weights([weights * 6 for weights in head.get_weights()])

    bench = Bench(faults.changed(seeded(plain_cnn), sharpen))
    recipe = Recipe(keep_float=("answer",), post_training=PostTraining(scheme="int8_float_io"))
    content = quantize_int8(bench.model, bench.calibration_data, recipe, integer_io=False).content
    result = bench.judged(content)
    logits = next(row for row in result.layers if row.layer == "logits")
    assert logits.saturation is not None
    assert logits.saturation > CLIPPED, "the case is what it says"
    assert result.causes == ()


@pytest.mark.parametrize("name", BOTH)
def test_a_pooling_layer_with_another_scale_is_found(name: str) -> None:
    bench = Bench(seeded(plain_cnn if name == "plain" else branched_cnn))
    whole = faults.per_tensor(bench)  # TFLiteConverter keeps AVERAGE_POOL_2D as it is
    assert "pooling_rescaled" not in kinds(bench.judged(whole))
    result = bench.judged(faults.edited(whole, "pool", faults.rescaled_output))
    assert blamed(result, "pooling_rescaled") == ["pool"]
    assert "they must be equal" in result.causes[0].text
    assert repaired(bench, result)


def _pruned(keras_model: Any, layer: str) -> None:
    kernel, bias = keras_model.get_layer(layer).get_weights()
    kernel[np.abs(kernel) < np.quantile(np.abs(kernel), 0.6)] = 0
    keras_model.get_layer(layer).set_weights([kernel, bias])


def _clustered(keras_model: Any, layer: str) -> None:
    kernel, bias = keras_model.get_layer(layer).get_weights()
    step = np.abs(kernel).max() / 4
    keras_model.get_layer(layer).set_weights([np.round(kernel / step) * step, bias])


def _shaken(keras_model: Any, layer: str) -> None:
    """As after training that knows nothing of zeros and clusters, and does not do the model good."""
    kernel, bias = keras_model.get_layer(layer).get_weights()
    noise = np.random.default_rng(0).normal(0, 1.5 * kernel.std(), kernel.shape)
    keras_model.get_layer(layer).set_weights([kernel + noise, bias])


@pytest.mark.parametrize(("build", "layer"), [(plain_cnn, "conv_b"), pytest.param(branched_cnn, "right", marks=SLOW)])
@pytest.mark.parametrize(
    ("change", "kind"), [(_pruned, "sparsity_lost"), pytest.param(_clustered, "clusters_lost", marks=SLOW)]
)
def test_lost_sparsity_and_lost_clusters_are_found(build: Any, layer: str, change: Any, kind: str) -> None:
    def compress(keras_model: Any) -> None:
        change(keras_model, layer)
        balance(keras_model, np.random.default_rng(0))

    bench = Bench(faults.changed(seeded(build), compress))
    assert kind not in kinds(bench.judged(bench.sound))
    shaken = faults.changed(bench.model, lambda model: _shaken(model, layer))
    result = bench.judged(faults.converted(shaken, bench.calibration_data))
    assert blamed(result, kind) == [layer]
    assert kinds(result) == {kind}
    assert "adaptive_rounding=false" in next(cause.repair for cause in result.causes if cause.kind == kind)
    assert repaired(bench, result)


def test_the_repair_of_lost_compression_trains_as_the_recipe_does() -> None:
    sparse = Cause("sparsity_lost", "relu", "text", "0.6", ("conv",))
    shared = Cause("clusters_lost", "head", "text", "9", ("head",))
    plain = suggest([sparse, shared], Recipe(), layer_names=("stem", "conv", "head"))
    assert all(suggestion.recipe.pruning is None and suggestion.recipe.clustering is None for suggestion in plain)
    assert plain[0].recipe.post_training.adaptive_rounding is False
    trained = suggest([sparse, shared], Recipe(quantization=Quantization()), layer_names=("stem", "conv", "head"))[-1]
    assert trained.recipe.pruning is not None
    assert (trained.recipe.pruning.layers, trained.recipe.pruning.skip) == ((("conv", 0.6),), ("stem", "head"))
    assert trained.recipe.clustering is not None
    assert (trained.recipe.clustering.clusters, trained.recipe.clustering.skip) == (9, ("stem", "conv"))
    forgetful = Recipe(pruning=Pruning(), clustering=Clustering(preserve_sparsity=False))
    kept = suggest([sparse], forgetful)[0].recipe
    assert kept.clustering == Clustering(preserve_sparsity=True)
    assert kept.pruning == Pruning()


@pytest.mark.parametrize("build", [branched_cnn, pytest.param(two_towers, marks=SLOW)])
def test_joined_tensors_of_unequal_range_are_found(build: Any) -> None:
    def shrink(keras_model: Any) -> None:
        left, head = keras_model.get_layer("left"), keras_model.get_layer("logits")
        left.set_weights([weights / 500 for weights in left.get_weights()])
        kernel, bias = head.get_weights()
        kernel[:6] *= 500
        kernel[6:] = 0  # the answer lies in the narrow half
        head.set_weights([kernel, bias])
        pictures = pictures_like(keras_model.input_shape, 400, np.random.default_rng(9))
        values = tf_keras.Model(keras_model.inputs, head.output)(pictures).numpy()
        head.set_weights([kernel, bias - values.mean(axis=0)])

    bench = Bench(faults.changed(seeded(build), shrink))
    result = bench.judged(bench.sound)
    assert blamed(result, "unequal_ranges") == ["join"]
    assert kinds(result) == {"unequal_ranges"}
    assert "join" in suggest(result.causes, Recipe())[0].recipe.keep_int16
    assert repaired(bench, result)


def test_a_suggestion_builds_on_those_before_it() -> None:
    bench = Bench(seeded(plain_cnn))
    first = bench.judged(bench.with_ranges(faults.scaled("conv_b", 0.05))).causes
    second = bench.judged(faults.edited(bench.sound, "conv_b", faults.coarse_weights)).causes
    both = suggest((*first, *second), CLIPPING)
    assert len(both) == 2
    assert both[-1].recipe.keep_int16 == ("conv_b",)
    assert both[-1].recipe.post_training.estimator == "min_max"
    whole_range = suggest((*first, *second), Recipe(), calibration_samples=10)
    assert [suggestion.calibration_samples for suggestion in whole_range] == [40, 160, 160]
    assert whole_range[-1].recipe.keep_int16 == ("conv_b",)
