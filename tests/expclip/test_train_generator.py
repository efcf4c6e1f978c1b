"""Training of the generator at tiny size: it learns, follows its seed, goes on where it was, writes a checkpoint."""

import functools
import json
from collections.abc import Callable, Mapping
from importlib import resources
from pathlib import Path
from typing import Any

import pytest
import torch

from expclip import checkpoint, config, tead, train_generator
from expclip.critic import CriticConfig, SyncCritic
from expclip.errors import BadRequestError
from expclip.generator import Generator, GeneratorConfig
from expclip.generator_learner import Learner
from expclip.model import ExpCLIP
from expclip.snapshots import Snapshots
from expclip.train_generator import Config
from expclip.training import Hooks, Optim

Make = Callable[..., Config]


@pytest.fixture
def settings(toy_corpus: str, toy_expclip: str, toy_tead: str) -> Make:
    """Settings of a run of a second."""
    return functools.partial(_settings, toy_corpus, toy_expclip, toy_tead)


def _settings(corpus: str, expclip: str, records: str, **given: Any) -> Config:
    sizes = GeneratorConfig(width=16, encoder_blocks=2, blocks=1, lookahead=3, style=8)
    values = {"corpora": {"toy": corpus}, "model": sizes, "tead": records, "steps": 40, "batch": 4, "crop": 50, **given}
    return Config(expclip, **values)


def totals(settings: Config, folder: Path, stop: int = 0) -> dict[int, float]:
    """Train with snapshots in a folder; return the loss of each step, up to where the run is stopped."""
    found: dict[int, float] = {}

    def report(step: int, figures: Mapping[str, float]) -> None:
        found[step] = figures["total"]
        if step == stop:
            raise KeyboardInterrupt

    try:
        train_generator.fit(settings, Hooks(report, snapshots=Snapshots(str(folder), print)))
    except KeyboardInterrupt:
        assert stop
    return found


def test_a_short_fit_lowers_the_loss_and_writes_both_parts(settings: Make, tmp_path: Path) -> None:
    seen: list[Mapping[str, float]] = []
    made = settings(checkpoint=str(tmp_path), rate=5e-3, look=20)
    figures = train_generator.run(made, Hooks(lambda _, found: seen.append(found)))
    losses = [found["total"] for found in seen]
    assert len(losses) == 40
    assert sum(losses[-10:]) < 0.9 * sum(losses[:10])
    assert {"val", "val.toy.jawOpen.r"} <= set(seen[19])
    assert {"wait_s", "step_s", "skipped"} <= set(seen[0])
    assert {"test.toy.jawOpen.r", "test.toy.closure.recall", "test.toy.closure.precision"} <= set(figures)
    stored = checkpoint.load(str(tmp_path))
    assert set(stored.parts) == {"expclip", "generator"}
    story = stored.provenance["generator"]
    assert story["config"]["corpora"] == made.corpora
    assert set(story["data"]) == {"corpora.toy", "tead", "expclip"}
    assert Generator.from_part(stored.part("generator")).config == made.model


def test_the_seed_decides_everything(settings: Make) -> None:
    def weights(seed: int) -> torch.Tensor:
        made = train_generator.fit(settings(steps=3, seed=seed, test_clips=1))
        assert made
        return made.generator.speech.weight

    torch.testing.assert_close(weights(1), weights(1), rtol=0, atol=0)
    assert not torch.equal(weights(1), weights(2))


def test_a_run_that_was_stopped_goes_on_as_if_it_had_not_been(settings: Make, tmp_path: Path) -> None:
    made = settings(steps=12, look=5, optim=Optim(save=3))
    whole = totals(made, tmp_path / "whole")
    first = totals(made, tmp_path / "cut", stop=8)
    second = totals(made, tmp_path / "cut")
    assert list(first) == list(range(1, 9))
    assert list(second) == list(range(7, 13))
    assert first | second == whole
    assert totals(made, tmp_path / "cut") == {}
    ends = [Snapshots(str(tmp_path / name), print).load(12) for name in ("whole", "cut")]
    for name, weight in ends[0]["course"]["kept"].items():
        assert torch.equal(weight, ends[1]["course"]["kept"][name])


