"""Prompts to evaluate with: the groups, and that what ships was not trained on."""

from expclip import asks, tead
from expclip.evaluator import EMOTIONS


def test_groups_have_their_prompts_and_emotions() -> None:
    records = tead.load(split="test")
    groups = asks.groups(records, most=20, seed=3)
    assert list(groups) == ["category words", *(f"tead {kind}" for kind in tead.KINDS), "open vocabulary"]
    assert [ask.text for ask in groups["category words"]] == list(EMOTIONS)
    prompts = groups["tead prompt"]
    assert len(prompts) == 20
    assert all(ask.record and ask.record.texts["prompt"] == ask.text for ask in prompts)
    assert [a.record for a in prompts] == [a.record for a in groups["tead tag"]]
    assert [a.text for a in asks.groups(records, most=20, seed=3)["tead tag"]] == [a.text for a in groups["tead tag"]]
    assert len(asks.groups(records)["tead tag"]) == len(records)


def test_what_ships_is_in_no_text_of_the_train_split() -> None:
    known = {text.lower().strip(".!") for r in tead.load(split="train") for text in r.texts.values()}
    paraphrases = asks.listed("paraphrases")
    assert list(paraphrases) == list(EMOTIONS)
    assert all(len(set(texts)) == 20 for texts in paraphrases.values())
    opened = asks.listed("open_vocabulary")
    assert set(opened) == set(EMOTIONS) - {"neutral"}
    told = [text for texts in (*paraphrases.values(), *opened.values()) for text in texts]
    told += asks.STRONG.values()
    assert {text for text in told if text.lower().strip(".!") in known} == set()
