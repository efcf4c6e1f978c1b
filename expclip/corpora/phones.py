"""Forced alignment: speech and its words in, the times of its phones out (pocketsphinx, US English, optional).

Phones are ARPAbet without stress, pauses are `SIL`, times are seconds in steps of 10 ms.
"""

import json
import re
from collections.abc import Sequence
from functools import cache
from importlib.util import find_spec
from typing import Any

import numpy as np

from expclip.media import SAMPLE_RATE
from expclip.rig import FloatArray

Phones = list[tuple[float, float, str]]
"""Phones in order: start and end in seconds, ARPAbet name."""

_WIDE = {"beam": 1e-100, "wbeam": 1e-80, "pbeam": 1e-100}
"""The usual beams lose one utterance in ten."""


def available() -> bool:
    """Whether the optional package pocketsphinx is installed."""
    return find_spec("pocketsphinx") is not None


@cache
def _decoder() -> Any:
    from pocketsphinx import Decoder

    return Decoder(samprate=SAMPLE_RATE, lm=None, loglevel="FATAL", bestpath=False, **_WIDE)


def spoken_words(text: str) -> list[str]:
    """Return the words of a text as the dictionary spells them: lower case, no punctuation."""
    return re.findall(r"[a-z']+", text.lower().replace("’", "'"))


def known(word: str) -> bool:
    """Whether the dictionary can pronounce a word."""
    return _decoder().lookup_word(word) is not None


def align(audio_N: FloatArray, words: Sequence[str]) -> Phones:
    """Return the phones of speech (N,), 16 kHz, given its words; pauses are included.

    Nothing is returned where pocketsphinx is missing, a word is not in its dictionary, or the words do not fit.
    """
    if not words or not available() or not all(map(known, words)):
        return []
    decoder, pcm = _decoder(), (np.clip(audio_N, -1, 1) * 32767).astype(np.int16).tobytes()
    try:
        decoder.set_align_text(" ".join(words))
        _decode(decoder, pcm)
        if decoder.hyp() is None:  # asked now: after the second pass this call would crash the interpreter
            return []
        decoder.set_alignment()
        _decode(decoder, pcm)
        found = [phone for word in decoder.get_alignment() for phone in word]
    except RuntimeError:
        return []
    return [(p.start / 100, (p.start + p.duration) / 100, _name(p.name)) for p in found]


def _decode(decoder: Any, pcm: bytes) -> None:
    decoder.start_utt()
    decoder.process_raw(pcm, full_utt=True)
    decoder.end_utt()


def _name(phone: str) -> str:
    return phone if phone.isalpha() else "SIL"


def to_json(phones: Phones) -> str:
    """Return phones as the column `phones` of CLIPS holds them; empty if there are none."""
    return json.dumps([[round(a, 3), round(b, 3), p] for a, b, p in phones]) if phones else ""


def from_json(text: str) -> Phones:
    """Return the phones of a CLIPS row."""
    return [(float(a), float(b), str(p)) for a, b, p in json.loads(text)] if text else []
