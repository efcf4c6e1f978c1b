"""ExpCLIP: text, image and expression land in one space; a vector of that space decodes to an expression.

A style is a direction (unit length, which feeling) times a magnitude (how strong; 0 is neutral). The magnitude is
the intensity of the strongest action unit. B batch, D style embedding, U places of the unit vector
(`action_units.units()`), C channels, F features of the text tower.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from torch import nn

from expclip import action_units, config
from expclip.checkpoint import Part
from expclip.encoders import DEFAULT_TOWER, ClipTower, Image, add_lora, load_tower, lora_parameters
from expclip.errors import BadRequestError
from expclip.rig import FloatArray, Rig, load_rig
from expclip.style import Style
from expclip.tead import CATEGORIES

_SLACK = 0.5
"""Logits by which the two sides of a unit may differ and still be shown as one: faces are even unless a text says
otherwise. Chosen on TEAD's validation split: 82 % of one-sided units of descriptions right, 0.6 % of even ones not."""


@dataclass(frozen=True)
class ExpCLIPConfig:
    """Sizes of an ExpCLIP; with the tower's source all that is needed to build one."""

    tower: str = DEFAULT_TOWER  # minilm, a local folder, or a hub name
    embedding: int = 256  # D, length of the style embedding
    hidden: int = 512  # width of the heads
    lora_rank: int = 16  # rank of the corrections in the text tower; 0: the tower stays frozen
    dropout: float = 0.1  # in the heads, while training
    presence: float = 0.4  # probability from which a unit is shown; tuned on the validation split
    gate_width: float = 0.05  # half the range of probability over which a unit fades in
    confidence: float = 0.5  # power of the probability that weakens what is uncertain; tuned with `presence`


