"""Texts to train on: TEAD's own, as users would type them, and written ones with their exact expression.

In: records and a seed. Out: samples, each a text with the expression it asks for. All augmentation of texts is here.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from types import MappingProxyType
from typing import TypeVar

import numpy as np

from expclip import phrases
from expclip.phrases import Expression, Random
from expclip.tead import Record

T = TypeVar("T")


@dataclass(frozen=True)
class Sample:
    """A text and what it asks for; `record` is where the feeling comes from, if it is known."""

    text: str
    aus: Mapping[str, float]
    record: Record | None


_TEMPLATES = (
    *(
        "{}",
        "{}",
        "{}",
        "{} face",
        "say it {}",
        "say it with {}",
        "looking {}",
        "a {} look",
        "sounding {}",
        "in a {} voice",
    ),
    *("feeling {}", "she is {}", "he looks {}", "make them {}", "make it {}", "{} tone", "{} expression", "be {}"),
    *("{} please", "mood: {}", "style: {}", "with {}", "so {}", "{}!", "{}...", "read this {}", "a {} delivery"),
)
_DEGREES: Mapping[str, float] = MappingProxyType(
    {
        "barely": 0.3, "a hint of": 0.35, "slightly": 0.5, "a little": 0.5, "a bit": 0.55, "mildly": 0.55, "kinda": 0.7,
        "somewhat": 0.7, "quite": 1.0, "really": 1.25, "very": 1.3, "super": 1.4, "extremely": 1.7, "insanely": 1.7,
        "incredibly": 1.6, "overwhelmingly": 1.7, "so very": 1.4, "completely": 1.4, "utterly": 1.5,
    }
)  # fmt: skip
"""Words before a tag -> how they scale its intensity."""
_OWN_DEGREE = (
    *("slight", "faint", "mild", "very", "extreme", "super", "little", "bit", "barely", "utter", "total", "complete"),
    *("intense", "kinda", "subtle", "over", "real", "so "),
)
_NEUTRAL = (
    *(
        "neutral",
        "neutral face",
        "no emotion",
        "no expression",
        "expressionless",
        "normal",
        "just talk normally",
        "plain",
    ),
    *("default", "blank", "relaxed neutral face", "nothing special", "resting face", "read it flat", "matter-of-fact"),
    *("no particular feeling", "speak normally", "calm and neutral", "emotionless", "poker face", "keep it neutral"),
    *("a face at rest", "the whole face at rest", "plain delivery, no emotion", "deadpan", "unemotional reading"),
)
_BLENDS = (" and ", " but ", ", ", " yet ", " with a touch of ", " mixed with ", " turning ", " trying to look ")
_FRAGMENT_GLUE = (", ", " with ", " but ", " and ", "; ")


class Sampler:
    """Draws batches of samples of a kind; the same seed and number draw the same samples."""

    def __init__(self, records: Sequence[Record], seed: int, *, without: Iterable[str] = ()) -> None:
        """Draw from records and from the vocabulary, but for the words `without` (tags that are kept for testing)."""
        self.records = records
        unseen = {text.lower() for text in without}
        self.words = [(word, aus) for word, aus in vocabulary() if word.lower() not in unseen]
        self.seed = seed
        self.random = np.random.default_rng(seed)
        self._kinds = {
            "tag": self._tag,
            "word": self._word,
            "prompt": self._prompt,
            "situation": self._situation,
            "description": self._description,
            "grammar": self._grammar,
            "mixture": self._mixture,
        }

    def batch(self, counts: Mapping[str, int], number: int = 0) -> list[Sample]:
        """Return samples, `counts[kind]` of each kind: a kind of text, `grammar` or `mixture`.

        Seed and number alone decide which: a training's step has the same texts whenever it is taken.
        """
        self.random = np.random.default_rng([self.seed, number])
        return [self._kinds[kind]() for kind, count in counts.items() for _ in range(count)]

    def _any(self) -> Record:
        return self.records[int(self.random.integers(len(self.records)))]

    def _tag(self) -> Sample:
        if self.random.random() < 0.02:
            return Sample(_pick(_NEUTRAL, self.random), {}, None)
        record = self._any()
        return self._phrased(record.texts["tag"], record.aus, record)

    def _word(self) -> Sample:
        """Return a word of the vocabulary or a blend of two, alone or as users put it."""
        text, aus = _pick(self.words, self.random)
        if self.random.random() < 0.15:
            other, more = _pick(self.words, self.random)
            text, aus = f"{text}{_pick(_BLENDS, self.random)}{other}", blended(aus, more)
        return self._phrased(text, aus, None)

    def _phrased(self, text: str, aus: Mapping[str, float], record: Record | None) -> Sample:
        """Return the sample with a word of degree or a phrase around its text, or neither."""
        if self.random.random() < 0.3 and not any(word in text.lower() for word in _OWN_DEGREE):
            word = _pick(tuple(_DEGREES), self.random)
            text, aus = f"{word} {text}", scaled(aus, _DEGREES[word])
        if self.random.random() < 0.5:
            text = _pick(_TEMPLATES, self.random).format(text)
        return self._finished(text, aus, record)

    def _prompt(self) -> Sample:
        record = self._any()
        text = record.texts["prompt"]
        if self.random.random() < 0.15:
            text = f"{record.texts['tag']}: {text}" if self.random.random() < 0.5 else f"{text} {record.texts['tag']}"
        return self._finished(text, record.aus, record)

    def _situation(self) -> Sample:
        record = self._any()
        return self._finished(record.texts["situation"], record.aus, record)

    def _description(self) -> Sample:
        record = self._any()
        text = record.texts["description"]
        if self.random.random() < 0.3:
            clauses = text.rstrip(".").split(", ")
            self.random.shuffle(clauses)
            text = ", ".join(clauses)
        return self._finished(text, record.aus, record)

    def _grammar(self) -> Sample:
        """Return a written description or order, of a record's expression or of one that nobody wears."""
        choice = self.random.random()
        if choice < 0.45:
            aus = self._varied(self._any().aus)
        elif choice < 0.6:
            aus = self._varied({**self._any().aus, **self._few(2)})
        else:
            aus = self._few(int(self.random.integers(1, 6)))
        write = phrases.command if len(aus) <= 2 and self.random.random() < 0.5 else phrases.describe
        return self._finished(write(aus, self.random), aus, None)

    def _mixture(self) -> Sample:
        """Return a text of a feeling with a visible detail added, which the expression shows on top of it."""
        record = self._any()
        kind = "tag" if self.random.random() < 0.7 else "prompt"
        detail = self._few(int(self.random.integers(1, 3)))
        extra = phrases.describe(detail, self.random) if self.random.random() < 0.7 else (
            phrases.command(detail, self.random)
        )  # fmt: skip
        glue = _pick(_FRAGMENT_GLUE, self.random)
        text = f"{record.texts[kind].rstrip('.')}{glue}{extra[:1].lower()}{extra[1:]}"
        return self._finished(text, joined(record.aus, detail), None)

    def _few(self, count: int) -> Expression:
        """Return a few units of as many records, so that frequent ones are frequent, or of any unit."""
        found: Expression = {}
        while len(found) < count:
            code, value = self._one()
            base = phrases.split_code(code)[0]
            if base not in {phrases.split_code(other)[0] for other in found}:
                found[code] = value
        return found

    def _one(self) -> tuple[str, float]:
        words = phrases.lexicon()
        intensity = round(float(self.random.integers(2, 21)) / 20, 2)
        codes = tuple(self._any().aus) if self.random.random() < 0.5 else ()
        code = _pick(codes or words.units, self.random)
        base, side = phrases.split_code(code)
        if base == "AU30" or (not side and base in words.paired and self.random.random() < 0.25):
            code = base + _pick(("L", "R"), self.random)
        return code, intensity

    def _varied(self, aus: Mapping[str, float]) -> Expression:
        """Return the expression with some units dropped and others at another intensity."""
        kept = {code: value for code, value in aus.items() if self.random.random() > 0.15}
        return {
            code: min(1.0, max(0.05, round(20 * value * float(self.random.uniform(0.6, 1.5))) / 20))
            for code, value in kept.items()
        }

    def _finished(self, text: str, aus: Mapping[str, float], record: Record | None) -> Sample:
        """Return the sample, sometimes mirrored and typed carelessly."""
        if self.random.random() < 0.5 and any(code[-1] in "LR" or code in ("AU61", "AU62") for code in aus):
            text, aus = phrases.mirrored_text(text), phrases.mirrored(aus)
        if self.random.random() < 0.2:
            text = text.rstrip(".!?").replace(",", "" if self.random.random() < 0.5 else ",")
        if self.random.random() < 0.08:
            text = mistyped(text, self.random)
        return Sample(text, aus, record)


