"""Training of the evaluator at tiny size: it learns true pairs, follows its seed, and says where it came from."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch

from expclip import checkpoint, evaluator, train_evaluator
from expclip.errors import BadRequestError
from expclip.evaluator import EvaluatorConfig
from expclip.rig import load_rig
from expclip.train_evaluator import Config

RIG = load_rig()


@pytest.fixture
def tiny(face_corpus: str, few_records: str, tiny_bert: str) -> Config:
    sizes = EvaluatorConfig(tower=tiny_bert, hidden=16, embedding=8, dropout=0.0)
    return Config(corpora={"toy": face_corpus}, tead=few_records, model=sizes, steps=6, every=3, batch=16, crop=20)


def test_losses_fall_and_the_checkpoint_tells_its_story(tiny: Config, tmp_path: Path) -> None:
    seen: list[dict[str, float]] = []
    settings = dataclasses.replace(tiny, output=str(tmp_path / "out"), steps=60, every=30, rate=1e-2)
    found = train_evaluator.run(settings, lambda step, figures: seen.append(dict(figures)))
    assert sum(s["emotion"] for s in seen[-8:]) < 0.8 * sum(s["emotion"] for s in seen[:8])
    assert {"val_R@1", "val_R@1_shuffled", "val_emotion_f1"} <= set(seen[29])
    story = checkpoint.load(str(tmp_path / "out")).provenance["evaluator"]
    assert story["config"]["corpora"] == ["toy"]
    assert story["data"]["split"] == "train"
    assert story["metrics"]["val_R@1"] == pytest.approx(found["val_R@1"], abs=1e-4)
    assert evaluator.load(str(tmp_path / "out"))[0].config.embedding == 8


def test_the_same_seed_gives_the_same_evaluator(tiny: Config) -> None:
    first, second = (train_evaluator.fit(tiny).model.trained() for _ in range(2))
    other = train_evaluator.fit(dataclasses.replace(tiny, seed=1)).model.trained()
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert not torch.equal(first["emotion.weight"], other["emotion.weight"])


def test_composed_motions_hold_the_expression_and_the_speech(face_corpus: str) -> None:
    speech = train_evaluator.load_speech(face_corpus, "train")
    assert len(speech) == 4
    assert all(s.weights_TC[:, RIG.index("mouthPucker")].max() == 0 for s in speech)
    assert len(train_evaluator.load_speech(face_corpus, "test")) == 1  # the acted one is no neutral speech
    brow = torch.from_numpy(RIG.weights({"browInnerUp": 0.6}))[None].repeat(8, 1)
    made = train_evaluator.compose(brow, speech, np.random.default_rng(0), 100)
    assert made.shape == (8, 100, 52)
    assert made[..., RIG.index("browInnerUp")].min() == pytest.approx(0.6, abs=1e-5)
    assert made[..., RIG.index("jawOpen")].std() > 0.05
    assert made[..., RIG.index("eyeBlinkLeft")].max() == 1


def test_without_neutral_speech_there_is_nothing_to_compose_on(tiny: Config) -> None:
    with pytest.raises(BadRequestError, match="no neutral train clip with a track"):
        train_evaluator.fit(dataclasses.replace(tiny, corpora={}))
