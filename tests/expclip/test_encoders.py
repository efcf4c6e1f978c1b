"""Towers: the real loading code, on tiny random encoders saved to a folder, and the default one."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from expclip import encoders
from expclip.errors import BadRequestError


def test_bert_from_a_folder_pools_over_real_tokens_only(tiny_bert: str) -> None:
    tower = encoders.load_tower(tiny_bert)
    alone, padded = tower.encode(["happy"]), tower.encode(["happy", "a very sad smile"])
    assert padded.shape == (2, 16)
    assert torch.allclose(alone[0], padded[0], atol=1e-6)
    assert torch.allclose(padded.norm(dim=-1), torch.ones(2), atol=1e-6)
    assert not any(weight.requires_grad for weight in tower.parameters())


def test_clip_gives_both_towers_in_one_space(tiny_clip: str) -> None:
    tower = encoders.load_tower(tiny_clip)
    assert isinstance(tower, encoders.ClipTower)
    texts = tower.encode(["happy", "a sad face that goes on and on and on and on"])
    assert texts.shape == (2, tower.features) == (2, 12)
    alone = tower.encode(["happy"])
    assert torch.allclose(alone[0], texts[0], atol=1e-6)
    pixels = np.random.default_rng(0).integers(0, 255, (40, 64, 3), np.uint8)
    images = tower.encode_image([pixels, pixels[:, ::-1]])
    assert images.shape == (2, 12)
    assert torch.allclose(images.norm(dim=-1), torch.ones(2), atol=1e-6)


def test_clip_reads_files_and_names_those_it_cannot(tiny_clip: str, tmp_path: Path) -> None:
    from PIL import Image

    tower = encoders.load_tower(tiny_clip)
    assert isinstance(tower, encoders.ClipTower)
    Image.new("L", (50, 30), 128).save(tmp_path / "grey.png")
    assert tower.encode_image([str(tmp_path / "grey.png")]).shape == (1, 12)
    (tmp_path / "broken.png").write_bytes(b"no picture")
    with pytest.raises(BadRequestError, match=r"cannot read image .*broken\.png"):
        tower.encode_image([str(tmp_path / "broken.png")])
    with pytest.raises(BadRequestError, match=r"cannot read image .*absent\.png"):
        tower.encode_image([str(tmp_path / "absent.png")])


def test_preprocessing_is_clips_own() -> None:
    grey = np.full((48, 64, 3), 128, np.uint8)
    pixels = encoders._pixels(grey, 32)
    assert pixels.shape == (3, 32, 32)
    mean, std = torch.tensor([0.48145466, 0.4578275, 0.40821073]), torch.tensor([0.26862954, 0.26130258, 0.27577711])
    assert torch.allclose(pixels[:, 5, 5], (128 / 255 - mean) / std, atol=1e-5)


def test_other_encoders_load_through_the_general_way(tiny_bert: str, tmp_path: Path) -> None:
    from transformers import DistilBertConfig, DistilBertModel

    shutil.copy(Path(tiny_bert) / "tokenizer.json", tmp_path)
    DistilBertModel(DistilBertConfig(vocab_size=7, dim=16, n_layers=1, n_heads=2, hidden_dim=24)).save_pretrained(
        tmp_path
    )
    assert encoders.load_tower(str(tmp_path)).encode(["happy", "sad"]).shape == (2, 16)


def test_missing_towers_are_one_line(tmp_path: Path) -> None:
    with pytest.raises(BadRequestError, match="cannot load text tower '.*nowhere'") as caught:
        encoders.load_tower(str(tmp_path / "nowhere"))
    assert "\n" not in str(caught.value)


def test_default_tower_knows_what_is_alike() -> None:
    tower = encoders.load_tower()
    happy, joyful, table = tower.encode(["a happy face", "a JOYFUL face", "the price of a table"])
    assert happy @ joyful > happy @ table + 0.2
    assert torch.equal(happy, tower.encode(["A Happy Face"])[0])
    assert tower.encode(["word " * 500]).shape == (1, 384)


def test_lora_starts_as_nothing_and_is_all_that_trains(tiny_bert: str) -> None:
    tower = encoders.load_tower(tiny_bert)
    before = tower.encode(["happy smile"])
    encoders.add_lora(tower.encoder, 4)
    assert torch.allclose(tower.encode(["happy smile"]), before, atol=1e-6)
    trained = {name for name, weight in tower.named_parameters() if weight.requires_grad}
    assert trained == {f"encoder.{name}" for name, _ in encoders.lora_parameters(tower.encoder)}
    assert len(trained) == 2 * 6
    tower.encode(["sad"])[0, 0].backward()
    assert all(weight.grad is not None for _, weight in encoders.lora_parameters(tower.encoder))
