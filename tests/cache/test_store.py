"""The store keeps results by name, within its bound, for several processes, and trusts no file."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tfcompress.cache import Store, fingerprint, open_store, whole_file, write_whole
from tfcompress.cache.store import FORMAT
from tfcompress.errors import InputError

KEY, OTHER = fingerprint("a result"), fingerprint("another")


def entry_of(store: Store) -> Path:
    """The only entry's file."""
    assert store.folder is not None
    (path,) = store.folder.glob("??/*")
    return path


def test_what_was_kept_is_found_under_its_own_name_only(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.put(KEY, b"content")
    assert store.get(KEY) == b"content"
    assert store.get(OTHER) is None
    assert Store(tmp_path).get(KEY) == b"content"  # in another run


@pytest.mark.parametrize("kept", [0, 1, 30, 90])
def test_a_file_that_was_cut_is_not_trusted(tmp_path: Path, kept: int) -> None:
    store = Store(tmp_path)
    store.put(KEY, b"content")
    path = entry_of(store)
    path.write_bytes(path.read_bytes()[:kept])
    assert store.get(KEY) is None
    assert not path.exists()


def test_no_changed_byte_is_trusted(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.put(KEY, b"content")
    path, whole = entry_of(store), entry_of(store).read_bytes()
    for position in range(len(whole)):
        changed = bytearray(whole)
        changed[position] ^= 1
        path.write_bytes(changed)
        assert store.get(KEY) is None, position
    path.write_bytes(whole + b"!")
    assert store.get(KEY) is None
    path.write_bytes(whole)
    assert store.get(KEY) == b"content"


def test_an_entry_under_another_name_or_of_another_format_is_not_trusted(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.put(KEY, b"content")
    whole = entry_of(store).read_bytes()
    renamed = tmp_path / OTHER[:2] / OTHER[2:]
    renamed.parent.mkdir(exist_ok=True)
    renamed.write_bytes(whole)
    assert store.get(OTHER) is None
    (tmp_path / KEY[:2] / KEY[2:]).write_bytes(whole.replace(FORMAT, FORMAT.replace(b"1", b"2")))
    assert store.get(KEY) is None


def test_the_entries_used_least_recently_make_room(tmp_path: Path) -> None:
    store = Store(tmp_path, max_bytes=10_000)
    keys = [fingerprint(number) for number in range(30)]
    for age, key in enumerate(keys[:6]):
        store.put(key, bytes(1000))
        used = time.time() - 100 + age
        os.utime(tmp_path / key[:2] / key[2:], (used, used))
    assert store.get(keys[0]) is not None  # used now, so it stays
    for key in keys[6:12]:
        store.put(key, bytes(1000))
    assert sum(path.stat().st_size for path in tmp_path.glob("??/*")) <= 10_000
    assert store.get(keys[0]) is not None
    assert store.get(keys[1]) is None
    assert store.get(keys[11]) is not None


def test_several_processes_together_keep_to_the_bound(tmp_path: Path) -> None:
    stores = [Store(tmp_path, max_bytes=100_000) for _ in range(4)]  # none knows what the others add
    for number in range(400):
        stores[number % 4].put(fingerprint(number), bytes(1000))
    total = sum(path.stat().st_size for path in tmp_path.glob("??/*"))
    assert total <= 1.2 * 100_000  # each may have added a twentieth since it counted


def test_files_of_the_user_in_the_cache_folder_are_never_removed(tmp_path: Path) -> None:
    (tmp_path / "py").mkdir()
    (tmp_path / KEY[:2]).mkdir()
    mine = [tmp_path / "py" / "thesis.tex", tmp_path / "py" / "draft.partial", tmp_path / KEY[:2] / OTHER[2:]]
    for path in mine:
        path.write_bytes(bytes(20_000))
        os.utime(path, (0, 0))
    store = Store(tmp_path, max_bytes=10_000)
    for number in range(30):
        store.put(fingerprint(number), bytes(1000))
    assert [path.stat().st_size for path in mine] == [20_000] * 3


def test_a_result_too_large_for_the_bound_is_not_kept(tmp_path: Path) -> None:
    store = Store(tmp_path, max_bytes=1000)
    store.put(KEY, bytes(900))
    assert store.get(KEY) is None


def test_a_folder_that_cannot_be_made_makes_an_empty_store(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    store = Store(tmp_path / "file" / "cache")
    store.put(KEY, b"content")
    assert store.get(KEY) is None


def test_a_folder_that_the_user_names_has_to_be_one(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(InputError, match=r"--cache_dir=.*cannot be made"):
        open_store(tmp_path / "file")
    assert open_store(tmp_path / "file", no_cache=True).folder is None
    assert open_store(tmp_path / "new" / "folder").folder == tmp_path / "new" / "folder"


def test_a_folder_that_other_users_can_write_to_is_not_used(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    folder = tmp_path / "shared"
    folder.mkdir()
    monkeypatch.setenv("TFCOMPRESS_CACHE_DIR", str(folder))
    assert open_store(None).folder == folder
    folder.chmod(0o777)
    assert open_store(None).folder is None
    with pytest.raises(InputError, match="other users can write there"):
        open_store(folder)
    folder.chmod(0o755)
    monkeypatch.setattr("os.geteuid", lambda: os.stat(folder).st_uid + 1)  # now it is somebody else's
    if os.stat(folder).st_uid != 0:  # what the administrator owns is trusted
        assert open_store(None).folder is None


def test_the_default_folder_is_the_users(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("TFCOMPRESS_CACHE_DIR")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert open_store(None).folder == tmp_path / "tfcompress"
    monkeypatch.setenv("TFCOMPRESS_CACHE_DIR", str(tmp_path / "own"))
    assert open_store(None).folder == tmp_path / "own"
    monkeypatch.setenv("TFCOMPRESS_CACHE_DIR", "")
    assert open_store(None).folder is None


WRITER = """
import sys
from pathlib import Path
from tfcompress.cache import Store, fingerprint
store = Store(Path(sys.argv[1]), max_bytes=200_000)
for round in range(40):
    for number in range(20):
        content = bytes([number]) * 20_000
        found = store.get(fingerprint(number))
        assert found in (None, content), "a torn or foreign entry"
        store.put(fingerprint(number), content)
"""


def test_two_processes_share_a_folder_and_neither_sees_half_an_entry(tmp_path: Path) -> None:
    runs = [
        subprocess.Popen([sys.executable, "-c", WRITER, str(tmp_path)], stderr=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    for run in runs:
        _, errors = run.communicate(timeout=120)
        assert run.returncode == 0, errors
    assert not list(tmp_path.rglob("*.partial"))


def _interrupted(path: Path) -> None:
    with whole_file(path) as stream:
        stream.write(b"half of the new")
        raise KeyboardInterrupt


def test_a_file_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "file"
    write_whole(path, "old")
    with pytest.raises(KeyboardInterrupt):
        _interrupted(path)
    assert path.read_text() == "old"
    assert [each.name for each in tmp_path.iterdir()] == ["file"]
    write_whole(path, b"new")
    assert path.read_bytes() == b"new"


def test_partial_files_of_killed_processes_are_removed(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.put(KEY, b"content")
    old, fresh = (tmp_path / KEY[:2] / f".{KEY[2:]}.{name}.partial" for name in ("old", "fresh"))
    for path in (old, fresh):
        path.write_bytes(b"half")
    two_hours_ago = time.time() - 7200
    os.utime(old, (two_hours_ago, two_hours_ago))
    Store(tmp_path).put(OTHER, b"content")
    assert not old.exists()
    assert fresh.exists()
