"""The glb: sound structure, targets by name, weights frame after frame, small; valid by Khronos' own checker."""

import json
import os
import shutil
import struct
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from expclip.animation import Animation
from expclip.exporters import glb
from expclip.head import load_head
from expclip.rig import load_rig

TYPES = {5121: np.uint8, 5123: np.uint16, 5125: np.uint32, 5126: np.float32}
WIDTHS = {"SCALAR": 1, "VEC3": 3, "VEC4": 4}


def animation(frames: int = 7) -> Animation:
    weights_TC = np.random.default_rng(0).random((frames, 52), np.float32)
    return Animation(weights_TC, 30.0, prompt='a "smug" grin – très à l\'aise')


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("glb") / "clip.glb"
    glb.write(animation(), str(path))
    return path


@pytest.fixture(scope="module")
def parsed(file: Path) -> tuple[dict[str, Any], bytes]:
    return parse(file)


def parse(path: Path) -> tuple[dict[str, Any], bytes]:
    """Return document and binary chunk after checking header, lengths, alignment and padding."""
    content = path.read_bytes()
    magic, version, total = struct.unpack_from("<4sII", content)
    assert (magic, version, total) == (b"glTF", 2, len(content))
    text_size, text_kind = struct.unpack_from("<I4s", content, 12)
    assert text_kind == b"JSON"
    assert text_size % 4 == 0
    text = content[20 : 20 + text_size]
    data_size, data_kind = struct.unpack_from("<I4s", content, 20 + text_size)
    assert data_kind == b"BIN\0"
    assert data_size % 4 == 0
    data = content[28 + text_size :]
    assert len(data) == data_size
    document = json.loads(text)
    assert document["buffers"] == [{"byteLength": data_size}]
    return document, data


def viewed(document: dict[str, Any], data: bytes, number: int, kind: int, count: int) -> np.ndarray:
    view = document["bufferViews"][number]
    start, size = view["byteOffset"], view["byteLength"]
    item = np.dtype(TYPES[kind])
    assert start % 4 == 0
    assert start + size <= len(data)
    assert size == count * item.itemsize
    return np.frombuffer(data, item, count, start)


def read(document: dict[str, Any], data: bytes, number: int) -> np.ndarray:
    """Return an accessor's rows, sparse or not, and check its bounds."""
    accessor = document["accessors"][number]
    width, count, kind = WIDTHS[accessor["type"]], accessor["count"], accessor["componentType"]
    if "bufferView" in accessor:
        rows = viewed(document, data, accessor["bufferView"], kind, count * width).reshape(count, width).copy()
    else:
        rows = np.zeros((count, width), TYPES[kind])
    if sparse := accessor.get("sparse"):
        spots = viewed(
            document, data, sparse["indices"]["bufferView"], sparse["indices"]["componentType"], sparse["count"]
        )
        assert (np.diff(spots.astype(int)) > 0).all()
        assert spots.max() < count
        values = viewed(document, data, sparse["values"]["bufferView"], kind, sparse["count"] * width)
        rows[spots] = values.reshape(-1, width)
    if "min" in accessor:
        np.testing.assert_array_equal(np.float32(accessor["min"]), rows.min(0))
        np.testing.assert_array_equal(np.float32(accessor["max"]), rows.max(0))
    return rows


def test_every_accessor_lies_within_the_data(parsed: tuple[dict[str, Any], bytes]) -> None:
    document, data = parsed
    for number in range(len(document["accessors"])):
        assert np.isfinite(read(document, data, number)).all()


def test_one_node_with_a_target_for_each_channel(parsed: tuple[dict[str, Any], bytes]) -> None:
    document, _ = parsed
    assert [node["name"] for node in document["nodes"]] == ["Head"]
    mesh = document["meshes"][0]
    assert tuple(mesh["extras"]["targetNames"]) == load_rig().channels
    assert mesh["weights"] == [0.0] * 52
    assert all(len(primitive["targets"]) == 52 for primitive in mesh["primitives"])
    assert {p["material"] for p in mesh["primitives"]} == set(range(len(document["materials"])))


