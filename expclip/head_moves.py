"""The kinds of movement a face is made to do: each turns the head at rest into displacements of its vertices.

In: the assembled `Anatomy`. Out: (V, 3) cm. A shape of `head_shapes` is a few of these, written for the subject's
left or for both sides.
"""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from expclip import head_form as form
from expclip.head_mesh import FLIP, Floats, Ints, ramp
from expclip.head_skin import LIP_EDGE, MOUTH_Y, TONGUE_Y, lid_heights, lip_line

HINGE = np.array([0.0, -2.3, -1.2])
"""Where the jaw turns, between the ears."""
JAW_TURN = np.radians(15.5)
JAW_SLIDE = np.array([0.0, -0.25, 0.55])
"""The opening jaw also slides down and forwards."""


@dataclass(frozen=True, eq=False)
class Anatomy:
    """The head at rest: vertices, the name of each one's part, tags (see `head_mesh.Patch`), mirror images."""

    vertices_V3: Floats
    part_V: npt.NDArray[np.str_]
    tags: dict[str, Floats]
    mirror_V: Ints

    def zeros(self) -> Floats:
        """Return no movement at all."""
        return np.zeros_like(self.vertices_V3)

    def mirrored(self, delta_V3: Floats) -> Floats:
        """Return a movement as the other side of the face does it."""
        return np.asarray(delta_V3[self.mirror_V] * FLIP)

    def side(self, name: str) -> Floats:
        """Return how much (0..1) each vertex belongs to `skin` (with the brows), its `upper` or `lower` lip half.

        The halves meet in a seam that is narrow on the lips and wide in the cheeks. The edges of the lids are left
        out: they move by `Lid` alone, so that they stay on the ball.
        """
        skin_V = np.isin(self.part_V, ("skin", "brow")) * (1 - ramp(0.0, 0.5, self.tags["lid"]))
        if name == "skin":
            return np.asarray(skin_V)
        width_V = np.interp(self.tags["seam"], (0, LIP_EDGE, 1), (0.74, 0.78, 2.2))
        upper_V = ramp(-1, 1, self.tags["rise"] / width_V)
        return np.asarray(skin_V * (upper_V if name == "upper" else 1 - upper_V))

    def near(
        self, at: tuple[float, float], reach: float | tuple[float, float, float], inner: float | None = None
    ) -> Floats:
        """Return 1 at the point of the face before (x, y), falling to 0 at 2.2 reaches (cm).

        inner: another reach for the side of the point that looks to the middle of the face.
        """
        x, y = at
        center_3 = np.array([x, y, form.front(np.array([abs(x)]), np.array([y]))[0]])
        away_V3 = (self.vertices_V3 - center_3) / np.broadcast_to(reach, 3)
        if inner:
            away_V3[:, 0] *= np.where(away_V3[:, 0] < 0, np.broadcast_to(reach, 3)[0] / inner, 1)
        far_V = (away_V3**2).sum(1)
        rest = np.exp(-(2.2**2))
        return np.asarray(np.maximum(0, (np.exp(-far_V) - rest) / (1 - rest)))


class Move(Protocol):
    """One movement."""

    def delta(self, head: Anatomy) -> Floats:
        """Return the displacement (V, 3) in cm."""
        ...


@dataclass(frozen=True)
class Pull:
    """Skin round a point of the face goes along; `both` does the same on the other side."""

    at: tuple[float, float]
    push: tuple[float, float, float]
    reach: float | tuple[float, float, float] = 1.8
    on: str = "skin"
    both: bool = False
    inner: float | None = None  # reach towards the middle of the face, where it differs

    def delta(self, head: Anatomy) -> Floats:
        """Return the displacement (V, 3) in cm."""
        share_V = head.near(self.at, self.reach, self.inner) * head.side(self.on)
        delta_V3 = share_V[:, None] * np.array(self.push)
        return np.asarray(delta_V3 + head.mirrored(delta_V3) if self.both else delta_V3)


@dataclass(frozen=True)
class Narrow:
    """Skin round the mouth gathers towards the middle of the face by a share of its distance from it."""

    share: float
    reach: tuple[float, float, float] = (3.0, 1.9, 3.0)

    def delta(self, head: Anatomy) -> Floats:
        """Return the displacement (V, 3) in cm."""
        share_V = self.share * head.near((0, MOUTH_Y), self.reach) * head.side("skin")
        return -share_V[:, None] * head.vertices_V3 * [1, 0, 0]


@dataclass(frozen=True)
class Jaw:
    """The lower jaw with chin, lower lip, lower teeth and tongue turns about its hinge (1 = wide open) or shifts."""

    turn: float = 0.0
    shift: tuple[float, float, float] = (0.0, 0.0, 0.0)

    def delta(self, head: Anatomy) -> Floats:
        """Return the displacement (V, 3) in cm."""
        share_V1, rest_V3 = jaw_share(head)[:, None], head.vertices_V3
        bone_V1 = np.isin(head.part_V, ("lower teeth", "tongue"))[:, None]
        front_V1 = np.where(bone_V1, 1.0, ramp(0.0, 6.5, rest_V3[:, 2:]))  # below the ears the skin hardly slides
        return np.asarray(share_V1 * (self.rigid(rest_V3) - (1 - front_V1) * np.array(self.shift)))

    def rigid(self, points_V3: Floats) -> Floats:
        """Return how points that sit on the jaw's bone move."""
        moved_V3 = _turned(points_V3 - HINGE, self.turn * JAW_TURN, axis=0) + HINGE - points_V3
        return np.asarray(moved_V3 + self.turn * JAW_SLIDE + np.array(self.shift))


