"""What a call does to the process that it runs in: nothing that stays."""

import logging
import os
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tfcompress.process_state import leaves_process_alone
from tfcompress.runtime import keras, tf, tf_keras


def seed_everything(seed: int) -> None:
    random.seed(seed)
    np.random.seed(seed)
    tf.random.set_seed(seed)
    keras.utils.set_random_seed(seed)
    tf_keras.utils.set_random_seed(seed)


def draws() -> list[float]:
    """One number of every generator that a user may have seeded."""
    return [
        random.random(),
        float(np.random.rand()),
        float(tf.random.uniform([])),
        float(keras.random.uniform(())),
        float(tf_keras.initializers.GlorotUniform()((1, 1))[0, 0]),
        float(keras.initializers.GlorotUniform()((1, 1))[0, 0]),
    ]


def test_random_numbers_go_on_as_if_nothing_had_been_called() -> None:
    def meddles() -> None:
        draws()
        seed_everything(99)
        draws()

    seed_everything(5)
    draws()
    wanted = draws()
    seed_everything(5)
    draws()
    leaves_process_alone(meddles)()
    assert draws() == wanted
    seed_everything(5)
    draws()
    meddles()
    assert draws() != wanted


def test_environment_log_levels_and_path_are_put_back_also_after_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KEPT", "old")

    @leaves_process_alone
    def meddles() -> None:
        os.environ["KEPT"] = "new"
        os.environ["ADDED"] = "1"
        logging.getLogger("tensorflow").setLevel(7)
        logging.getLogger().setLevel(7)
        sys.path.insert(0, "/nowhere")
        raise ValueError("on purpose")

    before = (dict(os.environ), [logging.getLogger(n).level for n in (None, "tensorflow", "absl")], list(sys.path))
    with pytest.raises(ValueError, match="on purpose"):
        meddles()
    assert before == (
        dict(os.environ),
        [logging.getLogger(n).level for n in (None, "tensorflow", "absl")],
        list(sys.path),
    )


SNAPSHOT = """
import logging, os, random, signal, sys
import numpy as np
import keras, tensorflow as tf
keras.utils.set_random_seed(3)
def state():
    from absl import logging as absl_logging
    return (dict(os.environ), random.getstate(), np.random.get_state()[1].tolist(), absl_logging.get_verbosity(),
            logging.root.level, tf.get_logger().level, keras.backend.backend(), sys.stdout, sys.stderr, list(sys.path),
            [signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)], logging.root.manager.disable)
before = state()
import tfcompress
model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3, activation="softmax")])
before = (before[0], *state()[1:])
x = np.random.default_rng(0).normal(size=(20, 4)).astype("float32")
try:
    tfcompress.convert(model, output=sys.argv[1], targets="phone", calibration={data})
except tfcompress.InputError as error:
    print("refused", file=sys.stderr)
now = state()
for number, (old, new) in enumerate(zip(before, now)):
    assert old == new, (number, old, new)
assert ("TF_CPP_MIN_LOG_LEVEL" in os.environ) == ("TF_CPP_MIN_LOG_LEVEL" in before[0])
"""


@pytest.mark.parametrize("data", ["x", "x[:, :2]"])
def test_a_conversion_leaves_the_process_as_it_was(data: str, tmp_path: Any) -> None:
    code = SNAPSHOT.replace("{data}", data)
    run = subprocess.run([sys.executable, "-c", code, str(tmp_path / "out")], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    assert ("refused" in run.stderr) == (data != "x")


def test_a_library_that_names_another_backend_after_keras_was_imported_changes_nothing(tmp_path: Path) -> None:
    """As bayesflow does, which takes JAX where that is installed."""
    code = (
        "import os, keras\nos.environ['KERAS_BACKEND'] = 'jax'\nimport tfcompress\n"
        f"keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)]).save({str(tmp_path / 'm.keras')!r})\n"
        f"print(tfcompress.load_model({str(tmp_path / 'm.keras')!r}).inputs[0].shape)"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert run.stdout == "(None, 4)\n", run.stderr


@pytest.mark.parametrize("backend", ["jax", "torch"])
def test_another_backend_is_refused_in_one_line(backend: str) -> None:
    code = (
        "import tfcompress\ntry:\n    tfcompress.load_model\nexcept tfcompress.InputError as error:\n    print(error)"
    )
    environment = {**os.environ, "KERAS_BACKEND": backend}
    run = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
    assert run.stdout.startswith(f"KERAS_BACKEND={backend}: this needs Keras on TensorFlow in its process")
    assert run.stdout.count("\n") == 1
