"""Pieces of mesh: what a part of the head is made of, strips between rings of points, mirroring and joining.

Suffixes: V vertices, F triangles, R rings, S samples round a ring. Triangles are counter-clockwise seen from outside.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
FLIP = np.array([-1.0, 1.0, 1.0])
"""What mirrors a point or a movement to the other side of the face."""


@dataclass(frozen=True)
class Patch:
    """A part of the head with what the shapes must know of each vertex.

    tags: by name, one number a vertex: `seam` 0 at the line of the lips to 1 at the rim of the mouth's loops and
    beyond, `rise` cm above (below: negative) the line of the lips, `lid` 0..1 how far a vertex goes with the lid,
    `upper` 1 for the upper lid and 0 for the lower, `along` 0..1 from the root of a tongue to its tip.
    """

    part: str
    vertices_V3: Floats
    triangles_F3: Ints
    colors_V3: Floats
    gloss_V: Floats
    tags: dict[str, Floats] = field(default_factory=dict)

    def mirrored(self, part: str = "") -> "Patch":
        """Return the patch on the other side of the face."""
        return replace(
            self,
            part=part or self.part,
            vertices_V3=self.vertices_V3 * FLIP,
            triangles_F3=self.triangles_F3[:, ::-1],
        )


def patch(
    part: str, vertices_V3: Floats, triangles_F3: Ints, *, color: npt.ArrayLike, gloss: npt.ArrayLike, **tags: Floats
) -> Patch:
    """Return a patch; color (3,) or (V, 3) sRGB 0..1 and gloss a number or (V,) are spread over the vertices."""
    count = len(vertices_V3)
    colors_V3 = np.broadcast_to(np.asarray(color, np.float64), (count, 3)).copy()
    gloss_V = np.broadcast_to(np.asarray(gloss, np.float64), (count,)).copy()
    return Patch(part, vertices_V3, triangles_F3, colors_V3, gloss_V, tags)


def grid(rows: int, columns: int, *, closed: bool, outside: int = 1) -> Ints:
    """Return the triangles between `rows` rows of `columns` vertices each, numbered row by row.

    closed: each row is a ring. With outside = 1 the front is seen with columns running to the right and rows
    upwards (or rings counter-clockwise and inner after outer); -1 turns the triangles over.
    """
    r, s = np.mgrid[0 : rows - 1, 0 : columns if closed else columns - 1]
    a = (r * columns + s).ravel()
    b = (r * columns + (s + 1) % columns).ravel()
    c, d = b + columns, a + columns
    triangles_F3 = np.concatenate([np.stack([a, b, c], 1), np.stack([a, c, d], 1)])
    return triangles_F3 if outside > 0 else triangles_F3[:, ::-1]


def fan(ring_S: Ints, tip: int, *, outside: int = 1) -> Ints:
    """Return the triangles that close a ring, counter-clockwise seen from outside, with one vertex."""
    triangles_F3 = np.stack([ring_S, np.roll(ring_S, -1), np.full_like(ring_S, tip)], axis=1)
    return triangles_F3 if outside > 0 else triangles_F3[:, ::-1]


def without_slivers(vertices_V3: Floats, triangles_F3: Ints, least: float = 1e-7) -> Ints:
    """Return the triangles whose area is more than `least` square centimetres."""
    a_F3, b_F3, c_F3 = (vertices_V3[triangles_F3[:, k]] for k in range(3))
    area_F = 0.5 * np.linalg.norm(np.cross(b_F3 - a_F3, c_F3 - a_F3), axis=1)
    return np.asarray(triangles_F3[area_F > least])


def compact(source: Patch) -> Patch:
    """Return the patch without the vertices that no triangle uses."""
    used_V, numbers_F3 = np.unique(source.triangles_F3, return_inverse=True)
    return replace(
        source,
        vertices_V3=source.vertices_V3[used_V],
        triangles_F3=numbers_F3.reshape(-1, 3).astype(np.int64),
        colors_V3=source.colors_V3[used_V],
        gloss_V=source.gloss_V[used_V],
        tags={name: values_V[used_V] for name, values_V in source.tags.items()},
    )


def joined(patches: Sequence[Patch]) -> tuple[Ints, Ints]:
    """Return each patch's first vertex and the triangles of all of them with shared numbering."""
    starts = np.cumsum([0, *(len(p.vertices_V3) for p in patches)])[:-1]
    return starts, np.concatenate([p.triangles_F3 + start for p, start in zip(patches, starts, strict=True)])


def ramp(low: float, high: float, value: npt.ArrayLike) -> Floats:
    """Return 0 below `low`, 1 above `high` and a smooth cubic step between (low > high turns it round)."""
    t = np.clip((np.asarray(value, np.float64) - low) / (high - low), 0, 1)
    return np.asarray(t * t * (3 - 2 * t))
