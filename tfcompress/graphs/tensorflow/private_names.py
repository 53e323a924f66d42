"""What the target needs of TensorFlow beyond its public API, in one place.

Each has shipped in every TensorFlow since 2.16; all are `Any`, as TensorFlow carries no types.
"""

from __future__ import annotations

import importlib
from typing import Any

from tfcompress.runtime import tf

__all__ = ["FingerprintDef", "SavedModel", "convert_variables_to_constants_v2", "fingerprinting", "stablehlo"]


def _internal(module: str) -> Any:
    return importlib.import_module(f"{tf.__name__}.{module}")


# (concrete function, lower_control_flow=, aggressive_inlining=) -> concrete function without variables
convert_variables_to_constants_v2 = _internal("python.framework.convert_to_constants").convert_variables_to_constants_v2
# .serialize_portable_artifact_str(module text, target version) -> VHLO bytecode
stablehlo = _internal("compiler.mlir.stablehlo.stablehlo")
# .CreateFingerprintDef(folder) -> serialised FingerprintDef
fingerprinting = _internal("python.saved_model.pywrap_saved_model").fingerprinting
SavedModel = _internal("core.protobuf.saved_model_pb2").SavedModel
FingerprintDef = _internal("core.protobuf.fingerprint_pb2").FingerprintDef
