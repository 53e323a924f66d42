"""What is known of a model's input or output without running it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

__all__ = ["TRIED_SIZE", "TensorInfo", "have_open_sizes", "in_order_of_names", "same_names", "with_graph_names"]

_Spec = TypeVar("_Spec")
TRIED_SIZE = 32
"""What a size that is not fixed is taken for where nothing is known of the data."""


@dataclass(frozen=True)
class TensorInfo:
    """One input or output of a model.

    Attributes:
        name: the Keras name, unique among the model's inputs (or outputs).
        shape: with the batch dimension first; None where a size is not fixed.
        dtype: a numpy dtype name such as ``float32``.
    """

    name: str
    shape: tuple[int | None, ...]
    dtype: str

    @property
    def has_open_sizes(self) -> bool:
        """Whether a size other than the batch is not fixed."""
        return None in self.shape[1:]

    def sizes(self, open_size: int = 1) -> tuple[int, ...]:
        """The shape of one sample, with `open_size` where a size is not fixed."""
        return tuple(open_size if size is None else size for size in self.shape[1:])

    def of_sample_shape(self, sizes: Sequence[int | None]) -> TensorInfo:
        """The same with these sizes behind the batch."""
        return replace(self, shape=(self.shape[0], *sizes))


def have_open_sizes(infos: Iterable[TensorInfo]) -> bool:
    """Whether any of several inputs has a size, other than the batch, that is not fixed."""
    return any(info.has_open_sizes for info in infos)


def in_order_of_names(specs: Mapping[str, _Spec]) -> list[tuple[str, _Spec]]:
    """The inputs or outputs of a signature, ``output_2`` before ``output_10``.

    A SavedModel does not keep the order in which its model returned them: what lists them differs from one process to
    the next (protobuf's maps).
    """
    return sorted(specs.items(), key=lambda item: [part.zfill(9) for part in re.split(r"(\d+)", item[0])])


def with_graph_names(infos: Iterable[TensorInfo]) -> tuple[TensorInfo, ...]:
    """The same with names that TensorFlow takes for operations: ``x:0`` becomes ``x``, other odd characters ``_``.

    Signatures do not tell ``left`` from ``Left``: the second becomes ``Left_1``.

    Source: `tf.Graph.name_scope`, the pattern of valid names; `tf.Graph.unique_name`, which ignores case.
    """
    taken: set[str] = set()
    renamed = []
    for info in infos:
        plain = re.sub(r"[^A-Za-z0-9_.\\/>-]", "_", re.sub(r":\d+$", "", info.name))
        plain = plain if re.match("[A-Za-z0-9.]", plain) else f"x{plain}"
        name, number = plain, 0
        while name.lower() in taken:
            number += 1
            name = f"{plain}_{number}"
        taken.add(name.lower())
        renamed.append(replace(info, name=name))
    return tuple(renamed)


def same_names(wanted: Sequence[str], given: Sequence[str]) -> dict[str, str] | None:
    """{wanted name: given name} where all agree, as they are or in a plain form; None where they do not.

    The plain form has neither case nor odd characters, nor what TensorFlow and its converters add: the prefix
    ``serving_default_`` and an output's number.  Names that differ by case alone are matched as they are first, then
    without the number that `with_graph_names` gave the second.
    """
    forms: tuple[Callable[[str], str], ...] = (str, _plain)
    for form in forms:
        matched = _matched(form, wanted, given)
        if matched is not None:
            return matched
    same = {name: name for name in wanted if name in given}
    rest = _matched(_without_number, [name for name in wanted if name not in same], [n for n in given if n not in same])
    return None if rest is None else {name: {**same, **rest}[name] for name in wanted}


def _matched(form: Callable[[str], str], wanted: Sequence[str], given: Sequence[str]) -> dict[str, str] | None:
    by_form = {form(name): name for name in given}
    if len(by_form) != len(given) or sorted(map(form, wanted)) != sorted(by_form):
        return None
    return {name: by_form[form(name)] for name in wanted}


def _without_number(name: str) -> str:
    return re.sub(r"_\d+$", "", _plain(name))


def _plain(name: str) -> str:
    bare = re.sub(r":\d+$", "", name).removeprefix("serving_default_")
    return re.sub(r"\W", "_", bare).lower()
