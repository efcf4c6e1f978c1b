"""ExpCLIP: direction and magnitude apart, exact zero, even faces, and a checkpoint that gives the same model."""

from pathlib import Path

import numpy as np
import pytest
import torch

from expclip import action_units, checkpoint
from expclip.errors import BadRequestError
from expclip.model import ExpCLIP, ExpCLIPConfig, _even
from expclip.rig import load_rig

TEXTS = ["a smug little grin", "barely holding back tears"]


@pytest.fixture(scope="module")
def model(tiny_bert: str) -> ExpCLIP:
    torch.manual_seed(0)
    return (
        ExpCLIP(ExpCLIPConfig(tower=tiny_bert, embedding=16, hidden=24, lora_rank=2, presence=0.3))
        .eval()
        .requires_grad_(False)
    )


def directions(count: int = 6) -> torch.Tensor:
    torch.manual_seed(1)
    return torch.nn.functional.normalize(torch.randn(count, 16), dim=-1)


def test_shapes_and_ranges_of_both_encoders(model: ExpCLIP) -> None:
    weights_BC = torch.from_numpy(np.stack([action_units.to_weights({"AU12": 0.5}), load_rig().zeros()]))
    for embedding_BD, strength_B in (model.encode_text(TEXTS), model.encode_expression(weights_BC)):
        assert embedding_BD.shape == (2, 16)
        assert torch.allclose(embedding_BD.norm(dim=-1), torch.ones(2), atol=1e-5)
        assert strength_B.shape == (2,)
        assert 0 <= strength_B.min() <= strength_B.max() <= 1
    assert model.encode_expression(weights_BC)[1][1] == 0


def test_a_scaled_expression_keeps_its_direction(model: ExpCLIP) -> None:
    weights_BC = torch.from_numpy(action_units.to_weights({"AU1": 0.6, "AU15": 0.4}))[None]
    full, half = model.encode_expression(weights_BC), model.encode_expression(weights_BC / 2)
    assert torch.allclose(full[0], half[0], atol=1e-5)
    assert half[1] < full[1]


def test_zero_decodes_to_exactly_neutral_and_magnitude_scales(model: ExpCLIP) -> None:
    units_BU, weights_BC = model.decode_expression(torch.zeros(3, 16))
    assert units_BU.shape == (3, len(action_units.units()))
    assert weights_BC.shape == (3, len(load_rig()))
    assert units_BU.abs().max() == weights_BC.abs().max() == 0
    levels = [model.decode_expression(directions() * size)[1] for size in (0.1, 0.3, 0.6, 1.0, 1.5)]
    assert levels[2].max() > 0
    for low, high in zip(levels, levels[1:], strict=False):
        assert (high >= low - 1e-6).all()
    assert torch.allclose(levels[0] * 3, levels[1], atol=1e-6)  # in proportion, where nothing clips
    assert levels[-1].max() <= 1


def test_what_misses_the_threshold_is_exactly_zero(model: ExpCLIP) -> None:
    vectors_BD = directions()
    assert (model.decode_expression(vectors_BD, presence=1.5)[0] == 0).all()
    some, all_of_them = (model.decode_expression(vectors_BD, presence=p)[0] for p in (0.5, -1.0))
    assert 0 < (some > 0).float().mean() < (all_of_them > 0).float().mean()


def test_faces_are_even_unless_the_sides_clearly_differ() -> None:
    logits_BU = torch.tensor([[1.0, 1.8, -3.0, 3.0, 0.5, 0.5]])
    even_BU = _even(logits_BU, 2.0)
    assert torch.allclose(even_BU, torch.tensor([[1.4, 1.4, -2.0, 2.0, 0.5, 0.5]]))


def test_weights_of_units_match_the_library(model: ExpCLIP) -> None:
    units_BU = torch.rand(5, len(action_units.units()))
    expected = action_units.vector_to_weights(units_BU.numpy())
    assert np.allclose(model.units_to_weights(units_BU).numpy(), expected, atol=1e-6)


def test_gradients_reach_a_style_vector(model: ExpCLIP) -> None:
    vectors_BD = directions().requires_grad_(True)
    model.encode_expression(model.decode_expression(vectors_BD * 0.5)[1])[0].square().sum().backward()
    model.decode_expression(vectors_BD)[1].sum().backward()
    assert vectors_BD.grad is not None
    assert torch.isfinite(vectors_BD.grad).all()


def test_styles_from_every_kind_of_prompt(model: ExpCLIP) -> None:
    style = model.style_from_text(TEXTS[0])
    assert style.prompt == TEXTS[0]
    assert style.embedding_D.dtype == np.float32
    again, other = model.style_from_text(TEXTS[0]), model.style_from_weights(action_units.to_weights({"AU4": 0.7}))
    assert np.array_equal(style.vector_D, again.vector_D)
    assert other.embedding_D.shape == style.embedding_D.shape
    with pytest.raises(BadRequestError, match="has no image side"):
        model.style_from_image(np.zeros((8, 8, 3), np.uint8))


def test_checkpoint_gives_the_same_model_and_holds_no_frozen_weights(model: ExpCLIP, tmp_path: Path) -> None:
    torch.manual_seed(3)
    for name, weight in model.trained().items():
        if name.endswith(".up"):
            weight.copy_(torch.randn_like(weight) * 0.05)
    checkpoint.save(str(tmp_path), {"expclip": model.to_part()}, {})
    assert sum(f.stat().st_size for f in tmp_path.iterdir()) < 60_000
    part = checkpoint.load(str(tmp_path)).part("expclip")
    assert not any("word_embeddings" in name for name in part.tensors)
    again = ExpCLIP.from_part(ExpCLIP.from_part(part).to_part())  # a loaded model can be stored again
    assert again.config == model.config
    for first, second in zip(model.encode_text(TEXTS), again.encode_text(TEXTS), strict=True):
        assert torch.allclose(first, second, atol=5e-3)
    assert not again.training


def test_a_part_that_does_not_fit_is_refused(model: ExpCLIP) -> None:
    part = model.to_part()
    fewer = {name: value for name, value in part.tensors.items() if name != "decoder.0.weight"}
    with pytest.raises(BadRequestError, match=r"does not fit ExpCLIP: decoder\.0\.weight"):
        ExpCLIP.from_part(checkpoint.Part(part.config, fewer))


def test_clip_tower_gives_image_styles(tiny_clip: str) -> None:
    model = ExpCLIP(ExpCLIPConfig(tower=tiny_clip, embedding=8, hidden=8, lora_rank=2)).eval()
    picture = np.random.default_rng(0).integers(0, 255, (40, 40, 3), np.uint8)
    style = model.style_from_image(picture)
    assert style.embedding_D.shape == (8,)
    assert model.style_from_text("happy").embedding_D.shape == (8,)
    assert any(name.startswith("tower.") for name in model.trained())


def test_sides_get_a_gradient_while_training(model: ExpCLIP) -> None:
    model.decoder.train()
    vectors_BD = directions().requires_grad_(True)
    presence_BU, _ = model.decode_direction(vectors_BD)
    (presence_BU[:, 0] - presence_BU[:, 1]).sum().backward()
    model.decoder.eval()
    assert vectors_BD.grad is not None
    assert vectors_BD.grad.abs().sum() > 0
