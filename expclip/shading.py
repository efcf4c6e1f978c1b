"""How the face is lit, compiled by numba: lights and their shadows, skin, gloss, tone curve. Linear light, then bytes.

What changes slowly is worked out for each vertex (light that the surface scatters, and which lights reach it),
highlights for each pixel. Suffixes: V vertices, F triangles, S samples (two a pixel each way), L lights, M shadow map.
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numba import njit

Array = np.ndarray[Any, Any]
_jit = njit(cache=True, nogil=True, fastmath=True)

NORMAL, LIT, GLOSS, GLANCE, WIDTH = 0, 3, 6, 7, 9
"""Columns of surface_V9: normal (3), scattered light (3), gloss, share of the two highlights that arrives (2)."""
TONE_STEPS = 16_384
TONE_MAX = 4.0


@dataclass(frozen=True, eq=False)
class Light:
    """A light far away: where it stands, its colour and strength, how far skin carries it into its own shade."""

    direction_3: Array
    color_3: Array
    wrap_3: Array
    texels: int
    """Width of its shadow map; few for a soft light, 0 for a light at the camera: it sees what the camera sees."""


def lights() -> list[Light]:
    """Return the lights; the first is the key, the second the fill, and these two make highlights."""
    skin, thin = (0.45, 0.22, 0.15), (0.1, 0.1, 0.1)
    rows: list[tuple[tuple[float, ...], tuple[float, ...], tuple[float, ...], int]] = [
        ((-0.50, 0.60, 0.80), (1.30, 1.20, 1.06), skin, 256),
        ((0.80, 0.15, 0.65), (0.30, 0.34, 0.42), skin, 128),
        ((0.65, 0.50, -0.60), (0.95, 1.00, 1.15), thin, 96),
        ((-0.90, 0.25, -0.45), (0.45, 0.42, 0.48), thin, 96),
        ((0.00, 1.00, 0.25), (0.22, 0.25, 0.30), skin, 96),
        ((0.00, 0.05, 1.00), (0.46, 0.44, 0.42), skin, 0),
        ((0.10, -0.60, 0.80), (0.13, 0.11, 0.10), skin, 96),
    ]
    return [
        Light(np.array(at) / np.linalg.norm(at), np.array(color, np.float32), np.array(wrap, np.float32), texels)
        for at, color, wrap, texels in rows
    ]


def view_of(direction_3: Array, radius: float, texels: int) -> tuple[Array, Array]:
    """Return matrix_33 and offset_3 that take points to the shadow map of a light (x, y in texels, z towards it)."""
    side_3 = np.cross((0.0, 1.0, 0.0), direction_3)
    if np.linalg.norm(side_3) < 0.1:
        side_3 = np.array((1.0, 0.0, 0.0))
    side_3 /= np.linalg.norm(side_3)
    scale = texels / (2 * radius)
    matrix_33 = np.stack([scale * side_3, -scale * np.cross(direction_3, side_3), direction_3])
    return matrix_33.astype(np.float32), np.array([texels / 2, texels / 2, 2 * radius], np.float32)


def tone_curve() -> Array:
    """Return the table from linear light 0..4 to bytes: straight up to .65, then a soft shoulder, then sRGB's gamma."""
    light = np.linspace(0, TONE_MAX, TONE_STEPS)
    knee = 0.65
    light = np.where(light > knee, 1 - (1 - knee) * np.exp(-(light - knee) / (1 - knee)), light)
    srgb = np.where(light <= 0.0031308, 12.92 * light, 1.055 * np.maximum(light, 1e-9) ** (1 / 2.4) - 0.055)
    return np.asarray(np.rint(255 * srgb), np.uint8)


def to_linear(srgb: Array) -> Array:
    """Return linear light 0..1 of sRGB 0..1 (IEC 61966-2-1)."""
    return np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)


@_jit  # type: ignore[untyped-decorator]
def cast(vertices_V3: Array, matrix_33: Array, offset_3: Array) -> Array:
    """Return the vertices as a light's map sees them."""
    out_V3 = np.empty_like(vertices_V3)
    for v in range(len(vertices_V3)):
        x, y, z = vertices_V3[v, 0], vertices_V3[v, 1], vertices_V3[v, 2]
        for k in range(3):
            out_V3[v, k] = matrix_33[k, 0] * x + matrix_33[k, 1] * y + matrix_33[k, 2] * z + offset_3[k]
    return out_V3


@_jit  # type: ignore[untyped-decorator]
def arriving(seen_V3: Array, depth_MM: Array, blur: float, out_V: Array) -> None:
    """Write the share 0..1 of a light that reaches each vertex: a weighted mean over 3 x 3 texels of its map.

    blur: centimetres over which a vertex behind the lit surface goes from light to shade.
    """
    last = len(depth_MM) - 2
    for v in range(len(seen_V3)):
        x, y = seen_V3[v, 0], seen_V3[v, 1]
        column, row = int(x + 0.5), int(y + 0.5)
        if column < 1 or row < 1 or column > last or row > last:
            out_V[v] = 1.0
            continue
        total, weight = 0.0, 0.0
        for i in range(-1, 2):
            for j in range(-1, 2):
                share = (1.5 - abs(column + j - x)) * (1.5 - abs(row + i - y))
                behind = depth_MM[row + i, column + j] - seen_V3[v, 2] - 0.5 * blur
                total += share * min(1.0, max(0.0, behind / blur))
                weight += share
        out_V[v] = 1 - total / weight


