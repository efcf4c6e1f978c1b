"""FACEGOOD's recordings with and without captured weights."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from expclip.rig import load_rig

RIG = load_rig()


def write_clip(folder: Path, key: str, *, kind: str = "flac", weights: bool = True) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    soundfile.write(folder / f"{key}.{kind}", np.zeros(32_000), 16_000)
    if weights:
        arkit = RIG.zeros(60).astype(np.float16)
        arkit[15:45, RIG.index("jawOpen")] = 0.3
        np.savez(folder / f"{key}.npz", arkit=arkit, arkit_names=np.array(RIG.channels), fps=np.array(30.0))


def test_recordings_with_weights(tmp_path: Path, bring: Callable[..., Any]) -> None:
    for key in ("1114_2_04", "1114_3_15", "1114_2_01"):
        write_clip(tmp_path, key)
    found = bring("facegood", tmp_path)
    assert {name: clip["split"] for name, clip in found.clips.items()} == {
        "facegood_1114_2_01": "train",
        "facegood_1114_2_04": "test",
        "facegood_1114_3_15": "train",
    }
    assert found.clips["facegood_1114_2_01"]["language"] == "zh"
    assert found.notes("facegood_1114_2_01")["sound"] == "silence"
    track = found.tracks["facegood_1114_2_01"]
    weights_TC = np.asarray(track["weights"])
    assert weights_TC.shape == (100, 52)
    assert weights_TC[:, RIG.index("jawOpen")].max() == pytest.approx(0.45, abs=0.01)
    assert weights_TC[:20].max() == 0
    assert "mouthClose" not in track["mask"]
    assert found.tracks["facegood_1114_3_15"]["mask"] == ["jawOpen"]


def test_the_published_layout_brings_sound_alone(tmp_path: Path, bring: Callable[..., Any]) -> None:
    write_clip(tmp_path / "wav", "1114_2_05", kind="wav", weights=False)
    found = bring("facegood", tmp_path)
    assert list(found.clips) == ["facegood_1114_2_05"]
    assert found.tracks == {}


def test_a_folder_without_sound_is_refused(tmp_path: Path, refused: Callable[..., str]) -> None:
    assert "holds nothing for corpus 'facegood': expected KEY.wav" in refused("facegood", tmp_path)
