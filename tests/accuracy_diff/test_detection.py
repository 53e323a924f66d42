"""Detection as a task: COCO's precision, decoding, what was lost, and the gate; keypoints beside it."""

import contextlib
import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from keras import layers, ops

import tfcompress
from tests.accuracy_diff.models import rows, table_runner
from tfcompress.accuracy_diff import compare
from tfcompress.accuracy_diff.additive import added, as_tree, from_tree
from tfcompress.accuracy_diff.detection import Detection, decoder_of
from tfcompress.accuracy_diff.detection.boxes import MOST_DETECTIONS, as_tables, overlaps, suppressed
from tfcompress.accuracy_diff.detection.drawing import with_boxes
from tfcompress.accuracy_diff.detection.pairs import paired
from tfcompress.errors import DataError, InputError, RecipeError
from tfcompress.remarks import remarks

cocoeval = pytest.importorskip("pycocotools.cocoeval")
SAME = 1e-9
IMAGES, CLASSES = 24, 3


def scene(seed: int, images: int = IMAGES) -> tuple[np.ndarray, np.ndarray]:
    """(detections [images, n, 6], true boxes [images, m, 6]) that are partly right, with crowds and empty rows."""
    random = np.random.default_rng(seed)
    corners = random.uniform(0, 60, (images, 6, 2))
    boxes = np.concatenate([corners, corners + random.uniform(6, 30, (images, 6, 2))], axis=-1)
    kinds = random.integers(0, CLASSES, (images, 6, 1)).astype(float)
    truth = np.concatenate([boxes, kinds, random.random((images, 6, 1)) < 0.1], axis=-1)
    truth[random.random((images, 6)) < 0.3, 4] = -1
    moved = boxes + random.normal(0, 2.5, boxes.shape)
    guessed = np.where(random.random(kinds.shape) < 0.15, (kinds + 1) % CLASSES, kinds)
    scores = random.random((images, 6, 1)).round(2)
    return np.concatenate([moved, scores, guessed], axis=-1), truth


def by_coco(detections: np.ndarray, truth: np.ndarray) -> list[float]:
    """AP, AP50 and AP75 from COCOeval's own `accumulate` and `summarize`."""
    from pycocotools.coco import COCO  # type: ignore[import-untyped]

    def rows_of(table: np.ndarray, kind: int) -> list[dict[str, Any]]:
        listed: list[dict[str, Any]] = []
        for image, boxes in enumerate(table):
            for row in boxes[boxes[:, kind] >= 0]:
                size = [max(row[2] - row[0], 0), max(row[3] - row[1], 0)]
                item = {"image_id": image, "category_id": int(row[kind]), "bbox": [row[0], row[1], *size]}
                further = {"iscrowd": int(row[5])} if kind == 4 else {"score": row[4], "iscrowd": 0}
                listed.append({**item, "area": size[0] * size[1], **further, "id": len(listed) + 1})
        return listed

    with contextlib.redirect_stdout(io.StringIO()):
        cocos = [COCO(), COCO()]
        for coco, listed in zip(cocos, (rows_of(truth, 4), rows_of(detections, 5)), strict=True):
            dataset = {
                "images": [{"id": image} for image in range(len(truth))],
                "annotations": listed,
                "categories": [{"id": kind} for kind in range(CLASSES)],
            }
            coco.dataset = dataset  # pyright: ignore[reportAttributeAccessIssue]  # as COCO itself fills it
            coco.createIndex()
        run = cocoeval.COCOeval(*cocos, "bbox")
        run.evaluate()
        run.accumulate()
        run.summarize()
    return [float(value) for value in run.stats[:3]]


@pytest.mark.parametrize("seed", range(4))
def test_mean_average_precision_is_that_of_cocos_own_code(seed: int) -> None:
    detections, truth = scene(seed)
    task = Detection()
    figures = task.metrics(task.statistics(detections, truth, detections))
    assert [figures["map"], figures["map50"], figures["map75"]] == pytest.approx(by_coco(detections, truth), abs=SAME)
    worse = task.metrics(task.statistics(scene(seed + 1)[0], truth, detections))
    assert worse["map"] != pytest.approx(figures["map"], abs=SAME)