def test_the_weights_of_the_best_look_are_kept(settings: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    scores = iter([0.2, 0.9, 0.4])
    seen: list[torch.Tensor] = []

    def look(generator: Generator, held: object) -> dict[str, float]:
        seen.append(generator.speech.weight.clone())
        return {"val": next(scores)}

    monkeypatch.setattr(train_generator.validation, "look", look)
    made = train_generator.fit(settings(steps=9, look=3))
    assert made
    assert torch.equal(made.generator.speech.weight, seen[1])
    assert not torch.equal(made.generator.speech.weight, seen[2])


def test_gradients_may_be_summed_over_parts_of_a_batch(settings: Make) -> None:
    """With position alone each crop counts the same, so that two halves are the whole."""
    losses = train_generator.LossWeights(velocity=0, correlation=0, closure=0, phones=0, distillation=0, style=0)
    made = [train_generator.fit(settings(steps=4, losses=losses, optim=Optim(accumulate=n), look=0)) for n in (1, 2, 9)]
    weights = [fitted.generator.speech.weight for fitted in made if fitted]
    torch.testing.assert_close(weights[0], weights[1], rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(weights[0], weights[2], rtol=1e-4, atol=1e-5)


def test_a_teacher_is_learnt_from_and_its_features_are_kept(settings: Make, tiny_whisper: str, tmp_path: Path) -> None:
    seen: list[float] = []
    made = settings(whisper=tiny_whisper, steps=30, look=0, rate=1e-2)
    train_generator.fit(made, Hooks(lambda _, found: seen.append(found["distillation"]), folder=str(tmp_path)))
    assert 0 < sum(seen[-5:]) < sum(seen[:5])
    assert len(list(tmp_path.glob("*.f16"))) == 1


def test_a_critic_teaches_where_it_is_given(settings: Make, toy_expclip: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    judge = SyncCritic(CriticConfig(width=8, audio_blocks=1, mouth_blocks=1, embedding=4))
    checkpoint.save(str(tmp_path), {"critic": judge.to_part()}, {})
    found: list[Mapping[str, float]] = []
    hooks = Hooks(report=lambda step, figures: found.append(figures))
    train_generator.fit(settings(steps=2, look=0, critic=str(tmp_path)), hooks)
    assert all(figures["sync"] > 0 for figures in found)
    found.clear()
    off = train_generator.LossWeights(sync=0)
    train_generator.fit(settings(steps=1, look=0, critic=str(tmp_path), losses=off), hooks)
    train_generator.fit(settings(steps=1, look=0), hooks)
    assert not any("sync" in figures for figures in found)
    with pytest.raises(BadRequestError, match="has no 'critic'"):
        train_generator.check(settings(critic=toy_expclip))


def test_styles_may_be_of_some_kinds_of_texts_alone(settings: Make, tmp_path: Path) -> None:
    model = ExpCLIP.from_part(checkpoint.load(settings().expclip).part("expclip"))
    lines = (resources.files("expclip") / "data" / "tead" / "A.jsonl").read_text("utf-8").splitlines()[:40]
    (tmp_path / "A.jsonl").write_text("\n".join(lines), "utf-8")
    made = [settings(tead=str(tmp_path), kinds=kinds, texts=0) for kinds in (tead.KINDS, ("tag",))]
    every, tags = (Learner(each, model).styles for each in made)
    assert every is not None
    assert tags is not None
    assert len(tags) < 0.6 * len(every)


def test_what_cannot_be_trained_on_is_refused(settings: Make, toy_corpus: str, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    for wrong, why in (
        ({"shares": {"mead": 1.0}}, "shares name"),
        ({"corpora": {}}, "no corpora"),
        ({"corpora": {"toy": str(tmp_path / "nothing")}}, "no .parquet file"),
        ({"whisper": str(tmp_path / "no.safetensors")}, "no such file"),
        ({"initial": str(tmp_path / "other")}, "no such checkpoint"),
        ({"shares": {"toy": 0.0}}, "all shares are 0"),
    ):
        with pytest.raises(BadRequestError, match=why):
            train_generator.run(settings(**wrong))


def test_checkpoints_of_another_version_or_rig_are_refused(settings: Make, toy_expclip: str, tmp_path: Path) -> None:
    stored = json.loads((Path(toy_expclip) / "config.json").read_text())
    for changed, why in (({"format": 9}, "format 9"), ({"rig": {**stored["rig"], "digest": "0"}}, "another order")):
        (tmp_path / "config.json").write_text(json.dumps({**stored, **changed}))
        made = config.build(Config, {**config.as_dict(settings()), "expclip": str(tmp_path)})
        with pytest.raises(BadRequestError, match=why):
            train_generator.check(made)
