"""RAVDESS (Livingstone, Russo 2018): two sentences, spoken and sung by 24 actors in eight emotions.

Read are `MM-VC-EE-II-SS-RR-AA.mp4` and `.wav` in any folder: MM 01 sound and picture, 02 picture, 03 sound. The files
of one utterance make one clip.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from expclip.corpora import Found, Options, Source, rows
from expclip.corpora.tree import Tree, stem

LICENCE = "CC BY-NC-SA 4.0, RAVDESS (Livingstone, Russo 2018)"
BRINGS = "video and sound of 24 actors, 8 emotions in two strengths, two sentences"
LAYOUT = "files named MM-VC-EE-II-SS-RR-AA.mp4 or .wav such as 01-01-05-02-01-01-12.mp4"

EMOTIONS = ("neutral", "calm", "happy", "sad", "angry", "fearful", "disgust", "surprised")
STRENGTHS = ("", "strong")
SENTENCES = ("kids are talking by the door", "dogs are sitting by the door")
_NAME = re.compile(r"\d\d(-\d\d){6}")


@dataclass(frozen=True)
class Name:
    """The seven numbers of a file's name."""

    modality: int
    channel: int  # 1 speech, 2 song
    emotion: int
    strength: int
    sentence: int
    repetition: int
    actor: int

    @property
    def label(self) -> str:
        """Emotion in words, or empty if the number is not listed."""
        return EMOTIONS[self.emotion - 1] if 1 <= self.emotion <= len(EMOTIONS) else ""

    @property
    def prompt(self) -> str:
        """Emotion with its strength in words."""
        strength = STRENGTHS[self.strength - 1] if 1 <= self.strength <= len(STRENGTHS) else ""
        return f"{self.label}, {strength}" if self.label and strength else ""

    @property
    def text(self) -> str:
        """The sentence."""
        return SENTENCES[self.sentence - 1] if 1 <= self.sentence <= len(SENTENCES) else ""

    @property
    def split(self) -> str:
        """The split by actor that is commonly published."""
        return "train" if self.actor <= 20 else "val" if self.actor <= 22 else "test"


def parse(name: str) -> Name | None:
    """Return what a file's name without suffix says, or None if it is no such name."""
    return Name(*map(int, name.split("-"))) if _NAME.fullmatch(name) else None


def clips(tree: Tree, options: Options) -> Iterator[Source]:
    """Yield the utterances; see `corpora`."""
    utterances: dict[str, dict[int, str]] = {}
    for file, _ in tree.match(r"(.*/)?\d\d(-\d\d){6}\.(mp4|wav)"):
        modality, _, rest = stem(file).partition("-")
        utterances.setdefault(rest, {})[int(modality)] = tree.path(file)
    for rest, found in sorted(utterances.items()):
        name = parse(f"01-{rest}")
        assert name is not None  # the pattern above is that of `parse`
        video = found.get(1) or found.get(2, "")
        row = rows.clip_row(
            f"ravdess_{rest}",
            corpus="ravdess",
            speaker=f"ravdess_{name.actor:02d}",
            split=name.split,
            audio=found.get(3) or video,
            video=video,
            text=name.text,
            language="en",
            emotion=name.label,
            prompt=name.prompt,
            licence=LICENCE,
        )
        yield Source(row, key=rest)


def read(source: Source, audio_folder: str) -> Found:
    """Return the clip with what is odd about its name."""
    name = parse(f"01-{source.key}")
    assert name is not None
    notes = ("sound: sung, not spoken",) if name.channel == 2 else ()
    unknown = (f"label: unknown emotion {name.emotion:02d}",) if not name.label else ()
    return Found(source.clip, None, notes + unknown)
