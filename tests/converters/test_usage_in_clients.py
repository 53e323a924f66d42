"""USE.md's samples for the browser and for MediaPipe, run as they are printed in the programs that they are for.

Each program has an environment of its own, which is made where it is missing, see `benchmarks.clients.environments`.
"""

from __future__ import annotations

import subprocess
from pathlib import Path

import numpy as np
import pytest

import tfcompress
from benchmarks.clients import browser
from benchmarks.clients.environments import Unavailable, npm_folder, python_of, tool
from tests.converters.test_usage import blocks
from tfcompress.accuracy_diff.litert_runner import LiteRtRunner
from tfcompress.recipe import PostTraining, Recipe
from tfcompress.runtime import keras, tf

CLASSES = ("bird", "cat", "dog")
PRINTED_DIGITS = 1e-6
pytestmark = pytest.mark.slow

# What a page sends back: the first line that the sample prints.
PAGE = """<!doctype html>
<script type="importmap">{{"imports": {{
  "@litertjs/core": "/node_modules/@litertjs/core/dist/index.js",
  "@litertjs/wasm-utils": "/node_modules/@litertjs/wasm-utils/dist/index.js"}}}}</script>
<script>
console.log = line => fetch('/answer', {{method: 'POST', body: String(line)}});
addEventListener('error', event => console.log(event.message));
addEventListener('unhandledrejection', event => console.log(event.reason));
</script>
<script type="module">
{sample}
</script>
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The phone folder of a classifier of pictures that takes uint8, and a picture."""
    place = tmp_path_factory.mktemp("clients")
    keras.utils.set_random_seed(0)
    x = keras.Input((16, 16, 3), name="picture")
    y = keras.layers.Conv2D(8, 3, activation="relu")(x)
    y = keras.layers.Dense(3, activation="softmax", name="kind")(keras.layers.GlobalAveragePooling2D()(y))
    random = np.random.default_rng(0)
    for number, name in enumerate(CLASSES):
        (place / "data" / name).mkdir(parents=True)
        for index in range(10):
            picture = random.integers(80 * number, 80 * number + 90, (16, 16, 3), dtype=np.uint8)
            path = place / "data" / name / f"{index}.png"
            path.write_bytes(tf.io.encode_png(picture).numpy())
    tfcompress.convert(
        keras.Model(x, y),
        targets=["phone"],
        calibration=str(place / "data"),
        preprocess="unit",
        recipe=Recipe(post_training=PostTraining(io="uint8", quality="fast")),
        output=place / "out",
    )
    (place / "out/phone/picture.jpg").write_bytes((place / "data/dog/0.png").read_bytes())  # read by its content
    return place / "out/phone"


def test_the_sample_for_the_browser_prints_the_class_that_the_file_gives(folder: Path, tmp_path: Path) -> None:
    try:
        package = npm_folder("litert_js")
        tool("chromium", "google-chrome")
    except Unavailable as error:
        pytest.skip(str(error))
    (sample,) = blocks((folder / "USE.md").read_text(), "js")
    (tmp_path / "node_modules").symlink_to(package / "node_modules")
    (tmp_path / "wasm").symlink_to(package / "node_modules/@litertjs/core/wasm")
    (tmp_path / "model.tflite").write_bytes((folder / "model.tflite").read_bytes())
    (tmp_path / "page.html").write_text(PAGE.format(sample=sample))
    with browser.served(tmp_path) as place:
        answer = browser.visit(place, "page.html")["/answer"].decode()
    (scores,) = LiteRtRunner(folder / "model.tflite").run({"picture": np.zeros((1, 16, 16, 3), np.float32)}).values()
    assert answer == CLASSES[int(scores[0].argmax())]


def test_the_sample_for_mediapipe_prints_the_scores_that_the_file_gives(folder: Path) -> None:
    try:
        python = python_of("mediapipe")
    except Unavailable as error:
        pytest.skip(str(error))
    (sample,) = [code for code in blocks((folder / "USE.md").read_text(), "python") if "mediapipe" in code]
    done = subprocess.run([python, "-c", sample], cwd=folder, capture_output=True, text=True, check=True)
    rows = [line.rsplit(" ", 1) for line in done.stdout.splitlines() if line]
    picture = tf.io.decode_image((folder / "picture.jpg").read_bytes()).numpy().astype(np.float32) / 255
    (scores,) = LiteRtRunner(folder / "model.tflite").run({"picture": picture[None]}).values()
    assert {name: float(score) for name, score in rows} == pytest.approx(
        dict(zip(CLASSES, scores[0].tolist(), strict=True)), abs=PRINTED_DIGITS
    )
