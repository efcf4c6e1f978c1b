"""Evaluation: an Animator and held-out clips -> figures by name, as defined in `metrics`, beside simple baselines.

Motion is judged as a user gets it: after post-processing, at 30 frames a second. T frames, C channels.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from expclip import corpora, media, metrics, postprocess, retrieval, storage, tead
from expclip.animation import sample_at
from expclip.animator import Animator
from expclip.errors import BadRequestError
from expclip.head import load_head
from expclip.rig import FloatArray
from expclip.style import Style

FPS = 30.0
NEUTRAL = "a calm, neutral face"
STRONG = {
    "happiness": "ecstatic, grinning from ear to ear",
    "sadness": "sobbing with grief",
    "anger": "screaming with rage",
    "fear": "terrified for her life",
    "surprise": "utterly astonished",
    "disgust": "revolted, about to be sick",
    "contempt": "a sneer of utter contempt",
}
"""A strong prompt for each emotion; none is in TEAD."""
CHANNELS = ("jawOpen", "mouthPucker", "mouthClose")
INTENSITIES = (0.0, 0.25, 0.5, 0.75, 1.0, 1.5)


@dataclass(frozen=True, eq=False)
class Held:
    """A held-out clip: its sound and, where measured, the speaker's own face."""

    clip_id: str
    audio_N: FloatArray
    phones: Sequence[tuple[float, float, str]]
    weights_TC: FloatArray | None = None
    fps: float = 50.0
    valid_T: Any = None
    mask: frozenset[str] = frozenset()

    @cached_property
    def frames(self) -> int:
        """Number of frames of an animation of it."""
        return max(1, round(len(self.audio_N) / media.SAMPLE_RATE * FPS))

    def truth(self, name: str, column: int) -> tuple[FloatArray, Any] | None:
        """Return a channel (T,) at 30 fps and where it is known, or nothing if this clip does not know it."""
        if self.weights_TC is None or name not in self.mask:
            return None
        time_T = np.arange(self.frames) / FPS
        known = np.interp(time_T, np.arange(len(self.valid_T)) / self.fps, self.valid_T.astype(float)) > 0.99
        return sample_at(self.weights_TC, self.fps, time_T)[:, column], known


