"""Check of the tables that carry words: CLIPS and TEAD."""

import json
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from expclip import action_units, repeats, storage, tables
from expclip import tead as records_of
from expclip.errors import BadRequestError
from expclip.findings import Finding, Sample, bars, histogram, span
from expclip.schema import CLIPS, TEAD

SPLITS = records_of.SPLITS


def clips(finding: Finding, files: Sequence[str], samples: int) -> Finding:
    """Return what is found in CLIPS: keys, times, files, phones, licences, speakers over splits."""
    rows = [row for file in files for row in tables.read(file, CLIPS.names).to_pylist()]
    finding.rows = len(rows)
    finding.check_repeats("clip_id", [str(row["clip_id"]) for row in rows])
    for name in ("corpus", "split", "language", "emotion", "licence"):
        finding.count_values(name, [row.get(name) for row in rows])
    finding.figures["speakers"] = str(len({(row.get("corpus"), row.get("speaker")) for row in rows}))
    for row in rows:
        for problem in _clip_problems(row):
            finding.wrong(f"{row['clip_id']}: {problem}")
    finding.check_licences(rows)
    _check_files(finding, rows)
    _note_shared(finding, rows)
    lengths = [_number(row.get("end")) - _number(row.get("start")) for row in rows]
    if any(map(math.isfinite, lengths)):
        finding.figures["seconds, where told"] = span(lengths, " s")
    for chart in (
        histogram("seconds of a clip", lengths),
        histogram("words of a clip", [len(str(row.get("text") or "").split()) for row in rows]),
    ):
        finding.histograms += [chart] if chart else []
    return finding


def _number(value: Any) -> float:
    """Return a number; NaN for what is none."""
    return float(value) if isinstance(value, float | int) else math.nan


def _clip_problems(row: Mapping[str, Any]) -> list[str]:
    found = []
    if row.get("split") not in SPLITS:
        found.append(f"split {row.get('split')!r} is none of {', '.join(SPLITS)}")
    start, end = _number(row.get("start")), _number(row.get("end"))
    if not 0 <= start < math.inf:
        found.append(f"start {start!r} is no time")
    elif end <= start:  # false for NaN: to the end of the file
        found.append(f"end {end:g} s is not after start {start:g} s")
    if row.get("phones"):
        found += _phone_problems(row["phones"])
    if row.get("action_units"):
        try:
            action_units.to_vector(json.loads(row["action_units"]))
        except (ValueError, AttributeError) as error:
            found.append(f"action_units: {error}")
    return found


def _phone_problems(text: str) -> list[str]:
    """Return why phones are no list of [start, end, phone] that runs forward in time."""
    try:
        times = [(float(start), float(end), str(phone)) for start, end, phone in json.loads(text)]
    except (ValueError, TypeError):
        return ["phones are not JSON [[start, end, phone], ...]"]
    backward = [phone for start, end, phone in times if end < start]
    overlap = [b[2] for a, b in zip(times, times[1:], strict=False) if b[0] < a[1] - 1e-3]
    return [f"phone {phone} runs backward or over the one before it" for phone in (*backward, *overlap)[:1]]


def _check_files(finding: Finding, rows: Sequence[Mapping[str, Any]]) -> None:
    """Add a problem for each sound or picture that is not there; paths are relative to the corpus's folder."""
    folder = tables.folder_of(finding.path)
    paths = {
        storage.join(folder, row[name]): row["clip_id"] for name in ("audio", "video") for row in rows if row.get(name)
    }
    there = storage.fingerprints(paths)
    for path, clip_id in paths.items():
        if path not in there:
            finding.wrong(f"{clip_id}: no such file: {path}")
    finding.figures["files named"] = f"{len(paths)}, {len(there)} there"


def _note_shared(finding: Finding, rows: Sequence[Mapping[str, Any]]) -> None:
    """Note speakers who stand in several splits, copies, and what the importer noted."""
    splits: dict[tuple[str, str], set[str]] = {}
    for row in rows:
        splits.setdefault((str(row.get("corpus")), str(row.get("speaker"))), set()).add(str(row.get("split")))
    shared = [speaker for (_, speaker), found in splits.items() if len(found) > 1]
    if shared:
        finding.notes.append(
            f"{len(shared)} speakers stand in several splits, so that tests are of known voices: {shared[0]!r}"
        )
    for column in ("audio_digest", "face_digest"):
        copies = sum(n - 1 for n in Counter(row[column] for row in rows if row.get(column)).values())
        if copies:
            finding.notes.append(f"{copies} clips are copies of another one by their {column}")
    kinds = Counter(
        note.partition(":")[0].strip()
        for row in rows
        for note in str(row.get("notes") or "").split(";")
        if note.strip()
    )
    finding.notes += [f"the importer noted {n} times: {kind}" for kind, n in kinds.most_common()]


