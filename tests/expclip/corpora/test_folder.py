"""Recordings of one's own: cut by pauses and scenes, one clip a piece."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from expclip import media
from expclip.corpora import Cut, Options, folder
from expclip.errors import BadRequestError
from expclip.media import read_audio

CUT = Cut()


def speech(*pieces: tuple[float, bool]) -> np.ndarray[Any, Any]:
    """Return 16 kHz noise or silence, piece by piece, from (seconds, whether it is heard)."""
    random = np.random.default_rng(0)
    parts = [random.standard_normal(round(s * 16_000)) * (0.1 if heard else 0) for s, heard in pieces]
    return np.concatenate(parts).astype(np.float32)


def write_video(path: Path, samples: np.ndarray[Any, Any], *scenes: float) -> None:
    """Write a video with that sound whose picture changes altogether after each of these seconds."""
    sound = path.with_suffix(".tmp.wav")
    soundfile.write(sound, samples, 16_000)
    inputs = []
    for k, seconds in enumerate(scenes):
        inputs += [
            "-f",
            "lavfi",
            "-i",
            f"{('testsrc', 'color=red', 'color=blue')[k]}{':' if k else '='}s=96x64:d={seconds}:r=25",
        ]
    joined = "".join(f"[{k}:v]" for k in range(len(scenes))) + f"concat=n={len(scenes)}:v=1[v]"
    command = [media.ffmpeg(), "-v", "error", *inputs, "-i", str(sound), "-filter_complex", joined, "-map", "[v]"]
    subprocess.run([*command, "-map", f"{len(scenes)}:a", "-pix_fmt", "yuv420p", str(path)], check=True)
    sound.unlink()


def test_a_video_is_cut_by_pauses_and_scenes(tmp_path: Path, bring: Callable[..., Any]) -> None:
    root = tmp_path / "root"
    (root / "day one").mkdir(parents=True)
    samples = speech((2.0, True), (1.5, False), (3.0, True), (0.4, False), (2.1, True))
    write_video(root / "day one" / "anna.mp4", samples, 5.0, 4.0)
    found = bring("folder", root)
    assert found.errors == {}
    spans = [(clip["start"], clip["end"]) for clip in found.clips.values()]
    assert [s for span in spans for s in span] == pytest.approx([0, 2.25, 3.25, 5.0, 5.0, 9.0], abs=0.08)
    first = next(iter(found.clips.values()))
    assert first["clip_id"].startswith("folder_day-one_anna.mp4-")
    assert first["clip_id"].endswith("_0000")
    assert first["audio"] == first["video"] == str(root / "day one" / "anna.mp4")
    assert first["speaker"] == "folder_anna"
    assert found.tracks == {}
    assert len({clip["audio_digest"] for clip in found.clips.values()}) == 3


def test_sounds_speakers_words_and_files_that_hold_nothing(tmp_path: Path, bring: Callable[..., Any]) -> None:
    soundfile.write(tmp_path / "whole.wav", speech((2.0, True)), 16_000)
    (tmp_path / "whole.txt").write_text("just one line")
    soundfile.write(
        tmp_path / "two.flac", speech((2.0, True), (1.0, False), (0.3, True), (1.0, False), (2.0, True)), 16_000
    )
    (tmp_path / "two.txt").write_text("not of one clip")
    soundfile.write(tmp_path / "quiet.wav", speech((2.0, False)), 16_000)
    soundfile.write(tmp_path / "brief.wav", speech((0.5, True)), 16_000)
    soundfile.write(tmp_path / "bits.wav", speech((0.4, True), (1.0, False), (0.4, True)), 16_000)
    (tmp_path / "broken.mp4").write_bytes(b"no video")
    (tmp_path / "empty.wav").write_bytes(b"")
    (tmp_path / "speakers.json").write_text(json.dumps({"whole": "anna", "two": "ben"}))
    found = bring("folder", tmp_path)
    assert set(found.clips) == {"folder_whole.wav_0000", "folder_two.flac_0000", "folder_two.flac_0001"}
    assert found.clips["folder_whole.wav_0000"]["text"] == "just one line"
    assert found.clips["folder_two.flac_0000"]["text"] == ""
    assert found.clips["folder_two.flac_0000"]["speaker"] == "folder_ben"
    bad = ("quiet.wav", "brief.wav", "bits.wav", "broken.mp4", "empty.wav")
    assert set(found.errors) == {f"folder_{name}" for name in bad}
    assert "silent throughout: all of its 2.00 s are below -35 dB" in found.errors["folder_quiet.wav"]
    assert "it lasts 0.50 s, less than the shortest clip" in found.errors["folder_brief.wav"]
    assert "at most 0.6" in found.errors["folder_bits.wav"]
    assert all("\n" not in error for error in found.errors.values())


def test_a_sound_beside_a_video_is_the_videos(tmp_path: Path, bring: Callable[..., Any]) -> None:
    command = [media.ffmpeg(), "-v", "error", "-f", "lavfi", "-i", "testsrc=s=64x64:d=3"]
    subprocess.run([*command, str(tmp_path / "a.mp4")], check=True)  # without a sound of its own
    soundfile.write(tmp_path / "a.wav", speech((2.0, True)), 16_000)
    [clip] = bring("folder", tmp_path).clips.values()
    assert (Path(clip["audio"]).name, Path(clip["video"]).name) == ("a.wav", "a.mp4")
    assert clip["end"] == pytest.approx(2.0)


def test_files_that_differ_in_suffix_alone_are_two(tmp_path: Path, bring: Callable[..., Any]) -> None:
    for suffix in ("wav", "flac"):
        soundfile.write(tmp_path / f"a.{suffix}", speech((2.0, True)), 16_000)
    clips = bring("folder", tmp_path).clips
    assert {name: Path(clip["audio"]).name for name, clip in clips.items()} == {
        "folder_a.wav_0000": "a.wav",
        "folder_a.flac_0000": "a.flac",
    }


@pytest.mark.parametrize(
    ("silences", "scenes", "spans"),
    [
        ([], [], [(0, 10)]),
        ([(0, 1), (9, 10)], [], [(0.75, 9.25)]),
        ([(4, 4.5)], [], [(0, 10)]),  # a short pause parts nothing
        ([(4, 5)], [], [(0, 4.25), (4.75, 10)]),
        ([], [4.0], [(0, 4), (4, 10)]),
        ([(3.9, 4.1)], [4.0], [(0, 3.95), (4.05, 10)]),
        ([(0, 10)], [], []),
        ([(0, 10)], [4.0], []),
    ],
)
def test_spans(silences: Any, scenes: Any, spans: Any) -> None:
    found, _ = folder.spans_of(10.0, silences, scenes, CUT)
    assert [t for span in found for t in span] == pytest.approx([t for span in spans for t in span])


def test_long_speech_is_cut_at_its_best_pause_or_hard() -> None:
    cut = Cut(longest=10.0)
    found, short = folder.spans_of(24.0, [(6.0, 6.2), (8.0, 8.5)], [], cut)
    assert found[0] == (0.0, 8.25)
    assert all(b - a <= 10 for a, b in found)
    assert found[-1][1] == 24.0
    assert [a for a, _ in found[1:]] == [b for _, b in found[:-1]]
    assert short == []
    hours, _ = folder.spans_of(4 * 3600.0, [], [], cut)
    assert len(hours) == 1440


def test_pieces_too_short_are_told() -> None:
    found, short = folder.spans_of(10.0, [(0.5, 5.0)], [], CUT)
    assert found == [(4.75, 10.0)]
    assert short == [(0.0, 0.75)]


@pytest.mark.parametrize(
    "wrong",
    [{"longest": 0.0}, {"shortest": 6.0}, {"pause": 0.0}, {"level": 3.0}, {"scene": 0.0}, {"level": float("nan")}],
)
def test_cuts_that_make_no_sense_are_refused(tmp_path: Path, wrong: Any, bring: Callable[..., Any]) -> None:
    (tmp_path / "a.wav").touch()
    with pytest.raises(BadRequestError, match=rf"cut\.{next(iter(wrong))} is .*; valid: pause"):
        bring("folder", tmp_path, Options(cut=Cut(**wrong)))


def test_a_table_of_speakers_that_is_none_is_refused(tmp_path: Path, refused: Callable[..., str]) -> None:
    (tmp_path / "a.wav").touch()
    (tmp_path / "speakers.json").write_text("[1]")
    assert "speakers.json is not a JSON object" in refused("folder", tmp_path)


def test_real_recordings_are_cut(shared_data: Path, bring: Callable[..., Any]) -> None:
    found = bring("folder", shared_data / "face" / "grid")
    assert found.errors == {}
    assert len(found.clips) == 4
    for clip in found.clips.values():
        assert len(read_audio(clip["audio"], start=clip["start"], end=clip["end"])) > 16_000


def test_what_a_file_holds_decides_not_its_suffix(
    tmp_path: Path, bring: Callable[..., Any], make_video: Callable[..., str]
) -> None:
    root = tmp_path / "root"
    root.mkdir()
    tone, picture = "sine=d=3:r=16000", "testsrc=s=64x48:r=25:d=3"
    make_video(root / "mute.mp4", f"{picture}[a];color=red:s=64x48:r=25:d=2.5[b];[a][b]concat")
    make_video(root / "mute.webm", picture, "-c:v", "libvpx", "-f", "webm")
    make_video(root / "sound.mp4", tone, "-c:a", "aac")
    make_video(root / "sound.webm", tone, "-c:a", "libopus")
    make_video(root / "picture.m4a", picture, "-f", "mp4")
    make_video(root / "music.mov", tone, "-f", "mp3")
    both = ("-f", "lavfi", "-i", tone, "-f", "lavfi", "-i", picture)
    make_video(root / "talk.wav", None, "-f", "mp4", "-c:a", "aac", before=both)
    whole = Path(make_video(root / "cut.flac", "anoisesrc=d=4:a=0.3:r=16000")).read_bytes()
    (root / "cut.flac").write_bytes(whole[: len(whole) // 2])
    cover = ("-f", "lavfi", "-i", tone, "-f", "lavfi", "-i", "color=red:s=64x48:d=0.04:r=25")
    make_video(root / "cover.m4a", None, "-c:v", "mjpeg", "-disposition:v", "attached_pic", "-c:a", "aac", before=cover)
    make_video(root / "art.mp4", None, "-c", "copy", before=("-i", str(root / "cover.m4a")))
    (root / "words.mp4").write_text("1\n00:00:01,000 --> 00:00:02,000\nhello\n" * 9)
    (root / "text.mkv").write_text("no video")
    found = bring("folder", root)
    held = {name: (bool(clip["audio"]), bool(clip["video"])) for name, clip in found.clips.items()}
    assert held == {
        **{f"folder_{name}": (False, True) for name in ("mute.mp4_0000", "mute.mp4_0001", "mute.webm_0000")},
        "folder_picture.m4a_0000": (False, True),
        "folder_talk.wav_0000": (True, True),
        **{f"folder_{name}_0000": (True, False) for name in ("sound.mp4", "sound.webm", "music.mov")},
        **{f"folder_{name}_0000": (True, False) for name in ("cover.m4a", "art.mp4")},
    }
    cuts = [t for k in (0, 1) for t in (found.clips[f"folder_mute.mp4_000{k}"][n] for n in ("start", "end"))]
    assert cuts == pytest.approx([0, 3, 3, 5.5], abs=0.15)
    assert found.clips["folder_mute.webm_0000"]["audio_digest"] == ""
    assert found.notes("folder_mute.webm_0000") == {"sound": "none, a picture alone"}
    assert found.errors.keys() == {"folder_words.mp4", "folder_text.mkv", "folder_cut.flac"}
    assert "the file is truncated" in found.errors["folder_cut.flac"]
    assert "neither sound nor a moving picture in the file" in found.errors["folder_words.mp4"]
    assert "neither a video nor a sound" in found.errors["folder_text.mkv"]