def test_batches_add_up_to_the_whole_and_survive_being_kept() -> None:
    detections, truth = scene(7)
    task = Detection()
    parts = [task.statistics(detections[i : i + 5], truth[i : i + 5], truth) for i in range(0, IMAGES, 5)]
    whole = parts[0]
    for part in parts[1:]:
        whole = from_tree(as_tree(added(whole, part)))
    assert task.metrics(whole) == task.metrics(task.statistics(detections, truth, truth))


def test_an_image_that_counts_twice_is_as_two_of_it() -> None:
    detections, truth = scene(3, 6)
    task, weights = Detection(), np.array([2, 1, 1, 1, 1, 0])
    chosen = [0, 0, 1, 2, 3, 4]
    table = task.statistics(detections, truth, truth)["detections"]
    twice = task.statistics(detections[chosen], truth[chosen], truth)["detections"]
    assert table.average_precision(weights) == pytest.approx(twice.average_precision(), abs=SAME)


def test_suppression_keeps_the_best_of_a_class_and_boxes_of_others() -> None:
    boxes = np.array([[0, 0, 10, 10], [0, 0, 10, 9], [40, 40, 50, 50]], float)
    scores = np.array([[0.9, 0.0], [0.8, 0.7], [0.3, 0.0]])
    table = suppressed(boxes, scores, least_score=0.1, most_overlap=0.5)
    assert table[:, 4].tolist() == pytest.approx([0.9, 0.7, 0.3])
    assert table[:, 5].tolist() == [0, 1, 0]
    assert overlaps(boxes[:1], boxes[1:]).tolist() == [[pytest.approx(0.9), 0.0]]


def test_usual_heads_are_decoded() -> None:
    centres = np.array([[[20, 30, 10, 20, 0.9, 0.0]]], np.float32)  # x, y, width, height and two scores
    wanted = [15, 20, 25, 40]
    many = np.concatenate([centres, np.zeros((1, 8, 6), np.float32)], axis=1)
    corners = np.concatenate([np.array(wanted, np.float32)[None, None], centres[..., 4:]], axis=-1)
    rows_and_columns = {"rows": many, "columns": many.transpose(0, 2, 1)}
    tables = [decoder_of("yolo")({"out": table}) for table in rows_and_columns.values()]
    tables.append(decoder_of("boxes_and_scores")({"boxes": corners[..., :4], "scores": corners[..., 4:]}))
    tables.append(decoder_of("boxes_and_scores")({"out": corners}))
    sure = np.concatenate([many[..., :4], np.ones((1, 9, 1), np.float32), many[..., 4:]], axis=-1)
    tables.append(decoder_of("yolo_with_objectness")({"out": sure}))
    post = {"boxes": corners[..., [1, 0, 3, 2]], "classes": np.zeros((1, 1)), "scores": np.full((1, 1), 0.9)}
    tables.append(decoder_of("postprocessed")({**post, "count": np.ones(1)}))
    for table in tables:
        assert table.shape == (1, MOST_DETECTIONS, 6)
        assert table[0, 0].tolist() == pytest.approx([*wanted, 0.9, 0])
        assert (table[0, 1:, 5] == -1).all()


def heads(detections: np.ndarray) -> dict[str, np.ndarray]:
    """{decoding: one output of rows that it makes the detections of, with the scores of `CLASSES` classes}."""
    detections = np.pad(detections, [(0, 0), (0, 12), (0, 0)])  # more rows than columns, as detectors have
    corners, classes = detections[..., :4], detections[..., 5].astype(int)
    scores = np.where(np.arange(CLASSES) == classes[..., None], detections[..., 4:5], 0)
    sizes = corners[..., 2:] - corners[..., :2]
    centred = np.concatenate([corners[..., :2] + sizes / 2, sizes], axis=-1)
    ones = np.ones_like(scores[..., :1])
    return {
        "boxes_and_scores": np.concatenate([corners, scores], axis=-1),
        "yolo": np.concatenate([centred, scores], axis=-1),
        "yolo_with_objectness": np.concatenate([centred, ones, scores], axis=-1),
    }


