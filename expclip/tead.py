"""TEAD: expressions in action units, each with four texts that ask for it; the project's own data set.

In: `data/tead/*.jsonl`, one record a line. Out: records, their problems, statistics and the fixed split.
The split is by record, never by text: train, val or test follows from a hash of the record's id. Files after G
were written later and serve training alone.
"""

import hashlib
import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib import resources
from typing import Any

import numpy as np

from expclip import action_units, storage
from expclip.errors import BadRequestError
from expclip.rig import FloatArray, Rig

CATEGORIES = ("neutral", "happiness", "sadness", "anger", "fear", "surprise", "disgust", "contempt", "mixed")
KINDS = ("tag", "prompt", "situation", "description")
SPLITS = ("train", "val", "test")
FIELDS = ("id", "emotion", "category", "valence", "arousal", "texts", "aus")
EVALUATED_FILES = "ABCDEFG"
"""Files whose records are split; those of any other file are for training."""

_WORDS = {"tag": (1, 5), "prompt": (3, 32), "situation": (6, 36), "description": (4, 40)}
_UNITS = (
    *(1, 2, 4, 5, 6, 7, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 22, 23, 24, 25, 26, 27, 28, 29, 30, 34, 38, 43),
    *(61, 62, 63, 64),
)
_KNOWN = frozenset(f"AU{number}" for number in _UNITS)
_GAZE = frozenset(("AU61", "AU62", "AU63", "AU64"))
_FACIAL = re.compile(
    r"\b(eye)?brows?\b|\blips?\b|\bmouth\b|\bcheeks?\b|\bnostrils?\b|\bjaw\b|\beyelids?\b|\blids\b|\b(smile|frown|grin)s?\b|\bscowl\b",
    re.IGNORECASE,
)
_LADDERS = (121, 220)
"""Numbers in file E whose fours are one emotion from faint to overwhelming."""


@dataclass(frozen=True)
class Record:
    """One held expression and the texts that ask for it."""

    id: str
    emotion: str
    category: str
    valence: float  # -1..1
    arousal: float  # -1..1
    texts: Mapping[str, str]  # by kind
    aus: Mapping[str, float]  # action unit -> intensity

    @property
    def split(self) -> str:
        """Which part of the data this record belongs to: train, val or test."""
        return split_of(self.id)

    def vector(self, rig: Rig | None = None) -> FloatArray:
        """Return the expression as a unit vector (U,)."""
        return action_units.to_vector(self.aus, rig)


def load(folder: str | None = None, *, split: str | None = None) -> tuple[Record, ...]:
    """Return the records of all `*.jsonl` files in a folder (default: the set that ships), in order of id.

    With `split` only those of train, val or test. Raises BadRequestError for a folder without records or a line
    that is no record.
    """
    folder = folder or str(resources.files("expclip") / "data" / "tead")
    files = storage.listing(folder, ".jsonl")
    if not files:
        raise BadRequestError(f"no TEAD records: {folder} holds no .jsonl file")
    records = [_record(row, where) for path in files for where, row in _rows(path)]
    return tuple(sorted((r for r in records if split in (None, r.split)), key=lambda r: r.id))


def _rows(path: str) -> Iterator[tuple[str, Any]]:
    for number, line in enumerate(storage.read_text(path).splitlines(), 1):
        if line.strip():
            try:
                yield f"{path}:{number}", json.loads(line)
            except ValueError:
                raise BadRequestError(f"{path}:{number} is not JSON") from None


def _record(row: Any, where: str) -> Record:
    if not isinstance(row, dict) or sorted(row) != sorted(FIELDS):
        raise BadRequestError(f"{where} is no TEAD record; its fields are: {', '.join(FIELDS)}")
    return Record(**row)


def split_of(record_id: str) -> str:
    """Return train, val or test for a record's id: about 80, 7 and 13 of a hundred."""
    letter, _, number = record_id.partition("-")
    if letter not in EVALUATED_FILES:
        return "train"
    key = record_id
    if letter == "E" and _LADDERS[0] <= int(number) <= _LADDERS[1]:
        key = f"E-ladder-{(int(number) - _LADDERS[0]) // 4}"
    bucket = int(hashlib.sha256(key.encode()).hexdigest()[:8], 16) % 100
    return "test" if bucket < 13 else "val" if bucket < 20 else "train"


