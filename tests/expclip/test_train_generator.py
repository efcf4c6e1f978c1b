"""Training of the generator at tiny size: it learns, follows its seed, keeps to its masks and writes a checkpoint."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from expclip import checkpoint, corpora, media, motion_losses, speech_clips, train_generator
from expclip.augment import EpaOptions
from expclip.errors import BadRequestError
from expclip.generator import Generator, GeneratorConfig
from expclip.model import ExpCLIP, ExpCLIPConfig
from expclip.rig import load_rig
from expclip.schema import CLIPS, TRACKS
from expclip.speech_clips import Sampler, Variation
from expclip.train_generator import Config, LossWeights

RIG = load_rig()
JAW = RIG.index("jawOpen")
STILL = Variation(0, 0, 0, 0, 0, 0, 0, 0)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Six clips of 2 s: bursts of noise with a B before each, the jaw follows the sound; one is angry."""
    folder = tmp_path_factory.mktemp("corpus")
    random, rows, tracks = np.random.default_rng(0), [], []
    for k in range(6):
        loud_T = (np.sin(np.arange(100) / (5 + k)) > 0).astype(np.float32)
        media.write_audio(
            str(folder / "audio" / f"c{k}.wav"),
            (0.2 * np.repeat(loud_T, 320) * random.standard_normal(32_000)).astype(np.float32),
        )
        weights_TC = RIG.zeros(100)
        weights_TC[:, JAW] = 0.6 * loud_T
        starts = np.flatnonzero(np.diff(loud_T) > 0) / 50
        phones = [[float(s), float(s) + 0.06, "B"] for s in starts] or [[0.0, 2.0, "AA"]]
        rows.append(dict.fromkeys(CLIPS.names, "") | {
            "clip_id": f"c{k}", "corpus": "toy", "split": "test" if k == 5 else "train", "audio": f"audio/c{k}.wav",
            "start": 0.0, "end": float("nan"), "phones": json.dumps(phones),
            "action_units": '{"AU4": 0.8}' if k == 0 else "",
        })  # fmt: skip
        tracks.append({
            "clip_id": f"c{k}", "fps": 50.0, "weights": list(weights_TC), "valid": [True] * 90 + [False] * 10,
            "mask": ["jawOpen"], "extractor": "toy",
        })  # fmt: skip
    corpora.write_table(str(folder / "clips" / "0.parquet"), rows, CLIPS)
    corpora.write_table(str(folder / "tracks" / "0.parquet"), tracks, TRACKS)
    return str(folder)


@pytest.fixture(scope="module")
def expclip(tmp_path_factory: pytest.TempPathFactory, tiny_bert: str) -> str:
    folder = str(tmp_path_factory.mktemp("expclip"))
    torch.manual_seed(0)
    model = ExpCLIP(ExpCLIPConfig(tower=tiny_bert, embedding=8, hidden=8, lora_rank=0))
    checkpoint.save(folder, {"expclip": model.to_part()}, {})
    return folder


