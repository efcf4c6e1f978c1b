"""Answers that were paid for, so that nothing is asked twice: a folder of lines that many processes add to.

Each process writes files of its own: line by line on a local disk, so that a kill loses nothing that was received; in
object storage, which knows no appending, a new object every second. A line that a kill tore is left out.
"""

import json
import time
import uuid
from dataclasses import asdict
from pathlib import Path
from typing import IO

from expclip import storage
from expclip.llm import Reply

_FLUSH_SECONDS = 1.0
_SUFFIX = ".jsonl"


class Cache:
    """Answers by request key. Reads the folder once; an empty folder name keeps nothing on disk."""

    def __init__(self, folder: str = "") -> None:
        self._folder = folder
        self._lines: dict[str, bytes] = dict(_read(folder)) if folder else {}
        self._name = f"{time.time_ns()}-{uuid.uuid4().hex[:8]}"
        self._file: IO[bytes] | None = None
        self._waiting: list[bytes] = []
        self._objects, self._flushed = 0, time.monotonic()

    def __len__(self) -> int:
        return len(self._lines)

    def get(self, key: str) -> Reply | None:
        """Return the answer to a request, None if it was never received."""
        line = self._lines.get(key)
        return Reply(**json.loads(line)["reply"]) if line else None

    def put(self, key: str, reply: Reply) -> None:
        """Keep an answer."""
        line = json.dumps({"key": key, "reply": asdict(reply)}, ensure_ascii=False).encode() + b"\n"
        self._lines[key] = line
        if not self._folder:
            return
        if storage.is_remote(self._folder):
            self._waiting.append(line)
            return
        if self._file is None:
            Path(self._folder).mkdir(parents=True, exist_ok=True)
            self._file = open(Path(self._folder) / (self._name + _SUFFIX), "ab", buffering=0)  # noqa: SIM115
        self._file.write(line)

    def flush(self, *, now: bool = False) -> None:
        """Write what waits to object storage, at most once a second unless `now`."""
        if self._waiting and (now or time.monotonic() - self._flushed >= _FLUSH_SECONDS):
            lines, self._waiting = self._waiting, []
            self._objects, self._flushed = self._objects + 1, time.monotonic()
            name = f"{self._name}-{self._objects:06d}{_SUFFIX}"
            storage.write_bytes(storage.join(self._folder, name), b"".join(lines))

    def close(self) -> None:
        """Write what waits and close the file."""
        self.flush(now=True)
        if self._file is not None:
            self._file.close()
            self._file = None

    def totals(self) -> tuple[int, int, int]:
        """Return how many answers there are, and their tokens in and out."""
        replies = [json.loads(line)["reply"] for line in self._lines.values()]
        return len(replies), sum(r["tokens_in"] for r in replies), sum(r["tokens_out"] for r in replies)


def _read(folder: str) -> list[tuple[str, bytes]]:
    found = []
    for path in storage.listing(folder, _SUFFIX):
        for line in storage.read_bytes(path).split(b"\n"):
            try:
                found.append((str(json.loads(line)["key"]), line))
            except (ValueError, KeyError):
                continue
    return found
