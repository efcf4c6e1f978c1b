"""FACEGOOD's recordings with and without captured weights."""

from pathlib import Path

import numpy as np
import pytest
import soundfile

from expclip.corpora import facegood
from expclip.errors import BadRequestError
from expclip.rig import load_rig

RIG = load_rig()


def write_clip(folder: Path, key: str, *, kind: str = "flac", weights: bool = True) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    soundfile.write(folder / f"{key}.{kind}", np.zeros(32_000), 16_000)
    if weights:
        arkit = RIG.zeros(60).astype(np.float16)
        arkit[15:45, RIG.index("jawOpen")] = 0.3
        np.savez(folder / f"{key}.npz", arkit=arkit, arkit_names=np.array(RIG.channels), fps=np.array(30.0))


def test_recordings_with_weights(tmp_path: Path) -> None:
    for key in ("1114_2_04", "1114_3_15", "1114_2_01"):
        write_clip(tmp_path, key)
    found = {clip["clip_id"]: (clip, track) for clip, track in facegood.clips(str(tmp_path))}
    assert {name: clip["split"] for name, (clip, _) in found.items()} == {
        "facegood_1114_2_01": "train",
        "facegood_1114_2_04": "test",
        "facegood_1114_3_15": "train",
    }
    clip, track = found["facegood_1114_2_01"]
    assert clip["language"] == "zh"
    assert track is not None
    weights_TC = np.asarray(track["weights"])
    assert weights_TC.shape == (100, 52)
    assert weights_TC[:, RIG.index("jawOpen")].max() == pytest.approx(0.45, abs=0.01)
    assert weights_TC[:20].max() == 0
    assert "mouthClose" not in track["mask"]
    other = found["facegood_1114_3_15"][1]
    assert other is not None
    assert other["mask"] == ["jawOpen"]


def test_the_published_layout_brings_sound_alone(tmp_path: Path) -> None:
    write_clip(tmp_path / "wav", "1114_2_05", kind="wav", weights=False)
    [(clip, track)] = facegood.clips(str(tmp_path))
    assert clip["clip_id"] == "facegood_1114_2_05"
    assert track is None


def test_a_folder_without_sound_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadRequestError, match="holds no .wav or .flac"):
        list(facegood.clips(str(tmp_path)))
