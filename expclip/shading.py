"""How the face is lit, compiled by numba: lights, skin, gloss, tone curve. Linear light in, bytes out.

Suffixes: V vertices, F triangles, S samples (two a pixel in each direction), L lights.
"""

import math
from typing import Any

import numpy as np
from numba import njit

Array = np.ndarray[Any, Any]
_jit = njit(cache=True, nogil=True, fastmath=True)

NORMAL, COLOR, GLOSS, KEY, AMBIENT, WIDTH = 0, 3, 6, 7, 8, 9
"""Columns of surface_V9: normal (3), linear colour (3), gloss, how much key light and how much sky arrives."""
TONE_STEPS = 16_384
TONE_MAX = 4.0


def tone_curve() -> Array:
    """Return the table from linear light 0..4 to bytes: straight up to .7, then a soft shoulder, then sRGB's gamma."""
    light = np.linspace(0, TONE_MAX, TONE_STEPS)
    knee = 0.7
    light = np.where(light > knee, 1 - (1 - knee) * np.exp(-(light - knee) / (1 - knee)), light)
    return np.rint(255 * to_srgb(light)).astype(np.uint8)


def to_srgb(linear: Array) -> Array:
    """Return sRGB 0..1 of linear light 0..1 (IEC 61966-2-1)."""
    return np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * np.maximum(linear, 1e-9) ** (1 / 2.4) - 0.055)


def to_linear(srgb: Array) -> Array:
    """Return linear light 0..1 of sRGB 0..1 (IEC 61966-2-1)."""
    return np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)


def lights() -> Array:
    """Return lights_L9: direction towards the light (3), colour (3), share of the shadow side that red, green and
    blue still reach (light that skin scatters). The first is the key, the only one that casts shadows."""
    rows = [
        (-0.50, 0.55, 0.80, 2.05, 1.92, 1.75, 0.42, 0.20, 0.13),
        (0.85, 0.05, 0.50, 0.36, 0.42, 0.54, 0.30, 0.20, 0.15),
        (0.60, 0.50, -0.75, 1.10, 1.15, 1.30, 0.05, 0.05, 0.05),
        (-0.90, 0.20, -0.60, 0.50, 0.48, 0.55, 0.05, 0.05, 0.05),
    ]
    lights_L9 = np.array(rows, np.float32)
    lights_L9[:, :3] /= np.linalg.norm(lights_L9[:, :3], axis=1, keepdims=True)
    return lights_L9


