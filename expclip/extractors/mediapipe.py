"""MediaPipe Face Landmarker: video -> ARKit weights for each frame (extra `expclip[extract]`).

The tracker gives 51 of the 52 shapes (never tongueOut) and sees several of them badly; `TEACHES` names those that
answer to real faces well enough to learn from. Its model bundle `face_landmarker.task` is found by argument or by
the environment variable EXPCLIP_FACE_LANDMARKER.
"""

import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from expclip import media, storage
from expclip.errors import BadRequestError
from expclip.rig import FloatArray, load_rig

MODEL_VARIABLE = "EXPCLIP_FACE_LANDMARKER"
TEACHES = ("jawOpen", "mouthPucker", "mouthClose", "mouthPressLeft", "mouthPressRight")


@dataclass(frozen=True, eq=False)
class Track:
    """Weights (T, C) of a video at `fps`; `found_T` says where a face was seen (elsewhere the weights are 0)."""

    weights_TC: FloatArray
    found_T: npt.NDArray[np.bool_]
    fps: float


def extract(video: str, *, model: str | None = None) -> Track:
    """Track the face of a video file; raises BadRequestError if it holds no picture or the model bundle is missing."""
    bundle = model or os.environ.get(MODEL_VARIABLE, "")
    if not storage.exists(bundle):
        raise BadRequestError(f"no face_landmarker.task at {bundle!r}; name it with model= or ${MODEL_VARIABLE}")
    from mediapipe import Image, ImageFormat
    from mediapipe.tasks.python import BaseOptions, vision

    width, height, fps = _probe(video)
    options = vision.FaceLandmarkerOptions(
        base_options=BaseOptions(model_asset_path=bundle),
        running_mode=vision.RunningMode.VIDEO,
        output_face_blendshapes=True,
    )
    rows, found = [], []
    with vision.FaceLandmarker.create_from_options(options) as landmarker:
        for count, frame in enumerate(_frames(video, width, height)):
            picture = Image(image_format=ImageFormat.SRGB, data=frame)
            result = landmarker.detect_for_video(picture, round(1000 * count / fps))
            rows.append(_weights(result.face_blendshapes))
            found.append(bool(result.face_blendshapes))
    if not rows:
        raise BadRequestError(f"{video}: no frames in the picture")
    return Track(np.stack(rows), np.array(found), fps)


def _weights(faces: list[Any]) -> FloatArray:
    if not faces:
        return load_rig().zeros()
    names = [shape.category_name for shape in faces[0]]
    return load_rig().reorder([shape.score for shape in faces[0]], names)


def _probe(video: str) -> tuple[int, int, float]:
    """Return width, height and frame rate, as ffmpeg prints them."""
    import re

    done = subprocess.run([media.ffmpeg(), "-hide_banner", "-i", f"file:{video}"], capture_output=True, check=False)
    text = done.stderr.decode(errors="replace")
    stream = re.search(r"Video: .*?, (\d+)x(\d+)[ ,].*?([\d.]+) fps", text)
    if stream is None:
        raise BadRequestError(f"{video}: no picture in the file")
    return int(stream[1]), int(stream[2]), float(stream[3])


def _frames(video: str, width: int, height: int) -> Iterator[npt.NDArray[np.uint8]]:
    """Yield the pictures as RGB (height, width, 3)."""
    command = [media.ffmpeg(), "-nostdin", "-v", "error", "-i", f"file:{video}", "-f", "rawvideo", "-pix_fmt", "rgb24"]
    with subprocess.Popen([*command, "-"], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        while len(raw := process.stdout.read(width * height * 3)) == width * height * 3:
            yield np.frombuffer(raw, np.uint8).reshape(height, width, 3)
