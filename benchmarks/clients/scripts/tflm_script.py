"""TensorFlow Lite Micro's interpreter, from the package tflite-micro."""

import sys

import numpy as np
from tflite_micro import runtime

model, given, written = sys.argv[1:]
inputs = np.load(given)
results: dict[str, list[np.ndarray]] = {}
interpreter = runtime.Interpreter.from_file(model, arena_size=32 << 20)
count = int(sys.argv[4]) if len(sys.argv) > 4 else len(inputs["0"])
outputs = int(inputs["outputs"])
for sample in range(count):
    for place in range(len(inputs.files) - 1):
        shape = interpreter.get_input_details(place)["shape"]
        interpreter.set_input(np.ascontiguousarray(inputs[str(place)][sample]).reshape(shape), place)
    interpreter.invoke()
    for place in range(outputs):
        results.setdefault(str(place), []).append(np.array(interpreter.get_output(place)))
np.savez(written, **{name: np.stack(values) for name, values in results.items()})  # type: ignore[arg-type]
