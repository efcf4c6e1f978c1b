"""Clips to learn speech from: CLIPS + TRACKS folders -> memory -> crops at 50 Hz, varied in speed, sound and place.

`load` reads a corpus folder; `Sampler.batch` draws seeded crops in which labels follow the sound's change of speed.
B batch, N samples, T steps of 20 ms, C channels, F features of a teacher.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from expclip import action_units, corpora, media, storage, tracks
from expclip.animation import sample_at
from expclip.augment import closure_curve
from expclip.rig import FloatArray, Rig, load_rig
from expclip.speech import HOP, RATE

PHONES = (
    *("SIL", "AA", "AE", "AH", "AO", "AW", "AY", "EH", "ER", "EY", "IH", "IY", "OW", "OY", "UH", "UW"),
    *("B", "CH", "D", "DH", "F", "G", "HH", "JH", "K", "L", "M", "N", "NG", "P", "R", "S", "SH", "T", "TH", "V"),
    *("W", "Y", "Z", "ZH"),
)
"""ARPAbet without stress; the classes of the auxiliary phone loss."""
UNKNOWN = -100
"""Class of a step whose phone is not known; no loss counts it."""


@dataclass(frozen=True, eq=False)
class Clip:
    """One clip in memory, labels at 50 Hz."""

    clip_id: str
    corpus: str
    split: str
    audio_N: npt.NDArray[np.int16]
    weights_TC: FloatArray
    taught_TC: npt.NDArray[np.bool_]
    """Which values may be learnt: the track's mask where a face was measured."""
    closure_T: FloatArray
    phone_T: npt.NDArray[np.int64]
    emotion_C: FloatArray | None
    """The expression acted, or None if the clip is neutral."""
    phones: tuple[tuple[float, float, str], ...] = ()
    offset_s: float = float("nan")
    """Seconds by which the lips were found to come after the sound; NaN where nobody looked."""
    offset_lead: float = float("nan")
    """How much evidence there is for it; see `sync.settled`."""
    recording: str = ""
    speaker: str = ""

    def __len__(self) -> int:
        return len(self.weights_TC)


def load(folder: str, corpus: str, *, splits: Sequence[str] = (), rig: Rig | None = None) -> list[Clip]:
    """Return the clips of a corpus folder that have a track and sound, of some splits (default: all), by clip_id."""
    rig = rig or load_rig()
    rows, found = corpora.read(folder)
    wanted = [r for r in rows if r["clip_id"] in found and r["audio"] and (not splits or r["split"] in splits)]
    return [_clip(row, found[row["clip_id"]], corpus, rig) for row in sorted(wanted, key=lambda r: str(r["clip_id"]))]


def without_sound(folder: str) -> int:
    """Return how many clips of a corpus folder are a picture alone, which teaches nothing of speech."""
    return sum(not audio for audio in corpora.table(storage.join(folder, "clips"), ["audio"])["audio"].to_pylist())


def _clip(row: Mapping[str, Any], track: Any, corpus: str, rig: Rig) -> Clip:
    start, end = row["start"], row["end"]
    audio_N = media.read_audio(row["audio"], start=start, end=None if np.isnan(end) else end)
    steps = len(audio_N) // HOP
    measured = tracks.Track.of(track)
    last = len(measured.weights_TC) - 1
    place_T = np.arange(steps) / RATE
    valid_T = measured.valid_T[np.clip(np.rint(place_T * measured.fps).astype(int), 0, last)]
    valid_T &= place_T * measured.fps <= last
    mask_C = np.zeros(len(rig), bool)
    mask_C[rig.indices(measured.mask)] = True
    phones = tuple((float(a), float(b), str(p)) for a, b, p in json.loads(row["phones"] or "[]"))
    acted = json.loads(row["action_units"] or "{}")
    return Clip(
        str(row["clip_id"]),
        corpus,
        str(row["split"]),
        (np.clip(audio_N[: steps * HOP], -1, 1) * 32767).astype(np.int16),
        sample_at(measured.weights_TC, measured.fps, place_T),
        valid_T[:, None] & mask_C,
        closure_curve(phones, steps, RATE, ramp=0.03).numpy(),
        phone_classes(phones, steps),
        action_units.to_weights(acted, rig) if acted else None,
        phones,
        measured.offset_s,
        measured.offset_lead,
        recording=str(row["video"] or row["audio"]),
        speaker=str(row["speaker"] or row["clip_id"]),
    )


def phone_classes(phones: Sequence[tuple[float, float, str]], steps: int) -> npt.NDArray[np.int64]:
    """Return the class in PHONES of the middle of each step (T,), UNKNOWN where no phone is given."""
    classes_T = np.full(steps, UNKNOWN, np.int64)
    place_T = (np.arange(steps) + 0.5) / RATE
    for start, end, phone in phones:
        name = phone.rstrip("012").upper()
        classes_T[(place_T >= start) & (place_T < end)] = PHONES.index(name) if name in PHONES else UNKNOWN
    return classes_T


