"""Pictures of a video with the times at which they stand: one ffmpeg process -> RGB frames, one at a time.

Times come from the container, never from the frame's number, so that a variable frame rate does no harm; a rotated
recording arrives upright, and pixels arrive square. Nothing is kept: memory is that of one picture.
"""

import math
import queue
import re
import subprocess
import threading
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from types import TracebackType
from typing import IO

import numpy as np
import numpy.typing as npt

from expclip import media
from expclip.errors import BadRequestError

Picture = npt.NDArray[np.uint8]

MAX_PIXELS = 64 << 20
"""Largest picture that is decoded; 8K video has half of it."""
_SHORTFALL = 0.5
"""Seconds that a damaged file's picture may end early before it counts as broken off."""
_PTS = re.compile(rb"Parsed_showinfo.* pts:\s*(-?\d+|NOPTS) ")
_BASE = re.compile(rb"Parsed_showinfo.* config in time_base: (\d+)/(\d+)")
_ERROR = re.compile(r"\[(?:error|fatal)\] (.*)")
_DURATION = re.compile(r"Duration: (\d+):(\d+):([\d.]+)")
_SIZE = re.compile(r"Stream .*?Video: .*?\b(\d{2,})x(\d{2,})\b")


@dataclass(frozen=True, eq=False)
class Frame:
    """One picture: RGB (height, width, 3) and its time in seconds from where reading began."""

    picture: Picture
    time: float


@dataclass(frozen=True)
class Reading:
    """How pictures are read."""

    side: int = 720  # pixels of the shorter side at most; larger pictures are scaled down
    most_fps: float = 65.0  # frames a second at most; of more, some are left out


class Frames:
    """The frames of a video file, to be used with `with` and walked through once."""

    def __init__(
        self, name: str, *, start: float = 0.0, end: float | None = None, reading: Reading | None = None
    ) -> None:
        """Open a local file from `start` to `end` seconds; what is wrong with it is raised while walking."""
        self.name, self._start, self._end = name, start, end
        command = _command(name, start, end, reading or Reading())
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        assert self._process.stdout is not None
        assert self._process.stderr is not None
        self._pipe: IO[bytes] = self._process.stdout
        _widen(self._pipe)
        self._log = _Log(self._process.stderr)
        self._side = 0

    def __enter__(self) -> "Frames":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.kill()
        self._process.wait()
        self._log.join()
        self._pipe.close()

    @property
    def scale(self) -> float:
        """How many times larger the file's picture is than the one read; known once a frame was read."""
        return max(1.0, self._log.side / self._side) if self._side else 1.0

    def __iter__(self) -> Iterator[Frame]:
        """Yield the frames in rising order of time.

        Raises BadRequestError, naming the file, if it holds no picture, cannot be decoded or breaks off.
        """
        count, last = 0, -math.inf
        length = math.inf if self._end is None else self._end - self._start
        while (picture := self._read()) is not None:
            time = self._log.times.get()
            if last < time <= length:  # what steps back in time, or has none, is left out
                count, last = count + 1, time
                yield Frame(picture, time)
        self._check(count, last)

    def _read(self) -> Picture | None:
        """Return the next picture of the stream of PPM files, or None at its end."""
        if self._pipe.readline() != b"P6\n":
            return None
        width, height = map(int, self._pipe.readline().split())
        self._pipe.readline()
        self._side = min(width, height)
        picture = np.empty((height, width, 3), np.uint8)
        read: int = self._pipe.readinto(picture.data.cast("B"))  # type: ignore[attr-defined]
        return picture if read == picture.nbytes else None

    def _check(self, count: int, last: float) -> None:
        code = self._process.wait()
        self._log.join()
        errors = self._log.errors
        if any("matches no streams" in error for error in errors):
            raise BadRequestError(f"{self.name}: no picture in the file")
        if code and not count:
            raise BadRequestError(f"{self.name}: cannot be read as video: {errors[0] if errors else f'code {code}'}")
        if not count:
            cut = "" if self._end is None and not self._start else f" from {self._start:g} s on"
            raise BadRequestError(f"{self.name}: no frames in the picture{cut}")
        whole = self._log.seconds - self._start if self._end is None else self._end - self._start
        if errors and (code or last < min(whole, self._log.seconds - self._start) - _SHORTFALL):
            raise BadRequestError(f"{self.name}: the picture breaks off at {last:.2f} s of {whole:.2f} s: {errors[0]}")


class _Log(threading.Thread):
    """Reads what ffmpeg says: the time of each frame as it passes, the picture's size and length, and errors."""

    def __init__(self, stream: IO[bytes]) -> None:
        super().__init__(daemon=True)
        self._stream = stream
        self.times: queue.SimpleQueue[float] = queue.SimpleQueue()
        self.errors: list[str] = []
        self.seconds = math.nan
        self.side = 0
        self.start()

    def run(self) -> None:
        """Read until the program ends."""
        base = math.nan
        with self._stream:
            for line in self._stream:
                if found := _PTS.search(line):
                    self.times.put(math.nan if found[1] == b"NOPTS" else int(found[1]) * base)
                elif found := _BASE.search(line):
                    base = int(found[1]) / int(found[2])
                elif b"showinfo" not in line:
                    self._note(line.decode(errors="replace").strip())

    def _note(self, line: str) -> None:
        if (found := _ERROR.search(line)) and len(self.errors) < 20:
            self.errors.append(found[1])
        elif found := _DURATION.search(line):
            self.seconds = 3600 * int(found[1]) + 60 * int(found[2]) + float(found[3])
        elif not self.side and (found := _SIZE.search(line)):
            self.side = min(int(found[1]), int(found[2]))


def _command(name: str, start: float, end: float | None, reading: Reading) -> list[str]:
    shrink = f"min(1,{reading.side}/min(iw*sar,ih))"
    filters = [
        f"select='isnan(prev_selected_t)+gte(t-prev_selected_t,{0.98 / reading.most_fps:.6f})'",
        f"scale=w='max(2,round(iw*sar*{shrink}))':h='max(2,round(ih*{shrink}))'",
        "showinfo=checksum=0",
    ]
    return [
        *(media.ffmpeg(), "-nostdin", "-nostats", "-hide_banner", "-v", "level+info", "-filter_threads", "1"),
        *("-protocol_whitelist", "file,pipe", "-threads", "1", "-max_pixels", str(MAX_PIXELS)),
        *(("-ss", f"{start:.6f}") if start else ()),
        *(("-t", f"{end - start:.6f}") if end is not None else ()),
        *("-i", f"file:{name}", "-map", "0:V:0", "-vf", ",".join(filters)),
        *(*_passthrough(), "-c:v", "ppm", "-f", "image2pipe", "-"),
    ]


@cache
def _passthrough() -> tuple[str, str]:
    """Return the option that keeps every frame once at its own time; it was renamed in ffmpeg 5.1."""
    done = subprocess.run([media.ffmpeg(), "-hide_banner", "-h", "long"], capture_output=True, check=False)
    return ("-fps_mode" if b"-fps_mode" in done.stdout else "-vsync"), "passthrough"


def _widen(pipe: IO[bytes]) -> None:
    """Let a pipe hold a whole small picture, where the system can (Linux)."""
    with suppress(ImportError, AttributeError, OSError):
        import fcntl

        fcntl.fcntl(pipe.fileno(), fcntl.F_SETPIPE_SZ, 1 << 20)
