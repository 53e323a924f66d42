"""The report for the tools that people look at models with: TensorBoard and Model Explorer."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

__all__ = ["node_data", "write_tensorboard"]


def node_data(section: Mapping[str, Any], name: str = "tfcompress") -> dict[str, Any]:
    """Per-layer figures of a target for Model Explorer, to be laid over the `.tflite`'s graph.

    Model Explorer, "Custom node data": {graph: {"results": {node or output tensor: {"value"}}, "thresholds"}}.

    Args:
        section: the target's part of report.json.
        name: of the graph in Model Explorer.
    """
    tables = {}
    for key in ("sqnr_db", "own_sqnr_db", "saturation"):
        rows = [row for row in section.get("layers") or () if row.get(key) is not None]
        if rows:
            results = {str(row.get("tensor_name") or row["layer"]): {"value": row[key]} for row in rows}
            tables[key] = {"results": results, "gradient": _gradient(key)}
    return {f"{name} {key}": {name: table} for key, table in tables.items()}


def _gradient(key: str) -> list[dict[str, Any]]:
    colours = ["#b3261e", "#e3a440", "#1d7f4e"]
    ordered = colours if key.endswith("sqnr_db") else colours[::-1]
    return [{"stop": stop, "bgColor": colour} for stop, colour in zip((0, 0.5, 1), ordered, strict=True)]


def write_tensorboard(report: Mapping[str, Any], folder: str | Path) -> None:
    """Scalars of every target as TensorBoard summaries: the metrics, the diff, and each layer's SQNR by its position.

    Args:
        report: the content of report.json.
        folder: log directory; a run a target, and `float` for the reference.
    """
    from tfcompress.runtime import tf  # a page is rendered without TensorFlow

    # tf.summary.scalar would need TensorBoard installed; the summary that it writes does not.
    kind = tf.compat.v1.SummaryMetadata(plugin_data={"plugin_name": "scalars"})
    reference = (report.get("reference") or {}).get("metrics") or {}
    runs = {"float": {"metrics": reference}, **(report.get("targets") or {})}
    for run, section in runs.items():
        with tf.summary.create_file_writer(str(Path(folder) / run)).as_default():
            for tag, value, step in _scalars(section):
                tf.summary.write(tag, tf.constant(value, tf.float32), step=step, metadata=kind)


def _scalars(section: Mapping[str, Any]) -> Iterator[tuple[str, float, int]]:
    """(tag, value, step) of everything in a section that is a number."""
    for group in ("metrics", "diff"):
        for key, value in (section.get(group) or {}).items():
            if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
                yield f"{group}/{key}", float(value), 0
    for position, row in enumerate(section.get("layers") or ()):
        for key in ("sqnr_db", "own_sqnr_db"):
            if row.get(key) is not None:
                yield f"layers/{key}", float(row[key]), position
