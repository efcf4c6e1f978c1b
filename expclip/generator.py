"""Generator: speech and a style for each step in, weights of the face for each step out, all steps at once.

The style acts in two ways: it modulates the layers (FiLM without bias), and the expression it decodes to is screened
onto the speaking mouth through learned gates. Zero style does neither: the neutral speaking face, by construction.
B batch, N samples, T steps of 20 ms, C channels, D style dimension, W width.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import nn

from expclip import config
from expclip.checkpoint import Part
from expclip.errors import BadRequestError
from expclip.rig import Rig, load_rig
from expclip.speech import HOP, STUDENT, Block, load_encoder

_DILATIONS = (1, 2, 4)
_STYLE_CODE = 64


@dataclass(frozen=True)
class GeneratorConfig:
    """Sizes of a generator; all that is needed to build one."""

    encoder: str = STUDENT  # speech front end: student, a folder, or a hub name
    frozen: bool = False  # the front end is not trained (and, if pretrained, not stored)
    width: int = 192  # W, of the layers
    encoder_blocks: int = 8  # of the student
    blocks: int = 3  # of the generator itself
    lookahead: int = 6  # steps of 20 ms that the student hears ahead
    style: int = 256  # D, length of the style vector


@dataclass(frozen=True, eq=False)
class Motion:
    """What the generator says of each step."""

    weights_BTC: torch.Tensor
    """The face, 0..1."""
    closure_BT: torch.Tensor
    """Probability that the lips must be shut (p, b, m)."""


class Generator(nn.Module):
    """Speech and style -> motion. See `forward`."""

    hop = HOP

    def __init__(self, sizes: GeneratorConfig | None = None, rig: Rig | None = None) -> None:
        super().__init__()
        self.config = sizes = sizes or GeneratorConfig()
        self.rig = rig or load_rig()
        self.encoder = load_encoder(
            sizes.encoder, width=sizes.width, blocks=sizes.encoder_blocks, lookahead=sizes.lookahead
        )
        if sizes.frozen:
            self.encoder.requires_grad_(False)
        channels = len(self.rig)
        self.inner = nn.Linear(self.encoder.width, sizes.width)
        self.closure = nn.Linear(self.encoder.width, 1)
        self.style = nn.Sequential(nn.Linear(sizes.style, _STYLE_CODE, bias=False), nn.Tanh())
        self.expression = nn.Linear(channels, sizes.width, bias=False)
        self.blocks = nn.ModuleList(Block(sizes.width, dilation=_DILATIONS[k % 3]) for k in range(sizes.blocks))
        self.films = nn.ModuleList(nn.Linear(_STYLE_CODE, 2 * sizes.width, bias=False) for _ in self.blocks)
        self.norm = nn.LayerNorm(sizes.width)
        self.speech = nn.Linear(sizes.width, channels)
        self.gate = nn.Linear(sizes.width, channels)
        for film in self.films:
            nn.init.normal_(film.weight, std=0.02)  # type: ignore[arg-type]
        nn.init.constant_(self.speech.bias, -3.0)
        nn.init.constant_(self.gate.bias, 2.0)

    @property
    def lookahead(self) -> int:
        """Steps after its own that a step depends on."""
        return self.encoder.lookahead

    @property
    def context(self) -> int:
        """Steps before it that a step depends on."""
        return self.encoder.context + sum(block.left for block in self.blocks)  # type: ignore[misc]

    def forward(self, audio_BN: torch.Tensor, style_BTD: torch.Tensor, expression_BTC: torch.Tensor) -> Motion:
        """Return the motion for samples (B, N) at 16 kHz, -1..1.

        `style_BTD` is Style.vector_D for each step (T = N / 320, rounded up), `expression_BTC` what ExpCLIP decodes
        it to. Raises BadRequestError if the numbers of steps differ.
        """
        steps = -(-audio_BN.shape[-1] // HOP)
        if style_BTD.shape[1] != steps or expression_BTC.shape[1] != steps:
            given = f"{style_BTD.shape[1]} of style and {expression_BTC.shape[1]} of expression"
            raise BadRequestError(f"{steps} steps of sound, but {given}")
        return self.decode(self.features(audio_BN), style_BTD, expression_BTC)

    def features(self, audio_BN: torch.Tensor) -> torch.Tensor:
        """Return speech features (B, T, F) of the front end."""
        if not self.config.frozen:
            return self.encoder(audio_BN)  # type: ignore[no-any-return]
        with torch.no_grad():
            return self.encoder(audio_BN)  # type: ignore[no-any-return]

    def decode(self, features_BTF: torch.Tensor, style_BTD: torch.Tensor, expression_BTC: torch.Tensor) -> Motion:
        """Return the motion for speech features (B, T, F).

        The closure hangs on the sound alone, so that no style can open the lips of a p, b or m.
        """
        code_BTK = self.style(style_BTD)
        hidden_BTW = self.inner(features_BTF) + self.expression(expression_BTC)
        for block, film in zip(self.blocks, self.films, strict=True):
            scale_BTW, shift_BTW = film(code_BTK).chunk(2, -1)
            hidden_BTW = block(hidden_BTW, (scale_BTW, shift_BTW))
        return self.speak(hidden_BTW, features_BTF, expression_BTC)

    def speak(self, hidden_BTW: torch.Tensor, features_BTF: torch.Tensor, expression_BTC: torch.Tensor) -> Motion:
        """Return the motion for the last block's output (B, T, W)."""
        hidden_BTW = self.norm(hidden_BTW)
        spoken_BTC = torch.sigmoid(self.speech(hidden_BTW))
        felt_BTC = torch.sigmoid(self.gate(hidden_BTW)) * expression_BTC
        closure_BT = torch.sigmoid(self.closure(features_BTF)[..., 0])
        return Motion(spoken_BTC + felt_BTC - spoken_BTC * felt_BTC, closure_BT)

    def to_part(self) -> Part:
        """Return the sizes and the tensors to store; a frozen pretrained front end is named by its source."""
        return Part(asdict(self.config), dict(self.stored()))

    def stored(self) -> Mapping[str, torch.Tensor]:
        """Return the tensors that a checkpoint holds, by name."""
        known = self.config.frozen and self.config.encoder != STUDENT
        state: Mapping[str, Any] = self.state_dict()
        return {name: tensor for name, tensor in state.items() if not (known and name.startswith("encoder."))}

    @classmethod
    def from_part(cls, part: Part) -> "Generator":
        """Return the generator of a checkpoint part, in evaluation mode; raises BadRequestError if it does not fit."""
        model = cls(config.build(GeneratorConfig, part.config))
        missing, unexpected = model.load_state_dict(dict(part.tensors), strict=False)
        wrong = (set(missing) & set(model.stored())) | set(unexpected)
        if wrong:
            raise BadRequestError(f"checkpoint does not fit the generator: {', '.join(sorted(wrong))}")
        return model.eval().requires_grad_(False)
