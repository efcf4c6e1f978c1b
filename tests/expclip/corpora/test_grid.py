"""GRID in both layouts, made here: two clips, words, sound and MediaPipe's weights."""

import io
import json
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import soundfile

from expclip.corpora import Options, grid, rows
from expclip.corpora.tree import Tree
from expclip.ingest import Ingester
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


def test_packed_clips_bring_words_sound_and_weights(packed: Path, tmp_path: Path, bring: Callable[..., Any]) -> None:
    found = bring("grid", packed)
    pa.Table.from_pylist(list(found.clips.values()), CLIPS)
    assert found.errors == {}
    assert list(found.clips) == ["grid_s7_bbaf2n", "grid_s7_lwbsza"]
    assert [clip["text"] for clip in found.clips.values()] == list(WORDS.values())
    assert {clip["speaker"] for clip in found.clips.values()} == {"grid_s7"}
    assert all(clip["licence"].startswith("CC BY 4.0") for clip in found.clips.values())
    assert found.clips["grid_s7_lwbsza"]["audio"] == "audio/grid_s7_lwbsza.ogg"
    assert len(read_audio(str(tmp_path / "out" / "audio" / "grid_s7_lwbsza.ogg"))) == 48_000
    for track in found.tracks.values():
        assert np.asarray(track["weights"]).shape == (150, 52)
        pa.Table.from_pylist([{**track, "weights": list(track["weights"])}], TRACKS)


def test_weights_rest_at_zero_reach_the_common_gain_and_follow_the_sound(packed: Path, bring: Any) -> None:
    found = bring("grid", packed)
    jaw_T = found.channel("grid_s7_bbaf2n", "jawOpen")
    assert jaw_T[:45].max() == 0
    assert jaw_T.max() == pytest.approx(0.45, abs=0.02)
    opened = int((jaw_T > 0.2).argmax())
    assert opened / 50 == pytest.approx(1.0 - grid.LAG, abs=0.02)
    assert set(found.tracks["grid_s7_bbaf2n"]["mask"]) == {"jawOpen", "mouthPucker"}
    assert found.channel("grid_s7_bbaf2n", "mouthPucker").max() == pytest.approx(0.55, abs=0.02)
    assert found.notes("grid_s7_bbaf2n")["constant"].startswith("49 of 51 channels")


def test_frames_without_a_face_are_bridged_and_marked(packed: Path, bring: Callable[..., Any]) -> None:
    found = bring("grid", packed)
    valid_T = np.asarray(found.tracks["grid_s7_lwbsza"]["valid"])
    assert 4 <= (~valid_T).sum() <= 8
    assert found.channel("grid_s7_lwbsza", "jawOpen")[56:72].min() > 0.4
    assert found.notes("grid_s7_lwbsza")["gap"] == "3 of 75 frames without a face"


def test_sound_that_the_archive_lacks_is_that_clips_error(packed: Path, bring: Callable[..., Any]) -> None:
    table = json.loads((packed / "alignments.json").read_text())
    (packed / "alignments.json").write_text(json.dumps(table | {"none": [[0, 1000, "sil"]]}))
    found = bring("grid", packed)
    assert len(found.clips) == 2
    assert "holds no none" in found.errors["grid_s7_none"]


def test_published_layout_has_no_tracks_until_weights_are_measured(
    published: Path, sound: Callable[..., None], bring: Callable[..., Any]
) -> None:
    found = bring("grid", published)
    assert found.tracks == {}
    clip = found.clips["grid_s7_bbaf2n"]
    assert (Path(clip["audio"]).name, Path(clip["video"]).name) == ("bbaf2n.wav", "bbaf2n.mpg")
    assert clip["text"] == WORDS["bbaf2n"]
    assert "lwbsza.mpg" in found.errors["grid_s7_lwbsza"]
    sound(published / "s7" / "lwbsza.wav", 3.0)
    write_weights(published / "s7" / "mediapipe_blendshapes.npz")
    assert set(bring("grid", published).tracks) == {"grid_s7_bbaf2n", "grid_s7_lwbsza"}


def test_several_speakers_are_split_by_speaker(tmp_path: Path) -> None:
    for speaker in ("s1", "s3", "s4", "s22"):
        folder = tmp_path / speaker / "align"
        folder.mkdir(parents=True)
        for key in WORDS:
            (folder / f"{key}.align").write_text("0 1000 sil\n")
    splits: dict[str, set[str]] = {}
    for source in grid.clips(Tree.of(str(tmp_path)), Options()):
        splits.setdefault(source.clip["speaker"], set()).add(source.clip["split"])
    assert all(len(found) == 1 for found in splits.values())
    assert splits["grid_s1"] == splits["grid_s22"] == {"test"}
    assert "test" not in splits["grid_s3"] | splits["grid_s4"]


def test_a_folder_without_the_corpus_is_refused(packed: Path, tmp_path: Path, refused: Callable[..., str]) -> None:
    assert "holds nothing for corpus 'grid': expected s1/, s2/" in refused("grid", tmp_path / "grid_s7" / "..")
    assert "no such folder" in refused("grid", tmp_path / "nowhere")
    assert refused("beat", packed).endswith("; it looks like grid")
    (packed / "alignments.json").write_text("{")
    assert "alignments.json is not a JSON object" in refused("grid", packed)


def test_splits_are_stable_whatever_else_there_is() -> None:
    names = [f"grid_s1_{k:04d}" for k in range(900)]
    first = rows.splits(names, test=100, val=50)
    assert first == rows.splits(names[::-1], test=100, val=50)
    assert sorted(first.values()).count("test") == 100
    assert sorted(first.values()).count("val") == 50


def test_the_real_material_follows_its_sound(shared_data: Path, tmp_path: Path) -> None:
    root = str(shared_data / "grid_s1")
    sources = list(grid.clips(Tree.of(root), Options()))
    assert len(sources) == 900
    assert sum(source.clip["split"] == "test" for source in sources) == 100
    ingester, scores = Ingester("grid", str(tmp_path), {}), []
    for source in sources[::90]:
        clip, track, _ = ingester(source)
        assert track is not None
        audio_N, jaw_T = read_audio(str(tmp_path / clip["audio"])), track["weights"][:, RIG.index("jawOpen")]
        power = np.log(np.convolve(audio_N**2, np.ones(1600) / 1600, "same")[::320][: len(jaw_T)] + 1e-6)
        scores.append(np.corrcoef(power, jaw_T[: len(power)])[0, 1])
    assert np.mean(scores) > 0.5
