"""Steps shared by two processes are those of one; what is not finite is skipped; batches come ahead, in order."""

import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from expclip import training
from expclip.snapshots import Snapshots
from expclip.training import Hooks, Optim, Place, Plan, Stepper

ROOT = Path(__file__).resolve().parents[2]
TWO = """
import json, os, sys, torch
torch.set_num_threads(1)
rank, world = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
if world > 1:
    torch.distributed.init_process_group("gloo")
from expclip import train_expclip, train_generator
from expclip.generator import GeneratorConfig
from expclip.model import ExpCLIPConfig
from expclip.training import Hooks, Optim, Place
corpus, expclip, tead, bert = sys.argv[1:]
steps, slots = {}, set()
def report(kind):
    return lambda step, figures: steps.setdefault(kind, []).append(figures["total"])
sizes = ExpCLIPConfig(tower=bert, embedding=16, hidden=32, lora_rank=2, dropout=0.3)
mix = train_expclip.Mix(tag=14, word=4, prompt=8, situation=4, description=4, grammar=2, mixture=2)
words = train_expclip.Config(
    tead=tead, model=sizes, mix=mix, steps=3, look=0, optim=Optim(clip=5.0, warmup=0.05, precision="float32")
)
train_expclip.fit(words, Hooks(report("expclip"), place=Place(rank, world)))
sizes = GeneratorConfig(width=16, encoder_blocks=2, blocks=1, lookahead=3, style=8)
losses = train_generator.LossWeights(velocity=0, correlation=0, closure=0, phones=0, distillation=0, style=0)
speech = train_generator.Config(
    expclip, {"toy": corpus}, tead=tead, model=sizes, losses=losses, steps=3, batch=4, crop=50, look=2
)
train_generator.fit(speech, Hooks(report("generator"), place=Place(rank, world)))
print(json.dumps(steps))
if world > 1:
    torch.distributed.destroy_process_group()
"""


def together(world: int, *arguments: str) -> list[dict[str, list[float]]]:
    """Train in that many processes; return what each reported."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    shared = {**os.environ, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "WORLD_SIZE": str(world)}
    running = [
        subprocess.Popen([sys.executable, "-c", TWO, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                         text=True, cwd=ROOT, env={**shared, "RANK": str(rank)})
        for rank in range(world)
    ]  # fmt: skip
    ends = [process.communicate(timeout=240) for process in running]
    assert all(process.returncode == 0 for process in running), ends
    return [json.loads(out.splitlines()[-1]) for out, _ in ends]


def test_two_processes_take_the_steps_of_one(toy_corpus: str, toy_expclip: str, toy_tead: str, tiny_bert: str) -> None:
    """For ExpCLIP whatever the losses (all features are gathered), for the generator where each crop counts alike."""
    (one,) = together(1, toy_corpus, toy_expclip, toy_tead, tiny_bert)
    first, second = together(2, toy_corpus, toy_expclip, toy_tead, tiny_bert)
    assert second == {}
    assert len(one["expclip"]) == len(one["generator"]) == 3
    for kind, losses in one.items():
        assert first[kind] == pytest.approx(losses, rel=1e-4)


class _Line(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(1))

    def forward(self, target: float) -> dict[str, torch.Tensor]:
        return {"total": ((self.weight - target) ** 2).sum()}


def stepper(**given: Any) -> Stepper:
    module = _Line()
    groups = [{"params": [module.weight], "lr": 0.1}]
    return Stepper(module, groups, Optim(**given), average=0.5, place=Place())


def test_steps_without_a_finite_gradient_change_nothing_and_are_counted() -> None:
    made = stepper()
    before = {name: weight.clone() for name, weight in made.mean.items()}
    assert made.step([float("nan")], 0.5)["skipped"] == 1
    assert made.done == 1
    assert torch.equal(made.mean["weight"], before["weight"])
    assert made.module.weight.item() == 1
    assert made.step([3.0], 0.5)["skipped"] == 0
    assert made.module.weight.item() > 1


def test_the_learning_rate_rises_and_falls() -> None:
    made = stepper(warmup=0.1)
    rates = []
    for progress in (0.0, 0.05, 0.1, 0.5, 1.0):
        made._set_rate(progress)
        rates.append(made.optimizer.param_groups[0]["lr"])
    assert rates[0] < rates[1] < rates[2]
    assert rates[2] > rates[3] > rates[4] == pytest.approx(0.002)


def test_training_stops_by_the_clock() -> None:
    made, seen = stepper(), []

    def batches(numbers: range) -> Any:
        for _ in numbers:
            time.sleep(0.02)
            yield [1.0]

    plan = Plan(1000, minutes=0.002)
    course = training.fit(made, plan, batches, lambda mean: {}, Hooks(lambda step, figures: seen.append(figures)))
    assert 2 < made.done < 50
    assert course.over
    assert all(figures["wait_s"] >= 0.02 for figures in seen)


def test_with_more_minutes_a_run_goes_on(tmp_path: Path) -> None:
    def train(minutes: float) -> int:
        made, hooks = stepper(), Hooks(snapshots=Snapshots(str(tmp_path), print))
        plan = Plan(40, minutes=minutes)
        training.fit(made, plan, lambda numbers: ([1.0] for _ in numbers if not time.sleep(0.01)), lambda _: {}, hooks)
        return made.done

    first = train(0.002)
    assert train(0.002) == first < 40
    assert train(1.0) == 40


def test_what_is_made_ahead_comes_in_order() -> None:
    def make(number: int) -> int:
        time.sleep(0.01 * (number % 3))
        return number

    assert list(training.ahead(make, range(10), 3)) == list(range(10))
    with pytest.raises(ZeroDivisionError):
        list(training.ahead(lambda number: 1 // number, range(3), 2))
