"""What a job says of itself while it runs: a line now and then."""

import time

from ray_jobs.pipeline import Summary

_SECONDS = 2.0


class Progress:
    """A `report` for `map_table` that prints how many of the rows, called `what`, are done."""

    def __init__(self, what: str) -> None:
        self._what = what
        self._began = self._printed = time.monotonic()

    def __call__(self, summary: Summary) -> None:
        """Print a line if the last one is old, or if this is the last."""
        now = time.monotonic()
        left = summary.total - summary.there - summary.done - summary.failed
        if now - self._printed >= _SECONDS or not left:
            self._printed = now
            print(f"  {summary.total - left}/{summary.total} {self._what}   {summary.failed} failed   "
                  f"{summary.seconds:.1f} s of sound in {now - self._began:.1f} s", flush=True)  # fmt: skip
