"""Expression Prompt Augmentation (EPA): an expression composed with speech motion it was never recorded with.

`compose` is the rule: how a held expression and the motion of speech share one face, so that the mouth still
says the words; it works on torch tensors of any leading shape. `draw` takes styles from a `palette` of all that
TEAD says and shows. B batch, T frames, C channels, D style dimension, S styles.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

import numpy as np
import torch

from expclip import action_units
from expclip.rig import FloatArray, Rig, load_rig
from expclip.style import slerp

if TYPE_CHECKING:
    from expclip.model import ExpCLIP
    from expclip.tead import Record

PARTING = ("mouthLowerDownLeft", "mouthLowerDownRight", "mouthUpperUpLeft", "mouthUpperUpRight", "mouthFunnel")
"""Shapes that part the lips; a closure takes them away."""
PRESSING = ("mouthPressLeft", "mouthPressRight", "mouthRollLower", "mouthRollUpper")
"""Shapes that need closed lips; an open mouth takes those of the expression away."""
SPREADING = (
    *("mouthSmileLeft", "mouthSmileRight", "mouthStretchLeft", "mouthStretchRight"),
    *("mouthDimpleLeft", "mouthDimpleRight", "mouthFrownLeft", "mouthFrownRight"),
)
"""Shapes that pull the corners of the mouth; rounded lips weaken those of the expression."""

OPEN_JAW = 0.25
"""jawOpen of the speech at which the expression can press the lips no more."""
JAW_SHARE = 0.5
"""How much of the expression's open jaw is held while speaking."""


@cache
def _columns(names: tuple[str, ...], rig: Rig) -> tuple[int, ...]:
    return tuple(rig.indices(names))


def compose(
    speech: torch.Tensor, expression: torch.Tensor, closure: torch.Tensor, rig: Rig | None = None
) -> torch.Tensor:
    """Return weights (..., T, C): the face that speaks with `speech` (..., T, C) and feels `expression` (..., T, C).

    `closure` (..., T) in 0..1 says how firmly the lips must be shut (p, b, m): at 1 nothing parts them. Every
    channel is screened (a + b - a b), so that it grows with both and stays within 0..1; then the mouth's rules:
    rounded lips weaken spread corners, an open mouth weakens pressed lips, and a closure overrides all.
    """
    rig = rig or load_rig()
    felt = expression.clone()
    rounding = speech[..., list(_columns(("mouthPucker", "mouthFunnel"), rig))].amax(-1, keepdim=True)
    openness = (speech[..., [rig.index("jawOpen")]] / OPEN_JAW).clamp(0, 1)
    felt[..., list(_columns(SPREADING, rig))] *= 1 - 0.5 * rounding
    felt[..., list(_columns(PRESSING, rig))] *= 1 - openness
    felt[..., [rig.index("jawOpen")]] *= JAW_SHARE
    felt[..., [rig.index("mouthClose")]] = 0
    return close_lips(speech + felt - speech * felt, closure, rig)


def at_rest(expression: torch.Tensor, rig: Rig | None = None) -> torch.Tensor:
    """Return weights (..., T, C): the face that feels `expression` (..., T, C) and says nothing."""
    silent = torch.zeros_like(expression)
    return compose(silent, expression, silent[..., 0], rig)


def close_lips(
    weights: torch.Tensor, closure: torch.Tensor, rig: Rig | None = None, *, jaw_drop: float = 0.6
) -> torch.Tensor:
    """Return weights (..., T, C) with the lips shut as firmly as `closure` (..., T) in 0..1 says.

    mouthClose is the corrective of jawOpen in this rig: equal values mean touching lips whatever the jaw does.
    `jaw_drop` is the share of jawOpen that a full closure takes away.
    """
    rig = rig or load_rig()
    out, shut = weights.clone(), closure[..., None].to(weights.dtype)
    jaw, close = [rig.index("jawOpen")], [rig.index("mouthClose")]
    out[..., list(_columns(PARTING, rig))] *= 1 - shut
    out[..., [rig.index("tongueOut")]] *= 1 - shut
    out[..., list(_columns(SPREADING, rig))] *= 1 - 0.25 * shut
    out[..., jaw] *= 1 - jaw_drop * shut
    out[..., close] = torch.maximum(torch.minimum(out[..., close], out[..., jaw]), shut * out[..., jaw])
    press = list(_columns(("mouthPressLeft", "mouthPressRight"), rig))
    out[..., press] = torch.maximum(out[..., press], 0.3 * shut)
    return out


def closure_curve(
    phones: Sequence[tuple[float, float, str]], frames: int, fps: float, *, ramp: float = 0.07
) -> torch.Tensor:
    """Return how firmly the lips must be shut (T,), from phone times in seconds.

    It is 1 within p, b and m and falls to 0 over `ramp` seconds on both sides.
    """
    time = torch.arange(frames) / fps
    curve = torch.zeros(frames)
    for start, end, phone in phones:
        if phone.rstrip("012").upper() in ("P", "B", "M"):
            distance = torch.maximum(start - time, time - end).clamp(min=0)
            curve = torch.maximum(curve, (1 - distance / ramp).clamp(0, 1))
    return curve


