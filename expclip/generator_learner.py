"""The generator under training: crops in, its losses out, with the frozen ExpCLIP that some of them need.

All chance is a pure function of seed, step and slot. B batch, T steps, C channels, D style dimension, F features.
"""

import json
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

import torch
from torch import nn

from expclip import action_units, augment, checkpoint, critic, motion_losses, tead, training
from expclip.augment import Palette
from expclip.critic import SyncCritic
from expclip.crops import Batch, slot_random
from expclip.generator import Generator
from expclip.model import ExpCLIP
from expclip.sound_variation import vary_mel
from expclip.speech import Student
from expclip.speech_clips import PHONES
from expclip.training import Hooks, Stepper

if TYPE_CHECKING:
    from expclip.train_generator import Config


class Heads(nn.Module):
    """Heads that only training needs: phones and the teacher's features from the front end's."""

    def __init__(self, width: int, teacher: int) -> None:
        super().__init__()
        self.phones = nn.Linear(width, len(PHONES))
        self.teacher = nn.Linear(width, teacher) if teacher else None


class Learner(nn.Module):
    """The generator under training with the heads and the frozen ExpCLIP that its losses need."""

    def __init__(self, settings: "Config", model: ExpCLIP, teacher_width: int = 0) -> None:
        super().__init__()
        self.settings = settings
        self._frozen = (model.eval(),)  # in a tuple, it is no part of this module
        self.generator = _initial(settings).to(model.device)
        self.heads = Heads(self.generator.encoder.width, teacher_width).to(model.device)
        records = tead.load(settings.tead or None, split="train")
        self.styles: Palette | None = (
            augment.palette(model, records, kinds=settings.kinds, most_texts=settings.texts)
            if settings.epa.share
            else None
        )
        judges = settings.critic and settings.losses.sync
        self._critic = (_critic(settings).to(model.device) if judges else None,)  # in a tuple, as the model is
        self._counts = (motion_losses.channel_weights(self.generator.rig).to(model.device),)
        self._acted_styles: dict[str, torch.Tensor] = {}
        encoder = self.generator.encoder
        encode = encoder.encode if isinstance(encoder, Student) else self.generator.features
        self._encode = training.compiled(encode, model.device, settings.optim)
        self._decode = training.compiled(self.generator.decode, model.device, settings.optim)

    @property
    def expclip(self) -> ExpCLIP:
        """The frozen model."""
        return self._frozen[0]

    def stepper(self, hooks: Hooks) -> Stepper:
        """Return what steps this module."""
        learnt = [weight for weight in self.parameters() if weight.requires_grad]
        group = {
            "params": learnt, "lr": self.settings.rate, "weight_decay": self.settings.weight_decay,
            "betas": (0.9, 0.98),
        }  # fmt: skip
        return Stepper(self, [group], self.settings.optim, average=self.settings.average, place=hooks.place)

    def averaged(self, mean: Mapping[str, torch.Tensor]) -> Generator:
        """Return a frozen generator with the running mean of the weights."""
        generator = Generator(self.generator.config, self.generator.rig).to(self.expclip.device)
        own = {name.removeprefix("generator."): w for name, w in mean.items() if name.startswith("generator.")}
        generator.load_state_dict({**self.generator.state_dict(), **own})
        return generator.eval().requires_grad_(False)

    def forward(self, batch: Batch) -> dict[str, torch.Tensor]:
        """Return each loss of a batch whose weight is not 0, and their weighted sum as `total`."""
        steps = batch.weights_BTC.shape[1]
        drawn, own = self._styles(batch, steps)
        style_BTD, expression_BTC = augment.decode(self.expclip, drawn, steps)
        with training.autocast(batch.audio_BN.device, self.settings.optim):
            features_BTF = self._features(batch)
            motion = self._decode(features_BTF, style_BTD, expression_BTC)
            phones_BTP = self.heads.phones(features_BTF).float()
            taught_BTF = self.heads.teacher(features_BTF).float() if self.heads.teacher is not None else None
        guess_BTC, closure_BT = motion.weights_BTC.float(), motion.closure_BT.float()
        composed_BTC = augment.compose(batch.weights_BTC, expression_BTC, batch.closure_BT, self.generator.rig)
        target_BTC = torch.where(own[:, None, None], batch.weights_BTC, composed_BTC)
        counted_BTC = batch.taught_BTC * self._counts[0]
        jaw = self.generator.rig.index("jawOpen")
        known_BT = (batch.phone_BT >= 0).float()
        all_losses: dict[str, Callable[[], torch.Tensor]] = {
            "position": lambda: motion_losses.position(guess_BTC, target_BTC, counted_BTC),
            "velocity": lambda: motion_losses.velocity(guess_BTC, target_BTC, counted_BTC),
            "correlation": lambda: motion_losses.correlation(
                guess_BTC[..., jaw], target_BTC[..., jaw], batch.taught_BTC[..., jaw].float()
            ),
            "closure": lambda: motion_losses.closure(closure_BT, batch.closure_BT, known_BT),
            "phones": lambda: motion_losses.phones(phones_BTP, batch.phone_BT),
            "distillation": lambda: _distillation(taught_BTF, batch.teacher_BTF, features_BTF),
            "style": lambda: self._style_loss(guess_BTC, style_BTD, batch.weights_BTC),
            "sync": lambda: self._sync_loss(guess_BTC, batch),
        }
        weights = self.settings.losses
        given = {name: loss for name, loss in all_losses.items() if name != "sync" or self._critic[0]}
        losses = {name: loss() for name, loss in given.items() if getattr(weights, name)}
        total = torch.stack([getattr(weights, name) * loss for name, loss in losses.items()]).sum()
        return {"total": total, **losses}

    def _features(self, batch: Batch) -> torch.Tensor:
        encoder = self.generator.encoder
        if not isinstance(encoder, Student):
            found: torch.Tensor = self._encode(batch.audio_BN)
            return found
        randoms = [slot_random(self.settings.seed, batch.number, slot, 1) for slot in batch.slots]
        with torch.no_grad(), torch.autocast(batch.audio_BN.device.type, enabled=False):
            mel_BTM = vary_mel(encoder.mel(batch.audio_BN), randoms, self.settings.variation)
        features_BTF: torch.Tensor = self._encode(mel_BTM)
        return features_BTF

    def _styles(self, batch: Batch, steps: int) -> tuple[list[torch.Tensor], torch.Tensor]:
        """Return a style (T or 1, D) for each crop, and which crops keep their own face as target."""
        styles = []
        for slot, acted in zip(batch.slots, batch.acted, strict=True):
            random = slot_random(self.settings.seed, batch.number, slot, 2)
            if acted:
                styles.append(self._acted(acted))
            elif self.styles is not None and random.random() < self.settings.epa.share:
                styles.append(augment.draw(self.styles, random, steps=steps, options=self.settings.epa))
            else:
                styles.append(torch.zeros(1, self.generator.config.style))
        return styles, torch.tensor([bool(acted) for acted in batch.acted], device=batch.audio_BN.device)

    @torch.no_grad()
    def _acted(self, acted: str) -> torch.Tensor:
        """Return the style (1, D) of an acted expression, given as action units (JSON) or as a label, on the CPU."""
        if acted not in self._acted_styles:
            if acted.startswith("{"):
                weights_C = action_units.to_weights(json.loads(acted), self.generator.rig)
                weights_BC = torch.from_numpy(weights_C)[None].to(self.expclip.device)
                direction_BD, strength_B = self.expclip.encode_expression(weights_BC)
            else:
                direction_BD, strength_B = self.expclip.encode_text([acted])
            self._acted_styles[acted] = (direction_BD * strength_B[:, None]).float().cpu()
        return self._acted_styles[acted]

    def _style_loss(self, guess_BTC: torch.Tensor, style_BTD: torch.Tensor, speech_BTC: torch.Tensor) -> torch.Tensor:
        constant_B = (style_BTD - style_BTD[:, :1]).abs().amax((1, 2)) < 1e-6
        quiet_BT = (speech_BTC[..., self.generator.rig.index("jawOpen")] < 0.08).float() * constant_B[:, None]
        return motion_losses.style_consistency(self.expclip, guess_BTC, style_BTD[:, 0], quiet_BT)

    def _sync_loss(self, guess_BTC: torch.Tensor, batch: Batch) -> torch.Tensor:
        judge = self._critic[0]
        assert judge is not None
        counted_BT = critic.speaking(batch.weights_BTC, batch.taught_BTC)
        return critic.sync(judge.hear(batch.audio_BN), judge.see(guess_BTC), counted_BT)


def _critic(settings: "Config") -> SyncCritic:
    return SyncCritic.from_part(checkpoint.load(settings.critic).part("critic"))


def _initial(settings: "Config") -> Generator:
    if settings.initial:
        part = checkpoint.load(settings.initial).part("generator")
        return Generator.from_part(part).train().requires_grad_(True)
    return Generator(settings.model).train()


def _distillation(
    guess_BTF: torch.Tensor | None, teacher_BTF: torch.Tensor | None, features_BTF: torch.Tensor
) -> torch.Tensor:
    if teacher_BTF is None or guess_BTF is None:
        return features_BTF.sum() * 0
    return motion_losses.distillation(guess_BTF, teacher_BTF)
