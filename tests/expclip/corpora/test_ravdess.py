"""RAVDESS in its own layout: what seven numbers say."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from expclip import media


def test_files_of_one_utterance_make_one_clip(tmp_path: Path, sound: Any, bring: Callable[..., Any]) -> None:
    sound(tmp_path / "Actor_01" / "03-01-05-02-01-01-01.wav")
    sound(tmp_path / "Actor_22" / "03-01-01-01-02-01-22.wav")
    sound(tmp_path / "Actor_24" / "03-02-02-01-02-01-24.wav")
    sound(tmp_path / "Actor_24" / "03-01-09-01-02-01-24.wav")
    for modality in ("01", "02"):
        (tmp_path / "Actor_01" / f"{modality}-01-05-02-01-01-01.mp4").write_bytes(b"not looked at")
    (tmp_path / "Actor_02").mkdir()
    (tmp_path / "Actor_02" / "02-01-05-02-01-01-02.mp4").write_bytes(b"")
    found = bring("ravdess", tmp_path)
    angry = found.clips["ravdess_01-05-02-01-01-01"]
    assert (angry["emotion"], angry["prompt"], angry["split"]) == ("angry", "angry, strong", "train")
    assert angry["text"] == "kids are talking by the door"
    assert angry["speaker"] == "ravdess_01"
    assert Path(angry["video"]).name == "01-01-05-02-01-01-01.mp4"
    assert Path(angry["audio"]).name == "03-01-05-02-01-01-01.wav"
    neutral = found.clips["ravdess_01-01-01-02-01-22"]
    assert (neutral["emotion"], neutral["prompt"], neutral["split"]) == ("neutral", "", "val")
    assert found.notes("ravdess_02-02-01-02-01-24")["sound"] == "sung, not spoken"
    assert found.notes("ravdess_01-09-01-02-01-24")["label"] == "unknown emotion 09"
    assert list(found.errors) == ["ravdess_01-05-02-01-01-02"]


def test_a_video_alone_is_its_own_sound(tmp_path: Path, bring: Callable[..., Any]) -> None:
    import subprocess

    source = ["-f", "lavfi", "-i", "testsrc=s=64x64:d=1", "-f", "lavfi", "-i", "sine=d=1"]
    subprocess.run([media.ffmpeg(), "-v", "error", *source, str(tmp_path / "01-01-03-01-01-01-03.mp4")], check=True)
    found = bring("ravdess", tmp_path)
    clip = found.clips["ravdess_01-03-01-01-01-03"]
    assert clip["audio"] == clip["video"]
    assert clip["licence"].startswith("CC BY-NC-SA 4.0")
