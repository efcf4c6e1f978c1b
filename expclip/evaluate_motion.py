"""Figures of motion: against the speaker's own face, against the phones and the sound, and under every emotion.

In: held-out clips and an `Actor` that animates each of them once for a style. Out: nested `Figure`s by name; what each
name means is in `definitions`. Motion is judged as a user gets it: after post-processing, at 30 frames a second.
T frames, C channels.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from expclip import figures, mesh_metrics, metrics
from expclip.actor import Actor
from expclip.figures import Figure
from expclip.held import FPS, Corpus, Held
from expclip.mesh import Mesh
from expclip.rig import FloatArray, load_rig
from expclip.style import Style

CHANNELS = ("jawOpen", "mouthPucker", "mouthClose")
"""Channels whose correlation with the speaker's own is told."""
INTENSITIES = (0.0, 0.25, 0.5, 0.75, 1.0, 1.5)
OWN = "own head"

Sums = dict[str, tuple[float, float]]
"""Figure name -> numerator and denominator of one clip."""
_MEDIANS = ("lag_ms", "offset_ms")


def reduced(clips: Sequence[Sums], seed: int) -> dict[str, Figure]:
    """Return figures over clips: sums over sums, or the median of those that are offsets in time."""
    names = dict.fromkeys(name for clip in clips for name in clip)
    found: dict[str, Figure | None] = {}
    for name in names:
        pairs = [clip.get(name, (0.0, 0.0)) for clip in clips]
        if name.endswith(_MEDIANS):
            found[name] = figures.median([value if known else np.nan for value, known in pairs], seed=seed)
        else:
            found[name] = figures.ratio([value for value, _ in pairs], [known for _, known in pairs], seed=seed)
    return figures.kept(found)


def against_truth(actor: Actor, corpus: Corpus, meshes: Sequence[Mesh], seed: int) -> dict[str, Any]:
    """Return by kind of clip (`neutral`, `acted`) and by rival the figures of likeness to the speaker's own face.

    `model` has the zero style for neutral clips and the clip's own prompt for acted ones, where `audio_only` (the zero
    style) and `label` (the nearest category's style) are rivals, too. `faceformer`: the baseline, if there is one.
    `truth` tells the dynamics of the face itself.
    """
    known = [clip for clip in corpus.clips if clip.truth_TC is not None]
    kinds = {"neutral": [clip for clip in known if not clip.prompt], "acted": [clip for clip in known if clip.prompt]}
    out: dict[str, Any] = {}
    for kind, clips in kinds.items():
        if clips:
            faces = [_faces(actor, corpus, clip) for clip in clips]
            pairs = list(zip(clips, faces, strict=True))
            out[kind] = {
                name: reduced([compare(clip, made[name], meshes) for clip, made in pairs], seed) for name in faces[0]
            }
            out[kind]["truth"] = reduced([dynamics(clip, clip.truth_TC) for clip in clips], seed)
    return out


def _faces(actor: Actor, corpus: Corpus, clip: Held) -> dict[str, FloatArray]:
    if clip.prompt:
        own = actor.style(clip.prompt)
        styles = {"model": own, "audio_only": actor.zero, "label": actor.label(own)}
    else:
        styles = {"model": actor.zero}
    made = {name: actor.face(clip, style) for name, style in styles.items()}
    if actor.baseline:
        made["faceformer"] = actor.rival(clip, actor.category(styles["model"]) if clip.prompt else "neutral")
    return made | {name: rival(clip) for name, rival in corpus.rivals.items()}


def compare(clip: Held, guess_TC: FloatArray, meshes: Sequence[Mesh]) -> Sums:
    """Return how a face differs from the clip's own, in the channels and frames that were measured."""
    assert clip.truth_TC is not None
    rig = load_rig()
    guess_TC, truth_TC = clip.seen(guess_TC), clip.seen(clip.truth_TC)
    parts = {region: [c for c in clip.measured if c in rig.region(region)] for region in ("mouth", "upper")}
    found: Sums = {"MBE": _one(metrics.weight_errors(guess_TC, truth_TC, clip.measured)["euclidean"])}
    if parts["mouth"]:
        errors = metrics.weight_errors(guess_TC, truth_TC, parts["mouth"])
        found |= {"LBE": _one(errors["euclidean"]), "MLE": _one(errors["mean"])}
    if parts["upper"]:
        found["FRD"] = _one(metrics.rig_dynamics_difference(guess_TC, truth_TC, parts["upper"]))
    found["EIE"] = _one(metrics.expression_intensity_error(guess_TC, truth_TC, clip.measured))
    for name in CHANNELS:
        column = rig.index(name)
        if column in clip.measured and truth_TC[:, column].std() > 1e-4:
            moves = guess_TC[:, column].std() > 1e-4
            found[f"r.{name}"] = _one(metrics.pearson(guess_TC[:, column], truth_TC[:, column]) if moves else 0.0)
            if name == "jawOpen" and moves:
                lag = metrics.sync_offset(guess_TC[:, column], truth_TC[:, column], fps=FPS, most=0.2)
                found["jawOpen.lag_ms"] = _one(lag)
    for mesh in meshes:
        suffix = "" if mesh.name == OWN else f"@{mesh.name}"
        found |= {f"{name}{suffix}": value for name, value in _on_mesh(mesh, guess_TC, truth_TC, parts).items()}
    return found | dynamics(clip, guess_TC, seen=True)


