"""MediaPipe Face Landmarker: video -> ARKit weights and pose of each face for each frame (extra `expclip[extract]`).

The tracker gives 51 of the 52 shapes (never tongueOut) and sees several of them badly; `TEACHES` names those that
answer to real faces well enough to learn from. A face must be at least a ninth of the picture's longer side high.

One face is followed as MediaPipe does it, which smooths over time. Where a glance once a second shows more faces,
the clip is begun again with a tracker for each, which sees its own face and black around it: so a face's weights are
the same whoever else is in the picture. Trackers are reused from clip to clip; a black frame makes them forget.
"""

import hashlib
import io
import math
import zipfile
from dataclasses import dataclass, field, replace
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import numpy as np
import numpy.typing as npt

from expclip.errors import BadRequestError
from expclip.extractors import Face, Settings, Source, bundle, nothing_seen
from expclip.rig import load_rig
from expclip.video import Frames, Picture, Reading

TEACHES = ("jawOpen", "mouthPucker", "mouthClose", "mouthPressLeft", "mouthPressRight")

GLANCE = 1.0
"""Seconds between two looks for further faces."""
SMALL_SHARE = 0.4
"""Faces smaller than this share of the largest are passers-by or pictures on the wall."""
GOOD_SIZE = 160.0
"""A face that is smaller than this in the picture read, pixels, is read larger where the file has more."""
REACH = 1.0
"""A face that moved by more than this share of its size between two frames is another one."""
MARGIN = 0.6
"""Share of its size that is left around a face when others are blanked."""
_TOP, _CHIN, _RIGHT, _LEFT = 10, 152, 234, 454
"""Landmarks on the outline of the face."""
_RESET_MS = 1000


def make(settings: Settings) -> "MediaPipe":
    """Return the extractor; raises BadRequestError if the package or the model bundle is missing."""
    try:
        release = version("mediapipe")
    except PackageNotFoundError:
        raise BadRequestError("extractor mediapipe needs its package: pip install 'expclip[extract]'") from None
    content = bundle.read(settings.model)
    digest = hashlib.sha256(content).hexdigest()[:8]
    return MediaPipe(content, f"mediapipe {release} {digest}", settings.side, settings.faces)


@dataclass
class MediaPipe:
    """The extractor; trackers are made when the first clip comes, in the process that uses them."""

    content: bytes = field(repr=False)
    version: str
    side: int = 720
    faces: int = 4
    needs_video: bool = True
    _trackers: list["_Tracker"] = field(default_factory=list, init=False, repr=False)
    _detector: "_Detector | None" = field(default=None, init=False, repr=False)

    def measure(self, source: Source) -> list[Face]:
        """Return the faces of a clip; see `extractors.Extractor`."""
        plan = _Plan(self.side)
        while True:
            try:
                return self._attempt(source, plan)
            except _Again as again:
                plan = again.plan
            except RuntimeError:  # from inside the tracker, whose state is then unknown
                self._trackers.clear()
                raise

    def close(self) -> None:
        """Give back what the trackers hold; without it Python complains when a process of one's own ends."""
        for tracker in self._trackers:
            tracker.close()
        if self._detector is not None:
            self._detector.close()
        self._trackers, self._detector = [], None

    def _attempt(self, source: Source, plan: "_Plan") -> list[Face]:
        times: list[float] = []
        seats = [_Seat(self._tracker(k)) for k in range(plan.faces)]
        glance, lightest = 0.0, 0.0
        with Frames(source.video, start=source.start, end=source.end, reading=Reading(plan.side)) as frames:
            for frame in frames:
                if plan.faces > 1 or frame.time >= glance:
                    boxes = self._detect(frame.picture)
                    glance = frame.time + GLANCE
                    plan.check(boxes, seats, frames.scale, frame.picture.shape, most=self.faces)
                    _assign(boxes, seats)
                times.append(frame.time)
                for seat in seats:
                    seat.look(frame.picture, frame.time, alone=plan.faces == 1)
                if not any(seat.sees for seat in seats):
                    lightest = max(lightest, float(frame.picture[::8, ::8].mean()) / 255)
        found = [seat.face(times) for seat in seats if any(row is not None for row in seat.rows)]
        if not found:
            raise nothing_seen(source.video, len(times), lightest)
        return found

    def _tracker(self, k: int) -> "_Tracker":
        while len(self._trackers) <= k:
            self._trackers.append(_Tracker(self.content))
        self._trackers[k].forget()
        return self._trackers[k]

    def _detect(self, picture: Picture) -> list["_Box"]:
        """Return the places of the faces that matter, the largest first."""
        if self._detector is None:
            self._detector = _Detector(self.content)
        found = sorted(self._detector.find(picture), key=lambda box: -box.size)
        return [box for box in found if box.size >= SMALL_SHARE * found[0].size][: self.faces]


