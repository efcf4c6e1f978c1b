"""Features of a frozen Whisper encoder for every clip of a table, in one local file that is read as it is used.

Computed once and kept: they depend on the clips and on the encoder alone. T steps of 20 ms, F features.
"""

import hashlib
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from expclip import storage
from expclip.clip_table import ClipTable
from expclip.errors import BadRequestError
from expclip.speech import HOP, RATE, WhisperSpeech, whisper_from_safetensors
from expclip.speech_clips import Clip

_BATCH = 16
_WINDOW = 10
"""Seconds that the encoder hears at once, at most."""


@dataclass(frozen=True, eq=False)
class Features:
    """Where the features of each clip of a table lie: float16 (T, F), one clip after another in no order."""

    path: str
    width: int
    places_K2: npt.NDArray[np.int64]
    """First step and number of steps of each clip."""

    def of(self, k: int, steps_T: Any) -> npt.NDArray[np.float16]:
        """Return the features (T, F) of some steps of clip k."""
        first, count = self.places_K2[k]
        every = np.memmap(self.path, np.float16, "r").reshape(-1, self.width)
        return np.asarray(every[first + np.minimum(steps_T, count - 1)])


def path_of(whisper: str, table: ClipTable, folder: str) -> str:
    """Return the file in a local folder that is for an encoder and a table."""
    if storage.is_remote(folder):
        raise BadRequestError(f"the teacher's features are kept in a local folder, not in {folder}; give one as cache")
    digest = hashlib.sha256(f"{whisper} {table.digest()}".encode()).hexdigest()
    return str(Path(folder).resolve() / f"{digest[:16]}.f16")


def make(whisper: str, table: ClipTable, path: str, device: torch.device | str) -> None:
    """Write the features of all clips that can be read, unless the file is there."""
    if storage.exists(path):
        return
    storage.check_writable(str(Path(path).parent))
    places_K2, width, done = np.zeros((len(table), 2), np.int64), 0, 0
    with storage.write_once(path) as name, open(name, "wb") as file:
        for k, features_TF in _features(whisper, table, device):
            features_TF.tofile(file)
            width, places_K2[k], done = features_TF.shape[1], (done, len(features_TF)), done + len(features_TF)
        file.flush()
        with storage.write_once(f"{path}.npy") as places:  # before the features appear under their name
            np.save(places, np.concatenate([places_K2, [[width, done]]]))


def wait(path: str) -> Features:
    """Return the features of a file, as soon as whoever makes it has finished."""
    while not storage.exists(path):
        time.sleep(0.5)
    table = np.load(f"{path}.npy")
    return Features(path, int(table[-1, 0]), table[:-1])


@torch.inference_mode()
def _features(whisper: str, table: ClipTable, device: torch.device | str) -> Iterator[tuple[int, Any]]:
    """Yield the number of each clip and its features, clips of like length together."""
    order = sorted(range(len(table)), key=lambda k: table.entries[k].seconds)
    encoder: WhisperSpeech | None = None
    for first in range(0, len(order), _BATCH):
        group = [(k, clip) for k in order[first : first + _BATCH] if (clip := _readable(table, k))]
        if not group:
            continue
        steps = max(len(clip) for _, clip in group)
        seconds = float(min(_WINDOW, -(-steps // RATE)))
        if encoder is None or encoder.seconds != seconds:
            encoder = whisper_from_safetensors(whisper, seconds).to(device)
        audio_BN = np.stack([clip.sound(0, steps * HOP) for _, clip in group]).astype(np.float32) / 32767
        found = encoder(torch.from_numpy(audio_BN).to(device)).half().cpu().numpy()
        for (k, clip), features_TF in zip(group, found, strict=True):
            yield k, features_TF[: len(clip)]


def _readable(table: ClipTable, k: int) -> Clip | None:
    try:
        return table.clip(k)
    except (BadRequestError, OSError):
        return None
