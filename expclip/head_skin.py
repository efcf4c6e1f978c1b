"""The skin: loops round the mouth and each eye, and a sheet of triangles over the rest of the head and the neck.

In: the form (`head_form`). Out: one patch whose vertices know where they stand on lips and lids. The loops keep
lips and lids clean when they move; the sheet is the Delaunay triangulation, seen from the head's middle, of a grid
that is fine in the face and coarse at the back. Left and right are exact mirror images.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from expclip import head_form as form
from expclip.head_mesh import FLIP, Floats, Ints, Patch, fan, grid, patch, ramp, without_slivers

SKIN = (0.925, 0.725, 0.620)
LIP = (0.790, 0.440, 0.425)
BLUSH = (0.900, 0.520, 0.460)
SHADE = (0.640, 0.400, 0.340)
LASH = (0.170, 0.105, 0.090)
INSIDE = (0.330, 0.085, 0.095)
DEEP = (0.130, 0.030, 0.040)

MOUTH_Y = -6.05
"""Height of the middle of the lips' line."""
TONGUE_Y = MOUTH_Y - 0.72
"""Height of the middle of the tongue's blade."""
MOUTH_SAMPLES = 56
EYE_SAMPLES = 44
EYE_HALF = 1.68
"""Half the width (cm) of the opening between the lids."""
LIP_EDGE = 0.30
"""`seam` at the border between lip and skin."""

SEAM = (1.0, 0.88, 0.77, 0.67, 0.58, 0.50, 0.43, 0.37, 0.325, 0.295, 0.25, 0.20, 0.15, 0.10, 0.05, 0.0)
"""Loops of the mouth from the rim to the line where the lips touch."""
_LIP_PROFILE = (
    (0, 0.05, 0.10, 0.15, 0.20, 0.25, 0.295, 0.33, 0.38, 0.45),
    (-0.34, -0.04, 0.2, 0.33, 0.36, 0.31, 0.2, 0.13, 0.04, 0.0),
)
"""How far (cm) the lips stand before the face, over `seam`."""
POCKET = (
    (-0.28, 2.33, -0.05),
    (-0.60, 2.36, 0.16),
    (-0.80, 2.6, 0.8),
    (-1.3, 3.0, 1.5),
    (-2.6, 3.2, 1.9),
    (-4.4, 2.5, 1.5),
    (-6.4, 1.5, 1.0),
    (-8.4, 0.5, 0.4),
)
"""Rings inside the mouth: depth behind the lips' line, half width, half height."""

EYE_RINGS = (1.0, 0.86, 0.73, 0.61, 0.50, 0.42, 0.36, 0.31, 0.25, 0.17, 0.09, 0.03, 0.0)
"""Loops of an eye from the rim of its socket to the edge of the lids."""
LID_FOLD = ((0.03, 0.0), (0.03, 0.6), (-0.30, 1.2))
"""Rings behind the lids' edge: where they stand between ball (0) and lid (1), and how far outwards."""


def lip_line(x: Floats) -> Floats:
    """Return the height of the line between the lips at a distance x from the middle."""
    t = np.clip(np.abs(x) / 2.45, 0, 1.3)
    return np.asarray(MOUTH_Y + 0.26 * t**2.2 - 0.05 * np.exp(-((x / 0.5) ** 2)))


def lid_heights(across: Floats) -> tuple[Floats, Floats]:
    """Return heights (cm from the eye's centre) of the upper and the lower lid's edge at `across` cm outwards."""
    t = np.clip(across / EYE_HALF, -1, 1)
    middle = 0.09 * t
    return middle + 0.92 * np.sqrt(1 - t**2) * (1 - 0.10 * t), middle - 0.98 * np.sqrt(1 - t**2) * (1 + 0.12 * t)