@_jit  # type: ignore[untyped-decorator]
def illuminate(surface_V9: Array, albedo_V3: Array, arrives_V: Array, direction_3: Array, hue_23: Array) -> None:
    """Add one light to the scattered light of every vertex; hue_23: its colour and its wrap, red, green, blue."""
    for v in range(len(surface_V9)):
        facing = (
            surface_V9[v, 0] * direction_3[0] + surface_V9[v, 1] * direction_3[1] + surface_V9[v, 2] * direction_3[2]
        )
        soft = 1 - surface_V9[v, 6]
        for k in range(3):
            wrap = soft * hue_23[1, k]
            lit = (facing + wrap) / (1 + wrap)
            if lit > 0:
                # shade on skin is never sharp: what scatters in from the side fills it with red first
                share = arrives_V[v] + (1 - arrives_V[v]) * 0.35 * wrap
                surface_V9[v, 3 + k] += albedo_V3[v, k] * hue_23[0, k] * share * lit


@_jit  # type: ignore[untyped-decorator]
def shade(
    index_SS: Array, screen_V3: Array, triangles_F3: Array, surface_V9: Array, glances_26: Array, image: Array
) -> None:
    """Put the face into image (height, width, 3), linear, which holds the background.

    Each triangle that shows in a pixel is worked out once, where its samples lie. glances_26: direction halfway
    between eye and light, and colour, of the two lights that make highlights.
    """
    height, width = image.shape[:2]
    light_3 = np.zeros(3, np.float32)
    for y in range(height):
        for x in range(width):
            left, top = 2 * x, 2 * y
            a, b = index_SS[top, left], index_SS[top, left + 1]
            c, d = index_SS[top + 1, left], index_SS[top + 1, left + 1]
            light_3[:] = 0
            if a == b and b == c and c == d:
                if a < 0:
                    continue
                _add(left + 0.5, top + 0.5, 4, screen_V3, triangles_F3[a], surface_V9, glances_26, light_3)
                covered = 4
            else:
                covered = _edge(index_SS, left, top, screen_V3, triangles_F3, surface_V9, glances_26, light_3)
            for k in range(3):
                image[y, x, k] = image[y, x, k] * (1 - 0.25 * covered) + 0.25 * light_3[k]


@_jit
def _edge(index_SS, left, top, screen_V3, triangles_F3, surface_V9, glances_26, light_3):  # type: ignore[no-untyped-def]
    """Return how many of a pixel's four samples are covered; adds each triangle of them once."""
    covered = 0
    for s in range(4):
        f = index_SS[top + s // 2, left + s % 2]
        count, x, y = 0, 0.0, 0.0
        for r in range(4):
            if index_SS[top + r // 2, left + r % 2] == f:
                if r < s:
                    count = -9  # done already
                count += 1
                x += left + r % 2
                y += top + r // 2
        if f >= 0 and count > 0:
            covered += count
            _add(x / count, y / count, count, screen_V3, triangles_F3[f], surface_V9, glances_26, light_3)
    return covered


@_jit
def _add(x, y, count, screen_V3, corners_3, surface_V9, glances_26, light_3):  # type: ignore[no-untyped-def]
    """Add count times the light of a triangle at a sample position."""
    a, b, c = corners_3[0], corners_3[1], corners_3[2]
    ax, ay = screen_V3[a, 0], screen_V3[a, 1]
    bx, by = screen_V3[b, 0] - ax, screen_V3[b, 1] - ay
    cx, cy = screen_V3[c, 0] - ax, screen_V3[c, 1] - ay
    scale = np.float32(1) / (cx * by - bx * cy)
    px, py = np.float32(x) - ax, np.float32(y) - ay
    ub, uc = (py * cx - px * cy) * scale, (px * by - py * bx) * scale
    ua = 1 - ub - uc
    nx = ua * surface_V9[a, 0] + ub * surface_V9[b, 0] + uc * surface_V9[c, 0]
    ny = ua * surface_V9[a, 1] + ub * surface_V9[b, 1] + uc * surface_V9[c, 1]
    nz = ua * surface_V9[a, 2] + ub * surface_V9[b, 2] + uc * surface_V9[c, 2]
    short = 1 / math.sqrt(nx * nx + ny * ny + nz * nz + np.float32(1e-12))
    gloss = ua * surface_V9[a, 6] + ub * surface_V9[b, 6] + uc * surface_V9[c, 6]
    for k in range(3):
        light_3[k] += count * (ua * surface_V9[a, 3 + k] + ub * surface_V9[b, 3 + k] + uc * surface_V9[c, 3 + k])
    power, sheen = 4 + 130 * gloss * gloss * gloss, np.float32(0.05) + np.float32(0.8) * gloss * gloss * gloss
    for n in range(2):
        half = (nx * glances_26[n, 0] + ny * glances_26[n, 1] + nz * glances_26[n, 2]) * short
        if half > 0:
            arrives = ua * surface_V9[a, 7 + n] + ub * surface_V9[b, 7 + n] + uc * surface_V9[c, 7 + n]
            peak = half / (power - power * half + half)  # Schlick's stand-in for half ** power: no logarithm
            glance = count * sheen * arrives * peak * peak
            for k in range(3):
                light_3[k] += glance * glances_26[n, 3 + k]


@_jit  # type: ignore[untyped-decorator]
def develop(image: Array, tone: Array) -> Array:
    """Return bytes of linear light (height, width, 3) through the tone curve."""
    out = np.empty(image.shape, np.uint8)
    scale = np.float32((TONE_STEPS - 1) / TONE_MAX)
    for y in range(image.shape[0]):
        for x in range(image.shape[1]):
            for k in range(3):
                out[y, x, k] = tone[min(TONE_STEPS - 1, int(max(image[y, x, k], 0.0) * scale + 0.5))]
    return out