@dataclass(frozen=True)
class _Box:
    """Where a face is, in pixels: its middle and its size."""

    x: float
    y: float
    size: float

    @classmethod
    def of(cls, found: Any) -> "_Box":
        return cls(found.origin_x + found.width / 2, found.origin_y + found.height / 2, float(found.height))

    def near(self, other: "_Box") -> bool:
        return math.hypot(self.x - other.x, self.y - other.y) < REACH * max(self.size, other.size)


@dataclass(frozen=True)
class _Plan:
    """How a clip is read: pixels of the shorter side, and how many faces are followed."""

    side: int
    faces: int = 1

    def check(
        self, boxes: list[_Box], seats: list["_Seat"], scale: float, shape: tuple[int, ...], *, most: int
    ) -> None:
        """Raise _Again if the picture shows more faces than are followed, or if they are small but could be larger."""
        better = self
        if min(len(boxes), most) > self.faces:
            better = replace(better, faces=min(len(boxes), most))
        if boxes and boxes[0].size < GOOD_SIZE and scale > 1.01:
            side = min(shape[:2])
            better = replace(better, side=math.ceil(side * min(scale, 1.1 * GOOD_SIZE / boxes[0].size)))
        if better != self:
            raise _Again(better)


class _Again(Exception):
    """The clip must be read again, otherwise."""

    def __init__(self, plan: _Plan) -> None:
        self.plan = plan


def _assign(boxes: list[_Box], seats: list["_Seat"]) -> None:
    """Give each seat the box nearest to its last one; boxes that are left go to seats that never had one."""
    free = list(boxes)
    for seat in seats:
        close = [box for box in free if seat.box is not None and box.near(seat.box)]
        if close and seat.box is not None:
            last = seat.box
            seat.box = min(close, key=lambda box: math.hypot(box.x - last.x, box.y - last.y))
            free.remove(seat.box)
    for seat in seats:
        if seat.box is None and free:
            seat.box = free.pop(0)


@dataclass
class _Seat:
    """A face that is followed: its tracker, where it was last, and what was measured in each frame."""

    tracker: "_Tracker"
    box: _Box | None = None
    rows: list["_Measure | None"] = field(default_factory=list)

    @property
    def sees(self) -> bool:
        """Whether the face was there in the last frame."""
        return self.rows[-1] is not None

    def look(self, picture: Picture, time: float, *, alone: bool) -> None:
        """Measure the face in a frame; unless it is alone, all but its own place is blanked before."""
        if not alone:
            picture = _blanked(picture, self.box)
        self.rows.append(self.tracker.measure(picture, time))

    def face(self, times: list[float]) -> Face:
        """Return all that was measured."""
        rig, nothing = load_rig(), _Measure.nothing()
        rows = [row or nothing for row in self.rows]
        weights_TN = np.array([row.scores for row in rows], np.float32)
        names = next(row.names for row in rows if row.names)
        seen_T1 = np.isfinite(weights_TN[:, :1])
        return Face(
            time_T=np.array(times),
            weights_TC=np.where(seen_T1, rig.reorder(weights_TN, names), np.float32(np.nan)),
            pose_T6=np.array([row.pose for row in rows], np.float32),
            size_T=np.array([row.size for row in rows], np.float32),
            light_T=np.array([row.light for row in rows], np.float32),
            detail_T=np.array([row.detail for row in rows], np.float32),
            mask=TEACHES,
        )


def _blanked(picture: Picture, box: _Box | None) -> Picture:
    out = np.zeros_like(picture)
    if box is not None:
        reach = box.size * (0.5 + MARGIN)
        rows = slice(max(0, int(box.y - reach)), int(box.y + reach) + 1)
        columns = slice(max(0, int(box.x - reach)), int(box.x + reach) + 1)
        out[rows, columns] = picture[rows, columns]
    return out


@dataclass(frozen=True)
class _Measure:
    """One face in one frame, in MediaPipe's order."""

    scores: list[float]
    names: list[str]
    pose: tuple[float, ...]
    size: float
    light: float
    detail: float

    @classmethod
    def nothing(cls) -> "_Measure":
        nan = math.nan
        return cls([nan] * 52, [], (nan,) * 6, nan, nan, nan)


