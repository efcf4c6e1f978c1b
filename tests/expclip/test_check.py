"""Checks: good tables have no problem, and everything that can be wrong with one is said with its row."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import soundfile

from expclip import check, corpora, schema, tead
from expclip.corpora.rows import clip_row, track_row
from expclip.errors import BadRequestError
from expclip.findings import Finding
from expclip.rig import load_rig

RIG = load_rig()
Change = Callable[[dict[str, Any]], Any]


def weights(seed: int, frames: int = 50) -> Any:
    """A face that opens its mouth and lifts its brows, unevenly and by and by."""
    random = np.random.default_rng(seed)
    face = RIG.weights({name: random.uniform(0.2, 0.8) for name in random.choice(RIG.channels, 20, replace=False)})
    return face * np.abs(np.sin(np.arange(frames) / 9 + seed))[:, None].astype(np.float32)


def clip(number: int, **change: Any) -> dict[str, Any]:
    known = {
        "corpus": "made",
        "speaker": f"s{number}",
        "split": "train",
        "audio": f"audio/{number}.wav",
        "language": "en",
    }
    phones = json.dumps([[0.1, 0.2, "AA"], [0.2, 0.3, "M"]])
    return clip_row(f"c{number}", **known, text="two words", phones=phones, licence="CC0") | change


def track(number: int, **change: Any) -> dict[str, Any]:
    return track_row(f"c{number}", weights(number), np.ones(50, bool), RIG.channels, "made") | change


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    """A corpus's folder of three clips with nothing wrong."""
    (tmp_path / "audio").mkdir()
    for k in range(3):
        soundfile.write(tmp_path / f"audio/{k}.wav", np.zeros(16_000), 16_000)
    corpora.write_table(str(tmp_path / "clips/p.parquet"), [clip(k) for k in range(3)], schema.CLIPS)
    corpora.write_table(str(tmp_path / "tracks/p.parquet"), [track(k) for k in range(3)], schema.TRACKS)
    return tmp_path


def test_a_corpus_without_a_fault(corpus: Path) -> None:
    clips, tracks = check.check(str(corpus))
    assert (clips.kind, clips.rows, clips.problems) == ("CLIPS", 3, [])
    assert (tracks.kind, tracks.rows, tracks.problems) == ("TRACKS", 3, [])
    assert clips.figures["files named"] == "3, 3 there"
    assert tracks.figures["frames with a face"] == "150 of 150"
    assert tracks.figures["rate"] == "50 fps 3"
    assert RIG.digest in tracks.figures["channels"]
    assert not any("as one" in note for note in tracks.notes)
    assert [sample.title[:2] for sample in tracks.samples] == ["c0", "c1", "c2"]
    assert tracks.samples[0].lines == ("two words",)
    strongest = tracks.samples[1].weights_C
    assert strongest is not None
    assert np.linalg.norm(strongest) == pytest.approx(np.linalg.norm(weights(1), axis=1).max())
    assert {chart.title for chart in tracks.histograms} >= {"seconds of a row", "weights of all known channels"}


def found(folder: Path, name: str, rows: list[dict[str, Any]], table: pa.Schema) -> Finding:
    corpora.write_table(str(folder / name / "p.parquet"), rows, table)
    return check.check(str(folder / name))[0]


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"clip_id": "c1"}, "clip_id 'c1' stands there 2 times"),
        ({"split": "training"}, "c2: split 'training' is none of train, val, test"),
        ({"start": -1.0}, "c2: start -1.0 is no time"),
        ({"start": 2.0, "end": 1.5}, "c2: end 1.5 s is not after start 2 s"),
        ({"licence": ""}, "1 rows do not name a licence: c2"),
        ({"audio": "audio/gone.wav"}, "audio/gone.wav"),
        ({"phones": "[[0.1, 0.2]]"}, "c2: phones are not JSON"),
        ({"phones": '[[0.1, 0.3, "AA"], [0.2, 0.4, "M"]]'}, "c2: phone M runs backward or over the one before it"),
        ({"action_units": '{"AU99": 1}'}, "c2: action_units: unknown action unit 'AU99'"),
    ],
)
def test_what_can_be_wrong_with_a_clip(corpus: Path, change: dict[str, Any], problem: str) -> None:
    finding = found(corpus, "clips", [clip(0), clip(1), clip(2) | change], schema.CLIPS)
    assert finding.count == 1
    assert problem in finding.problems[0]


