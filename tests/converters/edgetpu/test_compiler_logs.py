"""Logs in the forms in which they are found in public: rebuilt line by line, with other names and figures.

Forms: google-coral/edgetpu issues 85, 104, 173, 211, 393, 411, 444, 458, 518, 671, 686, 718, 728; ultralytics/yolov5
pull request 3630; blogs and notes that lost the ends of lines or turned columns into tabs.
"""

from __future__ import annotations

import contextlib
import io
import re
from pathlib import Path

import pytest

from tests.converters.edgetpu.test_compiler import LOG
from tfcompress.cli import main
from tfcompress.converters.edgetpu.compiler_log import CompilerRun, parse_compiler_log, parse_compiler_text

SIXTEEN = "Edge TPU Compiler version 16.0.384591198"
MIB = 2**20
SHORT_LOG = """\
Edge TPU Compiler version 15.0.340273435
Input: birds.tflite
Output: out/birds_edgetpu.tflite

Operator                       Count      Status

CONV_2D                        4          Mapped to Edge TPU
SOFTMAX                        1          Operation not supported
DEQUANTIZE                     1          Operation is working on an unsupported data type
"""


def runs(text: str) -> tuple[CompilerRun, ...]:
    return parse_compiler_text(text).runs


def only(text: str) -> CompilerRun:
    (run,) = runs(text)
    return run


def counts(run: CompilerRun) -> tuple[int | None, int | None, int | None]:
    return run.operators, run.mapped_ops, run.cpu_ops


def test_a_log_file_has_the_table_alone() -> None:
    run = only(SHORT_LOG)
    assert (run.input, run.output, run.version) == ("birds.tflite", "out/birds_edgetpu.tflite", "15.0.340273435")
    assert (counts(run), run.compiled, run.on_chip_bytes) == ((6, 4, 2), True, None)


@pytest.mark.parametrize("prefix", ["> ", "> > ", "    ", "\t", "  | ", "# ", "\x1b[32m"])
def test_a_quoted_or_indented_log_is_read_like_the_plain_one(prefix: str) -> None:
    plain = LOG.format(input="cars.tflite")
    assert runs("".join(f"{prefix}{line}\n" for line in plain.splitlines())) == runs(plain)


BEFORE_EVERY_LINE = {
    "a container": "edgetpu-1  | ",
    "a container's time": "2024-05-01T12:00:{:02}.123456789Z ",
    "a time in brackets": "[12:00:{:02}.123] ",
    "a service": "Nov 26 12:00:{:02} box edgetpu[123]: ",
    "a logger": "2024-05-01 12:00:{:02},123 INFO edgetpu: ",
    "a logger without time": "INFO:root:",
    "a pod": "2024-05-01T12:00:{:02}Z stdout F ",
    "a line number": "{:4}  ",
    "a line number with a colon": "{}: ",
    "a bullet": "- ",
    "an escaped quote": "&gt; ",
    "a terminal's title": "\x1b]0;~/models\x07\x1b(B",
    "a batch file's remark": "REM ",
}


@pytest.mark.parametrize("before", BEFORE_EVERY_LINE.values(), ids=BEFORE_EVERY_LINE)
@pytest.mark.parametrize("failed", [False, True], ids=["compiled", "failed"])
def test_what_other_programs_put_before_every_line_is_taken_off(before: str, failed: bool) -> None:
    plain = f"{SIXTEEN}\nInvalid model: a.tflite\nModel not quantized\n" if failed else LOG.format(input="cars.tflite")
    lines = [f"{before.format(number)}{line}\n" for number, line in enumerate(plain.splitlines(), 1)]
    assert runs("".join(lines)) == runs(plain)
    assert runs(plain)[0].compiled is not failed


def test_sentences_that_name_the_compiler_s_words_are_no_results() -> None:
    text = LOG.format(input="cars.tflite")
    prose = "I had Internal compiler error. Aborting! before\nI had Internal compiler error. Aborting! again\n"
    assert runs(prose + text) == runs(text)


def test_the_output_of_a_notebook_and_a_text_as_python_shows_it_are_read() -> None:
    plain = LOG.format(input="cars.tflite")
    notebook = "".join(f'      "{line}\\n",\n' for line in plain.splitlines())
    assert runs(notebook) == runs(plain)
    assert runs(repr(plain.encode())) == runs(plain)


def test_a_log_from_powershell_and_one_with_a_mark_before_it_are_read(tmp_path: Path) -> None:
    plain = LOG.format(input="cars.tflite")
    for encoding in ("utf-16", "utf-8-sig"):
        path = tmp_path / f"{encoding}.log"
        path.write_bytes(plain.replace("\n", "\r\n").encode(encoding))
        assert parse_compiler_log(path).runs == runs(plain)