@pytest.fixture(scope="module")
def records(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Forty records of TEAD, written by hand: half smile, half frown."""
    folder = tmp_path_factory.mktemp("tead")
    texts = dict.fromkeys(("tag", "prompt", "situation", "description"), "a happy smile")
    rows = [
        {"id": f"A{k:04}", "emotion": "joy", "category": "happiness", "valence": 0.5, "arousal": 0.5, "texts": texts,
         "aus": {"AU12": 0.7} if k % 2 else {"AU4": 0.6}}
        for k in range(40)
    ]  # fmt: skip
    (folder / "A.jsonl").write_text("\n".join(map(json.dumps, rows)) + "\n")
    return str(folder)


def settings(corpus: str, expclip: str, records: str, **given: object) -> Config:
    sizes = GeneratorConfig(width=16, encoder_blocks=2, blocks=1, lookahead=3, style=8)
    values = {"model": sizes, "tead": records, "steps": 40, "batch": 4, "crop": 50, "every": 10, **given}
    return Config(expclip, {"toy": corpus}, **values)  # type: ignore[arg-type]


def test_a_short_fit_lowers_the_loss_and_writes_both_parts(
    corpus: str, expclip: str, records: str, tmp_path: Path
) -> None:
    seen: list[float] = []
    config = settings(corpus, expclip, records, checkpoint=str(tmp_path), rate=5e-3)
    figures = train_generator.run(config, lambda _, losses: seen.append(losses["total"]))
    assert seen[-1] < 0.9 * seen[0]
    assert {"test.toy.jawOpen.r", "test.toy.closure.recall", "test.toy.closure.precision"} <= set(figures)
    stored = checkpoint.load(str(tmp_path))
    assert set(stored.parts) == {"expclip", "generator"}
    assert stored.provenance["generator"]["config"]["corpora"] == {"toy": corpus}
    assert Generator.from_part(stored.part("generator")).config == config.model


def test_clips_out_of_sync_are_left_out_and_counted(corpus: str, tmp_path: Path) -> None:
    rows, _ = corpora.read(corpus)
    corpora.write_table(str(tmp_path / "clips" / "0.parquet"), rows, CLIPS)
    offsets = [0.0, 0.3, -0.3, 0.09, float("nan"), None]
    tracks = [
        {"clip_id": f"c{k}", "fps": 50.0, "weights": list(RIG.zeros(100)), "valid": [True] * 100, "mask": ["jawOpen"],
         "offset_s": offset}
        for k, offset in enumerate(offsets)
    ]  # fmt: skip
    corpora.write_table(str(tmp_path / "tracks" / "0.parquet"), tracks, TRACKS)
    clips, figures = train_generator.in_sync({"toy": str(tmp_path)}, 0.1)
    assert [clip.clip_id for clip in clips["toy"]] == ["c0", "c3", "c4", "c5"]
    assert figures == {"toy.out_of_sync": 2}
    assert train_generator.in_sync({"toy": corpus}, 0.1)[1] == {}


def test_pictures_without_sound_are_left_out_and_counted(corpus: str, tmp_path: Path) -> None:
    rows, _ = corpora.read(corpus)
    rows[1] |= {"audio": "", "video": "mute.mp4"}
    corpora.write_table(str(tmp_path / "clips" / "0.parquet"), rows, CLIPS)
    tracks = corpora.table(str(Path(corpus) / "tracks")).to_pylist()
    corpora.write_table(str(tmp_path / "tracks" / "0.parquet"), tracks, TRACKS)
    clips, figures = train_generator.in_sync({"toy": str(tmp_path)}, 0.1)
    assert [clip.clip_id for clip in clips["toy"]] == ["c0", "c2", "c3", "c4", "c5"]
    assert figures == {"toy.without_sound": 1}


def test_the_seed_decides_everything(corpus: str, expclip: str, records: str) -> None:
    def weights(seed: int) -> torch.Tensor:
        made = train_generator.fit(settings(corpus, expclip, records, steps=3, seed=seed, test_clips=1))
        return made.generator.speech.weight

    torch.testing.assert_close(weights(1), weights(1), rtol=0, atol=0)
    assert not torch.equal(weights(1), weights(2))


def test_no_loss_reaches_channels_outside_the_mask(corpus: str, expclip: str, records: str) -> None:
    config = settings(corpus, expclip, records, losses=LossWeights(style=0, phones=0, closure=0))
    clips = speech_clips.load(corpus, "toy", splits=("train",))
    model = ExpCLIP.from_part(checkpoint.load(expclip).part("expclip"))
    trainer = train_generator.Trainer(config, model, clips, None)
    torch.stack(list(trainer.losses(trainer.sampler.batch(4, 50)).values())).sum().backward()  # type: ignore[no-untyped-call]
    gradient = trainer.generator.speech.bias.grad
    assert gradient is not None
    assert gradient[JAW] != 0
    assert torch.count_nonzero(gradient) == 1


def test_epa_off_leaves_each_clip_its_own_style(corpus: str, expclip: str, records: str) -> None:
    model = ExpCLIP.from_part(checkpoint.load(expclip).part("expclip"))
    clips = speech_clips.load(corpus, "toy", splits=("train",))
    for share, drawn in ((0.0, False), (1.0, True)):
        config = settings(corpus, expclip, records, epa=EpaOptions(share=share, neutral=0.0))
        trainer = train_generator.Trainer(config, model, clips, None)
        batch = trainer.sampler.batch(16, 50)
        styles, own = trainer._styles(batch, 50)
        for style, kept, emotion in zip(styles, own, batch.emotions, strict=True):
            assert bool(kept) == (emotion is not None)
            assert bool(style.abs().max() > 0) == (drawn or emotion is not None)


def test_labels_follow_the_sound_when_its_speed_changes(corpus: str) -> None:
    clips = speech_clips.load(corpus, "toy")
    fast = Variation(0.3, 0, 0, 0, 0, 0, 0, 0)
    for how in (STILL, fast):
        batch = Sampler(clips, {"toy": 1.0}, seed=0, variation=how).batch(8, 60)
        level_BT = batch.audio_BN.unflatten(1, (60, 320)).square().mean(-1).sqrt()
        for level_T, jaw_T, taught_T in zip(
            level_BT, batch.weights_BTC[..., JAW], batch.taught_BTC[..., JAW], strict=True
        ):
            assert np.corrcoef(level_T[taught_T], jaw_T[taught_T])[0, 1] > 0.8


def test_clips_carry_mask_validity_phones_and_emotion(corpus: str) -> None:
    first, *_, last = speech_clips.load(corpus, "toy")
    assert first.emotion_C is not None
    assert first.emotion_C[RIG.index("browDownLeft")] > 0
    assert last.emotion_C is None
    assert last.taught_TC[:90, JAW].all()
    assert last.taught_TC.sum() == 90
    assert set(np.unique(last.phone_T)) <= {speech_clips.UNKNOWN, *range(len(speech_clips.PHONES))}
    assert last.closure_T.max() == 1


def test_variation_is_seeded_and_zero_leaves_the_sound_alone() -> None:
    audio = 0.1 * torch.randn(3, 16_000, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(speech_clips.vary(audio, np.random.default_rng(0), STILL), audio, atol=1e-5, rtol=1e-4)
    one, again = (speech_clips.vary(audio, np.random.default_rng(3), Variation()) for _ in range(2))
    assert torch.equal(one, again)
    assert (one - audio).abs().max() > 0.01
    mel = torch.rand(2, 20, 64)
    torch.testing.assert_close(speech_clips.vary_mel(mel, np.random.default_rng(0), STILL), mel, atol=1e-3, rtol=0)


def test_a_teacher_gives_a_vector_a_step_and_is_kept(corpus: str, tmp_path: Path) -> None:
    from safetensors.torch import save_file
    from transformers import WhisperConfig
    from transformers.models.whisper.modeling_whisper import WhisperEncoder

    shape = WhisperConfig(
        d_model=64, encoder_layers=1, encoder_attention_heads=1, encoder_ffn_dim=16, max_source_positions=200
    )
    save_file({k: v.contiguous() for k, v in WhisperEncoder(shape).state_dict().items()}, tmp_path / "w.safetensors")
    clips = speech_clips.load(corpus, "toy")
    fresh = train_generator.teach(str(tmp_path / "w.safetensors"), clips, cache=str(tmp_path / "kept"))
    again = train_generator.teach(str(tmp_path / "w.safetensors"), clips, cache=str(tmp_path / "kept"))
    assert len(list((tmp_path / "kept").iterdir())) == 1
    for clip in clips:
        assert fresh[clip.clip_id].shape == (len(clip), 64)
        np.testing.assert_array_equal(fresh[clip.clip_id], again[clip.clip_id])


def test_losses_are_zero_for_the_truth_and_ignore_what_is_not_known() -> None:
    truth, counted = torch.rand(2, 20, 52), torch.ones(2, 20, 52)
    assert motion_losses.position(truth, truth, counted) == 0 == motion_losses.velocity(truth, truth, counted)
    assert motion_losses.position(1 - truth, truth, 0 * counted) == 0
    assert motion_losses.correlation(truth[..., 0], truth[..., 0], counted[..., 0]) == pytest.approx(0, abs=1e-4)
    shut = torch.tensor([[1.0, 0.0]])
    missed, false = (
        motion_losses.closure(p, shut, torch.ones(1, 2)) for p in (0.1 * (1 - shut), 0.9 * shut + 0.9 * (1 - shut))
    )
    assert missed > false
    assert motion_losses.phones(torch.zeros(1, 3, 4), torch.full((1, 3), speech_clips.UNKNOWN)) == 0


def test_shares_of_unknown_corpora_are_refused(corpus: str, expclip: str, records: str) -> None:
    with pytest.raises(BadRequestError, match="shares name"):
        train_generator.fit(settings(corpus, expclip, records, shares={"mead": 1.0}))
    with pytest.raises(BadRequestError, match="no corpora"):
        train_generator.fit(Config(expclip))
