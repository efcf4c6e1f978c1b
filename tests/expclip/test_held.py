"""Held-out clips: what is known of them, what of it can be compared, and rivals learnt from the train clips alone."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from expclip import held
from expclip.errors import BadRequestError
from expclip.held import Held
from expclip.rig import load_rig

RIG = load_rig()
JAW, BROW = RIG.index("jawOpen"), RIG.index("browInnerUp")


def test_clips_of_the_split_with_their_faces(face_corpus: str) -> None:
    corpus = held.load(face_corpus, limit=9)
    assert (corpus.name, [clip.clip_id for clip in corpus.clips]) == ("toy", ["c4", "c5"])
    assert corpus.seconds == 6
    calm, happy = corpus.clips
    assert (calm.prompt, happy.prompt) == ("", "very happy")
    assert calm.frames == 90
    assert calm.truth_TC is not None
    assert calm.truth_TC[:, RIG.index("mouthPucker")].max() == 0  # not in the mask
    assert calm.truth_TC[:, JAW].max() == pytest.approx(0.4, abs=1e-3)
    assert sorted(calm.measured) == sorted((JAW, BROW))
    assert calm.span == slice(0, 84)  # valid up to 2.78 s
    assert len(held.load(face_corpus, limit=1).clips) == 1
    with pytest.raises(BadRequestError, match="holds no clip of the val split"):
        held.load(face_corpus, limit=9, split="val")
    with pytest.raises(BadRequestError, match="no .parquet file"):
        held.load("nowhere", limit=9)


def test_only_the_measured_part_of_a_face_is_compared(face_corpus: str) -> None:
    clip = held.load(face_corpus, limit=1).clips[0]
    seen = clip.seen(np.ones((90, 52), np.float32))
    assert seen.shape == (84, 52)
    assert seen.sum(0).nonzero()[0].tolist() == sorted((JAW, BROW))


def test_the_longest_run_and_no_run() -> None:
    assert held.longest_run(np.array([1, 0, 1, 1, 0, 1, 1], bool)) == slice(2, 4)
    assert held.longest_run(np.zeros(4, bool)) == slice(0, 0)


def test_rivals_know_the_train_clips(face_corpus: str) -> None:
    corpus = held.load(face_corpus, limit=9)
    clip = corpus.clips[0]
    faces = {name: rival(clip) for name, rival in corpus.rivals.items()}
    assert sorted(faces) == ["loudness", "mean_clip", "mean_face"]
    assert all(face.shape == (90, 52) for face in faces.values())
    assert faces["mean_face"].std(0).max() < 1e-6
    assert 0.1 < faces["mean_face"][0, JAW] < 0.3
    assert faces["mean_face"][0, BROW] == 0
    r = np.corrcoef(faces["loudness"][:84, JAW], clip.truth_TC[:84, JAW])[0, 1]  # type: ignore[index]
    assert r > 0.8  # the jaw follows the sound
    assert held.rivals([]) == {}


def test_the_face_comes_after_the_sound_by_the_offset() -> None:
    random = np.random.default_rng(0)
    loud_T = np.repeat(random.random(40) > 0.5, 6).astype(np.float32)  # 240 frames of 1/30 s
    sound = np.repeat(loud_T, 16_000 // 30) * random.standard_normal(240 * (16_000 // 30))
    clip = Held("c", "s", (0.2 * sound).astype(np.float32))
    late = np.roll(np.convolve(loud_T, np.ones(3) / 3, "same"), 3).astype(np.float32)
    assert clip.offset(late) - clip.offset(np.roll(late, -3)) == pytest.approx(0.1, abs=0.02)
    assert np.isnan(clip.offset(np.zeros(240, np.float32)))


def test_a_cut_clip_is_shorter_and_has_no_truth(face_corpus: str) -> None:
    clip = held.cut(held.load(face_corpus, limit=1).clips[0], 1.0)
    assert (clip.frames, clip.truth_TC) == (30, None)


def test_a_clip_without_its_sound_is_told_and_the_others_stay(face_corpus: str, tmp_path: Path) -> None:
    folder = tmp_path / "toy"
    shutil.copytree(face_corpus, folder)
    (folder / "audio" / "c4.wav").unlink()
    corpus = held.load(str(folder), limit=9)
    assert [clip.clip_id for clip in corpus.clips] == ["c5"]
    (failure,) = corpus.failed
    assert failure.startswith("c4: no such file")
    (folder / "audio" / "c5.wav").write_bytes(b"")
    with pytest.raises(BadRequestError, match="no clip of the test split can be read; c4: no such file"):
        held.load(str(folder), limit=9)
