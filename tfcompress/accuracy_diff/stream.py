"""One pass over the data: every batch goes to the reference and to all candidates, a few batches at a time."""

from __future__ import annotations

import functools
import math
import os
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from tfcompress.accuracy_diff.matching import PROOF_SAMPLES, input_names, inputs_for
from tfcompress.accuracy_diff.runners import Runner, answers, in_fixed_batches
from tfcompress.data import Batch, Samples
from tfcompress.remarks import remark

__all__ = ["Answered", "answered_batches", "batch_size_for"]

_Outputs = dict[str, dict[str, np.ndarray]]

MOST_VALUES = 1 << 21  # input values per batch: what an interpreter needs for its activations grows with it
LARGEST_BATCH = 128
MOST_ANSWERS = 1 << 24  # output values per batch, of all models: 64 MB, and a few batches wait at a time


@dataclass(frozen=True)
class Answered:
    """A batch and what every model said to it.

    Attributes:
        batch: the samples.
        outputs: {model: {its own output name: float32 array}}.
    """

    batch: Batch
    outputs: _Outputs


def batch_size_for(data: Samples, runners: Iterable[Runner] = ()) -> int:
    """A power of two that keeps the activations of a batch, and what all models say to it, in bounds."""
    values = sum(math.prod(info.sizes(64)) for info in data.inputs)
    answers = sum(math.prod(info.sizes(64)) for runner in runners for info in runner.outputs)
    allowed = min(LARGEST_BATCH, MOST_VALUES // max(1, values), MOST_ANSWERS // max(1, answers))
    allowed = max(1, min(allowed, data.most_at_once or allowed))
    return 1 << (allowed.bit_length() - 1)


def answered_batches(
    runners: Mapping[str, Runner], data: Samples, *, batch_size: int, done: int = 0, workers: int | None = None
) -> Iterator[Answered]:
    """Batches in order, with the outputs of all runners.

    Args:
        runners: by the names under which the outputs come back; the first is the reference.
        data: read once.
        batch_size: samples per batch.
        done: how many batches an earlier pass has counted: they are left out, but for the first, which always comes.
        workers: threads beside the caller's, which reads the data; 1 means the caller's alone, None one per core.
    """
    names = _input_names(runners, data)
    batches = (batch for number, batch in enumerate(data.batches(batch_size)) if number == 0 or number >= done)
    threads = 1 if data.most_at_once == 1 else workers or os.cpu_count() or 1  # several large samples are too many
    if threads == 1:
        for batch in batches:
            outputs = {
                name: answers(runner, inputs_for(runner, batch.inputs, names[name])) for name, runner in runners.items()
            }
            yield Answered(batch, _by_sample(runners, names, batch, outputs))
        return
    with ThreadPoolExecutor(threads, thread_name_prefix="diff") as pool:
        waiting: deque[tuple[Batch, dict[str, Future[dict[str, np.ndarray]]]]] = deque()

        def finished() -> Answered:
            batch, started = waiting.popleft()
            outputs = {name: future.result() for name, future in started.items()}
            return Answered(batch, _by_sample(runners, names, batch, outputs))

        for batch in batches:
            started = {
                name: pool.submit(answers, runner, inputs_for(runner, batch.inputs, names[name]))
                for name, runner in runners.items()
            }
            waiting.append((batch, started))
            if len(waiting) > threads:
                yield finished()
        while waiting:
            yield finished()


def _by_sample(
    runners: Mapping[str, Runner], names: Mapping[str, Mapping[str, str]], batch: Batch, outputs: _Outputs
) -> _Outputs:
    """The outputs; a model that answers all samples of a batch together is run sample by sample, and that is said.

    Only beside one that has an answer for each sample, as a file for a phone has: such a model's sum over every axis,
    the samples' too, is one over a sample in the file.
    """
    rows = len(next(iter(batch.inputs.values())))
    joint = {name: output for name, values in outputs.items() for output, value in values.items() if len(value) < rows}
    if len(joint) in (0, len(runners)):
        return outputs
    for name, output in joint.items():
        remark(
            f"{runners[name].name}: has fewer rows of output {output!r} than the batch has samples, so that it is run "
            "one sample at a time, as the file is: is a sum or a reshape meant to leave out the first axis?"
        )
    alone = {
        name: in_fixed_batches(
            functools.partial(answers, runners[name]), inputs_for(runners[name], batch.inputs, names[name]), 1
        )
        for name in joint
    }
    return {**outputs, **alone}


def _input_names(runners: Mapping[str, Runner], data: Samples) -> dict[str, dict[str, str]]:
    """{model: {its input: the data's}}, the first of the models being the reference."""
    first = next(data.take(PROOF_SAMPLES).batches(PROOF_SAMPLES)).inputs
    reference = next(iter(runners.values()))
    return {
        name: input_names(runner, first, reference=None if runner is reference else reference, where=data.name)
        for name, runner in runners.items()
    }