def jaw_share(head: Anatomy) -> Floats:
    """Return how much (0..1) each vertex goes with the jaw."""
    _, y_V, z_V = head.vertices_V3.T
    flesh_V = ramp(0.3, 5.5, z_V + 0.9 * (y_V + 10.5))  # the neck stays
    share_V = head.side("lower") * flesh_V
    return np.where(head.part_V == "lower teeth", 1.0, np.where(head.part_V == "tongue", 1.0, share_V))


@dataclass(frozen=True)
class CloseLips:
    """The lips find each other again although the jaw is open: what jawOpen parted meets near the upper lip."""

    jaw: Jaw
    meet: float = 0.14  # where they meet, as a share of the jaw's way

    def delta(self, head: Anatomy) -> Floats:
        """Return the displacement (V, 3) in cm."""
        seam_V = head.tags["seam"]
        lips_V = ramp(0.95, 0.30, seam_V) * ramp(-0.30, -0.06, seam_V) * (head.part_V == "skin")
        way_V = lips_V * (self.meet - jaw_share(head))
        return np.asarray(way_V[:, None] * self.jaw.rigid(head.vertices_V3))


@dataclass(frozen=True)
class Roll:
    """A lip (`upper` or `lower`) rolls inwards over the teeth; `at` keeps it to the skin round one point."""

    on: str
    amount: float
    at: tuple[float, float] | None = None

    def delta(self, head: Anatomy) -> Floats:
        """Return the displacement (V, 3) in cm."""
        seam_V = head.tags["seam"]
        above_V = head.vertices_V3[:, 1] - lip_line(head.vertices_V3[:, 0])
        lip_V = head.side(self.on) * ramp(0.80, 0.22, seam_V) * ramp(-0.10, -0.02, seam_V) * self.amount
        if self.at:
            lip_V = lip_V * head.near(self.at, 1.7)
        back_V = 0.42 * ramp(0.6, 0.1, seam_V)
        return np.stack([0 * lip_V, -0.72 * lip_V * above_V, -lip_V * back_V], axis=1)


@dataclass(frozen=True)
class Lid:
    """The left eye's lids turn about the ball; 1 is the way from one lid's edge to the other's (negative: apart)."""

    upper: float = 0.0
    lower: float = 0.0

    def delta(self, head: Anatomy) -> Floats:
        """Return the displacement (V, 3) in cm."""
        rel_V3 = head.vertices_V3 - np.array(form.EYE)
        top_V, bottom_V = lid_heights(rel_V3[:, 0])
        ball_V = np.sqrt(np.maximum(form.LID_RADIUS**2 - rel_V3[:, 0] ** 2, 0.5))
        opening_V = np.arcsin(np.clip(top_V / ball_V, -1, 1)) - np.arcsin(np.clip(bottom_V / ball_V, -1, 1))
        share_V = head.tags["lid"] * (head.vertices_V3[:, 0] > 0)
        turn_V = share_V * opening_V * np.where(head.tags["upper"] > 0.5, self.upper, -self.lower)
        moved_V3 = _turned(rel_V3, turn_V, axis=0)
        over_V1 = (share_V * np.where(head.tags["upper"] > 0.5, 0.10 * max(0.0, self.upper), 0))[:, None]
        outwards_V3 = moved_V3 / (np.linalg.norm(moved_V3, axis=1, keepdims=True) + 1e-9)
        return np.asarray(moved_V3 - rel_V3 + over_V1 * outwards_V3)


@dataclass(frozen=True)
class Gaze:
    """The left eyeball turns: degrees downwards and outwards."""

    down: float = 0.0
    out: float = 0.0

    def delta(self, head: Anatomy) -> Floats:
        """Return the displacement (V, 3) in cm."""
        rel_V3 = head.vertices_V3 - np.array(form.EYE)
        moved_V3 = _turned(_turned(rel_V3, np.radians(self.down), axis=0), np.radians(self.out), axis=1)
        return np.where((head.part_V == "eye left")[:, None], moved_V3 - rel_V3, 0.0)


@dataclass(frozen=True)
class Tongue:
    """The tongue moves; its tip by `push`, its root not at all."""

    push: tuple[float, float, float]
    flatten: float = 0.0
    droop: float = 0.0  # how far the tip hangs, cm

    def delta(self, head: Anatomy) -> Floats:
        """Return the displacement (V, 3) in cm."""
        along_V1 = head.tags["along"][:, None]
        middle_V = head.vertices_V3[:, 1] - TONGUE_Y
        delta_V3 = along_V1**1.25 * np.array(self.push)
        delta_V3[:, 1] -= self.droop * head.tags["along"] ** 5
        delta_V3[:, 1] -= self.flatten * head.tags["along"] * middle_V
        return np.where((head.part_V == "tongue")[:, None], delta_V3, 0.0)


def _turned(points_V3: Floats, angle: npt.ArrayLike, *, axis: int) -> Floats:
    """Return points turned about x (y goes to z: forwards and down) or about y (z goes to x: to the left)."""
    x_V, y_V, z_V = points_V3.T
    c, s = np.cos(angle), np.sin(angle)
    if axis == 0:
        return np.stack([x_V, c * y_V - s * z_V, s * y_V + c * z_V], axis=1)
    return np.stack([c * x_V + s * z_V, y_V, c * z_V - s * x_V], axis=1)
