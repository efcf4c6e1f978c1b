"""Corpora: one importer a corpus, and the folders that ingested or synthesised corpora are.

An importer is a module of three constants (LICENCE, BRINGS, LAYOUT) and of those of four functions that it needs:

- `clips(tree, options)` yields a Source for every clip, by the names of files alone: nothing is opened that is not
  an index of the corpus. Yielding nothing means that the folder does not hold the corpus.
- `read(source, audio_folder)` opens one source, in whatever process, and returns what it found; what it raises is
  that clip's error. Sound that lies packed in an archive is written to `audio_folder`.
- `parts(source)` cuts a long recording into the clips it holds; most corpora come cut.
- `expressions(tree)` yields rows of EXPRESSIONS, or {"id", "error"} for one that is broken.

A corpus folder is `clips/*.parquet`, `tracks/*.parquet`, `expressions/*.parquet`, `audio/*`; the column `audio` is
relative to that folder. `read` gives clips and tracks back.
"""

import importlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from expclip import storage
from expclip.corpora.tree import Tree
from expclip.errors import BadRequestError, unknown

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pyarrow as pa

    from expclip.rig import FloatArray

Row = dict[str, Any]
"""A row of CLIPS, TRACKS or EXPRESSIONS by column name."""

CORPORA = {
    "3d-etf": "expclip.corpora.etf3d",
    "aligned": "expclip.corpora.aligned",
    "beat": "expclip.corpora.beat",
    "beat2": "expclip.corpora.beat2",
    "blendvoca": "expclip.corpora.blendvoca",
    "emo3d": "expclip.corpora.emo3d",
    "facegood": "expclip.corpora.facegood",
    "folder": "expclip.corpora.folder",
    "grid": "expclip.corpora.grid",
    "livelink": "expclip.corpora.livelink",
    "mead": "expclip.corpora.mead",
    "mmhead": "expclip.corpora.mmhead",
    "ravdess": "expclip.corpora.ravdess",
    "vocaset": "expclip.corpora.vocaset",
}
"""Corpus name -> module."""


@dataclass(frozen=True)
class Cut:
    """How the importer `folder` cuts recordings into clips; scene changes always part two clips."""

    pause: float = 0.35  # seconds of silence that may part two clips
    level: float = -35.0  # dB below which sound is silence
    scene: float = 0.3  # how much a picture must differ from the last one to begin a scene, 0..1
    shortest: float = 1.0  # seconds; what is shorter is left out and noted
    longest: float = 20.0  # seconds; longer speech is cut at its best pause, else hard


@dataclass(frozen=True)
class Options:
    """Choices that some importers take."""

    matrix: str = ""  # beat2: .npz with `matrix` (103, N) and `names` (N), from FLAME's expression and jaw to ARKit
    cut: Cut = field(default_factory=Cut)  # folder


@dataclass(frozen=True)
class Source:
    """A clip as a corpus's file names tell of it; nothing but JSON values, so that it can go to another process."""

    clip: Row  # its row of CLIPS so far
    files: Mapping[str, str] = field(default_factory=dict)  # what `read` opens, by role
    key: str = ""  # its name within a packed file
    options: Mapping[str, Any] = field(default_factory=dict)  # what `read` or `parts` must know beside


@dataclass(frozen=True, eq=False)
class Calibration:
    """How a speaker's measured weights become ours: what rests comes to 0, then each channel gets its gain."""

    rest_C: "FloatArray"
    gain_C: "FloatArray"


@dataclass(frozen=True, eq=False)
class Measured:
    """Weights (T, C) in the rig's order as a corpus has them: its own rest, rate and range, nothing clamped."""

    weights_TC: "FloatArray"
    time_T: "npt.NDArray[np.float64]"  # seconds of each frame from the clip's start, rising
    valid_T: "npt.NDArray[np.bool_]"  # where a face was measured
    channels: tuple[str, ...]  # what the corpus measures at all
    mask: tuple[str, ...]  # what may be learnt from it
    extractor: str  # what measured it
    stated_fps: float = 0.0  # the corpus's word for its rate; 0: none
    timed: bool = True  # whether the times come from the file, not from the stated rate
    lag: float = 0.0  # seconds by which the face comes after the sound
    calibration: Calibration | None = None  # None: the speaker's rest, found in his recordings, and no gain


