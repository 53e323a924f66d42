"""Outputs that are values rather than answers: regression, autoencoders, embeddings."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tfcompress.accuracy_diff.additive import Statistics
from tfcompress.accuracy_diff.labels import check_values, is_binary
from tfcompress.accuracy_diff.score_table import ScoreTable
from tfcompress.accuracy_diff.tasks.base import Metrics, ratio
from tfcompress.errors import DataError

__all__ = ["Autoencoder", "Embedding", "Regression"]


class _Values:
    """A task without discrete answers."""

    def answers(self, outputs: np.ndarray) -> None:
        """None: values are not answers."""
        return

    def confidence(self, outputs: np.ndarray) -> None:
        """None: values are not answers."""
        return


@dataclass(frozen=True)
class Regression(_Values):
    """Mean absolute error, root mean square error and R2, over all values of the output."""

    name: str = "regression"
    score: str = "r2"

    def truth(self, labels: np.ndarray, where: str) -> np.ndarray:
        """Float values (samples, values); see `Task.truth`."""
        if labels.dtype.kind not in "biuf":
            raise DataError(f"{where}: labels are {labels.dtype}, expected numbers for a regression")
        return labels.reshape(len(labels), -1).astype(np.float64)

    def statistics(self, outputs: np.ndarray, truth: np.ndarray | None, inputs: np.ndarray) -> Statistics:
        """See `Task.statistics`."""
        if truth is None:
            return {"samples": np.int64(len(outputs))}
        values = outputs.reshape(len(outputs), -1)
        check_values(truth, values)
        return _error_sums(values.astype(np.float64), truth)

    def metrics(self, total: Statistics) -> Metrics:
        """See `Task.metrics`."""
        if "absolute" not in total:
            return {"r2": None}
        count = int(total["values"])
        mean_square = ratio(total["squared"], count)
        return {
            "r2": _r2(total),
            "mae": ratio(total["absolute"], count),
            "rmse": None if mean_square is None else mean_square**0.5,
        }


@dataclass(frozen=True)
class Autoencoder(_Values):
    """Reconstruction of the input, or of what the labels say that it should be, as a denoiser is trained.

    With labels 0 (normal) and 1 (anomaly) also the AUC of the error as a score.
    """

    labelled: bool = False
    name: str = "autoencoder"

    @property
    def score(self) -> str:
        """`auc` with labels, otherwise the share of the input's variance that is reconstructed."""
        return "auc" if self.labelled else "r2"

    def truth(self, labels: np.ndarray, where: str) -> np.ndarray:
        """0 or 1, (samples,), or what is to be made of the inputs; see `Task.truth`."""
        if labels.size != len(labels) and labels.dtype.kind in "biuf":
            return labels.astype(np.float64)
        if not is_binary(labels) or labels.size != len(labels):
            raise DataError(f"{where}: expected one label a sample for an autoencoder, 0 (normal) or 1 (anomaly)")
        return labels.reshape(-1).astype(np.int64)

    def statistics(self, outputs: np.ndarray, truth: np.ndarray | None, inputs: np.ndarray) -> Statistics:
        """See `Task.statistics`."""
        values = outputs.reshape(len(outputs), -1).astype(np.float64)
        given = truth is not None and truth.size != len(truth)
        wanted = (truth if truth is not None and given else inputs).reshape(len(inputs), -1).astype(np.float64)
        if wanted.shape != values.shape:
            raise DataError(
                f"labels have {wanted.shape[1]} values per sample, the autoencoder's output has {values.shape[1]}"
            )
        sums = _error_sums(values, wanted)
        if truth is None or given:
            return sums
        return {**sums, "scores": ScoreTable.of(np.square(values - wanted).mean(axis=1), truth)}

    def metrics(self, total: Statistics) -> Metrics:
        """See `Task.metrics`."""
        figures: Metrics = {"auc": total["scores"].auc()} if "scores" in total else {}
        return {**figures, "reconstruction_mse": ratio(total["squared"], total["values"]), "r2": _r2(total)}


@dataclass(frozen=True)
class Embedding(_Values):
    """A vector a sample: judged by its direction against the reference's, so it needs no labels."""

    name: str = "embedding"
    score: str = "cosine"

    def truth(self, labels: np.ndarray, where: str) -> np.ndarray:
        """Not used: an embedding is compared with the reference's."""
        return labels

    def statistics(self, outputs: np.ndarray, truth: np.ndarray | None, inputs: np.ndarray) -> Statistics:
        """See `Task.statistics`."""
        return {"samples": np.int64(len(outputs))}

    def metrics(self, total: Statistics) -> Metrics:
        """None on its own; the pair's cosine and retrieval agreement are in the diff."""
        return {}


def _error_sums(values: np.ndarray, wanted: np.ndarray) -> dict[str, object]:
    """Sums over the finite values of a batch."""
    usable = np.isfinite(values)
    error = np.where(usable, values - wanted, 0.0)
    return {
        "samples": np.int64(len(values)),
        "values": np.int64(usable.sum()),
        "absolute": np.abs(error).sum(),
        "squared": np.square(error).sum(),
        "wanted_count": np.int64(len(wanted)),
        "wanted_sum": wanted.sum(axis=0),
        "wanted_square": np.square(wanted).sum(axis=0),
    }


def _r2(total: Statistics) -> float | None:
    """1 - residual / total sum of squares, the totals taken about each value's own mean; None for constant labels."""
    spread = (total["wanted_square"] - np.square(total["wanted_sum"]) / total["wanted_count"]).sum()
    scale = max(float(np.sum(total["wanted_square"])), 1e-30)
    return None if spread <= 1e-12 * scale else 1 - float(total["squared"]) / float(spread)
