"""Arm Ethos-U: microcontroller NPUs, proven by Vela, Arm's own compiler.

`compile_for` asks Vela; `convert` is the whole job.
"""

from typing import TYPE_CHECKING

from tfcompress.lazy_names import lazy_names

if TYPE_CHECKING:
    from tfcompress.converters.ethos_u.compiler import Compiled, compile_for, vela_version
    from tfcompress.converters.ethos_u.conversion import convert

__all__ = ["Compiled", "compile_for", "convert", "vela_version"]

__getattr__ = lazy_names(__name__, {"compiler": ["Compiled", "compile_for", "vela_version"], "conversion": ["convert"]})
