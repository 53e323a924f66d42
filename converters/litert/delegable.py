"""An int8 file for the CPU with its operators in forms that XNNPACK takes, kept where they cost no accuracy."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

from tfcompress.converters.litert.engines import Int8Model
from tfcompress.converters.litert.latency import medians
from tfcompress.converters.litert.quality import lost_db, output_error
from tfcompress.converters.litert.xnnpack import reason_against, reason_for_slowness
from tfcompress.converters.rewriting import PHONE_FILE, Rewrite, rewrite_graph, rows_for
from tfcompress.data import Samples
from tfcompress.graphs.tflite import read_tflite

__all__ = ["ALLOWED_DB", "MOST_OF_TIME", "SHORTEST_MS", "elements_left", "with_delegable_forms"]

ALLOWED_DB = 0.1  # of the outputs' signal-to-noise ratio: what a rewrite may take of it
MOST_OF_TIME = 1.02  # of the time before a rewrite: more than two measurements of one file differ by
QUICKER = 0.97  # of that time, twice: a row that is for time alone has to save more, so that chance does not decide
SHORTEST_MS = 0.02  # of a file: such rows are not tried on what takes less, which nobody waits for
_SECONDS = 0.1  # of measuring one file
_SLOW = 2  # an element of a kernel that is slower than LiteRT's own counts as two of that one


def with_delegable_forms(result: Int8Model, samples: Samples | None, *, except_for: Collection[str] = ()) -> Int8Model:
    """The file with every row for the CPU that saves time here and leaves the outputs as close to the float model's.

    A row is tried where by XNNPACK's rules less is left to slow kernels after it, and kept where the file does not
    take longer in fact; one that is for time alone wherever it fits, and kept where the file is quicker twice.  Its
    note says what it is worth.

    Args:
        result: a quantized model; one without its float file (a quantization-aware one) is judged by the rows' own
            proof alone.
        samples: representative inputs, on which outputs before and after a row are compared with the float model's.
        except_for: names of output tensors whose operators stay as they are.
    """
    content, notes = result.content, list(result.notes)
    error = _error(result, content, samples)
    for row in rows_for(PHONE_FILE):
        changed, lines = _tried(content, row, except_for)
        if changed == content:
            notes += lines
            continue
        changed_error = _error(result, changed, samples)
        lost = lost_db(error, changed_error)
        if lost > ALLOWED_DB:
            notes.append(f"left out: {row.what}: the outputs would lose {lost:.1f} dB")
            continue
        ratio = _time_after(content, changed, times=2 if row.by_time else 1)
        if ratio is not None and ratio > (QUICKER if row.by_time else MOST_OF_TIME):
            notes.append(f"left out: {row.what}: the file would take {ratio:.2f} times as long here")
            continue
        content, error = changed, changed_error
        saved = "" if ratio is None else f": {ratio:.2f} of the time here"
        notes += [f"{line}{saved}" for line in lines]
    return replace(result, content=content, notes=tuple(notes))


def elements_left(content: bytes) -> int:
    """Elements of the main graph's tensors that slow kernels compute, by XNNPACK's rules.

    Those of LiteRT's own, for what XNNPACK does not take, count once; those of XNNPACK's that are slower than these,
    twice.
    """
    graph = read_tflite(content).main
    weights = (
        (operator, 1 if reason_against(operator, graph) else _SLOW if reason_for_slowness(operator, graph) else 0)
        for operator in graph.operators
    )
    return sum(weight * graph.tensors[index].elements for operator, weight in weights for index in operator.outputs)


def _tried(content: bytes, row: Rewrite, except_for: Collection[str]) -> tuple[bytes, tuple[str, ...]]:
    """The file after one row, or as it was where no less would be left to slow kernels; and lines about it."""
    if row.by_time and _takes_no_time(content):
        return content, ()
    done = rewrite_graph(content, (row,), except_for=except_for)
    pays = done.content != content and (row.by_time or elements_left(done.content) < elements_left(content))
    return (done.content, done.notes()) if pays else (content, tuple(item.note() for item in done.dropped))


def _takes_no_time(content: bytes) -> bool:
    (time,) = medians([content], seconds=_SECONDS)
    return time is not None and time < SHORTEST_MS


def _time_after(before: bytes, after: bytes, *, times: int) -> float | None:
    """The time of one file over the other's, the largest of some measurements; None where LiteRT cannot run one."""
    ratios = []
    for _ in range(times):
        old, new = medians([before, after], seconds=_SECONDS)
        if old is None or new is None:
            return None
        ratios.append(new / old)
    return max(ratios)


def _error(result: Int8Model, content: bytes, samples: Samples | None) -> float:
    """Of the outputs; 0 where there is nothing to compare them with."""
    if result.float_content is None or samples is None:
        return 0.0
    return output_error(result.float_content, content, samples)
