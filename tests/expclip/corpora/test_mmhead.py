"""MMHead in its own layout: sounds in a folder or an archive, five kinds of text, two lists."""

import io
import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from expclip.corpora import mmhead

NAMES = ("CELEBVHQ_--uyzf7X_0c_0", "CELEBVHQ_--uyzf7X_0c_1", "RAVDESS_x_0")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    base = tmp_path / "MMHead"
    for kind in mmhead.KINDS:
        folder = base / "text_annotations" / kind
        folder.mkdir(parents=True)
        for name in NAMES:
            (folder / f"{name}.txt").write_text(f"{kind} of\n {name}\n")
    for kind in mmhead.KINDS:
        (base / "text_annotations" / kind / "EMPTY_0.txt").write_text(" \n")
    (base / "talking_subset.json").write_text(json.dumps({"train": [NAMES[0]], "val": [f"{NAMES[1]}.pkl"]}))
    (base / "t2m_subset.json").write_text(json.dumps([{"name": NAMES[0], "split": "test"}]))
    with zipfile.ZipFile(base / "audio.zip", "w") as archive:
        for k, name in enumerate(NAMES[:2]):
            content = io.BytesIO()
            samples = 0.1 * np.random.default_rng(k).standard_normal(16_000)
            soundfile.write(content, samples, 16_000, format="WAV")
            archive.writestr(f"audio/{name}.wav", content.getvalue())
        archive.writestr("audio/EMPTY_0.wav", b"")
    return base


def test_clips_with_prompts_and_without_motion(root: Path, bring: Callable[..., Any]) -> None:
    found = bring("mmhead", root)
    first = found.clips[f"mmhead_{NAMES[0]}"]
    assert first["prompt"] == f"emotion of {NAMES[0]}"
    assert first["audio"] == f"audio/mmhead_{NAMES[0]}.wav"
    assert first["split"] == "test"
    assert found.clips[f"mmhead_{NAMES[1]}"]["split"] == "val"
    assert first["speaker"] == found.clips[f"mmhead_{NAMES[1]}"]["speaker"] == "mmhead_CELEBVHQ_--uyzf7X_0c"
    assert found.notes(f"mmhead_{NAMES[0]}") == {"motion": "FLAME, not ARKit weights, left out"}
    assert "the file is empty" in found.errors["mmhead_EMPTY_0"]
    assert found.tracks == {}


def test_texts_become_expressions_without_weights(root: Path, expressions: Callable[..., Any]) -> None:
    found = {row["id"]: row for row in expressions("mmhead", root)}
    assert set(found) == {f"mmhead_{name}" for name in (*NAMES, "EMPTY_0")}
    row = found[f"mmhead_{NAMES[2]}"]
    assert row["mask"] == []
    assert np.isnan(row["weights"]).all()
    assert row["action_units"] == ""
    assert dict(row["texts"]) == {kind: f"{kind} of {NAMES[2]}" for kind in mmhead.KINDS}
    assert "empty" in found["mmhead_EMPTY_0"]["error"]


def test_sounds_may_lie_unpacked(root: Path, sound: Any, bring: Callable[..., Any]) -> None:
    (root / "audio.zip").unlink()
    sound(root / "audio" / f"{NAMES[2]}.wav")
    found = bring("mmhead", root)
    assert list(found.clips) == [f"mmhead_{NAMES[2]}"]
    assert found.clips[f"mmhead_{NAMES[2]}"]["audio"].endswith(f"MMHead/audio/{NAMES[2]}.wav")


def test_a_broken_list_or_archive_is_one_line(root: Path, refused: Callable[..., str]) -> None:
    (root / "t2m_subset.json").write_text("{")
    assert "t2m_subset.json is not JSON" in refused("mmhead", root)
    (root / "t2m_subset.json").unlink()
    (root / "audio.zip").write_bytes(b"no archive")
    assert "audio.zip" in refused("mmhead", root)