def test_the_head_is_whole_in_metres(parsed: tuple[dict[str, Any], bytes]) -> None:
    document, data = parsed
    head, primitives = load_head(), document["meshes"][0]["primitives"]
    positions = read(document, data, primitives[0]["attributes"]["POSITION"])
    np.testing.assert_allclose(positions, head.vertices_V3 / 100, atol=1e-6)
    normals = read(document, data, primitives[0]["attributes"]["NORMAL"])
    np.testing.assert_allclose(np.linalg.norm(normals, axis=1), 1, atol=1e-5)
    triangles = np.concatenate([read(document, data, p["indices"]).reshape(-1, 3) for p in primitives])
    assert sorted(map(tuple, triangles.tolist())) == sorted(map(tuple, head.triangles_F3.tolist()))


def test_a_target_moves_what_its_channel_moves(parsed: tuple[dict[str, Any], bytes]) -> None:
    document, data = parsed
    targets = document["meshes"][0]["primitives"][0]["targets"]
    for name in ("jawOpen", "eyeBlinkLeft", "mouthSmileRight"):
        k = load_rig().index(name)
        moved = read(document, data, targets[k]["POSITION"])
        np.testing.assert_allclose(moved, load_head().deltas_CV3[k] / 100, atol=1.1e-5)
        assert np.abs(read(document, data, targets[k]["NORMAL"])).max() < 2.01


def test_weights_come_back_by_name(parsed: tuple[dict[str, Any], bytes]) -> None:
    document, data = parsed
    (motion,) = document["animations"]
    assert motion["channels"] == [{"sampler": 0, "target": {"node": 0, "path": "weights"}}]
    sampler = motion["samplers"][0]
    assert sampler["interpolation"] == "LINEAR"
    times = read(document, data, sampler["input"])
    assert "min" in document["accessors"][sampler["input"]]
    np.testing.assert_allclose(times[:, 0], np.arange(7) / 30, atol=1e-6)
    names = document["meshes"][0]["extras"]["targetNames"]
    values = read(document, data, sampler["output"]).reshape(7, 52)
    for name in ("jawOpen", "browInnerUp", "tongueOut"):
        np.testing.assert_array_equal(values[:, names.index(name)], animation().channel(name))


def test_the_file_says_what_it_is(parsed: tuple[dict[str, Any], bytes]) -> None:
    asset = parsed[0]["asset"]
    assert asset["version"] == "2.0"
    assert asset["generator"].startswith("expclip ")
    about = asset["extras"]
    assert (about["prompt"], about["fps"], about["rig"]) == (animation().prompt, 30.0, "arkit52")
    assert tuple(about["channels"]) == load_rig().channels


def test_a_second_file_does_not_hold_the_first(file: Path, tmp_path: Path) -> None:
    glb.write(animation(frames=90), str(tmp_path / "long.glb"))
    glb.write(animation(), str(tmp_path / "again.glb"))
    assert (tmp_path / "again.glb").read_bytes() == file.read_bytes()
    assert (tmp_path / "long.glb").stat().st_size < 3_000_000


@pytest.mark.parametrize("frames", [0, 1])
def test_very_short_animations(tmp_path: Path, frames: int) -> None:
    path = tmp_path / "short.glb"
    glb.write(animation(frames), str(path))
    document, data = parse(path)
    assert len(document.get("animations", [])) == min(frames, 1)
    for number in range(len(document["accessors"])):
        read(document, data, number)


CHECK = """
const validator = require(process.argv[1]), fs = require('fs');
validator.validateBytes(new Uint8Array(fs.readFileSync(process.argv[2])))
  .then(report => console.log(JSON.stringify(report.issues)));
"""


def test_khronos_validator_is_content(file: Path) -> None:
    """Set EXPCLIP_GLTF_VALIDATOR to the folder of the npm package gltf-validator to run this."""
    folder, node = os.environ.get("EXPCLIP_GLTF_VALIDATOR"), shutil.which("node")
    if not folder or not node:
        pytest.skip("needs node and EXPCLIP_GLTF_VALIDATOR, the folder of the npm package gltf-validator")
    done = subprocess.run([node, "-e", CHECK, folder, str(file)], capture_output=True, text=True, check=True)
    issues = json.loads(done.stdout)
    assert (issues["numErrors"], issues["numWarnings"]) == (0, 0), issues["messages"]
