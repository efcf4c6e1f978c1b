"""BEAT2 in its own layout: FLAME motion that stays out, unless the user brings a matrix."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from expclip.corpora import Options
from expclip.errors import BadRequestError


@pytest.fixture
def root(tmp_path: Path, sound: Callable[..., None]) -> Path:
    base = tmp_path / "beat_english_v2.0.0"
    (base / "smplxflame_30").mkdir(parents=True)
    for key in ("2_scott_0_1_1", "2_scott_0_20_20", "2_scott_0_21_21"):
        sound(base / "wave16k" / f"{key}.wav")
        poses, expressions = np.zeros((60, 165), np.float32), np.zeros((60, 100), np.float32)
        poses[20:30, 66] = 0.3  # the jaw's first angle
        expressions[:, 0] = np.linspace(-1, 1, 60)
        np.savez(
            base / "smplxflame_30" / f"{key}.npz", poses=poses, expressions=expressions, trans=np.zeros((60, 3)),
            betas=np.zeros(300), mocap_frame_rate=np.array(30),
        )  # fmt: skip
    (base / "smplxflame_30" / "2_scott_0_21_21.npz").write_bytes(b"no archive")
    (base / "textgrid").mkdir()
    (base / "train_test_split.csv").write_text("id,type\n2_scott_0_1_1,train\n2_scott_0_20_20,additional\n")
    return tmp_path


@pytest.fixture
def matrix(tmp_path: Path) -> str:
    values = np.zeros((103, 2), np.float32)
    values[100, 0], values[0, 1] = 2.0, 0.5
    path = tmp_path / "matrix.npz"
    np.savez(path, matrix=values, names=np.array(["JawOpen", "mouthSmile_L"]))
    return str(path)


def test_clips_come_without_motion_and_say_so(root: Path, bring: Callable[..., Any]) -> None:
    found = bring("beat2", root)
    assert found.tracks == {}
    assert found.errors == {}
    assert {name: clip["split"] for name, clip in found.clips.items()} == {
        "beat2_2_scott_0_1_1": "train",
        "beat2_2_scott_0_20_20": "train",
        "beat2_2_scott_0_21_21": "train",
    }
    assert "FLAME, not ARKit weights" in found.notes("beat2_2_scott_0_1_1")["motion"]


def test_a_matrix_of_the_users_brings_tracks(root: Path, matrix: str, bring: Callable[..., Any]) -> None:
    found = bring("beat2", root, Options(matrix=matrix))
    assert set(found.errors) == {"beat2_2_scott_0_21_21"}
    track = found.tracks["beat2_2_scott_0_1_1"]
    assert track["mask"] == ["jawOpen", "mouthSmileLeft"]
    jaw_T = found.channel("beat2_2_scott_0_1_1", "jawOpen")
    assert jaw_T[40].item() == pytest.approx(0.6, abs=0.01)
    assert jaw_T[10] == 0
    assert "range" in found.notes("beat2_2_scott_0_1_1")


@pytest.mark.parametrize("content", [{"m": 1}, {"matrix": np.zeros((3, 3)), "names": ["jawOpen"] * 3}])
def test_a_file_that_is_no_matrix_is_refused(root: Path, content: Any, bring: Callable[..., Any]) -> None:
    np.savez(root / "bad.npz", **content)
    with pytest.raises(BadRequestError, match=r"bad\.npz"):
        bring("beat2", root, Options(matrix=str(root / "bad.npz")))
