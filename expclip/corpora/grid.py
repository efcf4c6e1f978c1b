"""The GRID corpus (Cooke et al. 2006): six-word sentences, 3 s a clip, neutral, with MediaPipe's weights.

Two layouts are read. The corpus's own: `sN/**/KEY.mpg` with `KEY.align` and, if there, `KEY.wav` anywhere under the
speaker's folder; weights come from a `mediapipe_blendshapes.npz` in that folder, else there are no tracks. Packed:
`audio_16k_ogg.tar` (KEY.ogg), `alignments.json` (KEY -> [[start, end, word]]) and the same npz.
"""

import json
import re
import tarfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

from expclip import storage
from expclip.corpora import Row, rows
from expclip.errors import BadRequestError
from expclip.rig import FloatArray, load_rig

LICENCE = "CC BY 4.0, GRID corpus (Cooke, Barker, Cunningham, Shao 2006)"

TAUGHT = ("jawOpen", "mouthPucker")
"""Channels that MediaPipe sees well enough in these faces. Its mouthClose and mouthPress are left out: at p, b and m
it reads mouthClose as two thirds of jawOpen (lips apart), and mouthPress higher in pauses and vowels than there."""

PEAKS = {"jawOpen": 0.45, "mouthPucker": 0.55}
"""95th percentile of each channel in motion: what the same sounds reach in our coarticulation model."""

LAG = 0.015
"""Seconds by which the pictures come after the sound: the lips' closure at p and b against the aligned phones."""

_PAUSES = ("sil", "sp")
_NPZ = "mediapipe_blendshapes.npz"


def clips(root: str, *, audio_folder: str = "") -> Iterator[tuple[Row, Row | None]]:
    """Yield the clips of every speaker under `root`; see `corpora.Corpus`."""
    base = Path(root)
    if (base / "audio_16k_ogg.tar").is_file():
        yield from _packed(base, audio_folder)
        return
    speakers = sorted(p for p in (base, *base.glob("*")) if p.is_dir() and re.fullmatch(r"s\d+", p.name))
    if not any(next(speaker.rglob("*.align"), None) for speaker in speakers):
        raise BadRequestError(f"{root} holds neither s1/, s2/, ... with .align files nor audio_16k_ogg.tar")
    for speaker in speakers:
        words = {p.stem: _align_words(p.read_text("utf-8")) for p in sorted(speaker.rglob("*.align"))}
        sounds = {p.stem: str(p) for kind in ("mpg", "wav") for p in speaker.rglob(f"*.{kind}")}
        videos = {p.stem: str(p) for p in speaker.rglob("*.mpg")}
        words = {key: text for key, text in words.items() if key in sounds}
        yield from _speaker(speaker.name, words, sounds, speaker / _NPZ, videos)


def _packed(base: Path, audio_folder: str) -> Iterator[tuple[Row, Row | None]]:
    if not audio_folder:
        raise BadRequestError(f"the sound in {base} is packed: name an audio_folder to write it to")
    found = re.search(r"s\d+$", base.name)
    speaker = found[0] if found else base.name
    table = json.loads((base / "alignments.json").read_text("utf-8"))
    words = {key: _spoken(word for _, _, word in entries) for key, entries in table.items()}
    sounds = {key: storage.join(audio_folder, f"grid_{speaker}_{key}.ogg") for key in words}
    with tarfile.open(base / "audio_16k_ogg.tar") as tar:
        for member in tar:
            key, content = Path(member.name).stem, tar.extractfile(member)
            if key in sounds and content is not None and not storage.exists(sounds[key]):
                storage.write_bytes(sounds[key], content.read())
    yield from _speaker(speaker, words, sounds, base / _NPZ, {})


def _speaker(
    speaker: str, words: Mapping[str, str], sounds: Mapping[str, str], npz: Path, videos: Mapping[str, str]
) -> Iterator[tuple[Row, Row | None]]:
    ids = {key: f"grid_{speaker}_{key}" for key in words}
    split = rows.splits(list(ids.values()), test=len(ids) // 9, val=len(ids) // 18)
    tracks = dict(_tracks(npz, ids)) if npz.is_file() else {}
    for key, clip_id in ids.items():
        row = rows.clip_row(
            clip_id,
            corpus="grid",
            speaker=f"grid_{speaker}",
            split=split[clip_id],
            audio=sounds[key],
            video=videos.get(key, ""),
            text=words[key],
            language="en",
            emotion="neutral",
            licence=LICENCE,
        )
        yield row, tracks.get(key)


def _tracks(npz: Path, ids: Mapping[str, str]) -> Iterator[tuple[str, Row]]:
    """Yield (key, TRACKS row) for the clips in a table of MediaPipe's weights of one speaker."""
    with np.load(npz) as table:
        content = {name: table[name] for name in ("keys", "ptr", "names", "blendshapes_u8", "missed", "fps")}
    measured_TC: FloatArray = load_rig().reorder(content["blendshapes_u8"] / np.float32(255), content["names"].tolist())
    seen_T = ~content["missed"]
    weights_TC = rows.normalise(measured_TC, seen_T, PEAKS)
    for key, first, last in zip(content["keys"].tolist(), content["ptr"], content["ptr"][1:], strict=False):
        if key in ids:
            part, valid = rows.resample(weights_TC[first:last], seen_T[first:last], float(content["fps"]), lag=LAG)
            yield key, rows.track_row(ids[key], part, valid, TAUGHT, "mediapipe 1.2.2")


def _align_words(text: str) -> str:
    return _spoken(line.split()[2] for line in text.splitlines() if len(line.split()) == 3)


def _spoken(words: Iterator[str]) -> str:
    return " ".join(word for word in words if word not in _PAUSES)