@pytest.mark.parametrize("task", ["detection", None])
@pytest.mark.parametrize("head", ["boxes_and_scores", "yolo", "yolo_with_objectness"])
def test_the_head_of_a_detector_and_the_task_are_found(head: str, task: str | None) -> None:
    detections, truth = (table.astype(np.float32) for table in scene(13))
    table = heads(detections)[head].astype(np.float32)
    runners = [table_runner(name, table) for name in ("float", "int8")]
    with remarks() as said:
        judged_by_itself = compare(runners[0], {"it": runners[1]}, rows(IMAGES, truth), task=task)
    assert any(f"--task=detection --decode={head}, with which" in line for line in said)
    asked = compare(runners[0], {"it": runners[1]}, rows(IMAGES, truth), task="detection", decode=head)
    assert judged_by_itself.reference.metrics == asked.reference.metrics
    assert (asked.reference.metrics["map"] or 0) > 0


def test_without_labels_a_decoding_that_alone_fits_is_taken() -> None:
    detections, _ = (table.astype(np.float32) for table in scene(13))
    table = heads(detections)["boxes_and_scores"].astype(np.float32)
    names, parts = ("boxes", "scores"), (table[..., :4], table[..., 4:])
    two = table_runner("float", *parts, names=names)
    assert compare(two, {"it": two}, rows(IMAGES, outputs=names), task="detection").reference.task == "detection"
    joined = table_runner("float", table)
    with pytest.raises(DataError, match="without labels nothing tells boxes_and_scores from yolo"):
        compare(joined, {"it": joined}, rows(IMAGES), task="detection")


def test_labels_that_are_values_of_the_output_are_no_boxes() -> None:
    _, truth = (table.astype(np.float32) for table in scene(14))
    runner = table_runner("float", truth)
    assert compare(runner, {"it": runner}, rows(IMAGES, truth)).reference.task == "regression"


def test_a_head_under_which_no_box_is_right_is_not_taken() -> None:
    _, truth = (table.astype(np.float32) for table in scene(15))
    runner = table_runner("float", np.full((IMAGES, 9, 7), 0.5, np.float32))
    with pytest.raises(DataError, match="no box of the float model is right with boxes_and_scores or yolo"):
        compare(runner, {"it": runner}, rows(IMAGES, truth), task="detection")


def test_outputs_of_no_usual_head_are_named() -> None:
    _, truth = (table.astype(np.float32) for table in scene(15))
    runner = table_runner("float", np.zeros((IMAGES, 7), np.float32))
    with pytest.raises(DataError, match=r"no usual head of a detector has the outputs out \(7,\)"):
        compare(runner, {"it": runner}, rows(IMAGES, truth))


def own_decoder(outputs: Mapping[str, np.ndarray]) -> list[np.ndarray]:
    """The rows of the only output that hold something, as tables of different lengths."""
    return [table[table[:, 5] >= 0] for table in outputs["out"]]


def first_output(outputs: Mapping[str, np.ndarray]) -> list[np.ndarray]:
    """As `own_decoder`, whatever the output is called."""
    return own_decoder({"out": next(iter(outputs.values()))})


def wrong_decoder(outputs: Mapping[str, np.ndarray]) -> np.ndarray:
    """Columns that are missing."""
    return outputs["out"][..., :4]


OWN = "tests.accuracy_diff.test_detection:own_decoder"


def judged(reference: np.ndarray, candidate: np.ndarray, truth: np.ndarray | None, **options: Any) -> Any:
    first, second = table_runner("float", reference), table_runner("int8", candidate)
    chosen = {"task": "detection", "decode": OWN, **options}
    return compare(first, {"it": second}, rows(len(reference), truth), **chosen)


