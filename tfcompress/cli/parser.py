"""Commands and their flags; imports nothing heavy, so that ``--help`` is instant."""

from __future__ import annotations

import argparse
import difflib
import re
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from absl import flags
from absl.flags import argparse_flags

from tfcompress.cli.completion import Shell
from tfcompress.cli.flags import add_options, add_recipe_flags, options_from, recipe_from
from tfcompress.cli.unread_flags import refuse_unread
from tfcompress.converters.target import TARGETS
from tfcompress.errors import InputError, one_line
from tfcompress.job.options import (
    CompressOptions,
    ConvertOptions,
    DemoOptions,
    DiffOptions,
    InspectOptions,
    PackOptions,
    UnpackOptions,
    VerifyOptions,
)
from tfcompress.recipe import Recipe, Training
from tfcompress.recipe.options import option
from tfcompress.recipe.section import Section
from tfcompress.search.options import SearchOptions

__all__ = ["COMMANDS", "Command", "PrintOptions", "SummaryOptions", "build_parser", "checked_options"]


@dataclass(frozen=True, kw_only=True)
class PrintOptions:
    """What every command prints, and where."""

    json: bool = option(False, help="print JSON on standard output, and nothing else there")
    quiet: bool = option(False, help="print no progress and no notes on standard error")


@dataclass(frozen=True, kw_only=True)
class SummaryOptions:
    """Further files that say how a comparison ended."""

    junit_xml: str | None = option(None, metavar="FILE", help="write the gate's verdict for a CI server")
    markdown: str | None = option(None, metavar="FILE", help="write a summary in GitHub-flavoured markdown")
    model_explorer: str | None = option(
        None, metavar="FILE", help="write per-layer figures as Model Explorer node data"
    )
    tensorboard: str | None = option(
        None, metavar="DIR", help="write metrics and per-layer figures as TensorBoard logs"
    )


@dataclass(frozen=True, kw_only=True)
class CompletionOptions:
    """For which shell."""

    shell: Shell = option(positional=True, metavar="bash|zsh", help="the shell")


@dataclass(frozen=True)
class FlagGroup:
    """Flags of a section of the recipe.

    Attributes:
        section: its class; `Recipe` itself for its own options.
        title: heading in ``--help``.
        names: the options that have a flag here; None for all that have one.
    """

    section: type[Section]
    title: str
    names: tuple[str, ...] | None = None


Sections = tuple[FlagGroup, ...]


def _sections_of_targets() -> Sections:
    """The options of every target that has any, each with its heading."""
    sections = [(target.options, target.title) for target in TARGETS.values()]
    return tuple(FlagGroup(section, section.title or title) for section, title in sections if section is not None)


def _sections_of_inspection() -> Sections:
    """The options that `inspect` reads."""
    return tuple(
        FlagGroup(target.options, target.title, target.inspect_reads)
        for target in TARGETS.values()
        if target.options is not None and target.inspect_reads
    )


@dataclass(frozen=True)
class Command:
    """One command of the command line.

    Attributes:
        help: one line for the list of commands.
        options: dataclass of the command's options.
        sections: gives the recipe sections that have flags here.
        summaries: whether the command writes `SummaryOptions`.
        several: name of a positional that may be given more than once; each is done in its turn.
        examples: command lines without the program's name.
    """

    help: str
    options: type
    sections: Callable[[], Sections] = tuple
    summaries: bool = False
    several: str = ""
    examples: tuple[str, ...] = ()


