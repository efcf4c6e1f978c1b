"""TEAD: golden counts of the set that ships, its checks, and a split that never moves."""

import dataclasses
import json

import pytest

from expclip import corpora, schema, tead
from expclip.errors import BadRequestError

GOOD = tead.Record(
    id="A-0001",
    emotion="calm joy",
    category="happiness",
    valence=0.5,
    arousal=0.1,
    texts={
        "tag": "calm joy",
        "prompt": "Say it as if the sun were out.",
        "situation": "The train is on time and the seat by the window is free.",
        "description": "Lip corners up a little, cheeks lifted.",
    },
    aus={"AU12": 0.4, "AU6L": 0.2},
)

FIRST_OF_TEST = ["A-0004", "A-0019", "A-0021", "A-0029", "A-0031"]
"""Golden: a split that moved would leak what earlier checkpoints were trained on."""


def original() -> list[tead.Record]:
    return [record for record in tead.load() if record.id[0] in tead.EVALUATED_FILES]


def test_golden_statistics_of_files_a_to_g() -> None:
    found = tead.statistics(original())
    assert found["records"] == 2120
    assert found["texts"] == 8480
    assert found["files"] == {"A": 300, "B": 300, "C": 300, "D": 300, "E": 320, "F": 300, "G": 300}
    assert found["categories"]["mixed"] == 470
    assert found["one_sided"] == 489
    assert sum(found["units"].values()) == 10272
    assert len(found["units"]) == 34
    assert found["splits"] == {"train": 1688, "val": 147, "test": 285}


def test_everything_that_ships_is_valid() -> None:
    assert tead.validate(tead.load()) == []


def test_split_depends_on_the_id_alone_and_later_files_are_for_training() -> None:
    assert [r.id for r in tead.load(split="test")][:5] == FIRST_OF_TEST
    assert {tead.split_of(f"H-{k:04d}") for k in range(1, 400)} == {"train"}


def test_splits_share_no_record_and_no_text() -> None:
    texts = {s: {t.lower() for r in tead.load(split=s) for t in r.texts.values()} for s in tead.SPLITS}
    assert not texts["train"] & texts["test"]
    assert not texts["train"] & texts["val"]
    assert not texts["val"] & texts["test"]
    assert sum(len(tead.load(split=s)) for s in tead.SPLITS) == len(tead.load())


def test_ladders_are_never_cut() -> None:
    for first in range(121, 221, 4):
        assert len({tead.split_of(f"E-{k:04d}") for k in range(first, first + 4)}) == 1


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"aus": {"AU12": 0.4, "AU99": 0.2}}, "unknown action unit 'AU99'"),
        ({"aus": {"AU12": 0.4, "AU6": 1.2}}, "intensity 1.2 of AU6"),
        ({"aus": {"AU12": 0.4, "AU6": 0.33}}, "not a step of 0.05"),
        ({"aus": {"AU12": 0.4, "AU30": 0.2}}, "AU30 has no side"),
        ({"aus": {"AU12": 0.4, "AU61L": 0.2}}, "gaze unit AU61L has a side"),
        ({"aus": {"AU12": 0.4, "AU12L": 0.2}}, "with and without a side"),
        ({"aus": {"AU5": 0.4, "AU43": 0.4}}, "AU5, AU43"),
        ({"aus": {"AU26": 0.1, "AU27R": 0.1}}, "AU26, AU27"),
        ({"aus": {"AU24": 0.4, "AU26": 0.4}}, "AU24, AU26"),
        ({"aus": {"AU12": 0.6, "AU15": 0.6}}, "AU12, AU15"),
        ({"aus": {"AU12": 0.6}}, "1 action units"),
        ({"category": "rage"}, "unknown category 'rage'"),
        ({"valence": -1.5}, "valence -1.5"),
        ({"id": "A-1"}, "id is not"),
        ({"texts": {**GOOD.texts, "tag": "a b c d e f"}}, "tag has 6 words"),
        ({"texts": {**GOOD.texts, "situation": "She feels her eyelids grow heavy on the bus."}}, "'eyelids'"),
        ({"texts": {**GOOD.texts, "description": "Some AU12 and lifted cheeks."}}, "by number"),
        ({"texts": {"tag": "calm"}}, "texts are"),
    ],
)
def test_each_rule_is_checked(change: dict[str, object], problem: str) -> None:
    assert tead.validate([GOOD]) == []
    found = tead.validate([dataclasses.replace(GOOD, **change)])  # type: ignore[arg-type]
    assert any(problem in line for line in found), found


