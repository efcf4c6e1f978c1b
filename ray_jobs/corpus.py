"""Corpus folders as jobs write them: TRACKS rows that also carry their CLIPS columns, from which CLIPS is drawn.

Workers write one row a clip into `FOLDER/tracks`, so that a killed job never leaves one table without the other;
`write_clips` then copies the columns of CLIPS out, which reads no weights.
"""

import pyarrow as pa
import pyarrow.parquet as pq

from expclip import storage
from expclip.schema import CLIPS


def joined(schema: pa.Schema) -> pa.Schema:
    """Return the schema with the columns of CLIPS that it lacks behind its own."""
    return pa.schema(
        [*schema, *(column for column in CLIPS if column.name not in schema.names)], metadata=schema.metadata
    )


def write_clips(folder: str) -> int:
    """Write `FOLDER/clips` anew from the rows in `FOLDER/tracks`; return how many there are."""
    tables = []
    for path in storage.listing(storage.join(folder, "tracks"), ".parquet"):
        with storage.open_read(path) as file:
            tables.append(pq.read_table(file, columns=CLIPS.names))
    clips = pa.concat_tables(tables).select(CLIPS.names).cast(CLIPS) if tables else CLIPS.empty_table()
    with storage.write_once(storage.join(folder, "clips/part-00000.parquet")) as name:
        pq.write_table(clips.sort_by("clip_id"), name, compression="zstd")
    return len(clips)
