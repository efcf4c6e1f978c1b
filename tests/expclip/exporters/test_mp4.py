"""The mp4: picture and sound of the right kind and length, the face in it, ffmpeg's words in the error."""

import re
import subprocess
from pathlib import Path

import numpy as np
import pytest

from expclip import media
from expclip.animation import Animation
from expclip.exporters import mp4
from expclip.rig import load_rig

RATE = 16_000


def animation(
    frames: int = 12, *, seconds: float | None = None, fps: float = 30.0, prompt: str = "a grin"
) -> Animation:
    weights_TC = load_rig().zeros(frames)
    weights_TC[:, load_rig().index("jawOpen")] = np.linspace(0, 1, frames)
    audio_N = None
    if seconds is not None:
        audio_N = (0.3 * np.sin(np.arange(round(seconds * RATE)) * 0.2)).astype(np.float32)
    return Animation(weights_TC, fps, prompt=prompt, audio_N=audio_N)


def probe(path: Path) -> str:
    return subprocess.run([media.ffmpeg(), "-hide_banner", "-i", str(path)], capture_output=True, text=True).stderr


def pictures(path: Path) -> np.ndarray:
    command = [media.ffmpeg(), "-v", "error", "-i", str(path), "-f", "rawvideo", "-pix_fmt", "rgb24", "-"]
    raw = subprocess.run(command, capture_output=True, check=True).stdout
    return np.frombuffer(raw, np.uint8).reshape(-1, mp4.SIZE, mp4.SIZE, 3)


def test_picture_and_sound(tmp_path: Path) -> None:
    path = tmp_path / "clip.mp4"
    mp4.write(animation(seconds=0.4), str(path))
    said = probe(path)
    assert re.search(r"Video: h264 .*yuv420p.* 512x512.* 30 fps", said), said
    assert re.search(r"Audio: aac .*48000 Hz, mono", said), said
    assert "a grin" in said
    content = path.read_bytes()
    assert content.index(b"moov") < content.index(b"mdat"), "players can start before the end is there"


@pytest.mark.parametrize("seconds", [0.2, 0.4, 0.9])
def test_sound_is_as_long_as_the_picture(tmp_path: Path, seconds: float) -> None:
    path = tmp_path / "clip.mp4"
    mp4.write(animation(seconds=seconds), str(path))
    assert len(media.read_audio(str(path))) / RATE == pytest.approx(0.4, abs=1 / 30)


def test_the_face_moves_and_the_caption_stands(tmp_path: Path) -> None:
    path = tmp_path / "clip.mp4"
    mp4.write(animation(), str(path))
    shown = pictures(path).astype(int)
    assert len(shown) == 12
    assert np.abs(shown[-1, 300:430, 180:330] - shown[0, 300:430, 180:330]).mean() > 5
    assert np.abs(shown[-1, :100] - shown[0, :100]).mean() < 2
    strip = shown[0, -40:]
    assert strip.max() > 200, "white letters"
    assert np.median(strip) < 70, "on a dark strip"


def test_no_sound_no_prompt(tmp_path: Path) -> None:
    path = tmp_path / "clip.mp4"
    mp4.write(animation(4, fps=25.0, prompt=""), str(path))
    said = probe(path)
    assert "Audio" not in said
    assert "25 fps" in said
    assert np.median(pictures(path)[0, -40:]) > 50, "no strip"


def test_ffmpegs_words_are_in_the_error(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="No such file or directory"):
        mp4.write(animation(3), str(tmp_path / "nowhere" / "clip.mp4"))


def test_a_long_caption_ends_in_dots() -> None:
    lines = mp4._wrap("word " * 40, lambda line: len(line) <= 30)
    assert len(lines) == mp4.CAPTION_LINES
    assert lines[-1].endswith("...")
    assert all(len(line) <= 30 for line in lines)
    assert mp4._wrap("x" * 99, lambda line: len(line) <= 30) == ["x" * 27 + "..."]
    assert mp4._wrap("", len) == []  # type: ignore[arg-type]
