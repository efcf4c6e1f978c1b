"""A training that was killed goes on by the same command, its losses those of one that was not."""

import functools
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from expclip import checkpoint, config
from expclip.errors import BadRequestError
from expclip.generator import GeneratorConfig
from expclip.train_generator import LossWeights
from expclip.training import Optim
from ray_jobs import train_expclip, train_generator
from ray_jobs.tracking import Tracking
from ray_jobs.train_generator import Config
from ray_jobs.trainer import Event, Run, Scale

ROOT = Path(__file__).resolve().parents[2]
Make = Callable[..., Config]


@pytest.fixture
def settings(toy_corpus: str, toy_expclip: str, toy_tead: str, tmp_path: Path) -> Make:
    """Settings in which each crop counts alike, so that any number of workers takes the same steps."""
    return functools.partial(_settings, toy_corpus, toy_expclip, toy_tead, str(tmp_path / "out"))


def _settings(corpus: str, expclip: str, records: str, output: str, **given: Any) -> Config:
    sizes = GeneratorConfig(width=16, encoder_blocks=2, blocks=1, lookahead=3, style=8)
    losses = LossWeights(velocity=0, correlation=0, closure=0, phones=0, distillation=0, style=0)
    values = {
        "corpora": {"toy": corpus}, "model": sizes, "losses": losses, "tead": records, "steps": 12, "batch": 4,
        "crop": 50, "look": 5, "optim": Optim(save=4), "checkpoint": output, "scale": Scale(workers=0),
        "tracking": Tracking(uri=""), **given,
    }  # fmt: skip
    return Config(expclip, **values)


class Heard:
    """Losses by step, and what else was told; `then(event)` may act."""

    def __init__(self, then: Callable[[Event], None] = lambda event: None) -> None:
        self.losses: dict[int, float] = {}
        self.told: list[str] = []
        self.steps: list[int] = []
        self._then = then

    def __call__(self, event: Event) -> None:
        kind, what = event
        if kind == "step":
            self.losses[what[0]] = what[1]["total"]
            self.steps.append(what[0])
        elif kind == "told":
            self.told.append(what)
        self._then(event)


KILLED = """
import json, os, signal, sys
from expclip import config
from ray_jobs import train_generator
def listen(event):
    if event[0] == "step":
        print(json.dumps([event[1][0], event[1][1]["total"]]), flush=True)
        if event[1][0] == 7:
            os.kill(os.getpid(), signal.SIGKILL)
train_generator.run(config.build(train_generator.Config, json.load(open(sys.argv[1]))), listen)
"""


def test_a_killed_command_goes_on_where_it_was(settings: Make, tmp_path: Path) -> None:
    made = settings()
    (tmp_path / "config.json").write_text(json.dumps(config.as_dict(made)))
    killed = subprocess.run([sys.executable, "-c", KILLED, str(tmp_path / "config.json")], cwd=ROOT, check=False,
                            capture_output=True, text=True, timeout=300)  # fmt: skip
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    first = dict(json.loads(line) for line in killed.stdout.splitlines() if line.startswith("["))
    assert list(first) == list(range(1, 8))
    whole, second, third = Heard(), Heard(), Heard()
    train_generator.run(settings(checkpoint=str(tmp_path / "whole")), whole)
    figures = train_generator.run(made, second)
    assert list(second.losses) == list(range(5, 13))
    assert {**first, **second.losses} == pytest.approx(whole.losses, rel=1e-5)
    assert set(checkpoint.load(made.checkpoint).parts) == {"expclip", "generator"}
    assert train_generator.run(made, third) == figures  # a finished one only measures and writes again
    assert third.losses == {}


def test_other_settings_than_a_run_began_with_are_refused(settings: Make, capsys: pytest.CaptureFixture[str]) -> None:
    train_generator.run(settings(steps=2))
    for given, why in (({"steps": 3}, "steps 2, not 3"), ({"steps": 2, "seed": 1}, "seed 0, not 1")):
        with pytest.raises(BadRequestError, match=f"began with {why}: another output .* run.resume=false"):
            train_generator.run(settings(**given))
    train_generator.run(settings(steps=2, optim=Optim(save=1), every=1))  # nothing that is learnt depends on these
    again = Heard()
    train_generator.run(settings(steps=3, run=Run(resume=False)), again)
    assert list(again.losses) == [1, 2, 3]
    capsys.readouterr()


