"""EPA: closures survive every expression, the rule is monotone, and drawn styles follow the seed."""

import dataclasses

import numpy as np
import pytest
import torch

from expclip import action_units, augment
from expclip.augment import EpaOptions, Palette
from expclip.model import ExpCLIP, ExpCLIPConfig
from expclip.rig import load_rig
from expclip.tead import Record

RIG = load_rig()
JAW, CLOSE = RIG.index("jawOpen"), RIG.index("mouthClose")


def face(**values: float) -> torch.Tensor:
    return torch.from_numpy(RIG.weights(values))


def palette(count: int = 9) -> Palette:
    random = torch.Generator().manual_seed(0)
    directions = torch.nn.functional.normalize(torch.randn(count, 8, generator=random), dim=-1)
    return Palette(directions, torch.linspace(0.2, 1, count))


@pytest.mark.parametrize("seed", range(5))
def test_a_full_closure_shuts_the_lips_under_any_expression(seed: int) -> None:
    random = torch.Generator().manual_seed(seed)
    speech, felt = torch.rand(4, 52, generator=random), torch.rand(4, 52, generator=random)
    shut = augment.compose(speech, felt, torch.ones(4))
    assert (shut[:, CLOSE] >= shut[:, JAW] - 1e-6).all()
    for name in augment.PARTING:
        assert shut[:, RIG.index(name)].abs().max() == 0
    assert 0 <= shut.min() <= shut.max() <= 1


def test_silence_shows_the_expression_and_neutral_shows_the_speech() -> None:
    smile, speech, open_ = (
        face(mouthSmileLeft=0.7, browInnerUp=0.4),
        face(jawOpen=0.3, mouthFunnel=0.2),
        torch.zeros(()),
    )
    torch.testing.assert_close(augment.compose(torch.zeros(52), smile, open_), smile)
    torch.testing.assert_close(augment.compose(speech, torch.zeros(52), open_), speech)


def test_more_expression_never_means_less_of_the_upper_face() -> None:
    speech, felt = 0.3 * torch.rand(52, generator=torch.Generator().manual_seed(0)), face(browInnerUp=0.6)
    seen = [augment.compose(speech, s * felt, torch.zeros(()))[RIG.index("browInnerUp")] for s in (0, 0.25, 0.5, 1)]
    assert seen == sorted(seen)


def test_closure_curve_is_full_within_the_phone_and_ramps_outside() -> None:
    curve = augment.closure_curve([(0.2, 0.3, "B"), (0.3, 0.6, "AA1")], 50, 50, ramp=0.05)
    assert (curve[10:16] == 1).all()
    assert 0 < curve[8] < 1
    assert curve[20:].max() == 0


def test_drawn_styles_follow_the_seed() -> None:
    options = EpaOptions()
    one, again, other = (
        [augment.draw(palette(), np.random.default_rng(seed), steps=20, options=options) for _ in range(3)]
        for seed in (1, 1, 2)
    )
    assert all(torch.equal(a, b) for a, b in zip(one, again, strict=True))
    assert not all(a.shape == b.shape and torch.equal(a, b) for a, b in zip(one, other, strict=True))


def test_shares_decide_what_is_drawn() -> None:
    random = np.random.default_rng(0)
    neutral = EpaOptions(neutral=1.0, timed=0.0)
    assert augment.draw(palette(), random, steps=9, options=neutral).abs().max() == 0
    timed = augment.draw(palette(), random, steps=200, options=EpaOptions(neutral=0.0, timed=1.0))
    assert timed.shape == (200, 8)
    assert timed.std(0).max() > 0
    still = EpaOptions(neutral=0.0, timed=0.0, interpolated=1.0, least=1.0, most=1.0)
    norms = [float(augment.draw(palette(), random, steps=9, options=still).norm()) for _ in range(20)]
    assert 0.2 <= min(norms) <= max(norms) <= 1 + 1e-5


