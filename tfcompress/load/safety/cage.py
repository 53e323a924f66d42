"""The cage: what a process gives up before it touches a file from a stranger.

Memory, processor time, file size and open files are limited by the kernel's resource limits, which every Unix has.
On Linux, files are limited by Landlock and system calls by seccomp, where the kernel and the processor have them.
"""

from __future__ import annotations

import contextlib
import os
import site
import sys
import sysconfig
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from tfcompress.errors import ModelError
from tfcompress.load.safety.landlock import landlock_version, restrict_files
from tfcompress.load.safety.system_calls import forbid_system_calls

__all__ = [
    "COPIES",
    "SAID",
    "Bounds",
    "OnlyHereError",
    "enter_cage",
    "grown_since",
    "interpreter_folders",
    "peak_memory",
]

SAID = "standard_error"
"""File in the scratch folder that takes what a caged process says to standard error."""

COPIES = 4
"""That are made later of an output, one a model and some to count, and of the largest tensor where it is looked at."""

_OPEN_FILES = 256
# What a program reads to find out about the machine, the time and its libraries; nothing of a user.
_SYSTEM_FILES = (
    "/lib", "/lib64", "/usr/lib", "/usr/lib64", "/usr/local/lib", "/etc/ld.so.cache", "/etc/localtime",
    "/usr/share/zoneinfo", "/dev/null", "/dev/urandom", "/proc/cpuinfo", "/proc/meminfo", "/proc/stat", "/proc/self",
    "/proc/sys/vm", "/proc/filesystems", "/sys/devices/system", "/sys/fs/cgroup",
)  # fmt: skip


class OnlyHereError(ModelError):
    """The caged process cannot have the custom objects: only the process that asks knows them."""


@dataclass(frozen=True)
class Bounds:
    """How much a caged process may take.

    Attributes:
        seconds: of processor time, on each core.
        memory: bytes beyond what the process has when it enters.
        file_bytes: of the largest file that it may write.
    """

    seconds: int
    memory: int
    file_bytes: int


def enter_cage(readable: Iterable[Path], scratch: Path, bounds: Bounds) -> list[str]:
    """Limit this process, for good.

    Args:
        readable: files and folders that it may read, beside the interpreter's and the system's libraries.
        scratch: the one folder in which it may write.
        bounds: how much it may take.

    Returns:
        What this system does not have, in a few words each; empty where the cage is whole.
    """
    missing = []
    _limit_resources(bounds)
    with contextlib.suppress(OSError):  # where memory runs out all the same, this process is the one to go
        Path("/proc/self/oom_score_adj").write_text("1000")
    folders = [*map(Path, _SYSTEM_FILES), *interpreter_folders(), *readable]
    writable = [scratch, Path("/dev/null")]
    if landlock_version() < 1 or not restrict_files(folders, writable):
        missing.append("no limit on the files it reaches (Landlock, Linux 5.13 or newer)")
    if not forbid_system_calls():
        missing.append("no limit on network and processes (seccomp on x86-64 or arm64 Linux)")
    return missing


def _limit_resources(bounds: Bounds) -> None:
    import resource

    cores = os.cpu_count() or 1
    limits = {
        resource.RLIMIT_CPU: bounds.seconds * cores,
        resource.RLIMIT_DATA: _private_bytes() + bounds.memory,
        resource.RLIMIT_FSIZE: bounds.file_bytes,
        resource.RLIMIT_NOFILE: _OPEN_FILES,
        resource.RLIMIT_CORE: 0,
    }
    for kind, value in limits.items():
        _, hard = resource.getrlimit(kind)
        value = value if hard == resource.RLIM_INFINITY else min(value, hard)
        with contextlib.suppress(ValueError, OSError):  # macOS does not limit memory
            resource.setrlimit(kind, (value, value))


def peak_memory() -> int:
    """The most bytes that this process has had in memory at once."""
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def grown_since(before: int, *, start_up: int) -> int:
    """Bytes by which the peak has grown, as the next power of two, so that two runs agree.

    Args:
        before: what `peak_memory` gave.
        start_up: bytes that a library takes whatever it runs; growth up to that counts as 0.
    """
    grown = peak_memory() - before
    return 0 if grown <= start_up else 1 << (grown - 1).bit_length()


def _private_bytes() -> int:
    """Bytes of data segment that this process has; what RLIMIT_DATA counts."""
    with contextlib.suppress(OSError, ValueError):
        pages = int(Path("/proc/self/statm").read_text().split()[5])
        return pages * os.sysconf("SC_PAGE_SIZE")
    return 1 << 30


def interpreter_folders() -> Iterator[Path]:
    """Where Python, its packages and tfcompress itself are."""
    import tfcompress

    roots = {sys.prefix, sys.base_prefix, sys.exec_prefix, *site.getsitepackages(), *sysconfig.get_paths().values()}
    roots |= {entry for entry in sys.path if Path(entry).name in {"site-packages", "dist-packages"}}
    home = Path(tfcompress.__file__).parent
    for root in (*map(Path, sorted(roots)), home, *(link for link in home.iterdir() if link.is_symlink())):
        if root.is_dir() and root.resolve() != Path("/"):
            yield root.resolve()
