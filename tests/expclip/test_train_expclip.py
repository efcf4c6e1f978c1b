"""Training of ExpCLIP at tiny size: it learns, it is seeded, it writes a checkpoint that says where it came from."""

import functools
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch

from expclip import checkpoint, corpora, retrieval, schema, tead, train_expclip
from expclip.errors import BadRequestError
from expclip.model import ExpCLIP, ExpCLIPConfig
from expclip.snapshots import Snapshots
from expclip.train_expclip import Config, Fitted, Mix
from expclip.training import Hooks, Optim


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A few records of every split."""
    from importlib import resources

    lines = (resources.files("expclip") / "data" / "tead" / "A.jsonl").read_text("utf-8").splitlines()
    path = tmp_path_factory.mktemp("tead")
    (path / "A.jsonl").write_text("\n".join(lines[:60]) + "\n", "utf-8")
    return str(path)


@pytest.fixture
def tiny(folder: str, tiny_bert: str) -> Callable[..., Config]:
    """Settings of a run of a second."""
    return functools.partial(_tiny, folder, tiny_bert)


def _tiny(folder: str, tower: str, **changes: Any) -> Config:
    sizes = ExpCLIPConfig(tower=tower, embedding=16, hidden=32, lora_rank=2, dropout=0.0)
    mix = Mix(tag=4, prompt=2, situation=0, description=2, grammar=1, mixture=1)
    settings: dict[str, Any] = {"tead": folder, "model": sizes, "mix": mix, "steps": 8, "look": 4}
    settings |= changes
    return Config(**settings)


def fit(settings: Config, hooks: Hooks | None = None) -> Fitted:
    fitted = train_expclip.fit(settings, hooks)
    assert fitted
    return fitted


def test_losses_fall_and_the_checkpoint_tells_its_story(
    folder: str, tiny: Callable[..., Config], tmp_path: Path
) -> None:
    seen: list[dict[str, float]] = []
    settings = tiny(output=str(tmp_path / "out"), steps=60, look=30)
    metrics = train_expclip.run(settings, Hooks(lambda step, figures: seen.append(dict(figures))))
    assert len(seen) == 60
    assert sum(s["text"] for s in seen[-20:]) < 0.9 * sum(s["text"] for s in seen[:20])
    assert {"val", "tag_au_f1", "prompt_r10"} <= set(seen[29])
    loaded = checkpoint.load(str(tmp_path / "out"))
    story = loaded.provenance["expclip"]
    assert story["seed"] == 0
    assert story["steps"] == 60
    assert story["data"] == {"tead": tead.digest(tead.load(folder)), "records": 60}
    assert story["metrics"] == metrics
    assert story["config"]["mix"]["tag"] == 4
    model = ExpCLIP.from_part(loaded.part("expclip"))
    again = retrieval.evaluate(model, tead.load(folder, split="test"))
    assert all(abs(again[name] - metrics[name]) < 0.1 for name in again if name.endswith("au_f1"))


def test_seed_decides(tiny: Callable[..., Config]) -> None:
    first, second, other = (fit(tiny(steps=3, seed=s)).model.trained() for s in (1, 1, 2))
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert not torch.equal(first["decoder.0.weight"], other["decoder.0.weight"])


def test_training_stops_when_it_no_longer_helps(tiny: Callable[..., Config]) -> None:
    fitted = fit(tiny(steps=40, look=1, patience=0, head_rate=0.0, tower_rate=0.0))
    assert fitted.steps < 40


def test_generated_records_are_trained_on_to_the_end(tiny: Callable[..., Config], folder: str, tmp_path: Path) -> None:
    """A table as `annotate` writes it has no validation split: no look may stop the training or keep early weights."""
    rows = [
        {**vars(r), "id": f"x.{r.id}-v1", "texts": list(r.texts.items()), "aus": list(r.aus.items()), "model": "m"}
        for r in tead.load(folder, split="train")
    ]
    corpora.write_table(str(tmp_path / "p.parquet"), rows, schema.TEAD)
    assert len(tead.load(str(tmp_path))) == len(rows)
    fitted = fit(tiny(tead=str(tmp_path), steps=20, look=1, patience=0))
    assert fitted.steps == 20
    both = fit(tiny(tead=f"{folder},{tmp_path}", steps=2))
    assert len(both.records) == 60 + len(rows)
    assert "val_tag_au_f1" in both.metrics


def test_frozen_tower_trains_heads_alone(tiny: Callable[..., Config], tiny_bert: str) -> None:
    sizes = ExpCLIPConfig(tower=tiny_bert, embedding=16, hidden=32, lora_rank=0)
    fitted = fit(tiny(model=sizes, steps=2))
    assert not any(name.startswith("tower.") for name in fitted.model.trained())


def test_training_from_a_checkpoint_keeps_the_style_space(tiny: Callable[..., Config], tmp_path: Path) -> None:
    first = fit(tiny(steps=2)).model
    checkpoint.save(str(tmp_path), {"expclip": first.to_part()}, {})
    second = fit(tiny(steps=4, start=str(tmp_path), seed=5, head_rate=0.05)).model
    weights_BC = torch.rand(3, 52)
    assert torch.allclose(first.encode_expression(weights_BC)[0], second.encode_expression(weights_BC)[0], atol=1e-2)
    assert not torch.allclose(first.text_head.direction.weight, second.text_head.direction.weight, atol=2e-3)


def test_a_run_that_was_stopped_goes_on_as_if_it_had_not_been(tiny: Callable[..., Config], tmp_path: Path) -> None:
    """Dropout and patience included."""
    sizes = ExpCLIPConfig(tower=tiny(steps=1).model.tower, embedding=16, hidden=32, lora_rank=2, dropout=0.3)
    settings = tiny(model=sizes, steps=9, look=2, patience=5, optim=Optim(clip=5.0, warmup=0.05, save=2))

    def losses(name: str, stop: int = 0) -> dict[int, float]:
        found: dict[int, float] = {}

        def report(step: int, figures: Mapping[str, float]) -> None:
            found[step] = figures["total"]
            if step == stop:
                raise KeyboardInterrupt

        try:
            fit(settings, Hooks(report, snapshots=Snapshots(str(tmp_path / name), print)))
        except KeyboardInterrupt:
            assert stop
        return found

    whole, first, second = losses("whole"), losses("cut", 5), losses("cut")
    assert list(second) == [5, 6, 7, 8, 9]
    assert first | second == whole


def test_tead_that_lacks_a_kind_of_text_is_refused(tiny: Callable[..., Config], folder: str, tmp_path: Path) -> None:
    lines = [json.loads(line) for line in (Path(folder) / "A.jsonl").read_text("utf-8").splitlines()]
    lines[3]["texts"].pop("situation")
    (tmp_path / "A.jsonl").write_text("\n".join(map(json.dumps, lines)), "utf-8")
    with pytest.raises(BadRequestError, match=f"1 TEAD records lack a kind of text; {lines[3]['id']} has no situation"):
        train_expclip.run(tiny(tead=str(tmp_path)))
    lines[3]["texts"]["situation"] = "The rain has stopped and the street is quiet."
    only = [line for line in lines if tead.split_of(line["id"]) == "test"]
    (tmp_path / "A.jsonl").write_text("\n".join(map(json.dumps, only)), "utf-8")
    with pytest.raises(BadRequestError, match="is of the train split"):
        train_expclip.run(tiny(tead=str(tmp_path)))
