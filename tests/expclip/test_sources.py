"""What annotation reads: kinds of input are told from columns, weights go by name, bad rows keep their reason."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from expclip import corpora, schema, sources
from expclip.corpora.rows import clip_row, track_row
from expclip.errors import BadRequestError
from expclip.items import SourceOptions
from expclip.rig import load_rig

RIG = load_rig()
SMILE = {
    "mouthSmileLeft": 0.6,
    "mouthSmileRight": 0.6,
    "cheekSquintLeft": 0.4,
    "cheekSquintRight": 0.4,
    "jawOpen": 0.01,
}
FROWN = {"browDownLeft": 0.8, "browDownRight": 0.8, "mouthFrownLeft": 0.5, "mouthFrownRight": 0.5}


def track(clip_id: str, values: dict[str, float], mask: tuple[str, ...] = RIG.channels) -> dict[str, Any]:
    weights = np.concatenate([RIG.zeros(50), np.tile(RIG.weights(values), (50, 1))])
    return track_row(clip_id, weights, np.ones(100, bool), mask, "made")


def corpus(folder: Path) -> str:
    """A corpus's folder: a smile, a frown of the test split, a smile again by the mouth alone, a broken track."""
    broken = track("d", SMILE)
    broken["weights"] = broken["weights"].copy()
    broken["weights"][60, 3] = 1.5
    mouth = tuple(RIG.regions["mouth"])
    rows = [
        track("a", SMILE),
        track("b", FROWN),
        track("c", {"mouthPressLeft": 0.9, "mouthPressRight": 0.9, "jawOpen": 0.1}, mouth),
        broken,
    ]
    corpora.write_table(str(folder / "tracks/part-0.parquet"), rows, schema.TRACKS)
    clips = [
        clip_row(name, corpus="made", split=split, emotion=emotion, licence="CC0")
        for name, split, emotion in (("a", "train", "happy"), ("b", "test", ""), ("c", "train", ""), ("d", "train", ""))
    ]
    corpora.write_table(str(folder / "clips/part-0.parquet"), clips, schema.CLIPS)
    return str(folder)


def test_tracks_of_a_corpus_become_expressions(tmp_path: Path) -> None:
    found = sources.read(corpus(tmp_path))
    assert (found.kind, found.rows, found.other_splits) == ("TRACKS", 4, 1)
    smile, press = sorted(found.items, key=lambda item: item.key)
    assert smile.key.startswith("a-f000")
    assert smile.aus == {"AU12": 0.6, "AU6": 0.4}
    assert np.array(smile.weights) == pytest.approx(RIG.weights(SMILE), abs=1e-4)
    assert (smile.hints, smile.corpus, smile.licence) == (("labelled: happy",), "made", "CC0")
    assert smile.source.startswith("a at 1.")
    assert (smile.unseen, press.unseen) == ((), ("upper", "gaze"))
    assert [(bad.clip_id, bad.error) for bad in found.bad] == [("d", "weight 1.5 is outside 0..1")]
    assert json.loads(found.bad[0].row)["clip_id"] == "d"


def test_all_splits_or_another_one_may_be_asked_for(tmp_path: Path) -> None:
    folder = corpus(tmp_path)
    assert {i.key[0] for i in sources.read(folder, SourceOptions(split="")).items} == {"a", "b", "c"}
    assert {i.key[0] for i in sources.read(folder + "/tracks", SourceOptions(split="test")).items} == {"b"}


def test_weights_are_read_by_the_names_in_the_table(tmp_path: Path) -> None:
    """The same track with its channels in reverse, and one that does not say its order."""
    order = tuple(reversed(RIG.channels))
    row = track("a", SMILE)
    table = pa.Table.from_pylist([row | {"weights": [list(frame[::-1]) for frame in row["weights"]]}], schema.TRACKS)
    named = {b"channels": json.dumps(order).encode()}
    for name, metadata in (("turned", named), ("nameless", None)):
        (tmp_path / name).mkdir()
        pq.write_table(table.replace_schema_metadata(metadata), tmp_path / name / "t.parquet")
    assert sources.read(str(tmp_path / "turned")).items[0].aus == {"AU12": 0.6, "AU6": 0.4}
    with pytest.raises(BadRequestError, match="does not name the channels"):
        sources.read(str(tmp_path / "nameless"))


def test_expressions_alike_are_annotated_once(tmp_path: Path) -> None:
    rows = [track(f"c{k}", {name: value * (1 - k / 50) for name, value in SMILE.items()}) for k in range(5)]
    corpora.write_table(str(tmp_path / "t.parquet"), rows, schema.TRACKS)
    found = sources.read(str(tmp_path / "t.parquet"))
    assert ([item.key[:2] for item in found.items], found.alike) == (["c0"], 4)


def expression(name: str, **values: Any) -> dict[str, Any]:
    empty: dict[str, Any] = dict.fromkeys(schema.EXPRESSIONS.names, "")
    empty |= {"split": "train", "mask": list(RIG.channels), "texts": [], "emotions": []}
    return empty | {"id": name, "corpus": "made", "weights": RIG.weights(SMILE).tolist(), "licence": "MIT"} | values


