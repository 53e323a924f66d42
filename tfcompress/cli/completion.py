"""Tab completion: a script for bash, and for zsh through its bashcompinit, made from the parser itself."""

from __future__ import annotations

import argparse
from typing import Literal

__all__ = ["Shell", "completion_script"]

Shell = Literal["bash", "zsh"]

_BASH = """\
_tfcompress() {{
  local word="${{COMP_WORDS[COMP_CWORD]}}" words=""
  case "${{COMP_WORDS[1]}}" in
{cases}
  esac
  if [ "$COMP_CWORD" -eq 1 ]; then words="{commands} --help --version"; fi
  case "$word" in
    -*) COMPREPLY=($(compgen -W "$words" -- "$word")) ;;
    *) if [ "$COMP_CWORD" -eq 1 ]; then COMPREPLY=($(compgen -W "$words" -- "$word")); \
else COMPREPLY=($(compgen -f -- "$word")); fi ;;
  esac
}}
complete -o filenames -o nospace -F _tfcompress tfcompress
"""


def completion_script(parser: argparse.ArgumentParser, shell: Shell) -> str:
    """What a shell has to read to complete commands and flags.

    Args:
        parser: of the whole command line.
        shell: whose script it is to be.
    """
    (commands,) = [item.choices for item in parser._actions if isinstance(item, argparse._SubParsersAction)]
    cases = "\n".join(f'    {name}) words="{" ".join(_flags(child))}" ;;' for name, child in commands.items())
    script = _BASH.format(cases=cases, commands=" ".join(commands))
    return script if shell == "bash" else f"autoload -U +X bashcompinit && bashcompinit\n{script}"


def _flags(parser: argparse.ArgumentParser) -> list[str]:
    """A command's long flags; one that takes a value ends with an equals sign.

    absl's and those of the libraries that register with it are left out: they are not ours, and have no place to go to.
    """
    flags = []
    for action in parser._actions:
        if action.dest == argparse.SUPPRESS:
            continue
        ending = "" if action.nargs == 0 else "="
        flags += [f"{flag}{ending}" for flag in action.option_strings if flag.startswith("--")]
    return flags
