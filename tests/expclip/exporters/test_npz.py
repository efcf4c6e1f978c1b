"""The archive holds what its contract says, readable by plain numpy, and equal input gives equal bytes."""

import json
from pathlib import Path

import numpy as np
import pytest

from expclip.animation import Animation
from expclip.errors import BadRequestError
from expclip.exporters import npz
from expclip.rig import load_rig


def animation() -> Animation:
    weights = np.random.default_rng(1).random((7, 52), np.float32)
    return Animation(weights, 30.0, prompt="a shy smile - ほほえみ", provenance={"seed": 3, "checkpoint": "abc"})


def test_contract_for_plain_numpy(tmp_path: Path) -> None:
    npz.write(animation(), str(tmp_path / "x.npz"))
    with np.load(tmp_path / "x.npz") as table:
        assert table["weights"].dtype == np.float32
        assert table["weights"].shape == (7, 52)
        assert tuple(table["names"].tolist()) == load_rig().channels
        assert float(table["fps"]) == 30
        assert str(table["prompt"]) == "a shy smile - ほほえみ"
        assert json.loads(str(table["provenance"])) == {"seed": 3, "checkpoint": "abc"}


def test_round_trip_and_same_bytes(tmp_path: Path) -> None:
    for name in "ab":
        npz.write(animation(), str(tmp_path / f"{name}.npz"))
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()
    back = npz.read(str(tmp_path / "a.npz"))
    np.testing.assert_array_equal(back.weights_TC, animation().weights_TC)
    assert back.provenance == animation().provenance


def test_other_files_are_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "x.npz", something=np.zeros(3))
    with pytest.raises(BadRequestError, match="not an npz of weights"):
        npz.read(str(tmp_path / "x.npz"))
