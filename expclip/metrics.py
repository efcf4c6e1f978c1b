"""Measures of motion: pure functions of weights over time and phone times; definitions and units in each docstring.

T frames, C channels. Frame t shows time t / fps.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence

import numpy as np

from expclip.rig import FloatArray, Rig, load_rig

Phones = Sequence[tuple[float, float, str]]
"""(start, end, ARPAbet phone) in seconds."""
Gap = Callable[[FloatArray], FloatArray]
"""Weights (T, C) -> lip gap (T,); in millimetres for `head.Head.lip_gap`."""

_UNSCORED = frozenset(("AU8", "AU11", "AU13", "AU38"))
_SAME = {"AU23": "AU24", "AU44": "AU7", "AU26": "AU25", "AU27": "AU25", "AU45": "AU43", "AU46": "AU43"}
CLOSED_MM = 1.5
"""tau: lips no further apart count as shut, where no speaker's own percentile is known."""


def pearson(guess_T: FloatArray, truth_T: FloatArray) -> float:
    """Return Pearson's r over time; NaN if either does not move."""
    a, b = guess_T - guess_T.mean(), truth_T - truth_T.mean()
    scale = float(np.sqrt((a**2).sum() * (b**2).sum()))
    return float((a * b).sum() / scale) if scale > 1e-8 else float("nan")


def bilabials(phones: Phones) -> Iterator[tuple[float, float]]:
    """Yield start and end of each run of p, b and m."""
    run: tuple[float, float] | None = None
    for start, end, phone in phones:
        lips = phone.rstrip("012").upper() in ("P", "B", "M")
        if lips and run and abs(run[1] - start) < 1e-3:
            run = (run[0], end)
        elif lips:
            if run:
                yield run
            run = (start, end)
    if run:
        yield run


def closure_recall(gap_T: FloatArray, phones: Phones, *, fps: float, tau: float = CLOSED_MM) -> tuple[int, int]:
    """Return (closed, all) p, b, m intervals: closed if the gap within (one frame more each side) reaches tau."""
    closed = count = 0
    for start, end in bilabials(phones):
        first, last = int(np.floor(start * fps)) - 1, int(np.ceil(end * fps)) + 1
        window = gap_T[max(first, 0) : last + 1]
        if len(window):
            count += 1
            closed += bool(window.min() <= tau)
    return closed, count


def closure_precision(gap_T: FloatArray, phones: Phones, *, fps: float, tau: float = CLOSED_MM) -> tuple[int, int]:
    """Return (right, all) closures, runs of frames with gap <= tau: right if one touches p, b, m or a pause.

    A frame more on each side of the phone is allowed.
    """
    shut_T = gap_T <= tau
    allowed_T = np.zeros(len(gap_T), bool)
    for start, end, phone in phones:
        if phone.rstrip("012").upper() in ("P", "B", "M", "SIL", "SP", "SPN"):
            allowed_T[max(int(np.floor(start * fps)) - 1, 0) : int(np.ceil(end * fps)) + 2] = True
    edges = np.flatnonzero(np.diff(np.concatenate([[0], shut_T.astype(np.int8), [0]])))
    runs = edges.reshape(-1, 2)
    return sum(bool(allowed_T[a:b].any()) for a, b in runs), len(runs)


def closure_head(
    closures: Sequence[FloatArray], phones: Sequence[Phones], *, threshold: float, fps: float = 50.0
) -> dict[str, float]:
    """Return recall and precision of the generator's closure probabilities, shut where they reach the threshold."""
    pairs = [(1 - closure_T, each) for closure_T, each in zip(closures, phones, strict=True)]
    found = np.array([closure_recall(gap_T, each, fps=fps, tau=1 - threshold) for gap_T, each in pairs])
    right = np.array([closure_precision(gap_T, each, fps=fps, tau=1 - threshold) for gap_T, each in pairs])
    (hit, wanted), (good, made) = found.sum(0), right.sum(0)
    return {"closure.recall": hit / max(wanted, 1), "closure.precision": good / max(made, 1)}


def max_jump(weights_TC: FloatArray) -> float:
    """Return the largest change of any channel from one frame to the next, in weight."""
    return float(np.abs(np.diff(weights_TC, axis=0)).max(initial=0.0))


def jitter(weights_TC: FloatArray, fps: float) -> float:
    """Return the mean |second difference| over time and channels, in weight / s^2."""
    if len(weights_TC) < 3:
        return 0.0
    return float(np.abs(np.diff(weights_TC, n=2, axis=0)).mean() * fps**2)


def silence_motion(weights_TC: FloatArray, level_T: FloatArray, *, below: float = -50.0) -> float:
    """Return the mean Euclidean change per frame (weight) where both frames' sound level (dBFS) is below `below`."""
    quiet_T = (level_T[1:] < below) & (level_T[:-1] < below)
    if not quiet_T.any():
        return 0.0
    return float(np.linalg.norm(np.diff(weights_TC, axis=0)[quiet_T], axis=1).mean())


def upper_motion(weights_TC: FloatArray, neutral_TC: FloatArray, rig: Rig | None = None) -> float:
    """Return m(s), the distance of the upper face's mean from that of the neutral output, in weight."""
    upper = (rig or load_rig()).region("upper")
    return float(np.linalg.norm((weights_TC - neutral_TC)[:, upper].mean(0)))


