"""A report with something of everything, and ways to change it."""

from __future__ import annotations

from typing import Any

from tfcompress.report import Report

PIXEL = "data:image/png;base64,iVBORw0KGgo="
DIFF = {
    "metric": "accuracy",
    "accuracy_drop": 0.0123,
    "accuracy_drop_ci95": [0.004, 0.021],
    "top1_agreement": 0.95,
    "sqnr_db": 21.5,
    "max_abs_error": 0.4,
    "p_value": 0.03,
}
LAYER = {"layer": "conv<1>", "type": "Conv2D", "sqnr_db": 12.0, "own_sqnr_db": 30.0, "range_used": 0.5}
CAUSE = {"cause": "range_too_narrow", "layer": "conv<1>", "text": "clips", "repair": "--estimator=min_max"}
OPERATOR = {"index": 3, "op": "CUSTOM", "mapped": False, "reason": "why", "keras_layer": "l", "fix": "do"}
GATE = {"verdict": "failed", "reason": "accuracy drop 0.0123 is over the limit", "max_accuracy_drop": 0.01}
PLAIN: dict[str, Any] = {
    "schema_version": 2,
    "model": {"name": "<b>net</b>", "sha256": "ab" * 32, "parameters": 1000, "macs": 5, "float_bytes": 4000},
    "reference": {"metrics": {"accuracy": 0.75, "accuracy[cat]": 0.5}, "samples": 500, "task": "classification"},
    "gate": {"max_accuracy_drop": 0.01},
    "recipe": {"pruning": {"sparsity": 0.5}},
    "compression": {
        "stages": ["pruning"],
        "steps": ["pruned to 50 % zeros (2 of 4, constant)", "Cloud TPU: bfloat16, 2 bytes per weight instead of 4"],
        "notes": ["not pruned: conv_1"],
    },
    "targets": {
        "phone": {
            "status": "gate_failed",
            "title": "Phone",
            "reason": "accuracy drop 0.0123 is over the limit",
            "bytes": 1200,
            "files": ["phone/model.tflite"],
            "weights": {"count": 1000, "sparsity": 0.495, "clusters": 223, "gzip_bytes": 900},
            "metrics": {"accuracy": 0.74},
            "latency_ms": {"median": 1.5, "p90": 1.7},
            "diff": DIFF,
            "gate": GATE,
            "layers": [LAYER],
            "causes": [CAUSE],
            "flipped": {
                "total": 2,
                "samples": [
                    {"index": 7, "label": 1, "reference": 1, "candidate": 0, "reference_confidence": 0.9,
                     "candidate_confidence": 0.8, "picture": PIXEL},
                    {"index": 8, "label": 1, "reference": 1, "candidate": 0, "reference_confidence": 0.9,
                     "candidate_confidence": 0.8, "picture": None},
                ],
            },
            "notes": ["engine: litert"],
            "operator_times": [
                {"tensor": "a", "operator": "CONV_2D", "layer": "conv<1>", "int8_ms": 0.25, "float_ms": 0.5},
                {"tensor": "b", "operator": "PRELU", "layer": "bend", "int8_ms": 0.75, "float_ms": 0.125,
                 "reason": "it has no PRELU of int8"},
            ],
        },
        "edgetpu": {
            "status": "undecided",
            "title": "Edge TPU",
            "reason": "accuracy drop 0.0020 does not prove a limit of 0.01",
            "bytes": 1300,
            "latency_ms": {"median": 0.123, "p90": 0.2},
            "mapping_svg": "<svg xmlns='http://www.w3.org/2000/svg'><script>alert(1)</script></svg>",
            "mapping": {
                "mapped_ops": 3, "cpu_ops": 1, "subgraphs": 1, "on_chip_bytes": 9, "off_chip_bytes": 0,
                "latency_ms": {"estimate": 2.5, "low": 2.0, "high": 4.0},
                "ops": [OPERATOR],
            },
        },
        "cloud_tpu": {
            "status": "ok",
            "title": "Cloud TPU",
            "bytes": 4100,
            "compile": [
                {
                    "topology": "v5e:2x2", "ok": True, "hbm_bytes": 10, "optimal_seconds": 1e-5, "batch_size": 8,
                    "time_share": {"reduction": 0.6, "matrix unit": 0.3}, "padding_waste": 0.68,
                    "advice": ["channels 32 is padded to 128"],
                },
                {"topology": "v4:2x2x1", "ok": False, "error": "out of memory"},
            ],
        },
    },
}  # fmt: skip


def report(**changes: Any) -> Report:
    """The sample with some keys of its top level changed."""
    return Report.from_plain({**PLAIN, **changes})


def with_targets(**targets: dict[str, Any]) -> Report:
    """The sample with these targets instead of its own."""
    return report(targets=targets)


def changed(target: str, **changes: Any) -> Report:
    """The sample with some keys of one target changed."""
    return report(targets={**PLAIN["targets"], target: {**PLAIN["targets"][target], **changes}})
