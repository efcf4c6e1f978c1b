"""MediaPipe's objects as extraction needs them: a tracker of one face, a detector of all faces in a picture.

Pictures are RGB (height, width, 3). Trackers are reused from clip to clip: a black frame makes them forget, so that
the same clip always gives the same numbers.
"""

import io
import math
import zipfile
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from expclip.rig import FloatArray
from expclip.video import Picture

_TOP, _CHIN, _RIGHT, _LEFT = 10, 152, 234, 454
"""Landmarks on the outline of the face."""
_RESET_MS = 1000


@dataclass(frozen=True)
class Box:
    """Where a face is, in pixels: its middle and its size."""

    x: float
    y: float
    size: float

    def distance(self, other: "Box") -> float:
        """Return how far apart two faces are, in sizes of the larger."""
        return math.hypot(self.x - other.x, self.y - other.y) / max(self.size, other.size)


@dataclass(frozen=True, eq=False)
class Measure:
    """One face in one frame."""

    scores_N: FloatArray  # in the order of `names`
    names: list[str]
    pose: tuple[float, ...]  # this and what follows: see `extractors.Face`
    size: float
    light: float
    detail: float


class Tracker:
    """A Face Landmarker for one face at a time, with a clock that only runs forward."""

    def __init__(self, content: bytes) -> None:
        """Make it from a model bundle's content."""
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

    def measure(self, picture: Picture, time: float) -> Measure | None:
        """Return the face in the picture at `time` seconds of the clip, or None."""
        self._last = max(self._base + round(1000 * time), self._last + 1)
        result = self._landmarker.detect_for_video(_image(picture), self._last)
        if not result.face_blendshapes:
            return None
        shapes, points = result.face_blendshapes[0], result.face_landmarks[0]
        self._names = self._names or [shape.category_name for shape in shapes]
        scores_N = np.array([shape.score for shape in shapes], np.float32)
        return Measure(scores_N, self._names, pose(result.facial_transformation_matrixes[0]), *quality(picture, points))


class Detector:
    """The bundle's own face detector, which finds all faces and costs a fifth of the tracker."""

    def __init__(self, content: bytes) -> None:
        """Make it from a model bundle's content."""
        from mediapipe.tasks.python import BaseOptions, vision

        model = zipfile.ZipFile(io.BytesIO(content)).read("face_detector.tflite")
        options = vision.FaceDetectorOptions(base_options=BaseOptions(model_asset_buffer=model))
        self._detector = vision.FaceDetector.create_from_options(options)
        self.close = self._detector.close

    def find(self, picture: Picture) -> list[Box]:
        """Return the places of all faces, the largest first."""
        boxes = [found.bounding_box for found in self._detector.detect(_image(picture)).detections]
        found = [Box(b.origin_x + b.width / 2, b.origin_y + b.height / 2, float(b.height)) for b in boxes]
        return sorted(found, key=lambda box: -box.size)


def _image(picture: Picture) -> Any:
    from mediapipe import Image, ImageFormat

    return Image(image_format=ImageFormat.SRGB, data=picture)


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


def quality(picture: Picture, points: Any) -> tuple[float, float, float]:
    """Return the face's height in pixels, its lightness 0..1 and its sharpness, given its landmarks (0..1)."""
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
