"""Last stage of ExpCLIP's training: a new text head on the finished tower, strongly regularised.

In: a model whose tower and style space are trained, and samples. Out: the same model with a new text head and a
decoder fitted to it. While the tower learned, the old head learned the training texts by heart; features are
computed once, so that thousands of steps take a minute.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch

from expclip import action_units, losses
from expclip.model import ExpCLIP
from expclip.prompts import Sample, Sampler
from expclip.tead import KINDS


@dataclass(frozen=True)
class Refit:
    """How the last stage goes."""

    steps: int = 900  # 0: no last stage
    batch: int = 192
    rate: float = 1e-3
    dropout: float = 0.5
    drawn: int = 2100  # samples of each kind that is written: grammar, words, tags as typed; mixtures a third of it


def refit(model: ExpCLIP, sampler: Sampler, settings: Refit, seed: int) -> None:
    """Fit a new text head and the decoder in place; tower and expression encoder stay."""
    torch.manual_seed(seed)
    device = model.device
    samples = collect(sampler, settings.drawn)
    features_NF = tower_features(model, [sample.text for sample in samples])
    units_NU = torch.from_numpy(np.stack([action_units.to_vector(sample.aus, model.rig) for sample in samples]))
    units_NU = units_NU.to(device)
    with torch.no_grad():
        expressions_ND, felt_N = model.eval().encode_expression(model.units_to_weights(units_NU))
    sizes = replace(model.config, dropout=settings.dropout)
    model.text_head = type(model.text_head)(model.tower.features, sizes).to(device)
    weights = [*model.text_head.parameters(), *model.decoder.parameters()]
    for weight in weights:
        weight.requires_grad_(True)
    model.text_head.train()
    model.decoder.train()
    optimizer = torch.optim.AdamW(weights, weight_decay=0.05)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, settings.rate, max(2, settings.steps))
    for _ in range(settings.steps):
        rows = torch.randint(len(samples), (settings.batch,)).to(device)
        loss = _loss(model, features_NF[rows], units_NU[rows], expressions_ND[rows], felt_N[rows])
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        schedule.step()
    model.eval()


def collect(sampler: Sampler, drawn: int) -> list[Sample]:
    """Return every text of the records as it stands, and drawn samples of what is written or varied."""
    samples = [Sample(record.texts[kind], record.aus, record) for record in sampler.records for kind in KINDS]
    return samples + sampler.batch({"grammar": drawn, "word": drawn, "tag": drawn, "mixture": drawn // 3})


@torch.no_grad()
def tower_features(model: ExpCLIP, texts: Sequence[str], *, batch: int = 64) -> torch.Tensor:
    """Return the tower's features (N, F) of texts, neighbours in length together."""
    order = sorted(range(len(texts)), key=lambda k: len(texts[k]))
    features_NF = torch.zeros(len(texts), model.tower.features, device=model.device)
    with torch.autocast(features_NF.device.type, dtype=torch.bfloat16):
        for k in range(0, len(texts), batch):
            rows = order[k : k + batch]
            features_NF[rows] = model.tower.encode([texts[row] for row in rows]).float()
    return features_NF


def _loss(
    model: ExpCLIP,
    features_BF: torch.Tensor,
    units_BU: torch.Tensor,
    expressions_BD: torch.Tensor,
    felt_B: torch.Tensor,
) -> torch.Tensor:
    texts_BD, strength_B = model.encode_features(features_BF)
    target_BB = losses.soft_targets(units_BU)
    return (
        losses.reconstruction(*model.decode_direction(texts_BD), strength_B, units_BU)
        + losses.reconstruction(*model.decode_direction(expressions_BD), felt_B, units_BU)
        + losses.alignment(texts_BD, expressions_BD, target_BB, log_temperature=model.log_temperature.detach())
    )
