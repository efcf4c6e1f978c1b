"""Speech front ends: sound at 16 kHz in, one feature vector for each 20 ms out.

`load_encoder("student")` is our own small causal network on log-mels, the default that ships and the only one that
streams exactly. Any wav2vec2, HuBERT, WavLM or Whisper that transformers loads takes its place, by folder or hub name;
those hear the whole sound, so they have no bounded look-ahead.
B batch, N samples, T steps of 20 ms, D features, M mel bands.
"""

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.nn import functional

from expclip.errors import BadRequestError, unknown

SAMPLE_RATE = 16_000
RATE = 50
"""Feature vectors a second."""
HOP = SAMPLE_RATE // RATE
"""Samples of one step."""
STUDENT = "student"
UNBOUNDED = 500
"""Steps (10 s) that stand for the endless context of an encoder which hears the whole sound."""

_MEL_HOP, _WINDOW, _FFT = HOP // 2, 400, 512
_KERNEL = 7
_DILATIONS = (1, 1, 2, 4)


class SpeechEncoder(nn.Module):
    """What the generator asks of a front end: `forward(audio_BN) -> features_BTD` and what it hears for one step."""

    width: int
    """D, length of a feature vector."""
    lookahead: int
    """Steps after a step's own 20 ms that its features depend on."""
    context: int
    """Steps before a step that its features depend on."""
    source: str
    """Name it is loaded by."""

    def forward(self, audio_BN: torch.Tensor) -> torch.Tensor:
        """Return features (B, T, D) for samples (B, N) at 16 kHz; T = N / 320, rounded up."""
        raise NotImplementedError


class LogMel(nn.Module):
    """Log-mel energies on a fixed scale: no statistics of the clip, so that the past never changes."""

    overlap = _WINDOW - _MEL_HOP
    """Samples before its own 10 ms that a frame hears."""

    def __init__(self, bands: int = 64) -> None:
        super().__init__()
        self.register_buffer("window", torch.hann_window(_WINDOW), persistent=False)
        self.register_buffer("bank", mel_bank(bands), persistent=False)
        self.window: torch.Tensor
        self.bank: torch.Tensor

    def forward(self, audio_BN: torch.Tensor) -> torch.Tensor:
        """Return (B, 2 T, M) for samples (B, 320 T): about -2 in silence, up to 2.

        Windows of 25 ms every 10 ms; each ends with its own 10 ms, none looks ahead.
        """
        return self.of_windows(functional.pad(audio_BN, (self.overlap, 0)))

    def of_windows(self, padded_BN: torch.Tensor) -> torch.Tensor:
        """Return (B, 2 T, M) for samples (B, overlap + 320 T), the first `overlap` of which came before."""
        frames = padded_BN.unfold(-1, _WINDOW, _MEL_HOP) * self.window
        spectrum = torch.fft.rfft(frames, n=_FFT)
        power = spectrum.real.square() + spectrum.imag.square()
        mel_BTM: torch.Tensor = ((power @ self.bank + 1e-4).log() + 2) / 4
        return mel_BTM


