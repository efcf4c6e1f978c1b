"""Clips are read when asked for; what is odd about their tables is told or left out."""

import json
import math
import pickle
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from expclip import clip_table, corpora, media, speech_clips
from expclip.errors import BadRequestError
from expclip.rig import load_rig
from expclip.schema import CLIPS, TRACKS

RIG = load_rig()
JAW = RIG.index("jawOpen")


def clip(name: str, audio: str, **more: Any) -> dict[str, Any]:
    row = {"clip_id": name, "split": "train", "audio": audio, "start": 0.0, "end": float("nan")}
    return dict.fromkeys(CLIPS.names, "") | row | more


def track(name: str, frames: int = 100, jaw: Any = 0.5, **more: Any) -> dict[str, Any]:
    weights_TC = RIG.zeros(frames)
    weights_TC[:, JAW] = jaw
    row = {"clip_id": name, "fps": 50.0, "weights": list(weights_TC), "valid": [True] * frames, "mask": ["jawOpen"]}
    return row | more


def write(folder: Path, clips: list[dict[str, Any]], tracks: list[dict[str, Any]]) -> dict[str, str]:
    corpora.write_table(str(folder / "clips" / "0.parquet"), clips, CLIPS)
    corpora.write_table(str(folder / "tracks" / "0.parquet"), tracks, TRACKS)
    return {"x": str(folder)}


@pytest.fixture
def sound(tmp_path: Path) -> str:
    media.write_audio(str(tmp_path / "a.wav"), np.linspace(-0.5, 0.5, 32_000, dtype=np.float32))
    return "a.wav"


def test_clips_carry_mask_validity_phones_and_feeling(toy_corpus: str) -> None:
    table, figures = clip_table.load({"toy": toy_corpus})
    assert figures == {}
    assert [entry.clip_id for entry in table.entries] == [f"c{k}" for k in range(7)]
    first, last = table.clip(0), table.clip(5)
    assert json.loads(first.acted) == {"AU4": 0.8}
    assert last.acted == ""
    assert last.taught_TC[:90, JAW].all()
    assert last.taught_TC.sum() == 90
    assert set(np.unique(last.phone_T)) <= {speech_clips.UNKNOWN, *range(len(speech_clips.PHONES))}
    assert last.closure_T.max() == 1
    assert len(table.only("train")) == 5
    assert len(table.only("train", most=2, corpus="toy")) == 2


def test_a_table_travels_without_the_clips_it_holds(toy_corpus: str) -> None:
    table, _ = clip_table.load({"toy": toy_corpus})
    before = len(pickle.dumps(table))
    loaded = table.clip(3)
    assert table.clip(3) is loaded
    assert len(pickle.dumps(table)) == before < 20_000
    again = pickle.loads(pickle.dumps(table)).clip(3)
    np.testing.assert_array_equal(again.audio_N, loaded.audio_N)


def test_what_is_used_least_is_forgotten() -> None:
    kept: clip_table._Kept[int] = clip_table._Kept(10)
    made: list[int] = []

    def get(k: int) -> int:
        return kept.get(k, lambda: made.append(k) or k, lambda _: 4)

    assert [get(k) for k in (1, 2, 1, 3, 1, 2)] == [1, 2, 1, 3, 1, 2]
    assert made == [1, 2, 3, 2]
    assert kept.size <= 10


def test_a_feeling_without_units_is_no_neutral_face(tmp_path: Path, sound: str) -> None:
    labels = {"a": "angry", "b": "neutral", "c": "Neutral", "d": "", "e": "angry"}
    clips = [clip(name, sound, emotion=label) for name, label in labels.items()]
    clips[4]["action_units"] = '{"AU4": 0.8}'
    table, _ = clip_table.load(write(tmp_path, clips, [track(name) for name in labels]))
    assert [table.clip(k).acted for k in range(5)] == ["angry", "", "", "", '{"AU4": 0.8}']


def test_clips_without_sound_or_track_or_out_of_sync_are_left_out_and_counted(tmp_path: Path, sound: str) -> None:
    offsets = {"a": 0.0, "b": 0.3, "c": -0.3, "d": 0.09, "e": float("nan"), "f": None}
    clips = [clip(name, sound) for name in offsets] + [clip("mute", ""), clip("faceless", sound)]
    tracks = [track(name, offset_s=offset) for name, offset in offsets.items()] + [track("mute")]
    table, figures = clip_table.load(write(tmp_path, clips, tracks), max_offset=0.1)
    assert [entry.clip_id for entry in table.entries] == ["a", "d", "e", "f"]
    assert figures == {"x.out_of_sync": 2, "x.without_sound": 1, "x.without_track": 1}


