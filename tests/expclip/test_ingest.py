"""From sources to rows, without Ray: rests of speakers, cuts, shards of expressions, what the checks found."""

import io
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import soundfile

from expclip import corpora, ingest, media, storage
from expclip.corpora import Found, Measured, Options, Row, Source, rows
from expclip.corpora.tree import Tree
from expclip.errors import BadRequestError
from expclip.rig import load_rig
from expclip.schema import EXPRESSIONS

RIG = load_rig()


def source(name: str, speaker: str = "anna", **values: Any) -> Source:
    return Source(rows.clip_row(name, speaker=speaker, audio=f"/nowhere/{name}.wav", **values), {"weights": "/nowhere"})


def test_a_speakers_rest_comes_from_all_his_recordings_that_can_be_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One recording is a smile throughout: its own frames would call that his rest."""

    def read(asked: Source, audio_folder: str) -> Found:
        name = asked.clip["clip_id"]
        if name == "broken":
            raise BadRequestError("broken")
        weights_TC = RIG.zeros(100) + np.float32(0.1)
        weights_TC[:, RIG.index("mouthSmileLeft")] += 0.5 if name == "smile" else 0
        measured = Measured(
            weights_TC, rows.uniform(100, 50), np.ones(100, bool), RIG.channels, RIG.channels, "test", 50.0
        )
        path = str(tmp_path / f"{name}.wav")
        media.write_audio(path, np.full(32_000, 0.1, np.float32))
        return Found(asked.clip | {"audio": path}, measured)

    importer = replace(corpora.load("livelink"), read=read)
    monkeypatch.setattr(corpora, "load", lambda corpus: importer)
    sources = [source(name) for name in ("broken", "smile", "flat0", "flat1")]
    bring = ingest.Ingester("livelink", str(tmp_path / "out"), ingest.peers(sources))
    _, track, seconds = bring(sources[1])
    assert track is not None
    assert seconds == 2.0
    assert np.asarray(track["weights"])[:, RIG.index("mouthSmileLeft")] == pytest.approx(0.5)
    assert np.asarray(track["weights"])[:, RIG.index("jawOpen")].max() == 0
    alone = ingest.Ingester("livelink", str(tmp_path / "out"), {})
    _, track, _ = alone(sources[1])
    assert track is not None
    assert np.asarray(track["weights"]).max() == 0
    with pytest.raises(BadRequestError, match="broken"):
        bring(sources[0])


def test_peers_are_few_and_spread() -> None:
    found = ingest.peers([source(f"c{k:03d}", f"s{k % 2}") for k in range(200)])
    assert {speaker: len(chosen) for speaker, chosen in found.items()} == {"s0": ingest.PEERS, "s1": ingest.PEERS}
    assert found["s0"][0].clip["clip_id"] == "c000"
    assert found["s0"][-1].clip["clip_id"] > "c180"
    assert ingest.peers([Source(rows.clip_row("mute", speaker="s2"))]) == {}


def test_a_recording_is_split_into_its_cuts() -> None:
    whole = Source(rows.clip_row("f", audio="f.mp4"), options={"pause": 1})
    parts = list(ingest.split_parts(whole, {"cuts": "[[0.5, 2.0], [3.0, 4.0]]"}))
    assert [(p.clip["clip_id"], p.clip["start"], p.clip["end"]) for p in parts] == [
        ("f_0000", 0.5, 2.0),
        ("f_0001", 3.0, 4.0),
    ]
    assert [dict(p.options) for p in parts] == [{"whole": False}] * 2
    assert next(ingest.split_parts(whole, {"cuts": "[[0, 1]]"})).options["whole"] is True


def test_sources_survive_json() -> None:
    import json

    before = source("a", end=1.5)
    assert Source(**json.loads(json.dumps(ingest.to_json(before)))) == before


def test_a_corpus_in_object_storage(s3_folder: str) -> None:
    """Plain files and members of an archive are read there, and packed sound is written there."""
    content, array, zipped = io.BytesIO(), io.BytesIO(), io.BytesIO()
    soundfile.write(content, 0.1 * np.random.default_rng(0).standard_normal(32_000), 16_000, format="WAV")
    np.save(array, np.full((60, 52), 0.25, np.float32))
    with zipfile.ZipFile(zipped, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("audio/CELEBVHQ_a_0.wav", content.getvalue())
    for name, value in {
        "etf/RD_Radio1_000.npy": array.getvalue(), "etf/RD_Radio1_000.wav": content.getvalue(),
        "mm/audio.zip": zipped.getvalue(), "mm/text_annotations/emotion/CELEBVHQ_a_0.txt": b"glad",
    }.items():  # fmt: skip
        storage.write_bytes(f"{s3_folder}/root/{name}", value)
    for corpus, root in (("3d-etf", "etf"), ("mmhead", "mm")):
        importer, output = corpora.load(corpus), f"{s3_folder}/{corpus}"
        tree = corpora.tree(importer, f"{s3_folder}/root/{root}", Options())
        sources = list(importer.clips(tree, Options()))
        clip, track, seconds = ingest.Ingester(corpus, output, ingest.peers(sources))(sources[0])
        assert seconds == 2.0
        assert (track is None) == (corpus == "mmhead")
        assert storage.exists(storage.join(output, clip["audio"]))
    assert clip["audio"] == "audio/mmhead_CELEBVHQ_a_0.wav"
    assert clip["prompt"] == "glad"


def test_expressions_are_written_in_shards_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ingest, "_SHARD", 2)
    calls = []

    def expressions(tree: Tree) -> Iterator[Row]:
        calls.append(1)
        for k in range(3):
            weights_C = RIG.weights({"jawOpen": 0.5 if k else 0.1})
            yield rows.expression_row(f"e{k}", weights=weights_C, mask=["jawOpen"], corpus="x")
        yield {"id": "e3", "error": "broken"}
        yield rows.expression_row("e4", texts={"a": "b"})

    importer = replace(corpora.load("emo3d"), expressions=expressions)
    tree, folder = Tree("/nowhere", ()), tmp_path / "expressions"
    assert ingest.write_expressions(importer, tree, str(tmp_path), "abc") == (4, 1)
    table = corpora.table(str(folder))
    assert table.schema.equals(EXPRESSIONS)
    assert table["id"].to_pylist() == ["e0", "e1", "e2", "e4"]
    assert table["weights"].to_pylist()[1][RIG.index("jawOpen")] == 0.5
    assert np.isnan(table["weights"].to_pylist()[3]).all()
    assert table["notes"].to_pylist() == ["", "", "copy: the face of e1", ""]
    assert corpora.table(str(tmp_path / "expressions.errors")).to_pylist()[0]["error"] == "broken"
    first = {p.name: p.stat().st_mtime_ns for p in folder.iterdir()}
    assert len(first) == 3
    assert ingest.write_expressions(importer, tree, str(tmp_path), "abc") == (4, 1)
    assert {p.name: p.stat().st_mtime_ns for p in folder.iterdir()} == first
    ingest.write_expressions(importer, tree, str(tmp_path), "new")
    assert {p.name for p in folder.iterdir()}.isdisjoint(first)


def test_notes_are_counted_with_an_example() -> None:
    found = ingest.tally([("a", "gap: 3 frames; gap: a jump; rest: x"), ("b", ""), ("c", "gap: 1 frame"), ("d", None)])
    assert found == {
        "gap": {"rows": 2, "example": "a: 3 frames"},
        "rest": {"rows": 1, "example": "a: x"},
    }


def test_copies_are_found_by_sound_and_by_face() -> None:
    table = pa.table({
        "clip_id": ["d", "a", "b", "c"], "audio_digest": ["1", "1", "2", ""], "face_digest": ["", "9", "8", "8"],
    })  # fmt: skip
    assert ingest.copies(table) == [("a", "d"), ("b", "c")]