@dataclass(frozen=True)
class Variation:
    """How strongly the sound of a crop is varied; zeros leave it as it is."""

    speed: float = 0.22  # log-range of speed and pitch together
    gain: float = 12.0  # dB, range about 0
    equaliser: float = 8.0  # dB, range of a smooth curve over frequency
    lowpass: float = 0.15  # share of crops cut off above 3.2 to 7 kHz
    reverb: float = 0.2  # share of crops in a small room
    noise: float = 0.5  # share of crops with noise, 5 to 35 dB below the speech
    warp: float = 0.1  # range of the vocal tract's length
    masked: float = 0.4  # share of crops in which a band of mels is blanked


@dataclass(frozen=True, eq=False)
class Batch:
    """Crops of equal length."""

    audio_BN: torch.Tensor
    weights_BTC: torch.Tensor
    taught_BTC: torch.Tensor
    closure_BT: torch.Tensor
    phone_BT: torch.Tensor
    emotions: tuple[FloatArray | None, ...]
    teacher_BTF: torch.Tensor | None


class Sampler:
    """Seeded crops of clips, corpora mixed by weight, clips of a corpus by length."""

    def __init__(
        self,
        clips: Sequence[Clip],
        shares: Mapping[str, float],
        *,
        seed: int,
        variation: Variation | None = None,
        teacher: Mapping[str, npt.NDArray[np.float16]] | None = None,
        device: torch.device | str = "cpu",
    ) -> None:
        self.clips, self.seed, self.device = clips, seed, device
        self.variation = variation or Variation()
        self.teacher = teacher
        length = np.array([len(clip) for clip in clips], float)
        names = np.array([clip.corpus for clip in clips])
        for name in set(names.tolist()):
            length[names == name] *= shares[name] / length[names == name].sum()
        self.chance = length / length.sum()

    def batch(self, size: int, steps: int, number: int = 0) -> Batch:
        """Return `size` crops of `steps` steps on the device; the number alone decides which, so threads may share."""
        random = np.random.default_rng([self.seed, number])
        chosen = random.choice(len(self.clips), size, p=self.chance)
        crops = [self._crop(self.clips[k], steps, random) for k in chosen]
        columns = [torch.from_numpy(np.stack(column)).to(self.device) for column in zip(*crops, strict=True)]
        sound_BN, place_B2, weights_BTC, taught_BTC, closure_BT, phone_BT, *teacher = columns
        audio_BN = vary(_at_speed(sound_BN, place_B2, steps * HOP), random, self.variation)
        emotions = tuple(self.clips[k].emotion_C for k in chosen)
        teacher_BTF = teacher[0].float() if teacher else None
        return Batch(audio_BN, weights_BTC, taught_BTC, closure_BT, phone_BT, emotions, teacher_BTF)

    def _crop(self, clip: Clip, steps: int, random: np.random.Generator) -> tuple[Any, ...]:
        """Return the sound under a crop, where in it the crop begins and its speed, and the labels of its steps."""
        speed = float(np.exp(random.uniform(-1, 1) * self.variation.speed))
        spare = len(clip) - steps * speed
        start = random.uniform(0, spare) if spare > 0 else random.uniform(spare, 0)
        place_T = start + np.arange(steps) * speed
        origin = int(np.floor(start * HOP))
        sound_N = np.zeros(int(steps * HOP * np.exp(self.variation.speed)) + 3, np.int16)
        first, stop = max(origin, 0), min(origin + len(sound_N), len(clip.audio_N))
        sound_N[first - origin : stop - origin] = clip.audio_N[first:stop]
        last = len(clip) - 1
        near_T = np.clip(np.rint(place_T).astype(int), 0, last)
        inside_T = (place_T >= 0) & (place_T <= last)
        low_T = np.clip(np.floor(place_T).astype(int), 0, max(last - 1, 0))
        part_T1 = np.clip(place_T - low_T, 0, 1)[:, None].astype(np.float32)
        high_T = np.minimum(low_T + 1, last)
        return (
            sound_N,
            np.array([start * HOP - origin, speed], np.float32),
            clip.weights_TC[low_T] * (1 - part_T1) + clip.weights_TC[high_T] * part_T1,
            clip.taught_TC[near_T] & inside_T[:, None],
            np.where(inside_T, clip.closure_T[near_T], 0).astype(np.float32),
            np.where(inside_T, clip.phone_T[near_T], UNKNOWN),
            *([self.teacher[clip.clip_id][near_T]] if self.teacher is not None else []),
        )


