"""Names out of a stranger's model stay names where they stand in commands for a shell."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

from tfcompress.converters.cloud_tpu.serving import write_readme
from tfcompress.model import FloatModel, TensorInfo

INPUT = "x'; touch /tmp/tfcompress_never; echo '\nrm -rf ~"
NAME = "m$(touch /tmp/tfcompress_never);\n\x1b[31m"


def test_names_in_the_commands_of_the_readme_are_quoted(tmp_path: Path) -> None:
    inputs = (TensorInfo(INPUT, (None, 4), "float32"),)
    model = FloatModel(NAME, "in_memory", None, "saved_model", None, inputs, inputs, lambda values: dict(values))
    write_readme(tmp_path / "README.txt", model, [1, 8], model_name=NAME, exported=8)
    text = (tmp_path / "README.txt").read_text(encoding="utf-8")
    assert "\x1b" not in text
    assert not any(line.startswith("rm ") for line in text.splitlines())
    command, _, request, url = shlex.split(next(line for line in text.splitlines() if "curl" in line))
    assert (command, list(json.loads(request)["inputs"])) == ("curl", [INPUT])
    assert url.startswith("http://localhost:8501/v1/models/m%24%28touch")
    server = text[text.index("tensorflow_model_server") : text.index("On a CPU")]
    words = shlex.split(server.replace('"$PWD', '"PWD'))
    assert [word for word in words if word.startswith("--model_name=")] == [
        "--model_name=m$(touch /tmp/tfcompress_never); \\x1b[31m"
    ]
