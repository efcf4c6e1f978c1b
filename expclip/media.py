"""Sound in and out: any file that ffmpeg reads -> mono float samples, and samples -> files; pauses and scenes.

ffmpeg's own message goes into the error. The program comes from the system, else from `imageio-ffmpeg`.
Files that libsndfile reads itself (wav, flac, ogg, mp3) do not start a process.
"""

import math
import os
import re
import shutil
import subprocess
from functools import cache
from pathlib import Path

import numpy as np

from expclip import storage, truncation
from expclip.errors import BadRequestError, unknown
from expclip.rig import FloatArray

SAMPLE_RATE = 16_000
"""Rate at which all models hear."""
MAX_SECONDS = 4 * 3600.0
"""Longest sound taken at once."""
WRITTEN = {
    ".wav": ("WAV", "PCM_16"),
    ".flac": ("FLAC", "PCM_16"),
    ".ogg": ("OGG", "VORBIS"),
    ".opus": ("OGG", "OPUS"),
}
"""Suffix -> container and coding of the sound that is written; Opus takes a tenth of the room of wav."""
_MARGIN = 1
"""Whole seconds read on both sides of a cut, so that filters and decoders have settled where it begins."""
_LOUDEST = 16.0
"""Samples of this size and more come from damaged files: full scale is 1."""
_COPIES = storage.Copies()
_CUT_OFF = re.compile("partial file|File ended prematurely")
"""What ffmpeg says of files whose end is missing."""
_SPEAKER = re.compile(r"^(\[[^\]]*\] *)+")
"""Which part of ffmpeg says something, with an address that changes from run to run."""


@cache
def ffmpeg() -> str:
    """Return the path of an ffmpeg program; raises BadRequestError if there is none."""
    found = os.environ.get("EXPCLIP_FFMPEG") or shutil.which("ffmpeg")
    if found:
        return found
    import imageio_ffmpeg

    return str(imageio_ffmpeg.get_ffmpeg_exe())


def read_audio(
    path: str,
    *,
    start: float = 0.0,
    end: float | None = None,
    rate: int = SAMPLE_RATE,
    copies: storage.Copies | None = None,
) -> FloatArray:
    """Return the sound of a file, mono -1..1 at `rate` Hz, samples (N,), cut to `start`..`end` seconds.

    `copies` keeps a remote file for the next cut of it.
    Raises BadRequestError, naming the file, if it is missing, empty, truncated, holds no sound, cannot be decoded,
    or if the cut is empty or lies outside.
    """
    if end is not None and not end > start:
        raise BadRequestError(f"{path}: end {end:g} s is not after start {start:g} s")
    if not (np.isfinite(start) and start >= 0):
        raise BadRequestError(f"{path}: start {start!r} s is not a time within the file")
    if not storage.exists(path):
        raise BadRequestError(f"no such file: {path}")
    if storage.is_folder(path):
        raise BadRequestError(f"{path} is a folder, not a sound file")
    with copies.open(path) if copies else storage.local_copy(path) as name:
        if os.path.getsize(name) == 0:
            raise BadRequestError(f"{path}: the file is empty")
        if truncation.missing_bytes(name):
            raise BadRequestError(f"{path}: the file is truncated: its end is missing")
        first = max(0, int(start) - _MARGIN)
        last = None if end is None else math.ceil(end) + _MARGIN
        audio_N = _decode(name, path, rate, first=first, last=last)
    if not len(audio_N) and not first:
        raise BadRequestError(f"{path}: no sound in the file")
    return _cut(audio_N, path, start - first, None if end is None else end - first, rate=rate, first=first)


def _cut(audio_N: FloatArray, path: str, start: float, end: float | None, *, rate: int, first: int = 0) -> FloatArray:
    """Return the part from start to end, both counted from `first`, the second at which the samples begin."""
    length = len(audio_N) / rate
    if start >= length:
        behind = f"its end ({first + length:.3f} s)" if length else "its end"
        raise BadRequestError(f"{path}: start {first + start:g} s lies behind {behind}")
    if end is not None and end > length + 0.1:
        raise BadRequestError(f"{path}: end {first + end:g} s lies behind its end ({first + length:.3f} s)")
    return audio_N[round(start * rate) : None if end is None else round(end * rate)]


