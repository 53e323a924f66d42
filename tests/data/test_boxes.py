"""Folders of images with boxes: COCO's JSON, or a text file for each image."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tfcompress.data import open_data
from tfcompress.errors import DataError
from tfcompress.runtime import tf
from tfcompress.tensor_info import TensorInfo

INPUTS = (TensorInfo("x", (None, 20, 20, 3), "float32"),)
OUTPUTS = (TensorInfo("boxes", (None, 10, 6), "float32"),)
SHARES = 1e-3  # of a pixel: float32


def write_image(path: Path, height: int, width: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(tf.io.encode_png(np.zeros((height, width, 3), np.uint8)).numpy())


def coco(folder: Path, **changes: Any) -> Path:
    """One image 40 high and 20 wide with two boxes, and one 20 by 20 without any."""
    write_image(folder / "images/a.png", 40, 20)
    write_image(folder / "images/b.png", 20, 20)
    content = {
        "images": [{"id": 7, "file_name": "a.png"}, {"id": 8, "file_name": "b.png"}],
        "categories": [{"id": 3, "name": "dog"}, {"id": 1, "name": "cat"}],
        "annotations": [
            {"image_id": 7, "category_id": 3, "bbox": [2, 4, 10, 20], "iscrowd": 0},
            {"image_id": 7, "category_id": 1, "bbox": [0, 0, 20, 40], "iscrowd": 1},
        ],
    }
    (folder / "instances.json").write_text(json.dumps({**content, **changes}))
    return folder


def labels_of(folder: Path, **how: Any) -> tuple[np.ndarray, tuple[str, ...]]:
    samples = open_data(folder, INPUTS, OUTPUTS, **how)
    (batch,) = samples.batches(8)
    (labels,) = batch.labels.values()
    return labels, samples.class_names


@pytest.mark.parametrize(
    ("resize", "first", "whole"),
    [
        ("stretch", [2, 2, 12, 12], [0, 0, 20, 20]),
        ("pad", [5 + 1, 2, 5 + 6, 12], [5, 0, 15, 20]),
        ("crop", [2, 0, 12, 14], [0, 0, 20, 20]),
    ],
)
def test_coco_boxes_follow_the_image_to_its_new_size(
    resize: str, first: list[int], whole: list[int], tmp_path: Path
) -> None:
    labels, names = labels_of(coco(tmp_path), resize=resize)
    assert names == ("cat", "dog")
    np.testing.assert_array_equal(labels[0], [[*first, 1, 0], [*whole, 0, 1]])
    assert (labels[1, :, 4] == -1).all()


def test_classes_can_be_in_the_models_own_order(tmp_path: Path) -> None:
    labels, names = labels_of(coco(tmp_path), resize="stretch", labels=["dog", "bird", "cat"])
    assert names == ("dog", "bird", "cat")
    assert labels[0, :, 4].tolist() == [0, 2]


@pytest.mark.parametrize("beside", [True, False])
def test_text_files_hold_shares_of_the_image(beside: bool, tmp_path: Path) -> None:
    write_image(tmp_path / "images/a.png", 20, 20)
    write_image(tmp_path / "images/b.png", 20, 20)
    texts = tmp_path / ("images" if beside else "labels")
    texts.mkdir(exist_ok=True)
    (texts / "a.txt").write_text("1 0.5 0.25 0.2 0.1\n0 0.5 0.5 1 1\n")
    (tmp_path / "classes.txt").write_text("cat\ndog\n")
    labels, names = labels_of(tmp_path)
    assert names == ("cat", "dog")
    np.testing.assert_allclose(labels[0], [[8, 4, 12, 6, 1, 0], [0, 0, 20, 20, 0, 0]], atol=SHARES)
    assert np.abs(labels[0, 0, 0] - 8.01) > SHARES
    assert (labels[1, :, 4] == -1).all()


WRONG: Mapping[str, tuple[dict[str, Any], str]] = {
    "no categories": ({"categories": None}, "expected COCO's images"),
    "an unknown image": ({"annotations": [{"image_id": 1, "category_id": 1, "bbox": [0, 0, 1, 1]}]}, "KeyError"),
    "a box of three numbers": ({"annotations": [{"image_id": 7, "category_id": 1, "bbox": [0, 0, 1]}]}, "ValueError"),
    "infinite": ({"annotations": [{"image_id": 7, "category_id": 1, "bbox": [0, 0, 1, float("inf")]}]}, "finite"),
    "other images": ({"images": [{"id": 7, "file_name": "z.png"}], "annotations": []}, "none of its images"),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_annotation_file_is_one_line(case: str, tmp_path: Path) -> None:
    changes, message = WRONG[case]
    with pytest.raises(DataError, match=message) as caught:
        labels_of(coco(tmp_path, **changes), resize="stretch")
    assert "\n" not in str(caught.value)


def test_a_wrong_line_of_a_text_file_is_named(tmp_path: Path) -> None:
    write_image(tmp_path / "a.png", 20, 20)
    for line, message in (("dog 1 2 3 4", "class x y width height"), ("0 12 5 3 3", "between 0 and 1")):
        (tmp_path / "a.txt").write_text(line)
        with pytest.raises(DataError, match=message):
            labels_of(tmp_path)


def test_class_folders_with_a_json_beside_are_class_folders(tmp_path: Path) -> None:
    for name in ("cat/a.png", "dog/b.png"):
        write_image(tmp_path / name, 20, 20)
    (tmp_path / "about.json").write_text("{}")
    labels, names = labels_of(tmp_path)
    assert names == ("cat", "dog")
    assert labels.tolist() == [0, 1]
