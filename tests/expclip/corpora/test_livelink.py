"""Takes of Live Link Face: csv with sound or video, by time of day."""

import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from expclip import media
from expclip.rig import order

NAMES = order("livelink_csv")


def table(weights_TC: Any, *, start: int = 86_390, step: float = 1.0, blind: tuple[int, ...] = ()) -> str:
    """Return a csv whose first row is at `start` seconds of the day; a row is `step` frames of 1/60 s long."""
    lines = [",".join(("Timecode", "BlendShapeCount", *NAMES))]
    for t, row in enumerate(weights_TC):
        frame = t * step
        second, part = start + int(frame // 60), frame % 60
        code = f"{second // 3600 % 24:02d}:{second // 60 % 60:02d}:{second % 60:02d}:{part:06.3f}"
        values = [] if t in blind else [f"{value:.10f}" for value in row]
        lines.append(",".join((code, "0" if t in blind else "61", *values)))
    return "\n".join(lines) + "\n"


@pytest.fixture
def rows(face: Callable[..., Any]) -> Callable[..., Any]:
    def make(seconds: float = 2.0, fps: float = 60.0, **rest: float) -> Any:
        shapes = tuple(name[0].lower() + name[1:] for name in NAMES[:52])
        return np.concatenate([face(shapes, seconds, fps, **rest), np.full((round(seconds * fps), 9), -0.2)], 1)

    return make


def test_a_take_with_a_video_passes_midnight(tmp_path: Path, rows: Any, bring: Callable[..., Any]) -> None:
    take = tmp_path / "anna" / "20260101_Slate_1"
    take.mkdir(parents=True)
    (take / "Slate_1_iPhone.csv").write_text(table(rows(12.0), blind=(3, 4)))
    command = [media.ffmpeg(), "-v", "error", "-f", "lavfi", "-i", "testsrc=s=64x64:r=30:d=12", "-f", "lavfi"]
    subprocess.run([*command, "-i", "sine=d=12", str(take / "Slate_1_iPhone.mov")], check=True)
    (take / "take.json").write_text("{}")
    found = bring("livelink", tmp_path)
    assert found.errors == {}
    [(name, clip)] = found.clips.items()
    assert clip["speaker"] == "livelink_anna"
    assert clip["video"].endswith("Slate_1_iPhone.mov")
    valid_T = np.asarray(found.tracks[name]["valid"])
    assert len(valid_T) == 600
    assert 1 <= (~valid_T).sum() <= 3
    jaw_T = found.channel(name, "jawOpen")
    assert (np.flatnonzero(jaw_T > 0.25)[[0, -1]] / 50).tolist() == pytest.approx([0.5, 0.88], abs=0.021)
    assert found.notes(name) == {"gap": "2 of 720 frames without a face"}


def test_left_and_right_come_by_name(tmp_path: Path, rows: Any, sound: Any, bring: Callable[..., Any]) -> None:
    weights = rows()
    weights[60:, NAMES.index("MouthLeft")] = 0.6
    (tmp_path / "one.csv").write_text(table(weights))
    sound(tmp_path / "one.wav")
    (tmp_path / "one.txt").write_text("hello there")
    found = bring("livelink", tmp_path)
    assert found.channel("livelink_one", "mouthLeft").max() > 0.5
    assert found.channel("livelink_one", "mouthRight").max() < 0.1
    assert found.clips["livelink_one"]["text"] == "hello there"


def test_the_rate_is_that_of_the_times(tmp_path: Path, rows: Any, sound: Any, bring: Callable[..., Any]) -> None:
    (tmp_path / "slow.csv").write_text(table(rows(2.0), step=1.05))
    sound(tmp_path / "slow.wav", 2.1)
    found = bring("livelink", tmp_path)
    assert found.notes("livelink_slow") == {"rate": "57.14 fps by time, 60 stated"}
    jaw_T = found.channel("livelink_slow", "jawOpen")
    assert np.flatnonzero(jaw_T > 0.25)[0] / 50 == pytest.approx(0.525, abs=0.021)


def test_a_calibrated_file_goes_before_the_raw_one(tmp_path: Path, rows: Any, sound: Any, bring: Any) -> None:
    for kind, height in (("", 0.1), ("_cal", 0.3), ("_raw", 0.2), ("_neutral", 0.4)):
        weights = rows()
        weights[60:, NAMES.index("CheekPuff")] = height
        (tmp_path / f"t{kind}.csv").write_text(table(weights))
    sound(tmp_path / "t.wav")
    found = bring("livelink", tmp_path)
    assert list(found.clips) == ["livelink_t"]
    assert found.channel("livelink_t", "cheekPuff").max() == pytest.approx(0.3, abs=0.03)


def test_broken_takes_are_their_own_errors(tmp_path: Path, rows: Any, sound: Any, bring: Callable[..., Any]) -> None:
    good = table(rows())
    contents = {"empty": "", "header": good.splitlines()[0], "blind": table(rows(0.1), blind=tuple(range(6)))}
    for name, content in contents.items():
        (tmp_path / f"{name}.csv").write_text(content)
        sound(tmp_path / f"{name}.wav")
    (tmp_path / "mute.csv").write_text(good)
    (tmp_path / "notes.csv").write_text("a,b\n1,2\n")
    found = bring("livelink", tmp_path)
    assert found.clips == {}
    assert set(found.errors) == {"livelink_empty", "livelink_header", "livelink_blind", "livelink_mute"}
    assert "no such file" in found.errors["livelink_mute"]
    assert "no row shows a face" in found.errors["livelink_blind"]
