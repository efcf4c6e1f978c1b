"""Check of the tables that carry weights: TRACKS, EXPRESSIONS and ANIMATIONS.

Rows are looked at one by one, so that a table larger than memory can be checked. T frames, C channels.
"""

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from hashlib import sha256
from typing import TYPE_CHECKING, Any

import numpy as np

from expclip import action_units, storage, tables
from expclip.animation import check_fps
from expclip.errors import BadRequestError
from expclip.findings import Finding, Sample, histogram, span
from expclip.motion_sums import Motion
from expclip.rig import FloatArray, load_rig
from expclip.tables import BoolArray

if TYPE_CHECKING:
    import pyarrow as pa

_LENGTH_SECONDS = 0.1
"""By how much the face and the sound of a clip may differ in length."""
_CLIP_COLUMNS = ("clip_id", "audio", "start", "end", "text", "emotion", "prompt")

Row = Mapping[str, Any]


def tracks(finding: Finding, files: Sequence[str], samples: int) -> Finding:
    """Return what is found in TRACKS: ranges, masks, frames without a face, lengths against the sound, copies."""
    clips, motion, faces = _clips_beside(finding.path), Motion(), _Faces()
    rates: Counter[str] = Counter()
    seconds: list[float] = []
    valid = frames = 0
    for told, row, order in _rows(finding, files, "weights", "valid"):
        clip_id = str(told["clip_id"])
        rates[f"{told['fps']:g} fps"] += 1
        try:
            check_fps(told["fps"])
            weights_TC, valid_T = _measured(row, order)
            known_C = _known(told["mask"])
        except BadRequestError as error:
            finding.wrong(f"{clip_id}: {error}")
            continue
        seconds.append(len(weights_TC) / told["fps"])
        frames, valid = frames + len(valid_T), valid + int(valid_T.sum())
        for problem in _length_problems(seconds[-1], clips.get(clip_id) if clips and told["clip_id"] else {}):
            finding.wrong(f"{clip_id}: {problem}")
        motion.add(weights_TC[valid_T], known_C)
        faces.add(clip_id, np.where(valid_T[:, None] & known_C, weights_TC, 0), _words(clips.get(clip_id, {})))
    finding.figures |= {
        "rate": ", ".join(f"{rate} {n}" for rate, n in rates.most_common()),
        "hours": f"{sum(seconds) / 3600:.3f}",
        "frames with a face": f"{valid} of {frames}",
    }
    _finish(finding, motion, faces, seconds, samples)
    return finding


def expressions(finding: Finding, files: Sequence[str], samples: int) -> Finding:
    """Return what is found in EXPRESSIONS: ranges, masks, units, texts, splits, licences, copies."""
    motion, faces = Motion(), _Faces()
    rows: list[Row] = []
    for told, row, order in _rows(finding, files, "weights"):
        rows.append(told)
        try:
            weights_1C = np.asarray(row["weights"].combine_chunks().flatten(), np.float32).reshape(1, -1)
            weights_1C = weights_1C[:, order] if weights_1C.size else np.full((1, len(order)), np.nan, np.float32)
            known_C = _known(told.get("mask") or load_rig().channels)
            _check_units(told.get("action_units"))
            if np.isnan(weights_1C).all():
                if not told.get("texts"):
                    raise BadRequestError("neither weights nor texts")
                continue
            tables.check_range(weights_1C[:, known_C])
        except BadRequestError as error:
            finding.wrong(f"{told['id']}: {error}")
            continue
        motion.add(weights_1C, known_C)
        words = tuple(f"{kind}: {text}" for kind, text in dict(told.get("texts") or {}).items())
        faces.add(str(told["id"]), weights_1C, (str(told.get("emotion") or ""), *words))
    finding.check_licences(rows)
    for name in ("corpus", "split", "emotion", "licence"):
        finding.count_values(name, [row.get(name) for row in rows])
    finding.figures["with texts"] = str(sum(bool(row.get("texts")) for row in rows))
    _finish(finding, motion, faces, [], samples)
    return finding


def animations(finding: Finding, files: Sequence[str], samples: int) -> Finding:
    """Return what is found in ANIMATIONS: ranges, lengths against the sound, styles, files that are not there."""
    motion, faces, seconds = Motion(), _Faces(), list[float]()
    named: dict[str, str] = {}
    for told, row, order in _rows(finding, files, "weights"):
        clip_id = str(told["clip_id"])
        try:
            check_fps(told["fps"])
            weights_TC = tables.frames(row, order)
            tables.check_range(weights_TC)
        except BadRequestError as error:
            finding.wrong(f"{clip_id}: {error}")
            continue
        seconds.append(len(weights_TC) / told["fps"])
        if abs(seconds[-1] - told["seconds"]) > max(_LENGTH_SECONDS, 1 / told["fps"]):
            finding.wrong(f"{clip_id}: {seconds[-1]:.2f} s of face for {told['seconds']:.2f} s of sound")
        length = float(np.linalg.norm(told["style"] or [0.0]))
        if abs(length - 1) > 1e-3:
            finding.wrong(f"{clip_id}: the style embedding has length {length:.3f}, not 1")
        named |= {storage.join(tables.folder_of(finding.path), name): clip_id for name in told.get("files") or ()}
        motion.add(weights_TC, np.ones(weights_TC.shape[1], bool))
        faces.add(clip_id, weights_TC, (f"{told['prompt']} x {told['intensity']:g}",))
    there = storage.fingerprints(named)
    for path, clip_id in named.items():
        if path not in there:
            finding.wrong(f"{clip_id}: no such file: {path}")
    _finish(finding, motion, faces, seconds, samples)
    return finding


