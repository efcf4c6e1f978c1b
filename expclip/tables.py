"""Tables read back: which files, which columns, and weights as arrays in the rig's order by the names they carry.

T frames, C channels.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from expclip import schema, storage
from expclip.errors import BadRequestError
from expclip.rig import FloatArray, load_rig

if TYPE_CHECKING:
    import pyarrow as pa

BoolArray = npt.NDArray[np.bool_]
SUFFIX = ".parquet"


def folder_of(path: str) -> str:
    """Return the folder that holds a table's folder, which its paths are relative to; `path` is either or its file."""
    return storage.parent(path if storage.is_folder(path) else storage.parent(path))


def read_schema(path: str) -> "pa.Schema":
    """Return the columns of a file; raises BadRequestError if it is no table."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with storage.open_read(path) as file:
            return pq.read_schema(file)
    except pa.ArrowInvalid as error:
        raise BadRequestError(f"{path} is not a readable table: {str(error).splitlines()[0]}") from None


def read(path: str, columns: Sequence[str]) -> "pa.Table":
    """Return those of the columns that a file has; raises BadRequestError if it is no table."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with storage.open_read(path) as file:
            content = pq.ParquetFile(file)
            known = [name for name in columns if name in content.schema_arrow.names]
            return content.read(known, use_threads=False)  # see `tracks.read_file`
    except pa.ArrowInvalid as error:
        raise BadRequestError(f"{path} is not a readable table: {str(error).splitlines()[0]}") from None


def channel_order(table: "pa.Table", path: str) -> list[int]:
    """Return where each of the rig's channels stands in a table's weights, by the names that the table carries.

    Raises BadRequestError if it carries none, an unknown one or another number of them, or lacks a channel.
    """
    import pyarrow as pa

    names = schema.channels_of(table.schema)
    if names is None:
        raise BadRequestError(f"{path} does not name the channels of its weights (metadata `channels` of its schema)")
    if "weights" not in table.column_names:
        raise BadRequestError(f"{path} lacks the column weights")
    kind = table.schema.field("weights").type
    kind = kind if pa.types.is_fixed_size_list(kind) else kind.value_type
    if not pa.types.is_fixed_size_list(kind) or kind.list_size != len(names):
        raise BadRequestError(f"{path}: weights are {kind}, not lists of {len(names)} for the channels it names")
    rig = load_rig()
    places = {rig.index(name): k for k, name in enumerate(names)}
    missing = [name for k, name in enumerate(rig.channels) if k not in places]
    if missing:
        raise BadRequestError(f"{path} lacks the channel {missing[0]}")
    return [places[k] for k in range(len(rig))]


def frames(row: "pa.Table", order: Sequence[int], column: str = "weights") -> FloatArray:
    """Return weights (T, C) of a one-row table, in the rig's order; what is missing is NaN."""
    frames = row[column].combine_chunks().flatten()
    return np.asarray(frames.flatten(), np.float32).reshape(len(frames), frames.type.list_size)[:, order]


def flags(row: "pa.Table", column: str = "valid") -> BoolArray:
    """Return booleans (T,) of a one-row table."""
    return np.asarray(row[column].combine_chunks().flatten(), bool)


def check_range(weights: FloatArray) -> None:
    """Raise BadRequestError unless all weights lie within 0..1; NaN does not."""
    outside = ~((weights >= 0) & (weights <= 1))
    if outside.any():
        raise BadRequestError(f"weight {float(weights[outside][0])!r} is outside 0..1")
