"""Which operators a delegate takes together, and what that costs where there are very many of them."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from tfcompress.graphs.tflite import Operator, Subgraph, Tensor
from tfcompress.graphs.tflite.partition import causes, partitions

Ends = tuple[tuple[int, ...], tuple[int, ...]]


def tensor(index: int) -> Tensor:
    return Tensor(index, f"t{index}", (1,), (1,), "float32", None, None, False)


def operator(index: int, ends: Ends) -> Operator:
    return Operator(index, "ABS", False, 1, *ends, options=None)


def graph(*operators: Ends) -> Subgraph:
    """Tensor 0 is the input; each operator is what it reads and what it computes."""
    count = 1 + max(index for ends in operators for index in (*ends[0], *ends[1]))
    tensors = tuple(map(tensor, range(count)))
    return Subgraph(0, "", tensors, tuple(operator(*each) for each in enumerate(operators)), (0,), (count - 1,))


def chain(length: int) -> Subgraph:
    return graph(*(((index,), (index + 1,)) for index in range(length)))


def subsets(graph: Subgraph, accepted: Collection[int]) -> list[set[int]]:
    """The partitions as sets."""
    return [set(part) for part in partitions(graph, accepted)]


class Counted(tuple[Operator, ...]):
    """Operators that count how often one is looked at."""

    looks = 0

    def __getitem__(self, index):  # type: ignore[no-untyped-def]
        Counted.looks += 1
        return super().__getitem__(index)

    def __iter__(self) -> Iterator[Operator]:
        for each in super().__iter__():
            Counted.looks += 1
            yield each


def test_what_is_cut_off_by_a_refused_operator_is_a_subset_of_its_own() -> None:
    assert subsets(chain(5), [0, 1, 3, 4]) == [{0, 1}, {3, 4}]
    assert causes(chain(5), [2]) == {3: 2, 4: 2}


def test_data_flow_counts_and_not_the_order_in_the_file() -> None:
    backwards = graph(((2,), (3,)), ((1,), (2,)), ((0,), (1,)))
    assert subsets(backwards, [0, 1, 2]) == [{0, 1, 2}]
    beside = graph(((0,), (1,)), ((1,), (2,)), ((0,), (3,)))
    assert subsets(beside, [0, 2]) == [{0, 2}]


def test_the_latest_refused_operator_is_the_cause() -> None:
    assert causes(chain(5), [0, 2]) == {1: 0, 3: 2, 4: 2}
    assert causes(chain(5), []) == {}


def test_operators_that_wait_for_each_other_are_in_no_subset() -> None:
    assert subsets(graph(((0,), (1,)), ((3,), (2,)), ((2,), (3,))), [0, 1, 2]) == [{0}]


def test_an_input_that_is_absent_is_not_waited_for() -> None:
    assert subsets(graph(((0, -1), (1,))), [0]) == [{0}]


def test_each_operator_is_looked_at_a_few_times_however_many_there_are() -> None:
    length = 20_000
    plain = chain(length)
    counted = Subgraph(0, "", plain.tensors, Counted(plain.operators), plain.inputs, plain.outputs)
    Counted.looks = 0
    assert len(partitions(counted, range(0, length, 2))) == length // 2
    assert len(causes(counted, range(1, length, 2))) == length // 2 - 1
    assert 2 * length < Counted.looks < 10 * length