@_jit  # type: ignore[untyped-decorator]
def shade(
    index_SS: Array, screen_V3: Array, triangles_F3: Array, surface_V9: Array, lights_L9: Array, image: Array
) -> None:
    """Light the face into image (height, width, 3), linear, which holds the background: once a pixel and triangle.

    lights_L9: direction (3), colour (3), wrap of red, green and blue behind the terminator; the first row is the key.
    """
    height, width = image.shape[:2]
    light_3 = np.zeros(3, np.float32)
    for y in range(height):
        for x in range(width):
            covered = 0
            light_3[:] = 0
            for s in range(4):
                f = index_SS[2 * y + s // 2, 2 * x + s % 2]
                if f < 0:
                    continue
                first = True
                for r in range(s):
                    first = first and index_SS[2 * y + r // 2, 2 * x + r % 2] != f
                if not first:
                    continue
                count, sx, sy = 0, 0.0, 0.0
                for r in range(s, 4):
                    if index_SS[2 * y + r // 2, 2 * x + r % 2] == f:
                        count += 1
                        sx += 2 * x + r % 2
                        sy += 2 * y + r // 2
                covered += count
                _light(sx / count, sy / count, f, count, width, screen_V3, triangles_F3, surface_V9, lights_L9, light_3)
            if covered:
                for k in range(3):
                    image[y, x, k] = image[y, x, k] * (1 - 0.25 * covered) + 0.25 * light_3[k]


@_jit  # type: ignore[untyped-decorator]
def _light(sx, sy, f, count, width, screen_V3, triangles_F3, surface_V9, lights_L9, light_3):  # type: ignore
    a, b, c = triangles_F3[f, 0], triangles_F3[f, 1], triangles_F3[f, 2]
    ax, ay = screen_V3[a, 0], screen_V3[a, 1]
    bx, by = screen_V3[b, 0] - ax, screen_V3[b, 1] - ay
    cx, cy = screen_V3[c, 0] - ax, screen_V3[c, 1] - ay
    inverse = 1 / (cx * by - bx * cy)
    ub = ((sy - ay) * cx - (sx - ax) * cy) * inverse
    uc = ((sx - ax) * by - (sy - ay) * bx) * inverse
    ua = 1 - ub - uc
    nx = ua * surface_V9[a, 0] + ub * surface_V9[b, 0] + uc * surface_V9[c, 0]
    ny = ua * surface_V9[a, 1] + ub * surface_V9[b, 1] + uc * surface_V9[c, 1]
    nz = ua * surface_V9[a, 2] + ub * surface_V9[b, 2] + uc * surface_V9[c, 2]
    length = 1 / math.sqrt(nx * nx + ny * ny + nz * nz + 1e-12)
    nx, ny, nz = nx * length, ny * length, nz * length
    gloss = ua * surface_V9[a, 6] + ub * surface_V9[b, 6] + uc * surface_V9[c, 6]
    key = ua * surface_V9[a, 7] + ub * surface_V9[b, 7] + uc * surface_V9[c, 7]
    sky = ua * surface_V9[a, 8] + ub * surface_V9[b, 8] + uc * surface_V9[c, 8]
    vx, vy = (width - sx) * 0.00018, (sy - width) * 0.00018  # towards the eye, nearly along z
    vz = 1 - 0.5 * (vx * vx + vy * vy)
    power = 10 + 300 * gloss * gloss * gloss
    sheen = 0.06 + 0.9 * gloss * gloss * gloss
    up = 0.5 + 0.5 * ny
    soft = 1 - gloss
    red, green, blue = sky * (0.20 + 0.12 * up), sky * (0.19 + 0.15 * up), sky * (0.20 + 0.20 * up)
    shine_r, shine_g, shine_b = 0.0, 0.0, 0.0
    for n in range(len(lights_L9)):
        lx, ly, lz = lights_L9[n, 0], lights_L9[n, 1], lights_L9[n, 2]
        facing = nx * lx + ny * ly + nz * lz
        arrives = key if n == 0 else sky
        wrap = lights_L9[n, 6] * soft
        red += lights_L9[n, 3] * arrives * max(0.0, (facing + wrap) / (1 + wrap)) ** 1.3
        wrap = lights_L9[n, 7] * soft
        green += lights_L9[n, 4] * arrives * max(0.0, (facing + wrap) / (1 + wrap)) ** 1.3
        wrap = lights_L9[n, 8] * soft
        blue += lights_L9[n, 5] * arrives * max(0.0, (facing + wrap) / (1 + wrap)) ** 1.3
        if facing > 0:
            hx, hy, hz = lx + vx, ly + vy, lz + vz
            half = (nx * hx + ny * hy + nz * hz) / math.sqrt(hx * hx + hy * hy + hz * hz)
            glance = sheen * arrives * max(half, 0.0) ** power
            shine_r += lights_L9[n, 3] * glance
            shine_g += lights_L9[n, 4] * glance
            shine_b += lights_L9[n, 5] * glance
    share = np.float32(count)
    light_3[0] += share * (
        red * (ua * surface_V9[a, 3] + ub * surface_V9[b, 3] + uc * surface_V9[c, 3]) * 0.62 + shine_r
    )
    light_3[1] += share * (
        green * (ua * surface_V9[a, 4] + ub * surface_V9[b, 4] + uc * surface_V9[c, 4]) * 0.62 + shine_g
    )
    light_3[2] += share * (
        blue * (ua * surface_V9[a, 5] + ub * surface_V9[b, 5] + uc * surface_V9[c, 5]) * 0.62 + shine_b
    )


@_jit  # type: ignore[untyped-decorator]
def develop(image: Array, tone: Array) -> Array:
    """Return bytes of linear light (height, width, 3) through the tone curve."""
    out = np.empty(image.shape, np.uint8)
    scale = (TONE_STEPS - 1) / TONE_MAX
    for y in range(image.shape[0]):
        for x in range(image.shape[1]):
            for k in range(3):
                out[y, x, k] = tone[min(TONE_STEPS - 1, int(max(image[y, x, k], 0.0) * scale + 0.5))]
    return out
