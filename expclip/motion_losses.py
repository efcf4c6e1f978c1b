"""Losses of the generator: pure functions of tensors, each a scalar. B batch, T steps, C channels, F features."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import torch
from torch.nn import functional

from expclip.rig import Rig, load_rig

if TYPE_CHECKING:
    from expclip.model import ExpCLIP

EMPHASIS: Mapping[str, float] = {"jawOpen": 10.0, "mouthPucker": 4.0, "mouthFunnel": 4.0, "mouthClose": 4.0}
"""Channels that carry the words weigh more than the rest of the mouth (2) and the other channels (0.7)."""
_BEND = 0.05


def channel_weights(rig: Rig | None = None) -> torch.Tensor:
    """Return how much each channel counts (C,)."""
    rig = rig or load_rig()
    weights_C = torch.full((len(rig),), 0.7)
    weights_C[rig.region("mouth")] = 2.0
    for name, value in EMPHASIS.items():
        weights_C[rig.index(name)] = value
    return weights_C


def position(guess_BTC: torch.Tensor, truth_BTC: torch.Tensor, counted_BTC: torch.Tensor) -> torch.Tensor:
    """Return the Huber error over what counts (weights >= 0): each clip's mean first, so that sparse masks weigh."""
    error_BTC = functional.smooth_l1_loss(guess_BTC, truth_BTC, reduction="none", beta=_BEND)
    return _mean(error_BTC, counted_BTC)


def velocity(guess_BTC: torch.Tensor, truth_BTC: torch.Tensor, counted_BTC: torch.Tensor) -> torch.Tensor:
    """Return the same of the change from step to step, where both steps count."""
    both = torch.minimum(counted_BTC[:, 1:], counted_BTC[:, :-1])
    error_BTC = functional.smooth_l1_loss(
        guess_BTC.diff(dim=1), truth_BTC.diff(dim=1), reduction="none", beta=_BEND / 2
    )
    return _mean(error_BTC, both)


def _mean(error_BTC: torch.Tensor, counted_BTC: torch.Tensor) -> torch.Tensor:
    total_B = counted_BTC.sum((1, 2))
    mean_B = (error_BTC * counted_BTC).sum((1, 2)) / total_B.clamp(min=1e-6)
    return mean_B.sum() / (total_B > 0).sum().clamp(min=1)


def correlation(guess_BT: torch.Tensor, truth_BT: torch.Tensor, counted_BT: torch.Tensor) -> torch.Tensor:
    """Return 1 - r over time of one channel, mean of the clips in which it moves."""
    count_B1 = counted_BT.sum(1, keepdim=True).clamp(min=1)
    a = (guess_BT - (guess_BT * counted_BT).sum(1, keepdim=True) / count_B1) * counted_BT
    b = (truth_BT - (truth_BT * counted_BT).sum(1, keepdim=True) / count_B1) * counted_BT
    r_B = (a * b).sum(1) / (a.square().sum(1) * b.square().sum(1) + 1e-6).sqrt()
    moves_B = b.square().sum(1) > 0.02
    return ((1 - r_B) * moves_B).sum() / moves_B.sum().clamp(min=1)


def closure(probability_BT: torch.Tensor, truth_BT: torch.Tensor, known_BT: torch.Tensor) -> torch.Tensor:
    """Return the cross-entropy of "lips shut"; a missed closure costs three times a false one."""
    cost_BT = 1 + 2 * truth_BT
    clipped = probability_BT.clamp(1e-5, 1 - 1e-5)
    error_BT = functional.binary_cross_entropy(clipped, truth_BT, reduction="none") * cost_BT
    return (error_BT * known_BT).sum() / known_BT.sum().clamp(min=1)


def phones(logits_BTP: torch.Tensor, phone_BT: torch.Tensor) -> torch.Tensor:
    """Return the cross-entropy of phone classes; negative classes do not count."""
    if not (phone_BT >= 0).any():
        return logits_BTP.sum() * 0
    loss: torch.Tensor = functional.cross_entropy(logits_BTP.flatten(0, 1), phone_BT.flatten(), label_smoothing=0.05)
    return loss


def distillation(guess_BTF: torch.Tensor, teacher_BTF: torch.Tensor) -> torch.Tensor:
    """Return the squared error to the teacher's features, each step's features brought to zero mean, unit spread."""
    return functional.mse_loss(guess_BTF, functional.layer_norm(teacher_BTF, teacher_BTF.shape[-1:]))


def style_consistency(
    model: "ExpCLIP", weights_BTC: torch.Tensor, style_BD: torch.Tensor, quiet_BT: torch.Tensor
) -> torch.Tensor:
    """Return 1 - cosine of the wanted style and the one that the frozen ExpCLIP sees in the quiet steps' mean face.

    `quiet_BT` (0 or 1) tells the steps with little speech in the mouth. Clips with zero style, or with fewer than
    five such steps, do not count.
    """
    count_B = quiet_BT.sum(1)
    face_BC = (weights_BTC * quiet_BT[..., None]).sum(1) / count_B.clamp(min=1)[:, None]
    counted_B = ((count_B >= 5) & (style_BD.norm(dim=-1) > 0.05)).float()
    seen_BD, _ = model.encode_expression(face_BC)
    away_B = 1 - functional.cosine_similarity(seen_BD, style_BD, dim=-1)
    loss: torch.Tensor = (away_B * counted_B).sum() / counted_B.sum().clamp(min=1)
    return loss
