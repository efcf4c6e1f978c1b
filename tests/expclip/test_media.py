"""Sound of any kind in; what cannot be sound is named."""

import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from expclip import media
from expclip.errors import BadRequestError


@pytest.fixture
def tone() -> np.ndarray:
    return (0.5 * np.sin(2 * np.pi * 440 * np.arange(24_000) / 16_000)).astype(np.float32)


@pytest.mark.parametrize("suffix", [".wav", ".flac", ".ogg"])
def test_there_and_back(tmp_path: Path, tone: np.ndarray, suffix: str) -> None:
    path = str(tmp_path / f"tone{suffix}")
    media.write_audio(path, tone)
    back = media.read_audio(path)
    assert len(back) == len(tone)
    assert np.corrcoef(back, tone)[0, 1] > 0.99


def test_rate_and_channels_are_unified(tmp_path: Path) -> None:
    import soundfile

    time = np.arange(44_100) / 44_100
    stereo = np.stack([np.sin(2 * np.pi * 300 * time), np.zeros_like(time)], 1)
    soundfile.write(tmp_path / "s.wav", stereo, 44_100)
    sound = media.read_audio(str(tmp_path / "s.wav"))
    assert len(sound) == 16_000
    expected = 0.5 * np.sin(2 * np.pi * 300 * np.arange(16_000) / 16_000)
    assert np.abs(sound[500:-500] - expected[500:-500]).max() < 0.01


def test_a_video_gives_its_sound(tmp_path: Path, tone: np.ndarray) -> None:
    media.write_audio(str(tmp_path / "t.wav"), tone)
    command = [media.ffmpeg(), "-v", "error", "-f", "lavfi", "-i", "color=s=64x64:d=1.5", "-i", str(tmp_path / "t.wav")]
    subprocess.run([*command, "-shortest", str(tmp_path / "v.mp4")], check=True)
    assert len(media.read_audio(str(tmp_path / "v.mp4"))) / 16_000 == pytest.approx(1.5, abs=0.1)


def test_cuts_are_by_seconds(tmp_path: Path, tone: np.ndarray) -> None:
    path = str(tmp_path / "t.wav")
    media.write_audio(path, tone)
    np.testing.assert_array_equal(media.read_audio(path, start=0.5, end=1.0), media.read_audio(path)[8000:16000])


@pytest.mark.parametrize(
    ("start", "end", "message"),
    [
        (1.0, 0.5, "end 0.5 s is not after start 1 s"),
        (0.5, 0.5, "is not after"),
        (-1.0, None, "start -1.0 s is not a time"),
        (float("nan"), None, "start nan s"),
        (0.0, float("nan"), "end nan"),
        (2.0, None, "lies behind its end"),
        (0.0, 9.0, "end 9 s lies behind its end"),
    ],
)
def test_impossible_cuts_are_named(
    tmp_path: Path, tone: np.ndarray, start: float, end: float | None, message: str
) -> None:
    path = str(tmp_path / "t.wav")
    media.write_audio(path, tone)
    with pytest.raises(BadRequestError, match=message):
        media.read_audio(path, start=start, end=end)


def test_what_is_no_sound_is_named(tmp_path: Path, tone: np.ndarray) -> None:
    media.write_audio(str(tmp_path / "whole.flac"), tone)
    contents = {
        "empty.wav": b"",
        "text.wav": b"this is a shopping list, not a sound\n" * 20,
        "cut.flac": (tmp_path / "whole.flac").read_bytes()[:60],
        "header.wav": b"RIFF\x24\x00\x00\x00WAVEfmt ",
    }
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(BadRequestError, match=name) as error:
            media.read_audio(str(tmp_path / name))
        assert "\n" not in str(error.value)
    with pytest.raises(BadRequestError, match="no such file"):
        media.read_audio(str(tmp_path / "none.wav"))
    with pytest.raises(BadRequestError, match="is a folder"):
        media.read_audio(str(tmp_path))


@pytest.mark.parametrize("name", ["t.wav", "t.m4a"])
def test_a_cut_of_a_long_file_is_read_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    noise = np.random.default_rng(0).normal(0, 0.1, 20 * 44_100).astype(np.float32)
    media.write_audio(str(tmp_path / "t.wav"), noise, 44_100)
    subprocess.run([media.ffmpeg(), "-v", "error", "-i", str(tmp_path / "t.wav"), str(tmp_path / "t.m4a")], check=True)
    path = str(tmp_path / name)
    whole = media.read_audio(path)
    monkeypatch.setattr(media, "MAX_SECONDS", 6.0)  # the whole would be refused, or cut off, now
    cut = media.read_audio(path, start=9.25, end=12.5)
    assert len(cut) == 3.25 * 16_000
    np.testing.assert_allclose(cut, whole[148_000:200_000], atol=2e-3)


def test_sound_that_begins_late_keeps_the_clock(tmp_path: Path, make_video: Callable[..., str]) -> None:
    late = make_video(
        tmp_path / "l.mp4", None, "-map", "0:v", "-map", "1:a", "-c:a", "aac",
        before=("-f", "lavfi", "-i", "color=red:s=64x64:d=2", "-itsoffset", "0.5", "-f", "lavfi", "-i", "sine=500:d=1"),
    )  # fmt: skip
    audio_N = media.read_audio(late)
    assert np.abs(audio_N[:7_000]).max() < 0.01
    assert np.flatnonzero(np.abs(audio_N) > 0.02)[0] / 16_000 == pytest.approx(0.5, abs=0.03)


