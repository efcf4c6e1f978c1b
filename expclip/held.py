"""Held-out clips of a corpus folder, ready to be measured on at 30 fps, and rivals learnt from its train clips.

In: a folder with clips/ and, where faces were measured, tracks/. Out: a `Corpus` of `Held` clips. Rivals are what costs
nothing: the mean face, the mean clip, and each channel as a straight line of the sound's level.
T frames, N samples, C channels.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from expclip import corpora, media, postprocess, sync
from expclip.animation import sample_at
from expclip.errors import BadRequestError
from expclip.rig import FloatArray, load_rig
from expclip.tracks import Track

FPS = 30.0
LEARNT_FROM = 40
"""Train clips that the rivals learn from."""
_LEAST = 10
"""Frames of a measured face below which a clip has no truth."""

Rival = Callable[["Held"], FloatArray]
"""A clip -> weights (T, C) of a face without any model."""


@dataclass(frozen=True, eq=False)
class Held:
    """A held-out clip: its sound, its words' phones and, where measured, the speaker's own face."""

    clip_id: str
    speaker: str
    audio_N: FloatArray
    phones: Sequence[tuple[float, float, str]] = ()
    prompt: str = ""  # how it was acted, in words; empty: neutral, or nobody knows
    truth_TC: FloatArray | None = None  # the speaker's own face at 30 fps, channels that were not measured 0
    measured: tuple[int, ...] = ()  # columns of `truth_TC` that were measured
    span: slice = field(
        default_factory=lambda: slice(0, 0)
    )  # frames of the longest stretch in which a face was measured

    @cached_property
    def frames(self) -> int:
        """Number of frames of an animation of it."""
        return max(1, round(len(self.audio_N) / media.SAMPLE_RATE * FPS))

    @cached_property
    def level_T(self) -> FloatArray:
        """The sound's level in dBFS, at least -60."""
        return loudness(self.audio_N, self.frames)

    @cached_property
    def rms_T(self) -> FloatArray:
        """The sound's RMS, 1 at full scale."""
        return np.asarray(10 ** (self.level_T / 20), np.float32)

    @cached_property
    def _rhythm_level_T(self) -> FloatArray:
        return sync.level(self.audio_N)

    def offset(self, gap_T: FloatArray) -> float:
        """Return the seconds by which a lip gap (T,) at 30 fps comes after the sound, by `sync.offset`; or NaN."""
        steps = len(self._rhythm_level_T)
        mouth_T = sample_at(gap_T[:, None], FPS, np.arange(steps) / sync.RATE)[:, 0]
        return sync.offset(mouth_T, self._rhythm_level_T)[0]

    def seen(self, weights_TC: FloatArray) -> FloatArray:
        """Return of weights (T, C) what can be compared with the truth: its span, other channels 0."""
        out_TC = np.zeros_like(weights_TC[self.span])
        out_TC[:, list(self.measured)] = weights_TC[self.span][:, list(self.measured)]
        return out_TC


@dataclass(frozen=True, eq=False)
class Corpus:
    """The held-out clips of one folder and the rivals that its train clips allow."""

    name: str
    clips: Sequence[Held]
    rivals: Mapping[str, Rival] = field(default_factory=dict)
    failed: Sequence[str] = ()  # clips that could not be read, each with its reason
    unequal: int = 0  # clips whose face and sound differ in length by more than 0.1 s

    @property
    def seconds(self) -> float:
        """Length of all clips."""
        return sum(len(clip.audio_N) for clip in self.clips) / media.SAMPLE_RATE


