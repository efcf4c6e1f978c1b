"""Meshes to measure weights on, in millimetres: our own head, or an ICT-FaceKit folder of .obj files.

Both have a lip mask (within 5 mm of the landmarks of the lips), an upper mask (within 10 mm of those of brows and
eyes) and the two vertices in the middle of the inner lips. V vertices, C channels in rig order.
Own head: 595 lip and 1,474 upper vertices of 6,327 of the face. ICT-FaceKit: 844 and 1,506 of 9,409.
"""

import io
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cache
from typing import Literal

import numpy as np
import numpy.typing as npt

from expclip import storage
from expclip.errors import BadRequestError
from expclip.rig import FloatArray, Rig, load_rig

Part = Literal["lips", "upper", "face"]
"""Vertices to measure on: the lip mask, the mask of brows and eyes, the whole face."""
LIP_MM, UPPER_MM = 5.0, 10.0
"""How far (mm) from their landmarks the masks reach."""
ICT_NEUTRAL = "generic_neutral_mesh.obj"
ICT_FACE = 9409
"""Vertices of ICT-FaceKit that are the face; masks lie among them."""
_ICT_ABSENT = ("tongueOut",)
_ICT_SPLIT = ("browInnerUp", "cheekPuff")
_ICT_WHOLE = ("jawLeft", "jawRight", "mouthLeft", "mouthRight")  # a direction, not a side
_ICT_INNER_LIPS = (5533, 5517)
_ICT_LANDMARKS = (
    *(1225, 1888, 1052, 367, 1719, 1722, 2199, 1447, 966, 3661, 4390, 3927, 3924, 2608, 3272, 4088, 3443),
    *(268, 493, 1914, 2044, 1401, 3615, 4240, 4114, 2734, 2509, 978, 4527, 4942, 4857, 1140, 2075, 1147),
    *(4269, 3360, 1507, 1542, 1537, 1528, 1518, 1511, 3742, 3751, 3756, 3721, 3725, 3732, 5708, 5695, 2081),
    *(0, 4275, 6200, 6213, 6346, 6461, 5518, 5957, 5841, 5702, 5711, 5533, 6216, 6207, 6470, 5517, 5966),
)
"""Vertices of the 68 landmarks in iBUG order."""
_BROWS_AND_EYES = (*range(17, 27), *range(36, 48))
_LIPS = tuple(range(48, 68))


@dataclass(frozen=True, eq=False)
class Mesh:
    """A face at rest, how each channel moves it, and where to measure."""

    name: str
    vertices_V3: FloatArray  # at rest, mm
    deltas_CV3: FloatArray  # mm at weight 1
    lips: npt.NDArray[np.int64]  # vertices of the lip mask
    upper: npt.NDArray[np.int64]  # vertices of the mask of brows and eyes
    face: npt.NDArray[np.int64]  # vertices of the whole face
    inner_lips: tuple[int, int]  # in the middle of the upper and of the lower lip's inner edge
    _parts: dict[str, FloatArray] = field(default_factory=dict, init=False, repr=False)

    def moved(self, weights_TC: npt.ArrayLike, part: Part) -> FloatArray:
        """Return how far (T, V, 3), in mm, weights (T, C) move a part's vertices from rest."""
        weights_TC = np.asarray(weights_TC, np.float32)
        used = np.flatnonzero(weights_TC.any(0))  # of a corpus often a few channels are measured
        deltas_CV3 = self._deltas(part)
        flat = weights_TC[:, used] @ deltas_CV3.reshape(len(deltas_CV3), -1)[used]
        return np.asarray(flat.reshape(len(weights_TC), deltas_CV3.shape[1], 3), np.float32)

    def _deltas(self, part: Part) -> FloatArray:
        if part not in self._parts:
            self._parts[part] = np.ascontiguousarray(self.deltas_CV3[:, getattr(self, part)])
        return self._parts[part]

    def lip_gap(self, weights_TC: npt.ArrayLike) -> FloatArray:
        """Return the height (T,) of the opening in the middle of the lips in mm, never below 0."""
        upper, lower = self.inner_lips
        rest = self.vertices_V3[upper, 1] - self.vertices_V3[lower, 1]
        opens_C = self.deltas_CV3[:, upper, 1] - self.deltas_CV3[:, lower, 1]
        return np.asarray(np.maximum(rest + np.asarray(weights_TC, np.float32) @ opens_C, 0), np.float32)


def load(path: str | None = None) -> Mesh:
    """Return our own head's mesh, or that of an ICT-FaceKit folder; raises BadRequestError if files are missing."""
    return own() if not path else ict(path)


@cache
def own() -> Mesh:
    """Return the mesh of our own head; its rigid parts (hair, shirt, eyeballs, teeth) are no part of the face."""
    from expclip import head_marks
    from expclip.head import load_head

    head = load_head()
    vertices_V3 = np.asarray(10 * head.vertices_V3, np.float32)
    skin, brow = (np.arange(len(vertices_V3))[head.parts[name]] for name in ("skin", "brow"))
    face = np.setdiff1d(np.concatenate([skin, brow]), head_marks.hidden())
    return Mesh(
        name="own head",
        vertices_V3=vertices_V3,
        deltas_CV3=np.asarray(10 * head.deltas_CV3, np.float32),
        lips=near(vertices_V3, head_marks.lips(), LIP_MM, within=face),
        upper=near(vertices_V3, [*brow, *head_marks.lids()], UPPER_MM, within=face),
        face=face,
        inner_lips=head.inner_lips,
    )


