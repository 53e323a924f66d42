"""The main job on pretrained models and real data."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tfcompress
from tests.conftest import CommandLine


def convert_resnet8(run: CommandLine, shared: Path, *flags: str) -> dict[str, Any]:
    data = shared / "data/cifar10_jpeg"
    done = run(
        "convert",
        shared / "models/mlperf_ic_resnet8/pretrainedResnet.h5",
        f"--calibration={data / 'train10000.zip'}",
        f"--evaluation={data / 'test_dev5000.zip'}",
        "--output=out",
        "--json",
        *flags,
    )
    assert done.returncode == 0, done.stderr
    report: dict[str, Any] = json.loads(done.stdout)
    return report


def check_resnet8(report: dict[str, Any]) -> None:
    assert report["reference"]["samples"] == 5000
    assert report["reference"]["metrics"]["accuracy"] == pytest.approx(0.7488, abs=1e-9)
    for name, limit in [("phone", 0.005), ("edgetpu", 0.005), ("cloud_tpu", 0.002)]:
        target = report["targets"][name]
        assert target["status"] in ("ok", "undecided")
        assert target["diff"]["accuracy_drop"] <= limit
    assert report["targets"]["phone"]["fully_integer"]
    assert report["targets"]["edgetpu"]["fully_integer"]


def test_resnet8_keeps_its_accuracy_on_all_three_targets(tfcompress_command: CommandLine, shared: Path) -> None:
    check_resnet8(convert_resnet8(tfcompress_command, shared, "--batch_sizes=8", "--topologies=v5e:2x2"))


@pytest.mark.slow
def test_resnet8_compiles_for_four_tpu_generations(tfcompress_command: CommandLine, shared: Path) -> None:
    report = convert_resnet8(tfcompress_command, shared)
    check_resnet8(report)
    rows = report["targets"]["cloud_tpu"]["compile"]
    assert {row["topology"].split(":")[0] for row in rows} == {"v4", "v5e", "v5p", "v6e"}
    for row in rows:
        assert row["ok"]
        assert min(row["hbm_bytes"], row["flops"], row["bytes_accessed"]) > 0


UNLABELLED = [
    ("mlperf_vww_mobilenetv1_025/vww_96.h5", 0.95),
    ("mltk_kws_mobilenetv2/keyword_spotting_mobilenetv2.h5", 0.9),
    ("mltk_image_example1/image_example1.h5", 0.9),
    ("mltk_audio_example1/audio_example1.h5", 0.9),
]


@pytest.mark.slow
@pytest.mark.parametrize(("file", "agreement"), UNLABELLED)
def test_models_without_labels_are_compared_by_agreement(
    file: str, agreement: float, shared: Path, tmp_path: Path
) -> None:
    path = shared / "models" / file
    shape = tfcompress.load_model(path).inputs[0].sizes()
    with gzip.open(shared / "data/mnist/t10k-images-idx3-ubyte.gz") as stream:
        images = np.frombuffer(stream.read(), np.uint8, offset=16).reshape(-1, 28, 28)[:256] / np.float32(255)
    x = np.stack([np.resize(np.kron(image, np.ones((4, 4))), shape) for image in images]).astype(np.float32)
    result = tfcompress.convert(path, calibration=x[:128], evaluation=x[128:], output=tmp_path / "out")
    assert result.report["reference"]["metrics"]["accuracy"] is None
    for target in result.report["targets"].values():
        assert target["status"] in ("ok", "undecided")
        assert target["diff"]["accuracy_drop"] is None
        assert target["diff"]["top1_agreement"] >= agreement
        assert target["diff"]["sqnr_db"] > 10


@pytest.mark.slow
def test_the_demo_loses_at_most_one_point_on_every_target(tfcompress_command: CommandLine, tmp_path: Path) -> None:
    done = tfcompress_command("demo", "--json")
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    for target in report["targets"].values():
        assert target["status"] in ("ok", "undecided")
        assert target["diff"]["accuracy_drop"] <= 0.01
    assert {row["topology"] for row in report["targets"]["cloud_tpu"]["compile"]} == {"v5e:2x2", "v6e:1x1"}
    assert tfcompress.verify(tmp_path / "demo_output") == []
