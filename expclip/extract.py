"""Extraction: the faces of a clip, frame by frame -> the speaker's track in segments at an even rate.

Measured once (`expclip.extractors`), then in this order: the speaking face is chosen, each frame gets a confidence,
the speaker's resting face is estimated over all clips and taken off, short gaps are bridged, long ones split the
clip. T frames, C channels.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from expclip import sync
from expclip.animation import check_fps
from expclip.errors import BadRequestError
from expclip.extractors import Face
from expclip.rig import FloatArray, load_rig

BINS = 500
"""Steps of a weight in which the resting face is counted."""

BoolArray = npt.NDArray[np.bool_]
TimeArray = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Gate:
    """From which value on a frame is trusted whole, and from which not at all; between them confidence falls evenly."""

    nod: tuple[float, ...] = (25.0, 50.0)  # degrees up or down
    turn: tuple[float, ...] = (25.0, 55.0)  # degrees to either side
    tilt: tuple[float, ...] = (20.0, 50.0)  # degrees to either side
    size: tuple[float, ...] = (64.0, 24.0)  # height of the face in pixels
    dark: tuple[float, ...] = (0.08, 0.02)  # mean lightness of the face
    bright: tuple[float, ...] = (0.8, 0.98)  # mean lightness of the face
    detail: tuple[float, ...] = (0.28, 0.1)  # sharpness; a blur of 2 pixels on a face 100 high is 0.12


@dataclass(frozen=True)
class Options:
    """How tracks are made of what was measured."""

    fps: float = 50.0  # frames a second of the tracks
    confidence: float = 0.5  # least confidence of a frame that counts as measured
    bridge: float = 0.2  # seconds; gaps up to this are bridged, longer ones split the clip
    shortest: float = 0.5  # seconds; shorter segments are left out
    rest: float = 5.0  # percentile of a channel over all of a speaker's frames that is the resting face; 0: none taken
    gate: Gate = field(default_factory=Gate)


@dataclass(frozen=True, eq=False)
class Segment:
    """A stretch of a clip without a long gap; frame t stands at begin + t / fps seconds of the clip."""

    begin: float
    weights_TC: FloatArray
    valid_T: BoolArray
    confidence_T: FloatArray
    pose_T6: FloatArray


def check(options: Options) -> None:
    """Raise BadRequestError for options that make no sense."""
    check_fps(options.fps)
    for name, most in (("confidence", 1.0), ("bridge", 10.0), ("shortest", 60.0), ("rest", 50.0)):
        value = getattr(options, name)
        if not 0 <= value <= most:
            raise BadRequestError(f"{name} {value!r} is outside 0..{most:g}")
    for name, ramp in vars(options.gate).items():
        if len(ramp) != 2 or ramp[0] == ramp[1]:
            raise BadRequestError(f"gate.{name} is two values, whole trust and none, not {ramp!r}")


def mouth(face: Face) -> FloatArray:
    """Return the opening of the mouth (T,) at `sync.RATE` from the clip's start; NaN before and after the face."""
    jaw_T, known = face.weights_TC[:, load_rig().index("jawOpen")], face.seen_T
    place_T = np.arange(int(face.time_T[-1] * sync.RATE) + 1) / sync.RATE
    return np.interp(place_T, face.time_T[known], jaw_T[known], left=np.nan, right=np.nan).astype(np.float32)


def choose(faces: Sequence[Face], level_T: FloatArray) -> Face:
    """Return the face that speaks: its mouth moves with the level of the sound (T,); if none does, the most seen."""
    if len(faces) == 1:
        return faces[0]
    return max(faces, key=lambda face: (sync.speaking(mouth(face), level_T), int(face.seen_T.sum())))


def confidence(face: Face, gate: Gate) -> FloatArray:
    """Return how far each frame can be trusted (T,), 0..1: 0 where no face was seen, what is unknown does no harm."""
    nod_T, turn_T, tilt_T = np.abs(face.pose_T6[:, :3]).T
    factors = [
        _ramp(nod_T, gate.nod),
        _ramp(turn_T, gate.turn),
        _ramp(tilt_T, gate.tilt),
        _ramp(face.size_T, gate.size),
        _ramp(face.light_T, gate.dark),
        _ramp(face.light_T, gate.bright),
        _ramp(face.detail_T, gate.detail),
    ]
    return np.asarray(np.where(face.seen_T, np.prod(factors, axis=0), 0), np.float32)


def _ramp(value_T: FloatArray, ends: Sequence[float]) -> FloatArray:
    whole, none = ends
    share_T = np.clip((value_T - none) / (whole - none), 0, 1)
    return np.asarray(np.where(np.isnan(share_T), 1, share_T), np.float32)