def near(
    vertices_V3: FloatArray, landmarks: Iterable[int], reach: float, *, within: npt.NDArray[np.int64]
) -> npt.NDArray[np.int64]:
    """Return which vertices of `within` are at most `reach` mm from a landmark."""
    from scipy.spatial import cKDTree

    distance, _ = cKDTree(vertices_V3[list(landmarks)]).query(vertices_V3[within])
    return np.asarray(within[distance <= reach], np.int64)


def ict(path: str, rig: Rig | None = None) -> Mesh:
    """Return the mesh of an ICT-FaceKit folder of .obj files, its own or `FaceXModel` within it, or of a .npz.

    The .npz holds `vertices` (V, 3) times `scale` = cm, `names`, and the sparse `delta_index`, `delta_value` and
    `delta_ptr` of each shape. Raises BadRequestError naming what is missing.
    """
    rig = rig or load_rig()
    if path.lower().endswith(".npz"):
        return from_arrays(*_npz(path, rig))
    folder = next((f for f in (path, storage.join(path, "FaceXModel")) if storage.exists(_file(f, ICT_NEUTRAL))), None)
    if folder is None:
        raise BadRequestError(f"{path} is no ICT-FaceKit: it holds no {ICT_NEUTRAL}")
    rest_V3 = _obj(_file(folder, ICT_NEUTRAL))
    deltas_CV3 = np.zeros((len(rig), *rest_V3.shape), np.float32)
    shapes = [(k, name, _shape_file(folder, name)) for k, c in enumerate(rig.channels) for name in ict_names(c)]
    if absent := [name for _, name, file in shapes if not file]:
        raise BadRequestError(f"{folder} lacks {len(absent)} shapes of ICT-FaceKit: {', '.join(absent[:3])} ...")
    for k, name, file in shapes:
        shape_V3 = _obj(file)
        if len(shape_V3) != len(rest_V3):
            raise BadRequestError(f"{name}.obj has {len(shape_V3)} vertices and {ICT_NEUTRAL} {len(rest_V3)}")
        deltas_CV3[k] += shape_V3 - rest_V3
    return from_arrays(rest_V3, deltas_CV3)


def ict_names(channel: str) -> tuple[str, ...]:
    """Return the ICT-FaceKit shapes that a channel moves: `mouthSmileLeft` -> `mouthSmile_L`; some are two halves."""
    if channel in _ICT_ABSENT:
        return ()
    if channel in _ICT_SPLIT:
        return (f"{channel}_L", f"{channel}_R")
    return (channel if channel in _ICT_WHOLE else _sided(channel),)


def from_arrays(rest_V3: FloatArray, deltas_CV3: FloatArray) -> Mesh:
    """Return the mesh of ICT-FaceKit's vertices at rest (V, 3) and each channel's movement (C, V, 3), in cm."""
    if len(rest_V3) < ICT_FACE:
        raise BadRequestError(f"{len(rest_V3)} vertices; ICT-FaceKit's face has {ICT_FACE}")
    vertices_V3, face = np.asarray(10 * rest_V3, np.float32), np.arange(ICT_FACE)
    return Mesh(
        name="ICT-FaceKit",
        vertices_V3=vertices_V3,
        deltas_CV3=np.asarray(10 * deltas_CV3, np.float32),
        lips=near(vertices_V3, [_ICT_LANDMARKS[k] for k in _LIPS], LIP_MM, within=face),
        upper=near(vertices_V3, [_ICT_LANDMARKS[k] for k in _BROWS_AND_EYES], UPPER_MM, within=face),
        face=face,
        inner_lips=_ICT_INNER_LIPS,
    )


def _sided(channel: str) -> str:
    return re.sub("(Left|Right)$", lambda side: f"_{side[0][0]}", channel)


def _file(folder: str, name: str) -> str:
    return storage.join(folder, name)


def _shape_file(folder: str, name: str) -> str:
    """Return the file of a shape, empty if there is none; jawLeft and its like are found as jaw_L, too."""
    paths = (_file(folder, f"{spelling}.obj") for spelling in dict.fromkeys((name, _sided(name))))
    return next((path for path in paths if storage.exists(path)), "")


def _obj(path: str) -> FloatArray:
    """Return the vertices (V, 3) of a Wavefront file, as they stand there."""
    try:
        rows = [line.split()[1:4] for line in storage.read_text(path).splitlines() if line.startswith("v ")]
        return np.asarray(rows, np.float32).reshape(-1, 3)
    except ValueError:
        raise BadRequestError(f"{path} is no Wavefront file of vertices") from None


def _npz(path: str, rig: Rig) -> tuple[FloatArray, FloatArray]:
    if not storage.exists(path):
        raise BadRequestError(f"no such file: {path}")
    try:
        data = dict(np.load(io.BytesIO(storage.read_bytes(path))))
        rest_V3 = np.asarray(data["vertices"] * data["scale"], np.float32)
        deltas_CV3 = np.zeros((len(rig), *rest_V3.shape), np.float32)
        for k, name in enumerate(data["names"]):
            part = slice(*data["delta_ptr"][k : k + 2])
            deltas_CV3[rig.index(str(name)), data["delta_index"][part]] = data["delta_value"][part] * data["scale"]
    except (KeyError, ValueError, IndexError, OSError) as error:
        raise BadRequestError(f"{path} holds no head: {error}") from None
    return rest_V3, deltas_CV3
