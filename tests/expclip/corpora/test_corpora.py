"""The table of corpora, rows, corpus folders and phones."""

from pathlib import Path

import numpy as np
import pytest

from expclip import corpora
from expclip.corpora import phones, rows
from expclip.errors import BadRequestError
from expclip.schema import CLIPS, TRACKS


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