class ExpCLIP(nn.Module):
    """Encoders of text, image and expression into style space, and the decoder out of it."""

    def __init__(self, sizes: ExpCLIPConfig | None = None, rig: Rig | None = None) -> None:
        super().__init__()
        self.config = sizes = sizes or ExpCLIPConfig()
        self.rig = rig or load_rig()
        self.units = action_units.units(self.rig)
        tower = load_tower(sizes.tower)
        if sizes.lora_rank:
            add_lora(tower.encoder, sizes.lora_rank)
        self.tower = tower
        self.text_head = _Head(tower.features, sizes)
        self.expression_head = _Head(len(self.rig), sizes)
        self.decoder = _mlp(sizes.embedding, 2 * len(self.units), sizes)
        self.affect = nn.Linear(sizes.embedding, len(CATEGORIES) + 2)
        self.log_temperature = nn.Parameter(torch.tensor(-2.3))
        self.register_buffer("matrix", torch.from_numpy(action_units.matrix(self.rig)), persistent=False)
        sided = [unit.sided for unit in self.rig.action_units.values()]
        self.register_buffer("sided", torch.tensor(sided), persistent=False)
        self.matrix: torch.Tensor
        self.sided: torch.Tensor

    @property
    def device(self) -> torch.device:
        """Where the model computes."""
        return self.matrix.device

    def encode_text(self, texts: Sequence[str]) -> tuple[torch.Tensor, torch.Tensor]:
        """Return embedding (B, D) of unit length and strength (B,) in 0..1 for texts."""
        return self.encode_features(self.tower.encode(texts))

    def encode_features(self, features_BF: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return embedding (B, D) and strength (B,) for features of the text (or image) tower."""
        embedding_BD, strength_B = self.text_head(features_BF * features_BF.shape[-1] ** 0.5)
        return embedding_BD, torch.sigmoid(strength_B)

    def encode_image(self, images: Sequence[Image]) -> tuple[torch.Tensor, torch.Tensor]:
        """Return embedding (B, D) and strength (B,) for pictures of faces; needs a checkpoint on a CLIP tower."""
        if not isinstance(self.tower, ClipTower):
            raise BadRequestError(f"text tower {self.config.tower!r} has no image side; image styles need a CLIP tower")
        return self.encode_features(self.tower.encode_image(images))

    def encode_expression(self, weights_BC: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return embedding (B, D) and strength (B,) for expressions in weights.

        The embedding does not change when all weights are scaled; the strength of neutral weights is 0.
        """
        peak_B1 = weights_BC.amax(-1, keepdim=True)
        embedding_BD, correction_B = self.expression_head(weights_BC / peak_B1.clamp(min=1e-4))
        strength_B = peak_B1[:, 0] * nn.functional.softplus(correction_B + 0.54)
        return embedding_BD, strength_B.clamp(0, 1)

    def decode_expression(
        self, vector_BD: torch.Tensor, *, presence: float | None = None, confidence: float | None = None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return action units (B, U) and weights (B, C), both in 0..1, for style vectors (..., D).

        Units whose probability misses the threshold are exactly 0; all others grow in proportion to the vector's
        length, which is the intensity of a unit at relative intensity 1. `presence` and `confidence` replace
        those of the configuration.
        """
        magnitude = vector_BD.norm(dim=-1, keepdim=True)
        presence_BU, relative_BU = self.decode_direction(vector_BD / magnitude.clamp(min=1e-6))
        threshold = self.config.presence if presence is None else presence
        power = self.config.confidence if confidence is None else confidence
        certain_BU = presence_BU.sigmoid()
        gate_BU = ((certain_BU - threshold) / (2 * self.config.gate_width) + 0.5).clamp(0, 1)
        units_BU = (magnitude * gate_BU * relative_BU * certain_BU**power).clamp(0, 1)
        return units_BU, self.units_to_weights(units_BU)

    def decode_direction(self, embedding_BD: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return presence logits and relative intensities (0..1), both (B, U), of unit-length embeddings."""
        out = self.decoder(embedding_BD * self.config.embedding**0.5)
        presence_BU, relative_BU = out.chunk(2, -1)
        slack = 0.0 if self.decoder.training else _SLACK  # none while training: within it sides would get no gradient
        return _even(presence_BU, slack), torch.sigmoid(_even(relative_BU, slack / 2))

    def units_to_weights(self, units_BU: torch.Tensor) -> torch.Tensor:
        """Return weights (..., C) of unit vectors (..., U), as `action_units.vector_to_weights` does."""
        pairs = units_BU.reshape(*units_BU.shape[:-1], -1, 2)
        effective = torch.where(self.sided[:, None], pairs, pairs.mean(-1, keepdim=True)).flatten(-2)
        return (effective[..., :, None] * self.matrix).amax(-2).clamp(0, 1)

    def style_from_text(self, text: str) -> Style:
        """Return the style that a prompt asks for."""
        return self._style(self.encode_text, [text], text)

    def style_from_image(self, image: Image) -> Style:
        """Return the style of a face in a picture."""
        return self._style(self.encode_image, [image], "")

    def style_from_weights(self, weights_C: FloatArray) -> Style:
        """Return the style of an expression in weights (C,)."""
        return self._style(self.encode_expression, torch.from_numpy(np.asarray(weights_C, np.float32))[None], "")

    @torch.inference_mode()
    def _style(self, encode: Any, what: Any, prompt: str) -> Style:
        embedding_BD, strength_B = encode(what)
        return Style(embedding_BD[0].float().cpu().numpy(), float(strength_B[0]), prompt=prompt)

    def to_part(self) -> Part:
        """Return the sizes and the trained tensors; the frozen tower is named by its source."""
        return Part(asdict(self.config), dict(self.trained()))

    def trained(self) -> Mapping[str, torch.Tensor]:
        """Return the tensors that training changes, by name: all but the tower's own weights."""
        corrections = {f"tower.{name}" for name, _ in lora_parameters(self.tower)}
        return {k: v for k, v in self.state_dict().items() if not k.startswith("tower.") or k in corrections}

    @classmethod
    def from_part(cls, part: Part) -> "ExpCLIP":
        """Return the model of a checkpoint part, in evaluation mode."""
        model = cls(config.build(ExpCLIPConfig, part.config))
        missing, unexpected = model.load_state_dict(dict(part.tensors), strict=False)
        absent = set(missing) & set(model.trained())
        if absent or unexpected:
            raise BadRequestError(f"checkpoint does not fit ExpCLIP: {', '.join(sorted(absent | set(unexpected)))}")
        return model.eval().requires_grad_(False)


class _Head(nn.Module):
    """Features (B, F) -> direction (B, D) of unit length and a raw strength (B,)."""

    def __init__(self, features: int, sizes: ExpCLIPConfig) -> None:
        super().__init__()
        self.inner = nn.Sequential(nn.Linear(features, sizes.hidden), nn.GELU(), nn.Dropout(sizes.dropout))
        self.direction = nn.Linear(sizes.hidden, sizes.embedding)
        self.skip = nn.Linear(features, sizes.embedding, bias=False)
        self.strength = nn.Linear(sizes.hidden, 1)

    def forward(self, features_BF: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the direction and the raw strength."""
        hidden = self.inner(features_BF)
        direction_BD = nn.functional.normalize(self.direction(hidden) + self.skip(features_BF), dim=-1)
        return direction_BD, self.strength(hidden)[:, 0]


def _mlp(inside: int, outside: int, sizes: ExpCLIPConfig) -> nn.Sequential:
    return nn.Sequential(
        nn.Linear(inside, sizes.hidden), nn.GELU(), nn.Dropout(sizes.dropout), nn.Linear(sizes.hidden, outside)
    )


def _even(logits_BU: torch.Tensor, dead: float) -> torch.Tensor:
    """Make the two sides of each unit equal unless they differ by more than `dead`: faces are even by default."""
    pairs = logits_BU.reshape(*logits_BU.shape[:-1], -1, 2)
    middle, half = pairs.mean(-1, keepdim=True), (pairs[..., :1] - pairs[..., 1:]) / 2
    half = nn.functional.softshrink(half, dead / 2)
    return torch.cat([middle + half, middle - half], -1).flatten(-2)