def test_what_a_person_should_know_of_clips(corpus: Path) -> None:
    rows = [clip(0, speaker="s"), clip(1, speaker="s", split="test")]
    finding = found(corpus, "clips", rows, schema.CLIPS)
    assert finding.problems == []
    assert finding.notes == ["1 speakers stand in several splits, so that tests are of known voices: 's'"]


def spoiled(row: int, column: int, value: float) -> Any:
    changed = weights(2)
    changed[row, column] = value
    return changed


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"clip_id": "c1"}, "key 'c1' stands there 2 times"),
        ({"clip_id": "c9"}, "c9: no such clip in CLIPS"),
        ({"clip_id": None}, "row 3 has no clip_id"),
        ({"fps": 0.0}, "c2: fps 0.0"),
        ({"fps": 25.0}, "c2: 2.00 s of face for 1.00 s of sound"),
        ({"weights": spoiled(7, 3, 1.2)}, "c2: weight 1.2"),
        ({"weights": spoiled(7, 3, float("nan"))}, "c2: weight nan is outside 0..1"),
        ({"valid": np.ones(40, bool)}, "c2: 50 frames of weights but 40 of valid"),
        ({"valid": np.zeros(50, bool)}, "c2: no frame with a face"),
        ({"mask": []}, "c2: the mask names no channel"),
        ({"mask": ["jawOpen", "jawShut"]}, "c2: unknown channel of rig arkit52 'jawShut'"),
        ({"weights": weights(1)}, "the same face in 2 rows: c1, c2"),
    ],
)
def test_what_can_be_wrong_with_a_track(corpus: Path, change: dict[str, Any], problem: str) -> None:
    finding = found(corpus, "tracks", [track(0), track(1), track(2) | change], schema.TRACKS)
    assert finding.count == 1
    assert problem in finding.problems[0]


def test_frames_without_a_face_may_hold_anything(corpus: Path) -> None:
    valid = np.ones(50, bool)
    valid[7] = False
    finding = found(corpus, "tracks", [track(0), track(2, weights=spoiled(7, 3, 5.0), valid=valid)], schema.TRACKS)
    assert finding.problems == []
    assert finding.figures["frames with a face"] == "99 of 100"


def test_averaged_sides_and_dead_channels_are_noted(corpus: Path) -> None:
    rows = [track(k, weights=(weights(k) + RIG.mirror(weights(k))) / 2) for k in range(3)]
    finding = found(corpus, "tracks", rows, schema.TRACKS)
    assert any("left and right move as one" in note for note in finding.notes)
    mouth = RIG.regions["mouth"]
    still = [
        track(k, weights=np.tile(RIG.weights({"browInnerUp": 0.1 * k}), (50, 1)), mask=list(mouth)) for k in range(3)
    ]
    finding = found(corpus, "tracks", still, schema.TRACKS)
    assert any(f"{len(mouth)} of {len(mouth)} channels hardly move" in note for note in finding.notes)


def test_order_and_type_of_weights(corpus: Path) -> None:
    table = pq.read_table(corpus / "tracks/p.parquet")
    path = corpus / "tracks/p.parquet"
    pq.write_table(table.replace_schema_metadata(None), path)
    (finding,) = check.check(str(path))
    assert "p.parquet does not name the channels of its weights" in finding.problems
    pq.write_table(table.replace_schema_metadata({b"channels": json.dumps(RIG.channels[::-1]).encode()}), path)
    (finding,) = check.check(str(path))
    assert finding.problems == []
    assert "another order than arkit52's" in finding.notes[0]
    place = table.column_names.index("weights")
    loose = table.set_column(place, "weights", table["weights"].cast(pa.list_(pa.list_(pa.float64()))))
    pq.write_table(loose.drop_columns(["extractor"]), path)
    (finding,) = check.check(str(path))
    assert finding.problems[0].startswith("p.parquet: column weights is list<")
    assert "p.parquet lacks the column extractor" in finding.problems


