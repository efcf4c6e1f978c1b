"""Files by path, local or `s3://` (through s3fs): the only module that tells the two apart.

Everything written goes through `write_once`: the whole file appears under its name, or nothing does.
"""

import errno
import os
import tempfile
import time
import uuid
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from pathlib import Path
from typing import IO, Any

_S3 = "s3://"
_PARTIAL = ".partial."
_ABANDONED_SECONDS = 3600.0


def is_remote(path: str) -> bool:
    """Whether a path lies in object storage."""
    return str(path).startswith(_S3)


def _s3() -> Any:
    import s3fs

    return s3fs.S3FileSystem()


def absolute(path: str) -> str:
    """Return a path that means the same in processes with another working directory; remote and empty ones as given."""
    return path if not path or is_remote(path) else os.path.abspath(path)


def join(base: str, *parts: str) -> str:
    """Join path parts; a part that is absolute or remote replaces what stands before it."""
    for part in parts:
        base = part if is_remote(part) or os.path.isabs(part) else f"{base.rstrip('/')}/{part}" if base else part
    return base


def parent(path: str) -> str:
    """Return the folder of a path."""
    return path.rsplit("/", 1)[0] if is_remote(path) else str(Path(path).parent)


def exists(path: str) -> bool:
    """Whether a file or folder is there."""
    return bool(_s3().exists(path)) if is_remote(path) else os.path.exists(path)


def is_folder(path: str) -> bool:
    """Whether the path is a folder (in object storage: a prefix that holds something)."""
    return bool(_s3().isdir(path)) if is_remote(path) else os.path.isdir(path)


def listing(folder: str, suffix: str = "") -> list[str]:
    """Return the paths of the files directly in a folder that end in `suffix`, sorted; none if it is not there.

    Hidden files are left out: what a killed process was writing is one.
    """
    if is_remote(folder):
        s3 = _s3()
        s3.invalidate_cache()
        found = s3.ls(folder, detail=True) if s3.exists(folder) else []
        paths = (_S3 + e["name"] for e in found if e["type"] == "file")
        return sorted(path for path in paths if path.endswith(suffix))
    if not os.path.isdir(folder):
        return []
    names = [e.name for e in os.scandir(folder) if e.is_file() and e.name.endswith(suffix) and e.name[0] != "."]
    return [join(folder, name) for name in sorted(names)]


def walk(folder: str) -> list[str]:
    """Return the paths of all files below a folder, relative to it, sorted; hidden files and folders are left out."""
    if is_remote(folder):
        s3 = _s3()
        s3.invalidate_cache()
        base = folder.removeprefix(_S3).rstrip("/") + "/"
        found = [str(path).removeprefix(base) for path in s3.find(base)]
        return sorted(path for path in found if not any(part.startswith(".") for part in path.split("/")))
    paths = []
    for base, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if name[0] != "."]
        within = os.path.relpath(base, folder)
        paths += [name if within == "." else f"{within}/{name}" for name in names if name[0] != "."]
    return sorted(paths)


def fingerprints(paths: Iterable[str]) -> dict[str, str]:
    """Return, for each of the paths that is there, a text that changes when its content is replaced.

    That is its size and time of change, or its ETag in object storage, where each folder is listed once.
    """
    found: dict[str, str] = {}
    folders: dict[str, dict[str, str]] = {}
    for path in paths:
        if is_remote(path):
            folder = parent(path)
            if folder not in folders:
                folders[folder] = _etags(folder)
            found.update({path: folders[folder][path]} if path in folders[folder] else {})
        elif os.path.exists(path):
            status = os.stat(path)
            found[path] = f"{status.st_size}-{status.st_mtime_ns}"
    return found


def stamp(path: str) -> str:
    """Return a text that changes when a local file is replaced, to cache what was read of it; of a remote one ''."""
    return "" if is_remote(path) else fingerprints([path]).get(path, "")


