"""English is told from what is none, and no text that ships is mistaken."""

import pytest

from expclip import language, tead


def test_every_text_that_ships_is_english() -> None:
    """Words of the train split count as known; of the others, one text in a thousand may be too rare."""
    texts = {split: [t for r in tead.load(split=split) for t in r.texts.values()] for split in tead.SPLITS}
    wrong = {split: [text for text in found if language.problem(text)] for split, found in texts.items()}
    assert not wrong["train"]
    assert len(wrong["val"] + wrong["test"]) <= len(texts["val"] + texts["test"]) / 1000


@pytest.mark.parametrize("text", ["gloating", "so verrry happyyy", "OMG lol", "a café au lait smile", "ok", "Wow!!!"])
def test_rare_and_casual_words_pass(text: str) -> None:
    assert not language.problem(text)


def test_changes_of_words_are_known() -> None:
    assert all(map(language.known, ("grinning", "unimpressed", "smugly", "happily", "scowled")))
    assert not any(map(language.known, ("traurig", "fribble", "xqzt", "lustig")))


@pytest.mark.parametrize(
    "text",
    [
        "Die Mundwinkel sind hochgezogen und die Augenbrauen in der Mitte zusammen, sehr weit.",
        "Les coins de la bouche sont relevés, les sourcils sont froncés et les yeux plissés.",
        "Los ojos muy abiertos, las cejas levantadas y la boca un poco abierta por la sorpresa.",
        "Gli angoli della bocca sono sollevati e le guance sono alte con un sorriso aperto.",
        "De mondhoeken zijn omhoog getrokken en de wenkbrauwen staan hoog boven open ogen in het gezicht.",
        "眉毛上扬，嘴角微微翘起。",
        "Уголки губ приподняты",
        "12 34 !!",
        "angry and \x1b[31mred\x1b[0m",
        "loud\x00 man",
        "traurig und müde",
        "Ein trauriger Mann, der weint",
        "triste et fatigué",
        "una sonrisa pícara",
        "blorp zang fribble",
        "asdf qwer",
        "the blorp zang",
    ],
)
def test_other_languages_are_not(text: str) -> None:
    assert language.problem(text)
