"""Phrases: every unit has words, words follow the expression, mirroring is exact."""

import numpy as np
import pytest

from expclip import action_units, phrases, tead


def test_every_unit_of_the_data_has_words_and_no_slot_stays_open() -> None:
    random = np.random.default_rng(0)
    for record in tead.load()[::7]:
        for write in (phrases.describe, phrases.command):
            text = write(record.aus, random)
            assert "{" not in text
            assert text.strip() == text
    known = {unit for r in tead.load() for unit in (phrases.split_code(code)[0] for code in r.aus)}
    assert known <= set(phrases.lexicon().units)
    for unit in phrases.lexicon().units:
        action_units.parse(unit)


@pytest.mark.parametrize(
    ("expression", "words"),
    [
        ({"AU12L": 0.5}, ("left",)),
        ({"AU2R": 0.9}, ("right",)),
        ({"AU62": 0.5}, ("right",)),
        ({"AU30L": 0.4}, ("jaw", "left")),
        ({"AU43": 1.0}, ("eye",)),
    ],
)
def test_descriptions_name_part_and_side(expression: dict[str, float], words: tuple[str, ...]) -> None:
    random = np.random.default_rng(1)
    for _ in range(20):
        text = phrases.describe(expression, random).lower()
        assert all(word in text for word in words), text


def test_degree_words_follow_the_intensity() -> None:
    random = np.random.default_rng(2)
    weak = {phrases.describe({"AU17": 0.1}, random) for _ in range(60)}
    strong = {phrases.describe({"AU17": 1.0}, random) for _ in range(60)}
    assert not {w for t in weak for w in t.split() if w in ("violently", "extremely")}
    assert any("violently" in t or "maximum" in t for t in strong)


def test_same_seed_same_words() -> None:
    texts = [phrases.describe({"AU1": 0.5, "AU4": 0.5}, np.random.default_rng(5)) for _ in range(2)]
    assert texts[0] == texts[1]


def test_mirroring_twice_changes_nothing() -> None:
    expression = {"AU12L": 0.5, "AU61": 0.2, "AU4": 0.1}
    assert phrases.mirrored(expression) == {"AU12R": 0.5, "AU62": 0.2, "AU4": 0.1}
    assert phrases.mirrored(phrases.mirrored(expression)) == expression
    text = "The left brow up, gaze to her own right."
    assert phrases.mirrored_text(text) == "The right brow up, gaze to her own left."
    assert phrases.mirrored_text(phrases.mirrored_text(text)) == text


def test_plural_of_parts() -> None:
    assert phrases.plural("inner end of the brow") == "inner ends of the brows"
    assert phrases.plural("corner of the mouth") == "corners of the mouth"
    assert phrases.plural("upper lip") == "upper lip"
    assert phrases.plural("brow at its inner end") == "brows at the inner ends"
