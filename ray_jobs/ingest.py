"""Job `ingest`: a corpus as it was published -> CLIPS, TRACKS, EXPRESSIONS and, if it was packed, the sound.

`expclip ingest grid ROOT -o FOLDER` leaves `FOLDER/clips/*.parquet` and, as far as the corpus brings them,
`FOLDER/tracks/*.parquet`, `FOLDER/expressions/*.parquet` and `FOLDER/audio/*`; what is broken lands in
`FOLDER/clips.errors` and `FOLDER/expressions.errors`. `FOLDER/ingest.json` says what the checks found. English clips
with a text get their phones by forced alignment. Running it again does only what is missing or changed.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

from expclip import corpora, storage
from expclip.corpora import Options, Source
from expclip.corpora.tree import Tree
from ray_jobs import cluster
from ray_jobs.cluster import Resources

if TYPE_CHECKING:
    from ray_jobs.pipeline import Row, Summary, Task

_SUMMARY = "ingest.json"


@dataclass(frozen=True)
class Config:
    """What to bring in, and where to."""

    corpus: str  # 3d-etf aligned beat beat2 blendvoca emo3d facegood folder grid livelink mead mmhead ravdess vocaset
    root: str  # folder that holds the corpus, local or s3://
    output: str  # folder to write, local or s3://
    options: Options = field(default_factory=Options)
    resources: Resources = field(default_factory=Resources)


def run(config: Config) -> dict[str, Any]:
    """Bring in what is missing, print the corpus's terms and what the checks found."""
    importer = corpora.load(config.corpus)
    root, output = storage.absolute(config.root), storage.absolute(config.output)
    matrix = storage.absolute(config.options.matrix) if config.options.matrix else ""
    options = Options(matrix, config.options.cut)
    tree = corpora.tree(importer, root, options, output=output)
    sources = list(importer.clips(tree, options))
    storage.check_writable(output)
    storage.clear_partials(output)
    print(f"ingest: {importer.name} from {config.root}, terms: {importer.licence}", flush=True)

    with cluster.kept():  # one cluster for cuts and clips
        summary = _clips(importer, sources, output, config.resources) if sources else None
    expressions, broken = _expressions(importer, tree, output)
    return _report(importer, config, output, summary, expressions, broken)


def _clips(importer: corpora.Importer, sources: Sequence[Source], output: str, resources: Resources) -> "Summary":
    """Write `clips` and `tracks`; recordings that come uncut are cut first, into `cuts`."""
    from expclip import ingest
    from expclip.schema import CLIPS, TRACKS
    from ray_jobs import pipeline

    bad: list[pipeline.Failure] = []
    if importer.parts is not None:
        sources, bad = _cut(importer, sources, output, resources)
    peers = ingest.peers(sources)
    return pipeline.map_table(
        partial(IngestStep, importer.name, output, peers),
        _tasks(sources, peers),
        table=storage.join(output, "clips"),
        schema=CLIPS,
        also={"tracks": TRACKS},
        resources=resources,
        bad=bad,
    )


def _cut(
    importer: corpora.Importer, sources: Sequence[Source], output: str, resources: Resources
) -> "tuple[list[Source], list[Any]]":
    """Return the clips of uncut recordings, and those recordings that cannot be cut."""
    from expclip import ingest
    from expclip.schema import CUTS
    from ray_jobs import pipeline

    table = storage.join(output, "cuts")
    summary = pipeline.map_table(
        partial(CutStep, importer.name),
        _tasks(sources, {}),
        table=table,
        schema=CUTS,
        resources=resources,
    )
    failed = {failure.clip_id for failure in summary.failures}
    known = [source for source in sources if source.clip["clip_id"] not in failed]
    cuts = {row["clip_id"]: row for row in corpora.table(table).to_pylist()} if known else {}
    parts = [part for source in known for part in ingest.split_parts(source, cuts[source.clip["clip_id"]])]
    _forget(output, {source.clip["clip_id"] for source in sources}, {part.clip["clip_id"] for part in parts})
    return parts, summary.failures


def _forget(output: str, recordings: set[str], parts: set[str]) -> None:
    """Remove clips of these recordings that were cut otherwise before."""
    from ray_jobs import shards

    table = storage.join(output, "clips")
    stale = {name for name in shards.done(table) if name.rpartition("_")[0] in recordings and name not in parts}
    for folder in (table, storage.join(output, "tracks")) if stale else ():
        shards.compact(folder, dict.fromkeys(stale))


