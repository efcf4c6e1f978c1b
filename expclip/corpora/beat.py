"""BEAT (Liu et al. 2022): 76 h of 30 speakers in four languages, faces captured with ARKit at 60 fps.

Read are `SPEAKER_NAME_TYPE_FIRST_LAST.json` in any folder, with `.wav` (16 kHz, float), `.TextGrid` (words, phones)
and `.csv` (emotion over time) beside. The faces bring 51 channels, no tongue, and do not rest at 0.
"""

import csv
import io
import json
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from expclip import storage
from expclip.corpora import Found, Measured, Options, Row, Source, checks, phones, rows, words
from expclip.corpora.tree import Tree
from expclip.errors import BadRequestError
from expclip.rig import load_rig

LICENCE = "BEAT: data card Apache-2.0, repository CC BY-NC 4.0; treat as non-commercial"
BRINGS = "speech and conversation, 8 emotions, words; ARKit tracks of 51 channels"
LAYOUT = "SPEAKER_NAME_TYPE_FIRST_LAST.json such as 2_scott_0_1_1.json, with .wav beside"

PATTERN = r"(?:.*/)?(?P<key>(?P<speaker>\d+)_(?P<name>[a-z]+)_(?P<type>\d)_(?P<first>\d+)_(?P<last>\d+)(_[a-z])?)"
"""Path of a recording without its suffix."""

LANGUAGES = ("en", "zh", "es", "ja")
EMOTIONS = ("neutral", "happiness", "anger", "sadness", "contempt", "surprise", "fear", "disgust")
"""Labels in the order of the numbers in the csv."""

_IDS = ((64, "neutral"), (72, "happiness"), (80, "anger"), (86, "sadness"), (94, "contempt"), (102, "surprise"),
        (110, "fear"), (118, "disgust"))  # fmt: skip
"""Last number of a speech -> its emotion."""
FOUR_HOURS = frozenset((1, 2, 3, 4, 6, 7, 8, 9, 11, 21))
"""Speakers whose recordings have an official split. That of the others cuts recordings in two, so that val and test
share them: here those are split by speaker."""
_TEST = (frozenset((*range(1, 9), 65, 73, 81, 87, 95, 103, 111)), frozenset((1,)))
_VAL = (frozenset((*range(57, 65), 72, 80, 86, 94, 102, 110, 118)), frozenset((12,)))
"""Official numbers of English speech and of English conversation."""
_STATED_FPS = 60.0


@dataclass(frozen=True)
class Name:
    """What a recording's name says."""

    key: str
    speaker: int
    kind: int  # 0, 1 English speech and conversation; 2, 3 Chinese; 4, 5 Spanish; 6, 7 Japanese
    first: int  # number of the speech or conversation

    @property
    def language(self) -> str:
        """BCP 47."""
        return LANGUAGES[self.kind // 2] if self.kind // 2 < len(LANGUAGES) else ""

    @property
    def emotion(self) -> str:
        """Emotion of a speech; a conversation has none by name, nor has a number that is not listed."""
        if self.kind % 2:
            return ""
        return next((emotion for last, emotion in _IDS if self.first <= last), "")

    @property
    def split(self) -> str:
        """The official split, or one by speaker."""
        if self.speaker not in FOUR_HOURS:
            return rows.split_of(f"beat_{self.speaker}")
        if self.kind > 1:
            return "train"
        return "test" if self.first in _TEST[self.kind] else "val" if self.first in _VAL[self.kind] else "train"

    def row(self, corpus: str, licence: str, audio: str) -> Row:
        """Return the CLIPS row as far as the name tells."""
        return rows.clip_row(
            f"{corpus}_{self.key}",
            corpus=corpus,
            speaker=f"{corpus}_{self.speaker}",
            split=self.split,
            audio=audio,
            language=self.language,
            emotion=self.emotion,
            licence=licence,
        )


def names(tree: Tree, suffix: str) -> Iterator[tuple[str, Name]]:
    """Yield the recordings among the files with a suffix."""
    for file, found in tree.match(PATTERN + suffix):
        yield file, Name(found["key"], int(found["speaker"]), int(found["type"]), int(found["first"]))


def clips(tree: Tree, options: Options) -> Iterator[Source]:
    """Yield the recordings that have a face; see `corpora`."""
    for file, name in names(tree, r"\.json"):
        sound = tree.beside(file, (".wav",)) or tree.path(file.removesuffix(".json") + ".wav")
        beside = {"words": tree.beside(file, (".TextGrid",)), "emotion": tree.beside(file, (".csv",))}
        files = {"weights": tree.path(file)} | {role: path for role, path in beside.items() if path}
        yield Source(name.row("beat", LICENCE, sound), files, options={"speech": name.kind % 2 == 0})


def read(source: Source, audio_folder: str) -> Found:
    """Open a recording's weights, words and emotion."""
    measured = _weights(source.files["weights"])
    clip = source.clip | spoken(source)
    unlisted = source.options["speech"] and not clip["emotion"]
    notes = list(checks.label("number of a speech in", clip["clip_id"], ())) if unlisted else []
    if "emotion" in source.files:
        lasting, odd = _emotion(source.files["emotion"], clip["emotion"])
        clip["emotion"], notes = clip["emotion"] or lasting, [*notes, *odd]
    return Found(clip, measured, tuple(notes))


def spoken(source: Source) -> Row:
    """Return the columns `text` and `phones` as the TextGrid has them, if there is one."""
    if "words" not in source.files:
        return {}
    grid = words.tiers(storage.read_text(source.files["words"]))
    return {"text": words.sentence(grid), "phones": phones.to_json(words.phones(grid))}


def _weights(path: str) -> Measured:
    rig = load_rig()
    try:
        content = json.loads(storage.read_bytes(path))
        columns, frames = content["names"], content["frames"]
        values_TN = np.array([frame["weights"] for frame in frames], np.float32)
        time_T = np.array([frame["time"] for frame in frames], np.float64)
    except (ValueError, KeyError, TypeError) as error:
        raise BadRequestError(f"{path}: not names and frames of weights ({type(error).__name__}: {error})") from None
    if not len(time_T) or not (np.diff(time_T) > 0).all():
        raise BadRequestError(f"{path}: {len(time_T)} frames whose times do not rise")
    weights_TC = rig.reorder(values_TN, columns)
    channels = tuple(rig.canonical(name) for name in columns)
    valid_T = np.asarray(np.isfinite(weights_TC).all(1))
    return Measured(weights_TC, time_T, valid_T, channels, channels, "ARKit, BEAT's capture", _STATED_FPS)


def _emotion(path: str, named: str) -> tuple[str, tuple[str, ...]]:
    """Return the emotion that lasts longest by the csv, and what is odd about it."""
    lasting: dict[str, float] = {}
    notes: list[str] = []
    for line in csv.reader(io.StringIO(storage.read_text(path))):
        if len(line) < 5:
            continue
        number = line[4].strip()
        if not number.isdigit() or int(number) >= len(EMOTIONS):
            notes += [note for note in checks.label("emotion", number, ()) if note not in notes]
            continue
        emotion = EMOTIONS[int(number)]
        lasting[emotion] = lasting.get(emotion, 0.0) + float(line[3])
    found = max(lasting, key=lambda label: lasting[label]) if lasting else ""
    if found and named and found != named:
        notes.append(f"label: {named} by its number, {found} by its csv")
    return found, tuple(notes)
