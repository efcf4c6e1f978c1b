"""Live Link Face CSV, the file of Apple's capture app, as studios import it into Unreal and others.

One row a frame at 60 fps: timecode, count of shapes, 52 shapes and nine signed rotations by name. Two left/right
pairs stand exchanged in these files against the packets of the same app (`rig.order("livelink_csv")`).
"""

import csv
import io
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from expclip import storage
from expclip.animation import Animation
from expclip.errors import BadRequestError
from expclip.exporters import decimals
from expclip.rig import ROTATIONS, FloatArray, load_rig, order, pascal

FPS = 60
"""The nominal rate that readers assume; it does not stand in the file."""
DECIMALS = 10
_DAY = 24 * 3600
_HEAD = ("Timecode", "BlendshapeCount")
_COUNT = 61
_MAX_SECONDS = 4 * 3600.0
"""A reader refuses longer tracks: a timecode that leaps would fill the memory with made-up frames."""


def write(animation: Animation, path: str) -> None:
    """Write the animation, resampled to 60 fps, to a local file; the rotations, which we do not animate, are zero."""
    names = order("livelink_csv")
    shapes = names[: -len(ROTATIONS)]
    frames = animation.resample(FPS)
    ours = {pascal(name): name for name in frames.rig.channels}
    columns = frames.rig.indices(ours[name] for name in shapes)
    still = b"," + b",".join([f"{0:.{DECIMALS}f}".encode()] * len(ROTATIONS)) + b"\n"
    with open(path, "wb") as file:
        file.write(",".join((*_HEAD, *names)).encode() + b"\n")
        file.writelines(
            b"%s,%d,%s%s" % (_timecode(frame), _COUNT, row, still)
            for frame, row in enumerate(decimals.rows(frames.weights_TC[:, columns], DECIMALS))
        )


def _timecode(frame: int) -> bytes:
    """Return `HH:MM:SS:FF.000` of a frame, from midnight."""
    second, part = divmod(frame, FPS)
    return b"%02d:%02d:%02d:%02d.000" % (second // 3600 % 24, second // 60 % 60, second % 60, part)


@dataclass(frozen=True, eq=False)
class Rows:
    """The rows of a file as they stand: weights (T, C), seconds since the first row, and where a face was seen."""

    weights_TC: FloatArray
    time_T: npt.NDArray[np.float64]
    seen_T: npt.NDArray[np.bool_]
    nominal_fps: int


def read(path: str) -> Animation:
    """Return the animation of a Live Link Face CSV, ours or captured, local or s3://.

    The timecode is a time of day: it is counted from the first row and may pass midnight. Captures run a little off
    their nominal rate, so frames are placed by time; rows without a face are bridged linearly. The rotations are
    left out. Raises BadRequestError for another header, an unknown channel, a bad timecode or no row with a face.
    """
    rows = read_rows(path)
    seen = np.flatnonzero(rows.seen_T)
    last = float(rows.time_T[-1])
    weights_TC = _on_grid(rows.weights_TC[seen], rows.time_T[seen], last, rows.nominal_fps)
    return Animation(weights_TC, float(rows.nominal_fps))


def read_rows(path: str) -> Rows:
    """Return the rows of a file, neither resampled nor bridged; raises BadRequestError as `read` does."""
    lines = list(csv.reader(io.StringIO(storage.read_text(path).lstrip("\ufeff"))))
    names = _names(lines[0] if lines else [], path)
    body = [line for line in lines[1:] if line]
    seen = [k for k, line in enumerate(body) if _has_face(line, len(names))]
    if not seen:
        raise BadRequestError(f"{path}: no row shows a face")
    fps = _nominal(body)
    time_T = _seconds([line[0] for line in body], fps, path)
    try:
        values_TN = np.array([body[k][2:] for k in seen], np.float32)
    except ValueError:
        raise BadRequestError(f"{path}: a value is not a number") from None
    weights_TC, seen_T = load_rig().zeros(len(body)), np.zeros(len(body), bool)
    weights_TC[seen], seen_T[seen] = load_rig().reorder(values_TN, names), True
    return Rows(weights_TC, time_T, seen_T, fps)


def _names(header: list[str], path: str) -> list[str]:
    """Return the channel names behind the two leading columns, rotations in our spelling."""
    if [name.lower() for name in header[:2]] != [name.lower() for name in _HEAD]:
        raise BadRequestError(f"{path}: not a Live Link Face CSV; its first columns are {', '.join(_HEAD)}")
    rotations = {name.lower(): name for name in ROTATIONS}
    return [rotations.get(name.lower(), name) for name in header[2:]]


def _nominal(body: list[list[str]]) -> int:
    """Return 60, or 30 if no row's frame number reaches 30."""
    reached = any(line[0].rsplit(":", 1)[-1].partition(".")[0] >= "30" for line in body)
    return FPS if reached or len(body) < FPS // 2 else FPS // 2


def _seconds(timecodes: list[str], fps: int, path: str) -> npt.NDArray[np.float64]:
    """Return seconds since the first timecode."""
    times = []
    for timecode in timecodes:
        try:
            hour, minute, second, frame = timecode.split(":")
            times.append(int(hour) * 3600 + int(minute) * 60 + int(second) + float(frame) / fps)
        except ValueError:
            raise BadRequestError(f"{path}: timecode {timecode!r} is not HH:MM:SS:FF.sss") from None
    times_T = np.array(times, np.float64)
    times_T += _DAY * np.concatenate([[0], np.cumsum(np.diff(times_T) < -_DAY / 2)])  # past midnight
    if not (np.diff(times_T) >= 0).all() or not times_T[-1] - times_T[0] <= _MAX_SECONDS:  # NaN fails, too
        raise BadRequestError(f"{path}: the timecodes do not run forward within {_MAX_SECONDS / 3600:g} hours")
    return np.asarray(times_T - times_T[0], np.float64)


def _has_face(line: list[str], count: int) -> bool:
    return len(line) == count + 2 and line[1].strip() not in ("", "0") and all(line[2:])


def _on_grid(weights_TC: FloatArray, times_T: npt.NDArray[np.float64], last: float, fps: int) -> FloatArray:
    """Return weights at 0, 1/fps, ... up to the `last` second, linear between the given times."""
    grid = np.arange(round(last * fps) + 1) / fps
    columns = [np.interp(grid, times_T, channel) for channel in weights_TC.T]
    return np.stack(columns, 1).astype(np.float32)