def _at_speed(sound_BN: torch.Tensor, place_B2: torch.Tensor, length: int) -> torch.Tensor:
    """Return `length` samples of each int16 sound from its (first place, speed), linearly interpolated, -1..1."""
    place_BN = place_B2[:, :1] + torch.arange(length, device=sound_BN.device) * place_B2[:, 1:]
    low_BN = place_BN.long()
    part_BN = place_BN - low_BN
    near_BN, next_BN = sound_BN.gather(1, low_BN), sound_BN.gather(1, low_BN + 1)
    return (near_BN * (1 - part_BN) + next_BN * part_BN) / 32767


def vary(audio_BN: torch.Tensor, random: np.random.Generator, how: Variation) -> torch.Tensor:
    """Return samples with random gain, equaliser, low-pass, room and noise, each crop its own; zero stays silent."""
    count, length = audio_BN.shape
    device = audio_BN.device
    size = length + RATE * HOP // 2
    bins = size // 2 + 1
    hertz = np.linspace(0, 8000, bins)
    response = np.zeros((count, bins), np.float32)
    for k in range(count):
        knots = random.uniform(-1, 1, 7) * how.equaliser / 2
        curve = np.interp(hertz, (0, 200, 500, 1000, 2000, 4000, 8000), knots)
        if random.random() < how.lowpass:
            curve -= 40 * np.clip(hertz / random.uniform(3200, 7000) - 1, 0, 1)
        response[k] = 10 ** ((curve + random.uniform(-1, 1) * how.gain) / 20)
    spectrum = torch.fft.rfft(audio_BN, n=size) * torch.from_numpy(response).to(device)
    rooms = np.flatnonzero(random.random(count) < how.reverb)
    if len(rooms):
        echoes = torch.from_numpy(np.stack([_room(random) for _ in rooms]))
        spectrum[rooms] *= torch.fft.rfft(echoes.to(device), n=size)
    out = torch.fft.irfft(spectrum, n=size)[:, :length]
    noisy = np.flatnonzero(random.random(count) < how.noise)
    if len(noisy):
        out[noisy] += _noise(out[noisy], random, partners=out[random.integers(count, size=len(noisy))])
    return torch.clamp(out, -1, 1)


def _room(random: np.random.Generator) -> FloatArray:
    """Return an impulse response (N,): the direct sound, then decaying noise."""
    count = 6400
    decay = random.uniform(0.03, 0.12) * 16_000
    tail = random.standard_normal(count) * np.exp(-np.arange(count) / decay)
    tail *= random.uniform(0.1, 0.5) / np.sqrt((tail**2).sum())
    tail[: random.integers(16, 160)] = 0
    tail[0] = 1
    return tail.astype(np.float32)


def _noise(speech_BN: torch.Tensor, random: np.random.Generator, *, partners: torch.Tensor) -> torch.Tensor:
    """Return white, brown-ish or speech noise 5 to 35 dB below the speech."""
    generator = torch.Generator().manual_seed(int(random.integers(1 << 31)))
    white = torch.randn(speech_BN.shape, generator=generator).to(speech_BN.device)
    dark = torch.nn.functional.avg_pool1d(white[:, None], 15, 1, 7)[:, 0]
    kind = torch.from_numpy(random.integers(3, size=len(speech_BN)))[:, None].to(speech_BN.device)
    noise = torch.where(kind == 0, white, torch.where(kind == 1, dark, partners.flip(-1)))
    below = torch.from_numpy(random.uniform(5, 35, len(speech_BN)).astype(np.float32))[:, None].to(speech_BN.device)
    below = torch.where(kind == 2, below.clamp(min=15), below)
    scale = speech_BN.square().mean(-1, keepdim=True).sqrt() / noise.square().mean(-1, keepdim=True).sqrt().add(1e-5)
    return noise * scale * 10 ** (-below / 20)


def vary_mel(mel_BTM: torch.Tensor, random: np.random.Generator, how: Variation) -> torch.Tensor:
    """Return log-mels (B, 2 T, M) with the vocal tract stretched along the mel axis and, sometimes, a band blanked."""
    count, _, bands = mel_BTM.shape
    stretch = torch.from_numpy(1 + random.uniform(-how.warp, how.warp, count).astype(np.float32))[:, None]
    place_BM = (torch.arange(bands) * stretch).clamp(0, bands - 1.001).to(mel_BTM.device)
    low_BM = place_BM.floor().long()
    part_B1M = (place_BM - low_BM)[:, None]
    index = low_BM[:, None].expand_as(mel_BTM)
    out = mel_BTM.gather(2, index) * (1 - part_B1M) + mel_BTM.gather(2, index + 1) * part_B1M
    for k in np.flatnonzero(random.random(count) < how.masked):
        first, width = random.integers(bands), random.integers(1, 9)
        out[k, :, first : first + width] = out[k].mean()
    return out
