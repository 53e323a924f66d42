"""Writes primer.bin into the decoders: ``python converters/phone/packing/embed_primer.py``."""

from __future__ import annotations

import base64
from pathlib import Path

HERE = Path(__file__).parent


def embedded(language: str, primer: bytes) -> str:
    """The lines of source that hold the primer, for ``c`` or ``js``."""
    if language == "js":
        text = base64.b64encode(primer).decode("ascii")
        lines = [f'  "{text[i : i + 100]}"' for i in range(0, len(text), 100)]
        return "const PRIMER = [\n" + ",\n".join(lines) + ',\n].join("");\n'
    numbers = [str(byte) for byte in primer] + ["0"]
    lines = ["    " + ", ".join(numbers[i : i + 24]) + "," for i in range(0, len(numbers), 24)]
    return "static const uint8_t primer[] = {\n" + "\n".join(lines) + "\n};\n"


def main() -> None:
    """Replace what lies between the two marks of each decoder."""
    primer = (HERE / "primer.bin").read_bytes()
    for language in ("c", "js"):
        path = HERE / "decoders" / f"tfcz.{language}"
        text = path.read_text(encoding="utf-8")
        begin, end = text.index("\n", text.index("/* PRIMER BEGIN")) + 1, text.index("/* PRIMER END")
        path.write_text(text[:begin] + embedded(language, primer) + text[end:], encoding="utf-8")


if __name__ == "__main__":
    main()
