"""Crops to train on: clips, corpora mixed by weight -> cuts of equal length, varied in speed, sound and place.

`Sampler.crop(number, slot)` is a pure function of the seed, the step's number and the slot within its batch: whoever
makes it, wherever and in whatever order, makes the same. Labels follow the sound's change of speed.
B batch, N samples, T steps of 20 ms, C channels, F features of a teacher.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from expclip.clip_table import ClipTable
from expclip.errors import BadRequestError
from expclip.rig import FloatArray
from expclip.sound_variation import Variation, vary
from expclip.speech import HOP
from expclip.speech_clips import UNKNOWN, Clip, Sound
from expclip.teacher import Features

_TRIES = 8
"""Clips that a slot draws one after another when they cannot be read, before it gives up."""

Columns = Mapping[str, Any]
"""Crops as arrays by name, one row a crop: what a feed gives and `Batch.of` takes."""


def slot_random(seed: int, number: int, slot: int, purpose: int) -> np.random.Generator:
    """Return the randomness of one slot of one step for one purpose."""
    return np.random.default_rng([seed, number, slot, purpose])


@dataclass(frozen=True, eq=False)
class Batch:
    """Crops of equal length on the device that computes, and which slots of which step they are."""

    number: int
    slots: tuple[int, ...]
    audio_BN: torch.Tensor
    weights_BTC: torch.Tensor
    taught_BTC: torch.Tensor
    closure_BT: torch.Tensor
    phone_BT: torch.Tensor
    acted: tuple[str, ...]
    teacher_BTF: torch.Tensor | None

    @classmethod
    def of(cls, columns: Columns, number: int, slots: Sequence[int], device: torch.device | str) -> "Batch":
        """Return the batch of a feed's columns."""
        there = {k: torch.as_tensor(np.ascontiguousarray(v)).to(device) for k, v in columns.items() if k not in _TEXTS}
        teacher = there.get("teacher")
        return cls(
            number, tuple(slots), there["audio"].float() / 32767, there["weights"], there["taught"],
            there["closure"], there["phone"].long(), tuple(map(str, columns["acted"])),
            None if teacher is None else teacher.float(),
        )  # fmt: skip

    def parts(self, count: int) -> "list[Batch]":
        """Return the batch in `count` parts, or as many as it has crops."""
        if count <= 1:
            return [self]
        shares = [range(len(self.slots))[k::count] for k in range(min(count, len(self.slots)))]
        return [self._only(list(share)) for share in shares]

    def _only(self, rows: list[int]) -> "Batch":
        teacher = None if self.teacher_BTF is None else self.teacher_BTF[rows]
        return Batch(
            self.number, tuple(self.slots[k] for k in rows), self.audio_BN[rows], self.weights_BTC[rows],
            self.taught_BTC[rows], self.closure_BT[rows], self.phone_BT[rows],
            tuple(self.acted[k] for k in rows), teacher,
        )  # fmt: skip


_TEXTS = ("acted", "bad")


