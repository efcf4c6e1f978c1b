"""Pictures of the head on the CPU: weights in, pixels out; no GPU, no window, no system library.

A z-buffer with two samples a pixel in each direction, compiled by numba and cached on disk; shading is done once
for each pixel and triangle. Use `Renderer` for many pictures, `save_png` and `contact_sheet` for stills.
"""

import math
import time
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from expclip import raster, shading, storage
from expclip.rig import FloatArray, load_rig

if TYPE_CHECKING:
    from expclip.head import Head

Picture = npt.NDArray[np.uint8]

FIELD = 24.0
"""Field of view in degrees; a longer lens than a phone's, as for portraits."""
ALBEDO = 0.8
"""Paint is not ink: sRGB 1 sends back this share of the light."""
FILL = 0.9
"""Share of the picture's height that the head takes."""


class Renderer:
    """Draws one head at one size from one place. Not for several threads at once: buffers are reused."""

    def __init__(
        self,
        head: "Head | None" = None,
        size: int = 512,
        *,
        turn: float = 0.0,
        zoom: float = 1.0,
        target_3: Sequence[float] | None = None,
    ) -> None:
        """Prepare a head for pictures of size x size pixels.

        turn: degrees by which the head is turned towards its own left; zoom and target_3 (a point in the head's
        centimetres, default the middle of the head) choose what is seen.
        """
        if head is None:
            from expclip.head import load_head

            head = load_head()
        self.size = size
        self._triangles_F3 = np.ascontiguousarray(head.triangles_F3, np.int32)
        self._distance = 0.5 * float(head.height) / FILL / math.tan(math.radians(FIELD / 2))
        self._focal = zoom * size / math.tan(math.radians(FIELD / 2))
        centre_3 = np.asarray(head.centre_3 if target_3 is None else target_3, np.float32)
        yaw = math.radians(turn)
        rotation_33 = np.array(
            [[math.cos(yaw), 0, math.sin(yaw)], [0, 1, 0], [-math.sin(yaw), 0, math.cos(yaw)]], np.float32
        )
        self._vertices_V3 = np.ascontiguousarray((head.vertices_V3 - centre_3) @ rotation_33.T, np.float32)
        channel_N, self._vertex_N = np.nonzero(np.any(head.deltas_CV3 != 0, axis=2))
        self._start_C = np.searchsorted(channel_N, np.arange(len(head.deltas_CV3) + 1))
        self._delta_N3 = np.ascontiguousarray(head.deltas_CV3[channel_N, self._vertex_N] @ rotation_33.T, np.float32)
        self._surface_V9 = np.ones((len(head.vertices_V3), shading.WIDTH), np.float32)
        self._surface_V9[:, shading.GLOSS] = head.gloss_V
        self._albedo_V3 = (ALBEDO * shading.to_linear(head.colors_V3)).astype(np.float32)
        self._lamps = [_Lamp(light, 0.62 * float(head.height)) for light in shading.lights()]
        self._glances_26 = np.stack([lamp.glance_6 for lamp in self._lamps[:2]])
        self._tone = shading.tone_curve()
        self._background = _background(size)
        self._depth_SS = np.empty((2 * size, 2 * size), np.float32)
        self._index_SS = np.empty((2 * size, 2 * size), np.int32)

    def draw(self, weights_C: FloatArray) -> Picture:
        """Return the picture (size, size, 3) of weights (C,), 0..1."""
        weights_C = np.ascontiguousarray(weights_C, np.float32)
        vertices_V3 = raster.blend(self._vertices_V3, weights_C, self._start_C, self._vertex_N, self._delta_N3)
        raster.normals(vertices_V3, self._triangles_F3, self._surface_V9)
        self._illuminate(vertices_V3)
        screen_V3 = raster.project(vertices_V3, self._focal, self._distance, self.size - 0.5)
        raster.rasterise(screen_V3, self._triangles_F3, self._depth_SS, self._index_SS)
        light = self._background.copy()
        shading.shade(self._index_SS, screen_V3, self._triangles_F3, self._surface_V9, self._glances_26, light)
        return shading.develop(light, self._tone)  # type: ignore[no-any-return]

    def _illuminate(self, vertices_V3: FloatArray) -> None:
        """Write each vertex's light into the surface; every light has a shadow map of its own."""
        surface_V9 = self._surface_V9
        surface_V9[:, 3:6] = 0
        for k, lamp in enumerate(self._lamps):
            arrives_V = lamp.arriving(vertices_V3, self._triangles_F3)
            shading.illuminate(surface_V9, self._albedo_V3, arrives_V, lamp.direction_3, lamp.hue_23)
            if k < len(self._glances_26):
                surface_V9[:, shading.GLANCE + k] = arrives_V

    def frames(self, weights_TC: FloatArray) -> Iterator[Picture]:
        """Yield one picture a frame."""
        for weights_C in weights_TC:
            yield self.draw(weights_C)


