"""Audio2Face JSON: its fields, its names, and the way back by name."""

import json
from pathlib import Path

import numpy as np
import pytest

from expclip.animation import Animation
from expclip.errors import BadRequestError
from expclip.exporters import a2f_json
from expclip.rig import load_rig

RIG = load_rig()


def test_fields_and_ramp_by_name(tmp_path: Path) -> None:
    path = tmp_path / "x.a2f.json"
    a2f_json.write(Animation(np.tile(np.arange(52, dtype=np.float32) / 100, (4, 1)), 30.0), str(path))
    table = json.loads(path.read_text("utf-8"))
    assert (table["exportFps"], table["numPoses"], table["numFrames"]) == (30, 52, 4)
    assert len(table["weightMat"]) == 4
    frame = dict(zip(table["facsNames"], table["weightMat"][2], strict=True))
    assert frame["JawOpen"] == pytest.approx(RIG.index("jawOpen") / 100)
    assert frame["TongueOut"] == pytest.approx(0.51)


def test_round_trip_keeps_sides_and_odd_values(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    weights = random.uniform(-0.1, 1.2, (20, 52)).astype(np.float32)
    path = str(tmp_path / "x.a2f.json")
    a2f_json.write(Animation(weights, 59.94), path)
    back = a2f_json.read(path)
    np.testing.assert_allclose(back.weights_TC, weights, atol=1e-7)
    assert back.fps == 59.94


def test_names_decide_and_deprecated_ones_are_ignored(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    names = ["jawOpen", "HeadRoll_deprecated", "MouthSmileLeft"]
    table = {"exportFps": 30, "numPoses": 3, "numFrames": 1, "facsNames": names, "weightMat": [[0.5, 9, 0.25]]}
    path.write_text(json.dumps(table), "utf-8")
    back = a2f_json.read(str(path))
    assert back.channel("jawOpen")[0] == 0.5
    assert back.channel("mouthSmileLeft")[0] == 0.25
    assert back.weights_TC.sum() == 0.75


def test_empty_animation_is_valid_json(tmp_path: Path) -> None:
    path = str(tmp_path / "x.a2f.json")
    a2f_json.write(Animation(RIG.zeros(0), 30.0), path)
    assert len(a2f_json.read(path)) == 0


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"exportFps": 30, "facsNames": ["jawOpen"], "weightMat": [[1, 2]]}'])
def test_other_files_are_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "x.json").write_text(text, "utf-8")
    with pytest.raises(BadRequestError, match="not an Audio2Face JSON"):
        a2f_json.read(str(tmp_path / "x.json"))
