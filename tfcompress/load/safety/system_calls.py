"""A filter on system calls (seccomp), by which a Linux process gives up the network, other processes and new programs.

Source: the kernel's Documentation/userspace-api/seccomp_filter.rst; the instructions are classic BPF
(include/uapi/linux/filter.h).  It needs no privilege and cannot be undone.  A forbidden call fails with EPERM.
"""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import struct
import sys

__all__ = ["forbid_system_calls"]

_NO_NEW_PRIVILEGES, _SET_SECCOMP, _FILTER_MODE = 38, 22, 2
_ALLOW, _ERRNO, _KILL = 0x7FFF0000, 0x00050000, 0x80000000
_LOAD, _EQUAL, _AT_LEAST, _ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
# Offsets in struct seccomp_data: the call's number, the architecture, the low half of the first argument.
_NUMBER, _ARCHITECTURE, _FIRST_ARGUMENT = 0, 4, 16
_CLONE_THREAD = 0x00010000
_X32 = 0x40000000

# (AUDIT_ARCH_*, {call: number}) by machine.  Numbers: arch/x86/entry/syscalls/syscall_64.tbl and
# include/uapi/asm-generic/unistd.h.
_ARCHITECTURES = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
_FORBIDDEN = {
    "x86_64": {
        "network": (41, 42, 43, 44, 46, 49, 50, 53, 288, 307),
        "programs": (57, 58, 59, 322),
        "processes": (101, 200, 310, 311, 424, 434, 438),
        "files": (90, 91, 92, 93, 94, 132, 133, 188, 189, 190, 197, 198, 199, 235, 259, 260, 261, 268, 280, 303, 304,
                  452),
        "kernel": (134, 135, 155, 161, 163, 164, 165, 166, 167, 168, 169, 170, 171, 172, 173, 174, 175, 176, 227, 246,
                   248, 249, 250, 272, 298, 308, 313, 320, 321, 323, 425, 426, 427, 428, 429, 430, 431, 432, 442),
        "shared memory": (29, 30, 31, 64, 65, 66, 68, 69, 70, 71, 220, 240),
    },
    "aarch64": {
        "network": (198, 199, 200, 201, 202, 203, 206, 211, 242, 269),
        "programs": (221, 281),
        "processes": (117, 130, 270, 271, 424, 434, 438),
        "files": (5, 6, 7, 14, 15, 16, 33, 52, 53, 54, 55, 88, 264, 265, 452),
        "kernel": (39, 40, 41, 51, 89, 92, 97, 104, 105, 106, 112, 142, 161, 162, 170, 217, 218, 219, 224, 225, 241,
                   268, 273, 280, 282, 294, 425, 426, 427, 428, 429, 430, 431, 432, 442),
        "shared memory": (180, 186, 187, 188, 189, 190, 191, 193, 194, 195, 196, 197),
    },
}  # fmt: skip
# clone3 hides its flags from a filter, so the C library is told that it does not exist and takes clone.
_CLONE, _CLONE3 = {"x86_64": 56, "aarch64": 220}, 435
# kill and tgkill: to this process itself only, which is how a program aborts.
_SIGNALS = {"x86_64": (62, 234), "aarch64": (129, 131)}


def forbid_system_calls() -> bool:
    """Take from this process, for good, sockets, new processes and programs, other processes' memory, and the like.

    Threads stay possible.

    Returns:
        Whether it was done; False on a system or a processor that this module does not know.
    """
    machine = platform.machine()
    if sys.platform != "linux" or machine not in _ARCHITECTURES or struct.calcsize("P") != 8:
        return False
    code = b"".join(_program(machine))
    buffer = ctypes.create_string_buffer(code, len(code))
    program = struct.pack("HP", len(code) // 8, ctypes.addressof(buffer))  # struct sock_fprog
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_NO_NEW_PRIVILEGES, 1, 0, 0, 0):
        return False
    return not libc.prctl(_SET_SECCOMP, _FILTER_MODE, ctypes.c_char_p(program), 0, 0)


def _program(machine: str) -> list[bytes]:
    """The filter's instructions, 8 bytes each."""
    denied = _ERRNO | errno.EPERM
    calls = sorted({number for group in _FORBIDDEN[machine].values() for number in group})
    program = [
        _step(_LOAD, _ARCHITECTURE),
        _step(_EQUAL, _ARCHITECTURES[machine], 1, 0),
        _step(_RETURN, _KILL),
        _step(_LOAD, _NUMBER),
    ]
    if machine == "x86_64":
        program += [_step(_AT_LEAST, _X32, 0, 1), _step(_RETURN, denied)]
    program += [_step(_EQUAL, _CLONE3, 0, 1), _step(_RETURN, _ERRNO | errno.ENOSYS)]
    for number in calls:
        program += [_step(_EQUAL, number, 0, 1), _step(_RETURN, denied)]
    for number in _SIGNALS[machine]:
        program += _if_first_argument(number, _EQUAL, os.getpid(), denied)
    program += _if_first_argument(_CLONE[machine], _ANY_BIT, _CLONE_THREAD, denied)
    program.append(_step(_RETURN, _ALLOW))
    return program


def _if_first_argument(number: int, test: int, operand: int, otherwise: int) -> list[bytes]:
    """Let a call through where its first argument passes the test; the call's number is loaded before and after."""
    return [
        _step(_EQUAL, number, 0, 4),
        _step(_LOAD, _FIRST_ARGUMENT),
        _step(test, operand, 1, 0),
        _step(_RETURN, otherwise),
        _step(_RETURN, _ALLOW),
    ]


def _step(code: int, operand: int, if_true: int = 0, if_false: int = 0) -> bytes:
    return struct.pack("HBBI", code, if_true, if_false, operand)  # struct sock_filter
