"""Export to .glb (binary glTF 2.0): our head with one morph target a channel and the weights as an animation.

Targets carry the channels' names in `mesh.extras.targetNames`. Lengths are metres. The head is packed once a
process and shared by all files; morph targets are sparse, so that a file stays small.
"""

import json
import struct
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

import expclip
from expclip.rig import load_rig

if TYPE_CHECKING:
    from expclip.animation import Animation
    from expclip.head import Head

Json = dict[str, Any]

NODE = "Head"
_TYPES = {np.dtype(np.uint16): 5123, np.dtype(np.uint32): 5125, np.dtype(np.float32): 5126}
_SHAPES = {1: "SCALAR", 3: "VEC3", 4: "VEC4"}
_ATTRIBUTES, _ELEMENTS = 34962, 34963
_METRES = 0.01
_SEEN = 0.001
"""Centimetres that a vertex must move to be stored in a target."""
_TURNED = 0.03
"""What a unit normal must change by to be stored in a target."""
_GLOSSY = 0.6
"""From this gloss on a triangle is eye or tooth, not skin."""


@dataclass
class _Pack:
    """Binary data in the making, with the accessors and views that describe it."""

    data: bytearray = field(default_factory=bytearray)
    views: list[Json] = field(default_factory=list)
    accessors: list[Json] = field(default_factory=list)

    def view(self, values: npt.NDArray[Any], target: int | None = None) -> int:
        """Append an array, aligned to 4 bytes, and return the number of its view."""
        self.data += bytes(-len(self.data) % 4)
        entry: Json = {"buffer": 0, "byteOffset": len(self.data), "byteLength": values.nbytes}
        self.data += np.ascontiguousarray(values).tobytes()
        self.views.append(entry | ({"target": target} if target else {}))
        return len(self.views) - 1

    def add(self, values: npt.NDArray[Any], target: int | None = None, *, bounds: bool = False) -> int:
        """Append an array as an accessor, integers of colours as fractions; bounds: write its min and max."""
        entry = self._accessor(values, len(values)) | {"bufferView": self.view(values, target)}
        if bounds:
            entry |= _bounds(values)
        return self._keep(entry)

    def add_sparse(self, values: npt.NDArray[Any], kept: npt.NDArray[Any], *, bounds: bool = False) -> int:
        """Append rows `kept` of an array, the other rows as zeros."""
        values = np.where(np.isin(np.arange(len(values)), kept)[:, None], values, np.float32(0))
        entry = self._accessor(values, len(values))
        if len(kept):
            entry["sparse"] = {
                "count": len(kept),
                "indices": {"bufferView": self.view(kept.astype(np.uint16)), "componentType": 5123},
                "values": {"bufferView": self.view(values[kept])},
            }
        if bounds:
            entry |= _bounds(values)
        return self._keep(entry)

    def _keep(self, entry: Json) -> int:
        self.accessors.append(entry)
        return len(self.accessors) - 1

    @staticmethod
    def _accessor(values: npt.NDArray[Any], count: int) -> Json:
        width = values.shape[1] if values.ndim > 1 else 1
        return {"componentType": _TYPES[values.dtype], "type": _SHAPES[width], "count": count}


def _bounds(values: npt.NDArray[Any]) -> Json:
    rows = values.reshape(len(values), -1)
    return {"min": rows.min(0).tolist(), "max": rows.max(0).tolist()}


def write(animation: "Animation", path: str) -> None:
    """Write the head and the animation to a local file; columns go to the targets by name."""
    weights_TC = load_rig().reorder(animation.weights_TC, animation.names)
    document, data = _head_document()
    pack = _Pack(bytearray(data), list(document["bufferViews"]), list(document["accessors"]))
    about = {"prompt": animation.prompt, "fps": animation.fps, "rig": load_rig().name}
    if len(weights_TC):
        times = pack.add((np.arange(len(weights_TC)) / animation.fps).astype(np.float32), bounds=True)
        values = pack.add(weights_TC.astype(np.float32).reshape(-1))
        channel = {"sampler": 0, "target": {"node": 0, "path": "weights"}}
        sampler = {"input": times, "output": values, "interpolation": "LINEAR"}
        document = document | {"animations": [{"name": "Speech", "channels": [channel], "samplers": [sampler]}]}
    document = document | {
        "asset": document["asset"] | {"extras": about | {"channels": list(load_rig().channels)}},
        "accessors": pack.accessors,
        "bufferViews": pack.views,
    }
    with open(path, "wb") as file:
        file.write(_container(document, bytes(pack.data)))


