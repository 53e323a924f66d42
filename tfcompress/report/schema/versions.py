"""Reading reports of earlier versions: as what they would be today."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tfcompress.errors import InputError

__all__ = ["NOT_COMPARED", "upgraded"]

NOT_COMPARED = "there was no data to compare on, so nothing is known of its accuracy"
_TRAINED = ("pruning", "clustering", "quantization", "distillation")


def upgraded(value: object, version: int) -> object:
    """`value` as an object of schema `version`.

    Version 1 said `ok` of an artifact whose gate was undecided or that was not compared at all.

    Raises:
        InputError: it says that it is of a version that this one does not know.
    """
    if not isinstance(value, Mapping):
        return value
    own = value.get("schema_version")
    if own == version:
        return value
    if own != 1 or isinstance(own, bool):
        raise InputError(f"report.json: schema_version is {own!r}, expected 1 to {version}")
    targets = value.get("targets")
    changed: dict[str, Any] = {**value, "schema_version": version}
    if isinstance(targets, Mapping):
        changed["targets"] = {name: _section(section) for name, section in targets.items()}
    compression, recipe = value.get("compression"), value.get("recipe")
    if isinstance(compression, Mapping) and isinstance(recipe, Mapping):
        stages = [section for section in _TRAINED if recipe.get(section) is not None]
        changed["compression"] = {**compression, "stages": stages}
    return changed


def _section(section: object) -> object:
    if not isinstance(section, Mapping) or section.get("status") != "ok":
        return section
    gate = section.get("gate")
    if gate is None:
        return {**section, "status": "undecided", "reason": section.get("reason") or NOT_COMPARED}
    undecided = isinstance(gate, Mapping) and gate.get("verdict") == "undecidable"
    return {**section, "status": "undecided"} if undecided else section
