"""The generator: neutral by construction, bounded in time, closures free of style, whole through a checkpoint."""

from pathlib import Path

import pytest
import torch

from expclip import checkpoint
from expclip.errors import BadRequestError
from expclip.generator import Generator, GeneratorConfig

TINY = GeneratorConfig(width=16, encoder_blocks=3, blocks=2, style=8)


@pytest.fixture
def generator() -> Generator:
    torch.manual_seed(0)
    return Generator(TINY).eval()


def conditions(steps: int, *, zero: bool = False) -> tuple[torch.Tensor, torch.Tensor]:
    random = torch.Generator().manual_seed(1)
    scale = 0.0 if zero else 1.0
    return scale * torch.randn(1, steps, 8, generator=random), scale * torch.rand(1, steps, 52, generator=random)


def sound(steps: int, seed: int = 0) -> torch.Tensor:
    return 0.1 * torch.randn(1, 320 * steps, generator=torch.Generator().manual_seed(seed))


@torch.inference_mode()
def test_zero_style_is_the_face_of_the_sound_alone(generator: Generator) -> None:
    style, expression = conditions(50, zero=True)
    neutral = generator(sound(50), style, expression).weights_BTC
    for part in (*generator.films, generator.style[0], generator.expression):
        torch.nn.init.normal_(part.weight)  # type: ignore[arg-type]
    torch.testing.assert_close(generator(sound(50), style, expression).weights_BTC, neutral)
    assert (generator(sound(50), *conditions(50)).weights_BTC - neutral).abs().max() > 0.01


@torch.inference_mode()
def test_weights_and_closure_stay_within_0_and_1(generator: Generator) -> None:
    motion = generator(10 * sound(30), 5 * conditions(30)[0], conditions(30)[1])
    assert motion.weights_BTC.shape == (1, 30, 52)
    assert motion.closure_BT.shape == (1, 30)
    for values in (motion.weights_BTC, motion.closure_BT):
        assert 0 <= values.min() <= values.max() <= 1


@torch.inference_mode()
def test_no_style_moves_the_closure(generator: Generator) -> None:
    one = generator(sound(40), *conditions(40)).closure_BT
    other = generator(sound(40), *conditions(40, zero=True)).closure_BT
    torch.testing.assert_close(one, other, rtol=0, atol=0)


@torch.inference_mode()
def test_pieces_with_their_context_equal_the_whole(generator: Generator) -> None:
    steps, begin, stop = 220, 100, 140
    audio, (style, expression) = sound(steps), conditions(steps)
    first, last = begin - generator.context, stop + generator.lookahead
    assert first > 0
    whole = generator(audio, style, expression).weights_BTC[:, begin:stop]
    piece = generator(audio[:, 320 * first : 320 * last], style[:, first:last], expression[:, first:last])
    torch.testing.assert_close(piece.weights_BTC[:, begin - first : stop - first], whole, atol=1e-6, rtol=1e-5)


@torch.inference_mode()
def test_what_comes_later_does_not_change_what_was(generator: Generator) -> None:
    audio, (style, expression), at = sound(100), conditions(100), 50
    changed = audio.clone()
    changed[:, 320 * (at + 1 + generator.lookahead) :] = 0
    later = torch.arange(100)[None, :, None] > at
    before = generator(audio, style, expression)
    after = generator(changed, torch.where(later, -style, style), torch.where(later, 1 - expression, expression))
    torch.testing.assert_close(before.weights_BTC[:, : at + 1], after.weights_BTC[:, : at + 1])


def test_steps_of_style_and_sound_must_agree(generator: Generator) -> None:
    with pytest.raises(BadRequestError, match="10 steps of sound, but 9 of style"):
        generator(sound(10), *conditions(9))


@torch.inference_mode()
def test_a_checkpoint_gives_the_same_generator_back(generator: Generator, tmp_path: Path) -> None:
    checkpoint.save(str(tmp_path), {"generator": generator.to_part()}, {})
    again = Generator.from_part(checkpoint.load(str(tmp_path)).part("generator"))
    assert again.config == TINY
    style, expression = conditions(20)
    before, after = generator(sound(20), style, expression), again(sound(20), style, expression)
    torch.testing.assert_close(before.weights_BTC, after.weights_BTC, atol=0.01, rtol=0)  # stored in float16


def test_another_size_does_not_load(generator: Generator) -> None:
    part = generator.to_part()
    tensors = {name: tensor for name, tensor in part.tensors.items() if name != "speech.bias"}
    with pytest.raises(BadRequestError, match=r"does not fit the generator: speech\.bias"):
        Generator.from_part(checkpoint.Part(part.config, tensors))


@torch.inference_mode()
def test_a_frozen_pretrained_front_end_is_named_not_stored(tmp_path: Path) -> None:
    from transformers import Wav2Vec2Config, Wav2Vec2Model

    shape = Wav2Vec2Config(
        hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16, conv_dim=(8,) * 7,
        num_conv_pos_embeddings=4, num_conv_pos_embedding_groups=2,
    )  # fmt: skip
    Wav2Vec2Model(shape).save_pretrained(tmp_path)
    sizes = GeneratorConfig(encoder=str(tmp_path), frozen=True, width=16, blocks=1, style=8)
    model = Generator(sizes).eval()
    assert not any(name.startswith("encoder.") for name in model.to_part().tensors)
    again = Generator.from_part(model.to_part())
    motion = model(sound(25), *conditions(25))
    torch.testing.assert_close(again(sound(25), *conditions(25)).weights_BTC, motion.weights_BTC)