def _decode(name: str, path: str, rate: int, *, first: int, last: int | None) -> FloatArray:
    """Return the samples from second `first` to second `last`, or to the end if that comes before."""
    import soundfile

    try:
        with soundfile.SoundFile(name) as file:
            source_rate = file.samplerate
            begin = min(first * source_rate, file.frames)
            count = file.frames - begin if last is None else min((last - first) * source_rate, file.frames - begin)
            if count / source_rate > MAX_SECONDS:
                raise BadRequestError(f"{path}: longer than {MAX_SECONDS:g} s")
            if begin:
                file.seek(begin)
            samples = file.read(count, dtype="float32", always_2d=True).mean(1)
    except (soundfile.LibsndfileError, TypeError):  # a TypeError: soundfile wants more to know of a .raw file
        return _decode_ffmpeg(name, path, rate, first=first, last=last)
    if count - len(samples) > source_rate / 10:
        there, declared = ((begin + frames) / source_rate for frames in (len(samples), count))
        raise BadRequestError(f"{path}: the file is truncated: {there:.2f} s of {declared:.2f} s")
    if not np.isfinite(samples).all():
        raise BadRequestError(f"{path}: the sound holds NaN or infinity")
    return resample_audio(samples, source_rate, rate)


def _decode_ffmpeg(name: str, path: str, rate: int, *, first: int, last: int | None) -> FloatArray:
    command = [
        *(ffmpeg(), "-nostdin", "-v", "error", "-protocol_whitelist", "file,pipe"),
        *(("-ss", str(first)) if first else ()),
        *("-t", str(MAX_SECONDS if last is None else last - first), "-i", f"file:{name}", "-map", "0:a:0"),
        # Sound that begins after the picture, or has holes, keeps the file's clock.
        *("-af", "aresample=async=1:first_pts=0", "-ac", "1", "-ar", str(rate), "-f", "f32le", "-"),
    ]
    done = subprocess.run(command, capture_output=True, check=False)
    said = done.stderr.decode(errors="replace").strip().replace(name, path).splitlines()
    reason = _SPEAKER.sub("", said[0]) if said else "no samples"
    if "matches no streams" in reason:
        raise BadRequestError(f"{path}: no sound in the file")
    if done.returncode or not (done.stdout or first):
        raise BadRequestError(f"{path}: cannot be read as sound: {reason}")
    audio_N = np.frombuffer(bytearray(done.stdout), np.float32)  # a bytearray, so that the samples can be written to
    seconds = len(audio_N) / rate
    if said and last is None and truncation.falls_short(name, first + seconds, ffmpeg=ffmpeg()):
        raise BadRequestError(f"{path}: the file is truncated or damaged: only {seconds:.2f} s can be decoded")
    if not (np.abs(audio_N) < _LOUDEST).all():
        raise BadRequestError(f"{path}: the sound is damaged: {reason}")
    return audio_N


def holds(path: str) -> tuple[bool, bool]:
    """Return whether a file has sound and whether it has a moving picture; a cover is none.

    Raises BadRequestError, naming the file, if it is missing, cannot be opened or has neither.
    """
    text = _detect(path, "-t", "0", "-c", "copy", whole=False).partition("\nOutput #0")[0]
    sound = bool(re.search(r"Stream #\S+ Audio:", text))
    picture = any("attached pic" not in line for line in re.findall(r"Stream #\S+ Video:.*", text))
    if not (sound or picture):
        raise BadRequestError(f"{path}: neither sound nor a moving picture in the file")
    return sound, picture


def check_whole(path: str, seconds: float) -> None:
    """Raise BadRequestError if a file of sound alone, of which `seconds` can be decoded, was cut off."""
    with _COPIES.open(path) as name:
        if truncation.missing_bytes(name) or truncation.falls_short(name, seconds, ffmpeg=ffmpeg()):
            raise BadRequestError(f"{path}: the file is truncated: {seconds:.2f} s of it are there")


def picture_seconds(path: str) -> float:
    """Return the length of a video's picture, in seconds, by the times of its frames."""
    return _last_time(_detect(path, "-map", "0:V:0", "-c", "copy"))