def intensity_monotonicity(intensities: Sequence[float], motions: Sequence[float]) -> float:
    """Return Spearman's rho of intensities and m(s), 1 if every step moves the upper face more; NaN if constant."""
    order = [np.argsort(np.argsort(np.asarray(values, float))).astype(np.float32) for values in (intensities, motions)]
    return pearson(order[0], order[1])


def sync_offset(weights_T: FloatArray, level_T: FloatArray, *, fps: float, most: float = 0.4) -> float:
    """Return the lag (ms) at which a channel's correlation with the sound level peaks; above 0: the face is late.

    NaN if one of them does not move or is no longer than the largest lag.
    """
    reach, frames = int(most * fps), min(len(weights_T), len(level_T))
    if frames < reach + 3:
        return float("nan")
    lags = range(-reach, reach + 1)
    scores = []
    for lag in lags:
        late, early = max(0, lag), max(0, -lag)
        scores.append(pearson(weights_T[late : frames - early], level_T[early : frames - late]))
    return 1000 * lags[int(np.nanargmax(scores))] / fps if np.isfinite(scores).any() else float("nan")


def weight_errors(guess_TC: FloatArray, truth_TC: FloatArray, columns: Sequence[int]) -> dict[str, float]:
    """Return a clip's errors in weight over some channels, cut to the shorter.

    `euclidean`: mean over time of the Euclidean distance (MBE over all channels, LBE over the mouth); `mean`: mean
    |difference| (MLE over the mouth).
    """
    frames = min(len(guess_TC), len(truth_TC))
    away_TC = (guess_TC[:frames] - truth_TC[:frames])[:, list(columns)]
    return {"euclidean": float(np.linalg.norm(away_TC, axis=1).mean()), "mean": float(np.abs(away_TC).mean())}


def expression_intensity_error(guess_TC: FloatArray, truth_TC: FloatArray, columns: Sequence[int]) -> float:
    """Return EIE, the mean over time of the |difference| of the sums of |weights|."""
    frames = min(len(guess_TC), len(truth_TC))
    sums = [np.abs(weights_TC[:frames, list(columns)]).sum(1) for weights_TC in (guess_TC, truth_TC)]
    return float(np.abs(sums[0] - sums[1]).mean())


def rig_dynamics_difference(guess_TC: FloatArray, truth_TC: FloatArray, columns: Sequence[int]) -> float:
    """Return FRD: std over time of the truth less that of the guess, mean over channels; above 0: too little motion."""
    frames = min(len(guess_TC), len(truth_TC))
    spread = [weights_TC[:frames, list(columns)].std(0) for weights_TC in (guess_TC, truth_TC)]
    return float((spread[1] - spread[0]).mean())


def max_speed(weights_TC: FloatArray, fps: float) -> float:
    """Return the largest |change| of any channel, in weight / s."""
    return max_jump(weights_TC) * fps


def fast_energy_share(weights_TC: FloatArray, fps: float, *, above: float = 8.0) -> float:
    """Return the share of the motion's energy above `above` Hz; NaN if nothing moves.

    Energy: the power spectrum of all channels less their means, under a Hann window.
    """
    moved_TC = (weights_TC - weights_TC.mean(0)) * np.hanning(len(weights_TC))[:, None]
    power_F = (np.abs(np.fft.rfft(moved_TC, axis=0)) ** 2).sum(1)
    fast_F = np.fft.rfftfreq(len(weights_TC), 1 / fps) > above
    total = float(power_F[1:].sum())
    return float(power_F[fast_F].sum() / total) if total > 1e-9 else float("nan")


def closure_timing(gap_T: FloatArray, phones: Phones, *, fps: float, reach: float = 0.1) -> list[float]:
    """Return for each p, b, m interval the ms (above 0: late) from its middle to the lips' narrowest moment.

    Looked for within the interval and `reach` seconds on both sides; of a gap that stays at its least (to 0.05 mm) the
    middle of the stretch that lies nearest to the phone counts.
    """
    found = []
    for start, end in bilabials(phones):
        first, last = max(int(np.ceil((start - reach) * fps)), 0), int(np.floor((end + reach) * fps))
        window = gap_T[first : last + 1]
        if len(window) < 2:
            continue
        least = np.flatnonzero(window <= window.min() + 0.05)
        stretches = np.split(least, np.flatnonzero(np.diff(least) > 1) + 1)
        middles = np.array([first + stretch.mean() for stretch in stretches]) / fps - (start + end) / 2
        found.append(1000 * float(middles[np.argmin(np.abs(middles))]))
    return found


def units_named_and_shown(
    named: Iterable[str], weights_C: FloatArray, rig: Rig | None = None, *, tau: float = 0.2
) -> tuple[set[str], set[str]]:
    """Return the scored action units that a text names and those that a held face shows.

    A unit is shown if all shapes it drives exceed `tau` on one side. Units that share a shape are one: AU24 stands for
    AU23, AU7 for AU44, AU25 for the three depths of the jaw, AU43 for lids that close; AU11, AU13, AU38 and AU8 have no
    shape of their own and are not scored.
    """
    rig = rig or load_rig()
    known = {base for base in rig.action_units if base not in _UNSCORED and base not in _SAME}
    wanted = {_SAME.get(base, base) for base in (code.rstrip("LR") for code in named)}
    shown = set()
    for base in known:
        shapes = rig.action_units[base].shapes
        sides = ([shape.replace("*", side) for shape in shapes] for side in ("Left", "Right"))
        if any(min(weights_C[rig.index(shape)] for shape in side) > tau for side in sides):
            shown.add(base)
    return wanted & known, shown
