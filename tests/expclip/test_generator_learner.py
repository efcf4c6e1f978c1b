"""The generator's losses on crops: masks hold, each clip gets the style it should, acted ones keep their face."""

import functools
from collections.abc import Callable
from typing import Any

import pytest
import torch

from expclip import checkpoint, clip_table
from expclip.augment import EpaOptions
from expclip.crops import Sampler
from expclip.generator import GeneratorConfig
from expclip.generator_learner import Learner
from expclip.model import ExpCLIP
from expclip.rig import load_rig
from expclip.train_generator import Config, LossWeights

JAW = load_rig().index("jawOpen")


@pytest.fixture
def learner(toy_corpus: str, toy_expclip: str, toy_tead: str) -> Callable[..., Learner]:
    """A function (**settings): a tiny learner."""
    return functools.partial(_learner, toy_corpus, toy_expclip, toy_tead)


def _learner(corpus: str, expclip: str, records: str, **given: Any) -> Learner:
    sizes = GeneratorConfig(width=16, encoder_blocks=2, blocks=1, lookahead=3, style=8)
    settings = Config(expclip, {"toy": corpus}, model=sizes, tead=records, **given)
    return Learner(settings, ExpCLIP.from_part(checkpoint.load(expclip).part("expclip")))


@pytest.fixture
def sampler(toy_corpus: str) -> Sampler:
    return Sampler(clip_table.load({"toy": toy_corpus})[0].only("train"), {"toy": 1.0}, seed=0, steps=50)


def test_no_loss_reaches_channels_outside_the_mask(learner: Callable[..., Learner], sampler: Sampler) -> None:
    made = learner(losses=LossWeights(style=0, phones=0, closure=0))
    made(sampler.batch(0, range(4)))["total"].backward()
    gradient = made.generator.speech.bias.grad
    assert gradient is not None
    assert gradient[JAW] != 0
    assert torch.count_nonzero(gradient) == 1


def test_epa_off_leaves_each_clip_its_own_style(learner: Callable[..., Learner], sampler: Sampler) -> None:
    batch = sampler.batch(0, range(16))
    assert {"", '{"AU4": 0.8}'} == set(batch.acted)
    for share, drawn in ((0.0, False), (1.0, True)):
        styles, own = learner(epa=EpaOptions(share=share, neutral=0.0))._styles(batch, 50)
        for style, kept, acted in zip(styles, own, batch.acted, strict=True):
            assert bool(kept) == bool(acted)
            assert bool(style.abs().max() > 0) == (drawn or bool(acted))


def test_a_label_without_units_gets_the_style_of_its_words(learner: Callable[..., Learner]) -> None:
    made = learner()
    direction_BD, strength_B = made.expclip.encode_text(["angry"])
    torch.testing.assert_close(made._acted("angry"), (direction_BD * strength_B[:, None]).cpu())
    assert not torch.allclose(made._acted("angry"), made._acted('{"AU12": 0.8}'))


def test_the_style_of_a_slot_does_not_hang_on_its_neighbours(learner: Callable[..., Learner], sampler: Sampler) -> None:
    made = learner()
    whole, _ = made._styles(sampler.batch(7, range(6)), 50)
    odd, _ = made._styles(sampler.batch(7, (1, 3, 5)), 50)
    assert all(torch.equal(a, b) for a, b in zip(whole[1::2], odd, strict=True))
