"""The autoregressive baseline at tiny size: it learns the jaw and its labels, and hears no further than it says."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch

from expclip import checkpoint, faceformer, media, train_baseline
from expclip.errors import BadRequestError
from expclip.evaluator import EMOTIONS
from expclip.faceformer import AHEAD, HOP, FaceFormer, FaceFormerConfig
from expclip.rig import load_rig
from expclip.train_baseline import Config

RIG = load_rig()
SIZES = FaceFormerConfig(width=24, layers=1, heads=2, context=20)


@pytest.fixture
def tiny(face_corpus: str, few_records: str) -> Config:
    return Config(corpora={"toy": face_corpus}, tead=few_records, model=SIZES, steps=4, batch=8)


def test_frames_cover_the_sound_and_weights_are_weights() -> None:
    model = FaceFormer(SIZES).eval()
    sound = np.random.default_rng(0).normal(0, 0.1, 16_000).astype(np.float32)
    made = model.animate(sound, "anger", 30, 30.0)
    assert made.shape == (30, 52)
    assert 0 <= made.min() < made.max() <= 1
    assert model.animate(sound[:100], "fear", 1, 30.0).shape == (1, 52)


def test_a_step_hears_no_further_than_it_says() -> None:
    torch.manual_seed(0)
    model = FaceFormer(SIZES).eval()
    sound = np.random.default_rng(0).normal(0, 0.1, 40 * HOP).astype(np.float32)
    other = sound.copy()
    other[20 * HOP :] = 0
    one, two = (model.animate(s, "neutral", 40, faceformer.FPS) for s in (sound, other))
    away = np.abs(one - two).max(1)
    assert away[: 20 - AHEAD - 1].max() == 0
    assert away[20] > 0


def test_training_brings_the_jaw_and_the_labels(tiny: Config, face_corpus: str, tmp_path: Path) -> None:
    seen: list[dict[str, float]] = []
    settings = dataclasses.replace(tiny, output=str(tmp_path / "out"), steps=100, every=1, rate=5e-3)
    train_baseline.run(settings, lambda step, losses: seen.append(dict(losses)))
    assert np.mean([s["fit"] for s in seen[-10:]]) < 0.3 * np.mean([s["fit"] for s in seen[:10]])
    model = faceformer.load(str(tmp_path / "out"))
    sound = media.read_audio(f"{face_corpus}/audio/c0.wav")
    faces = {name: model.animate(sound, name, 90, 30.0) for name in ("neutral", "happiness")}
    smiles = {name: face[:, RIG.index("cheekSquintLeft")].mean() for name, face in faces.items()}
    assert smiles["happiness"] > 2 * smiles["neutral"]
    assert smiles["happiness"] > 0.05
    story = checkpoint.load(str(tmp_path / "out")).provenance["faceformer"]
    assert story["config"]["corpora"] == ["toy"]


def test_the_seed_decides(tiny: Config) -> None:
    first, second = (train_baseline.fit(tiny)[0].state_dict() for _ in range(2))
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_label_expressions_are_means_and_neutral_is_none(few_records: str) -> None:
    from expclip import tead

    mean_LC = train_baseline.label_expressions(tead.load(few_records, split="train"))
    assert mean_LC.shape == (len(EMOTIONS), 52)
    assert mean_LC[EMOTIONS.index("neutral")].max() == 0
    assert mean_LC[EMOTIONS.index("happiness"), RIG.index("mouthSmileLeft")] > 0.2


def test_what_cannot_be_used_is_refused(tiny: Config, tmp_path: Path) -> None:
    with pytest.raises(BadRequestError, match="no neutral train clip"):
        train_baseline.fit(dataclasses.replace(tiny, corpora={}))
    checkpoint.save(str(tmp_path), {"faceformer": FaceFormer(SIZES).to_part()}, {})
    part = checkpoint.load(str(tmp_path)).part("faceformer")
    short = {name: value for name, value in part.tensors.items() if name != "place"}
    with pytest.raises(BadRequestError, match="does not fit the baseline: place"):
        FaceFormer.from_part(checkpoint.Part(part.config, short))
