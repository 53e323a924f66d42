"""The child process that runs compiled parts in Qualcomm's HTP emulator: ``python -m ...emulator_worker MODEL...``.

Qualcomm's libraries print, may crash and keep memory, so they live in a process of their own.

A request on standard input: int64 [part, number of inputs], then the inputs.  The answer on standard output: int64
[number of outputs], then the outputs.  Before the first request the answer is int64 [0].  After a
failure the answer is int64 [-1] and the message as uint8.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable

import numpy as np

from tfcompress.converters.npu.pipes import read, write


def session_for(path: str) -> Callable[[list[np.ndarray]], list[np.ndarray]]:
    """What runs one part, by the order of its inputs and outputs."""
    import onnxruntime
    import onnxruntime_qnn

    name = onnxruntime_qnn.get_ep_name()
    try:
        onnxruntime.register_execution_provider_library(name, onnxruntime_qnn.get_library_path())
    except Exception as error:  # a second registration is refused with a class of ONNX Runtime's own
        if "already registered" not in str(error):
            raise
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    devices = [device for device in onnxruntime.get_ep_devices() if device.ep_name == name]
    options.add_provider_for_devices(devices[:1], {"backend_path": onnxruntime_qnn.get_qnn_htp_path()})
    session = onnxruntime.InferenceSession(path, options)
    names = [port.name for port in session.get_inputs()]

    def run(values: list[np.ndarray]) -> list[np.ndarray]:
        return [np.asarray(value) for value in session.run(None, dict(zip(names, values, strict=True)))]

    return run


def main(paths: list[str]) -> None:
    """Serve requests until standard input ends; see the module's docstring."""
    requests, answers = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what native code prints must not get between the arrays
    try:
        sessions = [session_for(path) for path in paths]
        write(answers, [np.array([0])])
        while True:
            try:
                part, count = read(requests).tolist()
            except EOFError:  # the parent is gone
                return
            outputs = sessions[part]([read(requests) for _ in range(count)])
            write(answers, [np.array([len(outputs)]), *outputs])
    except Exception as error:  # any failure of a native library is the answer
        text = " ".join(str(error).split()) or type(error).__name__
        write(answers, [np.array([-1]), np.frombuffer(text.encode(), np.uint8)])


if __name__ == "__main__":
    main(sys.argv[1:])
    sys.stdout.flush()
    os._exit(0)  # Qualcomm's own shutdown may wait for a device that is not there
