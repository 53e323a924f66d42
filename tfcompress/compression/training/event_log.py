"""Losses in the event files that TensorBoard reads; written without TensorBoard, which need not be installed.

An event file is a TFRecord file of `Event` messages; the first names the format (tensorflow/core/util/event.proto).
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path

from tfcompress.runtime import tf

__all__ = ["log_scalars"]


def log_scalars(folder: Path, step: int, values: Mapping[str, float]) -> None:
    """Write one event file with a value for each name.

    Args:
        folder: made if missing.
        step: of the values, and in the name of the file; a second call with the same step replaces the first.
        values: {name: value}.
    """
    folder.mkdir(parents=True, exist_ok=True)
    event = tf.compat.v1.Event
    summary = tf.compat.v1.Summary(
        value=[tf.compat.v1.Summary.Value(tag=name, simple_value=value) for name, value in values.items()]
    )
    with tf.io.TFRecordWriter(str(folder / f"events.out.tfevents.{step:06d}")) as writer:
        writer.write(event(wall_time=time.time(), file_version="brain.Event:2").SerializeToString())
        writer.write(event(wall_time=time.time(), step=step, summary=summary).SerializeToString())