def test_expressions_with_units_texts_or_neither(tmp_path: Path) -> None:
    units = json.dumps({"AU4": 0.8, "AU15": 0.43})
    rows = [
        expression("plain", emotion="joy", texts=[("caption", "a woman beams")]),
        expression("coded", weights=RIG.weights(FROWN).tolist(), action_units=units, source="img/1.png"),
        expression(
            "words",
            weights=[float("nan")] * 52,
            texts=[("prompt", "Say it with a lump in the throat."), ("other", "gloomy")],
        ),
        expression("still", weights=[0.0] * 52),
        expression("wrong", weights=RIG.weights({"jawOpen": 0.9}).tolist(), action_units="{AU4: 1}"),
        expression("nan", weights=[float("nan"), *[0.5] * 51]),
        expression("held", split="test"),
    ]
    corpora.write_table(str(tmp_path / "expressions/p.parquet"), rows, schema.EXPRESSIONS)
    found = sources.read(str(tmp_path))
    items = {item.key: item for item in found.items}
    assert set(items) == {"plain", "coded", "words-0", "words-1"}
    assert items["plain"].hints == ("labelled: joy", "caption: a woman beams")
    assert items["coded"].aus == {"AU4": 0.8, "AU15": 0.45}
    assert items["coded"].source == "img/1.png"
    assert items["words-0"].texts == {"prompt": "Say it with a lump in the throat."}
    assert items["words-1"].texts == {"tag": "gloomy"}
    assert (items["words-0"].direction, items["plain"].direction) == ("text", "expression")
    assert items["words-0"].licence == "MIT"
    errors = {bad.clip_id: bad.error for bad in found.bad}
    assert "is not JSON of {AU: intensity}" in errors["wrong"]
    assert errors["nan"] == "weight nan is outside 0..1"
    assert (found.rows, found.other_splits) == (7, 1)


LINES = [
    "barely holding back tears",
    "smug",
    "  ",
    "Smug",
    "x " * 40,
    "Die Augen und der Mund sind nicht mit ihm.",
    "Lids low, lip corners pressed down hard today.",
]


@pytest.mark.parametrize("suffix", ["txt", "csv", "jsonl", "parquet"])
def test_texts_come_from_four_kinds_of_file(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"texts.{suffix}"
    rows = [{"text": line} for line in LINES]
    if suffix == "txt":
        path.write_text("\n".join(LINES))
    elif suffix == "csv":
        path.write_text("text\n" + "\n".join(f'"{line}"' for line in LINES) + "\n")
    elif suffix == "jsonl":
        path.write_text("\n".join(map(json.dumps, rows)))
    else:
        pq.write_table(pa.Table.from_pylist(rows), path)
    found = sources.read(str(path), SourceOptions(licence="CC0"))
    assert [dict(item.texts) for item in found.items] == [
        {"prompt": LINES[0]}, {"tag": "smug"}, {"description": LINES[-1]}
    ]  # fmt: skip
    assert {item.licence for item in found.items} == {"CC0"}
    reasons = " / ".join(bad.error for bad in found.bad)
    assert "the same text as in row 2" in reasons
    assert "situation has 40 words" in reasons
    assert "does not look like English" in reasons
    assert ("the prompt is empty" in reasons) == (suffix != "txt")


def test_rows_may_say_id_kind_label_and_licence(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text(
        "id,text,kind,emotion,licence\n"
        "a1,The bus is late and the rain has found her collar.,situation,annoyed,MIT\n"
        "a1,smug,,,\n"
        "bad id,proud,,,\n"
        "c,meek,poem,,\n"
        "d,meek,tag,,,mild\n"
    )
    found = sources.read(str(path))
    (item,) = found.items
    assert (item.key, item.hints, item.licence, list(item.texts)) == (
        "a1",
        ("labelled: annoyed",),
        "MIT",
        ["situation"],
    )
    assert [bad.error.split(";")[0] for bad in sorted(found.bad, key=lambda bad: bad.clip_id)] == [
        "'a1' stands in the input twice",
        "'bad id' is not made of 1 to 120 of: letters, digits, '.', '_', '-'",
        "unknown kind of text 'poem'",
        "more cells than columns: ['mild'] (quote texts that hold commas)",
    ]


def refused(path: Path, match: str, **options: Any) -> None:
    with pytest.raises(BadRequestError, match=match):
        sources.read(str(path), SourceOptions(**options))


def test_inputs_that_cannot_be_annotated_are_refused(tmp_path: Path) -> None:
    refused(tmp_path / "gone", "no such file or folder")
    refused(tmp_path, r"holds no \.parquet file")
    (tmp_path / "a.wav").write_bytes(b"")
    refused(tmp_path / "a.wav", r"unknown suffix of an input; valid: \.txt")
    (tmp_path / "a.txt").write_text("\n \n")
    refused(tmp_path / "a.txt", "no text in it")
    (tmp_path / "b.txt").write_bytes(b"caf\xe9")
    refused(tmp_path / "b.txt", "is not text in UTF-8: unexpected end of data at byte 3")
    (tmp_path / "a.csv").write_text("words,id\nsmug,1\n")
    refused(tmp_path / "a.csv", "no column 'text'; it has: words, id")
    refused(tmp_path / "a.csv", "unknown kind of text 'poem'; valid: tag", kind="poem")
    (tmp_path / "a.parquet").write_bytes(b"no table")
    refused(tmp_path / "a.parquet", "is not a readable table")
    corpora.write_table(str(tmp_path / "c/clips/p.parquet"), [clip_row("a")], schema.CLIPS)
    refused(tmp_path / "c/clips", "a table CLIPS; annotate takes TRACKS, EXPRESSIONS, or texts")
    corpora.write_table(str(tmp_path / "c/tracks/p.parquet"), [track("a", SMILE)], schema.TRACKS)
    corpora.write_table(str(tmp_path / "c/expressions/p.parquet"), [expression("a")], schema.EXPRESSIONS)
    refused(tmp_path / "c", "holds tracks and expressions; name one")
