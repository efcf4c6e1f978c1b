"""VOCASET (Cudeiro et al. 2019): 12 speakers, 40 sentences each, as FLAME vertices at 60 fps.

Read are `raw_audio_fixed.pkl` (speaker -> sentence -> {"audio", "sample_rate"}) and `subj_seq_to_idx.pkl` (speaker ->
sentence -> {frame: row of data_verts.npy}). Its motion is vertices, not ARKit weights, and is left out; BlendVOCA
(importer `blendvoca`) has it as weights.
"""

from collections.abc import Iterator
from functools import lru_cache
from typing import Any

import numpy as np

from expclip import media, storage
from expclip.corpora import Found, Options, Row, Source, checks, pickles, rows
from expclip.corpora.tree import Tree
from expclip.errors import BadRequestError

LICENCE = "VOCASET (Cudeiro et al. 2019): non-commercial scientific research, by agreement"
BRINGS = "English sentences of 12 speakers; motion is FLAME vertices and left out"
LAYOUT = "raw_audio_fixed.pkl and subj_seq_to_idx.pkl"

VAL = ("FaceTalk_170811_03275_TA", "FaceTalk_170908_03277_TA")
TEST = ("FaceTalk_170731_00024_TA", "FaceTalk_170809_00138_TA")
"""Speakers of the official split; the other eight are for training."""
FPS = 60.0


def split(speaker: str) -> str:
    """Return the official split."""
    return "test" if speaker in TEST else "val" if speaker in VAL else "train"


def row(corpus: str, licence: str, speaker: str, sentence: str, audio: str = "") -> Row:
    """Return the CLIPS row of a sentence."""
    return rows.clip_row(
        rows.slug(corpus, speaker, sentence),
        corpus=corpus,
        speaker=f"{corpus}_{speaker}",
        split=split(speaker),
        audio=audio,
        language="en",
        emotion="neutral",
        licence=licence,
    )


def clips(tree: Tree, options: Options) -> Iterator[Source]:
    """Yield the sentences; see `corpora`."""
    sounds, places = tree.first("raw_audio_fixed.pkl"), tree.first("subj_seq_to_idx.pkl")
    if not sounds or not places:
        return
    for speaker, sentences in sorted(pickles.load(places).items()):
        for sentence, frames in sorted(sentences.items()):
            about = {"speaker": speaker, "frames": len(frames)}
            yield Source(row("vocaset", LICENCE, speaker, sentence), {"sounds": sounds}, sentence, about)


@lru_cache(1)
def _sounds(path: str, stamp: str) -> Any:
    return pickles.load(path)


def read(source: Source, audio_folder: str) -> Found:
    """Take a sentence's sound out of the pickle; its motion is only measured in length."""
    speaker, sentence, path = source.options["speaker"], source.key, source.files["sounds"]
    entry = _sounds(path, storage.stamp(path)).get(speaker, {}).get(sentence)
    if entry is None:
        raise BadRequestError(f"{path} holds no {sentence} of {speaker}")
    samples_N, rate = np.asarray(entry["audio"]), int(entry["sample_rate"])
    audio_N = samples_N / 32768 if samples_N.dtype.kind == "i" else samples_N
    clip = dict(source.clip) | {"audio": storage.join(audio_folder, f"{source.clip['clip_id']}.flac")}
    media.write_audio(clip["audio"], audio_N.astype(np.float32), rate)
    lengths = checks.lengths(source.options["frames"] / FPS, len(audio_N) / rate, f" at the stated {FPS:g} fps")
    return Found(clip, None, ("motion: FLAME vertices, not ARKit weights, left out", *lengths))
