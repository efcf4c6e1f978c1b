"""3D-ETF in its own layout and in that of the lists which others publish for it."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from expclip.rig import order

NAMES = order("alphabetical")


@pytest.fixture
def write(sound: Callable[..., None], face: Callable[..., Any]) -> Callable[..., None]:
    def clip(path: Path, seconds: float = 2.0, spoken: float = 2.0) -> None:
        sound(path.with_suffix(".wav"), spoken)
        np.save(path.with_suffix(".npy"), face(NAMES, seconds, 30) - np.float32(0.05))

    return clip


def test_arrays_with_sounds(tmp_path: Path, write: Callable[..., None], bring: Callable[..., Any]) -> None:
    write(tmp_path / "HDTF" / "RD_Radio11_000")
    write(tmp_path / "RAVDESS" / "01-01-05-02-01-01-24")
    write(tmp_path / "RAVDESS" / "01-01-05-02-02-01-24", spoken=2.5)
    found = bring("3d-etf", tmp_path)
    assert found.errors == {}
    radio, acted = found.clips["3d-etf_RD_Radio11_000"], found.clips["3d-etf_01-01-05-02-01-01-24"]
    assert radio["speaker"] == "3d-etf_RD_Radio11"
    assert (acted["emotion"], acted["prompt"], acted["split"]) == ("angry", "angry, strong", "test")
    assert acted["speaker"] == "3d-etf_actor24"
    assert found.channel("3d-etf_RD_Radio11_000", "jawOpen").max() == pytest.approx(0.52, abs=0.03)
    assert "tongueOut" in found.tracks["3d-etf_RD_Radio11_000"]["mask"]
    notes = found.notes("3d-etf_01-01-05-02-02-01-24")
    assert notes["length"] == "face 2.00 s at the stated 30 fps (24.00 fps would fit), sound 2.50 s"
    assert notes["range"].startswith("100.0 % of frames outside 0..1 (-0.050")


def test_lists_say_split_speaker_and_rate(tmp_path: Path, write: Callable[..., None], bring: Any) -> None:
    write(tmp_path / "train" / "first_00")
    write(tmp_path / "test" / "RD_Radio12_000_01")
    (tmp_path / "test" / "RD_Radio12_000_01.wav").rename(tmp_path / "test" / "other.wav")
    for split, name, audio in (("train", "first_00", "first_00"), ("test", "RD_Radio12_000_01", "other")):
        entry = {"annot_type": "3DETF_blendshape_weight", "annot_path": f"{split}/{name}.npy", "id": 7, "fps": 30}
        content = {
            "info": {"id_list": ["x"]},
            "data": [entry | {"audio_path": f"{split}/{audio}.wav", "dataset": "D3"}],
        }
        (tmp_path / f"{split}.json").write_text(json.dumps(content))
    (tmp_path / "val.json").write_text("[1, 2")
    found = bring("3d-etf", tmp_path)
    assert found.errors == {}
    assert {clip["split"] for clip in found.clips.values()} == {"train", "test"}
    assert {clip["speaker"] for clip in found.clips.values()} == {"3d-etf_7"}


def test_broken_arrays_are_their_own_errors(tmp_path: Path, write: Callable[..., None], bring: Any) -> None:
    write(tmp_path / "RD_Radio1_000")
    for number in (1, 2):
        write(tmp_path / f"WDA_Someone_00{number}")
    (tmp_path / "WDA_Someone_001.npy").write_bytes(b"")
    np.save(tmp_path / "WDA_Someone_002.npy", np.zeros((60, 51), np.float32))
    write(tmp_path / "WRA_Other_000")
    (tmp_path / "WRA_Other_000.wav").unlink()
    found = bring("3d-etf", tmp_path)
    assert set(found.clips) == {"3d-etf_RD_Radio1_000"}
    assert "no array" in found.errors["3d-etf_WDA_Someone_001"]
    assert "shape (60, 51), not (frames, 52)" in found.errors["3d-etf_WDA_Someone_002"]
    assert "no such file" in found.errors["3d-etf_WRA_Other_000"]