def test_a_candidate_that_loses_boxes_fails_and_one_that_keeps_them_passes() -> None:
    detections, truth = (table.astype(np.float32) for table in scene(11, 60))
    same = judged(detections, detections, truth).candidates["it"]
    assert same.gate.verdict == "passed"
    assert same.diff["accuracy_drop"] == 0
    assert same.diff["top1_agreement"] == 1.0
    faint = detections.copy()
    faint[::2, :, 4] *= 0.01  # as one scale for boxes and scores leaves them
    lost = judged(detections, faint, truth)
    result = lost.candidates["it"]
    low, high = result.diff["accuracy_drop_ci95"]
    assert result.gate.failed
    assert low < result.diff["accuracy_drop"] < high
    assert result.diff["accuracy_drop"] == lost.reference.metrics["map"] - result.metrics["map"]
    assert result.flipped > 0
    assert result.diff["top1_agreement"] < 1
    assert set(result.diff["outputs"]) == {"detections", "out"}


def test_an_output_may_be_called_detections() -> None:
    detections, truth = (table.astype(np.float32) for table in scene(11, 60))
    runners = [table_runner(name, detections, names=("detections",)) for name in ("float", "int8")]
    decode = OWN.replace("own_decoder", "first_output")
    result = compare(runners[0], {"it": runners[1]}, rows(60, truth), task="detection", decode=decode)
    assert set(result.candidates["it"].diff["outputs"]) == {"decoded_detections", "detections"}
    assert result.reference.metrics["map"] == judged(detections, detections, truth).reference.metrics["map"]


def test_without_boxes_the_detections_of_both_are_compared() -> None:
    detections, _ = scene(12, 60)
    comparison = judged(detections.astype(np.float32), detections.astype(np.float32), None)
    assert comparison.reference.metrics["map"] is None
    assert comparison.candidates["it"].diff["top1_agreement"] == 1.0


def test_only_a_difference_between_the_models_is_a_flip() -> None:
    table = np.array([[0, 0, 9, 9, 0.9, 1], [20, 20, 30, 30, 0.8, 2], [50, 50, 60, 60, 0.1, 0]], float)
    assert paired(table, table).first is None
    other = table.copy()
    other[1, 5] = 0
    pair = paired(table, other)
    assert (pair.confident, pair.agreed) == (3, 1)
    assert pair.first == (2, 0, 0.8, 0.8)
    assert paired(table, table[:1]).first == (2, -1, 0.8, 0.0)
    assert paired(table[:1], table).first == (-1, 2, 0.0, 0.8)


def test_lost_boxes_are_green_and_new_ones_red() -> None:
    picture = np.full((40, 40, 3), 0.5, np.float32)
    picture[0, 0], picture[0, 1] = 0.0, 1.0
    drawn = with_boxes(picture, np.array([[0.25, 0.25, 0.5, 0.5]]), np.array([[0.75, 0.75, 0.9, 0.9]]))
    assert drawn[10, 10].tolist() == [0, 1, 0]
    assert drawn[15, 10].tolist() == [0, 1, 0]
    assert drawn[30, 30].tolist() == [1, 0, 0]
    assert drawn[15, 15].tolist() == [0.5] * 3
    assert picture[10, 10].tolist() == [0.5] * 3


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"task": None}, RecipeError, "without --task=detection"),
        ({"decode": "ssd"}, RecipeError, "expected one of"),
        ({"decode": "tests.accuracy_diff.test_detection:nobody"}, InputError, "cannot import"),
        ({"decode": "tests.accuracy_diff.test_detection:wrong_decoder"}, DataError, "rows of six values"),
    ],
)
def test_what_cannot_be_decoded_is_one_line(options: Any, error: type[Exception], message: str) -> None:
    detections, truth = scene(1, 8)
    with pytest.raises(error, match=message) as caught:
        judged(detections.astype(np.float32), detections.astype(np.float32), truth, **options)
    assert "\n" not in str(caught.value)


