"""Figures of text alignment: do generated motions answer prompts, in the evaluator's eyes and in action units.

In: groups of prompts, a few clips to speak them on, an `Actor` and the evaluator. Each prompt is animated on one clip
(the k-th on clip k modulo their number). Out: nested `Figure`s by group and source: `model`; `label` (the nearest
category's style); `audio_only` (the zero style); `faceformer` (the baseline under that category's label, if given);
`truth` (the record's expression upon the clip's neutral face); `shuffled` (the truth, or the model where there is none,
of other prompts: the evaluator's floor). The truth is no upper bound of R@k: it is one face that fits its text, while a
model that shows what such texts mean on average answers as the evaluator expects.
K prompts, D embedding, C channels.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from expclip import action_units, alignment, augment, figures, metrics
from expclip.actor import Actor
from expclip.asks import Ask
from expclip.evaluator import EMOTIONS, Evaluator, describe
from expclip.figures import Figure
from expclip.held import Held
from expclip.rig import FloatArray, load_rig
from expclip.style import Style

TAU = 0.2
"""Weight above which an action unit counts as shown."""


@dataclass(frozen=True, eq=False)
class Judged:
    """Motions of one source for the prompts of a group, as the evaluator sees them."""

    motions_KD: FloatArray
    emotions: list[str]


def aligned(actor: Actor, judge: Evaluator, asks: Sequence[Ask], clips: Sequence[Held], seed: int) -> dict[str, Any]:
    """Return by source the figures of one group, and the confusion of the model's emotions."""
    texts_KD = judge.texts([ask.text for ask in asks])
    seen = judged(actor, judge, asks, clips)
    true = seen.get("truth")
    out: dict[str, Any] = {"prompts": len(asks), "sources": {}}
    for source, found in seen.items():
        out["sources"][source] = ranked(texts_KD, found.motions_KD, seed) | recognised(asks, found.emotions, seed)
        if true is not None and len(asks) > 2:
            out["sources"][source]["FID"] = Figure(
                alignment.frechet(true.motions_KD, found.motions_KD), clips=len(asks)
            )
    floor = true or seen["model"]
    out["sources"]["shuffled"] = ranked(texts_KD, np.roll(floor.motions_KD, 1, axis=0), seed)
    out["sources"]["shuffled"] |= recognised(asks, [*floor.emotions[-1:], *floor.emotions[:-1]], seed)
    out["confusion"] = {"emotions": list(EMOTIONS), "counts": _counts(asks, seen["model"].emotions).tolist()}
    if all(ask.record for ask in asks):
        out |= units(actor, asks, seed)
    return out


def judged(actor: Actor, judge: Evaluator, asks: Sequence[Ask], clips: Sequence[Held]) -> dict[str, Judged]:
    """Return what the evaluator sees in the motions of each source."""
    styles = actor.animator.styles([ask.text for ask in asks])
    spoken = [clips[k % len(clips)] for k in range(len(asks))]
    faces: dict[str, list[FloatArray]] = {
        "model": [actor.face(clip, style) for clip, style in zip(spoken, styles, strict=True)],
        "label": [actor.face(clip, actor.label(style)) for clip, style in zip(spoken, styles, strict=True)],
        "audio_only": [actor.face(clip, actor.zero) for clip in spoken],
    }
    if actor.baseline:
        faces["faceformer"] = [actor.rival(c, actor.category(s)) for c, s in zip(spoken, styles, strict=True)]
    if all(ask.record for ask in asks):
        faces["truth"] = [composed(actor.face(c, actor.zero), _truth(ask)) for c, ask in zip(spoken, asks, strict=True)]
    return {name: Judged(*judge.motions(np.stack([describe(face) for face in made]))) for name, made in faces.items()}


def _truth(ask: Ask) -> FloatArray:
    assert ask.record is not None
    return action_units.to_weights(ask.record.aus)


def composed(speech_TC: FloatArray, expression_C: FloatArray) -> FloatArray:
    """Return an expression upon a neutral speaking face, by the rule that the generator is trained with."""
    speech = torch.from_numpy(speech_TC)
    felt = torch.from_numpy(expression_C).expand(len(speech), -1)
    return np.asarray(augment.compose(speech, felt, torch.zeros(len(speech))).numpy(), np.float32)


def ranked(texts_KD: FloatArray, motions_KD: FloatArray, seed: int) -> dict[str, Figure]:
    """Return R@1, R@2, R@3, MM-Dist and diversity."""
    away_KK = alignment.distances(texts_KD, motions_KD)
    found = {n: figures.mean(each, seed=seed) for n, each in alignment.recalls(away_KK, seed=seed).items()}
    found["MM-Dist"] = figures.mean(np.diagonal(away_KK).tolist(), seed=seed)
    found["diversity"] = Figure(alignment.diversity(motions_KD, seed=seed), clips=len(motions_KD))
    return figures.kept(found)


