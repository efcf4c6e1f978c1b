"""Check of tables before they are trained on: is all as the schema says, and what is in it.

`check(path)` takes a table's folder or file, a folder with several tables, or TEAD as lines, and returns a finding for
each table. A problem is something wrong; a note is something a person should know. Nothing is changed.
"""

import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from expclip import check_faces, check_texts, schema, storage, tables
from expclip.errors import BadRequestError
from expclip.findings import Finding, listed
from expclip.rig import load_rig, order_digest

if TYPE_CHECKING:
    import pyarrow as pa

_INSIDE = ("clips", "tracks", "expressions", "animations", "clips.errors", "tracks.errors", "animations.errors")
_LINES = ".jsonl"


def check(path: str, *, samples: int = 12) -> list[Finding]:
    """Return what is found in each table at a path, with up to `samples` faces of each.

    Raises BadRequestError if there is no table of ours.
    """
    if not storage.exists(path):
        raise BadRequestError(f"no such file or folder: {path}")
    path = path.rstrip("/")
    if not storage.is_folder(path):
        return [_check([path], path, samples)]
    files = storage.listing(path, tables.SUFFIX) or storage.listing(path, _LINES)
    if files:
        return [_check(files, path, samples)]
    inside = {storage.join(path, name): storage.listing(storage.join(path, name), tables.SUFFIX) for name in _INSIDE}
    found = [_check(files, folder, samples) for folder, files in inside.items() if files]
    if not found:
        raise BadRequestError(
            f"{path} holds no table: no .parquet and no {_LINES} file, and none in {', '.join(_INSIDE[:4])}"
        )
    return found


def _check(files: Sequence[str], path: str, samples: int) -> Finding:
    suffix = files[0][files[0].rfind(".") :].lower()
    if suffix == _LINES:
        return check_texts.tead(Finding(path, "TEAD"), _lines(files, path), samples)
    if suffix != tables.SUFFIX:
        raise BadRequestError(f"{path}: unknown suffix of a table; valid: {tables.SUFFIX}, {_LINES}")
    columns = tables.read_schema(files[0])
    kind = schema.kind_of(columns.names)
    if kind is None:
        known = ", ".join(schema.TABLES)
        raise BadRequestError(f"{path} has the columns {', '.join(columns.names)}, which are those of none of: {known}")
    finding = Finding(path, kind)
    readable = [file for file in files if _check_columns(finding, file, kind)]
    _CHECKS[kind](finding, readable, samples)
    if not finding.rows and not finding.count and kind != "ERRORS":
        finding.wrong("it has no row")
    return finding


def _lines(files: Sequence[str], path: str) -> list[Any]:
    """Return TEAD's records from lines, None for one that is not JSON; raises BadRequestError if the first is none."""
    rows = [_json(line) for file in files for line in storage.read_text(file).splitlines() if line.strip()]
    if not rows or not isinstance(rows[0], dict) or schema.kind_of(rows[0]) != "TEAD":
        raise BadRequestError(f"{path}: its lines are no TEAD records")
    return rows


def _json(line: str) -> Any:
    try:
        return json.loads(line)
    except ValueError:
        return None


def _check_columns(finding: Finding, file: str, kind: str) -> bool:
    """Add what is wrong with a file's columns; return whether its rows can be read."""
    name = file.rsplit("/", 1)[-1]
    try:
        columns = tables.read_schema(file)
    except BadRequestError as error:
        finding.wrong(str(error))
        return False
    if schema.kind_of(columns.names) != kind:
        finding.wrong(f"{name} is no {kind}: its columns are {', '.join(columns.names)}")
        return False
    strange = []
    for column in schema.TABLES[kind]:
        if column.name not in columns.names:
            finding.wrong(f"{name} lacks the column {column.name}")
        elif not _same_type(columns.field(column.name).type, column.type):
            finding.wrong(f"{name}: column {column.name} is {columns.field(column.name).type}, not {column.type}")
            strange.append(column.name)
    _check_channels(finding, columns, name)
    return not {"weights", "valid", "mask", "texts", "aus"} & set(strange)


def _same_type(found: "pa.DataType", wanted: "pa.DataType") -> bool:
    """Whether two types are one, whatever their inner fields are called and whether texts are large."""
    import pyarrow as pa

    if pa.types.is_map(found) and pa.types.is_map(wanted):
        return _same_type(found.key_type, wanted.key_type) and _same_type(found.item_type, wanted.item_type)
    if pa.types.is_fixed_size_list(wanted):
        return bool(found.id == wanted.id and found.list_size == wanted.list_size)
    if pa.types.is_list(wanted):
        nested = pa.types.is_list(found) or pa.types.is_large_list(found)
        return nested and _same_type(found.value_type, wanted.value_type)
    return str(found).removeprefix("large_") == str(wanted)


def _check_channels(finding: Finding, columns: "pa.Schema", name: str) -> None:
    """Add what the order of channels is, where a table has weights."""
    if "weights" not in columns.names:
        return
    names, rig = schema.channels_of(columns), load_rig()
    if names is None:
        finding.wrong(f"{name} does not name the channels of its weights")
        return
    finding.figures["channels"] = f"{len(names)}, order {order_digest(names)}"
    if order_digest(names) != rig.digest:
        finding.notes.append(f"{name}: channels in another order than {rig.name}'s {rig.digest}; they are read by name")


def errors(finding: Finding, files: Sequence[str], samples: int) -> Finding:
    """Return what a table of errors says: how many rows failed, and of what."""
    rows = [row for file in files for row in tables.read(file, ("clip_id", "error")).to_pylist()]
    finding.rows = len(rows)
    finding.figures["reasons"] = listed(Counter(str(row["error"])[:80] for row in rows))
    finding.notes += [f"{row['clip_id']}: {row['error']}" for row in rows]
    return finding


Check = Callable[[Finding, Sequence[str], int], Finding]
_CHECKS: Mapping[str, Check] = {
    "CLIPS": check_texts.clips,
    "TRACKS": check_faces.tracks,
    "EXPRESSIONS": check_faces.expressions,
    "TEAD": check_texts.tead_table,
    "ANIMATIONS": check_faces.animations,
    "ERRORS": errors,
}


def readable(finding: Finding, most: int = 20) -> str:
    """Return a finding as text for a screen."""
    lines = [f"{finding.kind}  {finding.path}: {finding.rows} rows"]
    lines += [f"  {name:<27} {value}" for name, value in finding.figures.items()]
    for name, entries, count in (
        ("note", finding.notes, len(finding.notes)), ("problem", finding.problems, finding.count)
    ):  # fmt: skip
        lines += [f"  {count} {name}{'s' * (count != 1)}"] if count else []
        lines += [f"    {entry}" for entry in entries[:most]]
        lines += [f"    ... and {count - most} more"] if count > most else []
    return "\n".join(lines)