def mel_bank(bands: int, low: float = 50.0, high: float = 7600.0) -> torch.Tensor:
    """Return triangular filters (257, bands), equally spaced in mel; none is narrower than a bin of the spectrum."""
    edges = torch.linspace(_mel(low), _mel(high), bands + 2, dtype=torch.float64)
    hertz = 700 * (10 ** (edges / 2595) - 1)
    bins = torch.arange(_FFT // 2 + 1, dtype=torch.float64)[:, None] * SAMPLE_RATE / _FFT
    centre, width = hertz[1:-1], ((hertz[2:] - hertz[:-2]) / 2).clamp(min=SAMPLE_RATE / _FFT)
    return (1 - (bins - centre).abs() / width).clamp(min=0).float()


def _mel(hertz: float) -> float:
    return 2595 * math.log10(1 + hertz / 700)


class Block(nn.Module):
    """A residual block over time: norm, a depthwise convolution of 7 steps, two dense layers. `right` steps ahead."""

    def __init__(self, width: int, *, dilation: int = 1, right: int = 0, expansion: int = 2) -> None:
        super().__init__()
        self.left, self.right = (_KERNEL - 1) * dilation - right, right
        self.norm = nn.LayerNorm(width)
        self.time = nn.Conv1d(width, width, _KERNEL, groups=width, dilation=dilation)
        self.up, self.down = nn.Linear(width, expansion * width), nn.Linear(expansion * width, width)
        nn.init.normal_(self.down.weight, std=0.02)

    def forward(self, hidden_BTD: torch.Tensor, film: tuple[torch.Tensor, torch.Tensor] | None = None) -> torch.Tensor:
        """Return (B, T, D); `film` = (scale, shift), each (B, T, D), modulates what the dense layers see."""
        near_BDT = functional.pad(self.norm(hidden_BTD).transpose(1, 2), (self.left, self.right))
        return self.dense(hidden_BTD, self.time(near_BDT).transpose(1, 2), film)

    def dense(
        self, hidden_BTD: torch.Tensor, near_BTD: torch.Tensor, film: tuple[torch.Tensor, ...] | None
    ) -> torch.Tensor:
        """Return (B, T, D) from the block's input and what its convolution made of it."""
        if film is not None:
            near_BTD = near_BTD * (1 + film[0]) + film[1]
        out_BTD: torch.Tensor = hidden_BTD + self.down(functional.gelu(self.up(near_BTD)))
        return out_BTD


class Student(SpeechEncoder):
    """Our front end: log-mels, two frames a step, then causal blocks; the first ones hear `lookahead` steps ahead."""

    source = STUDENT

    def __init__(self, width: int = 192, blocks: int = 8, lookahead: int = 6) -> None:
        super().__init__()
        self.width, self.lookahead = width, lookahead
        self.mel = LogMel()
        self.inner = nn.Linear(2 * self.mel.bank.shape[1], width)
        rights = [min(3, max(0, lookahead - 3 * k)) for k in range(blocks)]
        self.blocks = nn.ModuleList(
            Block(width, dilation=_DILATIONS[k % 4], right=right) for k, right in enumerate(rights)
        )
        self.norm = nn.LayerNorm(width)
        self.context = 1 + sum(block.left for block in self.blocks)  # type: ignore[misc]

    def forward(self, audio_BN: torch.Tensor) -> torch.Tensor:
        """Return features (B, T, D)."""
        return self.encode(self.mel(whole_steps(audio_BN)))

    def encode(self, mel_BTM: torch.Tensor) -> torch.Tensor:
        """Return features (B, T, D) of log-mels (B, 2 T, M)."""
        hidden_BTD = self.inner(mel_BTM.reshape(len(mel_BTM), -1, 2 * mel_BTM.shape[2]))
        for block in self.blocks:
            hidden_BTD = block(hidden_BTD)
        return self.norm(hidden_BTD)  # type: ignore[no-any-return]


def whole_steps(audio_BN: torch.Tensor) -> torch.Tensor:
    """Return samples padded with silence to whole steps of 20 ms."""
    return functional.pad(audio_BN, (0, -audio_BN.shape[-1] % HOP))


class WaveEncoder(SpeechEncoder):
    """wav2vec2, HuBERT or WavLM: a transformer on the wave, 50 vectors a second."""

    def __init__(self, encoder: nn.Module, source: str) -> None:
        super().__init__()
        self.encoder, self.source = encoder, source
        self.width = int(encoder.config.hidden_size)  # type: ignore[union-attr, arg-type]
        self.lookahead = self.context = UNBOUNDED

    def forward(self, audio_BN: torch.Tensor) -> torch.Tensor:
        """Return features (B, T, D); the sound is brought to zero mean and unit variance, as in their training."""
        audio_BN = whole_steps(audio_BN)
        spread = audio_BN.var(-1, keepdim=True, unbiased=False)
        even_BN = (audio_BN - audio_BN.mean(-1, keepdim=True)) / (spread + 1e-7).sqrt()
        features_BTD = self.encoder(functional.pad(even_BN, (40, 40))).last_hidden_state
        return resample(features_BTD, audio_BN.shape[-1] // HOP)


class WhisperSpeech(SpeechEncoder):
    """Whisper's encoder on windows of `seconds`; its decoder is not loaded."""

    def __init__(self, encoder: nn.Module, source: str) -> None:
        super().__init__()
        from transformers import WhisperFeatureExtractor

        self.encoder, self.source = encoder, source
        shape: Any = encoder.config
        self.width = int(shape.d_model)
        self.seconds = shape.max_source_positions / RATE
        extractor = WhisperFeatureExtractor(feature_size=shape.num_mel_bins)
        bank = torch.as_tensor(extractor.mel_filters, dtype=torch.float32)
        self.register_buffer("bank", bank, persistent=False)
        self.register_buffer("window", torch.hann_window(_WINDOW), persistent=False)
        self.bank: torch.Tensor
        self.window: torch.Tensor
        self.lookahead = self.context = UNBOUNDED

    def forward(self, audio_BN: torch.Tensor) -> torch.Tensor:
        """Return features (B, T, D)."""
        audio_BN = whole_steps(audio_BN)
        steps, size = audio_BN.shape[-1] // HOP, round(self.seconds * SAMPLE_RATE)
        padded_BN = functional.pad(audio_BN, (0, -audio_BN.shape[-1] % size))
        windows = padded_BN.reshape(-1, size)
        hidden = self.encoder(self._mel(windows)).last_hidden_state
        return hidden.reshape(len(audio_BN), -1, self.width)[:, :steps]  # type: ignore[no-any-return]

    def _mel(self, audio_BN: torch.Tensor) -> torch.Tensor:
        """Return Whisper's input (B, M, 100 a second): log10, at most 8 below the window's peak, scaled."""
        spectrum = torch.stft(audio_BN, _WINDOW, _MEL_HOP, window=self.window, return_complex=True)
        mel = self.bank.T @ spectrum[..., :-1].abs().square()
        log = mel.clamp(min=1e-10).log10()
        return (torch.maximum(log, log.amax((1, 2), keepdim=True) - 8) + 4) / 4


def resample(features_BTD: torch.Tensor, steps: int) -> torch.Tensor:
    """Return features (B, steps, D), linearly interpolated if the encoder gave another number of steps."""
    if features_BTD.shape[1] == steps:
        return features_BTD
    return functional.interpolate(features_BTD.transpose(1, 2), size=steps, mode="linear").transpose(1, 2)


def _wave(path: str) -> SpeechEncoder:
    from transformers import AutoModel

    return WaveEncoder(AutoModel.from_pretrained(path), path)


def _whisper(path: str) -> SpeechEncoder:
    from transformers import WhisperModel

    return WhisperSpeech(WhisperModel.from_pretrained(path).encoder, path)


FAMILIES: dict[str, Callable[[str], SpeechEncoder]] = {
    "wav2vec2": _wave,
    "hubert": _wave,
    "wavlm": _wave,
    "whisper": _whisper,
}
"""transformers' model type -> how it is loaded. A new family is a row here."""


def load_encoder(source: str = STUDENT, *, width: int = 192, blocks: int = 8, lookahead: int = 6) -> SpeechEncoder:
    """Return a front end: `student` (new, of the given sizes), or a pretrained one by folder or hub name.

    Raises BadRequestError if it cannot be loaded or is of no family that we know.
    """
    if source == STUDENT:
        return Student(width, blocks, lookahead)
    try:
        return FAMILIES[_family(source)](source)
    except OSError as error:
        raise BadRequestError(f"cannot load speech encoder {source!r}: {_first_line(error)}") from None


def _family(source: str) -> str:
    """Return the model type that a folder's or hub model's config.json names."""
    local = Path(source) / "config.json"
    if local.is_file():
        kind = str(json.loads(local.read_text("utf-8")).get("model_type", ""))
    else:
        from transformers import PretrainedConfig

        kind = str(PretrainedConfig.get_config_dict(source)[0].get("model_type", ""))
    if kind not in FAMILIES:
        raise unknown(f"family of speech encoder {source!r}:", kind, FAMILIES)
    return kind


def _first_line(error: Exception) -> str:
    text = str(error).strip()
    return text.splitlines()[0] if text else type(error).__name__


def whisper_from_safetensors(path: str, seconds: float = 10.0) -> WhisperSpeech:
    """Return the frozen Whisper encoder of one safetensors file (transformers' `WhisperEncoder` names).

    Sizes are read off the tensors; heads are 64 wide, as in all of OpenAI's. The position table is cut to windows of
    `seconds`, which is cheaper than 30 s for short clips.
    """
    from safetensors.torch import load_file
    from transformers import WhisperConfig
    from transformers.models.whisper.modeling_whisper import WhisperEncoder

    state = {name: tensor.float() for name, tensor in load_file(path).items()}
    hidden, bands = state["conv1.weight"].shape[:2]
    positions = min(round(seconds * RATE), len(state["embed_positions.weight"]))
    state["embed_positions.weight"] = state["embed_positions.weight"][:positions].clone()
    shape = WhisperConfig(
        d_model=hidden,
        num_mel_bins=bands,
        encoder_layers=len({name.split(".")[1] for name in state if name.startswith("layers.")}),
        encoder_attention_heads=max(1, hidden // 64),
        encoder_ffn_dim=len(state["layers.0.fc1.bias"]),
        max_source_positions=positions,
    )
    encoder = WhisperEncoder(shape)
    encoder.load_state_dict(state)
    return WhisperSpeech(encoder.eval().requires_grad_(False), path)