class _Lamp:
    """A light with the buffers of its shadow map."""

    def __init__(self, light: shading.Light, radius: float) -> None:
        self.direction_3 = light.direction_3.astype(np.float32)
        self.hue_23 = np.stack([light.color_3, light.wrap_3])
        half_3 = light.direction_3 + np.array([0.0, 0.0, 1.0])
        self.glance_6 = np.concatenate([half_3 / np.linalg.norm(half_3), light.color_3]).astype(np.float32)
        self._shadows = light.texels > 0
        self._matrix_33, self._offset_3 = shading.view_of(light.direction_3, radius, light.texels)
        self._depth_MM = np.empty((light.texels, light.texels), np.float32)
        self._index_MM = np.empty((light.texels, light.texels), np.int32)
        self._blur = 5.0 * radius / max(light.texels, 1)

    def arriving(self, vertices_V3: FloatArray, triangles_F3: npt.NDArray[np.int32]) -> FloatArray:
        """Return the share of this light (V,) that reaches each vertex."""
        if not self._shadows:
            return np.ones(len(vertices_V3), np.float32)
        seen_V3 = shading.cast(vertices_V3, self._matrix_33, self._offset_3)
        raster.rasterise(seen_V3, triangles_F3, self._depth_MM, self._index_MM)
        arrives_V = np.empty(len(seen_V3), np.float32)
        shading.arriving(seen_V3, self._depth_MM, self._blur, arrives_V)
        return arrives_V


def _background(size: int) -> FloatArray:
    """Return a calm backdrop in linear light: a pool of light behind the head that falls off to the corners."""
    y, x = np.mgrid[0:size, 0:size] / size - 0.5
    falloff = np.exp(-3.2 * (x**2 + (y + 0.05) ** 2))[..., None]
    near, far = np.array([0.30, 0.36, 0.44]), np.array([0.05, 0.065, 0.09])
    return np.asarray(far + (near - far) * falloff, np.float32)


def save_png(path: str, weights_C: FloatArray, *, size: int = 512, turn: float = 0.0) -> None:
    """Write a still of the face; the path may be local or s3://."""
    _write(path, Renderer(size=size, turn=turn).draw(weights_C))


def contact_sheet(
    weights_KC: FloatArray,
    labels: Sequence[str],
    path: str,
    *,
    renderer: Renderer | None = None,
    columns: int = 6,
) -> None:
    """Write one PNG of many faces, row by row, each with its label."""
    from PIL import Image, ImageDraw, ImageFont

    renderer = renderer or Renderer(size=256)
    size, rows = renderer.size, -(-len(weights_KC) // columns)
    sheet = Image.new("RGB", (size * min(columns, len(weights_KC)), size * rows))
    pen, font = ImageDraw.Draw(sheet), ImageFont.load_default(max(10, size // 16))
    for k, (weights_C, label) in enumerate(zip(weights_KC, labels, strict=True)):
        left, top = size * (k % columns), size * (k // columns)
        sheet.paste(Image.fromarray(renderer.draw(weights_C)), (left, top))
        pen.text((left + size // 32, top + size // 64), label, font=font, fill=(255, 255, 255))
    _write(path, np.asarray(sheet))


def _write(path: str, picture: Picture) -> None:
    from PIL import Image

    with storage.write_once(path) as name:
        Image.fromarray(picture).save(name, format="PNG")


def measure(frames: int = 60, size: int = 512) -> float:
    """Return pictures a second of processor time on one core, mouth and lids moving; compilation is not counted."""
    renderer, rig = Renderer(size=size), load_rig()
    moving = rig.zeros(frames)
    moving[:, rig.region("mouth")] = 0.3 * np.abs(np.sin(0.3 * np.arange(frames)))[:, None]
    moving[:, rig.indices(["eyeBlinkLeft", "eyeBlinkRight"])] = np.abs(np.cos(0.2 * np.arange(frames)))[:, None]
    renderer.draw(moving[0])
    started = time.thread_time()
    for _ in renderer.frames(moving):
        pass
    return frames / (time.thread_time() - started)
