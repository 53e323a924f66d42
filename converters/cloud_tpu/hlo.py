"""The text of an optimised HLO module as instructions, with libtpu's own estimate of cycles for each.

Source of the notation: openxla.org, "HLO dumps"; libtpu writes ``"estimated_cycles"`` into an instruction's
``backend_config``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

__all__ = ["MATRIX_OPS", "Instruction", "Module"]

INSTRUCTION = re.compile(r"^\s+(?:ROOT )?%(?P<name>\S+) = (?P<shape>\(.*?\)|\S+) (?P<op>[\w\-]+)\((?P<rest>.*)$")
COMPUTATION = re.compile(r"^(?:ENTRY )?%(?P<name>\S+) \(.*\{$")
MATRIX_OPS = frozenset({"convolution", "dot"})
# Instructions that hand on what another one made, and move nothing.
FREE_OPS = frozenset({"parameter", "constant", "tuple", "get-tuple-element", "bitcast"})


@dataclass(frozen=True)
class Instruction:
    """One line of the text.

    Attributes:
        name: of the instruction.
        op: such as ``fusion``.
        shape: of the result, with its layout, as the text has it.
        rest: what follows the opening bracket: operands, attributes, metadata.
        cycles: by libtpu's estimate; 0 where it gives none.
        called: computations that it fuses, or the body of a loop.
        trips: how often a loop runs.
        source: the TensorFlow operator that it comes from, with its name scopes; may be empty.
    """

    name: str
    op: str
    shape: str
    rest: str
    cycles: int
    called: tuple[str, ...]
    trips: int
    source: str

    @classmethod
    def read(cls, match: re.Match[str]) -> Instruction:
        """The instruction that `INSTRUCTION` matched."""
        rest = match["rest"]
        cycles = re.search(r'"estimated_cycles":"(\d+)"', rest)
        trips = re.search(r'"known_trip_count":\{"n":"(\d+)"', rest)
        source = re.search(r'op_name="([^"]*)"', rest)
        return cls(
            name=match["name"],
            op=match["op"],
            shape=match["shape"],
            rest=rest,
            cycles=int(cycles[1]) if cycles else 0,
            called=tuple(re.findall(r"(?:calls|body)=%([^\s,]+)", rest)),
            trips=int(trips[1]) if trips else 1,
            source=source[1] if source else "",
        )

    @cached_property
    def operands(self) -> tuple[str, ...]:
        """Names of the instructions that it reads."""
        return tuple(re.findall(r"%([^\s,()]+)", self.rest.partition(")")[0]))


@dataclass(frozen=True)
class Module:
    """A program: its computations by name, and the name of the one it starts with."""

    computations: Mapping[str, tuple[Instruction, ...]]
    entry: str

    @classmethod
    def parse(cls, text: str) -> Module:
        """The module in a text; without computations where there are none."""
        computations: dict[str, list[Instruction]] = {}
        entry = current = ""
        for line in text.splitlines():
            header = COMPUTATION.match(line)
            if header:
                current = header["name"]
                computations[current] = []
                entry = current if line.startswith("ENTRY") else entry
            elif (match := INSTRUCTION.match(line)) and current:
                computations[current].append(Instruction.read(match))
        return cls({name: tuple(lines) for name, lines in computations.items()}, entry)

    def run(self) -> Iterator[tuple[Instruction, int]]:
        """Instructions of the program with how often each runs, those of its loops among them."""
        yield from self._walk(self.entry, 1)

    def inner(self, instruction: Instruction) -> list[Instruction]:
        """What an instruction fuses; itself where it fuses nothing."""
        return [item for name in instruction.called for item, _ in self._walk(name, 1)] or [instruction]

    def product(self, instruction: Instruction) -> Instruction | None:
        """The matrix product or convolution in an instruction; None without one."""
        return next((item for item in self.inner(instruction) if item.op in MATRIX_OPS), None)

    @cached_property
    def by_name(self) -> Mapping[str, Instruction]:
        """Every instruction of the text by its name."""
        return {item.name: item for lines in self.computations.values() for item in lines}

    def _walk(self, name: str, times: int) -> Iterator[tuple[Instruction, int]]:
        for instruction in self.computations.get(name, ()):
            if instruction.op == "while":
                for body in instruction.called:
                    yield from self._walk(body, times * instruction.trips)
            else:
                yield instruction, times
