"""What `annotate` reads: a table of tracks or expressions, or a list of texts -> items.

The kind of input is told from its columns, never from its name. What is wrong with the input as a whole raises; what
is wrong with one row becomes a `BadLine`.
"""

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from expclip import catalogue, faces, schema, storage, tables, tead
from expclip.catalogue import BadLine
from expclip.errors import BadRequestError, unknown
from expclip.items import Found, Item, SourceOptions, checked, text_item

SUFFIXES = (".txt", ".jsonl", ".csv", ".parquet")


def read(path: str, options: SourceOptions = SourceOptions()) -> Found:  # noqa: B008 - frozen
    """Return the items of an input: a table's folder, a corpus's folder, or a .parquet, .jsonl, .csv or .txt file.

    Raises BadRequestError if it is missing, empty or of no kind that can be annotated.
    """
    if options.kind and options.kind not in tead.KINDS:
        raise unknown("kind of text", options.kind, tead.KINDS)
    if not storage.exists(path):
        raise BadRequestError(f"no such file or folder: {path}")
    if storage.is_folder(path):
        return _folder(path.rstrip("/"), options)
    suffix = path[path.rfind(".") :].lower()
    if suffix not in SUFFIXES:
        raise BadRequestError(f"{path}: unknown suffix of an input; valid: {', '.join(SUFFIXES)}, or a table's folder")
    if suffix == ".parquet":
        return _tables([path], storage.parent(path), options)
    if suffix == ".txt":
        try:
            lines = storage.read_text(path).splitlines()
        except UnicodeDecodeError as error:
            raise BadRequestError(f"{path} is not text in UTF-8: {error.reason} at byte {error.start}") from None
        rows = {number: {"text": line} for number, line in enumerate(lines, 1) if line.strip()}
        return _texts(list(rows.values()), path, options, list(rows))
    return _texts(catalogue.read_rows(path), path, options)


def _folder(folder: str, options: SourceOptions) -> Found:
    """Read a table's folder, or the table of faces in a corpus's folder."""
    inside = [n for n in ("tracks", "expressions") if storage.listing(storage.join(folder, n), ".parquet")]
    if len(inside) > 1:
        raise BadRequestError(f"{folder} holds {' and '.join(inside)}; name one: {storage.join(folder, inside[0])}")
    where = storage.join(folder, *inside)
    files = storage.listing(where, ".parquet")
    if not files:
        raise BadRequestError(f"{folder} holds no .parquet file, and no tracks/ or expressions/ with one")
    return _tables(files, where, options)


def _tables(files: Sequence[str], folder: str, options: SourceOptions) -> Found:
    columns = tables.read_schema(files[0])
    kind = schema.kind_of(columns.names)
    if kind in ("TRACKS", "EXPRESSIONS"):
        return faces.read(kind, files, folder, options)
    if kind is None and "text" in columns.names:
        return _texts([row for path in files for row in catalogue.read_rows(path)], files[0], options)
    what = f"a table {kind}" if kind else f"a table with the columns {', '.join(columns.names)}"
    raise BadRequestError(f"{folder}: {what}; annotate takes TRACKS, EXPRESSIONS, or texts in a column 'text'")


def _texts(rows: Sequence[Mapping[str, Any]], path: str, options: SourceOptions, numbers: Sequence[int] = ()) -> Found:
    """Return the items of rows; `numbers` are theirs in the file, by default 1, 2, ..."""
    if not rows:
        raise BadRequestError(f"{path}: no text in it")
    if "text" not in rows[0]:
        raise BadRequestError(f"{path}: no column 'text'; it has: {', '.join(map(str, rows[0]))}")
    found = Found("TEXTS", rows=len(rows))
    seen: dict[str, int] = {}
    for number, row in zip(numbers or range(1, len(rows) + 1), rows, strict=True):
        key = _cell(row, "id")
        try:
            item = _text_row(row, number, path, options)
            first = seen.setdefault(next(iter(item.texts.values())).casefold(), number)
            if first < number:
                raise BadRequestError(f"the same text as in row {first}")
            found.items.append(item)
        except BadRequestError as error:
            found.bad.append(BadLine(key or f"row-{number}", json.dumps(dict(row), default=str), str(error)))
    return checked(found)


def _text_row(row: Mapping[str, Any], number: int, path: str, options: SourceOptions) -> Item:
    catalogue.check_cells(row)
    text, kind = _cell(row, "text"), _cell(row, "kind")
    if kind and kind not in tead.KINDS:
        raise unknown("kind of text", kind, tead.KINDS)
    digest = hashlib.sha256(" ".join(text.split()).casefold().encode()).hexdigest()[:12]
    item = text_item(_cell(row, "id") or f"text-{digest}", text, kind, options)
    label = _cell(row, "emotion")
    return replace(
        item,
        hints=(f"labelled: {label}",) if label else (),
        corpus=_cell(row, "corpus"),
        source=f"{path.rsplit('/', 1)[-1]}, row {number}",
        licence=_cell(row, "licence") or options.licence,
    )


def _cell(row: Mapping[str, Any], column: str) -> str:
    """Return a cell as text; what is absent (NaN, in tables made with pandas) is empty."""
    value = row.get(column)
    return "" if value is None or (isinstance(value, float) and math.isnan(value)) else str(value).strip()
