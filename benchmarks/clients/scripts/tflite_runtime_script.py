"""tflite-runtime: the small package of TensorFlow's own interpreter, as on a Raspberry Pi or a Coral board.

Outputs are named ``0``, ``1``, ...; those without XNNPACK, which the package uses unless told otherwise, ``plain_0``;
those of its reference kernels ``reference_0``.
"""

import sys

import numpy as np
from tflite_runtime.interpreter import Interpreter, OpResolverType

model, given, written = sys.argv[1:]
inputs = np.load(given)
results: dict[str, list[np.ndarray]] = {}
resolvers = {
    "": OpResolverType.AUTO,
    "plain_": OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
    "reference_": OpResolverType.BUILTIN_REF,
}
for prefix, resolver in resolvers.items():
    interpreter = Interpreter(model, experimental_op_resolver_type=resolver)
    interpreter.allocate_tensors()
    for sample in range(len(inputs["0"])):
        for place, details in enumerate(interpreter.get_input_details()):
            interpreter.set_tensor(details["index"], inputs[str(place)][sample].reshape(details["shape"]))
        interpreter.invoke()
        for place, details in enumerate(interpreter.get_output_details()):
            results.setdefault(f"{prefix}{place}", []).append(interpreter.get_tensor(details["index"]).copy())
np.savez(written, **{name: np.stack(values) for name, values in results.items()})  # type: ignore[arg-type]
