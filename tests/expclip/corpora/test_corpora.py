"""The table of corpora, rows, corpus folders and phones."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from expclip import corpora
from expclip.corpora import phones, rows
from expclip.errors import BadRequestError
from expclip.rig import load_rig
from expclip.schema import CLIPS, TRACKS

RIG = load_rig()


def test_every_corpus_of_the_table_loads_and_others_are_named() -> None:
    for name in corpora.CORPORA:
        assert callable(corpora.load(name).clips)
    with pytest.raises(BadRequestError, match="unknown corpus 'lrs3'; valid: .*grid"):
        corpora.load("lrs3")


def test_a_corpus_folder_reads_back(tmp_path: Path) -> None:
    weights = np.random.default_rng(0).random((7, 52), np.float32)
    clips = [rows.clip_row(f"c{k}", audio=f"audio/c{k}.flac", text="hi") for k in range(2)]
    tracks = [rows.track_row(f"c{k}", weights * k, np.ones(7, bool), ["jawOpen"], "test") for k in range(2)]
    corpora.write_table(str(tmp_path / "clips/a.parquet"), clips, CLIPS)
    corpora.write_table(str(tmp_path / "tracks/a.parquet"), tracks, TRACKS)
    found, table = corpora.read(str(tmp_path))
    assert [row["audio"] for row in found] == [f"{tmp_path}/audio/c{k}.flac" for k in range(2)]
    np.testing.assert_array_equal(np.array(table["c1"]["weights"][0].as_py(), np.float32), weights)
    with pytest.raises(BadRequestError, match=r"no .parquet file in"):
        corpora.read(str(tmp_path / "nothing"))


def test_columns_that_clips_lacks_are_refused() -> None:
    with pytest.raises(BadRequestError, match="unknown column of CLIPS 'mood'"):
        rows.clip_row("a", mood="good")


def test_tables_of_an_earlier_version_lack_columns(tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    old = pa.schema([field for field in CLIPS if field.name != "notes"])
    row = rows.clip_row("old", notes="x: y")
    (tmp_path / "clips").mkdir()
    pq.write_table(pa.Table.from_pylist([row], old), tmp_path / "clips" / "a.parquet")
    corpora.write_table(str(tmp_path / "clips/b.parquet"), [rows.clip_row("new", notes="x: y")], CLIPS)
    table = corpora.table(str(tmp_path / "clips"), ["clip_id", "notes"])
    assert table.to_pylist() == [{"clip_id": "old", "notes": None}, {"clip_id": "new", "notes": "x: y"}]


def test_names_become_clip_ids() -> None:
    assert rows.slug("beat", "2_scott_0_1_1") == "beat_2_scott_0_1_1"
    odd = {rows.slug("folder", name) for name in ("a b.mp4", "a_b.mp4", "a/b.mp4", "ä.mp4", "ö.mp4", "")}
    assert len(odd) == 6
    assert all(re.fullmatch(r"[A-Za-z0-9._-]+", name) for name in odd)


def test_splits_by_speaker_do_not_depend_on_who_else_is_there() -> None:
    names = [f"speaker{k}" for k in range(400)]
    found = [rows.split_of(name) for name in names]
    assert 20 < found.count("test") < 60
    assert 8 < found.count("val") < 35
    takes = {f"take{k}": names[k // 4] for k in range(400)}
    assert {rows.split_by(takes)[take] == rows.split_of(who) for take, who in takes.items()} == {True}
    assert len(set(rows.split_by(dict.fromkeys(takes, "one")).values())) == 3


def test_expressions_get_their_action_units() -> None:
    weights_C = RIG.weights({"mouthSmileLeft": 0.8, "mouthSmileRight": 0.8})
    row = rows.expression_row("e", weights=weights_C, mask=list(RIG.channels), texts={"a": "b"})
    assert "AU12" in json.loads(row["action_units"])
    assert row["texts"] == [("a", "b")]
    assert rows.expression_row("e")["action_units"] == ""
    with pytest.raises(BadRequestError, match="unknown column of EXPRESSIONS 'mood'"):
        rows.expression_row("e", mood=1)


def test_frames_at_any_times_keep_them_and_gaps_are_not_valid() -> None:
    time_T = np.array([0.0, 0.1, 0.2, 0.7, 0.8])
    weights_TC = time_T[:, None].astype(np.float32)
    out, valid = rows.resample_at(weights_TC, np.ones(5, bool), time_T)
    np.testing.assert_allclose(out[:41, 0], np.arange(41) / 50, atol=1e-6)
    assert not valid[19:27].any()
    assert valid[:17].all()
    assert valid[28:].all()
    assert len(rows.resample_at(weights_TC[:0], np.ones(0, bool), time_T[:0])[1]) == 0


def test_a_broken_index_is_no_guess(tmp_path: Path, refused: Callable[[str, Path], str]) -> None:
    (tmp_path / "phones.json").write_text("{")
    assert refused("beat", tmp_path).endswith("with .wav beside")
    assert "phones.json is not a JSON object" in refused("aligned", tmp_path)


def test_sounds_with_phones(tmp_path: Path, sound: Callable[..., None], bring: Callable[..., Any]) -> None:
    word = {"word": "a", "start": 0, "end": 1, "phones": [[0, 1, "AH"]]}
    entries = {name: {"words": [word], "text": "a"} for name in ("one", "two")}
    (tmp_path / "phones.json").write_text(json.dumps(entries))
    sound(tmp_path / "one.flac")
    found = bring("aligned", tmp_path)
    assert json.loads(found.clips["aligned_one"]["phones"]) == [[0, 1, "AH"]]
    assert "no such file" in found.errors["aligned_two"]


def test_resampling_keeps_time_and_takes_the_lag_back() -> None:
    ramp_TC = np.linspace(0, 1, 26, dtype=np.float32)[:, None]  # one second at 25 fps
    seen = np.ones(26, bool)
    out, valid = rows.resample(ramp_TC, seen, 25.0)
    np.testing.assert_allclose(out[:50, 0], np.arange(50) / 50, atol=1e-6)
    late, _ = rows.resample(ramp_TC, seen, 25.0, lag=0.04)
    np.testing.assert_allclose(late[:48, 0], np.arange(48) / 50 + 0.04, atol=1e-6)
    assert valid.all()
    none, invalid = rows.resample(ramp_TC, ~seen, 25.0)
    assert not none.any()
    assert not invalid.any()


def test_phones_go_to_json_and_back() -> None:
    spoken = [(0.0, 0.12, "SIL"), (0.12, 0.2, "P")]
    assert phones.from_json(phones.to_json(spoken)) == spoken
    assert phones.to_json([]) == ""
    assert phones.from_json("") == []


def test_words_are_spelled_as_the_dictionary_does() -> None:
    assert phones.spoken_words("Don’t STOP, it's 'fun'!") == ["don't", "stop", "it's", "'fun'"]


def test_alignment_without_its_package_gives_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(phones, "available", lambda: False)
    assert phones.align(np.zeros(16_000, np.float32), ["hello"]) == []


def test_alignment_of_words_that_cannot_be_there_gives_nothing() -> None:
    if not phones.available():
        pytest.skip("pocketsphinx is not installed (extra `synthesize`)")
    assert phones.align(np.zeros(16_000, np.float32), []) == []
    assert phones.align(np.zeros(16_000, np.float32), ["qwrtzx"]) == []


def test_real_speech_aligns(shared_data: Path) -> None:
    if not phones.available():
        pytest.skip("pocketsphinx is not installed (extra `synthesize`)")
    from expclip.media import read_audio

    audio_N = read_audio(str(shared_data / "speech" / "jfk.flac"))
    text = "and so my fellow americans ask not what your country can do for you ask what you can do for your country"
    row = rows.add_phones(rows.clip_row("jfk", text=text, language="en"), audio_N)
    spoken = phones.from_json(row["phones"])
    assert [p for *_, p in spoken if p != "SIL"][1:6] == ["N", "D", "S", "OW", "M"]
    assert spoken[-1][1] == pytest.approx(11.0, abs=0.1)
    assert rows.add_phones(row | {"language": "zh", "phones": ""}, audio_N)["phones"] == ""
