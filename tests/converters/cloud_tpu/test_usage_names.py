"""Names out of a stranger's model stay names where they stand in commands and code."""

from __future__ import annotations

import ast
import re
import shlex
from pathlib import Path

from tfcompress.converters.cloud_tpu.serving import write_usage
from tfcompress.model import FloatModel, TensorInfo

INPUT = "x'; touch /tmp/tfcompress_never; echo '\nrm -rf ~ | `id`"
NAME = 'm$(touch /tmp/tfcompress_never);\n\x1b[31m"`id`'


def page_of_a_stranger_s_model(folder: Path) -> str:
    inputs = (TensorInfo(INPUT, (None, 4), "float32"),)
    model = FloatModel(NAME, "in_memory", None, "saved_model", None, inputs, inputs, lambda values: dict(values))
    write_usage(folder / "USE.md", model, [1, 8], model_name=NAME, exported=8)
    return (folder / "USE.md").read_text(encoding="utf-8")


def test_the_name_in_commands_for_a_shell_is_plain(tmp_path: Path) -> None:
    text = page_of_a_stranger_s_model(tmp_path)
    assert "\x1b" not in text
    assert not any(line.startswith("rm ") for line in text.splitlines())
    for block in re.findall(r"```shell\n(.*?)```", text, re.DOTALL):
        words = shlex.split(block)
        assert not any("$(" in word or "`" in word or word == "touch" for word in words)
    assert "--model_name=m_touch_tmp_tfcompress_never_31m_id" in text


def test_names_in_python_code_are_strings(tmp_path: Path) -> None:
    blocks = re.findall(r"```python\n(.*?)```", page_of_a_stranger_s_model(tmp_path), re.DOTALL)
    assert blocks
    for block in blocks:
        calls = [node for node in ast.walk(ast.parse(block)) if isinstance(node, ast.Name)]
        assert not any(node.id in ("touch", "rm", "id") for node in calls)
