"""`TABLE.ledger`: what ran on a table, when, with which version and settings; files are only ever added.

A run leaves `TIME-ID.begun.json` and, unless it was killed, `TIME-ID.ended.json`: so a run that begun and has no end
is one that died.
"""

import json
import platform
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import expclip
from expclip import storage

if TYPE_CHECKING:
    from ray_jobs.pipeline import Summary


@contextmanager
def entry(table: str, summary: "Summary", about: Mapping[str, Any]) -> Iterator[None]:
    """Write that a run began, and when the block ends how it ended: with the summary's counts, or with an error."""
    began = datetime.now(UTC)
    stem = f"{table}.ledger/{began:%Y%m%dT%H%M%S.%f}Z-{uuid.uuid4().hex[:8]}"
    made = {
        "expclip": expclip.__version__,
        "python": platform.python_version(),
        "ray": version("ray"),
        "host": platform.node(),
    }
    _write(f"{stem}.begun.json", began, {"versions": made, "about": dict(about), **_counts(summary)})
    error = "interrupted"
    try:
        yield
        error = ""
    except Exception as cause:
        error = f"{type(cause).__name__}: {cause}"
        raise
    finally:
        _write(f"{stem}.ended.json", datetime.now(UTC), {**_counts(summary), "error": error})


def _counts(summary: "Summary") -> dict[str, Any]:
    names = ("total", "there", "done", "failed", "seconds", "work_s", "workers", "mib")
    return {name: round(getattr(summary, name), 3) for name in names}


def read(table: str) -> list[dict[str, Any]]:
    """Return all entries of a table's ledger in order of time, each with its `event`."""
    paths = storage.listing(f"{table}.ledger", ".json")
    found = [{"event": path.rsplit(".", 2)[-2], **json.loads(storage.read_text(path))} for path in paths]
    return sorted(found, key=lambda each: str(each["time"]))


def _write(path: str, time: datetime, values: Mapping[str, Any]) -> None:
    content = {"time": time.isoformat(timespec="milliseconds"), **values}
    storage.write_bytes(path, json.dumps(content, indent=1, default=str).encode())