def tead_table(finding: Finding, files: Sequence[str], samples: int) -> Finding:
    """Return what is found in TEAD as a table."""
    names = [name for name in TEAD.names if name != "weights"]
    for file in files:
        _check_weights(finding, file)
    return tead(finding, [row for file in files for row in tables.read(file, names).to_pylist()], samples)


def _check_weights(finding: Finding, file: str) -> None:
    """Add a problem for each row whose weights are no numbers of 0..1, or show another face than its units."""
    table = tables.read(file, ["id", "weights", "aus"])
    if "weights" not in table.column_names:
        return
    order = tables.channel_order(table, file)
    for number, row in enumerate(table.to_pylist(), 1):
        weights, what = row["weights"] or (), f"row {number} ({row['id']})"
        wrong = [value for value in weights if not (value is not None and 0 <= value <= 1)]
        if wrong:
            finding.wrong(f"{what}: weight {wrong[0]} is outside 0..1")
        elif weights and (likeness := _likeness([weights[k] for k in order], dict(row.get("aus") or {}))) < _SAME_FACE:
            finding.wrong(f"{what}: its weights show another face than its action units (cosine {likeness:.2f})")


_SAME_FACE = 0.4
"""Cosine of weights and those of the action units below which they are not of one face; measured ones lie near 0.9."""


def _likeness(weights: Sequence[float], aus: Mapping[str, float]) -> float:
    """Return the cosine of weights and what units say; 1 where the units say nothing that can be compared."""
    try:
        told_C = action_units.to_weights(aus)
    except BadRequestError:  # the record's own problem
        return 1.0
    seen_C = np.array(weights)
    scale = float(np.linalg.norm(told_C) * np.linalg.norm(seen_C))
    return float(told_C @ seen_C) / scale if scale > 1e-6 else 1.0


def tead(finding: Finding, rows: Sequence[Mapping[str, Any]], samples: int) -> Finding:
    """Return what is found in records of TEAD: its own rules, licences, agreement, near-duplicates."""
    finding.rows = len(rows)
    records = []
    for number, row in enumerate(rows, 1):
        try:
            records.append(_record(row))
        except (BadRequestError, TypeError, ValueError, KeyError) as error:
            finding.wrong(f"row {number} is no record: {error}")
    for problem in records_of.validate(records):
        finding.wrong(problem)
    generated = [row for row in rows if isinstance(row, Mapping) and row.get("backend")]
    finding.check_licences(generated)
    alike = repeats.repeated([row for row in generated if row.get("signature")], repeats.ALIKE)
    finding.notes += [f"{name}: {why}" for name, why in alike.items()]
    _tead_figures(finding, records, generated)
    step = max(1, len(records) // max(1, samples))
    finding.samples = [_sample(record) for record in records[::step][:samples]]
    return finding


def _record(row: Mapping[str, Any]) -> records_of.Record:
    values = {name: row[name] for name in records_of.FIELDS}
    absent = [name for name, value in values.items() if value is None]
    if absent:
        raise ValueError(f"it has no {', '.join(absent)}")
    for name in ("id", "emotion", "category"):
        if not isinstance(values[name], str):
            raise TypeError(f"{name} is {values[name]!r}, no text")
    return records_of.Record(**{**values, "texts": dict(values["texts"]), "aus": dict(values["aus"])})


def _tead_figures(
    finding: Finding, records: Sequence[records_of.Record], generated: Sequence[Mapping[str, Any]]
) -> None:
    if not records:
        return
    counted = records_of.statistics(records)
    for name in ("texts", "units_per_record", "intensity", "one_sided"):
        finding.figures[name.replace("_", " ")] = str(counted[name])
    finding.count_values("split", [record.split for record in records])
    finding.count_values("category", [record.category for record in records])
    finding.figures["words, mean"] = ", ".join(f"{kind} {n:g}" for kind, n in counted["words"].items())
    for name in ("direction", "corpus", "licence", "backend", "model", "prompt_version"):
        if generated:
            finding.count_values(name, [row.get(name) for row in generated])
    quality = [row["quality"] for row in generated if row.get("quality") is not None]
    charts = [
        bars("action units", counted["units"]),
        bars("categories", counted["categories"]),
        histogram("intensities", [value for record in records for value in record.aus.values()], 20),
        histogram("agreement of texts and faces", quality),
        *(
            histogram(f"words of a {kind}", [len(record.texts.get(kind, "").split()) for record in records])
            for kind in records_of.KINDS
        ),
    ]
    finding.histograms += [chart for chart in charts if chart]
    if quality:
        finding.figures["agreement"] = span(quality)


def _sample(record: records_of.Record) -> Sample:
    units = ", ".join(f"{code} {value:g}" for code, value in record.aus.items()) or "no unit"
    known = {code: value for code, value in record.aus.items() if code.rstrip("LR") in records_of.UNITS}
    lines = (*(f"{kind}: {text}" for kind, text in record.texts.items()), units)
    return Sample(f"{record.id}: {record.emotion}", lines, action_units.to_weights(known))
