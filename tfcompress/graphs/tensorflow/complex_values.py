"""Complex values kept as their real and imaginary parts, through whatever moves them and computes with them.

TFLite has complex numbers between RFFT2D and REAL, IMAG or COMPLEX_ABS alone: none of its operators makes, moves or
multiplies them, as spectrograms do that bring their channels to the end (``tf.transpose`` of what ``tf.signal.stft``
returns), filters in the frequency domain, and rotary embeddings that are written as products of complex numbers.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from tfcompress.graphs.keras.protocols import Tensor
from tfcompress.graphs.tensorflow.private_names import array_operators, math_operators
from tfcompress.runtime import tf

__all__ = ["complex_values_in_parts"]

_Operator = Callable[..., Tensor]
_Parts = tuple[Tensor, Tensor]  # real and imaginary


def _product(x: _Parts, y: _Parts) -> _Parts:
    return x[0] * y[0] - x[1] * y[1], x[0] * y[1] + x[1] * y[0]


def _quotient(x: _Parts, y: _Parts) -> _Parts:
    size = tf.square(y[0]) + tf.square(y[1])
    return (x[0] * y[0] + x[1] * y[1]) / size, (x[1] * y[0] - x[0] * y[1]) / size


def _exponential(x: _Parts) -> _Parts:
    return tf.exp(x[0]) * tf.cos(x[1]), tf.exp(x[0]) * tf.sin(x[1])


# Operators that do the same to either part, of an array and of sums alike
_MOVES = ("transpose", "reshape", "expand_dims", "squeeze", "strided_slice", "_slice", "gather_v2", "tile", "pad",
          "broadcast_to")  # fmt: skip
_JOINS = ("concat_v2", "pack")  # of a list
_SUMS = ("_sum", "mean")
_COMPUTES: dict[str, Callable[..., _Parts]] = {
    "mul": _product,
    "real_div": _quotient,
    "add_v2": lambda x, y: (x[0] + y[0], x[1] + y[1]),
    "sub": lambda x, y: (x[0] - y[0], x[1] - y[1]),
    "conj": lambda x: (x[0], -x[1]),
    "exp": _exponential,
}
_READS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "real": lambda real, imaginary: real,
    "imag": lambda real, imaginary: imaginary,
    "complex_abs": lambda real, imaginary: tf.sqrt(tf.square(real) + tf.square(imaginary)),
    "angle": lambda real, imaginary: tf.atan2(imaginary, real),
}


@contextlib.contextmanager
def complex_values_in_parts() -> Iterator[None]:
    """Within, what is traced moves and computes both parts of complex64 values, and gives them to what reads a part.

    A complex tensor is made all the same, for whatever else reads it; where nothing does, it is no part of the file.
    """
    values = _ComplexValues()
    with contextlib.ExitStack() as stack:
        for module, names, change in (
            (array_operators, _MOVES, lambda _, original: values.mover(original)),
            (math_operators, _SUMS, lambda _, original: values.mover(original)),
            (array_operators, _JOINS, lambda _, original: values.joiner(original)),
            (math_operators, tuple(_COMPUTES), values.computer),
            (math_operators, tuple(_READS), values.reader),
            (math_operators, ("_complex",), lambda _, original: values.maker(original)),
            (math_operators, ("cast",), lambda _, original: values.caster(original)),
        ):
            for name in names:
                original = getattr(module, name)
                stack.callback(setattr, module, name, original)
                setattr(module, name, change(name, original))
        yield


@dataclass
class _ComplexValues:
    """The parts of complex tensors, by the id of the tensor, which is kept so that the id stays its own."""

    parts: dict[int, tuple[Tensor, _Parts]] = field(default_factory=dict)

    def of(self, values: object) -> _Parts:
        """The parts of any complex tensor or number."""
        if id(values) in self.parts:
            return self.parts[id(values)][1]
        tensor = tf.convert_to_tensor(values, tf.complex64)
        constant = tf.get_static_value(tensor)
        if constant is not None:
            return tf.constant(constant.real), tf.constant(constant.imag)
        return tf.math.real(tensor), tf.math.imag(tensor)

    def maker(self, original: _Operator) -> _Operator:
        """``tf.complex``, also as it is called below: its parts are kept."""

        def made(real: Tensor, imag: Tensor, *arguments: object, **settings: object) -> Tensor:
            result = original(real, imag, *arguments, **settings)
            if _is_complex(result):
                self.parts[id(result)] = (result, (tf.convert_to_tensor(real), tf.convert_to_tensor(imag)))
            return result

        return made

    def caster(self, original: _Operator) -> _Operator:
        """``tf.cast`` of real numbers to complex ones, and of complex ones to their real part."""

        def cast(x: Tensor, DstT: object, *arguments: object, **settings: object) -> Tensor:
            if _is_complex(x) and not tf.as_dtype(DstT).is_complex:
                return tf.cast(self.of(x)[0], DstT)
            if tf.as_dtype(DstT) == tf.complex64 and not _is_complex(x):
                real = original(x, tf.float32)
                return tf.complex(real, tf.zeros_like(real))
            return original(x, DstT, *arguments, **settings)

        return cast

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

            real, imaginary = self.of(values)
            return tf.complex(of(real), of(imaginary))

        return moved

    def joiner(self, original: _Operator) -> _Operator:
        """An operator that makes one tensor of several."""

        def joined(values: Sequence[Tensor], *arguments: object, **settings: object) -> Tensor:
            if not any(_is_complex(each) for each in values):
                return original(values, *arguments, **settings)
            real, imaginary = zip(*(self.of(each) for each in values), strict=True)
            settings.pop("name", None)
            return tf.complex(*(original(list(part), *arguments, **settings) for part in (real, imaginary)))

        return joined

    def computer(self, name: str, original: _Operator) -> _Operator:
        """An operator that gives other complex numbers."""

        def computed(*arguments: object, **settings: object) -> Tensor:
            operands = [*arguments, *(each for key, each in settings.items() if key != "name")]
            operands = [each for each in operands if each is not None and not isinstance(each, str)]
            if not any(_is_complex(each) for each in operands):
                return original(*arguments, **settings)
            return tf.complex(*_COMPUTES[name](*(self.of(each) for each in operands)))

        return computed

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