def test_a_run_may_lie_elsewhere_and_in_object_storage(settings: Make, s3_folder: str) -> None:
    made = settings(steps=3, checkpoint=f"{s3_folder}/out", run=Run(f"{s3_folder}/run"))
    train_generator.run(made)
    again = Heard()
    train_generator.run(made, again)
    assert again.losses == {}
    assert set(checkpoint.load(f"{s3_folder}/out").parts) == {"expclip", "generator"}


def test_expclip_is_trained_in_process(toy_tead: str, tiny_bert: str, tmp_path: Path) -> None:
    given = {
        "output": str(tmp_path / "out"), "tead": toy_tead, "steps": 2, "scale": {"workers": 0}, "look": 0,
        "model": {"tower": tiny_bert, "embedding": 8, "hidden": 8, "lora_rank": 0}, "tracking": {"uri": ""},
        "mix": {"tag": 4, "prompt": 2, "situation": 0, "description": 2, "grammar": 1, "mixture": 1, "word": 1},
    }  # fmt: skip
    figures = train_expclip.run(config.build(train_expclip.Config, given))
    assert "tag_au_f1" in figures
    assert set(checkpoint.load(str(tmp_path / "out")).parts) == {"expclip"}


@pytest.mark.ray
def test_workers_of_which_one_is_killed_take_the_steps_of_one(ray_local: Any, settings: Make, tmp_path: Path) -> None:
    """Two workers share the batches; one is lost on the way and both go on from the last snapshot."""
    pids: dict[int, list[int]] = {0: [], 1: []}

    def kill(event: Event) -> None:
        if event[0] == "begun":
            pids[event[1]["rank"]].append(event[1]["pid"])
        elif event[0] == "step" and event[1][0] >= 20 and len(pids[1]) == 1:
            os.kill(pids[1][0], signal.SIGKILL)
            pids[1].append(0)

    many = {"steps": 60, "optim": Optim(save=10), "look": 0, "crop": 100, "batch": 8}
    whole, cut = Heard(), Heard(kill)
    train_generator.run(settings(checkpoint=str(tmp_path / "whole"), **many), whole)
    began = time.monotonic()
    train_generator.run(settings(scale=Scale(workers=2, cpus=0.5), **many), cut)
    assert len(pids[0]) == 2, f"no second group of workers in {time.monotonic() - began:.0f} s"
    assert sorted(cut.losses) == list(range(1, 61))
    assert cut.losses == pytest.approx(whole.losses, rel=2e-2)
    assert [cut.losses[k] for k in range(1, 20)] == pytest.approx([whole.losses[k] for k in range(1, 20)], rel=1e-4)
    repeated = [step for step in cut.steps if cut.steps.count(step) > 1]
    assert len(repeated) <= 40  # at most what came after the snapshot
    assert not (Path(settings().checkpoint + ".run") / "ray").exists()


@pytest.mark.ray
def test_what_workers_and_loaders_refuse_is_told_in_one_line(
    ray_local: Any, settings: Make, toy_corpus: str, tmp_path: Path
) -> None:
    shutil.copytree(toy_corpus, tmp_path / "mute")
    shutil.rmtree(tmp_path / "mute" / "audio")
    with pytest.raises(BadRequestError, match="8 clips one after another cannot be read, the last one: c.: no"):
        train_generator.run(settings(corpora={"toy": str(tmp_path / "mute")}, scale=Scale(workers=1, cpus=0.5)))
    with pytest.raises(BadRequestError, match="a batch of 4 crops is too small for 5 workers"):
        train_generator.run(settings(scale=Scale(workers=5)))
    with pytest.raises(BadRequestError, match=r"training needs 100 CPUs, and the cluster has 4"):
        train_generator.run(settings(batch=50, scale=Scale(workers=50)))
