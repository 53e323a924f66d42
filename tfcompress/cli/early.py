"""What a command line names, looked at before anything heavy is imported: a misspelt path is answered at once."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterator
from pathlib import Path

from tfcompress.cli.named_functions import why_no_function
from tfcompress.data.opening import FORMS
from tfcompress.errors import DataError, InputError, ModelError, RecipeError
from tfcompress.job.options import ConvertOptions
from tfcompress.job.output_folder import check_output
from tfcompress.recipe import Recipe
from tfcompress.recipe.options import Option, names_file, options_of
from tfcompress.recipe.section import Section

__all__ = ["refuse_early"]

_FUNCTIONS = ("DATA", "HOW", "MODULE:DICT", "M,M", "REFERENCE", "CANDIDATE")  # what takes package.module:function
_MODELS = ("MODEL", "REFERENCE", "CANDIDATE", "ARTIFACT", "MODEL.tflite", "MODEL.tfcz")  # metavars
_KEYS = ("KEY.pem",)


def refuse_early(options: object, *, several: bool = False) -> None:
    """Refuse a command that cannot end well, as far as that can be known without TensorFlow.

    Args:
        options: of any command, as its dataclass.
        several: the command does the same for several models, of which one that is missing does not stop the others.

    Raises:
        InputError: a file is not there, data is missing, or the output cannot be written; names the flag.
    """
    if not several:
        _require_paths(options)
    if isinstance(options, ConvertOptions):
        options.require_data()
        if not several:
            reads = (options.model, options.calibration, options.evaluation, options.train, options.sign_key)
            check_output(Path(options.output), reads=reads)


def _require_paths(options: object) -> None:
    for item in options_of(type(options)):
        value = getattr(options, item.name)
        for text in value if isinstance(value, tuple) else (value,):
            if isinstance(text, str) and _names_function(item, text):
                _refuse_function(item, text)
            elif isinstance(text, str) and not _is_there(item, text):
                raise _missing(item, text)
        if isinstance(value, Recipe):
            for where, path in _files_of(value):
                if not os.path.exists(path):
                    raise RecipeError(f"recipe: {where} is {path!r}: no such file")


def _names_function(item: Option, text: str) -> bool:
    return ":" in text and item.metavar in _FUNCTIONS and not os.path.exists(text)


def _refuse_function(item: Option, text: str) -> None:
    reason = why_no_function(text)
    if reason is not None:
        raise InputError(f"{text if item.positional else f'--{item.name}={text}'}: no such file or function: {reason}")


def _is_there(item: Option, text: str) -> bool:
    """Whether there is such a file, or the option names none."""
    names_input = item.metavar in ("DATA", *_MODELS, *_KEYS) or item.name == "labels"
    return not names_input or os.path.exists(text)


def _missing(item: Option, text: str) -> InputError:
    if item.positional:
        return ModelError(f"{text}: no such file or folder")
    if item.metavar == "DATA":
        return DataError(f"--{item.name}={text}: no such file or folder, expected {FORMS}")
    return InputError(f"--{item.name}={text}: no such file")


def _files_of(section: Section) -> Iterator[tuple[str, str]]:
    """(where it stands, path) of every file that a recipe's options name."""
    for item in dataclasses.fields(section):
        value = getattr(section, item.name)
        for part in value if item.name == "sections" else (value,):
            if isinstance(part, Section):
                yield from _files_of(part)
        if isinstance(value, str) and names_file(item):
            yield f"{section.key}.{item.name}", value
