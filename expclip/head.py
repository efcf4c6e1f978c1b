"""A head of our own to look at, made by code: a stylised bust with 52 shapes, eyes, teeth, tongue and hair.

In: nothing but numbers written in the `head_*` modules. Out: `load_head() -> Head`, built in a second and kept.
Centimetres, y up, z towards the viewer, +x the subject's left, origin between the eyes. Suffixes: V vertices,
F triangles, C channels in rig order, T frames.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

import numpy as np
import numpy.typing as npt

from expclip.rig import FloatArray, load_rig


@dataclass(frozen=True, eq=False)
class Head:
    """A mesh with morph targets and what a camera should know of it."""

    vertices_V3: FloatArray  # at rest, cm
    triangles_F3: npt.NDArray[np.int32]  # counter-clockwise seen from outside
    colors_V3: FloatArray  # sRGB 0..1
    gloss_V: FloatArray  # 0 matt .. 1 like a wet eye
    deltas_CV3: FloatArray  # cm at weight 1
    parts: Mapping[str, slice]  # vertices of skin, eye left, eye right, upper teeth, tongue, hair ...
    mirror_V: npt.NDArray[np.int32]  # number of each vertex's mirror image
    inner_lips: tuple[int, int]  # vertices in the middle of the upper and of the lower lip's inner edge
    centre_3: tuple[float, float, float]  # where a camera should look
    height: float  # cm from the shoulders to the crown: what should fill the picture

    def shape(self, weights_C: npt.ArrayLike) -> FloatArray:
        """Return the vertices (V, 3) in cm of the face with weights (C,)."""
        moved_V3 = np.tensordot(np.asarray(weights_C, np.float32), self.deltas_CV3, axes=1)
        return np.asarray(self.vertices_V3 + moved_V3, np.float32)

    def lip_gap(self, weights_TC: npt.ArrayLike) -> FloatArray:
        """Return the opening (...,) in the middle of the lips in mm, never below 0, at weights (..., C)."""
        upper, lower = self.inner_lips
        rest = self.vertices_V3[upper, 1] - self.vertices_V3[lower, 1]
        opens_C = self.deltas_CV3[:, upper, 1] - self.deltas_CV3[:, lower, 1]
        return np.asarray(10 * np.maximum(rest + np.asarray(weights_TC, np.float32) @ opens_C, 0), np.float32)


@cache
def load_head() -> Head:
    """Return the head; the first call builds it, always the same."""
    from scipy.spatial import cKDTree

    from expclip import head_mesh, head_moves, head_parts, head_shapes, head_skin

    patches = [head_skin.skin(), *head_parts.parts()]
    starts, triangles_F3 = head_mesh.joined(patches)
    vertices_V3 = np.concatenate([patch.vertices_V3 for patch in patches])
    part_V = np.concatenate([np.full(len(patch.vertices_V3), patch.part) for patch in patches])
    tags = {
        name: np.concatenate([patch.tags.get(name, np.full(len(patch.vertices_V3), rest)) for patch in patches])
        for name, rest in (("seam", 1.0), ("rise", np.nan), ("lid", 0.0), ("upper", 0.0), ("along", 0.0))
    }
    above_V = vertices_V3[:, 1] - head_skin.lip_line(vertices_V3[:, 0])
    tags["rise"] = np.where(np.isnan(tags["rise"]), above_V, tags["rise"])
    _, mirror_V = cKDTree(vertices_V3).query(vertices_V3 * head_mesh.FLIP)
    anatomy = head_moves.Anatomy(vertices_V3, part_V, tags, mirror_V)
    return Head(
        vertices_V3=vertices_V3.astype(np.float32),
        triangles_F3=triangles_F3.astype(np.int32),
        colors_V3=np.concatenate([patch.colors_V3 for patch in patches]).astype(np.float32),
        gloss_V=np.concatenate([patch.gloss_V for patch in patches]).astype(np.float32),
        deltas_CV3=head_shapes.deltas(anatomy, load_rig()).astype(np.float32),
        parts={name: slice(*np.flatnonzero(part_V == name)[[0, -1]] + (0, 1)) for name in dict.fromkeys(part_V)},
        mirror_V=mirror_V.astype(np.int32),
        inner_lips=head_skin.inner_lips(),
        centre_3=(0.0, -0.7, 0.0),
        height=28.0,
    )
