"""MEAD in its own layout: actor, emotion, strength; one of seven views."""

from collections.abc import Callable
from pathlib import Path
from typing import Any


def test_the_front_is_the_picture_and_m4a_the_sound(tmp_path: Path, sound: Any, bring: Callable[..., Any]) -> None:
    for actor, emotion, level in (("M003", "angry", 2), ("M003", "neutral", 1), ("W009", "bored", 3)):
        place = f"{emotion}/level_{level}"
        sound(tmp_path / actor / "audio" / place / "001.wav")
        for view in ("front", "left_30"):
            video = tmp_path / actor / "video" / view / place / "001.mp4"
            video.parent.mkdir(parents=True)
            video.write_bytes(b"not looked at")
    found = bring("mead", tmp_path)
    assert found.errors == {}
    assert set(found.clips) == {"mead_M003_angry_2_001", "mead_M003_neutral_1_001", "mead_W009_bored_3_001"}
    angry = found.clips["mead_M003_angry_2_001"]
    assert (angry["emotion"], angry["prompt"], angry["speaker"]) == ("angry", "angry, medium", "mead_M003")
    assert angry["video"].endswith("M003/video/front/angry/level_2/001.mp4")
    assert angry["split"] == found.clips["mead_M003_neutral_1_001"]["split"]
    assert found.clips["mead_M003_neutral_1_001"]["prompt"] == ""
    assert found.notes("mead_W009_bored_3_001")["label"] == "unknown emotion 'bored'"
