"""The examples train to something worth compressing, and to the same thing every time."""

import numpy as np
import pytest

from tfcompress.example_models.datasets import digits, keywords
from tfcompress.example_models.models import EXAMPLES, train

SLOW = "small_mobilenet"


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.slow] if name == SLOW else []) for name in EXAMPLES]
)
def test_an_example_learns_its_data(name: str) -> None:
    model, data = train(name)
    accuracy = np.mean(model.predict(data.x_test, verbose=0).argmax(1) == data.y_test)
    assert accuracy >= 0.95


def test_the_same_seed_gives_the_same_weights() -> None:
    first, second = (train("ds_cnn", epochs=1)[0].get_weights() for _ in range(2))
    assert all(np.array_equal(a, b) for a, b in zip(first, second, strict=True))


@pytest.mark.parametrize("data", [digits, keywords])
def test_data_are_reproducible_and_no_sample_is_in_both_parts(data) -> None:  # type: ignore[no-untyped-def]
    first, second, other = data(0), data(0), data(1)
    np.testing.assert_array_equal(first.x_train, second.x_train)
    assert not np.array_equal(first.x_train, other.x_train)
    train_rows = {row.tobytes() for row in first.x_train}
    assert sum(row.tobytes() in train_rows for row in first.x_test) == 0