def _etags(folder: str) -> dict[str, str]:
    s3 = _s3()
    s3.invalidate_cache()
    entries = s3.ls(folder, detail=True) if s3.exists(folder) else []
    return {_S3 + e["name"]: str(e.get("ETag", e.get("size"))) for e in entries}


def open_read(path: str) -> IO[bytes]:
    """Open a file for reading bytes; raises FileNotFoundError if it is not there."""
    return _s3().open(path, "rb") if is_remote(path) else open(path, "rb")


def read_bytes(path: str) -> bytes:
    """Return the content of a file."""
    with open_read(path) as file:
        return file.read()


def read_text(path: str) -> str:
    """Return the content of a UTF-8 file."""
    return read_bytes(path).decode("utf-8")


@contextmanager
def write_once(path: str) -> Iterator[str]:
    """Give a local file name to write to; on success its content appears at `path`, on any error nothing does.

    The name ends like `path`, so that tools which look at suffixes work. Missing local folders are made.
    """
    name = path.rsplit("/", 1)[-1]
    if is_remote(path):
        with tempfile.TemporaryDirectory() as folder:
            yield f"{folder}/{name}"
            _s3().put_file(f"{folder}/{name}", path)
        return
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_name(f".{uuid.uuid4().hex[:8]}{_PARTIAL}{name}")
    try:
        yield str(partial)
        os.replace(partial, target)
    finally:
        partial.unlink(missing_ok=True)


def clear_partials(folder: str) -> None:
    """Remove from a local folder what killed processes had begun to write more than an hour ago."""
    if is_remote(folder) or not os.path.isdir(folder):
        return
    for entry in os.scandir(folder):
        begun = entry.name.startswith(".") and _PARTIAL in entry.name
        if begun and time.time() - entry.stat().st_mtime > _ABANDONED_SECONDS:
            remove(entry.path)


def write_bytes(path: str, content: bytes) -> None:
    """Write a file whole or not at all."""
    with write_once(path) as name:
        Path(name).write_bytes(content)


def remove(path: str) -> None:
    """Remove one file; it is no error if it is not there."""
    if is_remote(path):
        s3 = _s3()
        if s3.exists(path):
            s3.rm_file(path)
    else:
        Path(path).unlink(missing_ok=True)


@contextmanager
def local_copy(path: str) -> Iterator[str]:
    """Give a local file with the content of `path`: the file itself, or a temporary download."""
    if not is_remote(path):
        yield path
        return
    with tempfile.TemporaryDirectory() as folder:
        name = f"{folder}/{path.rsplit('/', 1)[-1]}"
        _s3().get_file(path, name)
        yield name


class Copies:
    """Local names of files; of remote ones, the copies made last are kept, as neighbours in a table share files.

    For functions that take a path, `open` stands in for `local_copy`.
    """

    def __init__(self, count: int = 2) -> None:
        self._count = count
        self._kept: dict[str, tuple[str, ExitStack]] = {}

    def local(self, path: str) -> str:
        """Return a local file with the content of `path`, good until `count` other remote files were asked for."""
        if not is_remote(path):
            return path
        if path not in self._kept:
            while len(self._kept) >= self._count:
                self._kept.pop(next(iter(self._kept)))[1].close()
            stack = ExitStack()
            self._kept[path] = (stack.enter_context(local_copy(path)), stack)
        self._kept[path] = self._kept.pop(path)  # the one used last comes last
        return self._kept[path][0]

    def open(self, path: str) -> AbstractContextManager[str]:
        """Give the same local file to a `with` statement."""
        return nullcontext(self.local(path))


def check_writable(folder: str) -> None:
    """Raise OSError if nothing can be written into a folder (which is made if missing)."""
    if not is_remote(folder) and os.path.exists(folder) and not os.path.isdir(folder):
        raise NotADirectoryError(errno.ENOTDIR, "is a file, not a folder to write to", folder)
    probe = join(folder, f".probe-{uuid.uuid4().hex[:8]}")
    try:
        write_bytes(probe, b"")
    except OSError as error:
        raise type(error)(error.errno, f"cannot be written to ({error.strerror or error})", folder) from None
    remove(probe)
