"""The training loop: unlabelled samples, the float model's outputs as the aim, and a choice on samples held apart."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from tfcompress.cache import remembered
from tfcompress.calibration.activations import ActivationRunner
from tfcompress.console import progress
from tfcompress.converters.litert.learnt.aims import Aim, aims_of, distance
from tfcompress.converters.litert.learnt.simulation import Simulation, lacks
from tfcompress.converters.litert.learnt.waypoints import Waypoint, detour, waypoints_of
from tfcompress.converters.litert.learnt.writing import written
from tfcompress.data import Samples
from tfcompress.errors import one_line
from tfcompress.graphs.keras.protocols import Tensor
from tfcompress.graphs.tflite import read_tflite
from tfcompress.graphs.tflite.operators import file_macs
from tfcompress.native_output import silenced
from tfcompress.runtime import tf

__all__ = ["learnt"]

MOST_SAMPLES = 512
MOST_BYTES = 256 * 2**20  # of inputs that are kept
BATCH = 32
MOST_STEPS, LEAST_STEPS = 600, 40
WORK = 2.4e11  # multiplications of all forward passes: some two minutes on two cores
# Of Adam, for a step of each kind of variable: a share of a scale, and steps of integers (see `simulation`).
# Rounded and equalized weights are close to their best already: faster ones walk away from there.
RATES = {"scale": 1e-3, "zero point": 5e-3, "weights": 3e-3, "bias": 2e-3}
MIXED = 0.5  # share of a batch that is mixed of two samples
MIXED_IN = 0.5  # at most so much of the second one


WAYPOINT_SAMPLES = 64  # from which the scales of channels are seen


@dataclass(frozen=True)
class _Plan:
    batch: int
    steps: int


@dataclass(frozen=True)
class _Goals:
    aims: Sequence[Aim]
    waypoints: Sequence[Waypoint]

    def distance(self, values: Mapping[int, Tensor], ends: Sequence[Tensor], inner: Sequence[Tensor]) -> Tensor:
        """Of a file's tensors from the float model's at the outputs and on the way, a scalar."""
        errors = [distance(aim, values[aim.own], truth) for aim, truth in zip(self.aims, ends, strict=True)]
        return tf.add_n(errors) + detour(self.waypoints, values, inner)


def learnt(
    content: bytes, float_content: bytes, samples: Samples, made_from: bytes | None = None
) -> tuple[bytes, str | None]:
    """A quantized .tflite with integers learnt towards the float model's outputs.

    Args:
        content: the quantized .tflite.
        float_content: the float .tflite that it was made from, before its weights were improved.
        samples: representative inputs; the first `MOST_SAMPLES`, spread over all, are used, and no labels.
        made_from: the float .tflite with improved weights; None is `float_content`.

    Returns:
        The file, and why it was left as it is; None where it was not.
    """
    return remembered(
        tuple[bytes, str | None],
        "learnt integers",
        (content, float_content, samples.identity, made_from, RATES, WORK),
        lambda: _learnt(content, float_content, samples, made_from or float_content),
    )


def _learnt(content: bytes, float_content: bytes, samples: Samples, made_from: bytes) -> tuple[bytes, str | None]:
    file = read_tflite(content)
    missing = lacks(file.main)
    if missing is not None:
        return content, f"integers are not learnt: {missing} has no form for it"
    plan = _plan(file_macs(file))
    if plan is None:
        return content, "integers are not learnt: the model is too large for it"
    rows, teacher = _kept(samples), ActivationRunner(float_content)
    if not teacher.batches_exactly({name: values[:2] for name, values in rows.items()}):
        return content, "integers are not learnt: the model takes one sample at a time"
    float_graph = teacher.graph
    few = {name: values[:WAYPOINT_SAMPLES] for name, values in rows.items()}
    goals = _Goals(aims_of(float_graph, file.main), waypoints_of(file.main, teacher, made_from, few))
    constants = ((tensor.name, tensor.array()) for tensor in float_graph.tensors if tensor.data is not None)
    simulation = Simulation(content, file.main, {name: values for name, values in constants if values is not None})
    try:
        with silenced():
            _fit(simulation, teacher, rows, goals, plan)
    except (tf.errors.InvalidArgumentError, ValueError) as error:  # an operator that treats the batch as a size
        return content, f"integers are not learnt: TensorFlow cannot follow the file: {one_line(error, 120)}"
    return written(simulation), None


def _plan(macs: int) -> _Plan | None:
    batch = BATCH
    while batch > 4 and WORK / (batch * max(macs, 1)) < 2 * LEAST_STEPS:
        batch //= 2
    steps = int(min(MOST_STEPS, WORK / (batch * max(macs, 1))))
    return None if steps < LEAST_STEPS else _Plan(batch, steps)


def _kept(samples: Samples) -> dict[str, np.ndarray]:
    """{input: samples in one array}."""
    bytes_each = 4 * sum(int(np.prod(info.sizes(64))) for info in samples.inputs)
    few = samples.spread(max(BATCH, min(MOST_SAMPLES, MOST_BYTES // max(1, bytes_each))))
    batches = [batch.inputs for batch in few.batches(64)]
    return {name: np.concatenate([batch[name] for batch in batches]) for name in batches[0]}


def _fit(
    simulation: Simulation, teacher: ActivationRunner, rows: Mapping[str, np.ndarray], goals: _Goals, plan: _Plan
) -> None:
    variables = simulation.variables()
    optimizers = {
        kind: tf.keras.optimizers.Adam(RATES[kind], beta_2=0.99) for kind, items in variables.items() if items
    }
    for kind, optimizer in optimizers.items():
        optimizer.build(variables[kind])

    @tf.function(autograph=False)
    def step(inputs: list[Tensor], ends: list[Tensor], inner: list[Tensor], share: Tensor) -> Tensor:
        with tf.GradientTape() as tape:
            loss = goals.distance(simulation(inputs), ends, inner)
        gradients = tape.gradient(loss, {kind: variables[kind] for kind in optimizers})
        for kind, optimizer in optimizers.items():
            pairs = zip(gradients[kind], variables[kind], strict=True)
            optimizer.learning_rate.assign(RATES[kind] * share)
            optimizer.apply_gradients([(gradient, item) for gradient, item in pairs if gradient is not None])
        return loss

    by_index = {index: name for name, index in teacher.inputs.items()}
    names = [by_index[index] for index in teacher.graph.inputs]
    with progress("learning integers", plan.steps) as advance:
        for number, batch in enumerate(_batches(rows, plan)):
            teacher.run(batch)
            ends = [tf.constant(teacher.value(aim.float_tensor).copy()) for aim in goals.aims]
            inner = [tf.constant(teacher.value(point.float_tensor).copy()) for point in goals.waypoints]
            share = 0.5 * (1 + np.cos(np.pi * number / plan.steps))
            step([tf.constant(batch[name]) for name in names], ends, inner, tf.constant(share, tf.float32))
            advance(1)


def _batches(rows: Mapping[str, np.ndarray], plan: _Plan) -> Iterator[dict[str, np.ndarray]]:
    """Batches for all steps; part of each is mixed of two samples (Zhang et al. 2018, "mixup"), for more variety."""
    random = np.random.default_rng(0)
    count = len(next(iter(rows.values())))
    size = min(plan.batch, count)
    order: list[int] = []
    for _ in range(plan.steps):
        while len(order) < size:
            order += [int(row) for row in random.permutation(count)]
        chosen, order = order[:size], order[size:]
        other = random.permutation(count)[:size]
        shares = np.where(random.random(size) < MIXED, MIXED_IN * random.random(size), 0.0)
        yield {name: _mixed(values[chosen], values[other], shares) for name, values in rows.items()}


def _mixed(first: np.ndarray, second: np.ndarray, shares: np.ndarray) -> np.ndarray:
    """Part of the second in the first; numbers that are no floats stay the first's."""
    if first.dtype.kind != "f":
        return first
    weights = shares.reshape(-1, *[1] * (first.ndim - 1)).astype(first.dtype)
    return (1 - weights) * first + weights * second