def recognised(asks: Sequence[Ask], emotions: Sequence[str], seed: int) -> dict[str, Figure]:
    """Return macro-F1 and accuracy of the emotions seen, over prompts of one clear emotion."""
    pairs = [(ask.emotion, seen) for ask, seen in zip(asks, emotions, strict=True) if ask.emotion in EMOTIONS]
    if not pairs:
        return {}
    truth, guess = (np.array(names) for names in zip(*pairs, strict=True))

    def f1(rows: Any) -> float:
        return alignment.macro_f1(truth[rows].tolist(), guess[rows].tolist(), EMOTIONS)

    accuracy = figures.mean((truth == guess).astype(float).tolist(), seed=seed)
    return figures.kept({"emotion_f1": figures.resampled(f1, len(pairs), seed=seed), "emotion_accuracy": accuracy})


def _counts(asks: Sequence[Ask], emotions: Sequence[str]) -> Any:
    pairs = [(ask.emotion, seen) for ask, seen in zip(asks, emotions, strict=True) if ask.emotion in EMOTIONS]
    return alignment.confusion([wanted for wanted, _ in pairs], [seen for _, seen in pairs], EMOTIONS)


def pose(actor: Actor, style: Style) -> FloatArray:
    """Return the speech-free pose (C,) of a style: what a silent face holds."""
    held_C: FloatArray = composed(load_rig().zeros(1), actor.animator.expression(style)[1])[0]
    return held_C


def units(actor: Actor, asks: Sequence[Ask], seed: int) -> dict[str, Any]:
    """Return AU-F1 (tau 0.2) of the speech-free poses: pooled for each source, and of each unit for the model.

    `truth` is the record's own expression held: units fainter than tau are missed by it, too.
    """
    own = actor.animator.styles([ask.text for ask in asks])
    poses = {
        "model": [pose(actor, style) for style in own],
        "label": [pose(actor, actor.label(style)) for style in own],
        "truth": [composed(load_rig().zeros(1), _truth(ask))[0] for ask in asks],
    }
    named = [ask.record.aus if ask.record else {} for ask in asks]
    found = {
        source: [metrics.units_named_and_shown(aus, face_C, tau=TAU) for aus, face_C in zip(named, faces, strict=True)]
        for source, faces in poses.items()
    }
    scores = {source: unit_scores(pairs, seed) for source, pairs in found.items()}
    return {"units": scores, "by_unit": by_unit(found["model"])}


def unit_scores(pairs: Sequence[tuple[set[str], set[str]]], seed: int) -> dict[str, Figure]:
    """Return micro precision, recall and F1 of units named and shown."""
    hits = [float(len(named & shown)) for named, shown in pairs]
    wanted, shown = ([float(len(pair[k])) for pair in pairs] for k in (0, 1))
    both = [a + b for a, b in zip(wanted, shown, strict=True)]
    return figures.kept(
        {
            "au_precision": figures.ratio(hits, shown, seed=seed),
            "au_recall": figures.ratio(hits, wanted, seed=seed),
            "au_f1": figures.ratio([2 * hit for hit in hits], both, seed=seed),
        }
    )


def by_unit(pairs: Sequence[tuple[set[str], set[str]]]) -> dict[str, dict[str, float]]:
    """Return for each unit how often it is named, its precision, recall and F1 (null where undefined)."""
    table: dict[str, dict[str, float]] = {}
    for unit in sorted({u for pair in pairs for side in pair for u in side}, key=lambda code: int(code[2:])):
        hits = sum(unit in named and unit in shown for named, shown in pairs)
        named, shown = (sum(unit in pair[k] for pair in pairs) for k in (0, 1))
        table[unit] = {
            "named": named,
            "precision": hits / shown if shown else float("nan"),
            "recall": hits / named if named else float("nan"),
            "f1": 2 * hits / (named + shown),
        }
    return table


def robustness(actor: Actor, paraphrases: Mapping[str, Sequence[str]]) -> dict[str, Any]:
    """Return how alike paraphrases are: mean cosine of styles by emotion, standard deviation of poses (weight)."""
    cosines, spreads, strengths = {}, {}, {}
    for emotion, texts in paraphrases.items():
        styles = actor.animator.styles(list(texts))
        directions_KD = np.stack([style.embedding_D for style in styles])
        likeness_KK = directions_KD @ directions_KD.T
        count = len(styles)
        cosines[emotion] = Figure(
            float((likeness_KK.sum() - np.trace(likeness_KK)) / (count * (count - 1))), clips=count
        )
        spreads[emotion] = Figure(float(np.stack([pose(actor, style) for style in styles]).std(0).mean()), clips=count)
        strengths[emotion] = Figure(float(np.std([style.strength for style in styles])), clips=count)
    values = [figure.value for figure in cosines.values()]
    return {
        "cosine": cosines,
        "cosine_mean": figures.mean(values),
        "cosine_worst": Figure(min(values), clips=len(values)),
        "pose_std": spreads,
        "strength_std": strengths,
    }