class Sampler:
    """Seeded crops of a table's clips, corpora mixed by weight, clips of a corpus by length."""

    def __init__(
        self,
        table: ClipTable,
        shares: Mapping[str, float],
        *,
        seed: int,
        steps: int,
        variation: Variation | None = None,
        teacher: Features | None = None,
    ) -> None:
        """Draw crops of `steps` steps; raises BadRequestError if the table has no clip."""
        if not len(table):
            raise BadRequestError("there is no clip to train on")
        self.table, self.seed, self.steps, self.teacher = table, seed, steps, teacher
        self.variation = variation or Variation()
        length = np.array([max(entry.seconds, 0.02) for entry in table.entries])
        names = np.array([entry.corpus for entry in table.entries])
        for name in set(names.tolist()):
            length[names == name] *= shares[name] / length[names == name].sum()
        if not length.sum() > 0:
            raise BadRequestError(f"all shares are 0: {dict(shares)}")
        self._until = np.cumsum(length / length.sum())

    def rows(self, number: int, slots: Sequence[int]) -> dict[str, Any]:
        """Return the crops of those slots of a step as columns."""
        crops = [self.crop(number, slot) for slot in slots]
        columns: dict[str, Any] = {name: [crop[name] for crop in crops] for name in crops[0]}
        return {k: np.array(v, object) if k in _TEXTS else np.stack(v) for k, v in columns.items()}

    def batch(self, number: int, slots: Sequence[int], device: torch.device | str = "cpu") -> Batch:
        """Return the same as a batch."""
        return Batch.of(self.rows(number, slots), number, slots, device)

    def crop(self, number: int, slot: int) -> dict[str, Any]:
        """Return one crop by column. A clip that cannot be read is named in `bad` with its reason and drawn again."""
        random = slot_random(self.seed, number, slot, 0)
        bad: list[str] = []
        clip, k = self._clip(random, bad)
        speed = float(np.exp(random.uniform(-1, 1) * self.variation.speed))
        spare = len(clip) - self.steps * speed
        start = random.uniform(0, spare) if spare > 0 else random.uniform(spare, 0)
        audio_N = vary(
            _at_speed(clip, start, speed, self.steps), random, self.variation, partner=lambda: self._other(random, bad)
        )
        labels = _labels(clip, start + np.arange(self.steps) * speed)
        near_T = labels.pop("near")
        features = {} if self.teacher is None else {"teacher": self.teacher.of(k, near_T)}
        sound_N = np.rint(audio_N * 32767).astype(np.int16)
        return {"audio": sound_N, **labels, "acted": clip.acted, "bad": "\n".join(bad), **features}

    def _clip(self, random: np.random.Generator, bad: list[str]) -> tuple[Clip, int]:
        for _ in range(_TRIES):
            k = min(int(np.searchsorted(self._until, random.random(), side="right")), len(self.table) - 1)
            try:
                return self.table.clip(k), k
            except (BadRequestError, OSError) as error:
                bad.append(f"{self.table.entries[k].clip_id}: {' '.join(str(error).split())}")
        raise BadRequestError(f"{_TRIES} clips one after another cannot be read, the last one: {bad[-1]}")

    def _other(self, random: np.random.Generator, bad: list[str]) -> FloatArray:
        clip, _ = self._clip(random, bad)
        start = random.uniform(0, max(len(clip) - self.steps, 0))
        return _at_speed(clip, start, 1.0, self.steps)


def _at_speed(clip: Clip, start: float, speed: float, steps: int) -> FloatArray:
    """Return the sound of `steps` steps from step `start` on, -1..1, linearly interpolated; silence beyond the clip."""
    origin = int(np.floor(start * HOP))
    sound_N: Sound = clip.sound(origin, origin + int(np.ceil(steps * HOP * speed)) + 3)
    place_N = start * HOP - origin + np.arange(steps * HOP) * speed
    low_N = place_N.astype(np.int64)
    part_N = (place_N - low_N).astype(np.float32)
    return np.asarray((sound_N[low_N] * (1 - part_N) + sound_N[low_N + 1] * part_N) / 32767, np.float32)


def _labels(clip: Clip, place_T: FloatArray) -> dict[str, Any]:
    """Return the labels at places in steps, and the step that lies nearest to each."""
    last = len(clip) - 1
    near_T = np.clip(np.rint(place_T).astype(int), 0, last)
    inside_T = (place_T >= 0) & (place_T <= last)
    low_T = np.clip(np.floor(place_T).astype(int), 0, max(last - 1, 0))
    part_T1 = np.clip(place_T - low_T, 0, 1)[:, None].astype(np.float32)
    high_T = np.minimum(low_T + 1, last)
    return {
        "weights": clip.weights_TC[low_T] * (1 - part_T1) + clip.weights_TC[high_T] * part_T1,
        "taught": clip.taught_TC[near_T] & inside_T[:, None],
        "closure": np.where(inside_T, clip.closure_T[near_T], 0).astype(np.float32),
        "phone": np.where(inside_T, clip.phone_T[near_T], UNKNOWN).astype(np.int16),
        "near": near_T,
    }
