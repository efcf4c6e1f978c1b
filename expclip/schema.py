"""The tables that carry everything between processes, as pyarrow schemas; each column says what it holds.

CLIPS -> TRACKS -> TEAD -> (models) -> ANIMATIONS; EXPRESSIONS are single faces with texts on their way to TEAD.
MEASURED and RESTING lie between CLIPS and TRACKS: what the tracker saw, and each speaker's face at rest. Rows that
failed are written with ERRORS to `TABLE.errors`.
"""

import json
from collections.abc import Iterable, Mapping

import pyarrow as pa

from expclip.rig import Rig, load_rig


def frames_type(rig: Rig | None = None) -> pa.DataType:
    """Return the type of weights over time: a list of frames, each `len(rig)` floats in the rig's order."""
    return pa.list_(pa.list_(pa.float32(), len(rig or load_rig())))


POSES = pa.list_(pa.list_(pa.float32(), 6))
"""Type of the head's pose over time."""


def _schema(columns: Mapping[str, tuple[pa.DataType, str]], rig: Rig | None = None) -> pa.Schema:
    fields = [pa.field(name, kind, metadata={"comment": comment}) for name, (kind, comment) in columns.items()]
    rig = rig or load_rig()
    return pa.schema(fields, metadata={"rig": rig.name, "channels": json.dumps(rig.channels)})


CLIPS = _schema(
    {
        "clip_id": (pa.string(), "unique name of the clip: letters, digits, '.', '_' and '-'"),
        "corpus": (pa.string(), "importer that made the row"),
        "speaker": (pa.string(), "who speaks, unique within the corpus"),
        "split": (pa.string(), "train, val or test"),
        "audio": (pa.string(), "path of the sound, relative to the table's folder or absolute, or s3://"),
        "video": (pa.string(), "path of the picture, or empty"),
        "start": (pa.float64(), "first second of the clip within the file"),
        "end": (pa.float64(), "last second of the clip within the file; NaN: to its end"),
        "text": (pa.string(), "the words spoken, or empty"),
        "language": (pa.string(), "BCP 47, such as en or zh"),
        "emotion": (pa.string(), "label of the corpus, or empty"),
        "prompt": (pa.string(), "style of the performance in words, or empty"),
        "action_units": (pa.string(), "JSON of the expression acted, {AU: intensity}, or empty"),
        "phones": (pa.string(), "JSON [[start, end, ARPAbet phone], ...] in seconds of the clip, or empty"),
        "licence": (pa.string(), "terms of the corpus"),
        "notes": (pa.string(), "what the checks of the importer found, `kind: detail; kind: detail`, or empty"),
        "audio_digest": (pa.string(), "16 hex digits over the samples of the clip: equal in copies; or empty"),
        "face_digest": (pa.string(), "16 hex digits over the weights as measured: equal in copies; or empty"),
    }
)

TRACKS = _schema(
    {
        "clip_id": (pa.string(), "key into CLIPS"),
        "segment": (pa.int32(), "0, 1, ... of the stretches of a clip between long gaps; null: the whole clip"),
        "begin": (pa.float64(), "second of the clip at which frame 0 stands; null: 0. Not CLIPS' start, in the file"),
        "fps": (pa.float64(), "frames a second; frame t stands at begin + t / fps seconds of the clip"),
        "weights": (frames_type(), "measured or modelled expression, 0..1, the speaker's resting face at 0"),
        "valid": (pa.list_(pa.bool_()), "whether a face was measured in that frame, surely enough; else it is bridged"),
        "confidence": (pa.list_(pa.float32()), "how far the measurement can be trusted, 0..1"),
        "pose": (POSES, "head: nod, turn, tilt in degrees (chin down, own left, own right +), x, y, z in cm; or NaN"),
        "mask": (pa.list_(pa.string()), "channels that this track may teach; the others are not known"),
        "extractor": (pa.string(), "what measured it"),
        "neutral": (pa.list_(pa.float32()), "the speaker's resting face, which was taken off the weights"),
        "offset_s": (pa.float64(), "seconds by which the lips of the clip come after its sound; NaN or null: unknown"),
        "offset_r": (pa.float64(), "correlation of lips and sound at that offset"),
        "offset_lead": (pa.float64(), "by how much it exceeds the best correlation within 0.1 s of 0; or unknown"),
    }
)

MEASURED = _schema(
    {
        "clip_id": (pa.string(), "key into CLIPS"),
        "speaker": (pa.string(), "who is measured; the clip's own name where CLIPS has none"),
        "extractor": (pa.string(), "what measured it"),
        "mask": (pa.list_(pa.string()), "channels that a track may teach"),
        "faces": (pa.int32(), "faces in the picture; the speaking one was chosen"),
        "seconds": (pa.float64(), "time from the first frame to the last"),
        "time": (pa.list_(pa.float64()), "second of the clip at which each frame of the picture stands"),
        "weights": (frames_type(), "as the tracker gives them, 0..1; NaN where the face was not seen"),
        "pose": (POSES, "as in TRACKS"),
        "size": (pa.list_(pa.float32()), "height of the face in pixels of the picture read"),
        "light": (pa.list_(pa.float32()), "mean lightness of the face, 0..1"),
        "detail": (pa.list_(pa.float32()), "sharpness of the face"),
        "offset_s": (pa.float64(), "as in TRACKS"),
        "offset_r": (pa.float64(), "as in TRACKS"),
        "offset_lead": (pa.float64(), "as in TRACKS"),
    }
)