def _tasks(sources: Sequence[Source], peers: "dict[str, list[Source]]") -> "list[Task]":
    """Return a task for each source; what decides it is the source, its files and those that tell the rest."""
    from expclip import ingest
    from ray_jobs import pipeline, shards

    paths = {path for source in sources for path in _paths(source)}
    prints = storage.fingerprints(paths)
    rests = {
        speaker: shards.digest(*(prints.get(path, "") for peer in found for path in ingest.measures(peer)))
        for speaker, found in peers.items()
    }
    tasks = []
    for source in sources:
        row = ingest.to_json(source)
        files = [prints.get(path, "") for path in _paths(source)]
        rest = rests.get(source.clip["speaker"], "") if ingest.measures(source) else ""
        request = shards.digest(json.dumps(row, sort_keys=True), *files, rest)
        tasks.append(pipeline.Task(source.clip["clip_id"], request, row))
    return tasks


def _paths(source: Source) -> list[str]:
    return [*source.files.values(), *filter(None, (source.clip["audio"], source.clip["video"]))]


def _expressions(importer: corpora.Importer, tree: Tree, output: str) -> tuple[int, int]:
    """Write `expressions`, unless an earlier run has written just these; return how many, and how many are broken."""
    from expclip import ingest
    from ray_jobs import shards

    if next(importer.expressions(tree), None) is None:
        return 0, 0
    prints = storage.fingerprints(map(tree.path, tree.files))
    name = shards.digest(importer.name, *(f"{path} {found}" for path, found in sorted(prints.items())))[:16]
    before = _summary(output).get("expressions", {})
    if before.get("name") == name and storage.listing(storage.join(output, "expressions"), ".parquet"):
        return int(before["rows"]), int(before["failed"])
    count, broken = ingest.write_expressions(importer, tree, output, name)
    _write_summary(output, {"expressions": {"name": name, "rows": count, "failed": broken}})
    return count, broken


def _summary(output: str) -> dict[str, Any]:
    path = storage.join(output, _SUMMARY)
    return dict(json.loads(storage.read_text(path))) if storage.exists(path) else {}


def _write_summary(output: str, values: dict[str, Any]) -> None:
    content = json.dumps(_summary(output) | values, indent=1, sort_keys=True)
    storage.write_bytes(storage.join(output, _SUMMARY), content.encode())


def _report(
    importer: corpora.Importer, config: Config, output: str, summary: "Summary | None", expressions: int, broken: int
) -> dict[str, Any]:
    """Write and print what there is now, and what the checks found."""
    from expclip import ingest

    notes, copies, clips, tracks = {}, [], 0, 0
    if summary is not None and summary.failed < summary.total:
        table = corpora.table(storage.join(output, "clips"), ["clip_id", "notes", "audio_digest", "face_digest"])
        clips, copies = len(table), ingest.copies(table)
        tracks = len(table) - table["face_digest"].to_pylist().count("")
        tables = [table] if importer.parts is None else [table, corpora.table(storage.join(output, "cuts"))]
        notes = ingest.tally(
            (name, note)
            for found in tables
            for name, note in zip(found["clip_id"].to_pylist(), found["notes"].to_pylist(), strict=True)
        )
    failed = (summary.failed if summary else 0) + broken
    counts = {"clips": clips, "tracks": tracks, "expressions": expressions, "failed": failed}
    about = {"corpus": importer.name, "root": config.root, "licence": importer.licence}
    _write_summary(output, about | {"counts": counts, "notes": notes, "copies": copies})
    for kind, found in notes.items():
        print(f"  {kind}: {found['rows']} rows, such as {found['example']}")
    if copies:
        print(f"  copy: {len(copies)} groups of clips with the same sound or face, such as {', '.join(copies[0][:3])}")
    for failure in summary.failures[:10] if summary else ():
        print(f"  {failure.clip_id}: {failure.error}")
    print(f"ingest: {', '.join(f'{n} {name}' for name, n in counts.items())} in {config.output}", flush=True)
    return counts


class IngestStep:
    """A source -> its row of CLIPS with its row of TRACKS under `tracks`, or an error."""

    def __init__(self, corpus: str, output: str, peers: dict[str, list[Source]]) -> None:
        from expclip.ingest import Ingester

        self._ingester = Ingester(corpus, output, peers)

    def prepare(self, rows: "Sequence[Row]") -> None:
        """Clips are brought in one by one."""

    def __call__(self, row: "Row") -> "Row":
        """Open, check and align one clip."""
        clip, track, seconds = self._ingester(Source(**row))
        return {**clip, "tracks": track, "seconds": seconds}


class CutStep:
    """A recording -> its row of CUTS, or an error."""

    def __init__(self, corpus: str) -> None:
        self._parts = corpora.load(corpus).parts

    def prepare(self, rows: "Sequence[Row]") -> None:
        """Recordings are cut one by one."""

    def __call__(self, row: "Row") -> "Row":
        """Listen and look at one recording."""
        assert self._parts is not None
        return self._parts(Source(**row))
