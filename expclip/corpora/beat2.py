"""BEAT2 (Liu et al. 2024): BEAT's speech with bodies and faces as SMPL-X and FLAME at 30 fps.

Read are `beat_LANGUAGE_v2.0.0/` with `smplxflame_30/KEY.npz` (poses (T, 165), expressions (T, 100)),
`wave16k/KEY.wav`, `textgrid/KEY.TextGrid` and `train_test_split.csv` (id, type). Its faces are not ARKit weights:
without a matrix of the user's own (see `flame`) clips come without tracks.
"""

import csv
import io
from collections.abc import Iterator

import numpy as np

from expclip import storage
from expclip.corpora import Found, Measured, Options, Source, beat, flame, rows
from expclip.corpora.tree import Tree, suffix
from expclip.errors import BadRequestError

LICENCE = "BEAT2: data card Apache-2.0; FLAME and SMPL-X have licences of their own"
BRINGS = "speech, 8 emotions, words; motion is FLAME (tracks only by a matrix of your own)"
LAYOUT = "smplxflame_30/KEY.npz and wave16k/KEY.wav such as 2_scott_0_1_1"

_JAW = slice(66, 69)
"""Where the jaw's rotation stands among the 55 joints of SMPL-X."""
_SPLITS = {"train": "train", "val": "val", "test": "test", "additional": "train"}


def clips(tree: Tree, options: Options) -> Iterator[Source]:
    """Yield the recordings by their sound; see `corpora`."""
    if options.matrix:
        flame.matrix(options.matrix)
    official = _official(tree)
    for file, name in beat.names(tree, r"\.wav"):
        folder, _, sound = file.rpartition("wave16k/")
        if not file.startswith(f"{folder}wave16k/"):
            continue
        key = sound.removesuffix(suffix(sound))
        motion = tree.first(f"{folder}smplxflame_30/{key}.npz")
        grid = tree.first(f"{folder}textgrid/{key}.TextGrid")
        row = name.row("beat2", LICENCE, tree.path(file)) | {"split": official.get(key, name.split)}
        files = {"motion": motion, "words": grid, "matrix": options.matrix if motion else ""}
        yield Source(row, {role: path for role, path in files.items() if path})


def _official(tree: Tree) -> dict[str, str]:
    """Return id -> split of all `train_test_split.csv`."""
    found: dict[str, str] = {}
    for file, _ in tree.match(r"(.*/)?train_test_split\.csv"):
        for row in csv.DictReader(io.StringIO(storage.read_text(tree.path(file)))):
            if row.get("id") and row.get("type") in _SPLITS:
                found[row["id"]] = _SPLITS[row["type"]]
    return found


def read(source: Source, audio_folder: str) -> Found:
    """Open a recording's words and, given a matrix, its motion."""
    clip = source.clip | beat.spoken(source)
    if "motion" not in source.files:
        return Found(clip, None, ("motion: no smplxflame_30/KEY.npz",))
    if "matrix" not in source.files:
        return Found(clip, None, (flame.LEFT_OUT,))
    return Found(clip, _weights(source.files["motion"], source.files["matrix"]))


def _weights(motion: str, matrix: str) -> Measured:
    try:
        with storage.open_read(motion) as file, np.load(file) as table:
            expression_TE, poses_TJ = table["expressions"], table["poses"]
            fps = float(table["mocap_frame_rate"]) if "mocap_frame_rate" in table else 30.0
    except (ValueError, KeyError, OSError) as error:
        raise BadRequestError(f"{motion}: no poses and expressions ({type(error).__name__}: {error})") from None
    weights_TC, channels = flame.weights(expression_TE, poses_TJ[:, _JAW], matrix)
    return Measured(
        weights_TC,
        rows.uniform(len(weights_TC), fps),
        np.asarray(np.isfinite(weights_TC).all(1)),
        channels,
        channels,
        "FLAME by the user's matrix",
        stated_fps=fps,
        timed=False,
    )