@dataclass(frozen=True)
class EpaOptions:
    """How prompts are drawn: the mixing rule of EPA, published with every result."""

    share: float = 1.0  # of the clips without an emotion of their own that get a drawn style; 0: EPA off
    neutral: float = 0.2  # of the draws that are the zero style
    interpolated: float = 0.3  # of the draws that lie between two styles, on the great circle
    masked: float = 0.1  # of the draws that act on one region of the face alone: upper face, mouth, one side
    timed: float = 0.15  # of the draws that turn into another style within the clip
    least: float = 0.2  # smallest relative intensity
    most: float = 1.5  # largest relative intensity
    transition: float = 0.4  # seconds of a turn


@dataclass(frozen=True, eq=False)
class Palette:
    """Styles to draw from, on the CPU: directions (S, D) of unit length and their strengths (S,) in 0..1."""

    direction_SD: torch.Tensor
    strength_S: torch.Tensor
    regions: "Palette | None" = None
    """Styles of expressions of which one region is left."""

    def __len__(self) -> int:
        return len(self.strength_S)


@torch.inference_mode()
def palette(
    model: "ExpCLIP", records: "Iterable[Record]", *, kinds: Sequence[str] = (), most_texts: int = 0, batch: int = 64
) -> Palette:
    """Return the styles of TEAD records: of their expressions, then of their texts of some kinds (none named: all).

    Everything is encoded once by the frozen ExpCLIP, texts of like length together. `most_texts` keeps that many,
    spread over all lengths and with them all kinds; 0 keeps every one.
    """
    records = list(records)
    texts = [text for r in records for kind, text in r.texts.items() if not kinds or kind in kinds]
    texts = sorted(dict.fromkeys(texts), key=len)
    if most_texts:
        texts = texts[:: -(-len(texts) // most_texts)]
    weights = np.stack([action_units.to_weights(dict(r.aus), model.rig) for r in records])
    masked = np.concatenate([_telling(weights * mask_C, weights) for mask_C in region_masks(model.rig)])
    regions = _palette([model.encode_expression(torch.from_numpy(masked).to(model.device))]) if len(masked) else None
    found = [model.encode_expression(torch.from_numpy(weights).to(model.device))]
    found += [model.encode_text(texts[k : k + batch]) for k in range(0, len(texts), batch)]
    return _palette(found, regions)


def region_masks(rig: Rig | None = None) -> list[FloatArray]:
    """Return (C,) of 1 and 0 for each region that a style may act on alone: upper face, mouth, and either side."""
    rig = rig or load_rig()
    names = [set(rig.regions["upper"]), set(rig.regions["mouth"])]
    names += [{name for name in rig.channels if not name.endswith(other)} for other in ("Right", "Left")]
    return [np.array([name in kept for name in rig.channels], np.float32) for kept in names]


def _telling(masked_NC: FloatArray, whole_NC: FloatArray) -> FloatArray:
    """Return the masked expressions that still show something and have lost something."""
    left_N, lost_N = np.linalg.norm(masked_NC, axis=1), np.linalg.norm(whole_NC - masked_NC, axis=1)
    telling_NC: FloatArray = masked_NC[(left_N > 0.15) & (lost_N > 0.15)]
    return telling_NC


def _palette(found: "Sequence[tuple[torch.Tensor, torch.Tensor]]", regions: Palette | None = None) -> Palette:
    direction_SD, strength_S = (torch.cat(each).cpu().clone() for each in zip(*found, strict=True))
    return Palette(direction_SD, strength_S, regions)


def draw(styles: Palette, random: np.random.Generator, *, steps: int, options: EpaOptions) -> torch.Tensor:
    """Return one drawn style vector for each step, (T, D) or (1, D) if it does not change.

    Direction from the palette or between two of it, magnitude = strength times a drawn intensity; zero is neutral.
    """
    first_D = _draw_one(styles, random, options)
    if random.random() >= options.timed or steps < 2:
        return first_D[None]
    second_D = _draw_one(styles, random, options)
    turn = random.uniform(0, steps)
    share_T = ((torch.arange(steps) - turn) / (50 * options.transition)).clamp(0, 1)[:, None]
    return first_D * (1 - share_T) + second_D * share_T


def _draw_one(styles: Palette, random: np.random.Generator, options: EpaOptions) -> torch.Tensor:
    if random.random() < options.neutral:
        return torch.zeros_like(styles.direction_SD[0])
    if styles.regions is not None and random.random() < options.masked:
        styles = styles.regions
    a, b = random.integers(len(styles), size=2)
    direction_D, strength = styles.direction_SD[a], float(styles.strength_S[a])
    if random.random() < options.interpolated:
        share = float(random.uniform(0.2, 0.8))
        direction_D = torch.from_numpy(slerp(direction_D.numpy(), styles.direction_SD[b].numpy(), share))
        strength = strength * (1 - share) + float(styles.strength_S[b]) * share
    return direction_D * (strength * float(random.uniform(options.least, options.most)))


def decode(model: "ExpCLIP", styles: Sequence[torch.Tensor], steps: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Return style (B, T, D) and the expression (B, T, C) it decodes to, for drawn styles (T or 1, D) each.

    Both are on the model's device.
    """
    lengths = [len(style) for style in styles]
    all_SD = torch.cat(list(styles)).to(model.device)
    with torch.no_grad():
        expressions = torch.split(model.decode_expression(all_SD)[1], lengths)
    return (
        torch.stack([style.expand(steps, -1) for style in torch.split(all_SD, lengths)]),
        torch.stack([weights.expand(steps, -1) for weights in expressions]),
    )
