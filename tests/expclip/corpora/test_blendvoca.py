"""BlendVOCA in its own layout: csv of 32 channels beside VOCASET's sounds."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

NAMES = ("jawForward", "jawLeft", "jawRight", "jawOpen", "mouthClose", "mouthFunnel", "mouthPucker", "noseSneerRight")
SPEAKER = "FaceTalk_170725_00137_TA"


def test_tables_of_weights(tmp_path: Path, sound: Any, face: Any, bring: Callable[..., Any]) -> None:
    for speaker in (SPEAKER, "FaceTalk_170809_00138_TA"):
        sound(tmp_path / "audio" / speaker / "sentence01.wav", 2.0, 22_000)
        path = tmp_path / "blendshape_coeffs" / speaker / "sentence01.csv"
        path.parent.mkdir(parents=True)
        lines = [",".join(map(str, row)) for row in face(NAMES, 2.0, 60).tolist()]
        path.write_text("\n".join([",".join(NAMES), *lines]))
    folder = tmp_path / "blendshape_coeffs" / SPEAKER
    for number, content in {2: "", 3: "jawOpen\nx\n", 4: ",".join(NAMES) + "\n"}.items():
        (folder / f"sentence0{number}.csv").write_text(content)
    found = bring("blendvoca", tmp_path)
    name = f"blendvoca_{SPEAKER}_sentence01"
    assert {clip["split"] for clip in found.clips.values()} == {"train", "test"}
    assert found.tracks[name]["mask"] == list(NAMES)
    assert len(found.tracks[name]["weights"]) == 100
    assert found.channel(name, "jawOpen").max() == pytest.approx(0.52, abs=0.03)
    assert found.channel(name, "eyeBlinkLeft").max() == 0
    assert len(found.errors) == 3
    assert "not a number" in found.errors[f"blendvoca_{SPEAKER}_sentence03"]
    assert "no frames" in found.errors[f"blendvoca_{SPEAKER}_sentence04"]
