"""The report for the tools that people look at models with: TensorBoard and Model Explorer."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from tfcompress.report.schema import Compared, DiffReport, Report

__all__ = ["flat_figures", "node_data", "write_model_explorer", "write_tensorboard"]

FIGURES = ("sqnr_db", "own_sqnr_db", "saturation")
MAIN_GRAPH = "main"


def node_data(section: Compared) -> dict[str, dict[str, Any]]:
    """Per-layer figures of an artifact for Model Explorer, to be laid over the `.tflite`'s graph.

    Model Explorer reads one figure from a file: ``{graph: {"results": {output tensor: {"value"}}, "gradient"}}``, where
    the main graph of a `.tflite` is called ``main`` (model-explorer, node_data_builder.py, and its reader of these
    files, which asks for ``results`` one level down).

    Args:
        section: of the artifact.

    Returns:
        {figure: content of a file}; empty where no layer has a tensor of a `.tflite`.
    """
    tables = {}
    for key in FIGURES:
        rows = [(row.tensor_name, getattr(row, key)) for row in section.layers]
        results = {name: {"value": value} for name, value in rows if name is not None and value is not None}
        if results:
            tables[key] = {MAIN_GRAPH: {"results": results, "gradient": _gradient(key)}}
    return tables


def _gradient(key: str) -> list[dict[str, object]]:
    """Colours from the smallest value of a figure to the largest."""
    colours = ["#b3261e", "#e3a440", "#1d7f4e"]
    ordered = colours if key.endswith("sqnr_db") else colours[::-1]
    return [{"stop": stop, "bgColor": colour} for stop, colour in zip((0, 0.5, 1), ordered, strict=True)]


def write_model_explorer(report: Report | DiffReport, path: str | Path) -> tuple[Path, ...]:
    """Write the files for Model Explorer: the SQNR of the first artifact as `path`, all else beside it.

    Args:
        report: of a conversion or of a diff.
        path: such as ``layers.json``; a further figure becomes ``layers.edgetpu.saturation.json``.

    Returns:
        The files written; none where no artifact is a `.tflite` whose layers were compared.

    Raises:
        OSError: one cannot be written.
    """
    first = Path(path)
    written: list[Path] = []
    for name, section in report.asked.items():
        for key, content in node_data(section).items():
            file = first.with_name(f"{first.stem}.{name}.{key}{first.suffix}") if written else first
            file.write_text(json.dumps(content, indent=1, allow_nan=False) + "\n", encoding="utf-8")
            written.append(file)
    return tuple(written)


def write_tensorboard(report: Report | DiffReport, folder: str | Path) -> None:
    """Scalars of every target as TensorBoard summaries: the metrics, the diff, and each layer's SQNR by its position.

    Args:
        report: of a conversion or of a diff.
        folder: log directory; a run a target, and `float` for the reference.
    """
    from tfcompress.runtime import tf  # a page is rendered without TensorFlow

    # tf.summary.scalar would need TensorBoard installed; the summary that it writes does not.
    kind = tf.compat.v1.SummaryMetadata(plugin_data={"plugin_name": "scalars"})
    runs = {"float": list(_group("metrics", report.reference.metrics))}
    runs |= {name: list(_scalars(section)) for name, section in report.asked.items()}
    for run, scalars in runs.items():
        with tf.summary.create_file_writer(str(Path(folder) / run)).as_default():
            for tag, value, step in scalars:
                tf.summary.write(tag, tf.constant(value, tf.float32), step=step, metadata=kind)


def flat_figures(report: Report | DiffReport) -> dict[str, float]:
    """{``target/figure``: value} of the metrics, the diff and the bytes, for a tracker of experiments.

    Figures of single classes are left out: MLflow allows no brackets in a name.
    """
    flat = {f"float/{key}": value for key, value, _ in _group("metrics", report.reference.metrics)}
    for name, section in report.asked.items():
        flat |= {f"{name}/{key}": value for key, value, _ in _scalars(section) if not key.startswith("layers/")}
        flat |= {f"{name}/{key}": value for key, value, _ in _group("file", {"bytes": section.bytes})}
    return {name: value for name, value in flat.items() if "[" not in name}


def _scalars(section: Compared) -> Iterator[tuple[str, float, int]]:
    """(tag, value, step) of everything in a section that is a number."""
    yield from _group("metrics", section.metrics)
    yield from _group(
        "diff", {item.name: getattr(section.diff, item.name) for item in dataclasses.fields(section.diff)}
    )
    for position, row in enumerate(section.layers):
        for key, value in (("sqnr_db", row.sqnr_db), ("own_sqnr_db", row.own_sqnr_db)):
            if value is not None:
                yield f"layers/{key}", value, position


def _group(group: str, values: Mapping[str, object]) -> Iterator[tuple[str, float, int]]:
    for key, value in values.items():
        if isinstance(value, int | float) and not isinstance(value, bool):
            yield f"{group}/{key}", float(value), 0
