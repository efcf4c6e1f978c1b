"""Corpus folders as jobs write them: TRACKS rows that also carry their CLIPS columns, from which CLIPS is drawn.

Workers write one row a clip into `FOLDER/tracks`, so that a killed job never leaves one table without the other;
`write_clips` then copies the columns of CLIPS out, which reads no weights.
"""

import pyarrow as pa
import pyarrow.parquet as pq

from expclip import corpora, storage
from expclip.schema import CLIPS


def joined(schema: pa.Schema) -> pa.Schema:
    """Return the schema with the columns of CLIPS that it lacks behind its own."""
    return pa.schema(
        [*schema, *(column for column in CLIPS if column.name not in schema.names)], metadata=schema.metadata
    )


def write_clips(folder: str) -> int:
    """Write `FOLDER/clips` anew from the rows in `FOLDER/tracks`; return how many there are."""
    tracks, none = storage.join(folder, "tracks"), CLIPS.empty_table()
    found = corpora.table(tracks, CLIPS.names) if storage.listing(tracks, ".parquet") else none
    clips = pa.concat_tables([found, none], promote_options="default").select(CLIPS.names).cast(CLIPS)
    with storage.write_once(storage.join(folder, "clips/part-00000.parquet")) as name:
        pq.write_table(clips.sort_by("clip_id"), name, compression="zstd")
    return len(clips)