def test_commas_for_points_and_spaces_that_do_not_break_are_read() -> None:
    plain = LOG.format(input="cars.tflite")
    assert runs(re.sub(r"(\d)\.(\d\d[KM]?i?B)", r"\1,\2", plain)) == runs(plain)
    assert runs(plain.replace(" ", "\u00a0")) == runs(plain)


def test_a_table_of_comma_separated_values_is_read() -> None:
    assert only(re.sub("  +", ",", SHORT_LOG)).table == only(SHORT_LOG).table


def in_cells(row: str) -> str:
    """The table's rows as `row` has their cells."""
    return re.sub(r"^(\w+) {2,}(\d+) {2,}(.*)$", row, SHORT_LOG, flags=re.MULTILINE)


@pytest.mark.parametrize(
    "row",
    [r'"\1","\2","\3"', r"| `\1` | \2 | *\3* |", r"**\1** \2 \3", r"<tr><td>\1</td> <td>\2</td><td>\3</td></tr>"],
    ids=["quoted values", "code in cells", "bold", "a web page"],
)
def test_marks_around_the_cells_of_a_table_are_taken_off(row: str) -> None:
    assert runs(in_cells(row)) == runs(SHORT_LOG)


@pytest.mark.parametrize("end", ["<br>\n", "<br/>", "</p><p>", "</li>\n<li>"])
def test_lines_of_a_web_page_are_read(end: str) -> None:
    plain = LOG.format(input="cars.tflite")
    assert runs(f"<pre class='log'>{plain.replace(chr(10), end)}</pre>") == runs(plain)


def test_a_log_in_small_letters_is_not_read_as_one_without_mapped_operators() -> None:
    (run,) = runs(LOG.format(input="cars.tflite").lower())
    assert counts(run) == counts(only(LOG.format(input="cars.tflite"))) == (3, 1, 2)
    assert run.on_chip_bytes == 3072


def test_commas_for_thousands_are_read() -> None:
    text = f"{SIXTEEN}\nModel compiled successfully in 9 ms.\n"
    text += "On-chip memory used for caching model parameters: 3,952.50KiB\nTotal number of operations: 1,066\n"
    run = only(text)
    assert (run.operators, run.on_chip_bytes) == (1066, round(3952.5 * 1024))


@pytest.mark.parametrize(
    "words", ["Segmentation fault (core dumped)", "run.sh: line 3:  4711 Killed (core dumped)", "Killed", "Aborted"]
)
def test_what_the_shell_says_of_a_compiler_that_crashed_is_its_failure(words: str) -> None:
    run = only(f"{SIXTEEN}\nStarted a compilation timeout timer of 180 seconds.\n{words}\n")
    assert (run.compiled, run.failure) == (False, words)


def test_a_log_that_is_cut_off_gives_what_it_has_and_invents_nothing() -> None:
    whole = """\
Edge TPU Compiler version 16.0.384591198
Model compiled successfully in 482 ms.
Input model: plants.tflite
Number of Edge TPU subgraphs: 1
Total number of operations: 70
Model successfully compiled but not all operations are supported by the Edge TPU.
Number of operations that will run on Edge TPU: 66
"""
    assert counts(only(whole)) == (70, 66, 4)
    assert counts(only(whole[: whole.index("Number of operations that")])) == (70, None, None)
    assert counts(only(whole[: whole.index("Model successfully")])) == (70, 70, 0)


def test_a_log_among_the_output_of_other_programs_is_found() -> None:
    before = "TensorFlow Lite: export success, saved as yolo-int8.tflite (7.7 MB)\n```\n"
    after = "```\nEdge TPU: export success\nINFO 12 warnings\n"
    assert runs(before + LOG.format(input="yolo-int8.tflite") + after) == runs(LOG.format(input="yolo-int8.tflite"))


@pytest.mark.parametrize(("old", "new"), [("  +", "\t"), ("  +", " ")])
def test_a_table_with_tabs_or_single_spaces_is_read(old: str, new: str) -> None:
    assert only(re.sub(old, new, SHORT_LOG)).table == only(SHORT_LOG).table


def test_a_markdown_table_is_read() -> None:
    text = f"{SIXTEEN}\nInput: a.tflite\n| Operator | Count | Status |\n|---|---|---|\n"
    text += "| ADD | 3 | Mapped to Edge TPU |\n| CAST | 2 | Operation is working on an unsupported data type |\n"
    assert counts(only(text)) == (5, 3, 2)


