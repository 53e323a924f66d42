"""The manifest: what a run made, from what, and with what; and the check of a folder against it.

``manifest.json`` holds the SHA-256 and size of every other file, and a hash of itself (of its own JSON text with
`manifest_sha256` empty), so that any changed, missing or added byte is found.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import platform
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tfcompress.data.files import sha256_of_file
from tfcompress.errors import InputError
from tfcompress.job.output_folder import MANIFEST

__all__ = ["verify", "versions", "write_manifest"]

SCHEMA_VERSION = 1
_PACKAGES = (
    "tfcompress",
    "tensorflow",
    "tf_keras",
    "keras",
    "tensorflow-model-optimization",
    "litert-quantizer",
    "ai-edge-litert",
    "numpy",
    "jax",
    "libtpu",
)


def versions() -> dict[str, str | None]:
    """Versions of Python and of every package that shapes an artifact; None for one that is not installed."""
    found: dict[str, str | None] = {"python": platform.python_version()}
    for package in _PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            found[package] = None
    return found


def write_manifest(folder: Path, facts: Mapping[str, Any]) -> None:
    """Write ``manifest.json`` for all files now in `folder`.

    Args:
        folder: the finished output folder.
        facts: model, data, recipe, versions and seed, as JSON values.
    """
    manifest = {"schema_version": SCHEMA_VERSION, **facts, "files": _files(folder), "manifest_sha256": ""}
    manifest["manifest_sha256"] = _own_hash(manifest)
    (folder / MANIFEST).write_text(_text(manifest), encoding="utf-8")


def verify(folder: str | Path) -> list[str]:
    """Every way in which a folder differs from its manifest, a line each; empty when it is intact.

    Raises:
        InputError: no folder, or no readable manifest in it.
    """
    root = Path(folder)
    if not root.is_dir():
        raise InputError(f"{folder}: no such folder, expected one that tfcompress convert wrote")
    try:
        text = (root / MANIFEST).read_text(encoding="utf-8")
        manifest = json.loads(text)
        listed, own = manifest["files"], manifest["manifest_sha256"]
        expected = {name: (item["sha256"], item["bytes"]) for name, item in listed.items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(f"{folder}: no readable {MANIFEST} ({type(error).__name__}: {error})") from None
    problems = []
    if own != _own_hash({**manifest, "manifest_sha256": ""}) or text != _text(manifest):
        problems.append(f"changed: {MANIFEST}")
    found = {name: (item["sha256"], item["bytes"]) for name, item in _files(root).items()}
    problems += [f"missing: {name}" for name in sorted(expected.keys() - found.keys())]
    problems += [f"added: {name}" for name in sorted(found.keys() - expected.keys())]
    problems += [f"changed: {name}" for name in sorted(expected.keys() & found.keys()) if expected[name] != found[name]]
    return problems


def _files(folder: Path) -> dict[str, dict[str, Any]]:
    """Every file below `folder` but the manifest; a link counts as what its target's name says."""
    found = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_symlink():
            found[name] = {"sha256": f"link to {path.readlink()}", "bytes": 0}
        elif path.is_file() and name != MANIFEST:
            found[name] = {"sha256": sha256_of_file(path), "bytes": path.stat().st_size}
    return found


def _text(manifest: Mapping[str, Any]) -> str:
    return json.dumps(manifest, indent=2, sort_keys=True) + "\n"


def _own_hash(manifest: Mapping[str, Any]) -> str:
    return hashlib.sha256(_text(manifest).encode()).hexdigest()
