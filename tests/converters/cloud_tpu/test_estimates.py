"""Cycles and seconds of a compiled program, read off libtpu's text; the chips' clocks against their published peaks."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.converters.cloud_tpu.test_findings import HLO
from tfcompress.converters.cloud_tpu import prove
from tfcompress.converters.cloud_tpu.chips import CHIPS, chip_of, compiler_topology
from tfcompress.converters.cloud_tpu.estimates import estimate
from tfcompress.converters.cloud_tpu.proof import compiler_version
from tfcompress.runtime import tf

V5E = CHIPS["v5e"]
# bfloat16 operations a second of what one program has to itself (Google Cloud documentation; ISCA 2021 for v4i).
PUBLISHED_PEAKS = {
    "v2": 45e12 / 2, "v3": 123e12 / 2, "v4i": 138e12, "v4": 275e12, "v5e": 197e12, "v5p": 459e12, "v6e": 918e12,
    "tpu7x": 2307e12 / 2,
}  # fmt: skip
LARGEST_CLOCK_ERROR = 0.025

needs_compiler = pytest.mark.skipif(compiler_version() is None, reason="libtpu is not installed")


def bfloat16_peak(name: str) -> float:
    return 2 * CHIPS[name].macs_per_cycle * CHIPS[name].clock_hz


def test_cycles_are_summed_with_a_loops_body_as_often_as_it_runs() -> None:
    result = estimate(HLO, V5E, [], flops=None, bytes_accessed=None)
    assert result.cycles == 700 + 100 + 10 * 10 + 100
    assert result.seconds == 1000 / 1.5e9


def test_each_layer_has_its_cycles_and_what_binds_it() -> None:
    result = estimate(HLO, V5E, ["project", "lstm"], flops=None, bytes_accessed=None)
    assert [(layer.layer, layer.cycles) for layer in result.layers] == [
        ("project", 700),
        ("copy", 100),
        ("lstm", 100),
        ("fusion", 100),
    ]
    assert result.figures()["layers"] == [
        {"layer": layer.layer, "cycles": layer.cycles, "share": layer.cycles / 1000, "bound": layer.bound}
        for layer in result.layers
    ]


def fusion(cycles: int, operand: str, result: str) -> str:
    """A program of one instruction."""
    return f"""ENTRY %main () -> f32[] {{
  %x = {operand} parameter(0)
  %w = s8[1,1,1024,1024]{{3,2,1,0}} constant({{...}})
  ROOT %y = {result} convolution(%x, %w), window={{size=1x1}}, dim_labels=b01f_01io->b01f, \
backend_config={{"window_config":{{"estimated_cycles":"{cycles}"}}}}
}}
"""


@pytest.mark.parametrize(
    ("cycles", "operand", "bound"),
    [
        (8300, "s8[1,32,32,1024]{3,2,1,0:S(1)}", "matrix unit"),  # 2**30 products, 2 * 4 * 128**2 a cycle: 8192 cycles
        (100_000, "s8[1,32,32,1024]{3,2,1,0:S(1)}", "vector unit"),
        (100_000, "f32[1,32,32,10240]{3,2,1,0}", "memory"),  # 42 MB at 546 bytes a cycle
    ],
)
def test_an_instruction_waits_for_the_unit_that_explains_most_of_its_cycles(
    cycles: int, operand: str, bound: str
) -> None:
    text = fusion(cycles, operand, "s32[1,32,32,1024]{3,2,1,0:S(1)}")
    (layer,) = estimate(text, V5E, [], flops=None, bytes_accessed=None).layers
    assert layer.bound == bound


def test_seconds_are_never_fewer_than_the_fastest_arithmetic_needs() -> None:
    assert estimate(HLO, V5E, [], flops=1e12, bytes_accessed=None).seconds == 1e12 / V5E.peak_flops


def test_without_cycles_the_roofline_is_the_estimate_and_without_figures_there_is_none() -> None:
    empty = "ENTRY %main () -> f32[] {\n  ROOT %c = f32[] constant(0)\n}\n"
    assert estimate(empty, V5E, [], flops=1.0, bytes_accessed=819e9).seconds == 1.0
    unknown = estimate(empty, V5E, [], flops=None, bytes_accessed=None)
    assert (unknown.cycles, unknown.seconds, unknown.layers) == (None, None, ())


@pytest.mark.parametrize("name", CHIPS)
def test_a_clock_gives_the_published_peak(name: str) -> None:
    assert bfloat16_peak(name) == pytest.approx(PUBLISHED_PEAKS[name], rel=LARGEST_CLOCK_ERROR)
    assert bfloat16_peak(name) * 1.1 != pytest.approx(PUBLISHED_PEAKS[name], rel=LARGEST_CLOCK_ERROR)


def test_a_chip_goes_by_our_name_and_by_the_compilers() -> None:
    assert chip_of("v4i:1x1") == chip_of("v4 lite:1x1") != chip_of("v4:2x2x1")
    assert compiler_topology("v4i:1x1") == "v4 lite:1x1"
    assert compiler_topology("v5e:2x2") == "v5e:2x2"


@needs_compiler
@pytest.mark.slow
@pytest.mark.parametrize("topology", ["v2:2x2", "v3:2x2", "v4i:1x1", "tpu7x:2x2x1"])
def test_every_generation_compiles_with_a_consistent_estimate(topology: str, tmp_path: Path) -> None:
    module = tf.Module()
    module.w = tf.Variable(tf.ones([1024, 1024], tf.bfloat16))
    spec = tf.TensorSpec([1024, 1024], tf.bfloat16, name="x")
    module.f = tf.function(lambda x: tf.nn.relu(x @ module.w), input_signature=[spec])
    tf.saved_model.save(module, str(tmp_path / "m"), signatures=module.f)
    (row,) = prove(tmp_path / "m", [topology])
    assert row.ok, row.error
    assert row.estimated_seconds is not None
    assert row.estimated_seconds >= 2 * 1024**3 / chip_of(topology).peak_flops
    assert row.estimated_cycles == pytest.approx(row.estimated_seconds * chip_of(topology).clock_hz)