def find_silences(path: str, *, level: float, least: float) -> tuple[float, tuple[tuple[float, float], ...]]:
    """Return the length of a file's sound and its silences of at least `least` seconds below `level` dB, in seconds.

    Raises BadRequestError, naming the file, if it is missing or holds no sound that can be decoded.
    """
    text = _detect(path, "-map", "0:a:0", "-af", f"silencedetect=n={level:g}dB:d={least:g}")
    seconds = _last_time(text)
    starts = [max(0.0, float(t)) for t in re.findall(r"silence_start: (-?[\d.e-]+)", text)]
    ends = [float(t) for t in re.findall(r"silence_end: (-?[\d.e-]+)", text)]
    return seconds, tuple(zip(starts, [*ends, *[seconds] * (len(starts) - len(ends))], strict=True))


def _last_time(text: str) -> float:
    clock = re.findall(r"time=(\d+):(\d+):([\d.]+)", text)
    return float(clock[-1][0]) * 3600 + float(clock[-1][1]) * 60 + float(clock[-1][2]) if clock else 0.0


def find_scenes(path: str, *, change: float) -> tuple[float, ...]:
    """Return the seconds at which the picture of a video changes by more than `change`, 0..1.

    Raises BadRequestError, naming the file, if it is missing or holds no picture that can be decoded.
    """
    first = "eq(n,0)"  # an output without a single frame would be an error
    chosen = f"scale=160:-2,select='gt(scene,{change:g})+{first}',showinfo"
    text = _detect(path, "-map", "0:V:0", "-vf", chosen, "-fps_mode", "passthrough")
    return tuple(float(t) for t in re.findall(r"Parsed_showinfo.*?pts_time:\s*(-?[\d.e-]+)", text)[1:])


def _detect(path: str, *arguments: str, whole: bool = True) -> str:
    """Return what ffmpeg's filters say of a file, or its header alone; copies of remote files are kept a while."""
    if not storage.exists(path):
        raise BadRequestError(f"no such file: {path}")
    with _COPIES.open(path) as name:
        start = [ffmpeg(), "-hide_banner", "-nostats", "-nostdin", "-protocol_whitelist", "file,pipe"]
        command = [*start, "-i", f"file:{name}", *arguments, "-f", "null", "-"]
        done = subprocess.run(command, capture_output=True, check=False)
        text = done.stderr.decode(errors="replace").replace(name, path)
        with open(name, "rb") as file:
            begin = file.read(16)
    if not begin:
        raise BadRequestError(f"{path}: the file is empty")
    if "matches no streams" in text:
        raise BadRequestError(f"{path}: no {'picture' if '-vf' in arguments else 'sound'} in the file")
    if _CUT_OFF.search(text) or (b"ftyp" in begin and "moov atom not found" in text):
        raise BadRequestError(f"{path}: the file is truncated: its end is missing")
    if "Error opening input" in text:
        raise BadRequestError(f"{path}: neither a video nor a sound, whatever its name says")
    if done.returncode and whole:
        reasons = [line for line in text.splitlines() if re.search("error|invalid", line, re.IGNORECASE)]
        raise BadRequestError(f"{path}: cannot be cut: {_SPEAKER.sub('', (reasons or ['ffmpeg failed'])[0].strip())}")
    return text


def resample_audio(audio_N: FloatArray, rate: int, new_rate: int) -> FloatArray:
    """Return samples at another rate (polyphase filter)."""
    if rate == new_rate:
        return np.ascontiguousarray(audio_N, np.float32)
    from scipy.signal import resample_poly

    divisor = int(np.gcd(rate, new_rate))
    return resample_poly(audio_N, new_rate // divisor, rate // divisor).astype(np.float32)  # type: ignore[no-any-return]


def write_audio(path: str, audio_N: FloatArray, rate: int = SAMPLE_RATE) -> None:
    """Write samples (N,) to a local or remote file; the format by its suffix, one of `WRITTEN`."""
    import soundfile

    suffix = Path(path).suffix
    if suffix not in WRITTEN:
        raise unknown("sound format", suffix, WRITTEN)
    container, subtype = WRITTEN[suffix]
    with storage.write_once(path) as name:
        soundfile.write(name, np.clip(audio_N, -1, 1), rate, format=container, subtype=subtype)
