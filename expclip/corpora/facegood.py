"""FACEGOOD's recordings (FACEGOOD-Audio2Face, code/train): Mandarin, one woman, her mouth captured at 30 fps.

Read are `KEY.wav` or `KEY.flac`, in the folder itself or in `wav/` as the repository has them, and where it lies
beside the sound, `KEY.npz` with `arkit` (T, names) 0..1, `arkit_names` and `fps`. Without it a clip has no track.
"""

from collections.abc import Iterator

import numpy as np

from expclip import storage
from expclip.corpora import Found, Measured, Options, Source, rows
from expclip.corpora.tree import Tree, stem
from expclip.rig import load_rig

LICENCE = "MIT, (c) 2022-2032 The FACEGOOD Authors"
BRINGS = "Mandarin, one woman; ARKit tracks of the mouth where KEY.npz lies beside the sound"
LAYOUT = "KEY.wav or KEY.flac of digits such as 1114_2_04, in the folder or in its wav/"

TAUGHT = (
    *("jawOpen", "mouthFunnel", "mouthPucker", "mouthRollLower", "mouthRollUpper"),
    *("mouthLowerDownLeft", "mouthLowerDownRight", "mouthUpperUpLeft", "mouthUpperUpRight"),
)
"""Channels that move in the capture; it holds no lip closure and no press worth the name."""

APART = {"1114_3_15": ("jawOpen",)}
"""Recordings animated in another manner (lips held in a funnel): only their jaw can be taught."""

TEST = ("1114_2_04",)
PEAKS = {"jawOpen": 0.45}


def clips(tree: Tree, options: Options) -> Iterator[Source]:
    """Yield the recordings; see `corpora`."""
    sounds = {stem(file): file for file, _ in tree.match(r"(wav/)?\d+_\d+_\d+\.(wav|flac)")}
    for key, sound in sorted(sounds.items()):
        row = rows.clip_row(
            f"facegood_{key}",
            corpus="facegood",
            speaker="facegood_woman",
            split="test" if key in TEST else "train",
            audio=tree.path(sound),
            language="zh",
            licence=LICENCE,
        )
        weights = tree.beside(sound, (".npz",))
        yield Source(row, {"weights": weights} if weights else {}, key)


def read(source: Source, audio_folder: str) -> Found:
    """Open a recording's weights, if it has some."""
    if "weights" not in source.files:
        return Found(source.clip)
    with storage.open_read(source.files["weights"]) as file, np.load(file) as table:
        fps, names = float(table["fps"]), table["arkit_names"].tolist()
        weights_TC = load_rig().reorder(table["arkit"], names)
    valid_T = np.asarray(np.isfinite(weights_TC).all(1))
    measured = Measured(
        weights_TC,
        rows.uniform(len(weights_TC), fps),
        valid_T,
        channels=tuple(load_rig().canonical(name) for name in names),
        mask=APART.get(source.key, TAUGHT),
        extractor="capture",
        stated_fps=fps,
        timed=False,
        calibration=rows.calibrate(weights_TC, valid_T, PEAKS),
    )
    return Found(source.clip, measured)