class _Tracker:
    """A Face Landmarker for one face at a time, with a clock that only runs forward."""

    def __init__(self, content: bytes) -> None:
        from mediapipe.tasks.python import BaseOptions, vision

        options = vision.FaceLandmarkerOptions(
            base_options=BaseOptions(model_asset_buffer=content),
            running_mode=vision.RunningMode.VIDEO,
            output_face_blendshapes=True,
            output_facial_transformation_matrixes=True,
        )
        self._landmarker = vision.FaceLandmarker.create_from_options(options)
        self.close = self._landmarker.close
        self._names: list[str] = []
        self._base = self._last = 0

    def forget(self) -> None:
        """Show a black picture, so that the next clip is measured as if it were the first."""
        self._landmarker.detect_for_video(_image(np.zeros((64, 64, 3), np.uint8)), self._last + _RESET_MS)
        self._last += _RESET_MS
        self._base = self._last + _RESET_MS

    def measure(self, picture: Picture, time: float) -> _Measure | None:
        """Return the face in the picture at `time` seconds of the clip, or None."""
        self._last = max(self._base + round(1000 * time), self._last + 1)
        result = self._landmarker.detect_for_video(_image(picture), self._last)
        if not result.face_blendshapes:
            return None
        shapes, points = result.face_blendshapes[0], result.face_landmarks[0]
        self._names = self._names or [shape.category_name for shape in shapes]
        size, light, detail = _quality(picture, points)
        return _Measure(
            [shape.score for shape in shapes], self._names, pose(result.facial_transformation_matrixes[0]),
            size, light, detail,
        )  # fmt: skip


def _image(picture: Picture) -> Any:
    from mediapipe import Image, ImageFormat

    return Image(image_format=ImageFormat.SRGB, data=picture)


class _Detector:
    """The bundle's own face detector, which finds all faces and costs a fifth of the tracker."""

    def __init__(self, content: bytes) -> None:
        from mediapipe.tasks.python import BaseOptions, vision

        model = zipfile.ZipFile(io.BytesIO(content)).read("face_detector.tflite")
        options = vision.FaceDetectorOptions(base_options=BaseOptions(model_asset_buffer=model))
        self._detector = vision.FaceDetector.create_from_options(options)
        self.close = self._detector.close

    def find(self, picture: Picture) -> list[_Box]:
        """Return the places of all faces."""
        return [_Box.of(found.bounding_box) for found in self._detector.detect(_image(picture)).detections]


def pose(matrix_44: npt.NDArray[Any]) -> tuple[float, ...]:
    """Return nod, turn and tilt in degrees and x, y, z in cm of a head's matrix (x right, y up, z to the viewer).

    The head is turned about its own vertical axis first, then nods, then tilts in the picture.
    """
    m = np.asarray(matrix_44, float)
    rotation_33 = m[:3, :3] / np.linalg.norm(m[:3, :3], axis=0)
    nod = math.asin(float(np.clip(rotation_33[2, 1], -1, 1)))
    turn = math.atan2(-rotation_33[2, 0], rotation_33[2, 2])
    tilt = math.atan2(-rotation_33[0, 1], rotation_33[1, 1])
    return (*(math.degrees(angle) for angle in (nod, turn, tilt)), *map(float, m[:3, 3]))


def _quality(picture: Picture, points: Any) -> tuple[float, float, float]:
    """Return the face's height in pixels, its lightness 0..1 and its sharpness; see `extractors.Face`."""
    from PIL import Image

    height, width = picture.shape[:2]
    places = np.array([[points[k].x * width, points[k].y * height] for k in (_TOP, _CHIN, _RIGHT, _LEFT)])
    size = float(np.hypot(*(places[0] - places[1])))
    left, top = np.clip(places.min(0), 0, (width - 2, height - 2)).astype(int)
    right, bottom = np.maximum(np.clip(places.max(0), 0, (width, height)).astype(int), (left + 2, top + 2))
    grey = Image.fromarray(picture[top:bottom, left:right]).convert("L").resize((64, 64), Image.Resampling.BOX)
    face = np.asarray(grey, np.float32) / 255
    edges = 4 * face[1:-1, 1:-1] - face[:-2, 1:-1] - face[2:, 1:-1] - face[1:-1, :-2] - face[1:-1, 2:]
    return size, float(face.mean()), float(np.abs(edges).mean() / max(float(face.std()), 1e-3))