class Rest:
    """The resting face of a speaker, from any number of clips; memory does not grow with them."""

    def __init__(self) -> None:
        self.frames = 0
        self._counts_CB = np.zeros((len(load_rig()), BINS), np.int64)

    def add(self, face: Face, options: Options) -> None:
        """Count the frames of a clip that can be trusted."""
        sure_TC = face.weights_TC[confidence(face, options.gate) >= max(options.confidence, 1e-6)]
        bins_TC = np.clip(sure_TC * BINS, 0, BINS - 1).astype(np.int64)
        for counts_B, bins_T in zip(self._counts_CB, bins_TC.T, strict=True):
            counts_B += np.bincount(bins_T, minlength=BINS)
        self.frames += len(sure_TC)

    def weights(self, percentile: float) -> FloatArray:
        """Return the resting face (C,): in each channel the value that so many percent of all frames stay below."""
        if not self.frames or not percentile:
            return load_rig().zeros()
        reached_CB = np.cumsum(self._counts_CB, axis=1) >= self.frames * percentile / 100
        return np.asarray(reached_CB.argmax(1) / BINS, np.float32)


def segments(face: Face, neutral_C: FloatArray, options: Options) -> list[Segment]:
    """Return the segments of a clip, at least one, with the resting face at 0.

    Raises BadRequestError, saying what is wrong, if there is no stretch of the shortest length.
    """
    sure_T = confidence(face, options.gate)
    good = np.flatnonzero(sure_T >= max(options.confidence, 1e-6))
    breaks = np.flatnonzero(np.diff(face.time_T[good]) > options.bridge + 1e-6) + 1
    made = [_segment(face, sure_T, part, options) for part in np.split(good, breaks) if len(part)]
    kept = [one for one in made if len(one.valid_T) >= max(1, round(options.shortest * options.fps))]
    if not kept:
        raise BadRequestError(_why_none(face, sure_T, good, options))
    return [
        Segment(one.begin, np.clip(one.weights_TC - neutral_C, 0, 1), one.valid_T, one.confidence_T, one.pose_T6)
        for one in kept
    ]


def _segment(face: Face, sure_T: FloatArray, part: npt.NDArray[np.int64], options: Options) -> Segment:
    """Return the stretch between the first and the last of the frames `part`, which have no long gap."""
    time_T = face.time_T[part]
    first, last = np.ceil(time_T[0] * options.fps - 1e-6), np.floor(time_T[-1] * options.fps + 1e-6)
    place_T = np.arange(int(first), int(last) + 1) / options.fps
    middles = (face.time_T[1:] + face.time_T[:-1]) / 2
    confidence_T = sure_T[np.searchsorted(middles, place_T)]  # of the nearest frame
    return Segment(
        float(first / options.fps),
        _interpolated(place_T, time_T, face.weights_TC[part]),
        confidence_T >= max(options.confidence, 1e-6),
        confidence_T,
        _interpolated(place_T, time_T, face.pose_T6[part]),
    )


def _interpolated(place_T: TimeArray, time_T: TimeArray, values_TK: FloatArray) -> FloatArray:
    return np.stack([np.interp(place_T, time_T, column) for column in values_TK.T], 1).astype(np.float32)


def _why_none(face: Face, sure_T: FloatArray, good: npt.NDArray[np.int64], options: Options) -> str:
    """Say why a clip has no segment."""
    span = float(face.time_T[-1] - face.time_T[0])
    count, seen = len(face.time_T), int(face.seen_T.sum())
    if span < options.shortest:
        return f"the picture lasts {span:.3g} s ({count} frames), less than the shortest track ({options.shortest:g} s)"
    if (count - 1) / span < 1 / max(options.bridge, 1e-3):
        return f"{(count - 1) / span:.3g} frames a second are too few: gaps above {options.bridge:g} s are not bridged"
    if not len(good):
        middle = np.nanmedian([*face.pose_T6.T[:3], face.size_T, face.light_T, face.detail_T], axis=1)
        nod, turn, tilt, size, light, detail = (f"{value:.2g}" for value in middle)
        return (
            f"the face is never seen well enough ({seen} of {count} frames, confidence at most {sure_T.max():.2f}): "
            f"nod {nod}, turn {turn}, tilt {tilt} degrees, {size} pixels high, lightness {light}, sharpness {detail}"
        )
    return f"no stretch of {options.shortest:g} s with a face: seen in {seen} of {count} frames, sure in {len(good)}"