COMMANDS = {
    "convert": Command(
        "convert a model for each target and prove every artifact",
        ConvertOptions,
        lambda: (FlagGroup(Recipe, "layers that keep more bits"), *_sections_of_targets()),
        several="model",
        examples=(
            "convert model.keras --calibration=photos/ --evaluation=labelled/ --labels=labels.txt --output=out",
            "convert model.keras --targets=phone --io=float32 --calibration=train.npz --output=out",
            "convert a.keras b.keras --calibration=train.npz --output=out    # out/a and out/b",
        ),
    ),
    "compress": Command(
        "prune, cluster or quantization-aware-train a model and save it",
        CompressOptions,
        lambda: (FlagGroup(Training, "training"),),
    ),
    "search": Command(
        "find the best artifact within a budget",
        SearchOptions,
        lambda: (FlagGroup(Recipe, "layers that keep more bits"), *_sections_of_targets()),
    ),
    "diff": Command(
        "compare the accuracy of any two models or artifacts",
        DiffOptions,
        summaries=True,
        examples=(
            "diff model.keras out/edgetpu --evaluation=test.npz",
            "diff old.tflite new.tflite --evaluation=test.npz --max_accuracy_drop=0.01 --markdown=summary.md",
        ),
    ),
    "inspect": Command(
        "show what is in a model or artifact, and where it would run",
        InspectOptions,
        _sections_of_inspection,
        examples=("inspect model.keras", "inspect model.tflite --target=edgetpu"),
    ),
    "pack": Command("write the smallest file that gives the identical .tflite back", PackOptions),
    "unpack": Command("restore the .tflite of a packed file, byte for byte", UnpackOptions),
    "verify": Command("check an output folder against its manifest", VerifyOptions),
    "demo": Command("run the main job on an example model with bundled data", DemoOptions),
    "completion": Command(
        "print the completion script of a shell",
        CompletionOptions,
        examples=("completion bash > ~/.local/share/bash-completion/completions/tfcompress",),
    ),
}


class _Parser(argparse_flags.ArgumentParser):
    """Says what is wrong in one line, as every other error of ours."""

    def error(self, message: str) -> NoReturn:
        print(f"{self.prog}: error: {message}; see {self.prog} --help", file=sys.stderr)
        raise SystemExit(InputError.exit_code)


def build_parser() -> argparse.ArgumentParser:
    """The parser of the whole command line; `command` of the result is the command's name."""
    version = (Path(__file__).parent.parent / "VERSION").read_text(encoding="utf-8").strip()
    parser = _Parser(
        prog="tfcompress",
        description="Keras models to TFLite int8, Edge TPU and Cloud TPU, each proven against the float model.",
        epilog="exit codes: 0 done, 1 a conversion failed, 2 bad usage or bad input, 3 the accuracy gate failed, or "
        "nothing meets the budget",
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"tfcompress {version}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for name, command in COMMANDS.items():
        text = command.help
        child = commands.add_parser(
            name,
            help=text,
            description=text[0].upper() + text[1:] + ".",
            epilog=_examples(command),
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,
        )
        add_options(child, command.options, several=command.several)
        add_options(child, PrintOptions, "what is printed")
        if command.summaries:
            add_options(child, SummaryOptions, "further files")
        for group in command.sections():
            add_recipe_flags(child, group.section, group.title, group.names)
        child.set_defaults(parser=child)
    return parser


def _examples(command: Command) -> str | None:
    lines = "".join(f"\n  tfcompress {line}" for line in command.examples)
    return f"examples:{lines}" if lines else None


def parse(arguments: list[str]) -> argparse.Namespace:
    """The parsed command line; an unknown flag is answered with the one that was probably meant.

    Raises:
        SystemExit: the usage is wrong (exit code 2), or help was asked for.
    """
    parser = build_parser()
    try:
        parsed, unknown = parser.parse_known_args(arguments)
    except (flags.Error, ValueError) as error:  # of absl's own flags, such as --verbosity
        parser.error(one_line(error, 300))
    if unknown:
        flag = re.split("[= ]", unknown[0])[0]
        words = [word for action in parsed.parser._actions for word in action.option_strings]
        close = difflib.get_close_matches(flag.replace("-", "_").replace("__", "--", 1), words, n=1)
        advice = f"; did you mean {close[0]}?" if close else ""
        parsed.parser.error(f"unrecognized argument {unknown[0]}{advice}")
    several = COMMANDS[parsed.command].several
    if several:
        parsed.several = getattr(parsed, several)
        setattr(parsed, several, parsed.several[0])
    return parsed


def checked_options(parsed: argparse.Namespace) -> object:
    """The command's options as its dataclass, checked before anything heavy is imported.

    Raises:
        InputError: a value is wrong, or the recipe cannot be used.
    """
    command = COMMANDS[parsed.command]
    sections = [group.section for group in command.sections()]
    if not sections:
        return options_from(parsed, command.options)
    recipe = recipe_from(parsed, sections)
    options: object = options_from(parsed, command.options, recipe=recipe)
    refuse_unread(options, parsed, sections)
    return options
