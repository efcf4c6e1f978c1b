"""Synthetic speech with motion to learn from: a seed and a number in, a clip with its sound, phones and motion out.

The words come from `speech_text`, the sound and phone times from `voice`, the mouth and the small motion of brows and
lids from `coarticulation`, the recording from `room`. Most lines are neutral; the rest are in a few emotions, whose
held expressions are composed with the speech. The same seed and number give the same clip, whatever else is made.
"""

import json
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from expclip import coarticulation, speech_text
from expclip.corpora import Row, phones, rows
from expclip.corpora.phones import Phones
from expclip.media import SAMPLE_RATE
from expclip.rig import FloatArray, load_rig
from expclip.room import Range, RoomOptions, record
from expclip.voice import Speaker, Voice

LICENCE = "ours, Apache-2.0 (sound made with hibari-tts 0.2.1)"

VOICES = 64
"""Pseudo-voices of a corpus."""

MEAN_SECONDS = 5.0
"""Mean length of a clip, measured over 1,000."""


@dataclass(frozen=True)
class Emotion:
    """A feeling as corpora label them: expressions and what a director would say of each, and how it is spoken."""

    expressions: tuple[tuple[str, dict[str, float]], ...]  # prompt, action units
    pitch: float = 1.0
    pitch_range: float = 1.0
    speed: float = 1.0


EMOTIONS = {
    "happiness": Emotion(
        (
            ("happy", {"AU6": 0.5, "AU12": 0.65}),
            ("cheerful with a broad smile", {"AU6": 0.6, "AU12": 0.8, "AU25": 0.2}),
            ("mildly pleased", {"AU12": 0.35, "AU6": 0.2}),
        ),
        pitch=1.06,
        pitch_range=1.25,
        speed=1.05,
    ),
    "sadness": Emotion(
        (
            ("sad", {"AU1": 0.55, "AU4": 0.3, "AU15": 0.45}),
            ("deeply sad and close to tears", {"AU1": 0.75, "AU4": 0.4, "AU15": 0.6, "AU17": 0.3, "AU43": 0.2}),
            ("a little downcast", {"AU1": 0.3, "AU15": 0.25}),
        ),
        pitch=0.95,
        pitch_range=0.75,
        speed=0.9,
    ),
    "anger": Emotion(
        (
            ("angry", {"AU4": 0.7, "AU5": 0.25, "AU7": 0.45, "AU24": 0.2}),
            ("furious", {"AU4": 0.9, "AU5": 0.4, "AU7": 0.6, "AU9": 0.35, "AU10": 0.3}),
            ("annoyed", {"AU4": 0.4, "AU7": 0.25}),
        ),
        pitch=1.04,
        pitch_range=1.1,
        speed=1.08,
    ),
    "surprise": Emotion(
        (
            ("surprised", {"AU1": 0.6, "AU2": 0.6, "AU5": 0.5}),
            ("astonished", {"AU1": 0.85, "AU2": 0.85, "AU5": 0.75, "AU26": 0.3}),
            ("mildly surprised", {"AU1": 0.35, "AU2": 0.35, "AU5": 0.2}),
        ),
        pitch=1.1,
        pitch_range=1.3,
    ),
}


@dataclass(frozen=True)
class Options:
    """How the made speech varies."""

    emotional: float = 0.3  # share of lines that are not neutral
    pitch: Range = Range(0.6, 1.35)  # factor on the engine's own voice, as the next two
    pitch_range: Range = Range(0.5, 1.5)
    speed: Range = Range(0.75, 1.35)
    silence: Range = Range(0.05, 0.8)  # seconds put before and behind the line
    pauses: float = 0.3  # share of pauses within a line that are made longer
    align: bool = True  # times of phones by forced alignment where it works, else the engine's own
    room: RoomOptions = field(default_factory=RoomOptions)


@dataclass(frozen=True, eq=False)
class Made:
    """A clip: its rows of CLIPS and TRACKS and its sound (N,) at 16 kHz."""

    clip: Row
    track: Row
    audio_N: FloatArray


