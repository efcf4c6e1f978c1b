"""BEAT in its own layout: json of faces by name and time, float wav, TextGrid, csv of emotion."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from expclip.corpora import Options, beat, phones
from expclip.corpora.tree import Tree
from expclip.rig import order

NAMES = order("alphabetical_51")
GRID = """File type = "ooTextFile"
Object class = "TextGrid"

xmin = 0
xmax = 2
tiers? <exists>
size = 2
item []:
    item [1]:
        class = "IntervalTier"
        name = "words"
        xmin = 0
        xmax = 2
        intervals: size = 3
        intervals [1]:
            xmin = 0.0
            xmax = 0.4
            text = ""
        intervals [2]:
            xmin = 0.4
            xmax = 1.0
            text = "hello"
        intervals [3]:
            xmin = 1.0
            xmax = 2.0
            text = "world"
    item [2]:
        class = "IntervalTier"
        name = "phones"
        xmin = 0
        xmax = 2
        intervals: size = 2
        intervals [1]:
            xmin = 0.4
            xmax = 0.5
            text = "HH"
        intervals [2]:
            xmin = 0.5
            xmax = 0.7
            text = "AH0"
"""


@pytest.fixture
def write(tmp_path: Path, sound: Callable[..., None], face: Callable[..., Any]) -> Callable[..., Path]:
    def recording(key: str, *, seconds: float = 2.0, fps: float = 60.0, spoken: float = 2.0, **rest: float) -> Path:
        folder = tmp_path / "beat_english_v0.2.1" / "beat_english_v0.2.1" / key.split("_")[0]
        sound(folder / f"{key}.wav", spoken, subtype="FLOAT")
        weights_TN = face(NAMES, seconds, fps, **rest)
        frames = [{"weights": w.tolist(), "time": t / fps, "rotation": []} for t, w in enumerate(weights_TN)]
        (folder / f"{key}.json").write_text(json.dumps({"names": list(NAMES), "frames": frames}))
        (folder / f"{key}.TextGrid").write_text(GRID)
        (folder / f"{key}.csv").write_text(f"{key},0,0.5,0.5,0\n{key},0.5,2,1.5,2\n")
        (folder / f"{key}.bvh").write_text("not looked at")
        return folder

    return recording


def test_faces_come_by_name_and_time_without_the_speakers_rest(
    write: Callable[..., Path], tmp_path: Path, bring: Callable[..., Any]
) -> None:
    write("2_scott_0_1_1", mouthLowerDownLeft=0.3)
    write("2_scott_0_73_73", mouthLowerDownLeft=0.3)
    found = bring("beat", tmp_path)
    assert found.errors == {}
    clip = found.clips["beat_2_scott_0_1_1"]
    assert (clip["speaker"], clip["language"], clip["emotion"], clip["text"]) == (
        "beat_2",
        "en",
        "neutral",
        "hello world",
    )
    assert phones.from_json(clip["phones"]) == [(0.4, 0.5, "HH"), (0.5, 0.7, "AH")]
    assert found.clips["beat_2_scott_0_73_73"]["emotion"] == "anger"
    track = found.tracks["beat_2_scott_0_1_1"]
    assert np.asarray(track["weights"]).shape == (100, 52)
    assert len(track["mask"]) == 51
    assert "tongueOut" not in track["mask"]
    assert found.channel("beat_2_scott_0_1_1", "mouthLowerDownLeft").max() < 0.06
    jaw_T = found.channel("beat_2_scott_0_1_1", "jawOpen")
    assert (np.flatnonzero(jaw_T > 0.25)[[0, -1]] / 50).tolist() == pytest.approx([0.5, 0.88], abs=0.021)
    assert found.notes("beat_2_scott_0_1_1")["rest"].startswith("1 channels (mouthLowerDownLeft 0.3")


def test_the_official_split_and_one_by_speaker_where_that_leaks(write: Callable[..., Path], tmp_path: Path) -> None:
    keys = ("2_scott_0_1_1", "2_scott_0_60_60", "2_scott_0_20_20", "2_scott_1_1_1", "2_scott_1_12_12", "2_scott_2_1_1")
    for key in (*keys, "5_stewart_0_1_1", "5_stewart_0_60_60"):
        write(key)
    found = {s.clip["clip_id"][5:]: s.clip for s in beat.clips(Tree.of(str(tmp_path)), Options())}
    assert [found[key]["split"] for key in keys] == ["test", "val", "train", "test", "val", "train"]
    assert found["5_stewart_0_1_1"]["split"] == found["5_stewart_0_60_60"]["split"]
    assert found["2_scott_2_1_1"]["language"] == "zh"
    assert found["2_scott_1_1_1"]["emotion"] == ""


def test_what_is_odd_is_noted(write: Callable[..., Path], tmp_path: Path, bring: Callable[..., Any]) -> None:
    write("2_scott_0_2_2", seconds=2.5, fps=50)
    write("2_scott_1_2_2")
    folder = write("2_scott_0_119_119")
    (folder / "2_scott_0_119_119.csv").write_text("x,0,1,1,9\n")
    found = bring("beat", tmp_path)
    notes = found.notes("beat_2_scott_0_2_2")
    assert notes["length"] == "face 2.50 s, sound 2.00 s"
    assert notes["rate"] == "50.00 fps by time, 60 stated"
    assert notes["label"] == "neutral by its number, anger by its csv"
    assert len(found.tracks["beat_2_scott_0_2_2"]["weights"]) == 100
    assert found.clips["beat_2_scott_1_2_2"]["emotion"] == "anger"
    assert "unknown emotion '9'" in found.clips["beat_2_scott_0_119_119"]["notes"]
    assert "number of a speech" in found.clips["beat_2_scott_0_119_119"]["notes"]


def test_broken_recordings_are_their_own_errors(
    write: Callable[..., Path], tmp_path: Path, bring: Callable[..., Any]
) -> None:
    folder = write("2_scott_0_1_1")
    for number, content in {2: "{", 3: "[]", 4: '{"names": [], "frames": []}'}.items():
        write(f"2_scott_0_{number}_{number}")
        (folder / f"2_scott_0_{number}_{number}.json").write_text(content)
    write("2_scott_0_5_5")
    (folder / "2_scott_0_5_5.wav").unlink()
    found = bring("beat", tmp_path)
    assert set(found.clips) == {"beat_2_scott_0_1_1"}
    assert "not names and frames" in found.errors["beat_2_scott_0_2_2"]
    assert "not names and frames" in found.errors["beat_2_scott_0_3_3"]
    assert "0 frames" in found.errors["beat_2_scott_0_4_4"]
    assert "no such file" in found.errors["beat_2_scott_0_5_5"]
    assert "2_scott_0_5_5.wav" in found.errors["beat_2_scott_0_5_5"]
