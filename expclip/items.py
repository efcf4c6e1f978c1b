"""Items: what `annotate` starts from, one for each record wanted; fit for JSON.

An item has an expression and lacks texts, or has a text and lacks the expression.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from expclip import language, tead
from expclip.catalogue import BadLine
from expclip.errors import BadRequestError
from expclip.peaks import PeakOptions
from expclip.style import check_prompt

_KEY = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,119}")


@dataclass(frozen=True)
class Item:
    """An expression or a text to annotate; what is empty is asked for. Fit for JSON."""

    key: str  # names the record that comes of it
    aus: Mapping[str, float] = field(default_factory=dict)  # the expression, as a record holds it
    weights: tuple[float, ...] = ()  # the same as it was measured, in the rig's order
    texts: Mapping[str, str] = field(default_factory=dict)  # texts that are there already, by kind
    hints: tuple[str, ...] = ()  # what else the source says, such as its label
    unseen: tuple[str, ...] = ()  # regions that were not measured: nothing may be said of them
    corpus: str = ""
    source: str = ""
    licence: str = ""

    @property
    def direction(self) -> str:
        """What was there first: expression or text."""
        return "expression" if self.weights else "text"


@dataclass(frozen=True)
class SourceOptions:
    """What of the input is annotated."""

    split: str = "train"  # rows of the source's split alone (rows that name none, too); empty: all
    kind: str = ""  # kind of texts whose row does not say: tag, prompt, situation or description; empty: by their words
    licence: str = "the user's own"  # terms of inputs that name none
    peaks: PeakOptions = field(default_factory=PeakOptions)


@dataclass
class Found:
    """Items to annotate, rows that are wrong, and how many rows the items come from."""

    kind: str  # TRACKS, EXPRESSIONS or TEXTS
    items: list[Item] = field(default_factory=list)
    bad: list[BadLine] = field(default_factory=list)
    rows: int = 0  # read, those of other splits included
    other_splits: int = 0
    alike: int = 0  # expressions left out because a stronger one is nearly the same

    def why_none(self, options: SourceOptions) -> str:
        """Say why rows that are all well gave no item."""
        if self.other_splits == self.rows:
            return f"none of {self.rows} rows is of the {options.split} split (source.split; empty: all)"
        told = (
            f"none of {self.rows - self.other_splits} rows of {self.kind} holds an expression that can be put in words"
        )
        if self.kind != "TRACKS":
            return told
        return (
            f"{told}: a face of strength {options.peaks.strength:g} (source.peaks.strength), in speech by brows, lids, "
            "nose, cheeks and the corners of the lips alone"
        )

    def counts(self, row: Mapping[str, Any], options: SourceOptions) -> bool:
        """Count a row of a table; return whether it belongs to the split asked for (one that names none does)."""
        other = bool(options.split) and (row.get("split") or options.split) != options.split
        self.rows += 1
        self.other_splits += other
        return not other


def checked(found: Found) -> Found:
    """Return the same with items whose key cannot name a record, or did so before, among the bad rows."""
    kept: dict[str, Item] = {}
    for item in found.items:
        error = ""
        if not _KEY.fullmatch(item.key):
            error = f"{item.key!r} is not made of 1 to 120 of: letters, digits, '.', '_', '-'"
        elif item.key in kept:
            error = f"{item.key!r} stands in the input twice"
        if error:
            found.bad.append(BadLine(item.key, json.dumps(vars(item)), error))
        else:
            kept[item.key] = item
    found.items = list(kept.values())
    return found


def text_item(key: str, text: str, kind: str, options: SourceOptions) -> Item:
    """Return the item of a text; raises BadRequestError for one that no record can hold."""
    text = check_prompt(text)
    kind = kind or options.kind or _kind_of(text)
    for problem in tead.text_problems(kind, text):
        raise BadRequestError(problem)
    if foreign := language.problem(text):
        raise BadRequestError(f"the text {foreign}")
    return Item(key, texts={kind: text})


def _kind_of(text: str) -> str:
    """Tell the kind of a text: a few words are a tag, words for parts of the face a description, all else a prompt."""
    words = len(text.split())
    if words <= 3:
        return "tag"
    if tead.names_the_face(text) and words >= 6:
        return "description"
    return "prompt" if words <= tead.WORDS["prompt"][1] else "situation"
