"""The folder that a search leaves: pareto.json, search.html, best/ and, where no other storage is named, the trials."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from tfcompress.cache.whole_files import write_whole
from tfcompress.errors import InputError

__all__ = ["BEST", "SearchFolder"]

_MARKER = "search.json"
BEST = "best"
_OURS = (_MARKER, "pareto.json", "search.html", "trials.journal", "trials.journal.lock", BEST)


@dataclass(frozen=True)
class SearchFolder:
    """What ``--output`` names.

    Attributes:
        path: the folder.
        identity: of the search.
    """

    path: Path
    identity: str

    def open(self) -> None:
        """Make the folder, or go on in that of an earlier run of the same search.

        Raises:
            InputError: it cannot be made, belongs to another search, or is not ours.
        """
        try:
            present = sorted(item.name for item in self.path.iterdir()) if self.path.exists() else []
            if present and self._known() != self.identity:
                what = "another search" if self._known() is not None else f"files that are not ours ({present[0]})"
                raise InputError(f"--output={self.path}: holds {what}; choose another folder")
            strange = [name for name in present if name not in _OURS and not name.startswith(".")]
            if strange:
                raise InputError(f"--output={self.path}: holds {strange[0]}, which we did not write; move it away")
            self.path.mkdir(exist_ok=True)
            self.write(_MARKER, json.dumps({"identity": self.identity}) + "\n")
        except OSError as error:
            raise InputError(f"--output={self.path}: cannot be written: {error.strerror}") from None

    def _known(self) -> str | None:
        try:
            identity = json.loads((self.path / _MARKER).read_text(encoding="utf-8"))["identity"]
        except (OSError, ValueError, KeyError, TypeError):
            return None
        return str(identity)

    def write(self, name: str, text: str) -> None:
        """Replace one of the files, whole."""
        write_whole(self.path / name, text)

    @property
    def storage(self) -> str:
        """The file of trials."""
        return str(self.path / "trials.journal")

    @property
    def best(self) -> Path:
        """Where the best artifact goes."""
        return self.path / BEST
