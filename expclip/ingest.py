"""A corpus as it was published -> rows of CLIPS, TRACKS and EXPRESSIONS, checked, on one rig, rate and rest.

`Ingester` turns one source into its rows, in any process. `write_expressions` streams a corpus's expressions into
shards. `tally` and `copies` say what the checks found over a whole table. No Ray.
"""

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from expclip import corpora, media, storage
from expclip.corpora import Calibration, Found, Measured, Row, Source, checks, rows
from expclip.corpora.tree import Tree
from expclip.rig import load_rig

if TYPE_CHECKING:
    import pyarrow as pa

PEERS = 16
"""Recordings of a speaker, evenly spread over all, in which the rest is found."""
_PEER_FRAMES = 2000
_SHARD = 4096
"""Expressions of one file."""


class Ingester:
    """Brings clips of a corpus in, one by one; keeps what it knows of their speakers."""

    def __init__(self, corpus: str, output: str, peers: Mapping[str, Sequence[Source]]) -> None:
        """Write packed sound into `output`/audio; `peers` holds for each speaker the sources that tell the rest."""
        self._importer, self._output, self._peers = corpora.load(corpus), output, peers
        self._audio_folder = storage.join(output, "audio")
        self._known: dict[str, Calibration] = {}
        self._copies = storage.Copies()

    def __call__(self, source: Source) -> tuple[Row, Row | None, float]:
        """Return a source's row of CLIPS, its row of TRACKS if it brings weights, and its seconds.

        A clip of a picture alone has an empty `audio` and a known end; nothing of it is opened.

        Raises whatever makes it unfit: sound or weights that are missing, empty or broken.
        """
        found = self._importer.read(source, self._audio_folder)
        clip, measured, notes = dict(found.clip), found.measured, list(found.notes)
        end = None if np.isnan(clip["end"]) else clip["end"]
        if not clip["audio"]:
            return (
                clip | {"notes": rows.join_notes([*notes, "sound: none, a picture alone"])},
                None,
                end - clip["start"],
            )
        audio_N = media.read_audio(clip["audio"], start=clip["start"], end=end, copies=self._copies)
        seconds, track = len(audio_N) / media.SAMPLE_RATE, None
        if measured is not None:
            calibration = measured.calibration or self._calibration(clip["speaker"], found)
            notes += checks.face(measured, calibration, seconds)
            track = rows.track(clip["clip_id"], measured, calibration, seconds)
            clip["face_digest"] = rows.digest(measured.weights_TC) if measured.valid_T.any() else ""
        clip["audio"] = clip["audio"].removeprefix(self._output + "/")
        clip["audio_digest"] = rows.digest((np.clip(audio_N, -1, 1) * 32767).astype(np.int16)) if audio_N.any() else ""
        clip["notes"] = rows.join_notes([*notes, *([] if audio_N.any() else ["sound: silence"])])
        return rows.add_phones(clip, audio_N), track, seconds

    def _calibration(self, speaker: str, own: Found) -> Calibration:
        """Return a speaker's rest, found in the peers that can be read; in the clip itself if none can."""
        if speaker not in self._known:
            measured = [m for peer in self._peers.get(speaker, ()) if (m := self._measured(peer)) is not None]
            self._known[speaker] = _rest(measured or [own.measured] if own.measured else [])
        return self._known[speaker]

    def _measured(self, source: Source) -> Measured | None:
        try:
            return self._importer.read(source, self._audio_folder).measured
        except Exception:  # it will be that clip's own error
            return None


