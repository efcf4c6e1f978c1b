"""Requests: what a model is told, which examples it sees, what decides that two requests are one."""

import dataclasses
import json

from expclip import annotate, llm, tead
from expclip.items import Item
from expclip.llm import Reply, Settings

FACE = Item("c1-f00042", {"AU12L": 0.4, "AU6": 0.2}, (0.4,), hints=("labelled: happy",), unseen=("upper",))
TEXT = Item("t1", texts={"prompt": "barely holding back tears"})


def test_an_expression_is_put_with_words_sides_and_what_is_not_known() -> None:
    asked = annotate.question(FACE)
    assert "- AU12L 0.4: marked lip corner puller (own left)" in asked
    assert "- AU6 0.2: slight cheek raiser" in asked
    assert "Not measured: brows, lids, cheeks and nose" in asked
    assert "labelled: happy" in asked
    assert annotate.wanted(FACE) == ("emotion", "category", "valence", "arousal", *tead.KINDS)


def test_a_text_asks_for_units_and_the_other_texts() -> None:
    assert "prompt: barely holding back tears" in annotate.question(TEXT)
    assert annotate.wanted(TEXT)[4:] == ("action_units", "tag", "situation", "description")


def test_texts_that_are_there_are_not_asked_for() -> None:
    face = dataclasses.replace(FACE, texts={"tag": "smug"})
    assert "tag" not in annotate.wanted(face)
    assert "tag: smug" in annotate.question(face)


def test_every_field_that_is_asked_for_is_in_instructions_schema_and_examples() -> None:
    for item in (FACE, TEXT):
        request = annotate.build(item, examples=4)
        fields = list(annotate.wanted(item))
        assert ", ".join(fields) in request.messages[0]["content"]
        assert request.schema["required"] == list(request.schema["properties"]) == fields
        assert request.schema["additionalProperties"] is False
        assert [m["role"] for m in request.messages] == ["system", *["user", "assistant"] * 4, "user"]
        for message in request.messages[2:-1:2]:
            assert list(json.loads(message["content"])) == fields


def test_examples_come_from_the_train_split_alone_and_differ_in_category() -> None:
    held = {text for split in ("val", "test") for record in tead.load(split=split) for text in record.texts.values()}
    for number in range(60):
        shown = annotate.shown_examples(dataclasses.replace(TEXT, key=f"t{number}"), 1, 9, 0)
        assert len({record.category for record in shown}) == 9
        assert all(record.split == "train" for record in shown)
        assert not held & {text for record in shown for text in record.texts.values()}


def test_many_items_share_few_sets_of_examples() -> None:
    begins = {
        tuple(message["content"] for message in annotate.build(dataclasses.replace(FACE, key=f"f{k}")).messages[:-1])
        for k in range(300)
    }
    assert len(begins) == annotate.SETS


def test_requests_are_the_same_where_and_only_where_their_content_is() -> None:
    settings = Settings(model="m", url="http://one/v1", in_flight=3)
    key = llm.request_key(settings, annotate.build(FACE))
    assert key == llm.request_key(Settings(model="m", url="http://two/v1"), annotate.build(FACE))
    others = [
        llm.request_key(settings, annotate.build(FACE, 2)),
        llm.request_key(settings, annotate.build(FACE, seed=1)),
        llm.request_key(settings, annotate.build(dataclasses.replace(FACE, hints=()))),
        llm.request_key(dataclasses.replace(settings, model="n"), annotate.build(FACE)),
        llm.request_key(dataclasses.replace(settings, body={"top_p": 0.5}), annotate.build(FACE)),
    ]
    assert len({key, *others}) == 6


def test_asking_again_shows_the_answer_and_the_problem() -> None:
    request = annotate.build(TEXT)
    follow = annotate.again(request, Reply("{}"), "field 'tag' is missing")
    assert follow.attempt == 2
    assert follow.messages[: len(request.messages)] == request.messages
    assert follow.messages[-2] == {"role": "assistant", "content": "{}"}
    assert "field 'tag' is missing" in follow.messages[-1]["content"]


def test_units_may_have_the_sides_that_records_may() -> None:
    codes = annotate.answer_schema(TEXT)["properties"]["action_units"]["items"]["properties"]["unit"]["enum"]
    assert {"AU12", "AU12L", "AU12R", "AU30L", "AU61"} <= set(codes)
    assert not {"AU30", "AU61L", "AU8", "AU45"} & set(codes)
