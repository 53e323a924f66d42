"""A stand-in for TF Serving where its binary cannot be had: its REST protocol over the SavedModel that we write.

Run as ``python rest_server.py --model_name=NAME --model_base_path=FOLDER``; the port, one that is free, is printed.
Source of the protocol: TensorFlow Serving documentation, "RESTful API" (model status, metadata, predict).
"""

from __future__ import annotations

import argparse
import json
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import tensorflow as tf

DEFAULT_SIGNATURE = "serving_default"


def handler_of(name: str, version: int, model: Any) -> type[BaseHTTPRequestHandler]:
    """The requests that the server answers, for one model."""
    places = {f"/v1/models/{name}", f"/v1/models/{name}/versions/{version}"}

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path in places:
                status = {"version": str(version), "state": "AVAILABLE", "status": {"error_code": "OK"}}
                self._answer(200, {"model_version_status": [status]})
            elif self.path.removesuffix("/metadata") in places:
                self._answer(200, {"metadata": {"signature_def": {"signature_def": _signatures(model)}}})
            else:
                self._answer(404, {"error": f"Servable not found for request: {self.path}"})

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            signature = body.get("signature_name", DEFAULT_SIGNATURE)
            if self.path.removesuffix(":predict") not in places:
                self._answer(404, {"error": f"Servable not found for request: {self.path}"})
            elif signature not in model.signatures:
                self._answer(400, {"error": f"Serving signature name: {signature!r} not found in signature def"})
            else:
                try:
                    self._answer(200, _predicted(model.signatures[signature], body))
                except (ValueError, KeyError, tf.errors.OpError) as error:
                    self._answer(400, {"error": str(error)})

        def _answer(self, code: int, value: object) -> None:
            content = json.dumps(value).encode()
            self.send_response(code)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, format: str, *arguments: object) -> None:
            """Nothing: the port alone is printed."""

    return Handler


def _signatures(model: Any) -> dict[str, Any]:
    return {
        name: {
            side: {key: {"dtype": f"DT_{spec.dtype.name.upper()}", "name": spec.name} for key, spec in specs.items()}
            for side, specs in (
                ("inputs", function.structured_input_signature[1]),
                ("outputs", function.structured_outputs),
            )
        }
        for name, function in model.signatures.items()
    }


def _predicted(function: Any, body: dict[str, Any]) -> dict[str, Any]:
    """Row format (`instances`: a list of samples) or column format (`inputs`: a tensor, or {name: tensor})."""
    specs = function.structured_input_signature[1]
    if "instances" in body:
        rows = body["instances"]
        is_named = isinstance(rows[0], dict)
        columns = {name: [row[name] for row in rows] for name in specs} if is_named else {next(iter(specs)): rows}
    else:
        given = body["inputs"]
        columns = given if isinstance(given, dict) else {next(iter(specs)): given}
    tensors = {name: tf.constant(columns[name], spec.dtype) for name, spec in specs.items()}
    results = {name: value.numpy().tolist() for name, value in function(**tensors).items()}
    if "instances" not in body:
        return {"outputs": next(iter(results.values())) if len(results) == 1 else results}
    if len(results) == 1:
        return {"predictions": next(iter(results.values()))}
    count = len(next(iter(results.values())))
    return {"predictions": [{name: values[row] for name, values in results.items()} for row in range(count)]}


def main() -> None:
    """Serve the highest version in the folder until the process is ended."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model_name", required=True)
    parser.add_argument("--model_base_path", type=Path, required=True)
    options = parser.parse_args()
    version = max(int(path.name) for path in options.model_base_path.iterdir() if path.name.isdigit())
    model = tf.saved_model.load(str(options.model_base_path / str(version)))
    server = HTTPServer(("localhost", 0), handler_of(options.model_name, version, model))
    print(server.server_port, flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