def _container(document: Json, data: bytes) -> bytes:
    """Return header, JSON chunk padded with spaces and binary chunk padded with zeros, both to 4 bytes."""
    data += bytes(-len(data) % 4)
    document = document | {"buffers": [{"byteLength": len(data)}]}
    text = json.dumps(document, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()
    text += b" " * (-len(text) % 4)
    chunks = struct.pack("<I4s", len(text), b"JSON") + text + struct.pack("<I4s", len(data), b"BIN\0") + data
    return struct.pack("<4sII", b"glTF", 2, 12 + len(chunks)) + chunks


@cache
def _head_document() -> tuple[Json, bytes]:
    """Return the document of the resting head and its binary data; packed once."""
    from expclip.head import load_head

    head, rig, pack = load_head(), load_rig(), _Pack()
    attributes, targets = _attributes(head, pack), _targets(head, pack)
    glossy_F = head.gloss_V[head.triangles_F3].mean(1) >= _GLOSSY
    primitives = [
        {
            "attributes": attributes,
            "indices": pack.add(head.triangles_F3[chosen_F].astype(np.uint16).reshape(-1), _ELEMENTS),
            "material": material,
            "targets": targets,
        }
        for material, chosen_F in enumerate((~glossy_F, glossy_F))
        if chosen_F.any()
    ]
    mesh = {
        "name": NODE,
        "primitives": primitives,
        "weights": [0.0] * len(rig),
        "extras": {"targetNames": list(rig.channels)},
    }
    document = {
        "asset": {"version": "2.0", "generator": f"expclip {expclip.__version__}"},
        "scene": 0,
        "scenes": [{"nodes": [0]}],
        "nodes": [{"name": NODE, "mesh": 0}],
        "meshes": [mesh],
        "materials": [_material("Skin", 0.55), _material("Eyes and teeth", 0.12)],
        "accessors": pack.accessors,
        "bufferViews": pack.views,
    }
    return document, bytes(pack.data)


def _material(name: str, roughness: float) -> Json:
    surface = {"baseColorFactor": [1.0, 1.0, 1.0, 1.0], "metallicFactor": 0.0, "roughnessFactor": roughness}
    return {"name": name, "pbrMetallicRoughness": surface}


def _attributes(head: "Head", pack: _Pack) -> Json:
    from expclip.shading import to_linear

    color_V4 = np.ones((len(head.colors_V3), 4))
    color_V4[:, :3] = to_linear(head.colors_V3)  # glTF's vertex colours are linear
    colors = pack.add(np.rint(65_535 * color_V4).astype(np.uint16), _ATTRIBUTES)
    pack.accessors[colors]["normalized"] = True
    return {
        "POSITION": pack.add((head.vertices_V3 * _METRES).astype(np.float32), _ATTRIBUTES, bounds=True),
        "NORMAL": pack.add(_normals(head, head.vertices_V3), _ATTRIBUTES),
        "COLOR_0": colors,
    }


def _targets(head: "Head", pack: _Pack) -> list[Json]:
    """Return one morph target a channel: moves of positions, and of normals where those turn."""
    rest_V3 = _normals(head, head.vertices_V3)
    targets = []
    for delta_V3 in head.deltas_CV3:
        turn_V3 = _normals(head, head.vertices_V3 + delta_V3) - rest_V3
        targets.append(
            {
                "POSITION": pack.add_sparse(
                    (delta_V3 * _METRES).astype(np.float32), _rows(delta_V3, _SEEN), bounds=True
                ),
                "NORMAL": pack.add_sparse(turn_V3, _rows(turn_V3, _TURNED)),
            }
        )
    return targets


def _rows(values_V3: npt.NDArray[np.float32], least: float) -> npt.NDArray[np.int64]:
    """Return the rows in which something exceeds `least`."""
    return np.flatnonzero(np.abs(values_V3).max(1) > least)


def _normals(head: "Head", vertices_V3: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    from expclip import raster

    normals_V3 = np.empty((len(vertices_V3), 3), np.float32)
    raster.normals(vertices_V3, head.triangles_F3, normals_V3)
    return normals_V3