class Synthesizer:
    """Makes clips by number. Holds the speech engine, so make one in a process."""

    def __init__(self, seed: int = 0, options: Options | None = None) -> None:
        self.seed, self.options = seed, options or Options()

    @cached_property
    def _speaker(self) -> Speaker:
        return Speaker()

    def clip_id(self, index: int) -> str:
        """Return the name of a clip."""
        return f"synth-{self.seed}-{index:06d}"

    def make(self, index: int) -> Made:
        """Return clip number `index`."""
        rng = np.random.default_rng([self.seed, index])
        text = speech_text.sentence([self.seed, index])
        speaker = int(rng.integers(VOICES))
        emotion = str(rng.choice(list(EMOTIONS))) if rng.random() < self.options.emotional else ""
        clean_N, spoken = self._say(text, self._voice(speaker, emotion, rng), rng)
        prompt, units = self._expression(emotion, rng)
        weights_TC = animate(clean_N, spoken, units, effort=rng.uniform(0.85, 1.15), seed=int(rng.integers(2**31)))
        clip_id = self.clip_id(index)
        clip = rows.clip_row(
            clip_id,
            corpus="synth",
            speaker=f"synth_voice{speaker:02d}",
            split=speech_text.split(text),
            text=text,
            language="en",
            emotion=emotion or "neutral",
            prompt=prompt,
            action_units=json.dumps(units) if units else "",
            phones=phones.to_json(spoken),
            licence=LICENCE,
        )
        track = rows.track_row(clip_id, weights_TC, np.ones(len(weights_TC), bool), taught(), "coarticulation rules")
        return Made(clip, track, record(clean_N, rng, self.options.room))

    def _voice(self, speaker: int, emotion: str, rng: np.random.Generator) -> Voice:
        """Return a speaker's voice as it is on one line: high voices mostly have short vocal tracts."""
        own, options = np.random.default_rng([self.seed, 77_777, speaker]), self.options
        pitch = float(np.exp(own.uniform(np.log(options.pitch.least), np.log(options.pitch.most))))
        tract = Range(0.85, 1.15).clip((pitch / 0.95) ** 0.35 * own.uniform(0.93, 1.07))
        feeling = EMOTIONS.get(emotion, Emotion(()))
        return Voice(
            pitch=options.pitch.clip(pitch * feeling.pitch * rng.uniform(0.95, 1.05)),
            pitch_range=options.pitch_range.clip(rng.uniform(0.6, 1.3) * feeling.pitch_range),
            speed=options.speed.clip(own.uniform(0.85, 1.2) * rng.uniform(0.88, 1.12) * feeling.speed),
            tract=tract,
        )

    def _say(self, text: str, voice: Voice, rng: np.random.Generator) -> tuple[FloatArray, Phones]:
        """Return the clean speech with its silences, peak 0.7, and its phones."""
        audio_N, spoken = self._speaker.say(text, voice, seed=int(rng.integers(2**31)))
        if self.options.align:
            spoken = phones.align(audio_N, phones.spoken_words(text)) or spoken
        for start, end, name in reversed(spoken[1:-1]):  # from the end, so that earlier times stay true
            if name == "SIL" and end - start > 0.1 and rng.random() < self.options.pauses:
                audio_N, spoken = insert_silence(audio_N, spoken, at=(start + end) / 2, seconds=rng.uniform(0.15, 1.0))
        audio_N, spoken = insert_silence(
            audio_N, spoken, at=len(audio_N) / SAMPLE_RATE, seconds=self.options.silence.draw(rng)
        )
        audio_N, spoken = insert_silence(audio_N, spoken, at=0.0, seconds=self.options.silence.draw(rng))
        return audio_N * np.float32(0.7 / max(float(np.abs(audio_N).max()), 1e-6)), spoken

    def _expression(self, emotion: str, rng: np.random.Generator) -> tuple[str, dict[str, float]]:
        if not emotion:
            return "neutral", {}
        expressions = EMOTIONS[emotion].expressions
        prompt, units = expressions[rng.integers(len(expressions))]
        strength = rng.uniform(0.8, 1.1)
        return prompt, {code: round(min(1.0, value * strength), 3) for code, value in units.items()}


def taught() -> list[str]:
    """Return the channels that made motion may teach: all but blinks and gaze, which are no part of it."""
    return [name for name in load_rig().channels if not name.startswith(("eyeBlink", "eyeLook"))]


def animate(
    audio_N: FloatArray, spoken: Phones, units: dict[str, float], *, effort: float = 1.0, seed: int = 0
) -> FloatArray:
    """Return the face (T, C) at 50 frames a second that says the phones and shows the expression in action units."""
    import torch

    from expclip import action_units
    from expclip.augment import closure_curve, compose

    frames = -(-len(audio_N) * round(coarticulation.FPS) // SAMPLE_RATE)
    speech_TC = coarticulation.motion(spoken, frames, audio_N=audio_N, effort=effort)
    speech_TC = np.maximum(speech_TC, coarticulation.prosody(spoken, frames, audio_N=audio_N, seed=seed))
    if not units:
        return speech_TC
    closure_T = closure_curve(spoken, frames, coarticulation.FPS, ramp=coarticulation.RAMP)
    held_TC = torch.from_numpy(action_units.to_weights(units)).expand(frames, -1)
    return np.asarray(compose(torch.from_numpy(speech_TC), held_TC, closure_T).numpy(), np.float32)


def insert_silence(audio_N: FloatArray, spoken: Phones, *, at: float, seconds: float) -> tuple[FloatArray, Phones]:
    """Return sound and phones with silence put in at a moment; the phone that holds it must be a pause or the edge."""
    place, gap = round(at * SAMPLE_RATE), np.zeros(round(seconds * SAMPLE_RATE), np.float32)
    out: Phones = []
    for start, end, name in spoken:
        moved = (start + seconds if start >= at and start > 0 else start, end + seconds if end > at else end, name)
        out.append(moved)
    if at <= 0 and (not out or out[0][2] != "SIL"):
        out = [(0.0, seconds, "SIL"), *((a + (seconds if a == 0 else 0), b, p) for a, b, p in out)]
    return np.concatenate([audio_N[:place], gap, audio_N[place:]]), out