def skin() -> Patch:
    """Return the skin of head and neck, the inside of the mouth included."""
    mouth, left = _mouth(), _eye()
    right = left.mirrored()
    rims = [mouth.vertices_V3[:MOUTH_SAMPLES], left.vertices_V3[:EYE_SAMPLES], right.vertices_V3[:EYE_SAMPLES]]
    sheet_V3 = _sheet_points()
    points_V3 = np.concatenate([*rims, sheet_V3])
    hole_V = np.concatenate([np.full(len(rim), k) for k, rim in enumerate(rims)] + [np.full(len(sheet_V3), -1)])
    loose_F3 = _triangulate(points_V3, hole_V)

    patches = (mouth, left, right)
    starts = np.cumsum([0, *(len(p.vertices_V3) for p in patches)])
    number_V = np.concatenate(
        [start + np.arange(len(rim)) for start, rim in zip(starts, rims, strict=False)]
        + [starts[-1] + np.arange(len(sheet_V3))]
    )
    vertices_V3 = np.concatenate([*(p.vertices_V3 for p in patches), sheet_V3])
    triangles_F3 = np.concatenate(
        [*(p.triangles_F3 + start for p, start in zip(patches, starts, strict=False)), number_V[loose_F3]]
    )
    tags = {
        name: np.concatenate(
            [*(p.tags.get(name, np.full(len(p.vertices_V3), rest)) for p in patches), np.full(len(sheet_V3), rest)]
        )
        for name, rest in (("seam", 1.0), ("rise", np.nan), ("lid", 0.0), ("upper", 0.0))
    }
    tags["rise"] = np.where(np.isnan(tags["rise"]), vertices_V3[:, 1] - lip_line(vertices_V3[:, 0]), tags["rise"])
    inside_V = np.concatenate([mouth.tags["inside"], np.zeros(len(vertices_V3) - len(mouth.vertices_V3))])
    edge_V = np.concatenate([np.zeros(starts[1]), left.tags["edge"], right.tags["edge"], np.zeros(len(sheet_V3))])
    colors_V3, gloss_V = _paint(vertices_V3, tags, inside_V, edge_V)
    return patch(
        "skin", vertices_V3, without_slivers(vertices_V3, triangles_F3), color=colors_V3, gloss=gloss_V, **tags
    )


def _mouth() -> Patch:
    """Return the loops from the rim round the mouth over the lips into the mouth's pocket."""
    angle_S = 2 * np.pi * np.arange(MOUTH_SAMPLES) / MOUTH_SAMPLES
    across_S, up_S = np.cos(angle_S), np.sin(angle_S)
    seam_R1 = np.array(SEAM)[:, None]
    width_R1 = np.interp(seam_R1, (0, LIP_EDGE, 1), (2.33, 2.55, 4.25))
    bow_RS = 1 - 0.20 * np.exp(-((width_R1 * across_S / 0.42) ** 2)) * np.exp(-(((seam_R1 - LIP_EDGE) / 0.16) ** 2))
    upper_RS = (
        np.interp(seam_R1, (0, LIP_EDGE, 1), (0.004, 0.64, 1.85))
        * bow_RS
        * np.abs(up_S) ** np.interp(seam_R1, (0, 0.6), (1.25, 1))
    )
    lower_RS = np.interp(seam_R1, (0, LIP_EDGE, 1), (0.004, 0.80, 2.45)) * np.abs(up_S) ** np.interp(
        seam_R1, (0, 0.6), (1.1, 1)
    )
    x_RS = width_R1 * across_S
    line_RS = MOUTH_Y + (lip_line(x_RS) - MOUTH_Y) * ramp(1.0, 0.4, seam_R1)
    y_RS = line_RS + np.where(up_S >= 0, upper_RS, -lower_RS)
    z_RS = form.front(np.abs(x_RS).ravel(), y_RS.ravel()).reshape(x_RS.shape)
    full_RS = np.abs(up_S) ** 0.7 * np.where(up_S < 0, 1.12, 1.0)
    profile_R1 = np.interp(seam_R1, *_LIP_PROFILE)
    corner_RS = -0.22 * np.exp(-((x_RS - np.sign(across_S) * 2.5) ** 2 + (y_RS - lip_line(x_RS)) ** 2) / 0.12)
    z_RS += np.where(profile_R1 > 0, profile_R1 * full_RS, profile_R1) + corner_RS

    deep = np.array(POCKET)
    t_S = np.abs(up_S) ** 0.9 * np.sign(up_S)
    pocket_x_RS = deep[:, 1:2] * across_S
    pocket_y_RS = lip_line(pocket_x_RS) * 1.0 + deep[:, 2:3] * t_S
    pocket_z_RS = z_RS[-1] + deep[:, :1]
    blend_R1 = ramp(-1.0, -5.0, deep[:, :1])
    pocket_z_RS = pocket_z_RS * (1 - blend_R1) + (z_RS[-1].mean() + deep[:, :1]) * blend_R1

    rows = [np.stack([x_RS, y_RS, z_RS], -1), np.stack([pocket_x_RS, pocket_y_RS, pocket_z_RS], -1)]
    vertices_V3 = np.concatenate([np.concatenate(rows).reshape(-1, 3), [[0, MOUTH_Y, pocket_z_RS.min() - 0.8]]])
    rings, last = len(SEAM) + len(POCKET), len(vertices_V3) - 1
    triangles_F3 = np.concatenate(
        [grid(rings, MOUTH_SAMPLES, closed=True), fan(np.arange(last - MOUTH_SAMPLES, last), last)]
    )
    half_R1 = np.maximum(np.interp(seam_R1, (0, LIP_EDGE, 1), (0.0, 0.72, 2.2)), 0.8)
    rise_RS = np.concatenate(
        [np.where(np.abs(y_RS - line_RS) > 0.8, y_RS - line_RS, half_R1 * up_S), np.tile(0.8 * up_S, (len(deep), 1))]
    )
    inside_R = np.concatenate([np.zeros(len(SEAM)), [0.25, 0.5, 0.7, 0.85, 1, 1, 1, 1]])
    return patch(
        "skin",
        vertices_V3,
        triangles_F3,
        color=SKIN,
        gloss=0,
        seam=np.append(np.repeat([*SEAM, *(deep[:, 0] / 10)], MOUTH_SAMPLES), -1),
        rise=np.append(rise_RS.ravel(), 0),
        inside=np.append(np.repeat(inside_R, MOUTH_SAMPLES), 1),
    )