def evaluate(animator: Animator, folders: Sequence[str], *, limit: int = 100, split: str = "test") -> dict[str, Any]:
    """Return figures: `text` (of TEAD) and, by name of the folder, those of each corpus; of that split alone."""
    figures: dict[str, Any] = {"text": retrieval.evaluate(animator.expclip, tead.load(split=split))}
    for folder in folders:
        held, mean_TC = load(folder, limit=limit, split=split)
        figures[folder.rstrip("/").rsplit("/", 1)[-1]] = {
            "clips": len(held),
            "seconds": round(sum(len(clip.audio_N) for clip in held) / media.SAMPLE_RATE, 1),
            **likeness(animator, held, mean_TC),
            **closures(animator, held),
            **manners(animator, held[: max(1, limit // 10)]),
        }
    return figures


def load(folder: str, *, limit: int, split: str = "test") -> tuple[list[Held], FloatArray | None]:
    """Return a split's clips of a corpus folder and the mean track (T, C) of its training clips, if it has any."""
    rows, tracks = corpora.read(folder)
    heard = (row for row in rows if row["split"] == split and row["audio"])  # a picture alone tells nothing of speech
    found = sorted(heard, key=lambda row: str(row["clip_id"]))[:limit]
    if not found:
        raise BadRequestError(f"{folder} holds no clip of the {split} split")
    known = [_weights(tracks[row["clip_id"]]) for row in rows if row["split"] == "train" and row["clip_id"] in tracks]
    shortest = min(map(len, known), default=0)
    mean_TC = np.asarray(np.mean([w[:shortest] for w in known], axis=0), np.float32) if known else None
    return [_held(row, tracks.get(row["clip_id"])) for row in found], mean_TC


def _weights(track: Any) -> FloatArray:
    frames = len(track["valid"][0].values)
    return np.asarray(track["weights"][0].values.flatten(), np.float32).reshape(frames, -1)


def _held(row: Mapping[str, Any], track: Any) -> Held:
    end = row["end"]
    audio_N = media.read_audio(row["audio"], start=row["start"], end=None if np.isnan(end) else end)
    phones = [tuple(phone) for phone in json.loads(row["phones"])] if row["phones"] else []
    if track is None or row["emotion"] not in ("", "neutral"):  # an acted face is no truth for a neutral one
        return Held(row["clip_id"], audio_N, phones)
    valid_T = np.asarray(track["valid"][0].values)
    mask = frozenset(track["mask"][0].as_py())
    return Held(row["clip_id"], audio_N, phones, _weights(track), float(track["fps"][0].as_py()), valid_T, mask)


def likeness(animator: Animator, held: Sequence[Held], mean_TC: FloatArray | None) -> dict[str, float]:
    """Return mean per-clip r with the speaker's own channels, of the model, loudness and the mean training clip."""
    scores: dict[str, list[float]] = {}
    for clip in held:
        guess_TC = animator.animate(clip.audio_N, _zero(animator), fps=FPS).weights_TC
        level_T = loudness(clip.audio_N, clip.frames)
        for name in CHANNELS:
            column = animator.rig.index(name)
            truth = clip.truth(name, column)
            if truth is None or truth[1].sum() < 10:
                continue
            rivals = {"r": guess_TC[:, column], "loudness_r": level_T}
            if mean_TC is not None:
                rivals["mean_clip_r"] = sample_at(mean_TC, 50.0, np.arange(clip.frames) / FPS)[:, column]
            for rival, guess_T in rivals.items():
                r = metrics.pearson(guess_T[truth[1]], truth[0][truth[1]])
                scores.setdefault(f"{name}.{rival}", []).append(0.0 if np.isnan(r) else r)
            if name == "jawOpen":
                lag = metrics.sync_offset(guess_TC[:, column], truth[0], fps=FPS, most=0.2)
                scores.setdefault("jawOpen.lag_ms", []).append(lag)
    reduce = {name: np.median if name.endswith("lag_ms") else np.mean for name in scores}
    return {name: round(float(reduce[name](values)), 3) for name, values in scores.items()}


def loudness(audio_N: FloatArray, frames: int) -> FloatArray:
    """Return the sound's level (T,) at 30 fps in dBFS, at least -60: the simplest guess at an open jaw."""
    level_T = np.maximum(postprocess.sound_level(audio_N, -(-len(audio_N) // 320)), -60)[:, None]
    return sample_at(level_T, postprocess.RATE, np.arange(frames) / FPS)[:, 0]


def closures(animator: Animator, held: Sequence[Held]) -> dict[str, float]:
    """Return recall and precision of shut lips at p, b, m under the neutral and each strong prompt, on our head."""
    spoken = [clip for clip in held if clip.phones]
    if not spoken:
        return {}
    figures = {}
    for emotion, prompt in {"neutral": NEUTRAL, **STRONG}.items():
        style, counts = animator.style(prompt), np.zeros(4)
        for clip in spoken:
            gap_T = load_head().lip_gap(animator.animate(clip.audio_N, style, fps=FPS).weights_TC)
            counts += (
                *metrics.closure_recall(gap_T, clip.phones, fps=FPS),
                *metrics.closure_precision(gap_T, clip.phones, fps=FPS),
            )
        figures[f"closure_recall.{emotion}"] = round(float(counts[0] / max(counts[1], 1)), 3)
        figures[f"closure_precision.{emotion}"] = round(float(counts[2] / max(counts[3], 1)), 3)
    return figures


def manners(animator: Animator, held: Sequence[Held]) -> dict[str, float]:
    """Return the largest jump, motion in silence and worst monotonicity of intensity, over all strong prompts."""
    jumps, silences, rhos = [], [], []
    for clip in held:
        level_T = loudness(clip.audio_N, clip.frames)
        neutral_TC = animator.animate(clip.audio_N, _zero(animator), fps=FPS).weights_TC
        for prompt in STRONG.values():
            style = animator.style(prompt)
            made = [animator.animate(clip.audio_N, style.scaled(s), fps=FPS).weights_TC for s in INTENSITIES]
            jumps.append(max(map(metrics.max_jump, made)))
            mouth_TC = made[4][:, animator.rig.region("mouth")]
            silences.append(metrics.silence_motion(mouth_TC, level_T))
            moved = [metrics.upper_motion(weights_TC, neutral_TC, animator.rig) for weights_TC in made]
            rhos.append(metrics.intensity_monotonicity(INTENSITIES, moved))
    return {
        "max_jump": round(max(jumps), 3),
        "silence_motion": round(float(np.mean(silences)), 5),
        "intensity_spearman_worst": round(min(rhos), 3),
    }


def _zero(animator: Animator) -> Style:
    return animator.style(NEUTRAL, intensity=0)


def table(figures: Mapping[str, Any]) -> str:
    """Return the figures as lines `name value`, nested names joined by dots."""
    lines: list[str] = []

    def add(prefix: str, value: Any) -> None:
        if isinstance(value, Mapping):
            for name, inner in value.items():
                add(f"{prefix}.{name}" if prefix else name, inner)
        else:
            lines.append(f"{prefix:<48} {value:.4g}" if isinstance(value, float) else f"{prefix:<48} {value}")

    add("", figures)
    return "\n".join(lines)


def write_report(path: str, figures: Mapping[str, Any]) -> None:
    """Write the figures as JSON."""
    storage.write_bytes(path, json.dumps(figures, indent=1).encode() + b"\n")
