"""The evaluator: statistics by hand, unit embeddings, and a round trip through a checkpoint; the one that ships."""

from pathlib import Path

import numpy as np
import pytest
import torch

from expclip import checkpoint, evaluator
from expclip.errors import BadRequestError
from expclip.evaluator import EMOTIONS, Evaluator, EvaluatorConfig
from expclip.rig import load_rig


@pytest.fixture(scope="module")
def tiny(tiny_bert: str) -> Evaluator:
    torch.manual_seed(0)
    return Evaluator(EvaluatorConfig(tower=tiny_bert, hidden=8, embedding=4)).eval()


def test_statistics_of_a_step() -> None:
    weights = load_rig().zeros(11)
    weights[6:, 2] = 1.0
    found = evaluator.describe(weights).reshape(evaluator.STATISTICS, -1)
    assert found[:, 2].tolist() == pytest.approx([5 / 11, (30 / 121) ** 0.5, 0, 0, 1])
    assert np.delete(found, 2, axis=1).max() == 0


def test_embeddings_are_of_unit_length_and_emotions_have_names(tiny: Evaluator) -> None:
    texts = tiny.texts(["happy", "a very sad smile", "smile"], batch=2)
    motions, names = tiny.motions(np.random.default_rng(0).random((5, 260)).astype(np.float32))
    assert np.linalg.norm(texts, axis=1).tolist() == pytest.approx([1, 1, 1], abs=1e-5)
    assert np.linalg.norm(motions, axis=1).tolist() == pytest.approx([1] * 5, abs=1e-5)
    assert set(names) <= set(EMOTIONS)


def test_a_checkpoint_brings_it_back(tiny: Evaluator, tmp_path: Path) -> None:
    checkpoint.save(str(tmp_path), {"evaluator": tiny.to_part()}, {})
    again, digest = evaluator.load(str(tmp_path))
    assert len(digest) == 16
    assert np.abs(again.texts(["happy"]) - tiny.texts(["happy"])).max() < 5e-3
    assert not any(name.startswith("tower.") for name in tiny.to_part().tensors)
    with pytest.raises(BadRequestError, match="has no 'generator'; it has: evaluator"):
        checkpoint.load(str(tmp_path)).part("generator")
    part = tiny.to_part()
    short = {name: value for name, value in part.tensors.items() if name != "middle"}
    with pytest.raises(BadRequestError, match="does not fit the evaluator: middle"):
        Evaluator.from_part(checkpoint.Part(part.config, short))


@pytest.mark.model
def test_the_one_that_ships_tells_a_smile_from_a_frown() -> None:
    judge, _ = evaluator.load()
    rig = load_rig()
    smile = {"mouthSmileLeft": 0.8, "mouthSmileRight": 0.8, "cheekSquintLeft": 0.7, "cheekSquintRight": 0.7}
    glare = {"browDownLeft": 0.9, "browDownRight": 0.9, "mouthPressLeft": 0.6, "mouthPressRight": 0.6}
    faces = [np.tile(rig.weights(weights), (60, 1)) for weights in (smile, glare)]
    motions, names = judge.motions(np.stack([evaluator.describe(face) for face in faces]))
    assert names == ["happiness", "anger"]
    texts = judge.texts(["say it with a big happy smile", "glare at them with anger"])
    away = np.linalg.norm(texts[:, None] - motions[None], axis=-1)
    assert away[0, 0] < away[0, 1]
    assert away[1, 1] < away[1, 0]
