"""Progress of a job: a line on the terminal now and then, or one JSON object a line (NDJSON) for machines.

An object has `event` (begun, progress, failed or ended), `time` (UTC) and `table`. `failed` adds clip_id and error;
the others add total, there, done and failed (tasks), seconds (of sound or picture done), work_s (of all workers),
wall_s (since the job began) and mib (most memory of one worker).
"""

import json
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from expclip import storage
from expclip.errors import BadRequestError

if TYPE_CHECKING:
    from ray_jobs.pipeline import Summary

_SECONDS = 2.0
"""Least time between two reports that say nothing but progress."""


class Progress:
    """Hears of a job's Summary again and again, and tells of it."""

    def __init__(self, table: str, how: str = "text") -> None:
        """Tell of the job that fills `table`; raises BadRequestError if `how` is a file that cannot be appended to.

        how: `text` to standard output, `json` to standard error, or the path of a local file that NDJSON is appended
        to, beside the text.
        """
        self._table, self._how = table, how
        self._name = table.rstrip("/").rsplit("/", 1)[-1]
        self._began = self._told = time.monotonic()
        self._failures = 0
        if storage.is_remote(how):
            raise BadRequestError(f"progress can be appended to a local file only, not to {how}")
        if how not in ("text", "json"):
            Path(how).parent.mkdir(parents=True, exist_ok=True)
            Path(how).touch()

    def begin(self, summary: "Summary", how: str = "") -> None:
        """Tell that the job begins, and how: what comes before its first rows."""
        if self._how != "json" and summary.total:
            todo = summary.total - summary.there - summary.failed
            print(f"  {self._name}: {todo} of {summary.total} to do{how and '; '}{how}", flush=True)
        self._write("begun", self._figures(summary))

    def __call__(self, summary: "Summary") -> None:
        """Tell how the job stands, unless that was told just before."""
        left = summary.total - summary.there - summary.done - summary.failed
        now = time.monotonic()
        if left and now - self._told < _SECONDS:
            return
        self._told = now
        if self._how != "json":
            of_sound = f"{summary.seconds:.1f} s of sound in " if summary.seconds else ""
            print(f"  {self._name}: {summary.total - left}/{summary.total}   {summary.failed} failed   "
                  f"{of_sound}{now - self._began:.1f} s", flush=True)  # fmt: skip
        self._write_failures(summary)
        self._write("progress", self._figures(summary))

    def end(self, summary: "Summary") -> None:
        """Tell that the job is done."""
        self._write_failures(summary)
        self._write("ended", self._figures(summary))

    def _write_failures(self, summary: "Summary") -> None:
        for failure in summary.failures[self._failures :]:
            self._write("failed", {"clip_id": failure.clip_id, "error": failure.error})
        self._failures = summary.failed

    def _figures(self, summary: "Summary") -> dict[str, Any]:
        names = ("total", "there", "done", "failed", "seconds", "work_s", "mib")
        figures = {name: getattr(summary, name) for name in names} | {"wall_s": time.monotonic() - self._began}
        return {name: round(value, 3) for name, value in figures.items()}

    def _write(self, event: str, values: dict[str, Any]) -> None:
        if self._how == "text":
            return
        stamp = datetime.now(UTC).isoformat(timespec="milliseconds")
        line = json.dumps({"event": event, "time": stamp, "table": self._table, **values})
        if self._how == "json":
            print(line, file=sys.stderr, flush=True)
        else:
            with open(self._how, "a", encoding="utf-8") as file:
                file.write(line + "\n")
