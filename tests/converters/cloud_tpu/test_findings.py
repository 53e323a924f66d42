"""Findings are read off the text of optimised HLO; these are lines in libtpu's own form, shortened."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from tfcompress.converters.cloud_tpu.findings import read_findings
from tfcompress.converters.cloud_tpu.layouts import entry_arguments, read_array
from tfcompress.converters.cloud_tpu.proof import CompileRow
from tfcompress.report import render_inspection, schema
from tfcompress.report.compile_notes import compile_notes
from tfcompress.typed_json import from_plain

HLO = """HloModule tfcompress, is_scheduled=true

%fused_computation.1 (param_0: bf16[8,56,56,96]) -> bf16[8,56,56,24] {
  %param_0 = bf16[8,56,56,96]{3,0,2,1:T(8,128)(2,1)} parameter(0)
  ROOT %convolution.1 = bf16[8,56,56,24]{3,0,2,1:T(8,128)(2,1)} convolution(%param_0, %param_1), window={size=1x1}, \
metadata={op_name="model/project/Conv2D"}
}

%fused_computation.2 (param_0: f32[8,128]) -> f32[8] {
  %param_0 = f32[8,128]{1,0:T(8,128)} parameter(0)
  ROOT %reduce.1 = f32[8]{0:T(128)} reduce(%param_0, %c), dimensions={1}, to_apply=%add
}

%body (p: (s32[], f32[8,128])) -> (s32[], f32[8,128]) {
  %dot.5 = f32[8,128]{1,0:T(8,128)} dot(%a, %b), metadata={op_name="model/lstm/while/MatMul"}, \
backend_config={"window_config":{"estimated_cycles":"10"}}
}

ENTRY %main (x: bf16[8,56,56,96]) -> f32[8] {
  %x = bf16[8,56,56,96]{3,0,2,1:T(8,128)(2,1)} parameter(0)
  %fusion.1 = bf16[8,56,56,24]{3,0,2,1:T(8,128)(2,1)} fusion(%x), kind=kOutput, calls=%fused_computation.1, \
backend_config={"window_config":{"estimated_cycles":"700"}}
  %copy.1 = f32[8,128]{1,0:T(8,128)} copy(%y), backend_config={"window_config":{"estimated_cycles":"100"}}
  %while.1 = (s32[], f32[8,128]{1,0:T(8,128)}) while(%t), condition=%cond, body=%body, \
backend_config={"known_trip_count":{"n":"10"}}
  ROOT %fusion.2 = f32[8]{0:T(128)} fusion(%z), kind=kLoop, calls=%fused_computation.2, \
backend_config={"window_config":{"estimated_cycles":"100"}}
}
"""


def test_time_is_shared_out_by_kind_and_a_loop_counts_as_often_as_it_runs() -> None:
    shares = read_findings(HLO, []).time_share
    assert shares == {"matrix unit": 0.8, "data movement": 0.1, "reduction": 0.1}


def test_padding_waste_is_weighted_by_cycles() -> None:
    # 24 of 128 lanes are used for 700 cycles, all of them for 100.
    assert read_findings(HLO, []).padding_waste == pytest.approx((700 * (1 - 24 / 128)) / 800, abs=1e-4)


def test_advice_names_the_layer_the_waste_and_a_better_size() -> None:
    (line,) = read_findings(HLO, ["project"]).advice
    assert line == (
        "layer 'project': 81 % of the matrix unit's result is padding (70 % of the time): channels 24 is "
        "padded to 128; choose a multiple of 128"
    )


def test_a_program_without_estimates_gives_no_findings() -> None:
    findings = read_findings("ENTRY %main () -> f32[] {\n  ROOT %c = f32[] constant(0)\n}\n", [])
    assert (findings.time_share, findings.padding_waste, findings.advice) == ({}, None, ())


def test_the_terminal_shows_where_time_goes_and_the_advice_once() -> None:
    findings = read_findings(HLO, ["project"])
    row = CompileRow(
        topology="v5e:2x2",
        signature="batch_8",
        batch_size=8,
        ok=True,
        time_share=findings.time_share,
        padding_waste=0.71875,
        advice=findings.advice,
    ).to_json()
    console = Console(file=io.StringIO(), width=200)
    rows = [
        from_plain(schema.CompileSection, plain, "compile")
        for plain in (row, row | {"topology": "v6e:1x1"}, row | {"batch_size": 1})
    ]
    console.print(render_inspection({"compile": rows}))
    assert isinstance(console.file, io.StringIO)
    text = console.file.getvalue()
    assert "matrix unit 80 %, data movement 10 %" in text
    assert "72 %" in text
    assert text.count("channels 24 is padded to 128") == 1


def test_advice_whose_figures_differ_names_its_topology() -> None:
    (line,) = read_findings(HLO, ["project"]).advice
    other = line.replace("70 %", "40 %")
    assert other != line
    rows = [
        schema.CompileSection(
            topology=topology, signature="batch_8", batch_size=8, ok=True, advice=(advice, "the same for both")
        )
        for topology, advice in (("v5e:2x2", line), ("v6e:1x1", other))
    ]
    assert compile_notes(rows) == [f"v5e:2x2: {line}", "the same for both", f"v6e:1x1: {other}"]


def test_an_array_takes_the_memory_of_its_layout() -> None:
    # 224 columns lie along the lanes and fill two tiles of 128, 224 rows fill 28 tiles of 8; 4 bytes a number.
    assert bytes_of("f32[32,224,224,3]{2,1,3,0:T(8,128)}") == 32 * 3 * 224 * 256 * 4
    # 64 channels are padded to 128 lanes, 3 of the kernel's rows to 8 sublanes; 2 bytes a number.
    assert bytes_of("bf16[7,7,3,64]{3,2,1,0:T(8,128)(2,1)S(1)}") == 7 * 7 * 8 * 128 * 2
    assert bytes_of("bf16[1000]{0:T(1024)(128)(2,1)}") == 1024 * 2
    assert bytes_of("s32[]{:T(128)}") == 4
    assert bytes_of("pred[5]{0}") == 5


def bytes_of(text: str) -> int:
    array = read_array(text)
    assert array is not None
    return array.bytes


def test_arguments_of_the_program_are_those_of_its_entry() -> None:
    arguments = entry_arguments(HLO)
    assert {index: array.bytes if array else None for index, array in arguments.items()} == {0: 56 * 56 * 8 * 128 * 2}
