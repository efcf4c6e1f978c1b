"""The form of the head: soft lumps melted into one surface, and rays cast on to it.

In: points or rays in the head's centimetres (y up, z towards the viewer, +x the subject's left, origin between the
eyes' centres). Out: signed distances (negative inside) and the points where rays meet the skin. The distance to an
ellipsoid is the usual first-order estimate; lumps are joined by a polynomial smooth minimum.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Point = tuple[float, float, float]

EYE: Point = (3.2, 0.0, 5.55)
"""Centre of the left eyeball; the right one is its mirror image."""
EYE_RADIUS = 1.95
LID_RADIUS = 2.16
"""Radius of the sphere on which the lids slide."""
MIDDLE: Point = (0.0, -1.0, -2.4)
"""Point from which the whole skin is seen outwards."""


@dataclass(frozen=True)
class Lump:
    """One ellipsoid of the form; a lump off the middle has its mirror image on the other side."""

    name: str
    center: Point
    radii: Point
    soft: float  # width of the seam with what stands before it, cm
    carve: bool = False

    def distance(self, points_N3: Floats, mirrored_N3: Floats) -> Floats:
        """Return the estimated signed distance of each point."""
        q_N3 = (mirrored_N3 if self.center[0] else points_N3) - np.array(self.center)
        radii = np.array(self.radii)
        near_N = np.sqrt(np.einsum("ni,ni->n", q_N3 / radii, q_N3 / radii)) + 1e-9
        slope_N = np.sqrt(np.einsum("ni,ni->n", q_N3 / radii**2, q_N3 / radii**2)) + 1e-9
        return np.asarray(near_N * (near_N - 1) / slope_N)


FORM = (
    Lump("skull", (0, 3.4, -1.2), (7.7, 8.8, 9.0), 0),
    Lump("face", (0, -2.2, 1.2), (6.7, 8.0, 6.9), 2.0),
    Lump("neck", (0, -14.0, -2.6), (4.5, 14.0, 4.6), 2.5),
    Lump("jaw", (0, -6.4, 2.6), (5.0, 3.6, 5.3), 2.5),
    Lump("muzzle", (0, -5.6, 4.9), (3.5, 3.0, 3.7), 2.2),
    Lump("chin", (0, -8.7, 6.2), (1.7, 1.5, 1.8), 1.8),
    Lump("forehead", (0, 4.2, 2.5), (6.0, 4.5, 5.8), 2.5),
    Lump("brow ridge", (2.9, 2.0, 6.0), (2.6, 0.9, 1.5), 1.6),
    Lump("cheek", (4.0, -3.2, 4.6), (2.5, 2.3, 2.7), 2.2),
    Lump("socket", (3.2, 0.1, 9.3), (2.5, 1.9, 2.1), 1.6, carve=True),
    Lump("bridge", (0, -0.4, 7.6), (0.62, 2.4, 1.1), 1.5),
    Lump("nose", (0, -2.4, 8.3), (0.85, 1.5, 1.7), 1.0),
    Lump("nose tip", (0, -2.95, 9.55), (0.92, 0.82, 0.86), 0.7),
    Lump("nostril wing", (0.95, -3.15, 8.75), (0.62, 0.58, 0.8), 0.45),
    Lump("nostril", (0.50, -3.86, 9.05), (0.30, 0.28, 0.42), 0.35, carve=True),
    Lump("lids", EYE, (LID_RADIUS, LID_RADIUS, LID_RADIUS), 0.45),
)
"""Lumps in the order in which they are joined."""


def distance(points_N3: Floats) -> Floats:
    """Return the signed distance (N,) in cm of points (N, 3) from the skin."""
    mirrored_N3 = points_N3.copy()
    mirrored_N3[:, 0] = np.sqrt(points_N3[:, 0] ** 2 + 0.04)  # rounded, so that no crease runs down the middle
    out_N = FORM[0].distance(points_N3, mirrored_N3)
    for lump in FORM[1:]:
        d_N = lump.distance(points_N3, mirrored_N3)
        out_N = -_join(-out_N, d_N, lump.soft) if lump.carve else _join(out_N, d_N, lump.soft)
    return out_N


def _join(a_N: Floats, b_N: Floats, soft: float) -> Floats:
    """Return the smooth minimum of two distances with a seam of width `soft`."""
    seam_N = np.maximum(soft - np.abs(a_N - b_N), 0)
    return np.minimum(a_N, b_N) - seam_N**2 / (4 * soft)


def cast(origin_N3: Floats, direction_N3: Floats, reach: float, *, steps: int = 40) -> Floats:
    """Return where rays meet the skin (N, 3), walking from `reach` cm out back towards the origins.

    direction_N3: unit vectors. A ray that misses ends at its origin.
    """
    along_N = np.full(len(origin_N3), reach)
    for _ in range(steps):
        along_N = np.maximum(along_N - 0.85 * distance(origin_N3 + along_N[:, None] * direction_N3), 0)
    return origin_N3 + along_N[:, None] * direction_N3


def outwards(direction_N3: Floats) -> Floats:
    """Return the skin's points (N, 3) in directions (N, 3) seen from `MIDDLE`."""
    return cast(np.broadcast_to(np.array(MIDDLE), direction_N3.shape), direction_N3, 20.0)


def front(x_N: Floats, y_N: Floats) -> Floats:
    """Return the depth z (N,) of the face before the points (x, y)."""
    origin_N3 = np.stack([x_N, y_N, np.zeros_like(x_N)], axis=1)
    return cast(origin_N3, np.broadcast_to(np.array([0.0, 0.0, 1.0]), origin_N3.shape), 12.0)[:, 2]
