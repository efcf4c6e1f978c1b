"""The speech front ends: rate, causality, and real loaders on tiny random encoders."""

from pathlib import Path
from typing import Any

import pytest
import torch

from expclip.errors import BadRequestError
from expclip.speech import HOP, LogMel, Student, load_encoder, mel_bank, whisper_from_safetensors

WAVE = {
    "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16,
    "conv_dim": (8,) * 7, "num_conv_pos_embeddings": 4, "num_conv_pos_embedding_groups": 2,
}  # fmt: skip


def sound(seconds: float, seed: int = 0) -> torch.Tensor:
    return 0.1 * torch.randn(1, round(seconds * 16_000), generator=torch.Generator().manual_seed(seed))


@pytest.fixture
def student() -> Student:
    torch.manual_seed(0)
    return Student(width=16, blocks=4, lookahead=6).eval()


@torch.inference_mode()
def test_student_hears_no_further_than_it_says(student: Student) -> None:
    audio, at = sound(3), 60
    changed = audio.clone()
    changed[:, (at + 1 + student.lookahead) * HOP :] = sound(3, seed=1)[:, (at + 1 + student.lookahead) * HOP :]
    before, after = student(audio), student(changed)
    torch.testing.assert_close(before[:, : at + 1], after[:, : at + 1])
    assert (before[:, at + 1] - after[:, at + 1]).abs().max() > 1e-5  # it does use what it may hear


@torch.inference_mode()
def test_student_remembers_no_longer_than_it_says(student: Student) -> None:
    audio, at = sound(5), 200
    changed = audio.clone()
    changed[:, : (at - student.context) * HOP] = 0
    torch.testing.assert_close(student(audio)[:, at:], student(changed)[:, at:])


@pytest.mark.parametrize("lookahead", [0, 2, 6])
def test_student_lookahead_is_what_was_asked_for(lookahead: int) -> None:
    assert sum(block.right for block in Student(8, 4, lookahead).blocks) == lookahead  # type: ignore[misc]


@torch.inference_mode()
def test_one_vector_for_each_step_even_for_a_part(student: Student) -> None:
    assert student(torch.zeros(2, 5 * HOP + 1)).shape == (2, 6, 16)
    assert torch.isfinite(student(torch.zeros(1, 1))).all()


def test_log_mel_tells_tones_apart_and_has_no_dead_band() -> None:
    assert (mel_bank(64).sum(0) > 0).all()
    time = torch.arange(16_000) / 16_000
    bands = [int(LogMel()(torch.sin(2 * torch.pi * f * time)[None])[0, 50].argmax()) for f in (200, 800, 3000)]
    assert bands == sorted(set(bands))


@pytest.mark.parametrize("family", ["wav2vec2", "hubert", "wavlm"])
@torch.inference_mode()
def test_wave_families_load_from_a_folder(family: str, tmp_path: Path) -> None:
    import transformers

    names: dict[str, Any] = {"wav2vec2": "Wav2Vec2", "hubert": "Hubert", "wavlm": "WavLM"}
    config = getattr(transformers, f"{names[family]}Config")(**WAVE)
    getattr(transformers, f"{names[family]}Model")(config).save_pretrained(tmp_path)
    encoder = load_encoder(str(tmp_path)).eval()
    assert encoder(sound(1)).shape == (1, 50, encoder.width)


def tiny_whisper() -> Any:
    from transformers import WhisperConfig

    return WhisperConfig(
        d_model=64, encoder_layers=1, decoder_layers=1, encoder_attention_heads=1, decoder_attention_heads=1,
        encoder_ffn_dim=16, decoder_ffn_dim=16, vocab_size=16, num_mel_bins=80, max_source_positions=100,
        pad_token_id=0, bos_token_id=1, eos_token_id=2, decoder_start_token_id=3, suppress_tokens=[],
        begin_suppress_tokens=[],
    )  # fmt: skip


@torch.inference_mode()
def test_whisper_loads_from_a_folder_and_from_one_file(tmp_path: Path) -> None:
    from safetensors.torch import save_file
    from transformers import WhisperModel

    model = WhisperModel(tiny_whisper())
    model.save_pretrained(tmp_path)
    whole = load_encoder(str(tmp_path)).eval()
    assert whole(sound(2.5)).shape == (1, 125, 64)  # more than one window of 2 s
    save_file({k: v.contiguous() for k, v in model.encoder.state_dict().items()}, tmp_path / "encoder.safetensors")
    alone = whisper_from_safetensors(str(tmp_path / "encoder.safetensors"))
    torch.testing.assert_close(alone(sound(2)), whole(sound(2)))


def test_whisper_hears_what_its_own_extractor_hears(tmp_path: Path) -> None:
    from transformers import WhisperFeatureExtractor, WhisperModel

    WhisperModel(tiny_whisper()).save_pretrained(tmp_path)
    encoder: Any = load_encoder(str(tmp_path))
    audio = sound(2)
    wanted = WhisperFeatureExtractor(chunk_length=2)(audio[0].numpy(), sampling_rate=16_000, return_tensors="pt")
    torch.testing.assert_close(encoder._mel(audio), wanted.input_features, atol=1e-3, rtol=1e-3)


def test_unknown_family_and_missing_folder_are_bad_requests(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "bert"}')
    with pytest.raises(BadRequestError, match="'bert'; valid: wav2vec2, hubert, wavlm, whisper"):
        load_encoder(str(tmp_path))
    with pytest.raises(BadRequestError, match="cannot load speech encoder"):
        load_encoder(str(tmp_path / "absent"))
