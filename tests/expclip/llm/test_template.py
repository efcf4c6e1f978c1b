"""The backend without a model: good answers in both directions, the same ones every time."""

import dataclasses

import numpy as np
import pytest

from expclip import action_units, annotate, answers, llm, tead
from expclip.items import Item, SourceOptions, text_item
from expclip.llm import Settings
from expclip.llm.cache import Cache
from expclip.rig import load_rig

BACKEND = llm.load("template", Settings(), Cache())


def item(record: tead.Record, **change: object) -> Item:
    weights = tuple(action_units.to_weights(record.aus).tolist())
    return dataclasses.replace(Item(f"x.{record.id}", dict(record.aus), weights), **change)  # type: ignore[arg-type]


def written(items: list[Item]) -> list[tead.Record]:
    requests = [annotate.build(one) for one in items]
    replies = list(BACKEND.complete(requests))
    assert [answers.fault(q, reply) for q, reply in zip(requests, replies, strict=True)] == [""] * len(items)
    return [answers.parse(one, reply) for one, reply in zip(items, replies, strict=True)]


def test_every_expression_gets_texts_that_a_record_may_hold() -> None:
    items = [item(record) for record in tead.load(split="test")[::5]]
    records = written(items)
    assert [record.aus for record in records] == [one.aus for one in items]
    assert len({record.texts["description"] for record in records}) == len(records)
    assert written(items) == records


def test_feelings_come_out_as_those_of_like_faces() -> None:
    glad, cross = (
        tead.reconciled({"AU12": 0.8, "AU6": 0.7, "AU25": 0.5}),
        tead.reconciled({"AU4": 0.8, "AU23": 0.6, "AU7": 0.5}),
    )
    records = written(
        [Item(name, aus, tuple(action_units.to_weights(aus).tolist())) for name, aus in (("g", glad), ("c", cross))]
    )
    assert [record.category for record in records] == ["happiness", "anger"]
    assert records[0].valence > 0.3 > -0.3 > records[1].valence


def test_variants_differ() -> None:
    one = item(tead.load(split="test")[0])
    replies = list(BACKEND.complete([annotate.build(one, variant) for variant in range(1, 6)]))
    assert len({reply.text for reply in replies}) == 5


def test_nothing_is_said_of_what_was_not_measured() -> None:
    """A smile seen by the mouth alone: no text may claim still brows."""
    aus = {"AU12": 0.5, "AU25": 0.3}
    one = Item("m", aus, tuple(action_units.to_weights(aus).tolist()), unseen=("upper", "gaze"))
    for variant in range(1, 40):
        reply = next(BACKEND.complete([annotate.build(one, variant)]))
        text = answers.parse(one, reply, variant).texts["description"].lower()
        assert not any(word in text for word in ("brow", "forehead", "rest of the face", "everything else"))


def test_faces_that_show_much_are_told_in_few_enough_words() -> None:
    codes = ("AU1L", "AU2R", "AU4", "AU6L", "AU9", "AU10", "AU16", "AU20", "AU26")
    aus = {code: 0.9 - 0.05 * k for k, code in enumerate(codes)}
    one = Item("m", aus, tuple(action_units.to_weights(aus).tolist()))
    requests = [annotate.build(one, variant) for variant in range(1, 60)]
    faults = [
        answers.fault(request, reply) for request, reply in zip(requests, BACKEND.complete(requests), strict=True)
    ]
    assert set(faults) == {""}


@pytest.mark.model
def test_a_text_gets_the_expression_that_expclip_reads_in_it() -> None:
    texts = ["beaming with joy", "she is furious and about to shout", "The corners of the mouth sink, chin pushed up."]
    items = [text_item(f"t{k}", text, "", SourceOptions()) for k, text in enumerate(texts)]
    records = written(items)
    assert [next(iter(one.texts)) for one in items] == ["tag", "prompt", "description"]
    weights = np.stack([action_units.to_weights(record.aus) for record in records])
    rig = load_rig()
    assert weights[0, rig.index("mouthSmileLeft")] > 0.3
    assert weights[1, rig.index("browDownLeft")] > 0.3
    assert weights[2, rig.index("mouthFrownLeft")] > 0.2
    assert records[1].texts["prompt"] == texts[1]
