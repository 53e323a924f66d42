"""The manifest: what a run made, from what, and with what; and the check of a folder against it.

``manifest.json`` holds the SHA-256, size and mode of every other file, the mode of every folder, and a hash of itself
(of its own JSON text with `manifest_sha256` empty and without `signature`), so that whatever is changed, missing or
added is found.  A signature of that hash also finds who recomputed the hashes.
"""

from __future__ import annotations

import hashlib
import json
import platform
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tfcompress.cache.fingerprints import ENGINES, versions_of
from tfcompress.errors import InputError, one_line
from tfcompress.job.contents import Contents, contents_of, mode_of
from tfcompress.job.publishing import recover
from tfcompress.job.signing import SigningKey, VerifyingKey
from tfcompress.job.staging import VOLUME_FOLDER, absolute, is_mount, locked
from tfcompress.plain_files import read_plain

__all__ = ["MANIFEST", "Manifest", "verify", "versions", "write_manifest"]

MANIFEST = "manifest.json"
FORMAT = "tfcompress output folder"
SCHEMA_VERSION = 2
LARGEST = 64 << 20
_PACKAGES = ("tfcompress", *ENGINES, "jax", "libtpu")


def versions() -> dict[str, str | None]:
    """Versions of Python and of every package that shapes an artifact; None for one that is not installed."""
    return {"python": platform.python_version(), **versions_of(_PACKAGES)}


def write_manifest(folder: Path, facts: Mapping[str, Any], *, key: SigningKey | None = None) -> None:
    """Write ``manifest.json`` for all files now in `folder`.

    Args:
        folder: the finished output folder.
        facts: model, data, recipe, versions and seed, as JSON values.
        key: signs the manifest; None leaves it unsigned.
    """
    (folder / MANIFEST).touch()
    mode = mode_of((folder / MANIFEST).stat())
    now = contents_of(folder, without=frozenset({MANIFEST}))
    manifest: dict[str, Any] = {"schema_version": SCHEMA_VERSION, "format": FORMAT, "manifest_mode": mode, **facts}
    manifest |= {"files": now.files, "folders": now.folders, "manifest_sha256": ""}
    manifest["manifest_sha256"] = _own_hash(manifest)
    if key is not None:
        manifest["signature"] = key.sign(bytes.fromhex(manifest["manifest_sha256"]))
    (folder / MANIFEST).write_text(_text(manifest), encoding="utf-8")


@dataclass(frozen=True)
class Manifest:
    """One that was read.

    Attributes:
        files: as `Contents` has them; without a mode where an older version wrote the manifest.
        folders: the same; None where an older version wrote the manifest.
        mode: of the manifest's own file; None where an older version wrote it.
        digest: the hash of its content, as it should be.
        intact: that hash is the one that it holds, and it was written as we write.
        signature: None where it is not signed.
    """

    files: Mapping[str, Mapping[str, Any]]
    folders: Mapping[str, Mapping[str, object]] | None
    mode: str | None
    digest: bytes
    intact: bool
    signature: object

    @classmethod
    def read(cls, folder: Path) -> Manifest:
        """The manifest of a folder.

        Raises:
            InputError: none there, or one that we did not write.
        """
        try:
            text, content = _read(folder / MANIFEST)
            own = _own_hash(content)
            intact = content["manifest_sha256"] == own and text == _text(content)
            files = {str(name): dict(item) for name, item in content["files"].items()}
            folders = content.get("folders")
            folders = None if folders is None else {str(name): dict(item) for name, item in folders.items()}
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            raise _none_of_ours(folder, "it lacks what tfcompress writes into one") from None
        return cls(files, folders, content.get("manifest_mode"), bytes.fromhex(own), intact, content.get("signature"))

    def differences(self, folder: Path, *, without: frozenset[str] = frozenset()) -> dict[str, list[str]]:
        """{kind: names}, the kinds being `changed`, `missing`, `added` and `mode`.

        Args:
            folder: to compare with the manifest.
            without: names at its top that are left out.
        """
        now = _now(folder, without, self.files)
        by_kind: dict[str, list[str]] = {"changed": [], "missing": [], "added": [], "mode": []}
        for name in sorted({*self.files, *now.files, *now.others}):
            kind = _difference(self.files.get(name), now.files.get(name), now.others.get(name))
            if kind:
                by_kind[kind].append(name + (f" ({now.others[name]})" if name in now.others else ""))
        if self.folders is not None:
            for name in sorted({*self.folders, *now.folders}):
                kind = _difference(self.folders.get(name), now.folders.get(name), None)
                if kind:
                    by_kind[kind].append(f"{name}/")
        if self.mode is not None and self.mode != mode_of((folder / MANIFEST).lstat()):
            by_kind["mode"].append(MANIFEST)
        return by_kind