class _Faces:
    """The strongest frame of each row, and a digest of all its frames."""

    def __init__(self) -> None:
        self.found: list[Sample] = []
        self.digests: dict[str, list[str]] = {}

    def add(self, name: str, weights_TC: FloatArray, lines: Sequence[str]) -> None:
        """Look at one row."""
        if not len(weights_TC):
            return
        strongest = int(np.linalg.norm(weights_TC, axis=1).argmax())
        where = f", frame {strongest}" if len(weights_TC) > 1 else ""
        self.found.append(Sample(name + where, tuple(line for line in lines if line), weights_TC[strongest]))
        if weights_TC.any():
            digest = sha256(np.ascontiguousarray(weights_TC).tobytes()).hexdigest()
            self.digests.setdefault(digest, []).append(name)


def _finish(finding: Finding, motion: Motion, faces: _Faces, seconds: Sequence[float], samples: int) -> None:
    motion.report(finding)
    for names in faces.digests.values():
        if len(names) > 1:
            finding.wrong(f"the same face in {len(names)} rows: {', '.join(names[:5])}")
    if seconds:
        finding.figures["seconds of a row"] = span(seconds, " s")
    chart = histogram("seconds of a row", seconds)
    finding.histograms += [chart] if chart else []
    step = max(1, len(faces.found) // max(1, samples))
    finding.samples = faces.found[::step][:samples]


def _rows(finding: Finding, files: Sequence[str], *arrays: str) -> "Iterator[tuple[Row, pa.Table, list[int]]]":
    """Yield for each row its small columns, a one-row table of its arrays, and the order of channels.

    Counts rows; finds keys that stand there twice and columns that cannot be read.
    """
    keys: list[str] = []
    for file in files:
        try:
            table = tables.read(file, tables.read_schema(file).names)
            order = tables.channel_order(table, file)
        except BadRequestError as error:
            finding.wrong(str(error))
            continue
        finding.rows += len(table)
        small = [name for name in table.column_names if name not in arrays]
        for k in range(len(table)):
            row = table.slice(k, 1)
            told = {name: row[name][0].as_py() for name in small}
            key = told.get("clip_id") or told.get("id")
            if not key:
                finding.wrong(f"row {len(keys) + 1} has no {'clip_id' if 'clip_id' in told else 'id'}")
            keys.append(str(key))
            yield told, row, order
    finding.check_repeats("key", keys)


def _measured(row: "pa.Table", order: Sequence[int]) -> tuple[FloatArray, BoolArray]:
    weights_TC, valid_T = tables.frames(row, order), tables.flags(row)
    if len(weights_TC) != len(valid_T):
        raise BadRequestError(f"{len(weights_TC)} frames of weights but {len(valid_T)} of valid")
    if not valid_T.any():
        raise BadRequestError("no frame with a face")
    tables.check_range(weights_TC[valid_T])
    return weights_TC, valid_T


def _known(mask: Sequence[str] | None) -> BoolArray:
    if not mask:
        raise BadRequestError("the mask names no channel")
    known_C = np.zeros(len(load_rig()), bool)
    known_C[load_rig().indices(mask)] = True
    return known_C


def _check_units(text: str | None) -> None:
    try:
        action_units.to_vector(json.loads(text) if text else {})
    except (ValueError, AttributeError) as error:
        raise BadRequestError(f"action_units: {error}") from None


def _clips_beside(path: str) -> dict[str, Row]:
    """Return CLIPS of the folder that holds a folder of tracks, by clip_id; nothing if there is none."""
    folder = tables.folder_of(path)
    files = storage.listing(storage.join(folder, "clips"), tables.SUFFIX)
    rows = [row for file in files for row in tables.read(file, _CLIP_COLUMNS).to_pylist()]
    for row in rows:
        row["audio"] = storage.join(folder, row["audio"]) if row.get("audio") else ""
    return {row["clip_id"]: row for row in rows}


def _length_problems(seconds: float, clip: Row | None) -> Iterator[str]:
    """Yield what is wrong between a track's length and its clip's."""
    if clip is None:
        yield "no such clip in CLIPS"
        return
    length = _clip_seconds(clip) if clip else None
    if length is not None and abs(length - seconds) > _LENGTH_SECONDS:
        yield f"{seconds:.2f} s of face for {length:.2f} s of sound"


def _clip_seconds(clip: Row) -> float | None:
    """Return the length of a clip: by its cut, else by its sound's header; None if that cannot be told."""
    if clip["end"] is not None and np.isfinite(clip["end"]):
        return float(clip["end"] - clip["start"])
    if not clip["audio"] or storage.is_remote(clip["audio"]):
        return None
    import soundfile

    try:
        return float(soundfile.info(clip["audio"]).duration - clip["start"])
    except (soundfile.LibsndfileError, OSError):
        return None


def _words(clip: Row) -> tuple[str, ...]:
    return tuple(str(clip.get(name) or "") for name in ("text", "emotion", "prompt"))