def test_labels_of_another_form_are_refused() -> None:
    detections, _ = scene(1, 8)
    with pytest.raises(DataError, match="expected rows"):
        judged(detections.astype(np.float32), detections.astype(np.float32), np.zeros(8))


def test_tables_of_another_number_of_images_are_refused() -> None:
    with pytest.raises(DataError, match="batch of 2"):
        as_tables(np.zeros((1, 3, 6)), 2, who="it")


def detector() -> Any:
    """Sixteen boxes in pixels and two scores each, in one output."""
    keras.utils.set_random_seed(1)
    image: Any = keras.Input((16, 16, 3), name="image")
    value = layers.Conv2D(8, 3, strides=2, padding="same", activation="relu")(image)
    value = layers.Conv2D(8, 3, strides=2, padding="same", activation="relu")(value)
    sigmoid: Any = ops.sigmoid
    corner = sigmoid(layers.Conv2D(2, 1)(value)) * 8.0
    ends = corner + 4.0 + 4.0 * sigmoid(layers.Conv2D(2, 1)(value))
    scores = sigmoid(3.0 * layers.Conv2D(2, 1)(value))
    parts = [layers.Reshape((16, 2))(part) for part in (corner, ends, scores)]
    return keras.Model(image, layers.Concatenate(name="out")(parts), name="detector")


def test_a_detector_is_converted_and_judged_by_its_boxes(tmp_path: Path) -> None:
    model = detector()
    images = np.random.default_rng(0).random((40, 16, 16, 3), np.float32)
    boxes = decoder_of("boxes_and_scores")({"out": np.asarray(model(images))})
    labels = np.delete(boxes[:, :8], 4, axis=-1)  # its own surest answers
    np.savez(tmp_path / "data.npz", x=images, y=labels)
    model.save(tmp_path / "model.keras")
    result = tfcompress.convert(
        tmp_path / "model.keras",
        targets="phone",
        calibration=tmp_path / "data.npz",
        evaluation=tmp_path / "data.npz",
        output=tmp_path / "out",
        task="detection",
        decode="boxes_and_scores",
        max_accuracy_drop=0.5,
    )
    report = result.report
    phone = report["targets"]["phone"]
    low, high = phone["diff"]["accuracy_drop_ci95"]
    assert phone["diff"]["metric"] == "map"
    assert report["reference"]["metrics"]["map"] > 0.5
    assert phone["diff"]["accuracy_drop"] < 0.2
    assert low <= phone["diff"]["accuracy_drop"] <= high
    assert set(phone["diff"]["outputs"]) == {"detections", "out"}
    assert "--decode=boxes_and_scores" in (tmp_path / "out" / "report.html").read_text(encoding="utf-8")


def points(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).uniform(0, 100, (40, 5, 2)).astype(np.float32)


def test_keypoints_are_right_within_a_tenth_of_their_box() -> None:
    truth = np.zeros((2, 3, 3), np.float32)
    truth[:, :, :2] = [[0, 0], [100, 0], [0, 50]]
    truth[:, :, 2] = 1
    truth[1, 2, 2] = 0  # not to be seen
    answers = truth[..., :2].copy()
    answers[0, 0, 0], answers[0, 1, 0], answers[1, 2] = 9.9, 110.1, 999
    runners = table_runner("float", answers), table_runner("int8", truth[..., :2].copy())
    comparison = compare(runners[0], {"it": runners[1]}, rows(2, truth), task="keypoints")
    assert comparison.reference.metrics["pck"] == pytest.approx(4 / 5)
    assert comparison.candidates["it"].metrics == {"pck": 1.0, "mean_distance": 0.0}


def test_keypoints_in_one_row_are_pairs() -> None:
    flat = points(1).reshape(40, 10)
    runners = table_runner("float", flat), table_runner("int8", flat + 30)
    comparison = compare(runners[0], {"it": runners[1]}, rows(40, flat), task="keypoints")
    assert comparison.reference.metrics["pck"] == 1.0
    assert comparison.candidates["it"].gate.failed