def _read(path: Path) -> tuple[str, dict[str, Any]]:
    """The text of a manifest, and its content, as far as its format tells that it is one.

    Raises:
        InputError: it cannot be read, or is something else.
    """
    try:
        facts = path.lstat()
        if not stat.S_ISREG(facts.st_mode) or facts.st_size > LARGEST:
            raise _none_of_ours(path.parent, "it is no ordinary file, or a very large one")
        text = read_plain(path, most_bytes=LARGEST).decode("utf-8")
        content = json.loads(text)
    except OSError as error:
        raise _none_of_ours(path.parent, error.strerror or one_line(error, 200)) from None
    except (ValueError, RecursionError):
        raise _none_of_ours(path.parent, "it is no JSON text") from None
    first = isinstance(content, dict) and content.get("schema_version") == 1  # the first version named no format
    if not isinstance(content, dict) or content.get("format", FORMAT if first else None) != FORMAT:
        raise _none_of_ours(path.parent, f"its format is not {FORMAT!r}")
    return text, content


def _none_of_ours(folder: Path, why: str) -> InputError:
    return InputError(
        f"{folder}: no readable {MANIFEST} of ours: {why}; expected a folder that tfcompress convert wrote"
    )


def _now(folder: Path, without: frozenset[str], listed: Mapping[str, Mapping[str, Any]]) -> Contents:
    apart = {MANIFEST, *without}
    if is_mount(folder) and not any((folder / VOLUME_FOLDER).glob("*")):
        apart.add(VOLUME_FOLDER)  # the file system made it
    return contents_of(folder, without=frozenset(apart), listed=listed)


def _difference(listed: Mapping[str, object] | None, now: Mapping[str, object] | None, other: str | None) -> str | None:
    if listed is None:
        return "added"
    if now is None:
        return "missing" if other is None else "changed"
    if any(listed.get(key) != now.get(key) for key in ("sha256", "bytes")):
        return "changed"
    return "mode" if listed.get("mode", now["mode"]) != now["mode"] else None


def verify(folder: str | Path, *, public_key: str | Path | None = None) -> list[str]:
    """Every way in which a folder differs from its manifest, a line each; empty when it is intact.

    Bytes, names, links, empty folders and modes are compared.  Where a run was killed while it published the folder,
    the publishing is finished first.

    Args:
        folder: that tfcompress wrote.
        public_key: PEM file of the Ed25519 key that must have signed the manifest; None checks no signature.

    Raises:
        InputError: no folder, or no readable manifest in it, or no such key.
    """
    root = Path(folder)
    key = None if public_key is None else VerifyingKey(public_key)
    target = absolute(root)
    with locked(target):
        recover(target)
        if not root.is_dir():
            raise InputError(f"{folder}: no such folder, expected one that tfcompress convert wrote")
        manifest = Manifest.read(root)
        differences = manifest.differences(root)
    problems = [] if manifest.intact else [f"changed: {MANIFEST}"]
    if key is not None and manifest.signature is None:
        problems.append(f"unsigned: {MANIFEST}")
    elif key is not None and not key.made(manifest.signature, manifest.digest):
        problems.append(f"not signed by {public_key}: {MANIFEST}")
    for kind in ("missing", "added", "changed"):
        problems += [f"{kind}: {name}" for name in differences[kind]]
    return problems + [f"mode changed: {name}" for name in differences["mode"]]


def _text(manifest: Mapping[str, Any]) -> str:
    return json.dumps(manifest, indent=2, sort_keys=True) + "\n"


def _own_hash(manifest: Mapping[str, object]) -> str:
    bare = {key: value for key, value in manifest.items() if key != "signature"}
    return hashlib.sha256(_text({**bare, "manifest_sha256": ""}).encode()).hexdigest()
