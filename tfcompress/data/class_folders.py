"""Files in sub-folders that are classes, and the names of classes.

Class numbers follow the sorted names of the sub-folders, as in `keras.utils.image_dataset_from_directory`, unless the
model's own order is given.  Samples come class by class in turn (one of each, then the next of each), so that any first
part of the stream is balanced.
"""

from __future__ import annotations

import itertools
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np

from tfcompress.errors import DataError, InputError, one_line
from tfcompress.file_hashes import sha256_of_file, sha256_of_files
from tfcompress.plain_files import read_plain

__all__ = ["ClassFolder", "Entries", "class_number", "class_numbers", "entries_of", "read_class_names"]

Entries = tuple[tuple[str, int | None], ...]
"""(file, class number) in stream order; the class is None when there are no sub-folders."""

MOST_NAME_BYTES = 16 << 20


@dataclass(frozen=True)
class ClassFolder:
    """Files by class; a source of samples reads them.

    Attributes:
        path: the folder, or a zip of one.
        entries: see `Entries`.
        classes: their names in class order.
    """

    path: Path
    entries: Entries
    classes: tuple[str, ...]

    @property
    def name(self) -> str:
        """The path."""
        return str(self.path)

    @property
    def count(self) -> int:
        """Number of files."""
        return len(self.entries)

    @property
    def sha256(self) -> str:
        """Hash of the zip, or of all the files' names and contents."""
        if self.path.is_dir():
            return sha256_of_files(self.path, (self.path / file for file, _ in self.entries))
        return sha256_of_file(self.path)


def read_class_names(labels: str | Path | Sequence[str] | None) -> tuple[str, ...]:
    """Names of the classes in the model's order; empty for None.

    Args:
        labels: the names, or a text file with one per line.

    Raises:
        InputError: the file cannot be read, or a name stands twice.
    """
    if labels is None:
        return ()
    if isinstance(labels, str | Path):
        try:
            lines = read_plain(labels, most_bytes=MOST_NAME_BYTES).decode("utf-8-sig").splitlines()
        except (OSError, ValueError) as error:
            raise InputError(f"--labels={labels}: cannot be read: {one_line(error, 160)}") from None
        names = tuple(line.strip() for line in lines if line.strip())
    else:
        names = tuple(map(str, labels))
    twice = next((name for name in names if names.count(name) > 1), None) if len(set(names)) < len(names) else None
    if not names or twice is not None:
        raise InputError(f"--labels={one_line(labels, 60)}: expected one name per line, got " + (twice or "none"))
    return names


def class_number(name: str, classes: Sequence[str], where: str) -> int:
    """Where a name stands among the classes.

    Raises:
        DataError: it is not among them.
    """
    if name not in classes:
        few = ", ".join(classes[:10]) + (", ..." if len(classes) > 10 else "")
        like = next((each for each in classes if each.strip().lower() == name.strip().lower()), None)
        fix = "" if like is None else f"write it {like!r}, or "
        raise DataError(
            f"{where}: {name!r} is none of the classes, which are called ({few}); {fix}list the model's classes in its "
            "order, a line each, in a file for --labels"
        )
    return classes.index(name)


def class_numbers(labels: np.ndarray, classes: Sequence[str], where: str) -> np.ndarray:
    """Labels that are words, or their bytes, as int64 numbers of the classes; the shape stays.

    Raises:
        DataError: a word is none of the classes.
    """
    words = [
        value.decode(errors="backslashreplace") if isinstance(value, bytes) else str(value) for value in labels.flat
    ]
    numbers = {word: class_number(word, classes, where) for word in set(words)}
    return np.array([numbers[word] for word in words], np.int64).reshape(labels.shape)


def entries_of(
    path: Path, files: Sequence[str], suffixes: Collection[str], class_names: Sequence[str]
) -> tuple[Entries, tuple[str, ...]]:
    """The files with one of `suffixes`, by class in turn, and the names of the classes.

    Args:
        path: the folder or the zip, for messages.
        files: names relative to it, with slashes.
        suffixes: in lower case, with their dot.
        class_names: in the model's order; empty takes the sorted names of the folders.

    Raises:
        DataError: no such files, or folders that are no class.
    """
    names = sorted(file for file in files if PurePosixPath(file).suffix.lower() in suffixes and not _is_hidden(file))
    if not names:
        raise DataError(
            f"{path}: no images or sounds found, expected class sub-folders with {'/'.join(sorted(suffixes))} files"
        )
    by_class = _by_class(path, names)
    folders = tuple(sorted(by_class))
    if len(folders) < 2:
        return tuple((file, None) for file in names), ()
    classes = tuple(class_names) or folders
    numbers = [class_number(folder, classes, str(path)) for folder in folders]
    turns = itertools.zip_longest(
        *[[(file, number) for file in by_class[folder]] for folder, number in zip(folders, numbers, strict=True)]
    )
    return tuple(entry for turn in turns for entry in turn if entry is not None), classes


def _is_hidden(file: str) -> bool:
    return any(part.startswith((".", "__MACOSX")) for part in PurePosixPath(file).parts)


def _by_class(path: Path, files: Sequence[str]) -> Mapping[str, list[str]]:
    """Files by the folder that directly holds them."""
    by_class: dict[str, list[str]] = {}
    for file in files:
        by_class.setdefault(str(PurePosixPath(file).parent), []).append(file)
    if len({PurePosixPath(parent).name for parent in by_class}) != len(by_class):
        raise DataError(
            f"{path}: two class folders have the same name below different parents; give one split, not several"
        )
    outer = next(
        (parent for folder in by_class for parent in PurePosixPath(folder).parents if str(parent) in by_class), None
    )
    if outer is not None:
        inner = next(folder for folder in by_class if outer in PurePosixPath(folder).parents)
        raise DataError(
            f"{path}: {by_class[str(outer)][0]} lies beside the folder {inner}, which holds more of its kind; expected "
            "every file directly in the folder of its class"
        )
    return {PurePosixPath(parent).name: part for parent, part in by_class.items()}
