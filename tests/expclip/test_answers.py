"""Answers: what becomes a record, and every reason why one does not."""

import json
from typing import Any

import pytest

from expclip import annotate, answers, tead
from expclip.errors import BadRequestError
from expclip.items import Item
from expclip.llm import Reply
from expclip.schema import TEAD

FACE = Item(
    "c1-f00042", {"AU12": 0.4, "AU6": 0.2}, (0.25,) * 52, corpus="grid", source="c1 at 0.84 s", licence="CC BY 4.0"
)
TEXT = Item("t1", texts={"prompt": "Say it as if the sun were out."})
GOOD: dict[str, Any] = {
    "emotion": "calm joy",
    "category": "happiness",
    "valence": 0.5,
    "arousal": 0,
    "tag": "calm joy",
    "prompt": "Say it as if the sun were out.",
    "situation": "The train is on time and the seat by the window is free.",
    "description": "Lip corners up a little, cheeks lifted.",
    "action_units": [
        {"unit": "AU12", "intensity": 0.42},
        {"unit": "AU6L", "intensity": 0.3},
        {"unit": "AU1", "intensity": 0.01},
    ],
}


def fault(item: Item, **change: Any) -> str:
    content = {name: value for name, value in (GOOD | change).items() if value is not None}
    return answers.fault(annotate.build(item), Reply(json.dumps(content)))


def test_a_good_answer_becomes_a_record_of_what_was_given_and_asked() -> None:
    record = answers.parse(FACE, Reply(json.dumps(GOOD)), 2)
    assert (record.id, record.split, record.aus) == ("c1-f00042-v2", "train", {"AU12": 0.4, "AU6": 0.2})
    assert record.texts == {kind: GOOD[kind] for kind in tead.KINDS}
    other = answers.parse(TEXT, Reply(json.dumps(GOOD)))
    assert other.aus == {"AU12": 0.4, "AU6L": 0.3}
    assert (fault(FACE), fault(TEXT)) == ("", "")


@pytest.mark.parametrize(
    "around", ["```json\n{}\n```", "<think>{{so}}: {{a smile}}</think>\n{}", "Here you are: {} I hope it helps."]
)
def test_words_around_the_object_do_not_matter(around: str) -> None:
    text = around.replace("{{", "{").replace("}}", "}").replace("{}", json.dumps(GOOD))
    assert answers.parse(FACE, Reply(text)).emotion == "calm joy"


@pytest.mark.parametrize(
    ("item", "change", "problem"),
    [
        (FACE, {"tag": None}, "field 'tag' is missing"),
        (FACE, {"tag": ""}, "field 'tag' is no text"),
        (FACE, {"tag": 3}, "field 'tag' is no text"),
        (FACE, {"valence": "high"}, "field 'valence' is no number"),
        (FACE, {"valence": True}, "field 'valence' is no number"),
        (FACE, {"arousal": 1.5}, "arousal 1.5 is outside -1..1"),
        (FACE, {"category": "rage"}, "unknown category 'rage'"),
        (FACE, {"tag": "one two three four five six"}, "tag has 6 words"),
        (FACE, {"situation": "She feels her eyelids grow heavy on the bus."}, "names a part of the face"),
        (FACE, {"description": "AU12 with lifted cheeks and lids."}, "description names action units by number"),
        (FACE, {"prompt": "Sprich, als ob die Sonne nicht mit dem Mond wäre."}, "does not look like English"),
        (FACE, {"situation": "Поезд пришёл вовремя, и место у окна свободно."}, "not written in Latin letters"),
        (FACE, {"prompt": GOOD["situation"]}, "says the same as another text"),
        (TEXT, {"action_units": "smile"}, "'action_units' is no list"),
        (TEXT, {"action_units": ["AU12"]}, "is not an object"),
        (TEXT, {"action_units": [{"unit": "AU12"}]}, "field 'intensity' is no number"),
        (TEXT, {"action_units": [{"unit": "AU99", "intensity": 0.5}]}, "unknown action unit 'AU99'"),
        (TEXT, {"action_units": [{"unit": "AU12", "intensity": 7}]}, "intensity 7.0 of AU12"),
        (TEXT, {"action_units": []}, "0 action units"),
        (
            TEXT,
            {"action_units": [{"unit": "AU5", "intensity": 0.5}, {"unit": "AU43", "intensity": 0.5}]},
            "lids raised and drooping",
        ),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said(item: Item, change: dict[str, Any], problem: str) -> None:
    assert problem in fault(item, **change)


@pytest.mark.parametrize(("text", "cut"), [("no braces", False), ('{"emotion": "calm', True), ("[1, 2]", False)])
def test_what_is_no_object_is_said(text: str, cut: bool) -> None:
    found = answers.fault(annotate.build(FACE), Reply(text, cut=cut))
    assert "is not a JSON object" in found
    assert ("cut off" in found) == cut


def test_examples_may_not_come_back() -> None:
    shown = annotate.shown_examples(FACE, 1, 3, 0)[0]
    assert "situation repeats an example" in fault(FACE, situation=shown.texts["situation"].upper())
    held = tead.load(split="test")[0]
    assert "prompt repeats an example" in fault(FACE, prompt=held.texts["prompt"])


def test_revision_ends_with_the_attempts() -> None:
    bad = Reply("no JSON")
    first = annotate.build(FACE)
    second = answers.revise(first, bad, attempts=2)
    assert second is not None
    assert second.attempt == 2
    assert answers.revise(second, bad, attempts=2) is None
    assert answers.revise(first, Reply(json.dumps(GOOD)), attempts=2) is None


def test_the_row_of_the_table_has_every_column_but_the_reviews() -> None:
    record = answers.parse(FACE, Reply(json.dumps(GOOD)))
    row = answers.table_row(FACE, record, backend="openai", model="m")
    assert set(TEAD.names) - set(row) == {"quality", "signature"}
    assert (row["direction"], row["corpus"], row["licence"]) == ("expression", "grid", "CC BY 4.0")
    assert row["weights"] == [0.25] * 52
    other = answers.table_row(TEXT, answers.parse(TEXT, Reply(json.dumps(GOOD))), backend="openai", model="m")
    assert other["direction"] == "text"
    assert max(other["weights"]) == pytest.approx(0.4)


def test_a_bad_item_is_no_answer() -> None:
    with pytest.raises(BadRequestError, match="missing"):
        answers.parse(TEXT, Reply("{}"))
