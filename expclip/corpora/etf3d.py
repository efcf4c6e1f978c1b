"""3D-ETF (Peng et al. 2023, EmoTalk): HDTF and RAVDESS as 52 ARKit weights in alphabetical order, 30 fps.

Read are `NAME.npy` (T, 52) in any folder with `NAME.wav` beside it or in another folder, and where they lie by, the
lists `train.json`, `val.json`, `test.json` ({"data": [{"annot_path", "audio_path", "id", "fps"}]}), which then say
split, speaker and rate. Values may lie a little below 0.
"""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from expclip import storage
from expclip.corpora import Found, Measured, Options, Source, checks, ravdess, rows
from expclip.corpora.tree import Tree, stem
from expclip.errors import BadRequestError
from expclip.rig import load_rig, order

LICENCE = "3D-ETF (Peng et al. 2023): CC BY-NC 4.0; its RAVDESS part CC BY-NC-SA 4.0"
BRINGS = "speech of HDTF and RAVDESS; ARKit tracks of 52 channels, estimated from video"
LAYOUT = "NAME.npy with NAME.wav such as RD_Radio11_000, in one folder or in two"

_FPS = 30.0
_PIECE = re.compile(r"(_\d+)+$")
_NAMES = r"(?:.*/)?(?:(RD|WDA|WRA)_\w+_\d+|\d\d(-\d\d){6}(_\d+)*)\.npy"
"""HDTF's and RAVDESS's names."""


def clips(tree: Tree, options: Options) -> Iterator[Source]:
    """Yield every array that is named as 3D-ETF's are or that a list names; see `corpora`."""
    listed = _lists(tree)
    named = {file for file, _ in tree.match(_NAMES)} | set(listed)
    for file in sorted(named):
        name, entry = stem(file), listed.get(file, {})
        sound = entry.get("audio") or tree.beside(file, (".wav",)) or tree.named(name, (".wav",))
        acted = ravdess.parse(_PIECE.sub("", name))
        speaker = f"actor{acted.actor:02d}" if acted else str(entry.get("speaker") or _PIECE.sub("", name))
        row = rows.clip_row(
            rows.slug("3d-etf", name),
            corpus="3d-etf",
            speaker=f"3d-etf_{speaker}",
            split=entry.get("split") or (acted.split if acted else rows.split_of(f"3d-etf_{speaker}")),
            audio=sound or tree.path(file.removesuffix(".npy") + ".wav"),
            text=acted.text if acted else "",
            language="en",
            emotion=acted.label if acted else "",
            prompt=acted.prompt if acted else "",
            licence=LICENCE,
        )
        yield Source(row, {"weights": tree.path(file)}, name, {"fps": float(entry.get("fps", _FPS))})


def _lists(tree: Tree) -> dict[str, Mapping[str, Any]]:
    """Return file -> what the lists say of it."""
    found: dict[str, Mapping[str, Any]] = {}
    for file, match in tree.match(r"((?:.*/)?)(train|val|test)\.json"):
        try:
            content = json.loads(storage.read_text(tree.path(file)))
            entries = [entry for entry in content["data"] if entry.get("annot_type", "3DETF").startswith("3DETF")]
            for entry in entries:
                audio = tree.path(match[1] + entry["audio_path"])
                about = {"audio": audio, "speaker": entry.get("id", ""), "fps": entry.get("fps", _FPS)}
                found[match[1] + entry["annot_path"]] = about | {"split": match[2].lower()}
        except (ValueError, KeyError, TypeError, AttributeError):
            continue  # a list of another kind: the files speak for themselves
    return found


def read(source: Source, audio_folder: str) -> Found:
    """Open a clip's weights."""
    path, names = source.files["weights"], order("alphabetical")
    if not storage.exists(path):
        raise BadRequestError(f"no such file: {path}")
    try:
        with storage.open_read(path) as file:
            values_TN = np.load(file)
    except (ValueError, EOFError) as error:
        raise BadRequestError(f"{path}: no array ({type(error).__name__}: {error})") from None
    if values_TN.ndim != 2 or values_TN.shape[1] != len(names) or not len(values_TN):
        raise BadRequestError(f"{path}: shape {values_TN.shape}, not (frames, {len(names)})")
    weights_TC, fps = load_rig().reorder(values_TN, names), float(source.options["fps"])
    measured = Measured(
        weights_TC,
        rows.uniform(len(weights_TC), fps),
        np.asarray(np.isfinite(weights_TC).all(1)),
        load_rig().channels,
        load_rig().channels,
        "3D-ETF's network",
        stated_fps=fps,
        timed=False,
    )
    acted = ravdess.parse(_PIECE.sub("", source.key))
    return Found(source.clip, measured, checks.label("emotion", acted.label, ravdess.EMOTIONS) if acted else ())
