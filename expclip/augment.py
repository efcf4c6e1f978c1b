"""Expression Prompt Augmentation (EPA): an expression composed with speech motion it was never recorded with.

`compose` is the rule: how a held expression and the motion of speech share one face, so that the mouth still
says the words. It works on torch tensors of any leading shape. B batch, T frames, C channels.
"""

from collections.abc import Sequence
from functools import cache

import torch

from expclip.rig import Rig, load_rig

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


def close_lips(weights: torch.Tensor, closure: torch.Tensor, rig: Rig | None = None) -> torch.Tensor:
    """Return weights (..., T, C) with the lips shut as firmly as `closure` (..., T) in 0..1 says.

    mouthClose is the corrective of jawOpen in this rig: equal values mean touching lips whatever the jaw does.
    """
    rig = rig or load_rig()
    out, shut = weights.clone(), closure[..., None].to(weights.dtype)
    jaw, close = [rig.index("jawOpen")], [rig.index("mouthClose")]
    out[..., list(_columns(PARTING, rig))] *= 1 - shut
    out[..., [rig.index("tongueOut")]] *= 1 - shut
    out[..., list(_columns(SPREADING, rig))] *= 1 - 0.25 * shut
    out[..., jaw] *= 1 - 0.6 * shut
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
