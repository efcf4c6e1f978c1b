"""A baseline after FaceFormer: a small autoregressive transformer with a label for the emotion instead of a prompt.

In: log-mels and one of the eight emotions. Out: weights at 25 fps, each step from the sound around it (80 ms back,
160 ms ahead) and from the steps it has made itself. Our own small version, trained on what the generator is trained
on: neutral tracks, upon them the mean expression of a label.
B batch, N samples, T steps of 40 ms, C channels, M mels, W width.
"""

from dataclasses import asdict, dataclass

import numpy as np
import torch
from torch import nn

from expclip import checkpoint, config
from expclip.animation import sample_at
from expclip.checkpoint import Part
from expclip.errors import BadRequestError
from expclip.evaluator import EMOTIONS
from expclip.rig import FloatArray, load_rig
from expclip.speech import LogMel

FPS = 25.0
HOP = 640
"""Samples of a step."""
BACK, AHEAD = 2, 4
"""Steps of sound that a step hears before and after itself."""


@dataclass(frozen=True)
class FaceFormerConfig:
    """Sizes; all that is needed to build one."""

    width: int = 96  # W
    layers: int = 2
    heads: int = 4
    context: int = 50  # steps of its own past that it looks back on


class FaceFormer(nn.Module):
    """Sound, label and its own past -> the next face."""

    def __init__(self, sizes: FaceFormerConfig | None = None) -> None:
        super().__init__()
        self.config = sizes = sizes or FaceFormerConfig()
        channels, mel = len(load_rig()), LogMel()
        self.mel = mel
        self.sound = nn.Conv1d(4 * mel.bank.shape[1], sizes.width, BACK + 1 + AHEAD)
        self.past = nn.Linear(channels, sizes.width)
        self.label = nn.Embedding(len(EMOTIONS), sizes.width)
        self.held = nn.Embedding(len(EMOTIONS), channels, _weight=torch.zeros(len(EMOTIONS), channels))
        self.place = nn.Parameter(torch.randn(sizes.context, sizes.width) * 0.02)
        layer = nn.TransformerEncoderLayer(
            sizes.width, sizes.heads, 4 * sizes.width, dropout=0.0, batch_first=True, norm_first=True
        )
        self.layers = nn.TransformerEncoder(layer, sizes.layers, enable_nested_tensor=False)
        self.face = nn.Linear(sizes.width, channels)

    def hear(self, audio_BN: torch.Tensor) -> torch.Tensor:
        """Return the sound around each whole step, (B, T, W)."""
        steps = max(1, audio_BN.shape[-1] // HOP)
        padded_BN = nn.functional.pad(audio_BN, (0, max(0, steps * HOP - audio_BN.shape[-1])))[:, : steps * HOP]
        mel_BTM = self.mel(padded_BN).reshape(len(audio_BN), steps, -1)
        heard: torch.Tensor = self.sound(nn.functional.pad(mel_BTM.transpose(1, 2), (BACK, AHEAD)))
        return heard.transpose(1, 2)

    def forward(self, heard_BTW: torch.Tensor, past_BTC: torch.Tensor, label_B: torch.Tensor) -> torch.Tensor:
        """Return faces (B, T, C), not yet clamped, for at most `context` steps; `past_BTC`: the face before each."""
        steps = heard_BTW.shape[1]
        hidden_BTW = heard_BTW + self.past(past_BTC) + self.label(label_B)[:, None] + self.place[:steps]
        mask = torch.ones(steps, steps, dtype=torch.bool).triu(1)
        moved_BTC: torch.Tensor = self.face(self.layers(hidden_BTW, mask=mask))
        held_BC: torch.Tensor = self.held(label_B)
        return moved_BTC + held_BC[:, None]

    @torch.inference_mode()
    def animate(self, audio_N: FloatArray, emotion: str, frames: int, fps: float) -> FloatArray:
        """Return weights (frames, C) at `fps`: step after step, each from those before it."""
        label_B = torch.tensor([EMOTIONS.index(emotion)])
        heard_BTW = self.hear(torch.from_numpy(np.ascontiguousarray(audio_N, np.float32))[None])
        made = [torch.zeros(len(load_rig()))]
        for step in range(heard_BTW.shape[1]):
            first = max(0, step + 1 - self.config.context)
            past_BTC = torch.stack(made[first : step + 1])[None]
            made.append(self(heard_BTW[:, first : step + 1], past_BTC, label_B)[0, -1].clamp(0, 1))
        return sample_at(torch.stack(made[1:]).numpy(), FPS, np.arange(frames) / fps)

    def to_part(self) -> Part:
        """Return the sizes and the tensors."""
        return Part(asdict(self.config), self.state_dict())

    @classmethod
    def from_part(cls, part: Part) -> "FaceFormer":
        """Return the baseline of a checkpoint part, in evaluation mode."""
        model = cls(config.build(FaceFormerConfig, part.config))
        missing, unexpected = model.load_state_dict(dict(part.tensors), strict=False)
        if missing or unexpected:
            raise BadRequestError(f"checkpoint does not fit the baseline: {', '.join(sorted({*missing, *unexpected}))}")
        return model.eval().requires_grad_(False)


def load(folder: str) -> FaceFormer:
    """Return the baseline of a checkpoint folder; raises BadRequestError if it has none."""
    return FaceFormer.from_part(checkpoint.load(folder).part("faceformer"))
