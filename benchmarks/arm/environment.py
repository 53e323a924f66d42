"""What the emulation needs, made where it is missing: QEMU 10, Python with its libraries for arm64, LiteRT and NumPy.

Debian 13 has the first two; LiteRT and NumPy have wheels for aarch64.  QEMU 7.2, which Debian 12 has, ends in a
segmentation fault when an interpreter is made.  All of it stands in ``$TFCOMPRESS_ARM``, a folder in the user's cache
by default, and nothing of it is installed: apt-get works on lists of its own there.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

__all__ = ["Unavailable", "command", "environment_of", "folder"]

SUITE, PYTHON = "trixie", "3.13"
NUMPY = "2.1.3"
CPU = "cortex-a76"  # of 2018, the oldest big core with the dot products that int8 kernels use
EMULATOR = "qemu-user:amd64"
LIBRARIES = (
    f"python{PYTHON}-minimal", f"libpython{PYTHON}-minimal", f"libpython{PYTHON}-stdlib", f"libpython{PYTHON}",
    "libc6", "libgcc-s1", "libstdc++6", "zlib1g", "libexpat1", "libssl3t64", "libffi8", "libbz2-1.0", "liblzma5",
)  # fmt: skip
_KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
_WHEELS = ("manylinux_2_28_aarch64", "manylinux_2_27_aarch64", "manylinux_2_17_aarch64", "manylinux2014_aarch64")
_SECONDS = 600


class Unavailable(Exception):
    """The emulation cannot be had on this machine; the text says why."""


def folder() -> Path:
    """The folder with all of it, made where it is missing.

    Raises:
        Unavailable: this is no Debian for x86-64, or a package cannot be had.
    """
    home = Path(os.environ.get("TFCOMPRESS_ARM", Path.home() / ".cache" / "tfcompress" / "arm"))
    if not (home / ".complete").exists():
        home.mkdir(parents=True, exist_ok=True)
        _unpack_packages(home)
        _unpack_wheels(home)
        (home / ".complete").touch()
    return home


def command(home: Path, *options: str) -> list[str]:
    """That starts Python in the emulation; addresses are the same each time, so that they can be told to QEMU."""
    python = str(home / "root/usr/bin" / f"python{PYTHON}")
    return ["setarch", "-R", str(home / "qemu/usr/bin/qemu-aarch64"), "-L", str(home / "root"), "-cpu", CPU,
            *options, python]  # fmt: skip


def environment_of(home: Path) -> dict[str, str]:
    """Of a process in the emulation; nothing of this one's."""
    return {"PATH": os.environ.get("PATH", ""), "PYTHONHOME": str(home / "root/usr"), "PYTHONPATH": str(home / "site")}


def _unpack_packages(home: Path) -> None:
    """QEMU into `qemu`, the libraries for arm64 into `root`."""
    archives = home / "packages"
    for each in ("lists/lists/partial", "lists/cache/archives/partial", "packages", "root", "qemu"):
        (home / each).mkdir(parents=True, exist_ok=True)
    (home / "sources.list").write_text(
        f"deb [arch=amd64,arm64 signed-by={_KEYRING}] {_mirror()} {SUITE} main\n", encoding="utf-8"
    )
    settings = {
        "Dir::Etc::sourcelist": home / "sources.list",
        "Dir::Etc::sourceparts": "-",
        "Dir::State": home / "lists",
        "Dir::Cache": home / "lists/cache",
        "Dir::State::status": "/dev/null",
        "APT::Architectures": "amd64,arm64",
        "APT::Sandbox::User": "root",
    }
    options = [f"-o{key}={value}" for key, value in settings.items()]
    _run(["apt-get", *options, "-qq", "update"], archives)
    wanted = [EMULATOR, *(f"{name}:arm64" for name in LIBRARIES)]
    _run(["apt-get", *options, "-qq", "download", *wanted], archives)
    for package in sorted(archives.glob("*.deb")):
        target = home / ("root" if package.name.endswith("_arm64.deb") else "qemu")
        _run(["dpkg-deb", "-x", str(package), str(target)], archives)
    library = home / "root/lib"
    if not library.exists():
        library.symlink_to("usr/lib")


def _unpack_wheels(home: Path) -> None:
    """LiteRT, as it is here, and NumPy into `site`."""
    platforms = [part for wheel in _WHEELS for part in ("--platform", wheel)]
    wanted = [f"ai-edge-litert=={version('ai-edge-litert')}", f"numpy=={NUMPY}"]
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--only-binary=:all:"]
    _run([*pip, *platforms, "--python-version", PYTHON, "--target", str(home / "site"), *wanted], home)


def _mirror() -> str:
    """Where this machine has its Debian packages from."""
    lists = [Path("/etc/apt/sources.list"), *sorted(Path("/etc/apt/sources.list.d").glob("*"))]
    texts = (path.read_text(encoding="utf-8", errors="replace") for path in lists if path.is_file())
    match = next(filter(None, (re.search(r"https?://\S+/debian/?(?=\s)", text) for text in texts)), None)
    if match is None or not _KEYRING.exists():
        raise Unavailable("Debian's packages for arm64 are needed, and this machine has no Debian sources")
    return match.group()


def _run(arguments: list[str], place: Path) -> None:
    try:
        subprocess.run(arguments, check=True, cwd=place, capture_output=True, text=True, timeout=_SECONDS)
    except (OSError, subprocess.SubprocessError) as error:
        said = getattr(error, "stderr", None) or str(error)
        raise Unavailable(f"{arguments[0]}: {' '.join(said.split())[-200:]}") from error