def _on_mesh(mesh: Mesh, guess_TC: FloatArray, truth_TC: FloatArray, parts: Mapping[str, Sequence[int]]) -> Sums:
    frames, found = float(len(truth_TC)), Sums()
    if parts["mouth"]:
        most_T, _ = mesh_metrics.vertex_errors(mesh, guess_TC, truth_TC, "lips")
        found |= {"LVE": (float(most_T.sum()), frames), "LVE-sq": (float((most_T**2).sum()), frames)}
        gaps = mesh.lip_gap(guess_TC), mesh.lip_gap(truth_TC)
        found["MOD"] = _one(mesh_metrics.mouth_opening_difference(*gaps))
        late = mesh_metrics.lip_timing(*gaps, fps=FPS)
        found["MTM"] = (float(np.abs(late).sum()), len(late))
    if parts["upper"]:
        most_T, _ = mesh_metrics.vertex_errors(mesh, guess_TC, truth_TC, "upper")
        found["EVE"] = (float(most_T.sum()), frames)
        fdd = mesh_metrics.fdd(mesh, guess_TC, truth_TC)
        found |= {"FDD": _one(fdd), "FDD-abs": _one(abs(fdd))}
    _, mean_T = mesh_metrics.vertex_errors(mesh, guess_TC, truth_TC, "face")
    return found | {"MVE": (float(mean_T.sum()), frames)}


def dynamics(clip: Held, weights_TC: FloatArray | None, *, seen: bool = False) -> Sums:
    """Return jitter, speed and fast energy over the channels and frames that were measured."""
    assert weights_TC is not None
    return _dynamics((weights_TC if seen else clip.seen(weights_TC))[:, list(clip.measured)])


def _dynamics(weights_TC: FloatArray) -> Sums:
    return {
        "jitter": _one(metrics.jitter(weights_TC, FPS)),
        "max_speed": _one(metrics.max_speed(weights_TC, FPS)),
        "energy_above_8Hz": _some(metrics.fast_energy_share(weights_TC, FPS)),
    }


def _one(value: float) -> tuple[float, float]:
    return value, 1.0


def _some(value: float) -> tuple[float, float]:
    return (value, 1.0) if np.isfinite(value) else (0.0, 0.0)


def under_prompts(
    actor: Actor, corpus: Corpus, mesh: Mesh, prompts: Mapping[str, str], seed: int
) -> dict[str, dict[str, Figure]]:
    """Return by emotion (the first is neutral) the figures of lips, timing and motion, on the same clips.

    For all but the first also what the style costs the lips, as differences on each clip: the changes of LVE (where
    there is a truth), closure recall and sync offset, and MOD between the two.
    """
    neutral, *others = prompts
    found = {
        name: [manner(clip, actor.face(clip, actor.style(prompts[name])), mesh) for clip in corpus.clips]
        for name in prompts
    }
    out = {name: reduced(clips, seed) for name, clips in found.items()}
    for name, clips in found.items():
        offsets = [clip["offset_ms"][0] if "offset_ms" in clip else np.nan for clip in clips]
        timings = [_timings(clip, actor.face(clip, actor.style(prompts[name])), mesh) for clip in corpus.clips]
        out[name] |= figures.kept(
            {
                "offset_spread_ms": figures.spread(offsets),
                "closure_timing_ms": figures.pooled_median(timings, seed=seed),
                "closure_timing_abs_ms": figures.pooled_median([np.abs(t).tolist() for t in timings], seed=seed),
            }
        )
    for name in others:
        costs = [
            _cost(actor, clip, mesh, (prompts[neutral], prompts[name]), pair)
            for clip, pair in zip(corpus.clips, zip(found[neutral], found[name], strict=True), strict=True)
        ]
        out[name] |= reduced(costs, seed)
    return out


def manner(clip: Held, weights_TC: FloatArray, mesh: Mesh) -> Sums:
    """Return how a face moves with its sound, whatever the truth: lips at p, b, m, offset, jitter, stillness."""
    gap_T, mouth = mesh.lip_gap(weights_TC), load_rig().region("mouth")
    found: Sums = {
        **_dynamics(weights_TC[:, mouth]),
        "SLCC": _some(mesh_metrics.speech_lip_correlation(mesh, weights_TC, clip.rms_T)),
    }
    if clip.phones:
        found["closure_recall"] = metrics.closure_recall(gap_T, clip.phones, fps=FPS)
        found["closure_precision"] = metrics.closure_precision(gap_T, clip.phones, fps=FPS)
    if np.isfinite(offset := clip.offset(gap_T)):
        found["offset_ms"] = _one(1000 * offset)
    if (clip.level_T < -50).sum() > 2:
        found["silence_motion"] = _one(metrics.silence_motion(weights_TC[:, mouth], clip.level_T))
    return found