def _eye() -> Patch:
    """Return the loops from the rim of the left eye's socket over the lids to behind their edge."""
    angle_S = 2 * np.pi * np.arange(EYE_SAMPLES) / EYE_SAMPLES
    across_S, up_S = np.cos(angle_S), np.sin(angle_S)
    eye_3 = np.array(form.EYE)
    upper_S, lower_S = lid_heights(EYE_HALF * across_S)
    edge_S2 = np.stack([EYE_HALF * across_S, np.where(up_S >= 0, upper_S, lower_S)], -1)
    rim_S2 = np.stack([np.where(across_S > 0, 2.5, 2.2) * across_S, np.where(up_S >= 0, 2.0, 1.85) * up_S], -1)
    ring_R11 = np.array(EYE_RINGS)[:, None, None]
    flat_RS2 = edge_S2 + (rim_S2 - edge_S2) * ring_R11
    x_RS, y_RS = eye_3[0] + flat_RS2[..., 0], eye_3[1] + flat_RS2[..., 1]
    z_RS = form.front(x_RS.ravel(), y_RS.ravel()).reshape(x_RS.shape)
    sphere_RS = eye_3[2] + np.sqrt(np.maximum(form.LID_RADIUS**2 - (flat_RS2**2).sum(-1), 0))
    on_lid_RS = ramp(0.3, 0.0, ring_R11[..., 0])
    z_RS = np.maximum(z_RS, sphere_RS) * on_lid_RS + z_RS * (1 - on_lid_RS)
    crease_RS = np.exp(-(((ring_R11[..., 0] - 0.36) / 0.055) ** 2)) * np.maximum(up_S, 0) ** 0.6
    z_RS -= 0.16 * crease_RS
    rows = [np.stack([x_RS, y_RS, z_RS], -1)]

    edge_S3 = rows[0][-1] - eye_3
    for share, outwards in LID_FOLD:
        radius = form.EYE_RADIUS + share * (form.LID_RADIUS - form.EYE_RADIUS)
        out_S3 = edge_S3 + np.stack([across_S, up_S, np.zeros(EYE_SAMPLES)], -1) * 0.35 * outwards
        rows.append((eye_3 + out_S3 / np.linalg.norm(out_S3, axis=1, keepdims=True) * radius)[None])
    vertices_V3 = np.concatenate(rows).reshape(-1, 3)
    rings = len(vertices_V3) // EYE_SAMPLES
    ring_R = np.concatenate([EYE_RINGS, np.zeros(len(LID_FOLD))])
    lid_RS = np.where(up_S >= 0, ramp(0.46, 0.04, ring_R[:, None]), ramp(0.75, 0.04, ring_R[:, None]) ** 1.2)
    edge_R = np.concatenate([ramp(0.15, 0.02, EYE_RINGS), np.ones(len(LID_FOLD))])
    crease_RS = np.concatenate([crease_RS, np.zeros((len(LID_FOLD), EYE_SAMPLES))])
    edge_R[len(EYE_RINGS) :] *= 0.25  # the wet rim behind the lashes
    dark_RS = edge_R[:, None] * np.where(up_S > -0.05, 0.5 + 0.5 * np.abs(up_S) ** 0.3, 0.25) + 0.40 * crease_RS
    return patch(
        "skin",
        vertices_V3,
        grid(rings, EYE_SAMPLES, closed=True),
        color=SKIN,
        gloss=0,
        lid=lid_RS.ravel(),
        upper=np.tile((up_S >= 0).astype(float), rings),
        edge=dark_RS.ravel(),
    )


