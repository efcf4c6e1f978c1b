"""Geometry kernels of the renderer, compiled by numba: blend, normals, projection, z-buffer. One thread, no GIL.

Suffixes: V vertices, F triangles, S samples of the picture, N stored deltas, C channels.
Screen coordinates are in samples, x to the right and y downwards; the third is 1 / distance (larger is nearer).
"""

import math
from typing import Any

import numpy as np
from numba import njit

Array = np.ndarray[Any, Any]
_jit = njit(cache=True, nogil=True, fastmath=True)


@_jit  # type: ignore[untyped-decorator]
def blend(vertices_V3: Array, weights_C: Array, start_C: Array, vertex_N: Array, delta_N3: Array) -> Array:
    """Return vertices_V3 plus the sum of weight x delta, deltas stored channel after channel (start_C has C + 1)."""
    out_V3 = vertices_V3.copy()
    for c in range(len(weights_C)):
        w = weights_C[c]
        if w != 0:
            for n in range(start_C[c], start_C[c + 1]):
                v = vertex_N[n]
                out_V3[v, 0] += w * delta_N3[n, 0]
                out_V3[v, 1] += w * delta_N3[n, 1]
                out_V3[v, 2] += w * delta_N3[n, 2]
    return out_V3


@_jit  # type: ignore[untyped-decorator]
def normals(vertices_V3: Array, triangles_F3: Array, out_V: Array) -> None:
    """Write unit normals into out_V[:, :3]: mean of the touching triangles' normals weighted by their area."""
    out_V[:, :3] = 0
    for f in range(len(triangles_F3)):
        a, b, c = triangles_F3[f, 0], triangles_F3[f, 1], triangles_F3[f, 2]
        x, y, z = vertices_V3[a, 0], vertices_V3[a, 1], vertices_V3[a, 2]
        px, py, pz = vertices_V3[b, 0] - x, vertices_V3[b, 1] - y, vertices_V3[b, 2] - z
        qx, qy, qz = vertices_V3[c, 0] - x, vertices_V3[c, 1] - y, vertices_V3[c, 2] - z
        nx, ny, nz = py * qz - pz * qy, pz * qx - px * qz, px * qy - py * qx
        for v in (a, b, c):
            out_V[v, 0] += nx
            out_V[v, 1] += ny
            out_V[v, 2] += nz
    for v in range(len(out_V)):
        length = math.sqrt(out_V[v, 0] ** 2 + out_V[v, 1] ** 2 + out_V[v, 2] ** 2) + 1e-12
        out_V[v, 0] /= length
        out_V[v, 1] /= length
        out_V[v, 2] /= length


@_jit  # type: ignore[untyped-decorator]
def project(vertices_V3: Array, focal: float, distance: float, middle: float) -> Array:
    """Return screen_V3 for a camera at (0, 0, distance) that looks along -z; focal length in samples."""
    screen_V3 = np.empty_like(vertices_V3)
    for v in range(len(vertices_V3)):
        near = 1 / (distance - vertices_V3[v, 2])
        screen_V3[v, 0] = middle + focal * vertices_V3[v, 0] * near
        screen_V3[v, 1] = middle - focal * vertices_V3[v, 1] * near
        screen_V3[v, 2] = near
    return screen_V3


@_jit  # type: ignore[untyped-decorator]
def rasterise(screen_V3: Array, triangles_F3: Array, depth_SS: Array, index_SS: Array) -> None:
    """Fill depth_SS and index_SS (number of the nearest triangle, -1 for none); what faces away is left out."""
    depth_SS[:] = 0
    index_SS[:] = -1
    height, width = depth_SS.shape
    for f in range(len(triangles_F3)):
        a, b, c = triangles_F3[f, 0], triangles_F3[f, 1], triangles_F3[f, 2]
        ax, ay, az = screen_V3[a, 0], screen_V3[a, 1], screen_V3[a, 2]
        bx, by, bz = screen_V3[b, 0], screen_V3[b, 1], screen_V3[b, 2]
        cx, cy, cz = screen_V3[c, 0], screen_V3[c, 1], screen_V3[c, 2]
        area = (cx - ax) * (by - ay) - (bx - ax) * (cy - ay)  # y points down: counter-clockwise is positive here
        if area <= 1e-9:
            continue
        left, right = max(0, math.ceil(min(ax, bx, cx))), min(width - 1, math.floor(max(ax, bx, cx)))
        top, bottom = max(0, math.ceil(min(ay, by, cy))), min(height - 1, math.floor(max(ay, by, cy)))
        inverse = 1 / area
        ub_x, ub_y = (ay - cy) * inverse, (cx - ax) * inverse  # share of b grows by this for a step in x, in y
        uc_x, uc_y = (by - ay) * inverse, (ax - bx) * inverse
        ua_x = -ub_x - uc_x
        z_x, z_y = ub_x * (bz - az) + uc_x * (cz - az), ub_y * (bz - az) + uc_y * (cz - az)
        b_cut = -1 / ub_x if ub_x != 0 else np.float32(0)
        c_cut = -1 / uc_x if uc_x != 0 else np.float32(0)
        a_cut = -1 / ua_x if ua_x != 0 else np.float32(0)
        for y in range(top, bottom + 1):
            # where each share is 0 on this row, to the right of a; the span lies between
            ub, uc = (y - ay) * ub_y, (y - ay) * uc_y
            ua = 1 - ub - uc
            low, high = left - ax, right - ax
            low, high = _clip(ub, ub_x, ub * b_cut, low, high)
            low, high = _clip(uc, uc_x, uc * c_cut, low, high)
            low, high = _clip(ua, ua_x, ua * a_cut, low, high)
            if low > high:
                continue
            first, last = math.ceil(low + ax), math.floor(high + ax)
            z = az + (first - ax) * z_x + (y - ay) * z_y
            for x in range(first, last + 1):
                if z > depth_SS[y, x]:
                    depth_SS[y, x] = z
                    index_SS[y, x] = f
                z += z_x


@_jit
def _clip(share, slope, cut, low, high):  # type: ignore[no-untyped-def]
    """Return the part of low..high in which share + slope * x >= 0; cut is where it is 0."""
    if slope > 0:
        return max(low, cut), high
    if slope < 0:
        return low, min(high, cut)
    return (low, high) if share >= 0 else (high + 1, high)
