"""What the skin does not make: eyeballs, teeth, tongue, brows, ears, hair and a shirt.

In: the form (`head_form`) and where the mouth is. Out: patches; what comes in pairs is made on the subject's left and
mirrored.
"""

import numpy as np

from expclip import head_form as form
from expclip.head_mesh import Floats, Patch, compact, fan, grid, patch, ramp
from expclip.head_skin import BLUSH, MOUTH_Y, SKIN, TONGUE_Y

SCLERA = (0.955, 0.945, 0.935)
IRIS_DARK, IRIS_LIGHT = (0.16, 0.25, 0.24), (0.42, 0.62, 0.52)
PUPIL = (0.03, 0.025, 0.03)
TOOTH = (0.955, 0.935, 0.885)
GUM = (0.760, 0.400, 0.400)
TONGUE = (0.900, 0.470, 0.470)
HAIR = (0.300, 0.175, 0.115)
SHIRT = (0.205, 0.330, 0.410)

TEETH_FRONT = 7.75
"""Depth z (cm) of the front of the teeth."""
_EYE_BANDS = (
    # degrees from the pupil's middle, colour
    (0.0, PUPIL), (7, PUPIL), (12.4, PUPIL), (13.6, IRIS_DARK), (17, IRIS_LIGHT), (21, IRIS_LIGHT), (25, IRIS_LIGHT),
    (27.8, IRIS_DARK), (29.8, (0.09, 0.13, 0.13)), (31.4, SCLERA), (39, SCLERA), (48, SCLERA), (60, SCLERA),
    (74, SCLERA), (90, SCLERA), (112, SCLERA),
)  # fmt: skip

_TOOTH_ROWS = (
    (1.3, 0.95, 0),
    (0.05, 0.6, 0),
    (0.0, 0.16, 0),
    (0.1, 0.02, 0),
    (0.45, 0.0, 0),
    (0.8, 0.04, 0),
    (0.88, 0.0, 1),
    (1.3, 0.08, 1),
    (1.9, 0.4, 1),
)
"""From the back of a tooth over its edge to the gum: height over the edge, depth behind the front, 1 for gum."""


def parts() -> list[Patch]:
    """Return every part but the skin."""
    eye, brow, ear = _eyeball(), _brow(), _ear()
    return [
        eye,
        eye.mirrored("eye right"),
        brow,
        brow.mirrored(),
        ear,
        ear.mirrored(),
        _teeth("upper teeth", up=1),
        _teeth("lower teeth", up=-1),
        _tongue(),
        _hair(),
        _shirt(),
    ]


