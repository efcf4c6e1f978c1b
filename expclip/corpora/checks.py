"""What every importer's clips are checked for, in one place: notes of the form `kind: detail`, for people to read.

A note never stops a clip: what stops one is an error. KINDS says what each kind means.
"""

from collections.abc import Iterable, Sequence

import numpy as np

from expclip.corpora import Calibration, Measured
from expclip.corpora.rows import typical_step
from expclip.rig import FloatArray, load_rig

KINDS = {
    "length": "face and sound differ in length by more than 0.1 s; the track is cut to the sound",
    "rate": "the frames' own times run at another rate than the corpus states; the times are taken",
    "gap": "frames without a face, or times that jump; bridged and marked as not valid",
    "constant": "channels that never move in the clip",
    "range": "values outside 0..1 as measured; the track is clamped after the rest is taken off",
    "mirror": "left and right move as one: averaged data",
    "rest": "channels that are not 0 at rest; the speaker's rest is taken off",
    "label": "a label that the corpus does not list, or two that disagree",
    "motion": "the corpus's motion is not in ARKit weights and was left out",
    "sound": "something odd about the sound",
    "silence": "pieces that were too short or too quiet to be clips",
    "copy": "clips whose sound or whose face is that of another clip",
}
"""Kind of note -> what it means."""

_LENGTH_SECONDS = 0.1
_RATE = 0.005
"""Largest share by which a rate may differ from the stated one."""
_STILL = 1e-4
_RESTING = 0.1
_ONE = 0.995
"""Correlation that rounds to 1.00."""
_LISTED = 5


def face(measured: Measured, calibration: Calibration, seconds: float) -> list[str]:
    """Return the notes on a clip's weights, given the length of its sound."""
    notes = [*_times(measured, seconds), *_gaps(measured)]
    if measured.valid_T.any():
        seen_TC = measured.weights_TC[measured.valid_T]
        notes += [*_still(measured, seen_TC), *_outside(seen_TC), *_mirrored(seen_TC), *_rest(measured, calibration)]
    return notes


def label(what: str, value: str, known: Iterable[str]) -> tuple[str, ...]:
    """Return a note if a label of the corpus is not one of those it lists."""
    return () if value in known else (f"label: unknown {what} {value!r}",)


def lengths(face_seconds: float, sound_seconds: float, rate: str = "") -> tuple[str, ...]:
    """Return a note if face and sound differ in length; `rate` says where the face's length comes from."""
    if abs(face_seconds - sound_seconds) <= _LENGTH_SECONDS:
        return ()
    return (f"length: face {face_seconds:.2f} s{rate}, sound {sound_seconds:.2f} s",)


def _times(measured: Measured, seconds: float) -> Iterable[str]:
    step, frames = typical_step(measured.time_T), len(measured.time_T)
    length = float(measured.time_T[-1]) + step if frames else 0.0
    fit = f" at the stated {measured.stated_fps:g} fps ({frames / max(seconds, 1e-3):.2f} fps would fit)"
    yield from lengths(length, seconds, "" if measured.timed else fit)
    if measured.timed and measured.stated_fps and abs(1 / (step * measured.stated_fps) - 1) > _RATE:
        yield f"rate: {1 / step:.2f} fps by time, {measured.stated_fps:g} stated"


def _gaps(measured: Measured) -> Iterable[str]:
    missed, frames = int((~measured.valid_T).sum()), len(measured.valid_T)
    if missed:
        yield f"gap: {missed} of {frames} frames without a face"
    if frames > 1 and (jump := float(np.diff(measured.time_T).max())) > 2.5 * typical_step(measured.time_T):
        yield f"gap: times jump by up to {jump:.2f} s"


def _still(measured: Measured, seen_TC: FloatArray) -> Iterable[str]:
    rig = load_rig()
    names = [name for name in measured.channels if float(np.ptp(seen_TC[:, rig.index(name)])) < _STILL]
    if names:
        yield f"constant: {len(names)} of {len(measured.channels)} channels ({_some(names)})"


def _outside(seen_TC: FloatArray) -> Iterable[str]:
    share = float(((seen_TC < -1e-6) | (seen_TC > 1 + 1e-6)).any(1).mean())
    if share:
        yield f"range: {100 * share:.1f} % of frames outside 0..1 ({seen_TC.min():.3f}..{seen_TC.max():.3f})"


def _mirrored(seen_TC: FloatArray) -> Iterable[str]:
    rig = load_rig()
    apart = {*rig.region("gaze"), *rig.indices(("jawLeft", "jawRight", "mouthLeft", "mouthRight"))}
    pairs = [(k, other) for k, other in enumerate(rig.mirror_order) if k < other and k not in apart]
    deviation_C = seen_TC.std(0)
    moving = [pair for pair in pairs if deviation_C[list(pair)].min() > 1e-3]
    if not moving:
        return
    together = [np.corrcoef(seen_TC[:, k], seen_TC[:, other])[0, 1] for k, other in moving]
    if np.mean(together) >= _ONE:
        yield f"mirror: left and right correlate at {np.mean(together):.2f} in {len(moving)} pairs"


def _rest(measured: Measured, calibration: Calibration) -> Iterable[str]:
    rig = load_rig()
    resting = {name: float(calibration.rest_C[rig.index(name)]) for name in measured.channels}
    high = sorted((name for name in resting if abs(resting[name]) > _RESTING), key=lambda name: -abs(resting[name]))
    if high:
        yield f"rest: {len(high)} channels ({_some([f'{name} {resting[name]:.2f}' for name in high])})"


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:_LISTED]) + (", ..." if len(names) > _LISTED else "")