def expression(name: str, **change: Any) -> dict[str, Any]:
    empty: dict[str, Any] = dict.fromkeys(schema.EXPRESSIONS.names, "")
    empty |= {"split": "train", "mask": list(RIG.channels), "texts": [("caption", name)], "emotions": []}
    face = weights(len(name))[10].tolist()
    return empty | {"id": name, "corpus": "made", "weights": face, "licence": "MIT"} | change


def test_expressions(corpus: Path) -> None:
    nothing = [float("nan")] * 52
    good = [expression("a"), expression("bb"), expression("ccc", weights=nothing)]
    finding = found(corpus, "expressions", good, schema.EXPRESSIONS)
    assert (finding.problems, finding.rows, finding.figures["with texts"]) == ([], 3, "3")
    bad = [
        expression("dddd", licence=""),
        expression("eeeee", action_units="{"),
        expression("f" * 6, weights=[1.5] * 52),
        expression("a"),
        expression("g" * 7, weights=nothing, texts=[]),
    ]
    finding = found(corpus, "expressions", good + bad, schema.EXPRESSIONS)
    text = "\n".join(finding.problems)
    for part in ("1 rows do not name a licence: dddd", "eeeee: action_units", "weight 1.5 is outside", "key 'a'",
                 "ggggggg: neither weights nor texts", "the same face in 2 rows: a, a"):  # fmt: skip
        assert part in text
    assert finding.count == 6


def animation(name: str, **change: Any) -> dict[str, Any]:
    return {
        "clip_id": name, "prompt": "glad", "intensity": 1.0, "fps": 50.0, "seconds": 1.0, "weights": weights(len(name)),
        "style": [0.6, 0.8], "files": [f"{name}.npz"], "request": "r", "wall_s": 0.1, "provenance": "{}",
    } | change  # fmt: skip


def test_animations(corpus: Path) -> None:
    for name in ("a", "bb"):
        (corpus / f"{name}.npz").touch()
    assert found(corpus, "animations", [animation("a"), animation("bb")], schema.ANIMATIONS).problems == []
    bad = [animation("ccc", seconds=3.0, files=[]), animation("a", style=[1.0, 1.0]), animation("dddd")]
    text = "\n".join(found(corpus, "animations", [animation("bb"), *bad], schema.ANIMATIONS).problems)
    assert "ccc: 1.00 s of face for 3.00 s of sound" in text
    assert "a: the style embedding has length 1.414, not 1" in text
    assert "dddd: no such file" in text


def test_records_as_lines_and_as_a_table(tmp_path: Path) -> None:
    seed = check.check(tead.seed_path())[0]
    assert (seed.kind, seed.rows, seed.problems, len(seed.samples)) == ("TEAD", len(tead.load()), [], 12)
    records = tead.load()[:4]
    rows = [
        {**vars(r), "id": f"x{k}-v1", "texts": list(r.texts.items()), "aus": list(r.aus.items()), "weights": [0.0] * 52,
         "backend": "openai", "licence": "CC0", "quality": 0.1 * k, "signature": b""}
        for k, r in enumerate(records)
    ]  # fmt: skip
    good = found(tmp_path, "tead", rows, schema.TEAD)
    assert good.problems == []
    assert good.figures["agreement"] == "0 to 0.3, median 0.15"
    rows[1]["aus"] = [("AU99", 0.5), ("AU12", 0.4)]
    rows[2]["licence"] = ""
    rows[3]["texts"] = rows[0]["texts"]
    bad = found(tmp_path, "tead", rows, schema.TEAD)
    text = "\n".join(bad.problems)
    assert "x1-v1: unknown action unit 'AU99'" in text
    assert "1 rows do not name a licence: x2-v1" in text
    assert "prompt used 2 times" in text
    assert len(bad.samples) == 4


def test_errors_are_told_by_reason(tmp_path: Path) -> None:
    rows = [{"clip_id": f"c{k}", "row": "{}", "error": "no such file" if k else "empty"} for k in range(3)]
    finding = found(tmp_path, "clips.errors", rows, schema.ERRORS)
    assert (finding.kind, finding.rows) == ("ERRORS", 3)
    assert finding.figures["reasons"] == "no such file 2, empty 1"


