"""The evaluator: a small judge of texts and motions, trained apart from ExpCLIP and never used as a loss.

In: texts as features of the frozen MiniLM, and motions as statistics of each channel over time. Out: both in one space
whose Euclidean distances rank them, and logits of the eight emotions. It has no weight in common with ExpCLIP or the
generator and saw no test record, but it learnt from TEAD's train split, as they did, and reads texts by the same kind
of encoder: it cannot see what that split does not know, and is no jury of people.
B batch, T frames, C channels, F features, D embedding.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cache
from importlib import resources

import numpy as np
import torch
from torch import nn

from expclip import checkpoint, config
from expclip.checkpoint import Part
from expclip.encoders import DEFAULT_TOWER, TextTower, load_tower
from expclip.errors import BadRequestError
from expclip.rig import FloatArray, load_rig
from expclip.tead import CATEGORIES

EMOTIONS = tuple(category for category in CATEGORIES if category != "mixed")
"""What the classifier tells apart."""
QUANTILES = (0.1, 0.5, 0.9)
STATISTICS = 2 + len(QUANTILES)
"""Numbers kept of each channel: mean, standard deviation, quantiles."""


@dataclass(frozen=True)
class EvaluatorConfig:
    """Sizes of an evaluator; all that is needed to build one."""

    tower: str = DEFAULT_TOWER  # frozen text encoder: minilm, a folder, or a hub name
    hidden: int = 256  # width of both heads
    embedding: int = 64  # D
    dropout: float = 0.3  # while training


class Evaluator(nn.Module):
    """Two heads into one space and a classifier of motions."""

    def __init__(self, sizes: EvaluatorConfig | None = None, tower: TextTower | None = None) -> None:
        super().__init__()
        self.config = sizes = sizes or EvaluatorConfig()
        self.tower = tower or load_tower(sizes.tower)
        statistics = STATISTICS * len(load_rig())
        self.text = _head(self.tower.features, sizes)
        self.motion = _head(statistics, sizes)
        self.emotion = nn.Linear(sizes.embedding, len(EMOTIONS))
        self.log_temperature = nn.Parameter(torch.tensor(-2.3))
        self.register_buffer("middle", torch.zeros(statistics))
        self.register_buffer("scale", torch.ones(statistics))
        self.middle: torch.Tensor
        self.scale: torch.Tensor

    def text_embedding(self, features_BF: torch.Tensor) -> torch.Tensor:
        """Return embeddings (B, D) of unit length for features of the tower."""
        return nn.functional.normalize(self.text(features_BF * features_BF.shape[-1] ** 0.5), dim=-1)

    def motion_embedding(self, statistics_BF: torch.Tensor) -> torch.Tensor:
        """Return embeddings (B, D) of unit length for statistics of motions."""
        return nn.functional.normalize(self.motion((statistics_BF - self.middle) / self.scale), dim=-1)

    def emotions(self, embedding_BD: torch.Tensor) -> torch.Tensor:
        """Return logits (B, 8) in the order of `EMOTIONS` for embeddings of motions."""
        logits: torch.Tensor = self.emotion(embedding_BD * self.config.embedding**0.5)
        return logits

    @torch.inference_mode()
    def texts(self, texts: Sequence[str], *, batch: int = 64) -> FloatArray:
        """Return embeddings (B, D) of texts."""
        parts = [self.text_embedding(self.tower.encode(texts[k : k + batch])) for k in range(0, len(texts), batch)]
        return np.asarray(torch.cat(parts).cpu().numpy(), np.float32)

    @torch.inference_mode()
    def motions(self, statistics_BF: FloatArray) -> tuple[FloatArray, list[str]]:
        """Return embeddings (B, D) and the likeliest emotion of motions by their statistics (B, F)."""
        embedding_BD = self.motion_embedding(torch.from_numpy(np.asarray(statistics_BF, np.float32)))
        names = [EMOTIONS[k] for k in self.emotions(embedding_BD).argmax(-1).tolist()]
        return np.asarray(embedding_BD.numpy(), np.float32), names

    def trained(self) -> dict[str, torch.Tensor]:
        """Return the tensors that training changes; the tower is named by its source."""
        return {name: value for name, value in self.state_dict().items() if not name.startswith("tower.")}

    def to_part(self) -> Part:
        """Return the sizes and the trained tensors."""
        return Part(asdict(self.config), self.trained())

    @classmethod
    def from_part(cls, part: Part) -> "Evaluator":
        """Return the evaluator of a checkpoint part, in evaluation mode."""
        model = cls(config.build(EvaluatorConfig, part.config))
        missing, unexpected = model.load_state_dict(dict(part.tensors), strict=False)
        absent = set(missing) & set(model.trained())
        if absent or unexpected:
            raise BadRequestError(
                f"checkpoint does not fit the evaluator: {', '.join(sorted(absent | set(unexpected)))}"
            )
        return model.eval().requires_grad_(False)


def _head(features: int, sizes: EvaluatorConfig) -> nn.Sequential:
    return nn.Sequential(
        nn.Linear(features, sizes.hidden),
        nn.GELU(),
        nn.Dropout(sizes.dropout),
        nn.Linear(sizes.hidden, sizes.embedding),
    )


def statistics(weights_BTC: torch.Tensor) -> torch.Tensor:
    """Return what is kept of motions (B, T, C): mean, standard deviation and quantiles of each channel, (B, F)."""
    ordered_BTC = weights_BTC.sort(1).values
    places = [round(q * (weights_BTC.shape[1] - 1)) for q in QUANTILES]
    parts = [weights_BTC.mean(1), weights_BTC.std(1, correction=0), *(ordered_BTC[:, k] for k in places)]
    return torch.cat(parts, -1)


def describe(weights_TC: FloatArray) -> FloatArray:
    """Return the statistics (F,) of one motion (T, C)."""
    return np.asarray(statistics(torch.from_numpy(np.asarray(weights_TC, np.float32))[None])[0].numpy(), np.float32)


def default_path() -> str:
    """Return the folder of the evaluator that ships with the package."""
    return str(resources.files("expclip") / "checkpoints" / "evaluator")


@cache
def load(folder: str | None = None) -> tuple[Evaluator, str]:
    """Return the evaluator of a checkpoint folder (default: the one that ships) and its digest."""
    stored = checkpoint.load(folder or default_path())
    return Evaluator.from_part(stored.part("evaluator")), stored.digest
