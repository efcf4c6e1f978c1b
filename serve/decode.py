"""Sound files of strangers -> samples: in a child process that can read no other file, no network, and not for long.

What a file is, its first bytes say; ffmpeg is told to read it as that and as nothing else, so that no playlist or
container can name another source. Plain 16-bit wav needs no decoder and is read here.
"""

import io
import math
import resource
import subprocess
import tempfile
import wave
from collections.abc import Sequence

import numpy as np

from expclip import media, truncation
from expclip.errors import BadRequestError
from expclip.rig import FloatArray
from serve.problems import Problem

_KINDS: Sequence[tuple[int, bytes, str]] = (
    (0, b"RIFF", "wav"), (0, b"RF64", "wav"), (0, b"fLaC", "flac"), (0, b"OggS", "ogg"), (0, b"ID3", "mp3"),
    (0, b"\xff\xfb", "mp3"), (0, b"\xff\xf3", "mp3"), (0, b"\xff\xf2", "mp3"), (0, b"\xff\xfa", "mp3"),
    (0, b"\xff\xf1", "aac"), (0, b"\xff\xf9", "aac"), (4, b"ftyp", "mov"), (0, b"\x1aE\xdf\xa3", "matroska"),
)  # fmt: skip
"""Place and bytes that tell a container -> ffmpeg's name of it: wav, flac, mp3, ogg, m4a; aac and a browser's webm."""
_CPU_SECONDS = 20
_MEMORY_BYTES = 1 << 30
_WALL_SECONDS = 30.0


def kind_of(data: bytes) -> str:
    """Return the container of a file; raises BadRequestError if it is none that is read."""
    for at, magic, name in _KINDS:
        if data[at : at + len(magic)] == magic:
            return name
    raise BadRequestError("the sound is in no known container; valid: wav, flac, mp3, ogg, m4a, aac, webm")


def decode(data: bytes, *, seconds: float) -> FloatArray:
    """Return a file's samples (N,), mono at 16 kHz.

    Raises BadRequestError if it holds no sound that can be read, Problem if it is longer than `seconds`.
    """
    if not data:
        raise BadRequestError("the sound is empty")
    kind = kind_of(data)
    audio_N = _plain_wav(data, seconds) if kind == "wav" else None
    if audio_N is None:
        audio_N = _by_ffmpeg(data, kind, seconds)
    if not len(audio_N):
        raise BadRequestError("no sound in the file")
    if len(audio_N) > seconds * media.SAMPLE_RATE:
        raise _too_long(seconds)
    return audio_N


def _too_long(seconds: float) -> Problem:
    return Problem("too-long", f"the sound is longer than {seconds:g} s; a stream may be longer")


def _plain_wav(data: bytes, seconds: float) -> FloatArray | None:
    """Return the samples of a 16-bit PCM wav; None for any other, which needs a decoder."""
    try:
        with wave.open(io.BytesIO(data)) as file:
            rate, channels, frames = file.getframerate(), file.getnchannels(), file.getnframes()
            if file.getsampwidth() != 2 or not 1_000 <= rate <= 384_000 or not 1 <= channels <= 64:
                return None
            raw = file.readframes(frames)
    except (wave.Error, EOFError):
        return None
    whole = len(raw) // (2 * channels)
    if 0 < whole < frames < 1 << 28:  # more is what programs write that cannot know the length when they begin
        raise BadRequestError(f"the file is truncated: {whole / rate:.2f} s of {frames / rate:.2f} s")
    if whole > seconds * rate:
        raise _too_long(seconds)
    samples = np.frombuffer(raw, "<i2", whole * channels).reshape(-1, channels)
    return media.resample_audio((samples.mean(1) / 32768).astype(np.float32), rate, media.SAMPLE_RATE)


def _by_ffmpeg(data: bytes, kind: str, seconds: float) -> FloatArray:
    with tempfile.NamedTemporaryFile(prefix="expclip") as file:
        file.write(data)
        file.flush()
        if truncation.missing_bytes(file.name):
            raise BadRequestError("the file is truncated: its end is missing")
        most = math.ceil(seconds) + 1
        command = [
            *(media.ffmpeg(), "-nostdin", "-v", "error", "-threads", "1", "-protocol_whitelist", "file,pipe"),
            *("-f", kind, "-t", str(most), "-i", f"file:{file.name}", "-map", "0:a:0", "-vn", "-sn", "-dn"),
            *("-af", "aresample=async=1:first_pts=0", "-ac", "1", "-ar", str(media.SAMPLE_RATE)),
            *("-t", str(most), "-f", "f32le", "pipe:1"),
        ]
        out, said, code = _bounded(command)
    if "matches no streams" in said:
        raise BadRequestError("no sound in the file")
    if code:
        first = next(iter(said.splitlines()), "no samples").replace(file.name, "the file")
        raise BadRequestError(f"the sound cannot be read: {first[:200]}")
    audio_N = np.frombuffer(bytearray(out[: len(out) // 4 * 4]), np.float32)
    if not (np.abs(audio_N) < 16).all():
        raise BadRequestError("the sound is damaged")
    return audio_N


def _bounded(command: list[str]) -> tuple[bytes, str, int]:
    """Run a decoder with bounds on its time and memory, and nothing of our environment."""
    child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env={})
    try:
        resource.prlimit(child.pid, resource.RLIMIT_CPU, (_CPU_SECONDS, _CPU_SECONDS))
        resource.prlimit(child.pid, resource.RLIMIT_AS, (_MEMORY_BYTES, _MEMORY_BYTES))
        resource.prlimit(child.pid, resource.RLIMIT_FSIZE, (0, 0))
        out, said = child.communicate(timeout=_WALL_SECONDS)
    except subprocess.TimeoutExpired:
        child.kill()
        child.communicate()
        raise BadRequestError("the sound takes too long to decode") from None
    except ProcessLookupError:  # it was done before it could be bounded
        out, said = child.communicate()
    return out, said.decode(errors="replace").strip(), child.returncode
