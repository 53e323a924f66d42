"""What is read of the processor."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tfcompress import processor


@pytest.fixture(autouse=True)
def read_anew() -> Iterator[None]:
    processor._first_core.cache_clear()
    yield
    processor._first_core.cache_clear()


def described(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, text: str) -> None:
    path = tmp_path / "cpuinfo"
    path.write_text(text, encoding="utf-8")
    monkeypatch.setattr(processor, "_CPUINFO", path)


@pytest.mark.parametrize(
    ("text", "has", "best"),
    [
        ("processor\t: 0\nflags\t\t: sse2 avx2 fma\n\nprocessor\t: 1\nflags\t\t: avx512_vnni\n", False, "avx2"),
        ("processor\t: 0\nflags\t\t: avx2 avx512_vnni\n", True, "avx512_vnni"),
        ("processor\t: 0\nflags\t\t: avx2 avx_vnni\n", True, "avx_vnni"),
        ("processor\t: 0\nFeatures\t: fp asimd asimddp\n", True, "asimddp"),
        ("processor\t: 0\n", None, None),
    ],
    ids=["AVX2", "AVX-512", "AVX-VNNI", "Arm", "not said"],
)
def test_dot_products_are_read_off_the_first_core(
    text: str, has: bool | None, best: str | None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    described(monkeypatch, tmp_path, text)
    assert processor.has_int8_dot_products() is has
    assert processor.vector_instructions() == best


def test_two_processors_of_one_name_are_told_apart(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    names = set()
    for model in (1, 17):
        described(monkeypatch, tmp_path, f"cpu family\t: 25\nmodel\t\t: {model}\nmodel name\t: AMD EPYC\n")
        processor._first_core.cache_clear()
        names.add(processor.processor_name())
    assert names == {"AMD EPYC (cpu family 25, model 1)", "AMD EPYC (cpu family 25, model 17)"}


def test_without_cpuinfo_nothing_is_claimed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(processor, "_CPUINFO", tmp_path / "none")
    assert processor.has_int8_dot_products() is None
    assert processor.features() == frozenset()
    assert processor.processor_name()
