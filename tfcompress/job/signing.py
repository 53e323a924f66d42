"""Signatures of manifests: Ed25519 (RFC 8032), by the `cryptography` package, with keys in PEM files.

``openssl genpkey -algorithm ed25519 -out key.pem`` makes a key, and ``openssl pkey -in key.pem -pubout -out pub.pem``
the public one that goes with it.  An attacker who changes a folder can recompute every hash, but not the signature.
"""

from __future__ import annotations

import base64
import binascii
import importlib
from pathlib import Path
from typing import Any

from tfcompress.errors import InputError, MissingExtraError, one_line
from tfcompress.plain_files import read_plain

__all__ = ["SigningKey", "VerifyingKey"]

_WHAT = b"tfcompress manifest\0"  # a signature of ours is none of anything else
MOST_BYTES = 1 << 16


class SigningKey:
    """A private key.

    Args:
        path: a PEM file without a passphrase.

    Raises:
        MissingExtraError: `cryptography` is not installed.
        InputError: no such file, or no Ed25519 key.
    """

    def __init__(self, path: str | Path) -> None:
        serialization, ed25519 = _library("--sign_key")
        content = _read(path, "--sign_key")
        try:
            key = serialization.load_pem_private_key(content, password=None)
        except (ValueError, TypeError, *_unsupported()) as error:
            raise InputError(
                f"--sign_key={path}: no private key in PEM form without a passphrase: {one_line(error, 120)}; "
                "make one with: openssl genpkey -algorithm ed25519 -out key.pem"
            ) from None
        if not isinstance(key, ed25519.Ed25519PrivateKey):
            raise InputError(f"--sign_key={path}: is a key of another kind, expected Ed25519")
        self._key: Any = key

    def sign(self, digest: bytes) -> str:
        """Base64 of the signature of a manifest's own SHA-256."""
        return base64.b64encode(self._key.sign(_WHAT + digest)).decode()


class VerifyingKey:
    """A public key.

    Args:
        path: a PEM file.

    Raises:
        MissingExtraError: `cryptography` is not installed.
        InputError: no such file, or no Ed25519 key.
    """

    def __init__(self, path: str | Path) -> None:
        serialization, ed25519 = _library("--public_key")
        content = _read(path, "--public_key")
        try:
            key = serialization.load_pem_public_key(content)
        except (ValueError, TypeError, *_unsupported()) as error:
            raise InputError(f"--public_key={path}: no public key in PEM form: {one_line(error, 120)}") from None
        if not isinstance(key, ed25519.Ed25519PublicKey):
            raise InputError(f"--public_key={path}: is a key of another kind, expected Ed25519")
        self._key: Any = key

    def made(self, signature: object, digest: bytes) -> bool:
        """Whether the private key that goes with this one made the signature."""
        invalid = importlib.import_module("cryptography.exceptions").InvalidSignature
        try:
            self._key.verify(base64.b64decode(str(signature), validate=True), _WHAT + digest)
        except (invalid, binascii.Error, ValueError):
            return False
        return True


def _library(flag: str) -> tuple[Any, Any]:
    try:
        return (
            importlib.import_module("cryptography.hazmat.primitives.serialization"),
            importlib.import_module("cryptography.hazmat.primitives.asymmetric.ed25519"),
        )
    except ImportError:
        raise MissingExtraError("cryptography", "sign", flag) from None


def _unsupported() -> tuple[type[Exception]]:
    return (importlib.import_module("cryptography.exceptions").UnsupportedAlgorithm,)


def _read(path: str | Path, flag: str) -> bytes:
    try:
        return read_plain(path, most_bytes=MOST_BYTES)
    except OSError as error:
        raise InputError(f"{flag}={path}: cannot be read: {error.strerror}") from None
