"""Crops: a pure function of seed, number and slot; labels follow the sound."""

import pickle
from pathlib import Path

import numpy as np
import pytest

from expclip import clip_table, corpora
from expclip.clip_table import ClipTable
from expclip.crops import Batch, Sampler
from expclip.errors import BadRequestError
from expclip.rig import load_rig
from expclip.schema import CLIPS
from expclip.sound_variation import Variation

JAW = load_rig().index("jawOpen")
STILL = Variation(0, 0, 0, 0, 0, 0, 0, 0)


@pytest.fixture
def table(toy_corpus: str) -> ClipTable:
    return clip_table.load({"toy": toy_corpus})[0]


def test_labels_follow_the_sound_when_its_speed_changes(table: ClipTable) -> None:
    for how in (STILL, Variation(0.3, 0, 0, 0, 0, 0, 0, 0)):
        batch = Sampler(table, {"toy": 1.0}, seed=0, steps=60, variation=how).batch(0, range(8))
        level_BT = batch.audio_BN.unflatten(1, (60, 320)).square().mean(-1).sqrt()
        for level_T, jaw_T, taught_T in zip(
            level_BT, batch.weights_BTC[..., JAW], batch.taught_BTC[..., JAW], strict=True
        ):
            assert np.corrcoef(level_T[taught_T], jaw_T[taught_T])[0, 1] > 0.8


def test_whoever_makes_a_slot_makes_the_same(table: ClipTable) -> None:
    sampler = Sampler(table, {"toy": 1.0}, seed=3, steps=40)
    whole = sampler.rows(5, range(6))
    sampler.rows(2, range(3))
    part = pickle.loads(pickle.dumps(sampler)).rows(5, (4, 1))
    for name, values in part.items():
        np.testing.assert_array_equal(values, whole[name][[4, 1]])
    assert not np.array_equal(whole["audio"], Sampler(table, {"toy": 1.0}, seed=4, steps=40).rows(5, range(6))["audio"])
    assert not np.array_equal(whole["audio"][:3], sampler.rows(6, range(3))["audio"])


def test_a_batch_falls_into_parts(table: ClipTable) -> None:
    batch = Sampler(table, {"toy": 1.0}, seed=0, steps=20).batch(0, range(5))
    parts = batch.parts(2)
    assert [part.slots for part in parts] == [(0, 2, 4), (1, 3)]
    assert np.array_equal(parts[1].audio_BN, batch.audio_BN[[1, 3]])
    assert len(batch.parts(9)) == 5
    assert batch.parts(1) == [batch]


def test_a_clip_that_cannot_be_read_is_named_and_drawn_again(toy_corpus: str, tmp_path: Path) -> None:
    rows, _ = corpora.read(toy_corpus)
    for row in rows[1:]:
        row["audio"] = str(tmp_path / "gone.wav")
    corpora.write_table(str(tmp_path / "clips" / "0.parquet"), rows, CLIPS)
    (tmp_path / "tracks").symlink_to(Path(toy_corpus) / "tracks")
    table = clip_table.load({"toy": str(tmp_path)})[0]
    drawn = [Sampler(ClipTable(table.entries[:2], table.orders, table.rig), {"toy": 1.0}, seed=0, steps=20)]
    rows_ = drawn[0].rows(0, range(8))
    assert set(rows_["acted"]) == {'{"AU4": 0.8}'}
    assert any("c1: no such file" in text for text in rows_["bad"])
    nothing = ClipTable(table.entries[1:], table.orders, table.rig)
    with pytest.raises(BadRequestError, match="8 clips one after another cannot be read"):
        Sampler(nothing, {"toy": 1.0}, seed=0, steps=20).crop(0, 0)


def test_one_short_clip_is_enough(table: ClipTable) -> None:
    one = ClipTable(table.entries[:1], table.orders, table.rig)
    batch = Sampler(one, {"toy": 1.0}, seed=0, steps=300).batch(0, range(2))
    assert batch.audio_BN.shape == (2, 96_000)
    assert 0 < batch.taught_BTC[..., JAW].float().mean() < 0.5
    with pytest.raises(BadRequestError, match="no clip to train on"):
        Sampler(ClipTable((), {}, table.rig), {}, seed=0, steps=10)


def test_shares_mix_corpora(toy_corpus: str) -> None:
    both, _ = clip_table.load({"a": toy_corpus, "b": toy_corpus})
    sampler = Sampler(both.only("train"), {"a": 3.0, "b": 1.0}, seed=0, steps=5, variation=STILL)
    chances = np.diff(np.concatenate([[0], sampler._until]))
    names = np.array([entry.corpus for entry in sampler.table.entries])
    assert chances[names == "a"].sum() == pytest.approx(0.75)


def test_columns_become_a_batch(table: ClipTable) -> None:
    sampler = Sampler(table, {"toy": 1.0}, seed=0, steps=20)
    batch = Batch.of(sampler.rows(3, (0, 2)), 3, (0, 2), "cpu")
    assert batch.slots == (0, 2)
    assert batch.audio_BN.abs().max() <= 1
    assert batch.teacher_BTF is None
