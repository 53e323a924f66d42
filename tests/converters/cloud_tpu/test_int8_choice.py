"""Which layers multiply int8: the compiler's cycles of whole programs, compared layer by layer."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.converters.cloud_tpu import models
from tests.converters.cloud_tpu.test_int8 import program
from tfcompress.compile_row import CompileRow
from tfcompress.converters.cloud_tpu import proof
from tfcompress.converters.cloud_tpu.int8.choice import choose, mixed
from tfcompress.converters.cloud_tpu.stablehlo import lower_graph

needs_compiler = pytest.mark.skipif(proof.compiler_version() is None, reason="libtpu is not installed")


def row(**cycles: int) -> CompileRow:
    layers = [{"layer": name, "cycles": spent} for name, spent in cycles.items()]
    return CompileRow(topology="v5e:1x1", ok=True, estimated_cycles=sum(cycles.values()), figures={"layers": layers})


EVEN = {"first": 9, "depthwise": 9, "second": 9, "scores": 9}


@pytest.mark.parametrize(
    ("narrow", "wide", "expected"),
    [
        (EVEN, EVEN | {"first": 8, "second": 10}, {"first", "depthwise"}),
        # What the depthwise layer gains by storing bfloat16 counts for the layer that reads it.
        (EVEN, EVEN | {"depthwise": 5, "second": 10}, {"depthwise", "second"}),
        # Fused into its neighbour in one of the programs: the neighbour's cycles are not its own.
        ({"first": 9, "depthwise": 9, "scores": 9}, EVEN | {"second": 1}, {"depthwise"}),
    ],
)
def test_the_mix_takes_the_cheaper_kind_of_each_layer(
    narrow: dict[str, int], wide: dict[str, int], expected: set[str], tmp_path: Path
) -> None:
    int8_program, _ = program(models.conv_net(), tmp_path)
    mix = mixed(int8_program, row(**narrow), row(**wide))
    assert mix is not None
    assert {int8_program.products()[index] for index in mix.wide} == expected


def test_a_graph_is_lowered_with_its_weights_as_arguments(tmp_path: Path) -> None:
    model = models.conv_net()
    int8_program, _ = program(model, tmp_path)
    graph = int8_program.at_batch(model, 1)
    arguments, constants = (lower_graph(graph, freeze=freeze) for freeze in (False, True))
    assert len(arguments) < len(constants)


@needs_compiler
def test_the_program_of_fewest_cycles_is_chosen(tmp_path: Path) -> None:
    model = models.conv_net()
    int8_program, _ = program(model, tmp_path)
    choice = choose(int8_program, model, 1, ["v5e:1x1"])
    assert {"int8", "bfloat16 products"} <= choice.cycles.keys()
    assert choice.topology == "v5e:1x1"
    assert all(cycles >= min(choice.cycles.values()) > 0 for cycles in choice.cycles.values())
