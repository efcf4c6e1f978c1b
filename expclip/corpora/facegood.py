"""FACEGOOD's recordings (FACEGOOD-Audio2Face, code/train): Mandarin, one woman, her mouth captured at 30 fps.

Read are `KEY.wav` or `KEY.flac`, in the folder itself or in `wav/` as the repository has them, and where it lies
beside the sound, `KEY.npz` with `arkit` (T, names) 0..1, `arkit_names` and `fps`. Without it a clip has no track.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from expclip.corpora import Row, rows
from expclip.errors import BadRequestError
from expclip.rig import load_rig

LICENCE = "MIT, (c) 2022-2032 The FACEGOOD Authors"

TAUGHT = (
    *("jawOpen", "mouthFunnel", "mouthPucker", "mouthRollLower", "mouthRollUpper"),
    *("mouthLowerDownLeft", "mouthLowerDownRight", "mouthUpperUpLeft", "mouthUpperUpRight"),
)
"""Channels that move in the capture; it holds no lip closure and no press worth the name."""

APART = {"1114_3_15": ("jawOpen",)}
"""Recordings animated in another manner (lips held in a funnel): only their jaw can be taught."""

TEST = ("1114_2_04",)
PEAKS = {"jawOpen": 0.45}


def clips(root: str, *, audio_folder: str = "") -> Iterator[tuple[Row, Row | None]]:
    """Yield the recordings under `root`; see `corpora.Corpus`. Nothing is packed, so `audio_folder` is not used."""
    folders = [folder for folder in (Path(root), Path(root) / "wav") if folder.is_dir()]
    sounds = {p.stem: p for folder in folders for kind in ("wav", "flac") for p in sorted(folder.glob(f"*.{kind}"))}
    if not sounds:
        raise BadRequestError(f"{root} holds no .wav or .flac file, nor does its folder wav/")
    for key, sound in sorted(sounds.items()):
        row = rows.clip_row(
            f"facegood_{key}",
            corpus="facegood",
            speaker="facegood_woman",
            split="test" if key in TEST else "train",
            audio=str(sound),
            language="zh",
            licence=LICENCE,
        )
        npz = sound.with_suffix(".npz")
        yield row, _track(key, npz) if npz.is_file() else None


def _track(key: str, npz: Path) -> Row:
    with np.load(npz) as table:
        fps = float(table["fps"])
        weights_TC = load_rig().reorder(table["arkit"], table["arkit_names"].tolist())
    seen_T = np.asarray(np.isfinite(weights_TC).all(1))
    part, valid = rows.resample(rows.normalise(weights_TC, seen_T, PEAKS), seen_T, fps)
    return rows.track_row(f"facegood_{key}", part, valid, APART.get(key, TAUGHT), "capture")
