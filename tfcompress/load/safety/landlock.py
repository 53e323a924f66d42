"""Landlock, by which a Linux process gives up access to files, ports and signals, through `ctypes`.

Source: the kernel's Documentation/userspace-api/landlock.rst and include/uapi/linux/landlock.h.  It needs no privilege
and cannot be undone.  Linux has had it since 5.13; each version of its interface (ABI) can restrict more.
"""

from __future__ import annotations

import ctypes
import os
import struct
import sys
from collections.abc import Iterable
from pathlib import Path

__all__ = ["landlock_version", "restrict_files"]

# The numbers are the same on every architecture (include/uapi/asm-generic/unistd.h).
_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
_VERSION_FLAG, _PATH_BENEATH = 1, 1
_NO_NEW_PRIVILEGES = 38  # prctl

# LANDLOCK_ACCESS_FS_*: bit i came with the ABI that the comment names.
_EXECUTE, _WRITE_FILE, _READ_FILE, _READ_FOLDER = 1 << 0, 1 << 1, 1 << 2, 1 << 3
_MAKE = sum(1 << bit for bit in range(4, 13))  # removing, and making folders, files, links and devices: ABI 1
_REFER, _TRUNCATE, _IOCTL = 1 << 13, 1 << 14, 1 << 15  # ABI 2, 3, 5
_MAKE_FILE, _MAKE_FOLDER, _REMOVE_FILE, _REMOVE_FOLDER = 1 << 8, 1 << 7, 1 << 5, 1 << 4
_READ = _READ_FILE | _READ_FOLDER
_NETWORK = 0b11  # LANDLOCK_ACCESS_NET_BIND_TCP and _CONNECT_TCP: ABI 4
_SCOPES = 0b11  # LANDLOCK_SCOPE_ABSTRACT_UNIX_SOCKET and _SIGNAL: ABI 6


def landlock_version() -> int:
    """The ABI of this kernel's Landlock; 0 where it has none or it is switched off."""
    if sys.platform != "linux":
        return 0
    return max(0, int(_libc().syscall(_CREATE_RULESET, None, 0, _VERSION_FLAG)))


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def restrict_files(readable: Iterable[Path], writable: Iterable[Path]) -> bool:
    """Take from this process, for good, all files but these, and TCP and signals to others where the kernel can.

    Args:
        readable: files, and folders with all below them; what does not exist is passed over.
        writable: folders in which files may also be written, made and removed; never links or devices.

    Returns:
        Whether it was done; False where the kernel has no Landlock.

    Raises:
        OSError: the kernel has it but refuses.
    """
    version = landlock_version()
    if not version:
        return False
    libc = _libc()
    rules = _ruleset(libc, version)
    try:
        for path in readable:
            _allow(libc, rules, path, _READ)
        write = _READ | _WRITE_FILE | _MAKE_FILE | _MAKE_FOLDER | _REMOVE_FILE | _REMOVE_FOLDER
        for path in writable:
            _allow(libc, rules, path, write | (_TRUNCATE if version >= 3 else 0))
        _checked(libc.prctl(_NO_NEW_PRIVILEGES, 1, 0, 0, 0))
        _checked(libc.syscall(_RESTRICT_SELF, rules, 0))
    finally:
        os.close(rules)
    return True


def _ruleset(libc: ctypes.CDLL, version: int) -> int:
    files = _EXECUTE | _WRITE_FILE | _READ | _MAKE
    for since, right in ((2, _REFER), (3, _TRUNCATE), (5, _IOCTL)):
        files |= right if version >= since else 0
    # struct landlock_ruleset_attr: handled_access_fs, handled_access_net, scoped
    attributes = struct.pack("QQQ", files, _NETWORK if version >= 4 else 0, _SCOPES if version >= 6 else 0)
    size = 8 if version < 4 else 16 if version < 6 else 24
    return _checked(libc.syscall(_CREATE_RULESET, ctypes.c_char_p(attributes), ctypes.c_size_t(size), 0))


def _allow(libc: ctypes.CDLL, rules: int, path: Path, rights: int) -> None:
    try:
        descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return
    try:
        if not path.is_dir():
            rights &= _READ_FILE | _WRITE_FILE | _TRUNCATE
        # struct landlock_path_beneath_attr, packed: allowed_access, parent_fd
        rule = struct.pack("=Qi", rights, descriptor)
        _checked(libc.syscall(_ADD_RULE, rules, _PATH_BENEATH, ctypes.c_char_p(rule), 0))
    finally:
        os.close(descriptor)


def _checked(result: int) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return result