def _sheet_points() -> Floats:
    """Return the vertices of the sheet: rows of latitude, fine in the face, none within the loops."""
    latitude = np.radians(
        np.concatenate([[90], np.arange(84, 20, -5.5), np.arange(18, -62, -2.1), [-64, -66.5, -69, -71.5, -74, -76]])
    )
    points: list[Floats] = []
    for row, phi in enumerate(latitude):
        steps = 0 if row == 0 else 10 if phi > np.radians(75) else 21 if phi > np.radians(55) else 42
        step = np.arange(steps + 1) / max(steps, 1)
        turn = np.pi * step - 0.58 * np.sin(np.pi * step)
        if row % 2 and steps:  # every other row stands between its neighbours, but for its ends
            turn = np.concatenate([turn[:1], 0.5 * (turn[1:-2] + turn[2:-1]), turn[-1:]])
        unit = [np.sin(turn) * np.cos(phi), np.full_like(turn, np.sin(phi)), np.cos(turn) * np.cos(phi)]
        points.append(np.stack(unit, -1))
    direction_N3 = np.concatenate(points)
    half_N3 = form.outwards(direction_N3)
    half_N3[np.abs(direction_N3[:, 0]) < 1e-9, 0] = 0
    half_N3 = half_N3[~_within_loops(half_N3)]
    return np.concatenate([half_N3, half_N3[half_N3[:, 0] > 0] * FLIP])


def _within_loops(points_N3: Floats, margin: float = 0.26) -> npt.NDArray[np.bool_]:
    x_N, y_N, z_N = points_N3.T
    dx_N, dy_N = x_N - form.EYE[0], y_N - form.EYE[1]
    eye_N = np.hypot(dx_N / (margin + np.where(dx_N > 0, 2.5, 2.2)), dy_N / (margin + np.where(dy_N > 0, 2.0, 1.85)))
    up_N = y_N - MOUTH_Y
    mouth_N = np.hypot(x_N / (4.25 + margin), up_N / (margin + np.where(up_N > 0, 1.85, 2.45)))
    return np.asarray((z_N > 1) & ((eye_N < 1) | (mouth_N < 1)))


