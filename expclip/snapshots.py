"""Snapshots of a training: its whole state in a folder, local or s3://, written whole or not at all.

`step-N.state` is the state; `step-N.json`, written after it, has its digest. What lacks a digest or does not fit it was
cut off or damaged and is never loaded: the one before is.
"""

import hashlib
import io
import json
from collections.abc import Callable, Mapping
from typing import Any

from expclip import storage

_NAME = "step-{:08d}"


class Snapshots:
    """The snapshots of one training."""

    def __init__(self, folder: str, tell: Callable[[str], None], *, keep: int = 2) -> None:
        """Use a folder; `tell` hears in one line of what is odd. The last `keep` snapshots stay."""
        self.folder, self.tell, self.keep = folder, tell, max(1, keep)

    def save(self, step: int, state: Mapping[str, Any]) -> bool:
        """Write a snapshot, then remove the oldest; a full disk is told, leaves the others alone and gives False."""
        import torch

        buffer = io.BytesIO()
        torch.save(dict(state), buffer)
        content, path = buffer.getvalue(), storage.join(self.folder, _NAME.format(step))
        marker = {"step": step, "bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
        try:
            storage.remove(f"{path}.json")  # of a run that was begun anew
            storage.write_bytes(f"{path}.state", content)
            storage.write_bytes(f"{path}.json", json.dumps(marker).encode())
        except OSError as error:
            there = self.steps()
            last = f"the one of step {there[-1]} stays" if there else "there is none before it"
            self.tell(f"no snapshot at step {step}: {error.strerror or error}; {last}, and training goes on")
            return False
        for old in self.steps()[: -self.keep]:
            self._remove(old)
        return True

    def steps(self) -> list[int]:
        """Return the steps that have a snapshot, in order."""
        names = (path.rsplit("/", 1)[-1] for path in storage.listing(self.folder, ".json"))
        return sorted(int(name[5:-5]) for name in names if name.startswith("step-"))

    def intact(self) -> int:
        """Return the step of the newest snapshot that is whole, 0 if there is none."""
        return next((step for step in reversed(self.steps()) if self._content(step) is not None), 0)

    def load(self, step: int, device: Any = "cpu") -> Mapping[str, Any]:
        """Return the state of a step that `intact` gave."""
        import torch

        content = self._content(step)
        if content is None:
            raise OSError(f"snapshot {step} in {self.folder} is damaged")
        state: Mapping[str, Any] = torch.load(io.BytesIO(content), map_location=device, weights_only=True)
        return state

    def clear(self) -> None:
        """Remove all snapshots."""
        for path in [*storage.listing(self.folder, ".json"), *storage.listing(self.folder, ".state")]:
            storage.remove(path)

    def _content(self, step: int) -> bytes | None:
        path = storage.join(self.folder, _NAME.format(step))
        try:
            marker = json.loads(storage.read_text(f"{path}.json"))
            content = storage.read_bytes(f"{path}.state")
            if hashlib.sha256(content).hexdigest() == marker["sha256"]:
                return content
            reason = f"{len(content)} bytes that do not fit their digest"
        except (OSError, ValueError, KeyError, TypeError) as error:
            reason = " ".join(str(error).split())
        self.tell(f"snapshot of step {step} is damaged ({reason}) and not used")
        return None

    def _remove(self, step: int) -> None:
        path = storage.join(self.folder, _NAME.format(step))
        storage.remove(f"{path}.json")
        storage.remove(f"{path}.state")