def load(folder: str, *, limit: int, split: str = "test") -> Corpus:
    """Return a corpus folder's clips of a split, the first `limit` by name.

    A clip whose sound cannot be read is told in `failed`. Raises BadRequestError if there is no other.
    """
    rows, tracks = corpora.read(folder)
    heard = [row for row in rows if row["audio"]]  # a picture alone tells nothing of speech
    rows = sorted(heard, key=lambda row: str(row["clip_id"]))
    chosen = [row for row in rows if row["split"] == split][:limit]
    if not chosen:
        raise BadRequestError(f"{folder} holds no clip of the {split} split")
    made, failed = _read(chosen, tracks)
    if not made:
        raise BadRequestError(f"{folder}: no clip of the {split} split can be read; {failed[0]}")
    learnt = [row for row in rows if row["split"] == "train" and row["clip_id"] in tracks and not _acted(row)]
    learnt = learnt[:: -(-len(learnt) // LEARNT_FROM) or 1]
    known = [clip for clip, _ in _read(learnt, tracks)[0] if clip.truth_TC is not None]
    unequal = sum(differs for _, differs in made)
    return Corpus(name_of(folder), [clip for clip, _ in made], rivals(known), failed, unequal)


def _read(rows: Sequence[Mapping[str, Any]], tracks: Mapping[str, Any]) -> tuple[list[tuple[Held, bool]], list[str]]:
    """Return the clips of rows, each with whether its face and its sound differ in length; and what cannot be read."""
    made, failed = [], []
    for row in rows:
        try:
            made.append(_held(row, tracks.get(row["clip_id"])))
        except (BadRequestError, OSError) as error:
            failed.append(f"{row['clip_id']}: {error}")
    return made, failed


def name_of(folder: str) -> str:
    """Return what a folder is called in a report."""
    return folder.rstrip("/").rsplit("/", 1)[-1]


def _acted(row: Mapping[str, Any]) -> bool:
    return row["emotion"] not in ("", "neutral", None)


def _held(row: Mapping[str, Any], table: Any) -> tuple[Held, bool]:
    """Return a clip, and whether its face and its sound differ in length."""
    end = row["end"]
    audio_N = media.read_audio(row["audio"], start=row["start"], end=None if np.isnan(end) else end)
    phones = [(float(a), float(b), str(p)) for a, b, p in json.loads(row["phones"] or "[]")]
    prompt = (row["prompt"] or row["emotion"]) if _acted(row) else ""
    clip = Held(str(row["clip_id"]), str(row["speaker"]), audio_N, phones, prompt)
    if table is None:
        return clip, False
    track, rig = Track.of(table), load_rig()
    time_T = np.arange(clip.frames) / FPS
    truth_TC = sample_at(track.weights_TC, track.fps, time_T)
    measured = rig.indices(track.mask)
    truth_TC[:, sorted(set(range(len(rig))) - set(measured))] = 0
    last = (len(track.valid_T) - 1) / track.fps
    known_T = np.interp(time_T, np.arange(len(track.valid_T)) / track.fps, track.valid_T.astype(float)) > 0.99
    span = longest_run(known_T & (time_T <= last + 0.5 / FPS))
    unequal = abs(last - (len(audio_N) / media.SAMPLE_RATE)) > 0.1
    if span.stop - span.start < _LEAST:
        return clip, unequal
    return Held(clip.clip_id, clip.speaker, audio_N, phones, prompt, truth_TC, tuple(measured), span), unequal


def longest_run(known_T: Any) -> slice:
    """Return the longest stretch of True, the first of equal ones; an empty slice if there is none."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], np.asarray(known_T, np.int8), [0]]))).reshape(-1, 2)
    if not len(edges):
        return slice(0, 0)
    start, stop = edges[int(np.argmax(edges[:, 1] - edges[:, 0]))]
    return slice(int(start), int(stop))


def loudness(audio_N: FloatArray, frames: int) -> FloatArray:
    """Return the sound's level (T,) at 30 fps in dBFS, at least -60: the simplest guess at an open jaw."""
    level_T = np.maximum(postprocess.sound_level(audio_N, -(-len(audio_N) // 320)), -60)[:, None]
    return sample_at(level_T, postprocess.RATE, np.arange(frames) / FPS)[:, 0]


def rivals(known: Sequence[Held]) -> dict[str, Rival]:
    """Return the rivals that clips with a measured face (of the train split, neutral) allow; none without such clips.

    `mean_face`: the mean over their frames, of the same speaker where he is among them. `mean_clip`: the mean of
    clips at each frame from the start, its last face held. `loudness`: for each channel the best line a + b level.
    """
    if not known:
        return {}
    faces = {clip.clip_id: (clip, _measured_face(clip)) for clip in known}
    means = {key: (clip.speaker, face_TC.mean(0)) for key, (clip, face_TC) in faces.items()}
    whole_C: FloatArray = np.stack([mean_C for _, mean_C in means.values()]).mean(axis=0)
    own: dict[str, FloatArray] = {
        speaker: np.stack([mean_C for name, mean_C in means.values() if name == speaker]).mean(axis=0)
        for speaker in {clip.speaker for clip in known}
    }
    shortest = min(len(face_TC) for _, face_TC in faces.values())
    mean_TC: FloatArray = np.stack([face_TC[:shortest] for _, face_TC in faces.values()]).mean(axis=0)
    level_T = np.concatenate([clip.level_T[clip.span] for clip, _ in faces.values()])
    lines_2C: FloatArray = np.linalg.lstsq(
        np.stack([np.ones_like(level_T), level_T], 1), np.concatenate([face_TC for _, face_TC in faces.values()])
    )[0].astype(np.float32)
    return {
        "mean_face": lambda clip: np.tile(own.get(clip.speaker, whole_C), (clip.frames, 1)),
        "mean_clip": lambda clip: mean_TC[np.minimum(np.arange(clip.frames), shortest - 1)],
        "loudness": lambda clip: np.clip(lines_2C[0] + clip.level_T[:, None] * lines_2C[1], 0, 1),
    }


def _measured_face(clip: Held) -> FloatArray:
    assert clip.truth_TC is not None
    return clip.truth_TC[clip.span]


def cut(clip: Held, seconds: float) -> Held:
    """Return the beginning of a clip as a clip without truth."""
    return Held(clip.clip_id, clip.speaker, clip.audio_N[: round(seconds * media.SAMPLE_RATE)], clip.phones)
