"""The GRID corpus (Cooke et al. 2006): six-word sentences, 3 s a clip, neutral, with MediaPipe's weights.

Two layouts are read. The corpus's own: `sN/**/KEY.mpg` with `KEY.align` and, if there, `KEY.wav` anywhere under the
speaker's folder; weights come from a `mediapipe_blendshapes.npz` in that folder, else there are no tracks. Packed:
`audio_16k_ogg.tar` (KEY.ogg), `alignments.json` (KEY -> [[start, end, word]]) and the same npz.
"""

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from typing import Any

import numpy as np

from expclip import storage
from expclip.corpora import Calibration, Found, Measured, Options, Source, packed, rows
from expclip.corpora.tree import Tree, stem, suffix
from expclip.errors import BadRequestError
from expclip.rig import FloatArray, load_rig

LICENCE = "CC BY 4.0, GRID corpus (Cooke, Barker, Cunningham, Shao 2006)"
BRINGS = "English sentences of 51 words, neutral, 34 speakers; ARKit tracks where mediapipe_blendshapes.npz lies by"
LAYOUT = "s1/, s2/, ... with KEY.align and KEY.mpg or KEY.wav, or audio_16k_ogg.tar with alignments.json"

TAUGHT = ("jawOpen", "mouthPucker")
"""Channels that MediaPipe sees well enough in these faces. Its mouthClose and mouthPress are left out: at p, b and m
it reads mouthClose as two thirds of jawOpen (lips apart), and mouthPress higher in pauses and vowels than there."""

PEAKS = {"jawOpen": 0.45, "mouthPucker": 0.55}
"""95th percentile of each channel in motion: what the same sounds reach in our coarticulation model."""

LAG = 0.015
"""Seconds by which the pictures come after the sound: the lips' closure at p and b against the aligned phones."""

UNSEEN = ("s1", "s2", "s20", "s22")
"""Speakers that are commonly held out; here they are the test split as soon as others are there."""

_PAUSES = ("sil", "sp")
_NPZ = "mediapipe_blendshapes.npz"
_TAR, _WORDS = "audio_16k_ogg.tar", "alignments.json"


def clips(tree: Tree, options: Options) -> Iterator[Source]:
    """Yield the clips of every speaker; see `corpora`."""
    if tree.first(_TAR) and tree.first(_WORDS):
        yield from _packed(tree)
        return
    words, media = _by_speaker(tree, r".*\.align"), _by_speaker(tree, r".*\.(mpg|wav)")
    for speaker, files in sorted(words.items()):
        split = _splits(speaker, [stem(file) for file in files], alone=len(words) == 1)
        found = {(stem(file), suffix(file).lower()): tree.path(file) for file in media.get(speaker, ())}
        for file in files:
            key = stem(file)
            video, missing = found.get((key, ".mpg"), ""), tree.path(f"{file.removesuffix(suffix(file))}.mpg")
            row = _row(speaker, key, split[key], audio=found.get((key, ".wav")) or video or missing, video=video)
            yield Source(row, {"words": tree.path(file)} | _weights(tree, file, speaker), key)


def _by_speaker(tree: Tree, pattern: str) -> dict[str, list[str]]:
    """Return the files that fit a pattern and lie within a speaker's folder."""
    found: dict[str, list[str]] = {}
    for file, _ in tree.match(pattern):
        parts = [tree.name, *file.split("/")[:-1]]
        speaker = next((part for part in parts if re.fullmatch(r"s\d+", part)), "")
        if speaker:
            found.setdefault(speaker, []).append(file)
    return found


def _weights(tree: Tree, file: str, speaker: str) -> dict[str, str]:
    before, found, _ = file.rpartition(f"{speaker}/")
    npz = tree.first(f"{before}{found}{_NPZ}")
    return {"weights": npz} if npz else {}


def _packed(tree: Tree) -> Iterator[Source]:
    match = re.search(r"s\d+$", tree.name)
    speaker = match[0] if match else tree.name
    try:
        table = dict(json.loads(storage.read_text(tree.path(_WORDS))))
    except ValueError as error:
        raise BadRequestError(f"{tree.path(_WORDS)} is not a JSON object: {error}") from None
    npz = tree.first(_NPZ)
    split = _splits(speaker, list(table), alone=True)
    for key, entries in table.items():
        text = _spoken(word for _, _, word in entries)
        row = _row(speaker, key, split[key], text=text)
        yield Source(row, {"tar": tree.path(_TAR)} | ({"weights": npz} if npz else {}), key)


def _splits(speaker: str, keys: list[str], *, alone: bool) -> dict[str, str]:
    """Return the split of each clip: by speaker, or by clip where there is but one."""
    if not alone:
        split = "test" if speaker in UNSEEN else rows.split_of(f"grid_{speaker}", test=0)
        return dict.fromkeys(keys, split)
    ids = {f"grid_{speaker}_{key}": key for key in keys}
    split_by_id = rows.splits(list(ids), test=len(ids) // 9, val=len(ids) // 18)
    return {key: split_by_id[clip_id] for clip_id, key in ids.items()}


def _row(speaker: str, key: str, split: str, **values: Any) -> dict[str, Any]:
    return rows.clip_row(
        rows.slug("grid", speaker, key),
        corpus="grid",
        speaker=f"grid_{speaker}",
        split=split,
        language="en",
        emotion="neutral",
        licence=LICENCE,
        **values,
    )


def read(source: Source, audio_folder: str) -> Found:
    """Open a clip's words, its sound if that is packed, and its weights."""
    clip = dict(source.clip)
    if "words" in source.files:
        clip["text"] = _align_words(storage.read_text(source.files["words"]))
    if "tar" in source.files:
        clip["audio"] = storage.join(audio_folder, f"{clip['clip_id']}.ogg")
        storage.write_bytes(clip["audio"], packed.read(source.files["tar"], source.key))
    return Found(clip, _measured(source.files["weights"], source.key) if "weights" in source.files else None)


@lru_cache(2)
def _table(npz: str, stamp: str) -> tuple[FloatArray, Any, Mapping[str, slice], float, tuple[str, ...], Calibration]:
    """Return a speaker's frames, where a face was seen, the frames of each clip, the rate and the calibration."""
    with storage.open_read(npz) as file, np.load(file) as table:
        names, ptr = table["names"].tolist(), table["ptr"].tolist()
        weights_TC = load_rig().reorder(table["blendshapes_u8"] / np.float32(255), names)
        seen_T, fps = ~table["missed"], float(table["fps"])
        places = {key: slice(a, b) for key, a, b in zip(table["keys"].tolist(), ptr, ptr[1:], strict=False)}
    channels = tuple(load_rig().canonical(name) for name in names if name != "_neutral")
    return weights_TC, seen_T, places, fps, channels, rows.calibrate(weights_TC, seen_T, PEAKS)


def _measured(npz: str, key: str) -> Measured | None:
    weights_TC, seen_T, places, fps, channels, calibration = _table(npz, storage.stamp(npz))
    if key not in places:
        return None
    part = places[key]
    return Measured(
        weights_TC[part],
        rows.uniform(part.stop - part.start, fps),
        seen_T[part],
        channels,
        TAUGHT,
        "mediapipe 1.2.2",
        stated_fps=fps,
        timed=False,
        lag=LAG,
        calibration=calibration,
    )


def _align_words(text: str) -> str:
    return _spoken(line.split()[2] for line in text.splitlines() if len(line.split()) == 3)


def _spoken(words: Iterable[str]) -> str:
    return " ".join(word for word in words if word not in _PAUSES)
