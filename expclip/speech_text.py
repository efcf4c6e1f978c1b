"""Sentences to be spoken, of our own making: a seeded grammar over everyday words, rich in p, b and m.

`sentence(seed)` is one line of 1 to about 12 s. A line's split hangs on its words alone (`split`), so
that no line that is tested on is ever trained on.
"""

import hashlib
import re
import tomllib
from collections.abc import Mapping
from functools import cache
from importlib import resources

import numpy as np

_SLOT = re.compile(r"\{(\w+)\}")
_LONG = 0.35
"""Share of lines that go on with another sentence."""


@cache
def grammar() -> Mapping[str, tuple[str, ...]]:
    """Return what each slot may become; the slot `line` is a whole sentence."""
    table = tomllib.loads((resources.files("expclip") / "data" / "sentences.toml").read_text("utf-8"))
    return {
        slot: tuple(choices.split("|")) if isinstance(choices, str) else tuple(choices)
        for slot, choices in table.items()
    }


def sentence(seed: int | list[int]) -> str:
    """Return one line of speech with its punctuation; the same seed gives the same line."""
    rng = np.random.default_rng(seed)
    lines = [_filled("{line}", rng)]
    while rng.random() < _LONG and len(lines) < 3:
        lines.append(_filled("{line}", rng))
    return " ".join(re.sub(r"\bi\b", "I", line[:1].upper() + line[1:]) for line in lines)


def _filled(text: str, rng: np.random.Generator) -> str:
    while slots := _SLOT.search(text):
        choices = grammar()[slots[1]]
        text = text[: slots.start()] + choices[rng.integers(len(choices))] + text[slots.end() :]
    return text


def split(text: str, *, test: float = 0.05, val: float = 0.03) -> str:
    """Return train, val or test for a line, by a hash of its words: equal lines always fall together."""
    words = " ".join(re.findall(r"[a-z']+", text.lower()))
    place = int(hashlib.sha256(words.encode()).hexdigest()[:8], 16) / 0x1_0000_0000
    return "test" if place < test else "val" if place < test + val else "train"