def _triangulate(points_V3: Floats, hole_V: Ints) -> Ints:
    """Return the triangles between the points (V, 3) seen from the head's middle; hole_V: number of the rim or -1."""
    from scipy.spatial import ConvexHull

    direction_V3 = points_V3 - np.array(form.MIDDLE)
    direction_V3 /= np.linalg.norm(direction_V3, axis=1, keepdims=True)
    triangles_F3 = ConvexHull(direction_V3).simplices.astype(np.int64)
    a_F3, b_F3, c_F3 = (direction_V3[triangles_F3[:, k]] for k in range(3))
    outside_F = np.einsum("fi,fi->f", np.cross(b_F3 - a_F3, c_F3 - a_F3), a_F3 + b_F3 + c_F3)
    triangles_F3[outside_F < 0] = triangles_F3[outside_F < 0][:, ::-1]
    holes_F3 = hole_V[triangles_F3]
    a_F, b_F, c_F = triangles_F3.T
    inwards_F = (b_F - a_F) * (c_F - b_F) * (a_F - c_F) < 0  # in the order of the rim: within it, not in a bay of it
    in_hole_F = (holes_F3[:, 0] >= 0) & (holes_F3 == holes_F3[:, :1]).all(1) & inwards_F
    below_F = (direction_V3[triangles_F3, 1] < np.sin(np.radians(-75.9))).all(1)
    left_F = direction_V3[triangles_F3, 0].sum(1) > 0
    half_F3 = triangles_F3[~in_hole_F & ~below_F & left_F]
    return np.concatenate([half_F3, _twins(points_V3)[half_F3][:, ::-1]])


def _twins(points_V3: Floats) -> Ints:
    """Return for each point the number of its mirror image."""
    from scipy.spatial import cKDTree

    gap_V, twin_V = cKDTree(points_V3).query(points_V3 * FLIP)
    assert gap_V.max() < 1e-6
    return np.asarray(twin_V, np.int64)


def _paint(vertices_V3: Floats, tags: dict[str, Floats], inside_V: Floats, edge_V: Floats) -> tuple[Floats, Floats]:
    """Return colours and gloss: blush, lips, the inside of the mouth, lashes and a little shade in the hollows."""
    side_V3 = np.abs(vertices_V3 * [1, 0, 0]) + vertices_V3 * [0, 1, 1]
    colors_V3 = np.tile(np.array(SKIN), (len(vertices_V3), 1))

    def tint(color: Sequence[float], share_V: Floats) -> None:
        colors_V3[:] += (np.array(color) - colors_V3) * np.clip(share_V, 0, 1)[:, None]

    def near(center: Sequence[float], radii: Sequence[float]) -> Floats:
        return np.asarray(np.exp(-(((side_V3 - np.array(center)) / np.array(radii)) ** 2).sum(1)))

    outside_V = tags["seam"] >= LIP_EDGE + 0.04
    tint(BLUSH, 0.50 * near((4.6, -3.2, 6.5), (2.0, 1.5, 4)) * outside_V)
    tint(BLUSH, 0.38 * near((0, -3.0, 10.2), (1.1, 1.0, 1.6)))
    tint(BLUSH, 0.22 * near((0, -8.9, 8.2), (1.6, 1.1, 2)) * outside_V)
    tint(SHADE, 0.9 * near((0.50, -3.70, 9.1), (0.30, 0.20, 0.5)))
    tint(SHADE, 0.25 * near((2.2, 0.6, 7.0), (1.2, 1.2, 1.5)))
    lip_V = ramp(LIP_EDGE + 0.03, LIP_EDGE - 0.01, tags["seam"]) * (inside_V == 0)
    tint(LIP, lip_V)
    tint(INSIDE, ramp(0.08, 0.0, tags["seam"]) * 0.55)
    tint(INSIDE, inside_V * 1.6)
    tint(DEEP, ramp(0.6, 1.0, inside_V))
    tint(LASH, edge_V)
    gloss_V = 0.30 + 0.12 * lip_V + 0.10 * near((0, -2.5, 10), (0.8, 1.5, 1.5)) - 0.1 * edge_V
    return colors_V3, np.where(inside_V > 0.6, 0.2, gloss_V)


def inner_lips() -> tuple[int, int]:
    """Return the numbers of the vertices in the middle of the upper and the lower lip where the two touch."""
    line = (len(SEAM) - 1) * MOUTH_SAMPLES
    return line + MOUTH_SAMPLES // 4, line + 3 * MOUTH_SAMPLES // 4