def test_values_that_are_no_numbers_are_not_taught(tmp_path: Path, sound: str) -> None:
    jaw = np.full(100, 0.5)
    jaw[40:50] = np.nan
    table, _ = clip_table.load(write(tmp_path, [clip("a", sound)], [track("a", jaw=jaw)]))
    made = table.clip(0)
    assert np.isfinite(made.weights_TC).all()
    np.testing.assert_array_equal(np.flatnonzero(~made.taught_TC[:, JAW]), np.arange(40, 50))
    table, _ = clip_table.load(write(tmp_path, [clip("a", sound)], [track("a", 50, jaw=jaw[:50], fps=25.0)]))
    assert (~table.clip(0).taught_TC[:, JAW]).sum() >= 20  # a frame between a number and none is none, too


def test_frame_rates_may_be_mixed(tmp_path: Path, sound: str) -> None:
    ramps = {"a": (60, 30.0), "b": (200, 100.0)}
    tracks = [track(name, n, jaw=np.arange(n) / n, fps=fps) for name, (n, fps) in ramps.items()]
    table, _ = clip_table.load(write(tmp_path, [clip("a", sound), clip("b", sound)], tracks))
    one, other = table.clip(0), table.clip(1)
    assert len(one) == len(other) == 100
    np.testing.assert_allclose(one.weights_TC[:95, JAW], other.weights_TC[:95, JAW], atol=0.02)


def test_other_rigs_are_refused_and_other_orders_put_right(tmp_path: Path, sound: str) -> None:
    corpus = write(tmp_path, [clip("a", sound), clip("b", sound)], [track("a")])
    turned = [*RIG.channels[::-1]]
    table = pa.Table.from_pylist([track("b") | {"weights": [w[::-1] for w in track("b")["weights"]]}], TRACKS)
    pq.write_table(
        table.replace_schema_metadata({"rig": "r", "channels": json.dumps(turned)}), tmp_path / "tracks" / "1.parquet"
    )
    found, _ = clip_table.load(corpus)
    np.testing.assert_array_equal(found.clip(0).weights_TC, found.clip(1).weights_TC)
    other = ["AnyName", *turned[1:]]
    pq.write_table(
        table.replace_schema_metadata({"rig": "r", "channels": json.dumps(other)}), tmp_path / "tracks" / "1.parquet"
    )
    with pytest.raises(BadRequestError, match="AnyName"):
        clip_table.load(corpus)
    narrow = pa.table({"clip_id": ["b"], "fps": [50.0], "valid": [[True]], "mask": [["jawOpen"]]}).append_column(
        "weights", pa.array([[[0.1] * 5]], pa.list_(pa.list_(pa.float32(), 5)))
    )
    pq.write_table(narrow, tmp_path / "tracks" / "1.parquet")
    with pytest.raises(BadRequestError, match=r"1\.parquet: weights have 5 channels, and rig arkit52 has 52"):
        clip_table.load(corpus)


def test_empty_and_broken_tables_are_refused(tmp_path: Path, sound: str) -> None:
    with pytest.raises(BadRequestError, match=r"no \.parquet file in .*clips"):
        clip_table.load({"x": str(tmp_path)})
    with pytest.raises(BadRequestError, match="corpus x at .* has no clip with sound and a track"):
        clip_table.load(write(tmp_path, [], []))
    with pytest.raises(BadRequestError, match="1 without_sound"):
        clip_table.load(write(tmp_path, [clip("a", "")], [track("a")]))
    (tmp_path / "clips" / "0.parquet").write_bytes(b"nothing")
    with pytest.raises(BadRequestError, match="not a readable table"):
        clip_table.load({"x": str(tmp_path)})


def test_only_what_is_needed_of_a_long_clip_is_read(tmp_path: Path) -> None:
    ramp = np.linspace(-0.9, 0.9, 16_000 * 40, dtype=np.float32)
    media.write_audio(str(tmp_path / "long.wav"), ramp)
    corpus = write(tmp_path, [clip("a", "long.wav")], [track("a", 2000)])
    made = clip_table.load(corpus)[0].clip(0)
    assert len(made) == 2000
    assert made.size < 2000 * 320
    found = made.sound(16_000 * 39, 16_000 * 41) / 32767
    np.testing.assert_allclose(found[:16_000], ramp[16_000 * 39 :], atol=1e-3)
    assert not found[16_000:].any()
    assert not made.sound(-5, 0).any()
    shutil.rmtree(tmp_path / "tracks")
    with pytest.raises(BadRequestError, match="1 without_track"):
        clip_table.load(corpus)
    assert math.isclose(found[0], 0.855, abs_tol=1e-2)
