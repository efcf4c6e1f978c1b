"""Prompts to evaluate with, in groups: category words, TEAD's held-out texts by kind, open vocabulary, paraphrases.

An `Ask` is a prompt with the emotion that people would see and, for TEAD, the record it was written for.
"""

import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources

import numpy as np

from expclip.evaluator import EMOTIONS
from expclip.tead import KINDS, Record

NEUTRAL = "a calm, neutral face"
STRONG = {
    "happiness": "ecstatic, grinning from ear to ear",
    "sadness": "sobbing with grief",
    "anger": "screaming with rage",
    "fear": "terrified for her life",
    "surprise": "utterly astonished",
    "disgust": "revolted, about to be sick",
    "contempt": "a sneer of utter contempt",
}
"""A strong prompt for each emotion; none is in TEAD."""


@dataclass(frozen=True)
class Ask:
    """A prompt and what it should bring."""

    text: str
    emotion: str  # a category of TEAD; `mixed` is not classified
    record: Record | None = None


def groups(records: Sequence[Record], *, most: int = 0, seed: int = 0) -> dict[str, list[Ask]]:
    """Return the groups by name; of TEAD's records at most `most`, drawn by the seed (0: all)."""
    order = np.random.default_rng(seed).permutation(len(records))
    chosen = [records[k] for k in order[: most or None]]
    found = {"category words": [Ask(name, name) for name in EMOTIONS]}
    for kind in KINDS:
        found[f"tead {kind}"] = [Ask(record.texts[kind], record.category, record) for record in chosen]
    strong = [Ask(text, emotion) for emotion, text in STRONG.items()]
    found["open vocabulary"] = strong + [Ask(t, e) for e, texts in listed("open_vocabulary").items() for t in texts]
    return found


def listed(name: str) -> dict[str, list[str]]:
    """Return prompts by emotion from a file that ships: `open_vocabulary` or `paraphrases`."""
    text = (resources.files("expclip") / "data" / f"{name}.toml").read_text("utf-8")
    return {str(emotion): list(texts) for emotion, texts in tomllib.loads(text).items()}