def test_broken_files_do_not_hide_the_others(corpus: Path) -> None:
    (corpus / "tracks/q.parquet").write_bytes(b"PAR1 no table")
    corpora.write_table(str(corpus / "tracks/r.parquet"), [clip(0)], schema.CLIPS)
    finding = check.check(str(corpus / "tracks"))[0]
    assert finding.rows == 3
    assert "q.parquet is not a readable table" in finding.problems[0]
    assert "r.parquet is no TRACKS" in finding.problems[1]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("gone", None, "no such file or folder"),
        ("a.wav", b"", r"unknown suffix of a table; valid: \.parquet, \.jsonl"),
        ("a.parquet", b"nothing", "is not a readable table"),
        ("a.jsonl", b'{"clip_id": "c"}\n', "its lines are no TEAD records"),
        ("a.jsonl", b"{oops\n", "its lines are no TEAD records"),
        ("a.jsonl", b"", "its lines are no TEAD records"),
    ],
)
def test_what_is_no_table_of_ours(tmp_path: Path, name: str, content: bytes | None, message: str) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(BadRequestError, match=message):
        check.check(str(tmp_path / name))


def test_folders_and_tables_without_ours(tmp_path: Path) -> None:
    with pytest.raises(BadRequestError, match="holds no table"):
        check.check(str(tmp_path))
    pq.write_table(pa.table({"x": [1]}), tmp_path / "t.parquet")
    with pytest.raises(BadRequestError, match="has the columns x, which are those of none of: CLIPS, TRACKS"):
        check.check(str(tmp_path))


def test_many_problems_are_counted_and_few_are_printed(corpus: Path) -> None:
    finding = Finding("p", "CLIPS")
    for k in range(1500):
        finding.wrong(f"problem {k}")
    assert (finding.count, len(finding.problems)) == (1500, 1000)
    text = check.readable(finding)
    assert "1500 problems" in text
    assert "problem 19" in text
    assert "problem 20\n" not in text
    assert text.endswith("... and 1480 more")


def test_tead_with_missing_cells_and_impossible_weights(tmp_path: Path) -> None:
    rows: list[dict[str, Any]] = [
        {**vars(r), "id": f"x{k}-v1", "texts": list(r.texts.items()), "aus": list(r.aus.items()), "weights": [0.0] * 52,
         "backend": "openai", "licence": "CC0", "quality": 0.3, "signature": b""}
        for k, r in enumerate(tead.load()[:4])
    ]  # fmt: skip
    rows[0]["texts"] = []
    rows[1]["id"] = None
    rows[2]["valence"] = None
    rows[3]["weights"] = [7.5] + [0.0] * 51
    rows.append(rows[3] | {"id": "x4-v1", "weights": RIG.weights({"tongueOut": 0.9}).tolist()})
    text = "\n".join(found(tmp_path, "tead", rows, schema.TEAD).problems)
    assert "x0-v1: texts are []" in text
    assert "row 2 is no record: it has no id" in text
    assert "row 3 is no record: it has no valence" in text
    assert "row 4 (x3-v1): weight 7.5 is outside 0..1" in text
    assert "row 5 (x4-v1): its weights show another face than its action units (cosine 0.00)" in text
    (tmp_path / "lines.jsonl").write_text(json.dumps(vars(tead.load()[0]) | {"id": 5}) + "\n", "utf-8")
    assert check.check(str(tmp_path / "lines.jsonl"))[0].problems == ["row 1 is no record: id is 5, no text"]


@pytest.mark.parametrize("kind", ["CLIPS", "TRACKS", "EXPRESSIONS", "TEAD", "ANIMATIONS"])
def test_a_table_without_rows_is_a_problem(tmp_path: Path, kind: str) -> None:
    pq.write_table(schema.TABLES[kind].empty_table(), tmp_path / "a.parquet")
    (finding,) = check.check(str(tmp_path))
    assert finding.problems == ["it has no row"]