def test_damaged_sound_and_none_are_told_apart(tmp_path: Path, make_video: Callable[..., str]) -> None:
    silent = make_video(tmp_path / "s.mp4", "color=red:s=64x64:d=1")
    with pytest.raises(BadRequestError, match=r"s\.mp4: no sound in the file"):
        media.read_audio(silent)
    sound = make_video(tmp_path / "a.m4a", "sine=300:d=4", "-c:a", "aac")
    damaged = make_video(tmp_path / "d.m4a", None, "-c", "copy", "-bsf:a", "noise=amount=1", before=("-i", sound))
    with pytest.raises(
        BadRequestError, match=r"d\.m4a: (cannot be read as sound|the sound is damaged): [^\[]"
    ) as error:
        media.read_audio(damaged)
    assert "0x" not in str(error.value)


def test_a_picture_has_no_sound(tmp_path: Path) -> None:
    from PIL import Image

    Image.new("RGB", (8, 8)).save(tmp_path / "p.png")
    with pytest.raises(BadRequestError, match=r"p\.png: no sound in the file"):
        media.read_audio(str(tmp_path / "p.png"))


def test_samples_can_be_written_to(tmp_path: Path, tone: np.ndarray) -> None:
    """torch warns of arrays that cannot."""
    media.write_audio(str(tmp_path / "t.wav"), tone)
    subprocess.run([media.ffmpeg(), "-v", "error", "-i", str(tmp_path / "t.wav"), str(tmp_path / "t.m4a")], check=True)
    for name in ("t.wav", "t.m4a"):
        assert media.read_audio(str(tmp_path / name)).flags.writeable


def encode(wav: Path, name: str, *before: str) -> str:
    path = wav.with_name(name)
    subprocess.run([media.ffmpeg(), "-v", "error", *before, "-i", str(wav), str(path)], check=True)
    return str(path)


@pytest.mark.parametrize("name", ["n.wav", "n.flac", "n.ogg", "n.mp3", "n.m4a", "n.mp4"])
def test_a_cut_of_a_long_file_is_just_that_part_of_the_whole(tmp_path: Path, name: str) -> None:
    import soundfile

    time = np.arange(44_100 * 12) / 44_100
    sweep = (0.3 * np.sin(2 * np.pi * (200 + 80 * time) * time)).astype(np.float32)
    soundfile.write(tmp_path / "sweep.wav", sweep, 44_100, subtype="FLOAT")
    video = ("-f", "lavfi", "-i", "testsrc=s=64x64:d=12") if name == "n.mp4" else ()
    path = encode(tmp_path / "sweep.wav", name, *video)
    whole, part = media.read_audio(path), media.read_audio(path, start=5.313, end=8.02)
    np.testing.assert_allclose(part, whole[round(5.313 * 16_000) : round(8.02 * 16_000)], atol=2e-3)
    with pytest.raises(BadRequestError, match=r"start 25 s lies behind its end"):
        media.read_audio(path, start=25)
    with pytest.raises(BadRequestError, match=r"end 30 s lies behind its end \(1[12]\."):
        media.read_audio(path, start=5, end=30)


def test_pauses_and_scenes_are_found(tmp_path: Path) -> None:
    noise = 0.1 * np.random.default_rng(0).standard_normal(80_000).astype(np.float32)
    noise[16_000:32_000] = noise[64_000:] = 0
    media.write_audio(str(tmp_path / "s.wav"), noise)
    scenes = ("-f", "lavfi", "-i", "testsrc=s=96x64:d=2:r=25", "-f", "lavfi", "-i", "color=red:s=96x64:d=4:r=25")
    command = [media.ffmpeg(), "-v", "error", *scenes, "-i", str(tmp_path / "s.wav"), "-filter_complex"]
    out = ["[0:v][1:v]concat=n=2:v=1[v]", "-map", "[v]", "-map", "2:a", "-pix_fmt", "yuv420p", str(tmp_path / "v.mp4")]
    subprocess.run([*command, *out], check=True)
    for name in ("s.wav", "v.mp4"):  # the picture is a second longer than the sound
        seconds, silences = media.find_silences(str(tmp_path / name), level=-35, least=0.3)
        assert seconds == pytest.approx(5, abs=0.05)
        assert [t for silence in silences for t in silence] == pytest.approx([1, 2, 4, 5], abs=0.05)
    assert media.find_scenes(str(tmp_path / "v.mp4"), change=0.3) == pytest.approx((2.0,))
    assert media.find_scenes(str(tmp_path / "v.mp4"), change=1.0) == ()


def test_what_cannot_be_cut_is_named(tmp_path: Path, tone: np.ndarray) -> None:
    media.write_audio(str(tmp_path / "deaf.wav"), tone)
    (tmp_path / "x.mp4").write_bytes(b"no video")
    command = [media.ffmpeg(), "-v", "error", "-f", "lavfi", "-i", "testsrc=s=64x64:d=1", str(tmp_path / "mute.mp4")]
    subprocess.run(command, check=True)
    reasons = {"x.mp4": "neither a video nor", "mute.mp4": "no sound in the file", "none.mp4": "no such file"}
    for name, reason in reasons.items():
        with pytest.raises(BadRequestError, match=reason) as error:
            media.find_silences(str(tmp_path / name), level=-35, least=0.3)
        assert name in str(error.value)
        assert "\n" not in str(error.value)
    with pytest.raises(BadRequestError, match="no picture in the file"):
        media.find_scenes(str(tmp_path / "deaf.wav"), change=0.3)
