"""Speech from text in many pseudo-voices, with phone times, by hibari-tts (optional package `synthesize`).

The network gives a spectrum for every 12.5 ms and the length of every phone. Pitch, its range and its level are
changed before the waveform is made, and so is the length of the vocal tract, by stretching the spectra along
frequency: times stay as they are. F bins, T frames, N samples.
"""

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from expclip.corpora.phones import Phones
from expclip.errors import BadRequestError
from expclip.media import SAMPLE_RATE, resample_audio
from expclip.rig import FloatArray

UNIT = 0.025
"""Seconds: the network counts lengths of phones in two frames."""

LATE = 0.075
"""Seconds by which the network's phone times run behind its sound (median against forced alignment)."""

ARPABET = {
    **{"A": "EY", "I": "AY", "O": "OW", "Q": "OW", "W": "AW", "Y": "OY", "a": "AA", "e": "EH", "i": "IY", "u": "UW"},
    **{"æ": "AE", "ɑ": "AA", "ɒ": "AA", "ɔ": "AO", "ə": "AH", "ɐ": "AH", "ᵊ": "AH", "ʌ": "AH", "ɚ": "ER", "ɜ": "ER"},
    **{"ɛ": "EH", "ɪ": "IH", "ᵻ": "IH", "ʊ": "UH", "o": "AO", "b": "B", "d": "D", "f": "F", "ɡ": "G", "h": "HH"},
    **{"j": "Y", "k": "K", "l": "L", "m": "M", "n": "N", "p": "P", "r": "R", "ɹ": "R", "s": "S", "t": "T", "v": "V"},
    **{"w": "W", "z": "Z", "ð": "DH", "ŋ": "NG", "ɾ": "D", "ʃ": "SH", "ʒ": "ZH", "θ": "TH", "ʤ": "JH", "ʧ": "CH"},
    **{"ʔ": "T", "T": "D"},
}
"""Symbols of the network's alphabet -> ARPAbet. Stress, length and spaces are not phones of their own."""

_PAUSES = frozenset(";:,.!?—…")


@dataclass(frozen=True)
class Voice:
    """How a line is spoken; all are factors on the network's own voice."""

    pitch: float = 1.0  # mean pitch, 0.6..1.35
    pitch_range: float = 1.0  # 0.3 flat .. 1.5 lively
    speed: float = 1.0  # 0.75..1.35
    tract: float = 1.0  # formants, 0.85 a long vocal tract .. 1.15 a short one


class Speaker:
    """hibari-tts with the lengths of phones exposed. Made once in a process."""

    def __init__(self) -> None:
        try:
            import hibari
            import onnx
        except ModuleNotFoundError as error:
            raise BadRequestError(
                f"speech synthesis needs the package {error.name!r}: pip install 'expclip[synthesize]'"
            ) from None
        graph = onnx.load(Path(hibari.__file__).parent / "assets" / "hibari.onnx")
        lengths = next(node.output[0] for node in graph.graph.node if node.op_type == "Clip")
        graph.graph.output.append(onnx.helper.make_tensor_value_info(lengths, onnx.TensorProto.FLOAT, None))
        with tempfile.NamedTemporaryFile(suffix=".onnx") as file:
            onnx.save(graph, file.name)
            self._tts: Any = hibari.Hibari(model=file.name)
        self._symbol = {number: symbol for symbol, number in self._tts.vocab.items()}

    def say(self, text: str, voice: Voice, *, seed: int = 0, rate: int = SAMPLE_RATE) -> tuple[FloatArray, Phones]:
        """Return the speech (N,) at `rate` Hz and its phones; the same seed gives the same samples.

        Raises BadRequestError for a text without words.
        """
        from hibari import SAMPLE_RATE as SOURCE_RATE

        rng, pieces, phones, offset = np.random.default_rng(seed), [], Phones(), 0.0
        for sentence in self._tts.phonemize(text):
            ids = self._tts.ids(sentence)
            piece_N, units = self._speak(ids, voice, rng)
            edges = offset - LATE + UNIT * np.concatenate([[0], np.cumsum(units)])
            phones += self._named(ids, edges)
            pieces.append(piece_N)
            offset += len(piece_N) / SOURCE_RATE
        if all(name == "SIL" for _, _, name in phones):
            raise BadRequestError(f"text {text!r} holds nothing that can be spoken")
        return resample_audio(np.concatenate(pieces), SOURCE_RATE, rate), _joined(phones, offset)

    def _speak(self, ids: list[int], voice: Voice, rng: np.random.Generator) -> tuple[FloatArray, FloatArray]:
        from hibari import dsp

        feed = {"ids": np.array([ids], np.int64), "speed": np.array([voice.speed], np.float32)}
        *outputs, units = self._tts.sess.run(None, feed)
        *spectra, f0_T = [output[0] for output in outputs]
        warped = [_stretch(spectrum_FT, voice.tract) for spectrum_FT in spectra]
        return dsp.synth(*warped, _pitched(f0_T, voice), rng), np.asarray(units, np.float32).ravel()

    def _named(self, ids: list[int], edges: npt.NDArray[np.float64]) -> Phones:
        """Return phones and pauses; what is neither (stress, spaces) is given to the phone before it."""
        out: Phones = []
        for number, start, end in zip(ids, edges, edges[1:], strict=False):
            symbol = self._symbol.get(number, ".")
            phone = "SIL" if symbol in _PAUSES else ARPABET.get(symbol)
            if phone is None and out and out[-1][2] != "SIL":
                out[-1] = (out[-1][0], float(end), out[-1][2])
            elif end > start:
                out.append((float(start), float(end), phone or "SIL"))
        return out


def _joined(phones: Phones, seconds: float) -> Phones:
    """Return phones within 0..seconds without gaps, neighbouring pauses made one."""
    out: Phones = []
    for start, end, phone in phones:
        start, end = max(start, 0.0), min(end, seconds)
        if out and phone == out[-1][2] == "SIL":
            out[-1] = (out[-1][0], max(end, out[-1][1]), "SIL")
        elif end > start:
            out.append((start, end, phone))
    if out and out[-1][1] < seconds:
        out.append((out[-1][1], seconds, "SIL"))
    return out


def _pitched(f0_T: FloatArray, voice: Voice) -> FloatArray:
    voiced = f0_T > 40  # Hz; below, the network means no voice
    if not voiced.any():
        return f0_T
    mean = float(np.exp(np.log(f0_T[voiced]).mean()))
    moved = mean * voice.pitch * (np.maximum(f0_T, 1) / mean) ** voice.pitch_range
    return np.where(voiced, np.clip(moved, 50, 600), 0).astype(np.float32)


def _stretch(spectrum_FT: FloatArray, factor: float) -> FloatArray:
    """Return a spectrum whose bins stand `factor` times higher; above the last one its value is kept."""
    if factor == 1:
        return spectrum_FT
    place_F = np.minimum(np.arange(len(spectrum_FT)) / factor, len(spectrum_FT) - 1)
    low_F = place_F.astype(int)
    high_F = np.minimum(low_F + 1, len(spectrum_FT) - 1)
    share_F1 = (place_F - low_F)[:, None].astype(np.float32)
    return np.asarray(spectrum_FT[low_F] * (1 - share_F1) + spectrum_FT[high_F] * share_F1, np.float32)
