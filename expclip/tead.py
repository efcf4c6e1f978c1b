"""TEAD: expressions in action units, each with four texts that ask for it; the project's own data set.

In: `data/tead/*.jsonl`, one record a line, or the table that `annotate` writes (`*.parquet`). Out: records, their
problems, statistics and the fixed split. The split is by record, never by text: train, val or test follows from a hash
of the record's id. Files after G were written later and serve training alone, and so do generated records.
"""

import hashlib
import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib import resources
from types import MappingProxyType
from typing import Any

import numpy as np

from expclip import action_units, storage, tables
from expclip.errors import BadRequestError
from expclip.rig import FloatArray, Rig

CATEGORIES = ("neutral", "happiness", "sadness", "anger", "fear", "surprise", "disgust", "contempt", "mixed")
KINDS = ("tag", "prompt", "situation", "description")
SPLITS = ("train", "val", "test")
FIELDS = ("id", "emotion", "category", "valence", "arousal", "texts", "aus")
EVALUATED_FILES = "ABCDEFG"
"""Files whose records are split; those of any other file are for training."""
SEED = "seed"
"""Name of the set that ships, where several sets are named."""
WORDS: Mapping[str, tuple[int, int]] = MappingProxyType(
    {"tag": (1, 5), "prompt": (3, 32), "situation": (6, 36), "description": (4, 40)}
)
"""Fewest and most words of each kind of text."""

_WRITTEN = re.compile(r"[A-Z]-\d{4}")
_GENERATED = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,139}-v\d+")
_UNITS = (
    *(1, 2, 4, 5, 6, 7, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 22, 23, 24, 25, 26, 27, 28, 29, 30, 34, 38, 43),
    *(61, 62, 63, 64),
)
UNITS = tuple(f"AU{number}" for number in _UNITS)
"""Action units that a record may have."""
_GAZE = frozenset(("AU61", "AU62", "AU63", "AU64"))
_FACIAL = re.compile(
    r"\b(eye)?brows?\b|\blips?\b|\bmouth\b|\bcheeks?\b|\bnostrils?\b|\bjaw\b|\beyelids?\b|\blids\b|\b(smile|frown|grin)s?\b|\bscowl\b",
    re.IGNORECASE,
)
MAX_UNITS = 9
"""Most action units of a record."""
_MIXED = "lip corners up and down (AU12, AU15) in a record that is not mixed"
_EXCLUSIVE = (
    ("AU5", "AU43", 0.3, "lids raised and drooping (AU5, AU43)"),
    ("AU26", "AU27", 0.0, "two depths of the jaw (AU26, AU27)"),
    ("AU24", "AU26", 0.3, "lips pressed over a dropped jaw (AU24, AU26)"),
    ("AU12", "AU15", 0.5, _MIXED),
)
"""Two units, the intensity above which both cannot be, and why."""
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
    """Return the records of all `*.jsonl` and `*.parquet` files in a folder (default: the set that ships), by id.

    Several folders may be given with commas between them; `seed` is the set that ships. With `split` only the records
    of train, val or test. Raises BadRequestError for a folder without records or a row that is no record.
    """
    folders = [name.strip() for name in (folder or SEED).split(",") if name.strip()]
    records = [record for name in folders for record in _records(seed_path() if name == SEED else name)]
    return tuple(sorted((r for r in records if split in (None, r.split)), key=lambda r: r.id))


def seed_path() -> str:
    """Return the folder of the set that ships with the package."""
    return str(resources.files("expclip") / "data" / "tead")


def _records(folder: str) -> list[Record]:
    lines, tables = storage.listing(folder, ".jsonl"), storage.listing(folder, ".parquet")
    if not lines and not tables:
        raise BadRequestError(f"no TEAD records: {folder} holds no .jsonl and no .parquet file")
    records = [_record(row, where) for path in lines for where, row in _rows(path)]
    return records + [_record(row, where) for path in tables for where, row in _table_rows(path)]


def _rows(path: str) -> Iterator[tuple[str, Any]]:
    for number, line in enumerate(storage.read_text(path).splitlines(), 1):
        if line.strip():
            try:
                yield f"{path}:{number}", json.loads(line)
            except ValueError:
                raise BadRequestError(f"{path}:{number} is not JSON") from None


def _table_rows(path: str) -> Iterator[tuple[str, Any]]:
    """Yield the rows of a table with the columns of a record alone; maps become mappings."""
    table = tables.read(path, FIELDS)
    for number, row in enumerate(table.to_pylist(), 1):
        yield f"{path}, row {number}", {k: dict(v) if isinstance(v, list) else v for k, v in row.items()}


def _record(row: Any, where: str) -> Record:
    if not isinstance(row, dict) or sorted(row) != sorted(FIELDS):
        raise BadRequestError(f"{where} is no TEAD record; its fields are: {', '.join(FIELDS)}")
    return Record(**row)


def split_of(record_id: str) -> str:
    """Return train, val or test for a record's id: about 80, 7 and 13 of a hundred of files A to G, else train."""
    letter, _, number = record_id.partition("-")
    if not _WRITTEN.fullmatch(record_id) or letter not in EVALUATED_FILES:
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


def require_texts(records: Sequence[Record]) -> None:
    """Raise BadRequestError, naming the first of them, if records lack a kind of text: training needs all four."""
    lacking = [record for record in records if not all(record.texts.get(kind) for kind in KINDS)]
    if lacking:
        kinds = ", ".join(kind for kind in KINDS if not lacking[0].texts.get(kind))
        raise BadRequestError(f"{len(lacking)} TEAD records lack a kind of text; {lacking[0].id} has no {kinds}")