def digest(records: Iterable[Record]) -> str:
    """Return 16 hex digits over the content of records, for provenance."""
    lines = (json.dumps(asdict(record), sort_keys=True) for record in records)
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:16]


def validate(records: Sequence[Record]) -> list[str]:
    """Return one line for each problem of the records, none if all is well."""
    problems = [f"{record.id}: {problem}" for record in records for problem in _problems(record)]
    for what, values in (("id", [r.id for r in records]), *((k, [r.texts.get(k, "") for r in records]) for k in KINDS)):
        counts = Counter(value.lower() for value in values if value)
        problems += [f"{what} used {n} times: {value!r}" for value, n in counts.items() if n > 1]
    return problems


def _problems(record: Record) -> Iterator[str]:
    if not re.fullmatch(r"[A-Z]-\d{4}", record.id):
        yield "id is not a file letter, a dash and four digits"
    if record.category not in CATEGORIES:
        yield f"unknown category {record.category!r}"
    for name in ("valence", "arousal"):
        if not -1 <= getattr(record, name) <= 1:
            yield f"{name} {getattr(record, name)} is outside -1..1"
    yield from _text_problems(record.texts)
    yield from _unit_problems(record)


def _text_problems(texts: Mapping[str, str]) -> Iterator[str]:
    if set(texts) != set(KINDS):
        yield f"texts are {sorted(texts)}, not {sorted(KINDS)}"
        return
    for kind, (low, high) in _WORDS.items():
        words = len(texts[kind].split())
        if not low <= words <= high:
            yield f"{kind} has {words} words, not {low} to {high}"
    if found := _FACIAL.search(texts["situation"]):
        yield f"situation names a part of the face: {found[0]!r}"
    if re.search(r"\bAU ?\d", texts["description"]):
        yield "description names action units by number"


def _unit_problems(record: Record) -> Iterator[str]:
    strongest: dict[str, float] = {}
    for code, value in record.aus.items():
        match = re.fullmatch(r"(AU\d+)([LR]?)", code)
        if match is None or match[1] not in _KNOWN:
            yield f"unknown action unit {code!r}"
            continue
        if match[1] == "AU30" and not match[2]:
            yield "AU30 has no side"
        if match[1] in _GAZE and match[2]:
            yield f"gaze unit {code} has a side"
        if match[2] and match[1] in record.aus:
            yield f"{match[1]} is given with and without a side"
        if not 0.05 <= value <= 1 or abs(value * 20 - round(value * 20)) > 1e-6:
            yield f"intensity {value} of {code} is not a step of 0.05 in 0.05..1"
        strongest[match[1]] = max(value, strongest.get(match[1], 0))
    yield from _anatomy_problems(strongest, record)


def _anatomy_problems(strongest: Mapping[str, float], record: Record) -> Iterator[str]:
    def both(first: str, second: str, above: float) -> bool:
        return min(strongest.get(first, 0), strongest.get(second, 0)) > above

    if len(record.aus) > 9 or (len(record.aus) < 2 and record.category != "neutral"):
        yield f"{len(record.aus)} action units"
    if both("AU5", "AU43", 0.3):
        yield "lids raised and drooping (AU5, AU43)"
    if both("AU26", "AU27", 0):
        yield "two depths of the jaw (AU26, AU27)"
    if both("AU24", "AU26", 0.3):
        yield "lips pressed over a dropped jaw (AU24, AU26)"
    if both("AU12", "AU15", 0.5) and record.category != "mixed":
        yield "lip corners up and down (AU12, AU15) in a record that is not mixed"


def statistics(records: Sequence[Record]) -> dict[str, Any]:
    """Return counts and means over records: by file, split, category, kind of text and action unit."""
    values = [value for record in records for value in record.aus.values()]
    return {
        "records": len(records),
        "texts": sum(len(record.texts) for record in records),
        "files": dict(Counter(record.id[0] for record in records)),
        "splits": dict(Counter(record.split for record in records)),
        "categories": dict(Counter(record.category for record in records)),
        "words": {k: round(float(np.mean([len(r.texts[k].split()) for r in records])), 1) for k in KINDS},
        "units": dict(Counter(code.rstrip("LR") for record in records for code in record.aus).most_common()),
        "units_per_record": round(len(values) / max(1, len(records)), 2),
        "intensity": round(float(np.mean(values)), 3) if values else 0.0,
        "one_sided": sum(any(code[-1] in "LR" for code in record.aus) for record in records),
    }
