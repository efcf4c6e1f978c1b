"""Faces in tables -> items: the peak expressions of TRACKS, or the rows of EXPRESSIONS; no two alike.

Weights are read by the channel names that the table carries. Channels that were not measured are 0, and the item says
which regions were not seen.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from expclip import action_units, peaks, storage, tables, tead
from expclip.animation import check_fps
from expclip.catalogue import BadLine
from expclip.errors import BadRequestError
from expclip.items import Found, Item, SourceOptions, checked, text_item
from expclip.rig import FloatArray, load_rig

if TYPE_CHECKING:
    import pyarrow as pa

_TRACE = 0.1
"""Measured intensities below this are noise rather than an expression."""
_CLIP_COLUMNS = ("clip_id", "corpus", "split", "emotion", "licence")
_EXPRESSION_COLUMNS = (
    *("id", "corpus", "source", "split", "weights", "mask", "action_units", "texts", "emotion", "licence"),
)


def read(kind: str, files: Sequence[str], folder: str, options: SourceOptions) -> Found:
    """Return the items of a table of kind TRACKS or EXPRESSIONS; CLIPS beside `folder` tell of the tracks' clips."""
    found = Found(kind)
    if kind == "TRACKS":
        _add_tracks(found, files, _clips(folder), options)
    else:
        _add_expressions(found, files, options)
    faces = [item for item in found.items if item.weights]
    if faces:
        weights_NC = np.array([item.weights for item in faces], np.float32)
        kept = {id(faces[k]) for k in peaks.distinct(weights_NC, options.peaks.distance)}
        found.alike = len(faces) - len(kept)
        found.items = [item for item in found.items if not item.weights or id(item) in kept]
    return checked(found)


def _clips(folder: str) -> dict[str, Mapping[str, Any]]:
    """Return by clip_id what CLIPS beside a folder of tracks says of each clip; nothing if there is no such table."""
    found: dict[str, Mapping[str, Any]] = {}
    for path in storage.listing(storage.join(storage.parent(folder), "clips"), ".parquet"):
        found |= {row["clip_id"]: row for row in tables.read(path, _CLIP_COLUMNS).to_pylist()}
    return found


def _add_tracks(
    found: Found, files: Sequence[str], clips: Mapping[str, Mapping[str, Any]], options: SourceOptions
) -> None:
    for path in files:
        table = tables.read(path, (*_CLIP_COLUMNS, "fps", "weights", "valid", "mask"))
        order = tables.channel_order(table, path)
        for k in range(len(table)):
            row = table.slice(k, 1)
            told = {name: row[name][0].as_py() for name in row.column_names if name not in ("weights", "valid")}
            told = {**clips.get(told["clip_id"], {}), **told}
            if found.counts(told, options):
                try:
                    found.items += _peaks_of(row, told, order, options)
                except BadRequestError as error:
                    found.bad.append(BadLine(str(told["clip_id"]), json.dumps(told, default=str), str(error)))


def _peaks_of(row: "pa.Table", told: Mapping[str, Any], order: Sequence[int], options: SourceOptions) -> list[Item]:
    fps, mask = check_fps(told["fps"]), told["mask"] or ()
    weights_TC, valid_T = _track(row, order)
    items = []
    for frame, weights_C in peaks.peaks(weights_TC, valid_T, fps, mask=mask, options=options.peaks):
        item = _face(f"{told['clip_id']}-f{frame:05d}", weights_C, told, options)
        source = f"{told['clip_id']} at {frame / fps:.2f} s"
        items += [replace(item, unseen=_unseen(mask), source=source)] if item else []
    return items


def _track(row: "pa.Table", order: Sequence[int]) -> tuple[FloatArray, tables.BoolArray]:
    """Return weights (T, C) in the rig's order and validity (T,) of a one-row table of TRACKS."""
    weights_TC, valid_T = tables.frames(row, order), tables.flags(row)
    if len(valid_T) != len(weights_TC):
        raise BadRequestError(f"{len(weights_TC)} frames of weights but {len(valid_T)} of valid")
    tables.check_range(weights_TC[valid_T])
    return weights_TC, valid_T


def _unseen(mask: Sequence[str]) -> tuple[str, ...]:
    """Return the regions of which a mask names no channel."""
    rig = load_rig()
    known = set(rig.indices(mask))
    return tuple(name for name in rig.regions if name != "other" and not known & set(rig.region(name)))


def _face(key: str, weights_C: FloatArray, told: Mapping[str, Any], options: SourceOptions) -> Item | None:
    """Return the item of an expression, None if it shows too little to be put into words."""
    units = told.get("action_units")
    aus = tead.reconciled(
        _units(units) if units else {c: v for c, v in action_units.from_weights(weights_C).items() if v >= _TRACE}
    )
    if len(aus) < 2:
        return None
    label = str(told.get("emotion") or "")
    return Item(
        key,
        aus,
        tuple(round(float(value), 4) for value in weights_C),
        hints=(f"labelled: {label}",) if label else (),
        corpus=str(told.get("corpus") or ""),
        licence=str(told.get("licence") or options.licence),
    )


def _add_expressions(found: Found, files: Sequence[str], options: SourceOptions) -> None:
    for path in files:
        table = tables.read(path, _EXPRESSION_COLUMNS)
        order = tables.channel_order(table, path)
        for row in table.to_pylist():
            if found.counts(row, options):
                try:
                    found.items += _expression(row, order, options)
                except BadRequestError as error:
                    found.bad.append(BadLine(str(row["id"]), json.dumps(row, default=str), str(error)))


def _expression(row: Mapping[str, Any], order: Sequence[int], options: SourceOptions) -> list[Item]:
    """Return the item of a row: its face; or, where only texts are known, one for each of them."""
    texts = {str(kind): str(text) for kind, text in dict(row.get("texts") or {}).items() if text and text.strip()}
    source = str(row.get("source") or "") or str(row["id"])
    weights_C = np.array([] if row["weights"] is None else row["weights"], np.float32)
    if np.isnan(weights_C).all():  # Parquet cannot give back a missing list of fixed size, so NaN stands for none
        items = [_text(f"{row['id']}-{k}", *text, options) for k, text in enumerate(texts.items())]
        corpus, licence = str(row.get("corpus") or ""), str(row.get("licence") or options.licence)
        return [replace(item, corpus=corpus, source=source, licence=licence) for item in items]
    weights_C = weights_C[order]
    tables.check_range(weights_C)
    mask = row.get("mask") or load_rig().channels
    item = _face(str(row["id"]), np.where(peaks.known_channels(mask, load_rig()), weights_C, 0), row, options)
    if item is None:
        return []
    said = tuple(f"{kind}: {text}" for kind, text in texts.items())
    return [replace(item, hints=(*item.hints, *said), unseen=_unseen(mask), source=source)]


def _text(key: str, kind: str, text: str, options: SourceOptions) -> Item:
    return text_item(key, text, kind if kind in tead.KINDS else "", options)


def _units(text: str) -> dict[str, float]:
    try:
        units = {str(code): float(value) for code, value in json.loads(text).items()}
    except (ValueError, TypeError, AttributeError):
        raise BadRequestError(f"action_units {text[:80]!r} is not JSON of {{AU: intensity}}") from None
    action_units.to_vector(units)  # raises what is unknown or out of range
    return units