def _eyeball(samples: int = 32) -> Patch:
    """Return the left eyeball, looking straight ahead; rings round the line of sight."""
    angle_S = 2 * np.pi * np.arange(samples) / samples
    polar_R1 = np.radians([degrees for degrees, _ in _EYE_BANDS[1:]])[:, None]
    unit_RS3 = np.stack(
        [np.sin(polar_R1) * np.cos(angle_S), np.sin(polar_R1) * np.sin(angle_S), np.cos(polar_R1) + 0 * angle_S], -1
    )
    unit_V3 = np.concatenate([unit_RS3.reshape(-1, 3), [[0, 0, 1]]])
    color_V3 = np.concatenate([np.repeat([color for _, color in _EYE_BANDS[1:]], samples, 0), [PUPIL]])
    degrees_V = np.degrees(np.arccos(np.clip(unit_V3[:, 2], -1, 1)))
    iris_V = ramp(13, 15, degrees_V) * ramp(29.5, 27, degrees_V)
    glow_V1 = (iris_V * ramp(0.15, -0.35, unit_V3[:, 1]))[:, None]
    color_V3 = color_V3 * (1 - 0.30 * iris_V * ramp(-0.1, 0.4, unit_V3[:, 1]))[:, None]
    color_V3 = color_V3 + glow_V1 * 0.35 * (1 - color_V3) * (0.7, 1.0, 0.8)
    under_lid_V = ramp(30, 32, degrees_V) * np.maximum(
        ramp(0.32, 0.72, unit_V3[:, 1]), ramp(0.5, 0.85, np.abs(unit_V3[:, 0]))
    )
    color_V3 = color_V3 * (1 - under_lid_V[:, None] * (0.30, 0.38, 0.38))
    rings, ball = len(_EYE_BANDS) - 1, len(unit_V3)
    triangles_F3 = np.concatenate([grid(rings, samples, closed=True, outside=-1), fan(np.arange(samples), ball - 1)])
    # a painted highlight, since not every viewer has a light that makes one
    spot_S3 = np.stack([0.085 * np.cos(angle_S[::2]), 0.23 + 0.085 * np.sin(angle_S[::2]), np.ones(samples // 2)], -1)
    spot_V3 = np.concatenate([spot_S3, [[0, 0.23, 1]]])
    spot_V3 *= 1.012 / np.linalg.norm(spot_V3, axis=1, keepdims=True)
    triangles_F3 = np.concatenate([triangles_F3, fan(ball + np.arange(samples // 2), ball + samples // 2)])
    vertices_V3 = np.array(form.EYE) + form.EYE_RADIUS * np.concatenate([unit_V3, spot_V3])
    color_V3 = np.concatenate([color_V3, np.ones_like(spot_V3)])
    return patch("eye left", vertices_V3, triangles_F3, color=color_V3, gloss=0.97)


def _brow(length: int = 18, samples: int = 8) -> Patch:
    """Return the left brow: a tapering strip that rides on the skin."""
    t_L = np.linspace(0, 1, length)
    x_L = 1.25 + 4.25 * t_L
    y_L = 2.30 + 0.85 * np.sin(np.pi * np.clip(t_L * 0.93, 0, 1)) ** 0.9 * 1.0 - 0.15 * t_L**2
    half_L = 0.31 * (1 - t_L) ** 0.55 * ramp(-0.12, 0.22, t_L) + 0.03
    angle_S = 2 * np.pi * (np.arange(samples) + 0.5) / samples
    slope_L = np.gradient(y_L, x_L)
    up_L2 = np.stack([-slope_L, np.ones(length)], -1) / np.hypot(slope_L, 1)[:, None]
    x_LS = x_L[:, None] + up_L2[:, :1] * half_L[:, None] * np.sin(angle_S)
    y_LS = y_L[:, None] + up_L2[:, 1:] * half_L[:, None] * np.sin(angle_S)
    lift_LS = 0.02 + (0.10 + 0.35 * half_L[:, None]) * np.cos(angle_S)
    z_LS = form.front(x_LS.ravel(), y_LS.ravel()).reshape(x_LS.shape) + lift_LS
    vertices_V3 = np.stack([x_LS, y_LS, z_LS], -1).reshape(-1, 3)
    ends_23 = vertices_V3.reshape(length, samples, 3)[[0, -1]].mean(1)
    ends_23[:, 0] += (-0.12, 0.1)
    vertices_V3 = np.concatenate([vertices_V3, ends_23])
    first, last = np.arange(samples), np.arange(samples) + (length - 1) * samples
    triangles_F3 = np.concatenate(
        [
            grid(length, samples, closed=True, outside=-1),
            fan(first, len(vertices_V3) - 2),
            fan(last, len(vertices_V3) - 1, outside=-1),
        ]
    )
    return patch("brow", vertices_V3, triangles_F3, color=np.array(HAIR) * 0.82, gloss=0.15)


def _arch(angle: Floats, front: float) -> tuple[Floats, Floats]:
    """Return x and z of the dental arch at angles from the middle (radians)."""
    u = np.sin(angle)
    return 3.0 * u, front - 1.5 * np.abs(u) ** 2.2 - 2.8 * u**8 - 1.2 * ramp(0.95, 1.0, np.abs(u))


def _teeth(part: str, *, up: int, columns: int = 61) -> Patch:
    """Return a row of teeth with its gum; up = 1 for the upper and -1 for the lower row."""
    place_S = np.linspace(-1, 1, columns)
    tooth_S = place_S * 6
    gap_S = np.abs(tooth_S - np.round(tooth_S))  # 0 between two teeth, .5 in the middle of one
    bulge_S = ramp(0, 0.3, gap_S)
    size_S = 1 - 0.25 * np.abs(place_S)
    edge = MOUTH_Y - 0.28 if up > 0 else MOUTH_Y - 0.30
    front = TEETH_FRONT if up > 0 else TEETH_FRONT - 0.28
    angle_S = np.radians(86) * place_S
    vertices, colors = [], []
    for height, depth, gum in _TOOTH_ROWS:
        dent_S = (1 - bulge_S) * (1 - gum)  # between two teeth
        x_S, z_S = _arch(angle_S, front - depth)
        z_S -= 0.06 * dent_S
        tall_S = height + (0.06 * dent_S if height < 0.3 else -0.10 * (1 - bulge_S) * gum * (height < 1))
        vertices.append(np.stack([x_S * (1 - 0.06 * depth), edge + up * tall_S * size_S, z_S], -1))
        shade_S = (1 - 0.28 * place_S**2) * (1 - 0.22 * dent_S)
        colors.append(np.array(GUM if gum else TOOTH) * shade_S[:, None])
    triangles_F3 = grid(len(_TOOTH_ROWS), columns, closed=False, outside=up)
    return patch(part, np.concatenate(vertices), triangles_F3, color=np.concatenate(colors), gloss=0.55)


def _tongue(length: int = 16, samples: int = 16) -> Patch:
    """Return the tongue, lying behind the lower teeth."""
    t_L1 = np.linspace(0, 1, length)[:, None]
    angle_S = 2 * np.pi * np.arange(samples) / samples
    round_L1 = np.sqrt(np.maximum(1 - np.maximum((t_L1 - 0.62) / 0.385, 0) ** 2, 0.0))
    x_LS = 1.55 * (1 - 0.18 * t_L1) * round_L1 * np.cos(angle_S)
    groove_LS = 0.14 * np.exp(-((x_LS / 0.4) ** 2)) * (np.sin(angle_S) > 0.3) * ramp(1.0, 0.7, t_L1)
    y_LS = TONGUE_Y - 0.35 * (1 - t_L1) + 0.42 * round_L1**0.7 * np.sin(angle_S) - groove_LS
    z_LS = 1.6 + (TEETH_FRONT - 0.85 - 1.6) * t_L1 + 0 * angle_S
    vertices_V3 = np.stack([x_LS, y_LS, z_LS], -1).reshape(-1, 3)
    tip_3 = vertices_V3[-samples:].mean(0) + (0, 0, 0.04)
    triangles_F3 = np.concatenate(
        [grid(length, samples, closed=True), fan(np.arange(samples) + (length - 1) * samples, len(vertices_V3))]
    )
    along_V = np.append(np.repeat(t_L1[:, 0], samples), 1.0)
    color_V3 = np.array(TONGUE) * (0.55 + 0.45 * ramp(0.2, 0.9, along_V))[:, None]
    return patch(
        "tongue", np.concatenate([vertices_V3, [tip_3]]), triangles_F3, color=color_V3, gloss=0.5, along=along_V
    )


def _ear(samples: int = 28) -> Patch:
    """Return the left ear: a shell with a rolled rim and a hollow, leaning backwards."""
    angle_S = 2 * np.pi * np.arange(samples) / samples
    # share of the outline, height before the shell's plane
    rings = (
        (0.80, -0.9),
        (0.93, -0.45),
        (1.0, 0.0),
        (0.99, 0.28),
        (0.90, 0.40),
        (0.80, 0.33),
        (0.70, 0.08),
        (0.58, -0.06),
        (0.46, 0.06),
        (0.34, -0.02),
        (0.2, -0.30),
    )
    long_S = np.where(np.sin(angle_S) > 0, 1.75, 1.95) * np.sin(angle_S)
    wide_S = np.cos(angle_S) * (1.18 + 0.38 * np.sin(angle_S))
    rows = [np.stack([np.full(samples, height), share * long_S, share * wide_S], -1) for share, height in rings]
    local_V3 = np.concatenate([*rows, [[-0.45, 0, 0]]])
    color_V3 = np.array(SKIN) + (np.array(BLUSH) - SKIN) * (0.25 + 0.5 * ramp(0.1, -0.3, local_V3[:, :1]))
    out, back = np.radians(28), np.radians(-12)
    x_V, y_V, z_V = local_V3.T
    y_V, z_V = np.cos(back) * y_V - np.sin(back) * z_V, np.sin(back) * y_V + np.cos(back) * z_V
    x_V, z_V = np.cos(out) * x_V - np.sin(out) * z_V, np.sin(out) * x_V + np.cos(out) * z_V
    vertices_V3 = np.stack([7.35 + x_V, -0.9 + y_V, -1.3 + z_V], -1)
    triangles_F3 = np.concatenate(
        [
            grid(len(rings), samples, closed=True, outside=-1),
            fan(np.arange(samples) + (len(rings) - 1) * samples, len(vertices_V3) - 1, outside=-1),
        ]
    )
    return patch("ear", vertices_V3, triangles_F3, color=color_V3, gloss=0.28)


def _hair(rows: int = 38, samples: int = 84) -> Patch:
    """Return the hair: a shell over the skull that sinks into the skin along the hairline."""
    turn_S = 2 * np.pi * np.arange(samples) / samples
    polar_R1 = np.radians(np.linspace(3, 128, rows))[:, None]
    unit_RS3 = np.stack(
        [np.sin(polar_R1) * np.sin(turn_S), np.cos(polar_R1) + 0 * turn_S, np.sin(polar_R1) * np.cos(turn_S)], -1
    )
    unit_V3 = np.concatenate([unit_RS3.reshape(-1, 3), [[0, 1.0, 0]]])
    skull_V3 = form.outwards(unit_V3)
    x_V, y_V, z_V = skull_V3.T
    side_V = np.abs(x_V)
    forehead_V = 7.4 - 0.035 * side_V**2.2 - 4.2 * ramp(5.2, 7.2, side_V)
    back_V = ramp(1.8, -1.2, z_V)
    line_V = forehead_V * (1 - back_V) + (1.2 - 7.6 * ramp(-2.6, -5.5, z_V)) * back_V
    above_V = y_V - line_V
    front_V = ramp(-4.0, 3.0, z_V)
    thick_V = -0.55 + 1.45 * ramp(-0.9, 1.3, above_V) + 0.55 * ramp(4, 12, y_V)
    lush_V = ramp(-0.2, 2.0, above_V)
    thick_V += lush_V * front_V * (0.55 * np.exp(-(((side_V - 3.2) / 2.2) ** 2)) - 0.16 * np.exp(-((x_V / 0.6) ** 2)))
    flow_V = np.arctan2(z_V + 1.5, y_V - 1.0) + 0.05 * side_V
    strand_V = (0.7 * np.cos(17 * flow_V) + 0.3 * np.cos(41 * flow_V)) * lush_V * ramp(0.3, 2.2, side_V)
    vertices_V3 = skull_V3 + (thick_V + 0.10 * strand_V)[:, None] * unit_V3
    triangles_F3 = np.concatenate(
        [grid(rows, samples, closed=True, outside=-1), fan(np.arange(samples), len(unit_V3) - 1)]
    )
    seen_F = (thick_V[triangles_F3] > -0.5).any(1)
    quads = (rows - 1) * samples
    seen_F[:quads] |= seen_F[quads : 2 * quads]
    seen_F[quads : 2 * quads] = seen_F[:quads]
    triangles_F3 = triangles_F3[seen_F]  # what is sunk would show in the open mouth
    color_V3 = np.array(HAIR) * (1 + 0.20 * strand_V)[:, None]
    return compact(patch("hair", vertices_V3, triangles_F3, color=color_V3, gloss=0.2))


def _shirt(samples: int = 48) -> Patch:
    """Return the collar and the shoulders of a shirt."""
    turn_S = 2 * np.pi * np.arange(samples) / samples
    # height, half width, half depth, depth of the middle, how far the front hangs
    rows = np.array([
        (-12.6, 4.1, 4.1, -2.6, 0.9), (-12.35, 4.75, 4.9, -2.6, 0.9), (-12.6, 5.2, 5.3, -2.6, 0.9),
        (-13.2, 5.3, 5.4, -2.6, 0.9), (-13.5, 5.5, 5.5, -2.6, 0.9), (-14.3, 7.2, 5.9, -2.6, 0.7),
        (-15.3, 10.4, 6.4, -2.7, 0.4), (-16.6, 13.6, 6.9, -2.8, 0.2), (-18.4, 15.4, 7.4, -2.9, 0),
        (-21.0, 16.2, 7.8, -3.0, 0), (-24.0, 16.4, 8.0, -3.0, 0),
    ])  # fmt: skip
    y_R1, wide_R1, deep_R1, middle_R1, hang_R1 = (rows[:, [k]] for k in range(5))
    x_RS = wide_R1 * np.sin(turn_S)
    z_RS = middle_R1 + deep_R1 * np.cos(turn_S)
    y_RS = y_R1 - hang_R1 * np.cos(turn_S)
    vertices_V3 = np.stack([x_RS, y_RS, z_RS], -1).reshape(-1, 3)
    return patch("shirt", vertices_V3, grid(len(rows), samples, closed=True, outside=-1), color=SHIRT, gloss=0.1)
