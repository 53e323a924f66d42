"""USE.md's samples for the browser and for MediaPipe, run as they are printed in the programs that they are for.

Each program has an environment of its own, which is made where it is missing, see `benchmarks.clients.environments`.
"""

from __future__ import annotations

import functools
import shutil
import subprocess
import wave
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
RATE = 4000
LEAST_SCORE = 0.2
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


def run_with_mediapipe(sample: str, folder: Path) -> dict[str, float]:
    """{name: score} as the sample prints them."""
    try:
        python = python_of("mediapipe")
    except Unavailable as error:
        pytest.skip(str(error))
    done = subprocess.run([python, "-c", sample], cwd=folder, capture_output=True, text=True, check=True)
    rows = [line.rsplit(" ", 1) for line in done.stdout.splitlines() if line]
    return {name: float(score) for name, score in rows}


def mediapipe_sample(folder: Path) -> str:
    (sample,) = [code for code in blocks((folder / "USE.md").read_text(), "python") if "mediapipe" in code]
    return sample


def test_the_sample_for_mediapipe_prints_the_scores_that_the_file_gives(folder: Path) -> None:
    shown = run_with_mediapipe(mediapipe_sample(folder), folder)
    picture = tf.io.decode_image((folder / "picture.jpg").read_bytes()).numpy().astype(np.float32) / 255
    (scores,) = LiteRtRunner(folder / "model.tflite").run({"picture": picture[None]}).values()
    assert shown == pytest.approx(dict(zip(CLASSES, scores[0].tolist(), strict=True)), abs=PRINTED_DIGITS)


def write_sound(path: Path, values: np.ndarray) -> None:
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE)
        file.writeframes(np.round(values * 32767).astype("<i2").tobytes())


def test_mediapipe_classifies_sounds_as_the_file_does(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    for number, name in enumerate(CLASSES):
        (tmp_path / "data" / name).mkdir(parents=True)
        for index in range(10):
            tone = 0.5 * np.sin(2 * np.pi * (80 + 150 * number) * np.arange(800) / RATE + index)
            write_sound(tmp_path / "data" / name / f"{index}.wav", tone + random.normal(0, 0.02, 800))
    keras.utils.set_random_seed(0)
    x = keras.Input((800,), name="sound")
    y = keras.layers.Conv1D(8, 16, strides=8, activation="relu")(keras.layers.Reshape((800, 1))(x))
    y = keras.layers.Dense(3, activation="softmax", name="kind")(keras.layers.GlobalAveragePooling1D()(y))
    recipe = Recipe(post_training=PostTraining(io="float32", quality="fast"))
    output = tmp_path / "out"
    data = str(tmp_path / "data")
    convert = functools.partial(tfcompress.convert, keras.Model(x, y), targets=["phone"], calibration=data)
    convert(sample_rate=RATE, recipe=recipe, output=output)
    folder = output / "phone"
    shutil.copy(tmp_path / "data/cat/0.wav", folder / "sound.wav")
    shown = run_with_mediapipe(mediapipe_sample(folder), folder)
    with wave.open(str(folder / "sound.wav")) as file:
        sound = np.frombuffer(file.readframes(800), "<i2").astype(np.float32) / 32768
    (scores,) = LiteRtRunner(folder / "model.tflite").run({"sound": sound[None]}).values()
    assert shown == pytest.approx(dict(zip(CLASSES, scores[0].tolist(), strict=True)), abs=PRINTED_DIGITS)


@pytest.mark.parametrize("standardize", [None, "lower", "lower_and_strip_punctuation"])
def test_mediapipe_classifies_texts_as_the_whole_model_does(standardize: str | None, tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    words = ["good", "bad", "film", "actor", "the", "a", "was", "don't"]
    texts = np.array([" ".join(random.choice(words, 6)) for _ in range(60)])
    layers = keras.layers
    keras.utils.set_random_seed(0)
    vectorize = layers.TextVectorization(output_sequence_length=8, standardize=standardize, name="vectorize")
    vectorize.adapt(texts)
    text = keras.Input((1,), dtype="string", name="text")
    y = layers.GlobalAveragePooling1D()(layers.Embedding(20, 8, embeddings_initializer="normal")(vectorize(text)))
    model = keras.Model(text, layers.Dense(2, activation="softmax", name="mood")(y))
    recipe = Recipe(post_training=PostTraining(io="float32", quality="fast"))
    data = (texts[:, None], np.arange(60) % 2)
    tfcompress.convert(
        model,
        targets=["phone"],
        calibration=data,
        labels=["sad", "glad"],
        score_threshold=LEAST_SCORE,
        recipe=recipe,
        output=tmp_path / "out",
    )
    folder = tmp_path / "out/phone"
    said = "The good actor, unseen words: don't"
    shown = run_with_mediapipe(mediapipe_sample(folder).replace("what the text says", said), folder)
    numbers = vectorize(tf.constant([[said]])).numpy().astype(np.int32)
    assert len(set(numbers[0].tolist())) > 3
    (scores,) = LiteRtRunner(folder / "model.tflite").run({"vectorize": numbers}).values()
    wanted = dict(zip(("sad", "glad"), scores[0].tolist(), strict=True))
    assert min(wanted.values()) > LEAST_SCORE
    assert shown == pytest.approx(wanted, abs=PRINTED_DIGITS)
