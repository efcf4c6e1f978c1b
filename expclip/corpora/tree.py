"""The files of a corpus's folder, listed once: local or s3://, by paths relative to it."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

from expclip import storage


@dataclass(frozen=True)
class Tree:
    """A folder and the paths of all files below it, relative to it and sorted."""

    root: str
    files: tuple[str, ...]

    @classmethod
    def of(cls, root: str) -> "Tree":
        """Return the tree of a folder as it is now."""
        return cls(root.rstrip("/") or root, tuple(storage.walk(root)))

    def without(self, folder: str) -> "Tree":
        """Return the tree without what lies in a folder, given by its whole path: what a job writes is no corpus."""
        inside = f"{folder.rstrip('/')}/"
        return Tree(self.root, tuple(file for file in self.files if not self.path(file).startswith(inside)))

    @property
    def name(self) -> str:
        """Name of the folder itself."""
        return self.root.rsplit("/", 1)[-1]

    @cached_property
    def _known(self) -> frozenset[str]:
        return frozenset(self.files)

    @cached_property
    def _stems(self) -> dict[str, list[str]]:
        stems: dict[str, list[str]] = {}
        for file in self.files:
            stems.setdefault(stem(file), []).append(file)
        return stems

    @cached_property
    def _folders(self) -> dict[str, list[str]]:
        folders: dict[str, list[str]] = {}
        for file in self.files:
            folders.setdefault(file.rpartition("/")[0], []).append(file)
        return folders

    def within(self, folder: str) -> list[str]:
        """Return the files directly in a folder of the tree."""
        return self._folders.get(folder.rstrip("/"), [])

    def path(self, file: str) -> str:
        """Return the whole path of a file of the tree."""
        return storage.join(self.root, file)

    def match(self, pattern: str) -> Iterator[tuple[str, re.Match[str]]]:
        """Yield the files whose relative path fits a pattern as a whole, and how."""
        compiled = re.compile(pattern, re.IGNORECASE)
        for file in self.files:
            if found := compiled.fullmatch(file):
                yield file, found

    def first(self, *files: str) -> str:
        """Return the whole path of the first of these files that is there, or an empty text."""
        return next((self.path(file) for file in files if file in self._known), "")

    def beside(self, file: str, suffixes: Sequence[str]) -> str:
        """Return the whole path of the file of the same folder and stem with the first suffix that is there, or ''."""
        base = file[: len(file) - len(suffix(file))]
        return self.first(*(base + end for s in suffixes for end in (s, s.upper())))

    def named(self, name: str, suffixes: Sequence[str]) -> str:
        """Return the whole path of the file of that stem, in any folder, with the first suffix that is there, or ''."""
        files = self._stems.get(name, ())
        return next((self.path(f) for s in suffixes for f in files if suffix(f).lower() == s), "")


def stem(file: str) -> str:
    """Return a file's name without folders and suffix."""
    name = file.rsplit("/", 1)[-1]
    return name.rsplit(".", 1)[0] if "." in name[1:] else name


def suffix(file: str) -> str:
    """Return a file's suffix with its dot, or an empty text."""
    name = file.rsplit("/", 1)[-1]
    return "." + name.rsplit(".", 1)[1] if "." in name[1:] else ""
