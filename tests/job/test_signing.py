"""A signature finds whoever changes a folder and recomputes its hashes."""

import importlib
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tfcompress.errors import InputError, MissingExtraError
from tfcompress.job.manifest import verify, write_manifest
from tfcompress.job.signing import SigningKey, VerifyingKey

pytest.importorskip("cryptography", reason="the extra [sign] is not installed")


def key_pair(folder: Path, name: str = "key") -> tuple[Path, Path]:
    ed25519 = importlib.import_module("cryptography.hazmat.primitives.asymmetric.ed25519")
    forms: Any = importlib.import_module("cryptography.hazmat.primitives.serialization")
    key = ed25519.Ed25519PrivateKey.generate()
    private, public = folder / f"{name}.pem", folder / f"{name}.pub"
    private.write_bytes(
        key.private_bytes(forms.Encoding.PEM, forms.PrivateFormat.PKCS8, forms.NoEncryption()),
    )
    public.write_bytes(key.public_key().public_bytes(forms.Encoding.PEM, forms.PublicFormat.SubjectPublicKeyInfo))
    return private, public


def signed_folder(folder: Path, key: Path | None) -> Path:
    out = folder / "out"
    out.mkdir(exist_ok=True)
    (out / "model.tflite").write_text("weights")
    write_manifest(out, {"seed": 0}, key=None if key is None else SigningKey(key))
    return out


def test_a_signed_folder_verifies_with_the_public_key_and_without(tmp_path: Path) -> None:
    private, public = key_pair(tmp_path)
    out = signed_folder(tmp_path, private)
    assert verify(out) == []
    assert verify(out, public_key=public) == []


def test_hashes_recomputed_by_somebody_else_are_found(tmp_path: Path) -> None:
    private, public = key_pair(tmp_path)
    out = signed_folder(tmp_path, private)
    (out / "model.tflite").write_text("wicked!")
    signature = (out / "manifest.json").read_text().split('"signature": "')[1].split('"')[0]
    (out / "manifest.json").unlink()

    class Replay:
        def sign(self, digest: bytes) -> str:
            return signature

    write_manifest(out, {"seed": 0}, key=Replay())  # type: ignore[arg-type]
    assert verify(out) == []
    assert verify(out, public_key=public) == [f"not signed by {public}: manifest.json"]


def test_another_key_and_no_signature_are_found(tmp_path: Path) -> None:
    _, public = key_pair(tmp_path)
    other, _ = key_pair(tmp_path, "other")
    assert verify(signed_folder(tmp_path, other), public_key=public) == [f"not signed by {public}: manifest.json"]
    (tmp_path / "out/manifest.json").unlink()
    assert verify(signed_folder(tmp_path, None), public_key=public) == ["unsigned: manifest.json"]


@pytest.mark.parametrize("signature", ["null", "1", '"x"', "[]", '"' + "A" * 88 + '"'])
def test_a_signature_that_is_none_is_found(signature: str, tmp_path: Path) -> None:
    private, public = key_pair(tmp_path)
    path = signed_folder(tmp_path, private) / "manifest.json"
    head, rest = path.read_text().split('"signature": "')
    path.write_text(head + f'"signature": {signature}' + rest[rest.index('"') + 1 :])
    assert any("signed" in line for line in verify(tmp_path / "out", public_key=public))


@pytest.mark.parametrize("use", [SigningKey, VerifyingKey])
def test_a_file_that_is_no_key_is_one_line(use: Callable[[Path], Any], tmp_path: Path) -> None:
    (tmp_path / "key").write_text("no key")
    for path in (tmp_path / "key", tmp_path / "none", tmp_path):
        with pytest.raises(InputError, match="_key="):
            use(path)


def test_without_cryptography_the_pip_command_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cryptography.hazmat.primitives.serialization", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'tfcompress\[sign\]'"):
        SigningKey(tmp_path / "key")
