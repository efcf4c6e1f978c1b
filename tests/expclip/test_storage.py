"""Files appear whole or not at all, on disk and in object storage."""

from pathlib import Path

import pytest

from expclip import storage


@pytest.fixture(params=["local", "s3"])
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return str(tmp_path) if request.param == "local" else str(request.getfixturevalue("s3_folder"))


def test_written_files_are_found_and_read(folder: str) -> None:
    path = storage.join(folder, "a", "b.txt")
    assert not storage.exists(path)
    storage.write_bytes(path, b"one")
    storage.write_bytes(path, b"two")
    assert storage.read_text(path) == "two"
    assert storage.listing(storage.parent(path)) == [path]
    assert storage.listing(storage.join(folder, "none")) == []
    assert storage.is_folder(storage.parent(path))
    with storage.local_copy(path) as name:
        assert Path(name).read_bytes() == b"two"
    storage.remove(path)
    storage.remove(path)
    assert not storage.exists(path)


def test_all_files_below_a_folder_are_listed_by_relative_path(folder: str) -> None:
    for name in ("b/c/two.txt", "a.txt", "b/one.txt", ".hidden/x", "b/.y"):
        storage.write_bytes(storage.join(folder, "top", name), b"x")
    assert storage.walk(storage.join(folder, "top")) == ["a.txt", "b/c/two.txt", "b/one.txt"]
    assert storage.walk(storage.join(folder, "none")) == []


def test_a_stamp_changes_with_the_file(tmp_path: Path) -> None:
    path = str(tmp_path / "a")
    storage.write_bytes(path, b"one")
    first = storage.stamp(path)
    storage.write_bytes(path, b"other")
    assert storage.stamp(path) not in ("", first)
    assert storage.stamp(str(tmp_path / "none")) == ""


def write_half(path: str) -> None:
    with storage.write_once(path) as name:
        Path(name).write_bytes(b"half")
        raise RuntimeError("power cut")


def test_nothing_appears_when_writing_fails(folder: str) -> None:
    path = storage.join(folder, "half.bin")
    storage.write_bytes(path, b"before")
    with pytest.raises(RuntimeError, match="power cut"):
        write_half(path)
    assert storage.read_bytes(path) == b"before"
    assert storage.listing(storage.parent(path)) == [path]


def test_missing_files_raise(folder: str) -> None:
    with pytest.raises(FileNotFoundError):
        storage.read_bytes(storage.join(folder, "none.bin"))


def test_join_lets_absolute_and_remote_parts_win() -> None:
    assert storage.join("a/", "b", "c.wav") == "a/b/c.wav"
    assert storage.join("a", "/b", "c") == "/b/c"
    assert storage.join("a", "s3://k/b") == "s3://k/b"
    assert storage.parent("s3://bucket/a/b.csv") == "s3://bucket/a"
    assert storage.parent("b.csv") == "."


def test_unwritable_folder_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(NotADirectoryError, match="is a file, not a folder"):
        storage.check_writable(str(tmp_path / "file"))
    storage.check_writable(str(tmp_path / "new"))
    assert not list((tmp_path / "new").iterdir())
