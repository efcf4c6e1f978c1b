"""A table as a folder of Parquet shards that many workers write and later runs repair.

Every row carries `clip_id` and `request`, the digest of all that decided it. A clip may have several rows; they lie in
one shard, which appears whole or not at all.
"""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from expclip import schema, storage
from expclip.errors import BadRequestError

KEY, REQUEST = "clip_id", "request"
_SUFFIX = ".parquet"


def digest(*parts: object) -> str:
    """Return 32 hex digits over the parts, in their order."""
    return hashlib.sha256("\0".join(map(str, parts)).encode()).hexdigest()[:32]


def with_request(target: pa.Schema) -> pa.Schema:
    """Return the schema with a column for the request's digest, where it lacks one."""
    return target if REQUEST in target.names else target.append(pa.field(REQUEST, pa.string()))


def write(folder: str, name: str, rows: Sequence[Mapping[str, Any]], target: pa.Schema) -> None:
    """Write the rows as one shard called `name`; columns a row lacks are null."""
    columns = [_array([row.get(field.name) for row in rows], field.type) for field in target]
    _put(storage.join(folder, name + _SUFFIX), pa.Table.from_arrays(columns, schema=target))


def _put(path: str, table: pa.Table) -> None:
    with storage.write_once(path) as name:
        pq.write_table(table, name, compression="zstd")


def _array(values: Sequence[Any], kind: pa.DataType) -> pa.Array:
    """Return a column; weights over time, given as arrays (T, C), go in without becoming Python numbers."""
    if not (pa.types.is_list(kind) and pa.types.is_fixed_size_list(kind.value_type) and len(values)):
        return pa.array(values, kind)
    if not all(isinstance(value, np.ndarray) for value in values):
        return pa.array(values, kind)
    offsets = np.cumsum([0, *map(len, values)]).astype(np.int32)
    flat = pa.array(np.concatenate(values).ravel().astype(np.float32))
    return pa.ListArray.from_arrays(offsets, pa.FixedSizeListArray.from_arrays(flat, kind.value_type.list_size))


def done(folder: str) -> dict[str, set[str]]:
    """Return the requests that the table holds for each clip."""
    found: dict[str, set[str]] = {}
    for path in storage.listing(folder, _SUFFIX):
        for clip_id, request in _keys(path):
            found.setdefault(clip_id, set()).add(request)
    return found


def finished(folder: str, name: str) -> set[tuple[str, str]]:
    """Return the (clip_id, request) that an earlier try at a block has left in its shards."""
    shards = (path for path in storage.listing(folder, _SUFFIX) if path.rsplit("/", 1)[-1].startswith(name))
    return {key for path in shards for key in _keys(path)}


def places(folder: str) -> dict[str, tuple[str, str]]:
    """Return for each clip of a table its request and the shard that holds it."""
    return {clip_id: (request, path) for path in storage.listing(folder, _SUFFIX) for clip_id, request in _keys(path)}


def _keys(path: str) -> list[tuple[str, str]]:
    with storage.open_read(path) as file:
        shard = pq.ParquetFile(file)
        if REQUEST not in shard.schema_arrow.names:
            raise BadRequestError(f"{path} was not written by a job that can be continued: choose another output")
        table = shard.read(columns=[KEY, REQUEST], use_threads=False)  # see `tracks.read_file`
    return list(zip(table[KEY].to_pylist(), table[REQUEST].to_pylist(), strict=True))


def compact(folder: str, valid: Mapping[str, str | None]) -> None:
    """Remove rows that are out of date: of each clip in `valid` only the rows of one shard, with that request, stay.

    Clips that `valid` does not name are left alone.
    """
    kept: set[str] = set()
    for path in storage.listing(folder, _SUFFIX):
        keys = _keys(path)
        keep = [c not in kept and (c not in valid or valid[c] == request) for c, request in keys]
        kept.update(clip_id for (clip_id, _), good in zip(keys, keep, strict=True) if good)
        if not any(keep):
            storage.remove(path)
        elif not all(keep):
            with storage.local_copy(path) as name:
                table = pq.read_table(name).filter(pa.array(keep))
            _put(path, table)


def write_errors(folder: str, errors: Sequence[Mapping[str, str]]) -> None:
    """Make the table of errors say just these; with none, it has no files."""
    name = "part-0"
    for path in storage.listing(folder, _SUFFIX):
        if not errors or Path(path).name != name + _SUFFIX:
            storage.remove(path)
    if errors:
        write(folder, name, sorted(errors, key=lambda error: error[KEY]), schema.ERRORS)


def block_name(keys: Iterable[tuple[str, str]]) -> str:
    """Return the shard's name for a block of (clip_id, request): the same block always writes the same file."""
    return "part-" + digest(*(part for key in keys for part in key))[:16]
