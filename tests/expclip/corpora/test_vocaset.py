"""VOCASET in its own layout: pickles of Python 2 that are read without running them."""

import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from expclip.corpora import pickles
from expclip.errors import BadRequestError
from expclip.media import read_audio

SPEAKERS = ("FaceTalk_170725_00137_TA", "FaceTalk_170811_03275_TA", "FaceTalk_170731_00024_TA")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    base = tmp_path / "trainingdata"
    base.mkdir()
    random = np.random.default_rng(0)
    sounds, places = {}, {}
    for number, speaker in enumerate(SPEAKERS):
        audio = (3000 * random.standard_normal(44_000)).astype(np.int16)
        sounds[speaker] = {"sentence01": {"audio": audio, "sample_rate": 22_000}}
        places[speaker] = {"sentence01": {k: 120 * number + k for k in range(120)}, "sentence02": {0: 1000}}
    (base / "raw_audio_fixed.pkl").write_bytes(pickle.dumps(sounds, 2))
    (base / "subj_seq_to_idx.pkl").write_bytes(pickle.dumps(places, 2))
    np.save(base / "data_verts.npy", np.zeros((4, 5023, 3), np.float32))
    (base / "templates.pkl").write_bytes(pickle.dumps({s: np.zeros((5023, 3)) for s in SPEAKERS}, 2))
    return base


def test_sentences_come_with_sound_and_without_motion(root: Path, tmp_path: Path, bring: Callable[..., Any]) -> None:
    found = bring("vocaset", root)
    first = found.clips[f"vocaset_{SPEAKERS[0]}_sentence01"]
    assert [clip["split"] for clip in found.clips.values()] == ["train", "test", "val"]
    assert first["audio"] == f"audio/{first['clip_id']}.flac"
    assert len(read_audio(str(tmp_path / "out" / first["audio"]))) == 32_000
    assert first["notes"] == "motion: FLAME vertices, not ARKit weights, left out"
    assert found.tracks == {}
    assert len(found.errors) == 3
    assert all("sentence02" in error for error in found.errors.values())


def test_a_pickle_that_wants_more_than_arrays_is_refused(tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self) -> Any:
            return os.system, (f"touch {tmp_path}/ran",)

    (tmp_path / "e.pkl").write_bytes(pickle.dumps(Evil()))
    with pytest.raises(BadRequestError, match=r"neither an array nor a container"):
        pickles.load(str(tmp_path / "e.pkl"))
    assert not (tmp_path / "ran").exists()
    (tmp_path / "cut.pkl").write_bytes(pickle.dumps({"a": np.zeros(9)})[:40])
    with pytest.raises(BadRequestError, match=r"cut\.pkl: cannot be read"):
        pickles.load(str(tmp_path / "cut.pkl"))
