"""Whatever `model.fit` takes gives the samples that `model.fit` would see."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from tfcompress.data import Samples, open_data
from tfcompress.errors import DataError
from tfcompress.model import TensorInfo
from tfcompress.remarks import remarks
from tfcompress.runtime import keras, tf

ONE = (TensorInfo("image", (None, 4, 4, 1), "float32"),)
TWO = (TensorInfo("left", (None, 3), "float32"), TensorInfo("Right", (None, 2), "float32"))
CLASS = (TensorInfo("class", (None, 2), "float32"),)
PAIR = (*CLASS, TensorInfo("size", (None, 1), "float32"))

X = np.random.default_rng(0).normal(size=(6, 4, 4, 1)).astype(np.float32)
LEFT, RIGHT = X[:, :3, 0, 0], X[:, :2, 1, 0]
Y = np.arange(6) % 2
WEIGHTS = np.ones(6, np.float32)


class Pieces(keras.utils.PyDataset):
    """Three batches of two."""

    def __len__(self) -> int:
        return 3

    def __getitem__(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        return X[2 * index : 2 * index + 2], Y[2 * index : 2 * index + 2]


class Numbered:
    """A map-style data set of PyTorch: single samples, and no error behind the last one."""

    def __len__(self) -> int:
        return 6

    def __getitem__(self, index: int) -> tuple[np.ndarray, int]:
        return X[index % 6], int(Y[index % 6])


class Tensor:
    """What is asked of a tensor of PyTorch."""

    def __init__(self, value: np.ndarray) -> None:
        self._value = value
        self.shape = value.shape

    def detach(self) -> "Tensor":
        return self

    def cpu(self) -> "Tensor":
        return self

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return np.asarray(self._value, dtype)


class Loader:
    """A loader of PyTorch gives lists, can be read again, and has no items by number."""

    def __len__(self) -> int:
        return 3

    def __iter__(self) -> Iterator[list[Tensor]]:
        for start in (0, 2, 4):
            yield [Tensor(X[start : start + 2]), Tensor(Y[start : start + 2])]


def generator() -> Iterator[tuple[np.ndarray, int]]:
    yield from zip(X, Y.tolist(), strict=True)


def batches_without_the_last_axis() -> Iterator[tuple[np.ndarray, np.ndarray]]:
    yield X[:5, ..., 0], Y[:5]
    yield X[5:, ..., 0], Y[5:]


OF_ONE: dict[str, Any] = {
    "(x, y)": (X, Y),
    "(x, y, sample_weight)": (X, Y, WEIGHTS),
    "a list of both": [X, Y],
    "a dict by input name, and labels": ({"image": X}, Y),
    "a dict by names in other case": ({"Image": X}, {"CLASS": Y}),
    "one dict of inputs and labels": {"image": X, "label": Y},
    "a list of one": ([X], [Y]),
    "tensors": (tf.constant(X), tf.constant(Y)),
    "a dataset": tf.data.Dataset.from_tensor_slices((X, Y)).batch(4),
    "a dataset with weights": tf.data.Dataset.from_tensor_slices((X, Y, WEIGHTS)).batch(4),
    "a dataset of dicts": tf.data.Dataset.from_tensor_slices(({"image": X}, {"class": Y})),
    "a PyDataset": Pieces(),
    "a PyTorch data set": Numbered(),
    "a PyTorch loader": Loader(),
    "a generator function": generator,
    "a generator of nested lists": lambda: ((x.tolist(), y) for x, y in zip(X, Y.tolist(), strict=True)),
    "batches without the channel": batches_without_the_last_axis,
}


def check(samples: Samples, wanted: dict[str, np.ndarray], labelled: bool = True) -> None:
    for _ in range(2):
        batches = list(samples.batches(4))
        for name, values in wanted.items():
            np.testing.assert_array_equal(np.concatenate([batch.inputs[name] for batch in batches]), values)
        if labelled:
            np.testing.assert_array_equal(np.concatenate([batch.labels["class"] for batch in batches]), Y)
        else:
            assert batches[0].labels == {}


@pytest.mark.parametrize("form", OF_ONE)
def test_forms_for_a_model_of_one_input(form: str) -> None:
    check(open_data(OF_ONE[form], ONE, CLASS), {"image": X})


def test_lists_of_numbers_are_samples_and_no_labels() -> None:
    row = (TensorInfo("row", (None, 2), "float32"),)
    batches = list(open_data(lambda: [[1.0, 2.0], [3.0, 4.0]], row, CLASS).batches(2))
    np.testing.assert_array_equal(batches[0].inputs["row"], [[1, 2], [3, 4]])
    assert batches[0].labels == {}
    pairs = list(open_data(lambda: [[[1.0, 2.0], [3.0, 4.0]]], row, CLASS).batches(2))  # one batch of two
    np.testing.assert_array_equal(pairs[0].inputs["row"], [[1, 2], [3, 4]])


def rows_of_two() -> Iterator[tuple[dict[str, np.ndarray], int]]:
    for left, right, label in zip(LEFT, RIGHT, Y.tolist(), strict=True):
        yield {"left": left, "Right": right}, label


OF_TWO: dict[str, Any] = {
    "a list of arrays": ([LEFT, RIGHT], Y),
    "a tuple of arrays": ((LEFT, RIGHT), Y),
    "a dict in another order and case": ({"right": RIGHT, "LEFT": LEFT}, Y),
    "weights": ([LEFT, RIGHT], Y, WEIGHTS),
    "a dataset of tuples": tf.data.Dataset.from_tensor_slices(((LEFT, RIGHT), Y)).batch(4),
    "a dataset of dicts": tf.data.Dataset.from_tensor_slices(({"left": LEFT, "Right": RIGHT}, Y)),
    "a generator function": rows_of_two,
    "a flat tuple": (LEFT, RIGHT, Y),
}


@pytest.mark.parametrize("form", OF_TWO)
def test_forms_for_a_model_of_two_inputs(form: str) -> None:
    check(open_data(OF_TWO[form], TWO, CLASS), {"left": LEFT, "Right": RIGHT})


@pytest.mark.parametrize("form", ["(x, y)", "(x, y, sample_weight)", "a list of both", "one dict of inputs and labels"])
def test_a_function_may_return_the_arrays_of_all_samples(form: str) -> None:
    check(open_data(lambda: OF_ONE[form], ONE, CLASS), {"image": X})


@pytest.mark.parametrize("form", ["a list of arrays", "a tuple of arrays", "a dict in another order and case"])
def test_a_function_may_return_the_arrays_of_two_inputs(form: str) -> None:
    check(open_data(lambda: OF_TWO[form], TWO, CLASS), {"left": LEFT, "Right": RIGHT})


@pytest.mark.parametrize("kind", [list, tuple])
def test_a_function_that_returns_samples_in_a_list_or_tuple_still_does(kind: Any) -> None:
    check(open_data(lambda: kind(zip(X, Y, strict=True)), ONE, CLASS), {"image": X})
    check(open_data(lambda: kind(X), ONE, CLASS), {"image": X}, labelled=False)


IN_BATCHES: dict[str, Any] = {
    "two batches": (X[:3], X[3:]),
    "three batches": (X[:2], X[2:4], X[4:]),
    "six batches": tuple(X[i : i + 1] for i in range(6)),
    "two batches by name": ({"image": X[:3]}, {"image": X[3:]}),
}
LABELLED_BATCHES: dict[str, Any] = {
    f"{count} batches with labels": tuple(zip(np.split(X, count), np.split(Y, count), strict=True))
    for count in (2, 3, 6)
}


@pytest.mark.parametrize("form", IN_BATCHES)
def test_a_function_may_return_batches_in_a_tuple(form: str) -> None:
    with remarks() as said:
        check(open_data(lambda: IN_BATCHES[form], ONE, CLASS), {"image": X}, labelled=False)
    assert said == []


@pytest.mark.parametrize("form", LABELLED_BATCHES)
def test_a_function_may_return_batches_with_labels_in_a_tuple(form: str) -> None:
    check(open_data(lambda: LABELLED_BATCHES[form], ONE, CLASS), {"image": X})


def test_batches_of_two_inputs_in_a_tuple_are_batches() -> None:
    batches = ((LEFT[:3], RIGHT[:3]), (LEFT[3:], RIGHT[3:]))
    check(open_data(lambda: batches, TWO, CLASS), {"left": LEFT, "Right": RIGHT}, labelled=False)


def test_samples_in_a_tuple_are_not_said_to_have_weights() -> None:
    with remarks() as said:
        check(open_data(lambda: tuple(X[:3]), ONE, CLASS), {"image": X[:3]}, labelled=False)
    assert said == []
    with remarks() as said:
        check(open_data(lambda: (X, Y, WEIGHTS), ONE, CLASS), {"image": X})
    assert said == ["sample weights are not used: every sample counts the same"]


@pytest.mark.parametrize("weights", [(), (WEIGHTS,)])
@pytest.mark.parametrize(
    ("output", "targets"), [((None, 2), X), ((None, 4, 4, 1), X + 1), ((None, 4, 4, 9), Y[:, None, None, None] + 0 * X)]
)
def test_targets_that_look_like_the_inputs_are_targets(
    output: tuple[int | None, ...], targets: np.ndarray, weights: tuple[np.ndarray, ...]
) -> None:
    """The inputs themselves, those of an autoencoder, and the numbers of classes of places."""
    outputs = (TensorInfo("class", output, "float32"),)
    (batch,) = open_data(lambda: (X, targets, *weights), ONE, outputs).batches(6)
    np.testing.assert_array_equal(batch.inputs["image"], X)
    np.testing.assert_array_equal(batch.labels["class"], targets)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({}, "no samples"),
        (({},), "no inputs"),
        ((({},),), "no inputs"),
        ({"image": X, "y": Y[:4]}, r"\(6, 4, 4, 1\), \(4,\); expected as many samples in each"),
        ({"image": X[:4], "y": Y}, r"\(4, 4, 4, 1\), \(6,\); expected as many samples in each"),
    ],
)
def test_nothing_and_arrays_of_unlike_lengths_are_one_line(wrong: Any, message: str) -> None:
    with pytest.raises(DataError, match=message):
        list(open_data(lambda: wrong, ONE, CLASS).batches(4))


NO_LABELS: dict[str, Any] = {
    "a tuple of two inputs": (LEFT, RIGHT),
    "a list of two inputs": [LEFT, RIGHT],
    "a dict": {"left": LEFT, "Right": RIGHT},
    "a dataset of pairs": tf.data.Dataset.from_tensor_slices((LEFT, RIGHT)).batch(4),
}


@pytest.mark.parametrize("form", NO_LABELS)
def test_two_inputs_without_labels_are_no_labels(form: str) -> None:
    check(open_data(NO_LABELS[form], TWO, CLASS), {"left": LEFT, "Right": RIGHT}, labelled=False)


@pytest.mark.parametrize("labels", [[Y, WEIGHTS], {"size": WEIGHTS, "class": Y}, (Y, WEIGHTS)])
def test_labels_of_several_outputs(labels: Any) -> None:
    batch = next(open_data((X, labels), ONE, PAIR).batches(6))
    np.testing.assert_array_equal(batch.labels["class"], Y)
    np.testing.assert_array_equal(batch.labels["size"], WEIGHTS)


def test_a_generator_that_was_called_is_refused_with_what_to_give() -> None:
    with pytest.raises(DataError, match="give the function that makes it, without calling it"):
        open_data(generator(), ONE, CLASS, flag="calibration")


def test_a_function_that_gives_a_used_generator_is_told_what_to_do() -> None:
    used: Callable[[], Iterator[Any]] = (lambda stream: lambda: stream)(generator())
    samples = open_data(used, ONE, CLASS)
    assert len(list(samples.batches(6))) == 1
    with pytest.raises(DataError, match="must make a new generator at every call"):
        list(samples.batches(6))


@pytest.mark.parametrize("wrong", [([LEFT], Y), ([LEFT, RIGHT, LEFT], Y), (LEFT, Y), {"left": LEFT}])
def test_the_wrong_number_of_inputs_is_one_line(wrong: Any) -> None:
    with pytest.raises(DataError):
        list(open_data(wrong, (*TWO, TensorInfo("third", (None, 1), "float32")), CLASS).batches(2))


@pytest.mark.parametrize("wrong", [[LEFT, RIGHT, RIGHT], ([LEFT, RIGHT, RIGHT], Y), ((LEFT, RIGHT, RIGHT), Y)])
def test_arrays_that_are_too_many_are_counted_as_the_user_counts_them(wrong: Any) -> None:
    with pytest.raises(DataError, match=r"got 3 inputs, the model has 2 \('left', 'Right'\)"):
        open_data(wrong, TWO, CLASS)
    with pytest.raises(DataError, match=r"got 4 inputs, the model has 2"):
        open_data([LEFT, RIGHT, RIGHT, RIGHT], TWO, PAIR)


WORDS = np.array(["dog", "cat"])[Y]


@pytest.mark.parametrize("words", [WORDS, WORDS.astype(bytes), WORDS[:, None], WORDS.astype(object)])
def test_words_for_labels_are_numbered_in_the_models_order(words: np.ndarray) -> None:
    samples = open_data((X, words), ONE, CLASS, labels=["dog", "cat"])
    batch = next(samples.batches(6))
    np.testing.assert_array_equal(batch.labels["class"], Y.reshape(words.shape))
    one_by_one = open_data(lambda: zip(X, words, strict=True), ONE, CLASS, labels=["dog", "cat"])
    np.testing.assert_array_equal(next(one_by_one.batches(6)).labels["class"], Y.reshape(words.shape))


def test_words_without_an_order_are_numbered_as_they_sort() -> None:
    samples = open_data((X, WORDS), ONE, CLASS)
    assert next(samples.batches(6)).labels["class"].tolist() == WORDS.tolist()
    numbered = samples.with_numbered_words()
    assert numbered.class_names == ("cat", "dog")
    np.testing.assert_array_equal(next(numbered.batches(6)).labels["class"], 1 - Y)
    assert open_data((X, Y), ONE, CLASS).with_numbered_words().class_names == ()


def test_a_word_that_is_no_class_is_refused() -> None:
    with pytest.raises(DataError, match=r"'cat' is none of the classes.* in a file for --labels"):
        list(open_data((X, WORDS), ONE, CLASS, labels=["dog", "bird"]).batches(6))
    with pytest.raises(DataError, match=r"'cat' is none of the classes.*; write it 'Cat', or list"):
        list(open_data((X, WORDS), ONE, CLASS, labels=["dog", "Cat"]).batches(6))


def test_a_dataset_without_an_end_is_refused_in_one_line_and_a_part_of_it_is_taken() -> None:
    endless = tf.data.Dataset.from_tensor_slices((X, Y)).batch(2).repeat()
    with pytest.raises(DataError, match=r"the dataset repeats for ever.*without \.repeat\(\), or with \.take"):
        next(iter(open_data(endless, ONE, CLASS).batches(2)))
    check(open_data(endless.take(3), ONE, CLASS), {"image": X})


def test_python_numbers_in_an_array_of_objects_are_numbers() -> None:
    rows = np.empty(6, dtype=object)
    rows[:] = list(LEFT)
    info = (TensorInfo("row", (None, 3), "float32"),)
    for objects in (LEFT.astype(object), rows):
        batch = next(open_data((objects, Y.astype(object)), info, CLASS).batches(9))
        np.testing.assert_array_equal(batch.inputs["row"], LEFT)
        np.testing.assert_array_equal(batch.labels["class"], Y)