def test_version_two_says_what_is_available_and_gives_no_table() -> None:
    text = """\
Edge TPU Compiler version 2.0.291256449

Model compiled successfully in 2356 ms.

Input model: net.tflite
Input size: 25.08MiB
Output model: net_edgetpu.tflite
Output size: 24.87MiB
On-chip memory available for caching model parameters: 6.25MiB
On-chip memory used for caching model parameters: 6.25MiB
Off-chip memory used for streaming uncached model parameters: 18.43MiB
Number of Edge TPU subgraphs: 1
Total number of operations: 77
Operation log: net_edgetpu.log
See the operation log file for individual operation details.
"""
    run = only(text)
    assert counts(run) == (77, 77, 0)
    assert (run.on_chip_bytes, run.off_chip_bytes) == (round(6.25 * MIB), round(18.43 * MIB))
    assert (run.on_chip_remaining_bytes, run.on_chip_available_bytes) == (None, round(6.25 * MIB))


def test_lost_ends_of_lines_are_put_back() -> None:
    text = (
        "Edge TPU Compiler version 2.0.267685300Model compiled successfully in 231 ms.Input model: blur.tflite\n"
        "Input size: 3.03KiBOutput model: blur_edgetpu.tflite\nOutput size: 296.85KiB\n"
        "On-chip memory available for caching model parameters: 1.73MiB\n"
        "On-chip memory used for caching model parameters: 10.00KiB\n"
        "Off-chip memory used for streaming uncached model parameters: 0.00B\nNumber of Edge TPU subgraphs: 1\n"
        "Total number of operations: 3\nOperation log: blur_edgetpu.logModel successfully compiled but not all"
        " operations are supported by the Edge TPU.\nNumber of operations that will run on Edge TPU: 1\n"
        "Number of operations that will run on CPU: 2Operator                       Count      Status"
        "DEPTHWISE_CONV_2D              1          Mapped to Edge TPU"
        "DEQUANTIZE                     1          Operation is working on an unsupported data type"
        "QUANTIZE                       1          Operation is otherwise supported, but not mapped due to some"
        " unspecified limitation\n"
    )
    run = only(text)
    assert (run.version, run.input, run.output) == ("2.0.267685300", "blur.tflite", "blur_edgetpu.tflite")
    assert (counts(run), run.subgraphs, run.on_chip_bytes) == ((3, 1, 2), 1, 10 * 1024)
    assert [row.name for row in run.table] == ["DEPTHWISE_CONV_2D", "DEQUANTIZE", "QUANTIZE"]


def test_failures_before_and_after_a_success_are_not_lost() -> None:
    head = "$ edgetpu_compiler models/cam.tflite -o models/\nEdge TPU Compiler version 14.1.317412892\n\n"
    crash = head + "Internal compiler error. Aborting! \n"
    success = head + LOG.format(input="models/cam.tflite").split("\n", 1)[1]
    compilations = runs(success + crash + crash)
    assert [run.compiled for run in compilations] == [True, False, False]
    assert [run.input for run in compilations] == ["models/cam.tflite"] * 3
    assert compilations[1].failure == "Internal compiler error. Aborting!"


def test_failures_without_a_new_version_line_are_counted_too() -> None:
    text = LOG.format(input="a.tflite") + "Internal compiler error. Aborting!\nInternal compiler error. Aborting!\n"
    assert [run.compiled for run in runs(text)] == [True, False, False]


def test_the_flex_operator_that_fails_is_named() -> None:
    text = f"""\
{SIXTEEN}
Searching for valid delegate with step 10
Try to compile segment with 292 ops
Started a compilation timeout timer of 180 seconds.
ERROR: Regular TensorFlow ops are not supported by this interpreter. Make sure you apply/link the Flex delegate
ERROR: Node number 13 (FlexSplitV) failed to prepare.

Compilation failed: Model failed in Tflite interpreter. Please ensure model can be loaded/run in Tflite interpreter.
Compilation child process completed within timeout period.
Compilation failed!
Try to compile segment with 282 ops
"""
    run = only(text)
    assert (run.compiled, run.failed_operator, run.attempts) == (False, "FlexSplitV", (292, 282))
    assert run.failure is not None
    assert "Node number 13 (FlexSplitV) failed to prepare" in run.failure
    assert "Compilation failed!" not in run.failure


