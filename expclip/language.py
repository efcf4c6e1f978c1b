"""Whether a text is English: by its letters, and by the small words that each language cannot do without."""

import re
import tomllib
import unicodedata
from functools import cache
from importlib import resources

_WORD = re.compile(r"[^\W\d_]+")
_LONG = 6
"""Words from which a text is expected to have a small one."""


def problem(text: str) -> str:
    """Return why a text is not taken for English, empty if it is. Telegrams without any small word pass."""
    letters = [letter for letter in text if letter.isalpha()]
    if not letters:
        return "has no letters"
    strange = [letter for letter in letters if "LATIN" not in unicodedata.name(letter, "")]
    if strange:
        return f"is not written in Latin letters: {strange[0]!r}"
    words = [word.casefold() for word in _WORD.findall(text)]
    foreign, english = (len(_small_words()[name] & set(words)) for name in ("foreign", "english"))
    return "does not look like English" if len(words) >= _LONG and foreign >= 2 and foreign > english else ""


@cache
def _small_words() -> dict[str, frozenset[str]]:
    table = tomllib.loads((resources.files("expclip") / "data" / "small_words.toml").read_text("utf-8"))
    return {name: frozenset(words.split()) for name, words in table.items()}
