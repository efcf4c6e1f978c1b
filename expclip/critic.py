"""Sync critic: does this mouth belong to this sound at this moment? A contrastive network, trained first, then frozen.

Sound and mouth are embedded for each 20 ms; `sync` is low where a moment of the one is nearest to the same moment of
the other. `train_critic.py` trains it; the generator may then be taught by it, and `offset` measures any animation.
B batch, N samples, T steps of 20 ms, C channels, E embedding.
"""

from dataclasses import asdict, dataclass

import torch
from torch import nn
from torch.nn import functional

from expclip import config
from expclip.checkpoint import Part
from expclip.errors import BadRequestError
from expclip.rig import Rig, load_rig
from expclip.speech import RATE, Block, LogMel, whole_steps

TEMPERATURE = 0.07
NEAR = 3
"""Steps beside a moment that are neither right nor wrong: sound and mouth change too little in 60 ms."""


@dataclass(frozen=True)
class CriticConfig:
    """Sizes of a critic."""

    width: int = 96
    audio_blocks: int = 4
    mouth_blocks: int = 3
    embedding: int = 64


class SyncCritic(nn.Module):
    """Sound -> (B, T, E) and a mouth -> (B, T, E), unit vectors that are near where the two belong together."""

    def __init__(self, sizes: CriticConfig | None = None, rig: Rig | None = None) -> None:
        super().__init__()
        self.config = sizes = sizes or CriticConfig()
        self.rig = rig or load_rig()
        self.columns = self.rig.region("mouth")
        self.mel = LogMel()
        self.audio_in = nn.Linear(2 * self.mel.bank.shape[1], sizes.width)
        self.audio_blocks = nn.ModuleList(
            Block(sizes.width, dilation=1 + k % 2, right=3 * (1 + k % 2)) for k in range(sizes.audio_blocks)
        )
        self.audio_out = nn.Sequential(nn.LayerNorm(sizes.width), nn.Linear(sizes.width, sizes.embedding))
        self.mouth_in = nn.Linear(len(self.columns), sizes.width)
        self.mouth_blocks = nn.ModuleList(Block(sizes.width, right=3) for _ in range(sizes.mouth_blocks))
        self.mouth_out = nn.Sequential(nn.LayerNorm(sizes.width), nn.Linear(sizes.width, sizes.embedding))

    def hear(self, audio_BN: torch.Tensor) -> torch.Tensor:
        """Return what is heard (B, T, E) in samples at 16 kHz; T = N / 320, rounded up."""
        mel_BTM = self.mel(whole_steps(audio_BN))
        hidden_BTD = self.audio_in(mel_BTM.reshape(len(mel_BTM), -1, 2 * mel_BTM.shape[2]))
        for block in self.audio_blocks:
            hidden_BTD = block(hidden_BTD)
        return functional.normalize(self.audio_out(hidden_BTD), dim=-1)

    def see(self, weights_BTC: torch.Tensor) -> torch.Tensor:
        """Return what is seen (B, T, E) in the mouth of weights at 50 Hz."""
        hidden_BTD = self.mouth_in(weights_BTC[..., self.columns])
        for block in self.mouth_blocks:
            hidden_BTD = block(hidden_BTD)
        return functional.normalize(self.mouth_out(hidden_BTD), dim=-1)

    def to_part(self) -> Part:
        """Return the sizes and the tensors to store."""
        return Part(asdict(self.config), self.state_dict())

    @classmethod
    def from_part(cls, part: Part) -> "SyncCritic":
        """Return the frozen critic of a checkpoint part; raises BadRequestError if it does not fit."""
        critic = cls(config.build(CriticConfig, part.config))
        try:
            critic.load_state_dict(dict(part.tensors))
        except RuntimeError as error:
            raise BadRequestError(
                f"checkpoint does not fit the critic: {str(error).splitlines()[-1].strip()}"
            ) from None
        return critic.eval().requires_grad_(False)


def sync(heard_BTE: torch.Tensor, seen_BTE: torch.Tensor, counted_BT: torch.Tensor) -> torch.Tensor:
    """Return the cross-entropy of finding each counted moment's own partner among the moments of its clip, both ways.

    Moments within `NEAR` steps of the right one are no rivals. `counted_BT` is 0 or 1; rivals that do not count are
    left out, too.
    """
    score_BTT = heard_BTE @ seen_BTE.transpose(1, 2) / TEMPERATURE
    steps = torch.arange(score_BTT.shape[1], device=score_BTT.device)
    away_TT = (steps[:, None] - steps).abs()
    rival_BTT = (away_TT > NEAR) & (counted_BT > 0)[:, None, :] & (counted_BT > 0)[:, :, None]
    score_BTT = score_BTT.masked_fill(~(rival_BTT | (away_TT == 0)), float("-inf"))
    own_BT = score_BTT.diagonal(dim1=1, dim2=2)
    error_BT = (score_BTT.logsumexp(2) + score_BTT.logsumexp(1)) / 2 - own_BT
    loss: torch.Tensor = (error_BT * counted_BT).sum() / counted_BT.sum().clamp(min=1)
    return loss


def speaking(weights_BTC: torch.Tensor, taught_BTC: torch.Tensor) -> torch.Tensor:
    """Return which steps (B, T) count, 0 or 1: the face was measured there, and it moves within 100 ms around."""
    moves_BT = weights_BTC.diff(dim=1, prepend=weights_BTC[:, :1]).abs().sum(-1)
    near_BT = functional.max_pool1d(moves_BT[:, None], 5, 1, 2)[:, 0]
    return (taught_BTC.any(-1) & (near_BT > 0.02)).float()


@torch.inference_mode()
def offset(critic: SyncCritic, audio_N: torch.Tensor, weights_TC: torch.Tensor, most: int = 15) -> tuple[float, float]:
    """Return how far the mouth comes after the sound in ms, and how sure that is.

    Sure: the mean cosine at the best of `most` steps each way, less the median over all of them. Frames are at 50 Hz.
    Raises BadRequestError if the clip is shorter than twice that.
    """
    heard_TE, seen_TE = critic.hear(audio_N[None])[0], critic.see(weights_TC[None])[0]
    steps = min(len(heard_TE), len(seen_TE))
    if steps < 2 * most:
        raise BadRequestError(f"{steps / RATE:.2f} s are too short to tell an offset; {2 * most / RATE:g} s are needed")
    means = []
    for late in range(-most, most + 1):
        first, last = max(0, -late), steps - max(0, late)
        means.append(float((heard_TE[first:last] * seen_TE[first + late : last + late]).sum(-1).mean()))
    best = max(range(len(means)), key=means.__getitem__)
    return 1000 * (best - most) / RATE, means[best] - sorted(means)[len(means) // 2]
