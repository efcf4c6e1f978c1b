"""The sync critic: its loss knows right from wrong moments, it learns to tell an offset, it comes back as stored."""

from pathlib import Path

import numpy as np
import pytest
import torch

from expclip import checkpoint, clip_table, corpora, critic, media, train_critic
from expclip.critic import CriticConfig, SyncCritic
from expclip.errors import BadRequestError
from expclip.rig import load_rig
from expclip.schema import CLIPS, TRACKS
from expclip.sound_variation import Variation

RIG = load_rig()
JAW = RIG.index("jawOpen")
SMALL = CriticConfig(width=24, audio_blocks=2, mouth_blocks=1, embedding=12)


def test_the_loss_is_low_only_where_each_moment_finds_its_own() -> None:
    torch.manual_seed(0)
    heard_BTE = torch.nn.functional.normalize(torch.randn(2, 30, 16), dim=-1)
    counted_BT = torch.ones(2, 30)
    right = critic.sync(heard_BTE, heard_BTE, counted_BT)
    late = critic.sync(heard_BTE, heard_BTE.roll(8, 1), counted_BT)
    assert right < 0.1 < 5 < late
    assert critic.sync(heard_BTE, heard_BTE, torch.zeros(2, 30)) == 0


def test_near_moments_and_those_that_do_not_count_are_no_rivals() -> None:
    heard_BTE = torch.ones(1, 4, 2) / 2**0.5  # four moments within NEAR of each other, all alike
    assert critic.sync(heard_BTE, heard_BTE, torch.ones(1, 4)) == pytest.approx(0, abs=1e-6)
    longer_BTE = torch.ones(1, 9, 2) / 2**0.5
    some_BT = torch.tensor([[1.0, 0, 0, 0, 1, 0, 0, 0, 0]])
    assert critic.sync(longer_BTE, longer_BTE, some_BT) == pytest.approx(np.log(2), abs=1e-5)  # one rival each


def clips(folder: Path, count: int = 12) -> str:
    """Bursts of noise of random lengths; the jaw follows the sound. The last two clips are the test split."""
    random, rows, tracks = np.random.default_rng(0), [], []
    for k in range(count):
        loud_T = np.repeat(random.random(40) > 0.5, random.integers(3, 9, 40))[:150].astype(np.float32)
        sound_N = 0.2 * np.repeat(loud_T, 320) * random.standard_normal(320 * len(loud_T))
        media.write_audio(str(folder / "audio" / f"c{k}.wav"), sound_N.astype(np.float32))
        weights_TC = RIG.zeros(len(loud_T))
        weights_TC[:, JAW] = 0.6 * loud_T
        rows.append(dict.fromkeys(CLIPS.names, "") | {
            "clip_id": f"c{k:02}", "corpus": "toy", "split": "test" if k >= count - 2 else "train",
            "audio": f"audio/c{k}.wav", "start": 0.0, "end": float("nan"),
        })  # fmt: skip
        tracks.append({
            "clip_id": f"c{k:02}", "fps": 50.0, "weights": list(weights_TC), "valid": [True] * len(loud_T),
            "mask": ["jawOpen"], "extractor": "toy",
        })  # fmt: skip
    corpora.write_table(str(folder / "clips" / "0.parquet"), rows, CLIPS)
    corpora.write_table(str(folder / "tracks" / "0.parquet"), tracks, TRACKS)
    return str(folder)


def test_it_learns_to_tell_an_offset_and_is_stored(tmp_path: Path) -> None:
    still = Variation(0, 0, 0, 0, 0, 0, 0, 0)
    settings = train_critic.Config(
        {"toy": clips(tmp_path)}, output=str(tmp_path / "critic"), model=SMALL, variation=still, steps=60, batch=6,
        crop=100, every=20, styled=0.3, device="cpu",
    )  # fmt: skip
    losses: list[float] = []
    figures = train_critic.run(settings, lambda step, found: losses.append(found["sync"]))
    assert len(losses) == 3
    assert losses[-1] < 0.8 * losses[0]
    assert figures["test.toy.found"] == figures["test.toy.found_late"] == 1
    stored = checkpoint.load(str(tmp_path / "critic"))
    assert stored.provenance["critic"]["metrics"]["test.toy.found"] == 1
    again = SyncCritic.from_part(stored.part("critic"))
    assert not any(weight.requires_grad for weight in again.parameters())
    audio_N = torch.from_numpy(media.read_audio(str(tmp_path / "audio/c11.wav")))
    jaw_TC = torch.zeros(len(audio_N) // 320, len(RIG))
    jaw_TC[:, JAW] = (audio_N.reshape(-1, 320).abs().mean(1) > 0.01) * 0.6
    assert critic.offset(again, audio_N, jaw_TC)[0] == pytest.approx(0, abs=20)
    assert critic.offset(again, audio_N, jaw_TC.roll(-5, 0))[0] == pytest.approx(-100, abs=20)
    with pytest.raises(BadRequestError, match=r"0\.20 s are too short"):
        critic.offset(again, audio_N[:3200], jaw_TC[:10])
    with pytest.raises(BadRequestError, match="does not fit the critic"):
        SyncCritic.from_part(checkpoint.Part({"width": 24}, stored.part("critic").tensors))


def test_only_a_moving_measured_mouth_counts() -> None:
    weights_BTC = torch.zeros(1, 20, len(RIG))
    weights_BTC[0, 10:, JAW] = 0.5
    taught_BTC = torch.ones_like(weights_BTC, dtype=torch.bool)
    taught_BTC[0, 11:] = False
    assert critic.speaking(weights_BTC, taught_BTC)[0].nonzero()[:, 0].tolist() == [8, 9, 10]


def test_what_cannot_be_trained_on_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadRequestError, match="no corpora to train on"):
        train_critic.run(train_critic.Config())
    with pytest.raises(BadRequestError, match="no clip of the train split"):
        train_critic.fit(
            train_critic.Config({"toy": str(tmp_path)}), clip_table.load({"toy": clips(tmp_path)})[0].only("val")
        )
