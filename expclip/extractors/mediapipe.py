"""MediaPipe Face Landmarker: video -> ARKit weights and pose of each face for each frame (extra `expclip[extract]`).

The tracker gives 51 of the 52 shapes (never tongueOut) and sees several of them badly; `TEACHES` names those that
answer to real faces well enough to learn from. A face must be at least a ninth of the picture's longer side high.

One face is followed as MediaPipe does it, which smooths over time. Where a glance once a second shows more faces,
the clip is begun again with a tracker for each, which sees its own face and black around it: so a face's weights are
the same whoever else is in the picture. A clip that cuts from one face alone to another takes them for one.
"""

import hashlib
import math
from dataclasses import dataclass, field, replace
from importlib.metadata import PackageNotFoundError, version

import numpy as np

from expclip.errors import BadRequestError
from expclip.extractors import Face, Settings, Source, bundle, nothing_seen
from expclip.extractors.landmarker import Box, Detector, Measure, Tracker
from expclip.rig import load_rig
from expclip.video import Frame, Frames, Picture, Reading

TEACHES = ("jawOpen", "mouthPucker", "mouthClose", "mouthPressLeft", "mouthPressRight")

GLANCE = 1.0
"""Seconds between two looks for further faces."""
SMALL_SHARE = 0.4
"""Faces smaller than this share of the largest are passers-by or pictures on the wall."""
GOOD_SIZE = 160.0
"""A face that is smaller than this in the picture read, pixels, is read larger where the file has more."""
REACH = 1.0
"""A face that moved by more than its own size, times this, between two frames is another one."""
MARGIN = 0.6
"""Share of its size that is left around a face when others are blanked."""


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
    _trackers: list[Tracker] = field(default_factory=list, init=False, repr=False)
    _detector: Detector | None = field(default=None, init=False, repr=False)

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
                    plan.check(boxes, frame, frames.scale, most=self.faces)
                    _assign(boxes, seats)
                    glance = frame.time + GLANCE
                times.append(frame.time)
                for seat in seats:
                    seat.look(frame, alone=plan.faces == 1)
                if not any(seat.sees for seat in seats):
                    lightest = max(lightest, float(frame.picture[::8, ::8].mean()) / 255)
        found = [seat for seat in seats if any(row is not None for row in seat.rows)]
        if not found:
            raise nothing_seen(source.video, len(times), lightest)
        return [seat.face(times) for seat in found]

    def _tracker(self, k: int) -> Tracker:
        while len(self._trackers) <= k:
            try:
                self._trackers.append(Tracker(self.content))
            except OSError as error:
                raise BadRequestError(
                    f"MediaPipe lacks a system library (libegl1, libgles2, libgl1): {error}"
                ) from None
        self._trackers[k].forget()
        return self._trackers[k]

    def _detect(self, picture: Picture) -> list[Box]:
        """Return the places of the faces that matter, the largest first."""
        if self._detector is None:
            self._detector = Detector(self.content)
        found = self._detector.find(picture)
        return [box for box in found if box.size >= SMALL_SHARE * found[0].size][: self.faces]


@dataclass(frozen=True)
class _Plan:
    """How a clip is read: pixels of the shorter side, and how many faces are followed."""

    side: int
    faces: int = 1

    def check(self, boxes: list[Box], frame: Frame, scale: float, *, most: int) -> None:
        """Raise _Again if the picture shows more faces than are followed, or small ones that could be larger."""
        better = replace(self, faces=max(self.faces, min(len(boxes), most)))
        if boxes and boxes[0].size < GOOD_SIZE and scale > 1.01:
            growth = min(scale, 1.1 * GOOD_SIZE / boxes[0].size)
            better = replace(better, side=math.ceil(min(frame.picture.shape[:2]) * growth))
        if better != self:
            raise _Again(better)


class _Again(Exception):
    """The clip must be read again, otherwise."""

    def __init__(self, plan: _Plan) -> None:
        self.plan = plan


@dataclass
class _Seat:
    """A face that is followed: its tracker, where it was last, and what was measured in each frame."""

    tracker: Tracker
    box: Box | None = None
    rows: list[Measure | None] = field(default_factory=list)

    @property
    def sees(self) -> bool:
        """Whether the face was there in the last frame."""
        return self.rows[-1] is not None

    def look(self, frame: Frame, *, alone: bool) -> None:
        """Measure the face in a frame; unless it is alone, all but its own place is blanked before."""
        picture = frame.picture if alone else _blanked(frame.picture, self.box)
        self.rows.append(self.tracker.measure(picture, frame.time))

    def face(self, times: list[float]) -> Face:
        """Return all that was measured; something was."""
        seen = next(row for row in self.rows if row is not None)
        nothing = Measure(np.full_like(seen.scores_N, np.nan), seen.names, (math.nan,) * 6, *(math.nan,) * 3)
        rows = [row or nothing for row in self.rows]
        scores_TN = np.stack([row.scores_N for row in rows])
        weights_TC = load_rig().reorder(scores_TN, seen.names)
        weights_TC[np.isnan(scores_TN[:, 0])] = np.nan
        return Face(
            time_T=np.array(times),
            weights_TC=weights_TC,
            pose_T6=np.array([row.pose for row in rows], np.float32),
            size_T=np.array([row.size for row in rows], np.float32),
            light_T=np.array([row.light for row in rows], np.float32),
            detail_T=np.array([row.detail for row in rows], np.float32),
            mask=TEACHES,
        )


def _assign(boxes: list[Box], seats: list[_Seat]) -> None:
    """Give each seat the box nearest to its last one; boxes that are left go to seats that never had one."""
    free = list(boxes)
    for seat in seats:
        if seat.box is not None and free:
            nearest = min(free, key=seat.box.distance)
            if seat.box.distance(nearest) < REACH:
                seat.box = nearest
                free.remove(nearest)
    for seat in seats:
        if seat.box is None and free:
            seat.box = free.pop(0)


def _blanked(picture: Picture, box: Box | None) -> Picture:
    out = np.zeros_like(picture)
    if box is not None:
        reach = box.size * (0.5 + MARGIN)
        rows = slice(max(0, int(box.y - reach)), max(0, int(box.y + reach) + 1))
        columns = slice(max(0, int(box.x - reach)), max(0, int(box.x + reach) + 1))
        out[rows, columns] = picture[rows, columns]
    return out
