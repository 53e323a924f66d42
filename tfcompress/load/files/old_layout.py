"""`.keras` files as TensorFlow 2.12 and 2.13 wrote them, in the layout that tf_keras reads.

Those versions walked a model's attributes in alphabetical order and so stored its layers under the first one that holds
them, ``_layer_checkpoint_dependencies``, where a layer with weights is listed twice; a repeated class's number counted
both (``conv2d``, ``conv2d_2``, ``conv2d_4``).  Later versions store them under ``layers``, numbered one by one
(`keras/src/saving/saving_lib.py` of Keras 2.13 and 2.15).
"""

from __future__ import annotations

import re
import zipfile
from pathlib import Path
from typing import Any

__all__ = ["has_old_layout", "to_present_layout"]

_OLD, _PRESENT = "_layer_checkpoint_dependencies", "layers"
_NAME = re.compile(r"(?P<kind>.*?)(_(?P<number>\d+))?")
_WEIGHTS = "model.weights.h5"


def has_old_layout(path: Path) -> bool:
    """Whether the weights of a `.keras` archive are stored as TensorFlow 2.12 and 2.13 did.

    Args:
        path: of an archive that was found sound.
    """
    import h5py

    with zipfile.ZipFile(path) as archive, archive.open(_WEIGHTS) as stream, h5py.File(stream, "r") as file:
        return _OLD in file


def to_present_layout(path: Path) -> None:
    """Rename the groups of a weights file, at every depth, in place.

    Args:
        path: of ``model.weights.h5``, unpacked.
    """
    import h5py

    with h5py.File(path, "r+") as file:
        stack: list[Any] = [file]
        while stack:
            group = stack.pop()
            if _OLD in group and _PRESENT not in group:
                group.move(_OLD, _PRESENT)
                _renumber(group[_PRESENT])
            stack.extend(item for item in group.values() if isinstance(item, h5py.Group))


def _renumber(group: Any) -> None:
    """Number the layers of each class one by one, in the order of the numbers that they have."""
    counts: dict[str, int] = {}
    for kind, number, name in sorted(map(_parts, group)):
        del number
        count = counts.get(kind, 0)
        counts[kind] = count + 1
        wanted = f"{kind}_{count}" if count else kind
        if wanted != name:
            group.move(name, wanted)


def _parts(name: str) -> tuple[str, int, str]:
    match = _NAME.fullmatch(name)
    assert match is not None, "the pattern takes any name"
    return match["kind"], int(match["number"] or 0), name
