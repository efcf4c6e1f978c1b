"""Corpora: one importer a corpus, each yielding rows of CLIPS and, where it brings weights, of TRACKS.

A corpus that has been ingested or synthesised is a folder: `clips/*.parquet`, `tracks/*.parquet`, `audio/*`; the
column `audio` is relative to that folder. `read` gives it back.
"""

import importlib
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Protocol, cast

from expclip import storage
from expclip.errors import BadRequestError, unknown

if TYPE_CHECKING:
    import pyarrow as pa

Row = dict[str, Any]
"""A row of CLIPS or TRACKS by column name."""

CORPORA = {
    "aligned": "expclip.corpora.aligned",
    "facegood": "expclip.corpora.facegood",
    "grid": "expclip.corpora.grid",
    "videos": "expclip.corpora.videos",
}
"""Corpus name -> module."""


class Corpus(Protocol):
    """What a corpus's module offers."""

    def clips(self, root: str, *, audio_folder: str = "") -> Iterator[tuple[Row, Row | None]]:
        """Yield a CLIPS row (without phones) and, where weights are known, its TRACKS row for every clip under `root`.

        Sound that lies packed in an archive is written to `audio_folder`. Raises BadRequestError if `root` does not
        hold the corpus.
        """


def load(corpus: str) -> Corpus:
    """Return the importer of a corpus by name."""
    if corpus not in CORPORA:
        raise unknown("corpus", corpus, CORPORA)
    return cast(Corpus, importlib.import_module(CORPORA[corpus]))


def read(folder: str) -> tuple[list[Row], dict[str, "pa.Table"]]:
    """Return the clips of a corpus folder, `audio` made absolute, and by clip_id one-row tables of its tracks.

    Tracks in several segments are joined. A corpus without faces has no tracks.
    """
    from expclip import tracks

    clips = table(storage.join(folder, "clips")).to_pylist()
    for row in clips:
        row["audio"] = storage.join(folder, row["audio"])
    if not storage.listing(storage.join(folder, "tracks"), ".parquet"):
        return clips, {}
    return clips, tracks.by_clip(table(storage.join(folder, "tracks")))


def table(folder: str) -> "pa.Table":
    """Return all parquet files of a folder as one table; raises BadRequestError if there is none."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    files = storage.listing(folder, ".parquet")
    if not files:
        raise BadRequestError(f"no .parquet file in {folder}")
    tables = []
    for file in files:
        with storage.open_read(file) as content:
            tables.append(pq.read_table(content))
    return pa.concat_tables(tables, promote_options="default")  # an older file may lack columns


def write_table(path: str, rows: list[Row], schema: "pa.Schema") -> None:
    """Write rows as one parquet file of the schema, whole or not at all."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    with storage.write_once(path) as name:
        pq.write_table(pa.Table.from_pylist([_plain(row) for row in rows], schema), name, compression="zstd")


def _plain(row: Mapping[str, Any]) -> Row:
    """Return a row with arrays (T, C) as lists of their frames, which is what pyarrow takes."""
    return {key: list(value) if hasattr(value, "shape") else value for key, value in row.items()}
