"""English is told from what is none, and no text that ships is mistaken."""

import pytest

from expclip import language, tead


def test_every_text_that_ships_is_english() -> None:
    assert not [text for record in tead.load() for text in record.texts.values() if language.problem(text)]


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
    ],
)
def test_other_languages_are_not(text: str) -> None:
    assert language.problem(text)