def test_intensity_reaches_beyond_what_the_text_says() -> None:
    options = EpaOptions(neutral=0.0, timed=0.0, interpolated=0.0, least=1.5, most=1.5)
    one = Palette(torch.eye(8)[:1], torch.tensor([0.6]))
    assert float(augment.draw(one, np.random.default_rng(0), steps=1, options=options).norm()) == pytest.approx(0.9)


def test_palette_holds_texts_and_expressions_and_decodes(tiny_bert: str) -> None:
    torch.manual_seed(0)
    model = ExpCLIP(ExpCLIPConfig(tower=tiny_bert, embedding=8, hidden=8, lora_rank=0)).eval()
    texts = {"tag": "happy", "prompt": "a very happy smile"}
    records = [Record("A1", "joy", "happiness", 0.8, 0.5, texts, {"AU12": 0.8}),
               Record("A2", "grief", "sadness", -0.8, 0.1, {"tag": "sad"}, {"AU15": 0.5})]  # fmt: skip
    styles = augment.palette(model, records)
    assert len(styles) == 2 + 3
    torch.testing.assert_close(styles.direction_SD.norm(dim=-1), torch.ones(5))
    assert len(augment.palette(model, records, most_texts=1)) == 2 + 1
    wanted = model.encode_expression(torch.from_numpy(action_units.to_weights({"AU12": 0.8}))[None])[0]
    torch.testing.assert_close(styles.direction_SD[:1], wanted)
    drawn = [torch.zeros(1, 8), styles.direction_SD[:1] * torch.linspace(0, 1, 6)[:, None]]
    style, expression = augment.decode(model, drawn, 6)
    assert style.shape == (2, 6, 8)
    assert expression.shape == (2, 6, 52)
    assert expression[0].abs().max() == 0


def test_region_masks_keep_one_region_and_sides_their_own_half() -> None:
    upper_C, mouth_C, left_C, right_C = augment.region_masks(RIG)
    assert not (upper_C * mouth_C).any()
    assert (left_C[RIG.index("mouthSmileLeft")], left_C[RIG.index("mouthSmileRight")]) == (1, 0)
    np.testing.assert_array_equal(RIG.mirror(left_C), right_C)
    assert left_C[RIG.index("jawOpen")] == right_C[RIG.index("jawOpen")] == 1


def test_masked_styles_are_of_one_region(tiny_bert: str) -> None:
    """A smile under raised brows gives the brows, the smile, and each half; a lone smile only its halves."""
    torch.manual_seed(0)
    model = ExpCLIP(ExpCLIPConfig(tower=tiny_bert, embedding=8, hidden=8, lora_rank=0)).eval()
    texts = {"tag": "happy"}
    both = Record("A1", "joy", "happiness", 0.8, 0.5, texts, {"AU12": 0.8, "AU2": 0.6})
    lone = Record("A2", "joy", "happiness", 0.8, 0.5, texts, {"AU12": 0.8})
    regions = augment.palette(model, [both, lone]).regions
    assert regions is not None
    assert len(regions) == 4 + 2
    brows_BC = torch.from_numpy(action_units.to_weights({"AU2": 0.6}))[None]
    torch.testing.assert_close(regions.direction_SD[:1], model.encode_expression(brows_BC)[0])
    only = EpaOptions(neutral=0.0, masked=1.0, interpolated=0.0, timed=0.0, least=1.0, most=1.0)
    styles = Palette(torch.eye(8)[:1] * 0, torch.ones(1), regions)
    drawn = [augment.draw(styles, np.random.default_rng(k), steps=3, options=only) for k in range(20)]
    assert min(float(style.norm()) for style in drawn) > 0  # none is the whole one, which is zero here
    without = dataclasses.replace(only, masked=0.0)
    assert augment.draw(styles, np.random.default_rng(0), steps=3, options=without).norm() == 0
    neutral = Record("A3", "calm", "neutral", 0, 0, texts, {})
    assert augment.palette(model, [neutral]).regions is None
