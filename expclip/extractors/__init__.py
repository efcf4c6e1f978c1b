"""Extractors: one module a way of measuring a clip's faces, all behind one method. `load` makes one by name.

T frames of a clip's picture, C channels of the rig.
"""

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, cast

import numpy as np
import numpy.typing as npt

from expclip.errors import BadRequestError, unknown
from expclip.rig import FloatArray

EXTRACTORS = {
    "mediapipe": "expclip.extractors.mediapipe:make",
    "precomputed": "expclip.extractors.precomputed:make",
}
"""Extractor name -> "module:attribute" of a function that makes one from `Settings`."""

BLACK = 0.06
"""Lightness below which nothing can be seen."""


@dataclass(frozen=True)
class Settings:
    """What an extractor may need to know before it starts."""

    model: str = ""  # path of the tracker's model; empty: found by the tracker's own rules
    tracks: str = ""  # folder of tracks that the corpus brought
    side: int = 720  # pixels of the shorter side of the picture read, at most; more where the face would be small
    faces: int = 4  # faces followed at once, at most


@dataclass(frozen=True)
class Source:
    """Where the picture of a clip is: `start` to `end` seconds (None: its end) of a local video file."""

    clip_id: str
    video: str
    start: float = 0.0
    end: float | None = None


@dataclass(frozen=True, eq=False)
class Face:
    """One face over the frames of a clip; where it was not seen, everything but the time is NaN."""

    time_T: npt.NDArray[np.float64]  # seconds from the clip's start, rising, from the container
    weights_TC: FloatArray  # as the tracker gives them
    pose_T6: FloatArray  # nod (chin down), turn (to the own left), tilt (to the own right) in degrees; x, y, z in cm
    size_T: FloatArray  # height of the face in pixels of the picture read
    light_T: FloatArray  # mean lightness of the face, 0..1
    detail_T: FloatArray  # sharpness of the face: mean size of the Laplacian over the contrast, at 64 x 64
    mask: tuple[str, ...] = ()  # channels that a track of it may teach
    extractor: str = ""  # what measured it; empty: the extractor's own name

    @property
    def seen_T(self) -> npt.NDArray[np.bool_]:
        """In which frames (T,) the face was seen."""
        return np.isfinite(self.weights_TC[:, 0])


def nothing_seen(video: str, frames: int, lightest: float) -> BadRequestError:
    """Return the error of a clip without a face, given the mean lightness, 0..1, of its lightest frame."""
    dark = lightest < BLACK
    return BadRequestError(
        f"{video}: the picture is black throughout ({frames} frames)"
        if dark
        else f"{video}: no face in any of {frames} frames"
    )


class Extractor(Protocol):
    """What measures faces. It is made by the driver and sent to workers: heavy parts wait until the first clip."""

    version: str
    """Name and version of all that decides the numbers."""
    needs_video: bool
    """Whether clips without a video are an error."""

    def measure(self, source: Source) -> list[Face]:
        """Return the faces of a clip, at least one; raises BadRequestError if there is none or no picture."""


def load(name: str, settings: Settings | None = None) -> Extractor:
    """Return an extractor by name, or by "module:attribute" of a function that takes `Settings`."""
    target = EXTRACTORS.get(name, name)
    module, found, attribute = target.partition(":")
    if not found:
        raise unknown("extractor", name, [*EXTRACTORS, "module:attribute"])
    try:
        make = getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise BadRequestError(f"extractor {name!r} cannot be loaded: {error}") from None
    return cast("Callable[[Settings], Extractor]", make)(settings or Settings())
