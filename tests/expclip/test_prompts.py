"""Training samples: seeded, every kind, expressions within range, degree words scale."""

from collections import Counter

import numpy as np

from expclip import action_units, prompts, tead

KINDS = {"tag": 40, "prompt": 40, "situation": 40, "description": 40, "grammar": 80, "mixture": 40}


def test_every_kind_gives_usable_samples() -> None:
    sampler = prompts.Sampler(tead.load(split="train"), 0)
    samples = sampler.batch(KINDS)
    assert len(samples) == sum(KINDS.values())
    for sample in samples:
        assert sample.text.strip()
        vector_U = action_units.to_vector(sample.aus)
        assert 0 <= vector_U.min() <= vector_U.max() <= 1


def test_seed_decides() -> None:
    records = tead.load(split="train")
    first, second, other = (prompts.Sampler(records, seed).batch(KINDS) for seed in (3, 3, 4))
    assert [s.text for s in first] == [s.text for s in second]
    assert [s.text for s in first] != [s.text for s in other]


def test_degree_words_scale_and_clip() -> None:
    assert prompts.scaled({"AU12": 0.4, "AU6": 0.9}, 1.5) == {"AU12": 0.6000000000000001, "AU6": 1.0}


def test_a_detail_replaces_what_contradicts_it() -> None:
    found = prompts.joined({"AU12": 0.5, "AU43": 0.4, "AU1": 0.3}, {"AU5": 0.8, "AU1L": 0.6})
    assert found == {"AU12": 0.5, "AU5": 0.8, "AU1L": 0.6}


def test_typing_errors_change_little() -> None:
    random = np.random.default_rng(0)
    for _ in range(50):
        wrong = prompts.mistyped("happiness", random)
        assert abs(len(wrong) - 9) <= 1
        assert sum((Counter("happiness") - Counter(wrong)).values()) <= 1
    assert prompts.mistyped("sad", random) == "sad"


def test_vocabulary_is_well_formed_and_has_no_word_twice() -> None:
    words = [word.lower() for word, _ in prompts.vocabulary()]
    assert len(words) == len(set(words)) > 800
    for word, aus in prompts.vocabulary():
        assert word.strip() == word != ""
        assert action_units.to_vector(aus).max() <= 1
    expressions = dict(prompts.vocabulary())
    assert expressions["furious"]["AU4"] > expressions["annoyed"]["AU4"]
    assert expressions["neutral"] == {}


def test_words_kept_for_testing_are_not_drawn() -> None:
    sampler = prompts.Sampler(tead.load(split="train"), 0, without=["Happy"])
    assert "happy" not in {word for word, _ in sampler.words}
    assert "glad" in {word for word, _ in sampler.words}


def test_blends_show_both() -> None:
    found = prompts.blended({"AU1": 0.5, "AU4": 0.2}, {"AU4": 0.6, "AU12": 0.5})
    assert {code: round(value, 6) for code, value in found.items()} == {"AU1": 0.4, "AU4": 0.4, "AU12": 0.4}
