"""Caching tokens of compiled files: which of them keep their parameters on the chip side by side."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from collections.abc import Mapping as JsonObject
from typing import Any

from tfcompress.converters.edgetpu.mapping import Mapping

__all__ = ["token_notes"]


def token_notes(mappings: JsonObject[str, Mapping]) -> Iterator[str]:
    """One line for each set of compiled files that were compiled together, and one where files were not.

    Executables with one token can cache their parameters together; others replace each other's when models change
    (google-coral/libedgetpu, executable/executable.fbs, `parameter_caching_token`).

    Args:
        mappings: {name: mapping} of all files; those that are not compiled say nothing here.
    """
    groups: dict[int, list[str]] = defaultdict(list)
    for name, mapping in mappings.items():
        for token in sorted(_tokens(mapping)):
            groups[token].append(name)
    for names in groups.values():
        if len(names) > 1:
            cached = sum(mappings[name].on_chip_bytes or 0 for name in names)
            yield f"{', '.join(names)}: compiled together (one caching token); {cached:,} bytes are cached side by side"
    if len(groups) > 1:
        yield (
            f"{len(groups)} caching tokens: models of different tokens replace each other's cached parameters whenever"
            " the Edge TPU changes between them; compile them in one call to keep both"
        )


def _tokens(mapping: Mapping) -> set[int]:
    packages: Any = [] if mapping.compiled is None else mapping.compiled["packages"]
    tokens = {executable["caching_token"] for package in packages for executable in package["executables"]}
    return tokens - {0}
