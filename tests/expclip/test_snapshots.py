"""Snapshots: whole or not at all; what is damaged is told and passed over."""

import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from expclip.snapshots import Snapshots


def state(value: float) -> dict[str, object]:
    return {"weights": {"a": torch.full((3,), value)}, "step": int(value), "best": -float("inf")}


def test_the_last_ones_are_kept_and_come_back_as_they_were(tmp_path: Path) -> None:
    kept = Snapshots(str(tmp_path / "s"), print, keep=2)
    assert kept.intact() == 0
    for step in (10, 20, 30):
        assert kept.save(step, state(step))
    assert kept.steps() == [20, 30]
    assert kept.intact() == 30
    assert torch.equal(kept.load(30)["weights"]["a"], torch.full((3,), 30.0))
    assert kept.load(30)["best"] == -float("inf")
    kept.clear()
    assert os.listdir(tmp_path / "s") == []


@pytest.mark.parametrize("damage", ["cut", "flipped", "no marker", "no state", "half a marker"])
def test_what_is_damaged_is_never_loaded(tmp_path: Path, damage: str) -> None:
    told: list[str] = []
    kept = Snapshots(str(tmp_path), told.append)
    kept.save(10, state(10))
    kept.save(20, state(20))
    path, marker = tmp_path / "step-00000020.state", tmp_path / "step-00000020.json"
    content = path.read_bytes()
    if damage == "cut":
        path.write_bytes(content[: len(content) // 2])
    elif damage == "flipped":
        path.write_bytes(content[:-9] + bytes([content[-9] ^ 1]) + content[-8:])
    elif damage == "no state":
        path.unlink()
    elif damage == "half a marker":
        marker.write_text('{"step": 20')
    else:
        marker.unlink()
    assert kept.intact() == 10
    assert kept.load(10)["step"] == 10
    assert [line.startswith("snapshot of step 20 is damaged") for line in told] == [True] * (damage != "no marker")
    if damage != "no marker":
        with pytest.raises(OSError, match="damaged"):
            kept.load(20)


FULL = """
import resource, sys, torch
from expclip.snapshots import Snapshots
kept = Snapshots(sys.argv[1], print)
assert kept.save(1, {"a": torch.zeros(10)})
resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
assert not kept.save(2, {"a": torch.zeros(100_000)})
assert kept.intact() == 1
"""


def test_a_full_disk_leaves_the_snapshot_before_alone(tmp_path: Path) -> None:
    """The disk of a process of its own is full after 20 kB of a file."""
    assert resource.RLIMIT_FSIZE
    code = "import signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN)" + FULL
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "no snapshot at step 2" in done.stdout
    assert "the one of step 1 stays, and training goes on" in done.stdout
    assert sorted(os.listdir(tmp_path)) == ["step-00000001.json", "step-00000001.state"]


def test_they_may_lie_in_object_storage(s3_folder: str) -> None:
    kept = Snapshots(f"{s3_folder}/s", print, keep=1)
    for step in (1, 2):
        kept.save(step, state(step))
    assert kept.steps() == [2]
    assert kept.load(2)["step"] == 2