def _rest(measured: Sequence[Measured]) -> Calibration:
    parts = [m.weights_TC[m.valid_T] for m in measured]
    seen_TC = np.concatenate([part[:: max(1, len(part) // _PEER_FRAMES)] for part in parts] or [load_rig().zeros(0)])
    return rows.calibrate(seen_TC, np.ones(len(seen_TC), bool))


def peers(sources: Iterable[Source]) -> dict[str, list[Source]]:
    """Return for each speaker the sources in which the rest is looked for: some of those that bring weights."""
    by_speaker: dict[str, list[Source]] = {}
    for source in sources:
        if measures(source):
            by_speaker.setdefault(source.clip["speaker"], []).append(source)
    return {speaker: rows.spread(found, PEERS) for speaker, found in by_speaker.items()}


def measures(source: Source) -> tuple[str, ...]:
    """Return the files that a source's weights come from; none if it brings no weights."""
    wanted = ("weights",) if "weights" in source.files else ("motion", "matrix") if "matrix" in source.files else ()
    return tuple(source.files[role] for role in wanted)


def split_parts(source: Source, cuts: Row) -> Iterator[Source]:
    """Yield the clips of a recording, given its row of CUTS."""
    spans = json.loads(cuts["cuts"])
    found = {name: cuts[name] for name in ("audio", "video") if cuts.get(name) is not None}
    for k, (start, end) in enumerate(spans):
        clip = source.clip | found | {"clip_id": f"{source.clip['clip_id']}_{k:04d}", "start": start, "end": end}
        yield replace(source, clip=clip, options={"whole": len(spans) == 1})


def to_json(source: Source) -> Row:
    """Return a source as JSON values, fit for `Source(**row)`; NaN, which JSON lacks, stays as Python writes it."""
    return {"clip": source.clip, "files": source.files, "key": source.key, "options": source.options}


def write_expressions(importer: corpora.Importer, tree: Tree, output: str, name: str) -> tuple[int, int]:
    """Write a corpus's expressions into `output`/expressions; return how many there are and how many are broken.

    Shards are called after `name`, which must change with the content of the corpus: those that are there stay, those
    of another name go. Broken ones land in `output`/expressions.errors.
    """
    from expclip.schema import ERRORS, EXPRESSIONS

    folder, errors = storage.join(output, "expressions"), storage.join(output, "expressions.errors")
    present, shards, broken, count = set(storage.listing(folder, ".parquet")), [], list[Row](), 0
    for number, batch in enumerate(_batches(_noted(importer.expressions(tree)))):
        good = [row for row in batch if "error" not in row]
        broken += [_error(row) for row in batch if "error" in row]
        count += len(good)
        path = storage.join(folder, f"part-{name}-{number:05d}.parquet")
        shards.append(path)
        if path not in present:
            corpora.write_table(path, good, EXPRESSIONS)
    for old in present - set(shards):
        storage.remove(old)
    for old in storage.listing(errors, ".parquet"):
        storage.remove(old)
    if broken:
        corpora.write_table(storage.join(errors, "part-0.parquet"), broken, ERRORS)
    return count, len(broken)


def _error(row: Row) -> Row:
    return {"clip_id": row["id"], "row": json.dumps({"id": row["id"]}), "error": row["error"]}


def _batches(found: Iterable[Row]) -> Iterator[list[Row]]:
    batch: list[Row] = []
    for row in found:
        batch.append(row)
        if len(batch) == _SHARD:
            yield batch
            batch = []
    if batch:
        yield batch


def _noted(found: Iterable[Row]) -> Iterator[Row]:
    """Yield rows of EXPRESSIONS, copies of earlier faces noted as such."""
    seen: dict[str, str] = {}
    for row in found:
        if "error" not in row and row["mask"]:
            digest = rows.digest(row["weights"])
            first = seen.setdefault(digest, row["id"])
            if first != row["id"]:
                row = row | {"notes": rows.join_notes([*filter(None, [row["notes"]]), f"copy: the face of {first}"])}
        yield row


def tally(notes: Iterable[tuple[str, str]]) -> dict[str, dict[str, Any]]:
    """Return, for each kind of note, how many rows have it and an example, from (name, column `notes`)."""
    counts: Counter[str] = Counter()
    examples: dict[str, str] = {}
    for name, text in notes:
        found = {note.partition(":")[0]: note for note in reversed((text or "").split("; ")) if note}
        counts.update(found.keys())
        for kind, note in found.items():
            examples.setdefault(kind, f"{name}: {note.partition(': ')[2]}")
    return {kind: {"rows": counts[kind], "example": examples[kind]} for kind in sorted(counts)}


def copies(clips: "pa.Table") -> list[tuple[str, ...]]:
    """Return groups of clips whose sound or whose face is the same, each sorted."""
    groups: dict[tuple[str, str], list[str]] = {}
    for column in ("audio_digest", "face_digest"):
        for name, digest in zip(clips["clip_id"].to_pylist(), clips[column].to_pylist(), strict=True):
            if digest:
                groups.setdefault((column, digest), []).append(name)
    return sorted({tuple(sorted(group)) for group in groups.values() if len(group) > 1})