@cache
def vocabulary() -> tuple[tuple[str, Expression], ...]:
    """Return the words of `data/vocabulary.txt`, each with its expression."""
    found = []
    for line in (resources.files("expclip") / "data" / "vocabulary.txt").read_text("utf-8").splitlines():
        words, colon, units = line.rpartition(":")
        if colon and not line.startswith("#"):
            pairs = (unit.split("=") for unit in units.split())
            aus = {f"AU{code}": float(value) for code, value in pairs}
            found += [(word, aus) for word in words.split(", ")]
    return tuple(found)


def blended(aus: Mapping[str, float], more: Mapping[str, float]) -> Expression:
    """Return the expression that shows both: the mean where both have a unit, four fifths where one has it."""
    return {
        code: (aus[code] + more[code]) / 2 if code in aus and code in more else 0.8 * (aus.get(code) or more[code])
        for code in (*aus, *(code for code in more if code not in aus))
    }


def scaled(aus: Mapping[str, float], factor: float) -> Expression:
    """Return the expression with all intensities times a factor, at most 1."""
    return {code: min(1.0, value * factor) for code, value in aus.items()}


def joined(aus: Mapping[str, float], detail: Mapping[str, float]) -> Expression:
    """Return the expression with a detail laid over it: what the detail names replaces what was there."""
    named = {phrases.split_code(code)[0] for code in detail}
    named |= {other for unit, others in _EXCLUDES.items() if unit in named for other in others}
    return {**{code: v for code, v in aus.items() if phrases.split_code(code)[0] not in named}, **detail}


_EXCLUDES: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "AU5": ("AU43",), "AU43": ("AU5",), "AU61": ("AU62",), "AU62": ("AU61",), "AU63": ("AU64",), "AU64": ("AU63",),
        "AU26": ("AU27", "AU24"), "AU27": ("AU26", "AU24"), "AU24": ("AU25", "AU26", "AU27"), "AU15": ("AU12",),
        "AU12": ("AU15",), "AU28": ("AU25", "AU26", "AU27"),
    }
)  # fmt: skip
"""Unit -> units that cannot stay when it is asked for."""


def mistyped(text: str, random: Random) -> str:
    """Return the text with two neighbouring letters exchanged, one dropped or one doubled."""
    if len(text) < 5:
        return text
    k = int(random.integers(1, len(text) - 2))
    return _pick(
        (text[:k] + text[k + 1] + text[k] + text[k + 2 :], text[:k] + text[k + 1 :], text[:k] + text[k] + text[k:]),
        random,
    )


def _pick(choices: Sequence[T], random: Random) -> T:
    return choices[int(random.integers(len(choices)))]