def validate(records: Sequence[Record]) -> list[str]:
    """Return one line for each problem of the records, none if all is well.

    Repeated ids and texts are problems, but for the tags of generated records: there are few words for many faces.
    """
    found = [f"{record.id}: {problem}" for record in records for problem in problems(record)]
    written = [r for r in records if _WRITTEN.fullmatch(r.id)]
    for what, values in (
        ("id", [r.id for r in records]),
        *((kind, [r.texts.get(kind, "") for r in (written if kind == "tag" else records)]) for kind in KINDS),
    ):
        counts = Counter(value.lower() for value in values if value)
        found += [f"{what} used {n} times: {value!r}" for value, n in counts.items() if n > 1]
    return found


def problems(record: Record) -> Iterator[str]:
    """Yield what is wrong with one record."""
    if not _WRITTEN.fullmatch(record.id) and not _GENERATED.fullmatch(record.id):
        yield "id is not a file letter, a dash and four digits, nor does it end in the -v1 of generated records"
    if record.category not in CATEGORIES:
        yield f"unknown category {record.category!r}"
    for name in ("valence", "arousal"):
        if not -1 <= getattr(record, name) <= 1:
            yield f"{name} {getattr(record, name)} is outside -1..1"
    if set(record.texts) != set(KINDS):
        yield f"texts are {sorted(record.texts)}, not {sorted(KINDS)}"
    else:
        for kind, text in record.texts.items():
            yield from text_problems(kind, text)
    yield from unit_problems(record.aus, record.category)


def text_problems(kind: str, text: str) -> Iterator[str]:
    """Yield what is wrong with one text of a kind."""
    (low, high), words = WORDS[kind], len(text.split())
    if not low <= words <= high:
        yield f"{kind} has {words} words, not {low} to {high}"
    if kind == "situation" and (found := _FACIAL.search(text)):
        yield f"situation names a part of the face: {found[0]!r}"
    if kind == "description" and re.search(r"\bAU ?\d", text):
        yield "description names action units by number"


def names_the_face(text: str) -> bool:
    """Whether a text speaks of parts of the face, as descriptions do."""
    return bool(_FACIAL.search(text))


def unit_problems(aus: Mapping[str, float], category: str) -> Iterator[str]:
    """Yield what is wrong with an expression in action units: unknown units, ranges, sides, anatomy."""
    strongest: dict[str, float] = {}
    for code, value in aus.items():
        match = re.fullmatch(r"(AU\d+)([LR]?)", code)
        if match is None or match[1] not in UNITS:
            yield f"unknown action unit {code!r}"
            continue
        if match[1] == "AU30" and not match[2]:
            yield "AU30 has no side"
        if match[1] in _GAZE and match[2]:
            yield f"gaze unit {code} has a side"
        if match[2] and match[1] in aus:
            yield f"{match[1]} is given with and without a side"
        if not 0.05 <= value <= 1 or abs(value * 20 - round(value * 20)) > 1e-6:
            yield f"intensity {value} of {code} is not a step of 0.05 in 0.05..1"
        strongest[match[1]] = max(value, strongest.get(match[1], 0))
    if len(aus) > MAX_UNITS or (len(aus) < 2 and category != "neutral"):
        yield f"{len(aus)} action units"
    for first, second, above, why in _EXCLUSIVE:
        if min(strongest.get(first, 0), strongest.get(second, 0)) > above and not (
            why is _MIXED and category == "mixed"
        ):
            yield why


def reconciled(aus: Mapping[str, float]) -> dict[str, float]:
    """Return measured or modelled intensities as a record holds them: steps of 0.05, the strongest units, no conflict.

    Of two units that exclude each other the weaker one goes; so do units that no record may have. Gaze has no side.
    """
    kept: dict[str, float] = {}
    for code, value in aus.items():
        base = code.rstrip("LR")
        name = base if base in _GAZE else code
        step = min(1.0, round(value * 20) / 20)
        if step >= 0.05 and base in UNITS and name != "AU30":
            kept[name] = max(step, kept.get(name, 0.0))
    for first, second, above, _ in _EXCLUSIVE:
        strengths = [
            max((v for c, v in kept.items() if c.rstrip("LR") == base), default=0.0) for base in (first, second)
        ]
        if min(strengths) > above:
            weaker = second if strengths[0] >= strengths[1] else first
            kept = {code: value for code, value in kept.items() if code.rstrip("LR") != weaker}
    return dict(sorted(kept.items(), key=lambda item: (-item[1], item[0]))[:MAX_UNITS])


def _mean(values: Sequence[float]) -> float:
    return round(float(np.mean(values)), 1) if values else 0.0


def statistics(records: Sequence[Record]) -> dict[str, Any]:
    """Return counts and means over records: by file, split, category, kind of text and action unit."""
    values = [value for record in records for value in record.aus.values()]
    return {
        "records": len(records),
        "texts": sum(len(record.texts) for record in records),
        "files": dict(Counter(record.id.partition("-")[0] for record in records if _WRITTEN.fullmatch(record.id))),
        "splits": dict(Counter(record.split for record in records)),
        "categories": dict(Counter(record.category for record in records)),
        "words": {kind: _mean([len(r.texts[kind].split()) for r in records if kind in r.texts]) for kind in KINDS},
        "units": dict(Counter(code.rstrip("LR") for record in records for code in record.aus).most_common()),
        "units_per_record": round(len(values) / max(1, len(records)), 2),
        "intensity": round(float(np.mean(values)), 3) if values else 0.0,
        "one_sided": sum(any(code[-1] in "LR" for code in record.aus) for record in records),
    }
