"""Losses of ExpCLIP, pure functions of tensors. B batch, D style embedding, U places of the unit vector."""

import torch
from torch.nn import functional as F


def alignment(
    texts_BD: torch.Tensor, expressions_BD: torch.Tensor, likeness_BB: torch.Tensor, *, log_temperature: torch.Tensor
) -> torch.Tensor:
    """Return the symmetric contrastive loss of paired unit vectors, with soft targets.

    A batch holds expressions that are much alike, so that the others are no plain negatives: each row's target is a
    distribution over the batch (`soft_targets`). The optimum is reached when similarities follow likeness.
    """
    logits_BB = texts_BD @ expressions_BD.T * torch.exp(-log_temperature)
    return (F.cross_entropy(logits_BB, likeness_BB) + F.cross_entropy(logits_BB.T, likeness_BB)) / 2


def soft_targets(units_BU: torch.Tensor, sharpness: float = 10.0) -> torch.Tensor:
    """Return (B, B), rows summing to 1: how alike expressions are, from the cosine of their unit vectors.

    Two neutral expressions are alike; a neutral one is like no other.
    """
    still_B1 = (units_BU.amax(-1, keepdim=True) <= 0).to(units_BU.dtype)
    unit_BU = F.normalize(torch.cat([units_BU, still_B1], -1), dim=-1)
    return torch.softmax(sharpness * unit_BU @ unit_BU.T, -1)


def presence(logits_BU: torch.Tensor, units_BU: torch.Tensor) -> torch.Tensor:
    """Return the binary cross-entropy of which units are active, summed over units and averaged over the batch."""
    active_BU = (units_BU > 0).to(logits_BU.dtype)
    return F.binary_cross_entropy_with_logits(logits_BU, active_BU, reduction="none").sum(-1).mean()


def intensity(relative_BU: torch.Tensor, units_BU: torch.Tensor) -> torch.Tensor:
    """Return the squared error of intensities relative to the strongest unit, over the active units only."""
    active_BU = (units_BU > 0).to(relative_BU.dtype)
    truth_BU = units_BU / units_BU.amax(-1, keepdim=True).clamp(min=1e-4)
    return ((relative_BU - truth_BU) ** 2 * active_BU).sum() / active_BU.sum().clamp(min=1)


def strength(strength_B: torch.Tensor, units_BU: torch.Tensor) -> torch.Tensor:
    """Return the squared error of how strong the strongest unit is."""
    return ((strength_B - units_BU.amax(-1)) ** 2).mean()


def expected(
    presence_BU: torch.Tensor, relative_BU: torch.Tensor, strength_B: torch.Tensor, units_BU: torch.Tensor
) -> torch.Tensor:
    """Return the squared error of intensities weighted by their probability, summed over units.

    Where a text leaves much open, this teaches a weaker face instead of a confident wrong one.
    """
    guess_BU = strength_B[:, None] * torch.sigmoid(presence_BU) * relative_BU
    return ((guess_BU - units_BU) ** 2).sum(-1).mean()


def reconstruction(
    presence_BU: torch.Tensor, relative_BU: torch.Tensor, strength_B: torch.Tensor, units_BU: torch.Tensor
) -> torch.Tensor:
    """Return the loss of an expression decoded from either side: what is active, how much, how strong over all."""
    return (
        presence(presence_BU, units_BU) / 4
        + 3 * intensity(relative_BU, units_BU)
        + 5 * strength(strength_B, units_BU)
        + 2 * expected(presence_BU, relative_BU, strength_B, units_BU)
    )  # fmt: skip


def affect(
    logits_BN: torch.Tensor, categories_B: torch.Tensor, circumplex_B2: torch.Tensor, known_B: torch.Tensor
) -> torch.Tensor:
    """Return the loss of emotion category and of valence and arousal (the last two outputs), where they are known."""
    if not bool(known_B.any()):
        return logits_BN.sum() * 0
    logits, truth = logits_BN[known_B], circumplex_B2[known_B]
    named = F.cross_entropy(logits[:, :-2], categories_B[known_B], label_smoothing=0.1)
    return named + 2 * F.mse_loss(torch.tanh(logits[:, -2:]), truth)
