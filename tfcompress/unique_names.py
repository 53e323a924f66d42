"""Names of which no two are the same."""

from __future__ import annotations

__all__ = ["unique_name"]


def unique_name(wanted: str, taken: set[str], *, first: int = 1) -> str:
    """The name, or where it is taken ``NAME_1``, ``NAME_2`` and so on; what is returned is taken from then on.

    Args:
        wanted: the name.
        taken: names that are in use; changed.
        first: the number to begin with.
    """
    name, number = wanted, first
    while name in taken:
        name = f"{wanted}_{number}"
        number += 1
    taken.add(name)
    return name
