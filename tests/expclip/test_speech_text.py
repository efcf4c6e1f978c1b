"""The grammar of spoken lines: seeded, varied, closed, and split by its words."""

import re
from collections import Counter

from expclip import speech_text
from expclip.speech_text import sentence, split


def test_lines_are_seeded_and_varied() -> None:
    lines = [sentence([0, k]) for k in range(1000)]
    assert lines == [sentence([0, k]) for k in range(1000)]
    assert len(set(lines)) > 800
    assert {line[-1] for line in lines} == {".", "!", "?"}


def test_lines_are_short_and_long_and_rich_in_lip_closures() -> None:
    words = [re.findall(r"[A-Za-z']+", sentence([1, k])) for k in range(500)]
    counts = sorted(map(len, words))
    assert counts[25] <= 4
    assert counts[-25] >= 18
    assert counts[-1] <= 60
    closing = sum(bool(re.search("[pbm]", word.lower())) for line in words for word in line)
    assert closing > 0.3 * sum(counts)


def test_every_slot_is_filled_by_the_grammar() -> None:
    grammar = speech_text.grammar()
    used = {slot for choices in grammar.values() for text in choices for slot in re.findall(r"\{(\w+)\}", text)}
    assert used == set(grammar) - {"line"}
    for choices in grammar.values():
        for text in choices:
            assert text == text.strip()
            assert re.fullmatch(r"[A-Za-z' .,!?{}_-]+", text), text


def test_lines_with_the_same_words_fall_into_the_same_split() -> None:
    assert split("Stop it!") == split("stop it.")
    shares = Counter(split(sentence([2, k])) for k in range(2000))
    assert 0.02 < shares["test"] / 2000 < 0.09
    assert 0.01 < shares["val"] / 2000 < 0.06
