"""LiteRT's own build for ARM, run on this machine in QEMU: what it computes, and how many instructions it takes."""

from __future__ import annotations

from benchmarks.arm.emulator import Emulator, Measured
from benchmarks.arm.environment import Unavailable

__all__ = ["Emulator", "Measured", "Unavailable"]