def test_a_search_that_succeeds_at_last_is_a_success() -> None:
    tries = "".join(
        f"Try to compile segment with {count} ops\nIntermediate tensors: a/b;c,StatefulPartitionedCall:1\n"
        "Started a compilation timeout timer of 180 seconds.\n"
        "ERROR: Restored original execution plan after delegate application failure.\n"
        "Compilation failed: Compilation failed due to large activation tensors in model.\n"
        "Compilation child process completed within timeout period.\nCompilation failed!\n"
        for count in (322, 312)
    )
    last = LOG.format(input="det.tflite").split("\n", 1)[1]
    run = only(
        f"{SIXTEEN}\nSearching for valid delegate with step 10\n{tries}Try to compile segment with 302 ops\n{last}"
    )
    assert (run.compiled, run.failure, run.attempts, run.input) == (True, None, (322, 312, 302), "det.tflite")


def test_a_timeout_and_a_crash_are_failures() -> None:
    timeout = "Compilation timeout. This is usually caused by large activations."
    assert only(f"{SIXTEEN}\n{timeout}\nCompilation failed! \n").failure == timeout
    crash = "libc++abi: terminating with uncaught exception of type std::out_of_range: vector"
    assert only(f"{SIXTEEN}\n{crash}\nCompilation failed! \n").failure == crash


def test_a_model_that_cannot_be_parsed_is_a_failure_with_all_its_reasons() -> None:
    text = "Edge TPU Compiler version 2.1.302470888\n"
    text += "ERROR: Didn't find op for builtin opcode 'TRANSPOSE_CONV' version '3'\n"
    text += "\nERROR: Registration failed.\n\nInvalid model: up.tflite\nModel could not be parsed\n"
    run = only(text)
    assert not run.compiled
    assert run.failure is not None
    assert run.failure.split("; ") == [
        "ERROR: Didn't find op for builtin opcode 'TRANSPOSE_CONV' version '3'",
        "ERROR: Registration failed.",
        "Invalid model: up.tflite",
        "Model could not be parsed",
    ]


def test_a_compiler_that_says_nothing_has_failed() -> None:
    run = only("Edge TPU Compiler version 15.0.340273435\n")
    assert (run.compiled, run.failure) == (False, "the compiler said nothing after its version")


def test_models_that_were_compiled_together_are_told_apart() -> None:
    def part(name: str, used: str, streamed: str, operators: int) -> str:
        return f"""
Input model: {name}.tflite
Input size: 1.91MiB
Output model: out/{name}_edgetpu.tflite
Output size: 2.52MiB
On-chip memory used for caching model parameters: {used}
On-chip memory remaining for caching model parameters: 0.00B
Off-chip memory used for streaming uncached model parameters: {streamed}
Number of Edge TPU subgraphs: 1
Total number of operations: {operators}
Operation log: out/{name}_edgetpu.log
See the operation log file for individual operation details.
"""

    text = (
        f"{SIXTEEN}\nStarted a compilation timeout timer of 180 seconds.\n\nModels compiled successfully in 524 ms.\n"
    )
    text += part("big", "4.21MiB", "4.16MiB", 86) + part("small", "3.20MiB", "3.37MiB", 66)
    text += "Compilation child process completed within timeout period.\nCompilation succeeded!\n"
    big, small = runs(text)
    assert (big.input, big.compiled, counts(big), big.on_chip_bytes) == (
        "big.tflite",
        True,
        (86, 86, 0),
        round(4.21 * MIB),
    )
    assert (small.input, small.compiled, counts(small)) == ("small.tflite", True, (66, 66, 0))
    assert small.off_chip_bytes == round(3.37 * MIB)


def test_what_the_terminal_showed_and_the_log_file_after_it_are_one_run() -> None:
    shown = "\n".join(LOG.format(input="birds.tflite").split("\n")[:18])
    table = SHORT_LOG.replace("15.0.340273435", "16.0.384591198")
    run = only(f"{shown}\n\nhere is the log:\n\n{table}")
    assert (run.compiled, run.on_chip_bytes, len(run.table)) == (True, 3072, 3)


def test_a_success_without_counts_is_printed_without_inventing_any(tmp_path: Path) -> None:
    path = tmp_path / "short.log"
    path.write_text(f"{SIXTEEN}\nModel compiled successfully in 5 ms.\n")
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        assert main(["inspect", str(path), "--edgetpu_log"]) == 0
    assert "None" not in out.getvalue()
    assert "does not count operators" in " ".join(out.getvalue().split())


@pytest.mark.parametrize("indent", ["", "\t", "> "])
def test_a_model_that_was_refused_is_named(indent: str) -> None:
    text = f"{SIXTEEN}\nERROR: Node number 12 (FlexErf) failed to prepare.\n\nInvalid model: a/elk.tflite\n"
    run = only("".join(f"{indent}{line}\n" for line in text.splitlines()))
    assert (run.input, run.compiled, run.failed_operator) == ("a/elk.tflite", False, "FlexErf")
