"""Training of one wrapped model: epochs of shuffled batches, reproducible, resumable, under a strategy."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tfcompress import console
from tfcompress.cache import store_in_use
from tfcompress.compression.training.batches import training_batches
from tfcompress.compression.training.checkpoint import Checkpoint, CheckpointFile, KeptInStore
from tfcompress.compression.training.event_log import log_scalars
from tfcompress.data import Samples
from tfcompress.errors import DataError, InputError, cause_of, one_line
from tfcompress.graphs.keras.protocols import Layer
from tfcompress.graphs.tensorflow.private_names import determinism, flat_layers
from tfcompress.native_output import silenced
from tfcompress.recipe import Training
from tfcompress.runtime import tf, tf_keras

__all__ = ["Run", "deterministic", "start_strategy", "train_stage"]


@dataclass(frozen=True)
class Run:
    """What every stage of a fine-tune shares.

    Attributes:
        training: epochs, batch size and the like.
        samples: the training data.
        seed: of shuffling and of layers that draw.
        strategy: the `tf.distribute` strategy.
        steps: an epoch.
        checkpoint_dir: where training state is kept; None keeps none.
        fingerprint: of model, recipe and data, for the files in `checkpoint_dir`.
        key: a fingerprint of all that the stage depends on, under which the store in use keeps its state where there is
            no `checkpoint_dir`; None keeps none there.
    """

    training: Training
    samples: Samples
    seed: int
    strategy: Any
    steps: int
    checkpoint_dir: Path | None
    fingerprint: str
    key: str | None = None


@functools.cache
def start_strategy(name: str) -> object:
    """The `tf.distribute` strategy of a recipe's `training.strategy`; made once for each name.

    Several workers must find each other before TensorFlow computes anything, so call it with ``multi_worker`` before a
    model is loaded; `finetune` uses what was started.

    Raises:
        InputError: TensorFlow has computed something already, or there is no TPU.
    """
    with silenced():
        if name == "mirrored":
            return tf.distribute.MirroredStrategy()
        if name == "multi_worker":
            try:
                return tf.distribute.MultiWorkerMirroredStrategy()
            except RuntimeError:
                raise InputError(
                    "training.strategy=multi_worker: the workers must be started before TensorFlow computes anything; "
                    "call tfcompress.compression.start_strategy('multi_worker') before loading a model"
                ) from None
        if name == "tpu":
            try:
                resolver = tf.distribute.cluster_resolver.TPUClusterResolver.connect()
            except (ValueError, tf.errors.OpError) as error:
                raise InputError(f"training.strategy=tpu: no TPU can be reached: {one_line(error, 120)}") from None
            return tf.distribute.TPUStrategy(resolver)
    return tf.distribute.get_strategy()


@contextlib.contextmanager
def deterministic(seed: int) -> Iterator[None]:
    """Seeded, and with operators that add in a fixed order, so that a second run gives the same bits."""
    already = determinism.is_op_determinism_enabled()
    if not already:
        determinism.enable_op_determinism()
    tf_keras.utils.set_random_seed(seed)
    try:
        yield
    finally:
        if not already:
            determinism.disable_op_determinism()


def train_stage(stage: str, make_model: Callable[[], Any], run: Run) -> Any:
    """Make a wrapped model and train it; the trained model.

    Args:
        stage: for the progress bar and the checkpoint's name.
        make_model: called under the strategy's scope; returns a `WrappedModel`.
        run: see `Run`.

    Raises:
        DataError: an index or a label is beyond what the model has, or a batch does not fit into memory.
    """
    with run.strategy.scope():
        model = make_model()
        # An optimizer that makes its variables in the first step has TensorFlow trace that step a second time.
        model.optimizer.build(model.trainable_variables)
    checkpoint = _checkpoint(stage, run)
    done = checkpoint.restore(model)
    if done:
        console.note(f"{stage}: resumed after epoch {done} of {run.training.epochs}")
    draws = any(isinstance(layer, tf_keras.layers.Layer) and _draws(layer) for layer in model.layers)
    for epoch in range(done, run.training.epochs):
        _train_epoch(stage, model, epoch, run, forget=draws)
        checkpoint.save(epoch + 1, model)
    return model


def _checkpoint(stage: str, run: Run) -> Checkpoint:
    writes = _is_chief(run.strategy)
    if run.checkpoint_dir is not None:
        path = run.checkpoint_dir / f"{stage}.npz"
        return Checkpoint(CheckpointFile(path), run.fingerprint, where=str(path), writes=writes)
    if run.key is not None and store_in_use().folder is not None:
        return Checkpoint(KeptInStore(store_in_use(), run.key), run.key, where="the cache", writes=writes)
    return Checkpoint(None, "")


def _train_epoch(stage: str, model: Any, epoch: int, run: Run, *, forget: bool) -> None:
    seed = run.seed + 7919 * (epoch + 1)
    tf_keras.utils.set_random_seed(seed)
    if forget:
        # Dropout's random state lives in the compiled step: made anew it begins where a resumed run begins.
        model.make_train_function(force=True)
    labelled = model.needs_labels
    data = training_batches(run.samples, run.training, seed=seed, labelled=labelled)
    title = f"{stage}, epoch {epoch + 1} of {run.training.epochs}"
    with console.progress(title, run.steps) as advance, silenced():
        step = tf_keras.callbacks.LambdaCallback(on_train_batch_end=lambda batch, logs: advance(1))
        try:
            history = model.fit(data, epochs=epoch + 1, initial_epoch=epoch, verbose=0, callbacks=[step])
        except (tf.errors.InvalidArgumentError, tf.errors.ResourceExhaustedError) as error:
            raise DataError(f"{run.samples.name}: the model cannot be trained on it: {cause_of(error)}") from error
    loss = float(history.history["loss"][-1])
    console.note(f"{title}: loss {loss:.4g}")
    if run.checkpoint_dir is not None and _is_chief(run.strategy):
        log_scalars(run.checkpoint_dir / "logs" / stage, epoch + 1, {"loss": loss})


def _draws(layer: Layer) -> bool:
    """Whether a layer draws random numbers while training."""
    return any("dropout" in type(part).__name__.lower() or "Gaussian" in type(part).__name__ for part in _parts(layer))


def _parts(layer: Layer) -> list[Any]:
    return [layer, *flat_layers(layer)]


def _is_chief(strategy: object) -> bool:
    resolver = getattr(strategy, "cluster_resolver", None)
    return resolver is None or resolver.task_id in (None, 0)
