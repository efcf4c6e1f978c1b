"""Catalogues: a table of lines to animate (.csv, .parquet, .jsonl; local or s3://) -> checked lines and bad ones.

Columns `clip_id, audio, prompt`, optional `intensity, start, end, seed, fps`. Paths of sound are relative to the
catalogue's folder. What is wrong with the file as a whole raises; what is wrong with one row becomes a `BadLine`.
"""

import csv
import hashlib
import io
import json
import math
import os
import re
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from expclip import storage
from expclip.animation import check_fps
from expclip.errors import BadRequestError, unknown
from expclip.style import check_intensity, check_prompt

SUFFIXES = (".csv", ".parquet", ".jsonl")
REQUIRED = ("clip_id", "audio", "prompt")
OPTIONAL = ("intensity", "start", "end", "seed", "fps")
COLUMNS = (*REQUIRED, *OPTIONAL)
_CLIP_ID = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,99}")
_SURPLUS = "_surplus"

Row = dict[str, Any]


@dataclass(frozen=True)
class Line:
    """One line to animate, checked as far as that is possible without decoding the sound."""

    clip_id: str
    audio: str  # absolute or s3://
    prompt: str
    intensity: float = 1.0  # 0..1.5, multiplies the strength of the prompt
    start: float = 0.0  # seconds
    end: float | None = None  # seconds; None: to the end of the sound
    seed: int = 0
    fps: float = 30.0
    stamp: str = ""  # size and time of the sound file, so that another sound under its name is noticed


@dataclass(frozen=True)
class BadLine:
    """A row that cannot be done, and why, on one line."""

    clip_id: str
    row: str  # the row as JSON
    error: str


DEFAULTS = Line("", "", "")


def is_catalogue(path: str) -> bool:
    """Whether a path's suffix is that of a catalogue."""
    return path.lower().endswith(SUFFIXES)


def read(path: str, defaults: Line = DEFAULTS) -> tuple[list[Line], list[BadLine]]:
    """Return the lines that can be tried and those that cannot; `defaults` fills the optional columns.

    A row without a seed gets one of its own, from its clip_id and the default.

    Raises BadRequestError if the file is missing, unreadable or empty, if a column is unknown, missing or repeated,
    or if two rows have the same clip_id.
    """
    rows = read_rows(path)
    _check_columns(rows, path)
    # Capitals do not tell two files apart everywhere.
    counts = Counter(str(row["clip_id"]).lower() for row in rows if not _absent(row.get("clip_id")))
    repeated = [row["clip_id"] for row in rows if counts[str(row.get("clip_id")).lower()] > 1]
    if repeated:
        raise BadRequestError(f"{path}: duplicate clip_id {str(repeated[0])!r}; each row needs its own")
    folder = storage.parent(path) if storage.is_remote(path) else os.path.dirname(os.path.abspath(path))
    lines: list[Line] = []
    bad: list[BadLine] = []
    for number, row in enumerate(rows, 1):
        try:
            lines.append(_line(row, folder, defaults))
        except BadRequestError as error:
            bad.append(_bad(row, f"row {number}: {error}"))
    return _with_sound(lines, bad)


def _with_sound(lines: list[Line], bad: list[BadLine]) -> tuple[list[Line], list[BadLine]]:
    """Put the sound files' stamps into the lines; lines whose file is missing go to the bad ones."""
    stamps = storage.fingerprints({line.audio for line in lines})
    missing = [line for line in lines if line.audio not in stamps]
    bad += [_bad(vars(line), f"no such file: {line.audio}") for line in missing]
    return [replace(line, stamp=stamps[line.audio]) for line in lines if line.audio in stamps], bad


def _bad(row: Mapping[str, Any], error: str) -> BadLine:
    return BadLine(_text(row.get("clip_id")), json.dumps(dict(row), default=str, ensure_ascii=False), error)


def read_rows(path: str) -> list[Row]:
    """Return the rows of a .csv, .parquet or .jsonl file, whatever their columns.

    Raises BadRequestError if the file is missing, unreadable or empty.
    """
    if not is_catalogue(path):
        raise BadRequestError(f"{path}: unknown suffix of a catalogue; valid: {', '.join(SUFFIXES)}")
    if not storage.exists(path):
        raise BadRequestError(f"no such file: {path}")
    if storage.is_folder(path):
        raise BadRequestError(f"{path} is a folder, not a catalogue")
    reader: Callable[[bytes], list[Row]] = {".csv": _csv, ".parquet": _parquet, ".jsonl": _jsonl}[
        path[path.rfind(".") :].lower()
    ]
    try:
        rows = reader(storage.read_bytes(path))
    except (ValueError, csv.Error) as error:  # pyarrow's and json's errors are ValueErrors
        reason = str(error).strip().splitlines() or [type(error).__name__]
        raise BadRequestError(f"{path}: not a readable catalogue: {reason[0]}") from None
    if not rows:
        raise BadRequestError(f"{path}: the catalogue is empty")
    return rows


