"""GRID in both layouts, made here: two clips, words, sound and MediaPipe's weights."""

import io
import json
import tarfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import soundfile

from expclip import corpora
from expclip.corpora import Row, grid, rows
from expclip.errors import BadRequestError
from expclip.media import read_audio
from expclip.rig import load_rig, order
from expclip.schema import CLIPS, TRACKS

RIG = load_rig()
WORDS = {"bbaf2n": "bin blue at f two now", "lwbsza": "lay white by s zero again"}


def write_weights(path: Path) -> None:
    """Write weights as `mediapipe_blendshapes.npz` holds them: the jaw opens for half a second in each clip."""
    names = order("mediapipe")
    frames = np.zeros((150, len(names)), np.uint8)
    frames[:, names.index("jawOpen")] = 5  # never quite shut, as trackers see it
    for first in (0, 75):
        frames[first + 25 : first + 38, names.index("jawOpen")] = 85
        frames[first + 40 : first + 45, names.index("mouthPucker")] = 200
    missed = np.zeros(150, bool)
    missed[105:108] = True
    frames[105:108] = 0
    np.savez(
        path, keys=np.array(list(WORDS)), ptr=np.array([0, 75, 150]), names=np.array(names),
        blendshapes_u8=frames, missed=missed, fps=np.array(25.0), pose=np.zeros((150, 6), np.float16),
    )  # fmt: skip


def alignment(key: str) -> list[tuple[int, int, str]]:
    words = ["sil", *WORDS[key].split()[:3], "sp", *WORDS[key].split()[3:], "sil"]
    return [(9000 * k, 9000 * (k + 1), word) for k, word in enumerate(words)]


@pytest.fixture
def packed(tmp_path: Path) -> Path:
    base = tmp_path / "grid_s7"
    base.mkdir()
    (base / "alignments.json").write_text(json.dumps({key: alignment(key) for key in WORDS}))
    with tarfile.open(base / "audio_16k_ogg.tar", "w") as tar:
        for k, key in enumerate(WORDS):
            sound = io.BytesIO()
            soundfile.write(sound, np.full(48_000, 0.1 * k, np.float32), 16_000, format="OGG", subtype="VORBIS")
            info = tarfile.TarInfo(f"{key}.ogg")
            info.size = len(sound.getvalue())
            tar.addfile(info, io.BytesIO(sound.getvalue()))
    write_weights(base / "mediapipe_blendshapes.npz")
    return base


@pytest.fixture
def published(tmp_path: Path) -> Path:
    speaker = tmp_path / "grid" / "s7"
    (speaker / "align").mkdir(parents=True)
    for key in WORDS:
        text = "".join(f"{a} {b} {word}\n" for a, b, word in alignment(key))
        (speaker / "align" / f"{key}.align").write_text(text)
        (speaker / f"{key}.mpg").write_bytes(b"not looked at")
    soundfile.write(speaker / "bbaf2n.wav", np.zeros(48_000), 16_000)
    return tmp_path / "grid"


def jaw(track: Row | None) -> np.ndarray:
    assert track is not None
    return np.asarray(track["weights"])[:, RIG.index("jawOpen")]


def test_packed_clips_bring_words_sound_and_weights(packed: Path, tmp_path: Path) -> None:
    found = list(grid.clips(str(packed), audio_folder=str(tmp_path / "audio")))
    pa.Table.from_pylist([clip for clip, _ in found], CLIPS)
    assert [clip["clip_id"] for clip, _ in found] == ["grid_s7_bbaf2n", "grid_s7_lwbsza"]
    assert [clip["text"] for clip, _ in found] == list(WORDS.values())
    assert {clip["speaker"] for clip, _ in found} == {"grid_s7"}
    assert all(clip["licence"].startswith("CC BY 4.0") for clip, _ in found)
    assert len(read_audio(found[1][0]["audio"])) == 48_000
    for _, track in found:
        assert track is not None
        assert np.asarray(track["weights"]).shape == (150, 52)
        pa.Table.from_pylist([{**track, "weights": list(track["weights"])}], TRACKS)


def test_weights_rest_at_zero_reach_the_common_gain_and_follow_the_sound(packed: Path, tmp_path: Path) -> None:
    (_, track), _ = grid.clips(str(packed), audio_folder=str(tmp_path / "audio"))
    jaw_T = jaw(track)
    assert jaw_T[:45].max() == 0
    assert jaw_T.max() == pytest.approx(0.45, abs=0.02)
    opened = int((jaw_T > 0.2).argmax())
    assert opened / 50 == pytest.approx(1.0 - grid.LAG, abs=0.02)
    assert track is not None
    assert set(track["mask"]) == {"jawOpen", "mouthPucker"}
    assert np.asarray(track["weights"])[:, RIG.index("mouthPucker")].max() == pytest.approx(0.55, abs=0.02)


def test_frames_without_a_face_are_bridged_and_marked(packed: Path, tmp_path: Path) -> None:
    _, (_, track) = grid.clips(str(packed), audio_folder=str(tmp_path / "audio"))
    assert track is not None
    valid_T = np.asarray(track["valid"])
    assert 4 <= (~valid_T).sum() <= 8
    assert jaw(track)[56:72].min() > 0.4


def test_packed_sound_needs_a_folder(packed: Path) -> None:
    with pytest.raises(BadRequestError, match="name an audio_folder"):
        list(grid.clips(str(packed)))


def test_published_layout_has_no_tracks_until_weights_are_measured(published: Path) -> None:
    found = list(grid.clips(str(published)))
    assert [(clip["clip_id"], track) for clip, track in found] == [("grid_s7_bbaf2n", None), ("grid_s7_lwbsza", None)]
    assert [Path(clip["audio"]).name for clip, _ in found] == ["bbaf2n.wav", "lwbsza.mpg"]
    assert [Path(clip["video"]).name for clip, _ in found] == ["bbaf2n.mpg", "lwbsza.mpg"]
    assert [clip["text"] for clip, _ in found] == list(WORDS.values())
    write_weights(published / "s7" / "mediapipe_blendshapes.npz")
    assert all(track is not None for _, track in grid.clips(str(published)))


def test_a_folder_without_the_corpus_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadRequestError, match=r"holds neither s1/, s2/"):
        list(grid.clips(str(tmp_path)))


def test_splits_are_stable_whatever_else_there_is() -> None:
    names = [f"grid_s1_{k:04d}" for k in range(900)]
    first = rows.splits(names, test=100, val=50)
    assert first == rows.splits(names[::-1], test=100, val=50)
    assert sorted(first.values()).count("test") == 100
    assert sorted(first.values()).count("val") == 50


def test_the_real_material_follows_its_sound(shared_data: Path, tmp_path: Path) -> None:
    clips = list(corpora.load("grid").clips(str(shared_data / "grid_s1"), audio_folder=str(tmp_path)))
    assert len(clips) == 900
    assert sum(clip["split"] == "test" for clip, _ in clips) == 100
    scores = []
    for clip, track in clips[::90]:
        audio_N, jaw_T = read_audio(clip["audio"]), jaw(track)
        power = np.log(np.convolve(audio_N**2, np.ones(1600) / 1600, "same")[::320][: len(jaw_T)] + 1e-6)
        scores.append(np.corrcoef(power, jaw_T[: len(power)])[0, 1])
    assert np.mean(scores) > 0.5
