"""Flags that nothing would read: refused, because what they ask for would silently not be done."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from tfcompress.cli.flags import GivenFlag, given_flags, recipe_from
from tfcompress.converters.target import TARGETS, parse_targets
from tfcompress.errors import InputError
from tfcompress.job.options import ConvertOptions, InspectOptions
from tfcompress.recipe import Recipe
from tfcompress.recipe.section import Section
from tfcompress.search.options import SearchOptions

__all__ = ["refuse_unread"]


def refuse_unread(options: object, parsed: argparse.Namespace, sections: Sequence[type[Section]]) -> None:
    """Refuse a flag of a target that is not asked for, or that the target does not read here.

    Args:
        options: of the command.
        parsed: what the parser returned.
        sections: classes of the recipe's sections whose flags the command has.

    Raises:
        InputError: names the flag, and the targets that read it.
    """
    for flag in given_flags(parsed, sections):
        if isinstance(options, InspectOptions):
            _refuse_in_inspection(options, flag)
        elif isinstance(options, ConvertOptions | SearchOptions) and flag.section is not Recipe:
            without = recipe_from(argparse.Namespace(**{**vars(parsed), flag.flag: None}), sections)
            _refuse_in_conversion(parse_targets(options.targets), flag, options.recipe or Recipe(), without or Recipe())
    if isinstance(options, InspectOptions) and options.recipe is not None and options.target is None:
        raise InputError("--recipe: read with --target=NAME alone, got no --target; add that or leave --recipe out")


def _refuse_in_inspection(options: InspectOptions, flag: GivenFlag) -> None:
    if options.edgetpu_log:
        raise InputError(f"{flag}: not read with --edgetpu_log, which shows what a compiler said; leave it out")
    readers = [name for name, target in TARGETS.items() if target.options is flag.section]
    if options.target not in readers:
        given = "no --target" if options.target is None else f"--target={options.target}"
        needed = " or ".join(f"--target={name}" for name in readers)
        raise InputError(f"{flag}: read with {needed} alone, got {given}; add that or leave {flag} out")


def _refuse_in_conversion(targets: Sequence[str], flag: GivenFlag, recipe: Recipe, without: Recipe) -> None:
    """A flag is read where a target's artifact depends on it; one that repeats what is so anyway does no harm."""
    if recipe == without:
        return
    readers = [name for name, target in TARGETS.items() if target.depends_on(recipe) != target.depends_on(without)]
    if not set(readers) & set(targets):
        advice = (
            f"{', '.join(readers)} would read it: add one of them or leave {flag} out" if readers else "leave it out"
        )
        raise InputError(f"{flag}: changes nothing for --targets={','.join(targets)}; {advice}")