@dataclass(frozen=True, eq=False)
class Found:
    """What a source turned out to hold: its row of CLIPS with an absolute `audio`, its weights, what is odd."""

    clip: Row
    measured: Measured | None = None
    notes: tuple[str, ...] = ()


def _as_listed(source: Source, audio_folder: str) -> Found:
    return Found(source.clip)


@dataclass(frozen=True)
class Importer:
    """A corpus's module, with what it leaves out filled in."""

    name: str
    licence: str
    brings: str
    layout: str
    clips: Callable[[Tree, Options], Iterator[Source]]
    read: Callable[[Source, str], Found]
    expressions: Callable[[Tree], Iterator[Row]]
    parts: Callable[[Source], Row] | None


def load(corpus: str) -> Importer:
    """Return the importer of a corpus by name."""
    if corpus not in CORPORA:
        raise unknown("corpus", corpus, CORPORA)
    module = importlib.import_module(CORPORA[corpus])
    return Importer(
        corpus,
        module.LICENCE,
        module.BRINGS,
        module.LAYOUT,
        getattr(module, "clips", lambda tree, options: iter(())),
        getattr(module, "read", _as_listed),
        getattr(module, "expressions", lambda tree: iter(())),
        getattr(module, "parts", None),
    )


def tree(importer: Importer, root: str, options: Options, *, output: str = "") -> Tree:
    """Return the files of a root that holds the corpus, without those in the folder `output`.

    Raises BadRequestError, saying what was looked for, if it does not hold it.
    """
    if not storage.is_folder(root):
        raise BadRequestError(f"{root} is a file, not a folder" if storage.exists(root) else f"no such folder: {root}")
    files = Tree.of(root).without(output) if output else Tree.of(root)
    if holds(importer, files, options):
        return files
    likely = [name for name in CORPORA if name != "folder" and _looks_like(name, files)]
    hint = f"; it looks like {' or '.join(likely)}" if likely else ""
    raise BadRequestError(f"{root} holds nothing for corpus {importer.name!r}: expected {importer.layout}{hint}")


def holds(importer: Importer, files: Tree, options: Options) -> bool:
    """Whether the files are those of the corpus, as far as their names tell."""
    first = next(importer.clips(files, options), None) or next(importer.expressions(files), None)
    return first is not None


def _looks_like(corpus: str, files: Tree) -> bool:
    try:
        return holds(load(corpus), files, Options())
    except (BadRequestError, OSError):  # its index is broken: a guess is not worth an error
        return False


def read(folder: str) -> tuple[list[Row], dict[str, "pa.Table"]]:
    """Return the clips of a corpus folder, `audio` made absolute, and by clip_id one-row tables of its tracks.

    The `audio` of a picture alone stays empty. Tracks in several segments are joined. A corpus without faces has no
    tracks.
    """
    from expclip import tracks

    clips = table(storage.join(folder, "clips")).to_pylist()
    for row in clips:
        row["audio"] = storage.join(folder, row["audio"]) if row["audio"] else ""
    if not storage.listing(storage.join(folder, "tracks"), ".parquet"):
        return clips, {}
    return clips, tracks.by_clip(table(storage.join(folder, "tracks")))


def table(folder: str, columns: list[str] | None = None) -> "pa.Table":
    """Return all parquet files of a folder as one table, or some columns; raises BadRequestError if there is none.

    Files that an earlier version wrote without a column have null there.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    files = storage.listing(folder, ".parquet")
    if not files:
        raise BadRequestError(f"no .parquet file in {folder}")
    tables = []
    for file in files:
        with storage.open_read(file) as content:
            parquet = pq.ParquetFile(content)
            wanted = None if columns is None else [c for c in columns if c in parquet.schema_arrow.names]
            tables.append(parquet.read(wanted, use_threads=False))  # see `tracks.read_file`
    return pa.concat_tables(tables, promote_options="default")


def write_table(path: str, rows: list[Row], schema: "pa.Schema") -> None:
    """Write rows as one parquet file of the schema, whole or not at all."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    with storage.write_once(path) as name:
        pq.write_table(pa.Table.from_pylist([_plain(row) for row in rows], schema), name, compression="zstd")


def _plain(row: Mapping[str, Any]) -> Row:
    """Return a row with arrays (T, C) as lists of their frames, which is what pyarrow takes."""
    return {key: list(value) if hasattr(value, "shape") else value for key, value in row.items()}
