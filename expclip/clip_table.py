"""The clips of corpora to learn speech from, read when they are asked for: CLIPS + TRACKS folders -> table -> clips.

Only narrow columns are read at the beginning: who, where, how long. A clip's sound is read from its file and its track
from its row group; both are kept for a while.
"""

import hashlib
import math
import os
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Generic, NamedTuple, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from expclip import speech_clips, storage, sync, tables, tracks
from expclip.errors import BadRequestError
from expclip.rig import Rig, load_rig
from expclip.speech_clips import Clip

_CLIPS = ("clip_id", "split", "audio", "video", "speaker", "start", "end", "emotion", "action_units")
_TRACKS = ("clip_id", "begin", "fps", "valid", "offset_s", "offset_lead")
_TRACK = (*_TRACKS, "weights", "mask", "extractor")
_HELD_MIB = 384
"""Clips, and half as much of row groups, that a table keeps in memory."""

V = TypeVar("V")


@dataclass(frozen=True, slots=True)
class Spot:
    """Where a row lies: file, row group and number within it."""

    path: str
    group: int
    row: int


@dataclass(frozen=True, slots=True)
class Entry:
    """What the table knows of a clip without opening it."""

    clip_id: str
    corpus: str
    split: str
    seconds: float
    acted: str  # as in Clip
    offset_s: float  # by which the lips were found to come after the sound; NaN where nobody looked
    offset_lead: float  # how much evidence there is for it; see `sync.settled`
    recording: str
    speaker: str
    audio: str  # absolute, or s3://
    clip: Spot
    tracks: tuple[Spot, ...]


class _Segment(NamedTuple):
    """What the table of tracks says of one of a clip's rows."""

    spot: Spot
    end: float  # second of the clip
    offset_s: float
    offset_lead: float


@dataclass
class _Kept(Generic[V]):
    """Values by key, the ones used last; the others go when they outgrow the room."""

    room: int
    held: "OrderedDict[Any, tuple[V, int]]" = field(default_factory=OrderedDict)
    size: int = 0

    def get(self, key: Any, make: Callable[[], V], size_of: Callable[[V], int]) -> V:
        found = self.held.pop(key, None)  # popped and put back, so that threads may share
        if found is None:
            value = make()
            found = (value, size_of(value))
            self.size += found[1]
        self.held[key] = found
        while self.size > self.room and len(self.held) > 1:
            try:
                self.size -= self.held.popitem(last=False)[1][1]
            except KeyError:  # another thread took the last one
                break
        return found[0]


class ClipTable:
    """Entries of clips, and the clips themselves when asked for; it can be sent to another process."""

    def __init__(self, entries: Sequence[Entry], orders: Mapping[str, Sequence[int] | None], rig: Rig) -> None:
        """`orders` says for each file of tracks where the rig's channels stand; None: in the rig's order."""
        self.entries, self.orders, self.rig = tuple(entries), orders, rig
        self._forget()

    def _forget(self) -> None:
        self._clips: _Kept[Clip] = _Kept(_HELD_MIB << 20)
        self._groups: _Kept[pa.Table] = _Kept(_HELD_MIB << 19)

    def __getstate__(self) -> dict[str, Any]:
        return {"entries": self.entries, "orders": self.orders, "rig": self.rig.name}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.entries, self.orders, self.rig = state["entries"], state["orders"], load_rig(state["rig"])
        self._forget()

    def __len__(self) -> int:
        return len(self.entries)

    def of(self, corpus: str) -> "ClipTable":
        """Return the part of a corpus."""
        return ClipTable([e for e in self.entries if e.corpus == corpus], self.orders, self.rig)

    def only(self, split: str, *, most: int = 0, corpus: str = "") -> "ClipTable":
        """Return the part of a split, of each corpus or of one, at most so many clips (0: all)."""
        found = [e for e in self.entries if e.split == split and corpus in ("", e.corpus)]
        return ClipTable(found[: most or None], self.orders, self.rig)

    def clip(self, k: int) -> Clip:
        """Return a clip; raises BadRequestError or OSError if it cannot be read."""
        return self._clips.get(self.entries[k].clip_id, lambda: self._read(self.entries[k]), lambda clip: clip.size)

    def __iter__(self) -> Iterator[Clip]:
        """Read one clip after another; one that cannot be read is left out."""
        for k in range(len(self)):
            try:
                yield self.clip(k)
            except (BadRequestError, OSError):
                continue

    def _read(self, entry: Entry) -> Clip:
        row = self._row(entry.clip, None).to_pylist()[0]
        found = [self._track(spot) for spot in entry.tracks]
        return speech_clips.make({**row, "audio": entry.audio}, tracks.merged(found), entry.corpus, self.rig)

    def _track(self, spot: Spot) -> tracks.Track:
        track = tracks.Track.of(self._row(spot, _TRACK))
        order = self.orders[spot.path]
        return track if order is None else replace(track, weights_TC=track.weights_TC[:, order])

    def _row(self, spot: Spot, columns: Sequence[str] | None) -> pa.Table:
        group = self._groups.get(
            (spot.path, spot.group), lambda: _read_group(spot, columns), lambda table: int(table.nbytes)
        )
        return group.slice(spot.row, 1)

    def digest(self) -> str:
        """Return 16 hex digits over which clips there are, how long and how acted."""
        lines = "\n".join(f"{e.corpus} {e.clip_id} {e.split} {e.seconds:.3f} {e.acted}" for e in self.entries)
        return hashlib.sha256(lines.encode()).hexdigest()[:16]