def _csv(content: bytes) -> list[Row]:
    reader = csv.DictReader(io.StringIO(content.decode("utf-8-sig"), newline=""), restkey=_SURPLUS, strict=True)
    names = [name.strip() for name in reader.fieldnames or ()]
    if len(set(names)) < len(names):
        raise ValueError(f"a column is named twice in: {', '.join(names)}")
    reader.fieldnames = names
    return list(reader)


def _jsonl(content: bytes) -> list[Row]:
    rows = []
    for number, text in enumerate(content.decode("utf-8-sig").splitlines(), 1):
        if text.strip():
            row = json.loads(text)
            if not isinstance(row, dict):
                raise ValueError(f"line {number} is no JSON object")
            rows.append(row)
    return rows


def _parquet(content: bytes) -> list[Row]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    rows: list[Row] = pq.read_table(pa.BufferReader(content)).to_pylist()
    return rows


def _check_columns(rows: list[Row], path: str) -> None:
    named = dict.fromkeys(name for row in rows for name in row if name != _SURPLUS)
    for name in named:
        if name not in COLUMNS:
            raise unknown(f"column in {path}:", name, COLUMNS)
    for name in REQUIRED:
        if name not in named:
            raise BadRequestError(f"{path}: missing column {name!r}; needed: {', '.join(REQUIRED)}")


def check_cells(row: Mapping[str, Any]) -> None:
    """Raise BadRequestError if a row of a .csv has more cells than there are columns."""
    if _SURPLUS in row:
        raise BadRequestError(f"more cells than columns: {row[_SURPLUS]!r} (quote texts that hold commas)")


def _line(row: Row, folder: str, defaults: Line) -> Line:
    check_cells(row)
    clip_id, audio = _text(row.get("clip_id")), _text(row.get("audio"))
    if not _CLIP_ID.fullmatch(clip_id):
        raise BadRequestError(f"clip_id {clip_id!r} is not made of 1 to 100 of: letters, digits, '.', '_', '-'")
    if not audio:
        raise BadRequestError("audio is empty")
    start = _number(row, "start", defaults.start)
    return Line(
        clip_id,
        storage.join(folder, audio),
        check_prompt(_text(row.get("prompt"))),
        check_intensity(_number(row, "intensity", defaults.intensity)),
        start,
        check_cut(start, None if _is_nan(row.get("end")) else _number(row, "end", defaults.end)),
        _seed(_number(row, "seed", _own_seed(clip_id, defaults.seed))),
        check_fps(_number(row, "fps", defaults.fps)),
    )


def check_cut(start: float, end: float | None) -> float | None:
    """Return the end of a cut in seconds; raises BadRequestError unless 0 <= start < end."""
    if not (math.isfinite(start) and start >= 0):
        raise BadRequestError(f"start {start!r} is not a time within the sound")
    if end is not None and not math.isfinite(end):
        raise BadRequestError(f"end {end!r} is not a time within the sound")
    if end is not None and not end > start:
        raise BadRequestError(f"end {end:g} s is not after start {start:g} s")
    return end


def _own_seed(clip_id: str, seed: int) -> int:
    """Return the seed of a row that names none: another for each clip, or all of them would blink together."""
    return int(hashlib.sha256(f"{seed}/{clip_id}".encode()).hexdigest()[:8], 16)


def _seed(value: float) -> int:
    if not (0 <= value < 2**53 and float(value).is_integer()):
        raise BadRequestError(f"seed {value!r} is not a whole number from 0")
    return int(value)


def _number(row: Row, column: str, default: Any) -> Any:
    """Return a cell as a number; what is absent takes the default."""
    value = row.get(column)
    if _absent(value):
        return default
    try:
        if isinstance(value, bool):
            raise ValueError
        return float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        raise BadRequestError(f"{column} {value!r} is not a number") from None


def _absent(value: Any) -> bool:
    return value is None or (isinstance(value, str) and not value.strip())


def _is_nan(value: Any) -> bool:
    """Tables made with pandas write NaN for a cell left empty; for `end` that can only mean the end of the sound."""
    return isinstance(value, float) and math.isnan(value)


def _text(value: Any) -> str:
    return "" if value is None else str(value).strip()