def _timings(clip: Held, weights_TC: FloatArray, mesh: Mesh) -> list[float]:
    return metrics.closure_timing(mesh.lip_gap(weights_TC), clip.phones, fps=FPS)


def _cost(actor: Actor, clip: Held, mesh: Mesh, prompts: tuple[str, str], pair: tuple[Sums, Sums]) -> Sums:
    """Return what the second prompt changes against the first (neutral) on one clip."""
    faces = [actor.face(clip, actor.style(prompt)) for prompt in prompts]
    gaps = [mesh.lip_gap(face_TC) for face_TC in faces]
    found: Sums = {"MOD_from_neutral": _one(mesh_metrics.mouth_opening_difference(*gaps))}
    for name in ("closure_recall", "offset_ms"):
        if all(name in sums and sums[name][1] for sums in pair):
            rest, felt = pair
            change = felt[name][0] - rest[name][0]
            found[f"change.{name}"] = (change, rest[name][1])
    if clip.truth_TC is not None and not clip.prompt:
        truth_TC = clip.seen(clip.truth_TC)
        worst = [mesh_metrics.vertex_errors(mesh, clip.seen(f), truth_TC, "lips")[0] for f in faces]
        found["change.LVE"] = (float((worst[1] - worst[0]).sum()), float(len(truth_TC)))
    return found


def by_intensity(
    actor: Actor, clips: Sequence[Held], mesh: Mesh, prompts: Mapping[str, str], seed: int
) -> dict[str, Any]:
    """Return how the face grows with intensity: Spearman's rho of each prompt and the worst, m(s), equality at s = 0.

    `timing_shift_ms` is the largest lag at which the lip gap at any s fits best to that at s = 0.
    """
    rhos: dict[str, list[float]] = {}
    moved: dict[str, list[list[float]]] = {}
    shifts, differences = [], []
    for clip in clips:
        neutral_TC = actor.face(clip, actor.zero)
        for emotion, prompt in prompts.items():
            style = actor.style(prompt)
            made = [actor.face(clip, style.scaled(s)) for s in INTENSITIES]
            m = [metrics.upper_motion(weights_TC, neutral_TC) for weights_TC in made]
            moved.setdefault(emotion, []).append(m)
            rhos.setdefault(emotion, []).append(metrics.intensity_monotonicity(INTENSITIES, m))
            differences.append(float(np.abs(made[0] - neutral_TC).max()))
            shifts += _shifts(mesh, made)
    every = [rho for each in rhos.values() for rho in each if np.isfinite(rho)]
    return {
        "spearman": figures.kept({name: figures.mean(each, seed=seed) for name, each in rhos.items()}),
        "spearman_worst": Figure(min(every), clips=len(clips)) if every else None,
        "difference_at_0": Figure(max(differences), clips=len(clips)),
        "timing_shift_ms": Figure(max(shifts), clips=len(clips)) if shifts else None,
        "intensities": list(INTENSITIES),
        "m": {emotion: np.mean(each, axis=0).tolist() for emotion, each in moved.items()},
    }


def _shifts(mesh: Mesh, made: Sequence[FloatArray]) -> list[float]:
    gaps = [mesh.lip_gap(weights_TC) for weights_TC in made]
    lags = [abs(metrics.sync_offset(gap_T, gaps[0], fps=FPS, most=0.2)) for gap_T in gaps[1:]]
    return [lag for lag in lags if np.isfinite(lag)]


def between_styles(
    actor: Actor, clips: Sequence[Held], mesh: Mesh, styles: Sequence[Style], seed: int
) -> Figure | None:
    """Return the diversity: mean distance (mm) of the face between all pairs of styles on a clip."""
    values = [mesh_metrics.diversity(mesh, [actor.face(clip, style) for style in styles]) for clip in clips]
    return figures.mean(values, seed=seed)


def curves(actor: Actor, clip: Held, mesh: Mesh, prompt: str) -> dict[str, Any]:
    """Return the lip gap (mm) of a clip under the zero style, under a prompt and, if measured, of the truth."""
    gaps = {"neutral": mesh.lip_gap(actor.face(clip, actor.zero))}
    gaps["emotion"] = mesh.lip_gap(actor.face(clip, actor.style(prompt)))
    if clip.truth_TC is not None:
        gaps["truth"] = mesh.lip_gap(clip.seen(clip.truth_TC))
    shut = [list(interval) for interval in metrics.bilabials(clip.phones)]
    return {"clip": clip.clip_id, "fps": FPS, "prompt": prompt, "gaps_mm": gaps, "bilabials": shut}