def _read_group(spot: Spot, columns: Sequence[str] | None) -> pa.Table:
    with storage.open_read(spot.path) as content:
        file = pq.ParquetFile(content)
        wanted = None if columns is None else [c for c in columns if c in file.schema_arrow.names]
        return file.read_row_group(spot.group, wanted, use_threads=False)  # see `tracks.read_file`


def load(
    corpora: Mapping[str, str], *, max_offset: float = math.inf, rig: Rig | None = None
) -> tuple[ClipTable, dict[str, float]]:
    """Return the table of corpora (name -> folder), ordered by clip_id, and how many clips of each were left out.

    `NAME.without_sound` and `NAME.without_track` have none; the lips of `NAME.out_of_sync` lie further from the sound
    than `max_offset` seconds, as `sync.settled` judges. Raises BadRequestError for a corpus without a clip to learn
    from, or with another rig's weights.
    """
    rig = rig or load_rig()
    entries: list[Entry] = []
    orders: dict[str, Sequence[int] | None] = {}
    figures: dict[str, float] = {}
    for name, given in corpora.items():
        folder = given if storage.is_remote(given) else os.path.abspath(given)  # it may be read by another process
        found, left_out = _entries(name, folder, orders, rig)
        kept = [entry for entry, offset in zip(found, _settled(found), strict=True) if not abs(offset) > max_offset]
        left_out["out_of_sync"] += len(found) - len(kept)
        figures |= {f"{name}.{why}": count for why, count in left_out.items() if count}
        if not kept:
            reasons = "".join(f", {count} {why}" for why, count in left_out.items() if count)
            raise BadRequestError(f"corpus {name} at {given} has no clip with sound and a track{reasons}")
        entries += kept
    return ClipTable(sorted(entries, key=lambda e: (e.corpus, e.clip_id)), orders, rig), figures


def _entries(
    corpus: str, folder: str, orders: dict[str, Sequence[int] | None], rig: Rig
) -> tuple[list[Entry], Counter[str]]:
    measured: dict[str, list[_Segment]] = {}
    for path in storage.listing(storage.join(folder, "tracks"), ".parquet"):
        orders[path] = _order(path, rig)
        for spot, row in _narrow(path, _TRACKS):
            end = (row.get("begin") or 0.0) + row["valid"] / row["fps"]
            offset, lead = (math.nan if row.get(n) is None else row[n] for n in ("offset_s", "offset_lead"))
            measured.setdefault(row["clip_id"], []).append(_Segment(spot, end, offset, lead))
    files = storage.listing(storage.join(folder, "clips"), ".parquet")
    if not files:
        raise BadRequestError(f"no .parquet file in {storage.join(folder, 'clips')}")
    entries: list[Entry] = []
    left_out: Counter[str] = Counter()
    for path in files:
        for spot, row in _narrow(path, _CLIPS):
            found = measured.get(row["clip_id"], [])
            if not row["audio"] or not found:
                left_out["without_track" if row["audio"] else "without_sound"] += 1
                continue
            entries.append(_entry(corpus, folder, row, spot, found))
    return entries, left_out


def _entry(corpus: str, folder: str, row: Mapping[str, Any], spot: Spot, found: Sequence["_Segment"]) -> Entry:
    seconds = max(segment.end for segment in found)
    if not math.isnan(row["end"]):
        seconds = min(seconds, row["end"] - row["start"])
    return Entry(
        row["clip_id"], corpus, row["split"], seconds, speech_clips.acted(row), found[0].offset_s,
        found[0].offset_lead, str(row.get("video") or row["audio"]), str(row.get("speaker") or row["clip_id"]),
        storage.join(folder, row["audio"]), spot, tuple(segment.spot for segment in found),
    )  # fmt: skip


def _settled(entries: Sequence[Entry]) -> Any:
    """Return the offsets that a corpus's clips are judged by."""
    known = np.array([(e.offset_s, e.offset_lead, e.seconds) for e in entries]).reshape(-1, 3)
    names = [e.recording for e in entries], [e.speaker for e in entries], [e.corpus for e in entries]
    return sync.settled(*known.T, *names)


def _order(path: str, rig: Rig) -> list[int] | None:
    """Return where the rig's channels stand in a file's weights; raises BadRequestError if they are another rig's."""
    from expclip.schema import channels_of

    kind = tables.read_schema(path)
    names = channels_of(kind)
    if names == rig.channels:
        return None
    if names is not None:
        return tables.channel_order(kind.empty_table(), path)
    size = kind.field("weights").type.value_type.list_size
    if size != len(rig):
        raise BadRequestError(f"{path}: weights have {size} channels, and rig {rig.name} has {len(rig)}")
    return None


def _narrow(path: str, columns: Sequence[str]) -> Iterator[tuple[Spot, dict[str, Any]]]:
    """Yield each row of a file with some of its columns, lists as their lengths."""
    try:
        with storage.open_read(path) as content:
            file = pq.ParquetFile(content)
            wanted = [c for c in columns if c in file.schema_arrow.names]
            for group in range(file.num_row_groups):
                table = file.read_row_group(group, wanted, use_threads=False)
                if "valid" in wanted:
                    lengths = pc.list_value_length(table["valid"])
                    table = table.set_column(table.schema.get_field_index("valid"), "valid", lengths)
                for number, row in enumerate(table.to_pylist()):
                    yield Spot(path, group, number), row
    except pa.ArrowInvalid as error:
        raise BadRequestError(f"{path} is not a readable table: {str(error).splitlines()[0]}") from None
