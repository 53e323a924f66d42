"""Complex values that are moved before anything reads them, kept as their real and imaginary parts.

TFLite has complex numbers between RFFT2D and REAL, IMAG or COMPLEX_ABS alone: none of its operators moves them, as
spectrograms do that bring their channels to the end (``tf.transpose`` of what ``tf.signal.stft`` returns).
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from tfcompress.graphs.keras.protocols import Tensor
from tfcompress.graphs.tensorflow.private_names import array_operators, math_operators
from tfcompress.runtime import tf

__all__ = ["complex_values_in_parts"]

_Operator = Callable[..., Tensor]
_Parts = tuple[Tensor, Tensor]  # real and imaginary
_MOVES = ("transpose", "reshape", "expand_dims", "squeeze", "strided_slice", "_slice", "gather_v2", "tile", "pad")
_READS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "real": lambda real, imaginary: real,
    "imag": lambda real, imaginary: imaginary,
    "complex_abs": lambda real, imaginary: tf.sqrt(tf.square(real) + tf.square(imaginary)),
    "angle": lambda real, imaginary: tf.atan2(imaginary, real),
}


@contextlib.contextmanager
def complex_values_in_parts() -> Iterator[None]:
    """Within, what is traced moves both parts of complex64 values, and computes from them what reads the values.

    A complex tensor is made all the same, for whatever else reads it; where nothing does, it is no part of the file.
    """
    moved = _Moved()
    with contextlib.ExitStack() as stack:
        for module, names, change in (
            (array_operators, _MOVES, lambda _, original: moved.mover(original)),
            (math_operators, tuple(_READS), moved.reader),
        ):
            for name in names:
                original = getattr(module, name)
                stack.callback(setattr, module, name, original)
                setattr(module, name, change(name, original))
        yield


@dataclass
class _Moved:
    """The parts of what was moved, by the id of the complex tensor, which is kept so that the id stays its own."""

    parts: dict[int, tuple[Tensor, _Parts]] = field(default_factory=dict)

    def mover(self, original: _Operator) -> _Operator:
        """An operator that gives the same values in other places."""

        def moved(*arguments: object, **settings: object) -> Tensor:
            values = next((each for each in (*arguments[:1], *settings.values()) if _is_complex(each)), None)
            if values is None:
                return original(*arguments, **settings)

            def of(part: Tensor) -> Tensor:
                # Without the name, a string, which only one of the operators could have.
                places = [part if each is values else None if isinstance(each, str) else each for each in arguments]
                named = {key: part if each is values else each for key, each in settings.items() if key != "name"}
                return original(*places, **named)

            kept = self.parts.get(id(values))
            real, imaginary = (tf.math.real(values), tf.math.imag(values)) if kept is None else kept[1]
            parts = of(real), of(imaginary)
            result = tf.complex(*parts)
            self.parts[id(result)] = (result, parts)
            return result

        return moved

    def reader(self, name: str, original: _Operator) -> _Operator:
        """An operator that gives real numbers."""

        def read(*arguments: object, **settings: object) -> Tensor:
            kept = next(
                (self.parts[id(each)] for each in (*arguments[:1], *settings.values()) if id(each) in self.parts), None
            )
            return original(*arguments, **settings) if kept is None else _READS[name](*kept[1])

        return read


def _is_complex(value: object) -> bool:
    return getattr(value, "dtype", None) == tf.complex64