RESTING = _schema(
    {
        "clip_id": (pa.string(), "the speaker"),
        "frames": (pa.int64(), "frames that it was estimated from"),
        "neutral": (pa.list_(pa.float32()), "the speaker's resting face as the tracker sees it, 0..1"),
    }
)

EXPRESSIONS = _schema(
    {
        "id": (pa.string(), "unique name of the expression: letters, digits, '.', '_' and '-'"),
        "corpus": (pa.string(), "importer that made the row"),
        "source": (pa.string(), "path of the picture or file it was measured in, or empty"),
        "split": (pa.string(), "train, val or test"),
        "weights": (
            pa.list_(pa.float32(), len(load_rig())),
            "held expression, 0..1; NaN where only texts are known",
        ),
        "mask": (pa.list_(pa.string()), "channels that were measured; the others are not known"),
        "action_units": (pa.string(), "JSON of the same expression, {AU: intensity}, or empty"),
        "texts": (pa.map_(pa.string(), pa.string()), "the corpus's name of a kind of text to the text"),
        "emotion": (pa.string(), "label of the corpus, or the strongest of `emotions`, or empty"),
        "emotions": (pa.map_(pa.string(), pa.float64()), "label to strength 0..1, where the corpus rates several"),
        "licence": (pa.string(), "terms of the corpus"),
        "notes": (pa.string(), "what the checks of the importer found, `kind: detail; kind: detail`, or empty"),
    }
)

CUTS = _schema(
    {
        "clip_id": (pa.string(), "key of a long recording that was cut into clips"),
        "cuts": (pa.string(), "JSON [[start, end], ...] of its clips, seconds within the file"),
        "audio": (pa.string(), "path of its sound; empty: it has none"),
        "video": (pa.string(), "path of its picture; empty: it has none"),
        "notes": (pa.string(), "what was left out, `kind: detail`, or empty"),
        "seconds": (pa.float64(), "length of the recording"),
    }
)

ANIMATIONS = _schema(
    {
        "clip_id": (pa.string(), "key of the catalogue row"),
        "prompt": (pa.string(), "style asked for"),
        "intensity": (pa.float64(), "strength asked for, 0..1.5"),
        "fps": (pa.float64(), "frames a second"),
        "seconds": (pa.float64(), "length of the audio"),
        "weights": (frames_type(), "generated expression over time, 0..1"),
        "style": (pa.list_(pa.float32()), "style embedding of the prompt, unit length"),
        "files": (pa.list_(pa.string()), "exported files, relative to the output folder"),
        "request": (pa.string(), "digest of all that decides the result: row, audio, settings, checkpoint"),
        "wall_s": (pa.float64(), "seconds of work on this clip, exports included"),
        "provenance": (pa.string(), "JSON: checkpoint, seed, command's settings, version"),
    }
)

ERRORS = pa.schema(
    {
        "clip_id": pa.string(),
        "row": pa.string(),  # the row as JSON
        "error": pa.string(),  # why it failed, one line
    }
)

TEAD = _schema(
    {
        "id": (
            pa.string(),
            "file letter, dash, four digits; a generated record ends in -v1, -v2 ...; decides the split",
        ),
        "emotion": (pa.string(), "free wording of the state"),
        "category": (pa.string(), "one of seven emotions, neutral, or mixed"),
        "valence": (pa.float64(), "unpleasant -1 to pleasant 1"),
        "arousal": (pa.float64(), "calm -1 to excited 1"),
        "texts": (pa.map_(pa.string(), pa.string()), "kind (tag, prompt, situation, description) to text"),
        "aus": (pa.map_(pa.string(), pa.float64()), "action unit, L or R when one-sided, to intensity 0.05..1"),
        "weights": (pa.list_(pa.float32(), len(load_rig())), "the expression, 0..1: as measured, or made of the units"),
        "direction": (pa.string(), "what was there first: expression or text"),
        "corpus": (pa.string(), "corpus of what was there first, or empty"),
        "source": (pa.string(), "where in it: clip and second, id or line"),
        "licence": (pa.string(), "terms of the source"),
        "backend": (pa.string(), "what wrote the rest: template, openai or vllm"),
        "model": (pa.string(), "language model, or the phrasebook's version"),
        "prompt_version": (pa.string(), "version of the instructions the model was given"),
        "quality": (pa.float64(), "agreement of texts and expression by ExpCLIP, -1..1; NaN: not judged"),
        "signature": (pa.binary(), "sign bits of prompt and situation in the text tower; near-duplicates share most"),
    }
)

TABLES = {
    "CLIPS": CLIPS,
    "TRACKS": TRACKS,
    "EXPRESSIONS": EXPRESSIONS,
    "TEAD": TEAD,
    "ANIMATIONS": ANIMATIONS,
    "ERRORS": ERRORS,
}
_TELLING = {
    "TEAD": {"id", "texts", "aus"},
    "ANIMATIONS": {"clip_id", "weights", "style"},
    "TRACKS": {"clip_id", "fps", "weights", "valid"},
    "EXPRESSIONS": {"id", "weights", "texts"},
    "CLIPS": {"clip_id", "audio", "speaker"},
    "ERRORS": {"row", "error"},
}


def kind_of(columns: Iterable[str]) -> str | None:
    """Return the name of the table that has these columns (and perhaps more), such as `TRACKS`; None: none of ours."""
    names = set(columns)
    return next((kind for kind, telling in _TELLING.items() if telling <= names), None)


def channels_of(table: pa.Schema) -> tuple[str, ...] | None:
    """Return the names of the channels that a table's weights stand in order of, None if it does not say."""
    names = (table.metadata or {}).get(b"channels")
    return tuple(json.loads(names)) if names else None
