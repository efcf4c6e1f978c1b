"""A teacher's features: one vector a step for every clip, made once."""

from pathlib import Path

import numpy as np
import pytest
import torch

from expclip import clip_table, teacher
from expclip.crops import Sampler
from expclip.errors import BadRequestError
from expclip.speech import HOP, whisper_from_safetensors


def test_features_stand_where_the_crops_do_and_are_kept(toy_corpus: str, tiny_whisper: str, tmp_path: Path) -> None:
    table = clip_table.load({"toy": toy_corpus})[0].only("train")
    path = teacher.path_of(tiny_whisper, table, str(tmp_path))
    teacher.make(tiny_whisper, table, path, "cpu")
    made = Path(path).stat().st_mtime_ns
    teacher.make(tiny_whisper, table, path, "cpu")
    assert Path(path).stat().st_mtime_ns == made
    features = teacher.wait(path)
    encoder = whisper_from_safetensors(tiny_whisper, 2.0)
    for k, clip in enumerate(table):
        audio = torch.from_numpy(clip.audio_N.astype(np.float32) / 32767)[None]
        with torch.inference_mode():
            truth_TF = encoder(audio)[0].numpy()
        np.testing.assert_allclose(features.of(k, np.arange(len(clip))), truth_TF, atol=0.02)
        assert len(clip.audio_N) == len(clip) * HOP
    assert features.of(0, np.array([5, 10_000])).shape == (2, 64)
    rows = Sampler(table, {"toy": 1.0}, seed=0, steps=30, teacher=features).rows(0, range(3))
    assert rows["teacher"].shape == (3, 30, 64)


def test_the_file_must_be_local(toy_corpus: str) -> None:
    table = clip_table.load({"toy": toy_corpus})[0]
    with pytest.raises(BadRequestError, match="kept in a local folder"):
        teacher.path_of("w", table, "s3://bucket/run")