def test_generated_records_have_ids_of_their_own_and_serve_training() -> None:
    for name in ("c1-f00042-v1", "A-0004-v2", "text-0a1b2c3d4e5f-v10", "F-v1"):
        assert tead.split_of(name) == "train"
        assert tead.validate([dataclasses.replace(GOOD, id=name)]) == []
    for name in ("", "v1", "-v1", "a b-v1", "AB-0001", "c1-f00042"):
        assert tead.validate([dataclasses.replace(GOOD, id=name)])
        assert tead.split_of(name) == "train"


def test_generated_records_may_share_tags_but_nothing_else() -> None:
    first = dataclasses.replace(GOOD, id="a-v1")
    texts = {kind: f"{text} Twice." for kind, text in GOOD.texts.items()} | {"tag": "calm joy"}
    assert tead.validate([first, dataclasses.replace(first, id="b-v1", texts=texts)]) == []
    texts["prompt"] = GOOD.texts["prompt"].upper()
    assert "prompt used 2 times" in tead.validate([first, dataclasses.replace(first, id="b-v1", texts=texts)])[0]


@pytest.mark.parametrize(
    ("aus", "expected"),
    [
        ({"AU12": 0.337, "AU6": 0.02}, {"AU12": 0.35}),
        ({"AU5": 0.5, "AU43": 0.45}, {"AU5": 0.5}),
        ({"AU5": 0.25, "AU43": 0.45}, {"AU43": 0.45, "AU5": 0.25}),
        ({"AU26L": 0.2, "AU27": 0.6}, {"AU27": 0.6}),
        ({"AU24": 0.4, "AU26": 0.5}, {"AU26": 0.5}),
        ({"AU63L": 0.3, "AU63R": 0.5, "AU30": 0.4, "AU45": 0.9}, {"AU63": 0.5}),
        ({f"AU{k}": 0.1 + k / 100 for k in (1, 2, 4, 6, 7, 9, 10, 12, 14, 17, 18)}, 9),
    ],
)
def test_measured_units_are_brought_to_what_a_record_holds(aus: dict[str, float], expected: object) -> None:
    found = tead.reconciled(aus)
    assert (len(found) if isinstance(expected, int) else found) == expected
    assert list(found.values()) == sorted(found.values(), reverse=True)
    assert not list(tead.unit_problems(found, "neutral"))


def test_a_table_is_read_as_lines_are(tmp_path) -> None:  # type: ignore[no-untyped-def]
    records = tead.load()[:5]
    rows = [{**vars(r), "texts": list(r.texts.items()), "aus": list(r.aus.items())} for r in records]
    corpora.write_table(str(tmp_path / "p.parquet"), rows, schema.TEAD)
    assert tead.load(str(tmp_path)) == records
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "p.parquet").write_bytes(b"no table")
    with pytest.raises(BadRequestError, match="is not a readable table"):
        tead.load(str(tmp_path / "bad"))


def test_repeats_are_found_across_records() -> None:
    found = tead.validate([GOOD, dataclasses.replace(GOOD, id="A-0002")])
    assert len(found) == 4
    assert "tag used 2 times: 'calm joy'" in found


def test_load_names_what_is_wrong(tmp_path) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(BadRequestError, match=r"holds no \.jsonl"):
        tead.load(str(tmp_path))
    (tmp_path / "A.jsonl").write_text("{oops\n")
    with pytest.raises(BadRequestError, match="A.jsonl:1 is not JSON"):
        tead.load(str(tmp_path))
    (tmp_path / "A.jsonl").write_text(json.dumps({"id": "A-0001"}) + "\n")
    with pytest.raises(BadRequestError, match="is no TEAD record"):
        tead.load(str(tmp_path))


def test_digest_changes_with_content() -> None:
    assert tead.digest([GOOD]) == tead.digest([dataclasses.replace(GOOD)])
    assert tead.digest([GOOD]) != tead.digest([dataclasses.replace(GOOD, valence=0.6)])
