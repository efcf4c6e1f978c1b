"""The whole way at a tiny size, by the commands that a user types: speech made, models trained, lines animated."""

from pathlib import Path
from typing import Any

import pyarrow.dataset as ds
import pytest

from expclip import media, tead
from ray_jobs.cli import main

pytestmark = pytest.mark.ray


def test_from_nothing_to_animations(ray_local: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("hibari", reason="speech synthesis needs the extra `synthesize`")
    monkeypatch.chdir(tmp_path)
    few = tmp_path / "tead"
    few.mkdir()
    shipped = Path(tead.__file__).parent / "data" / "tead" / "A.jsonl"
    (few / "A.jsonl").write_text("".join(shipped.read_text("utf-8").splitlines(keepends=True)[:60]), "utf-8")

    assert main(["synthesize", "-o", "synth", "--set", "hours=0.012"]) == 0
    assert (
        main(
            [
                "train-expclip",
                "-o",
                "style",
                "--set",
                f"tead={few}",
                *sets(steps=2, every=2, model__lora_rank=0, scale__workers=0),
            ]
        )
        == 0
    )
    tiny = sets(steps=3, batch=4, crop=60, scale__workers=0, model__width=16, model__encoder_blocks=3, model__blocks=2)
    told = ["--set", "expclip=style", "--set", "corpora.synth=synth", "--set", f"tead={few}", *tiny]
    assert main(["train-generator", "-o", "model", *told]) == 0

    sounds = sorted((tmp_path / "synth" / "audio").glob("*.flac"))[:2]
    lines = "".join(f"line_{k},{sound},a proud smile\n" for k, sound in enumerate(sounds))
    (tmp_path / "catalogue.csv").write_text(f"clip_id,audio,prompt\n{lines}broken,nowhere.wav,sad\n")
    assert main(["animate", "catalogue.csv", "-o", "out", "--checkpoint", "model", "--format", "npz"]) == 3

    done = ds.dataset(tmp_path / "out" / "animations").to_table().to_pylist()
    assert sorted(row["clip_id"] for row in done) == ["line_0", "line_1"]
    for row in done:
        seconds = len(media.read_audio(str(sounds[int(row["clip_id"][-1])]))) / media.SAMPLE_RATE
        assert len(row["weights"]) == pytest.approx(seconds * 30, abs=1)
    failed = ds.dataset(tmp_path / "out" / "animations.errors").to_table().to_pylist()
    assert [row["clip_id"] for row in failed] == ["broken"]
    assert "nowhere.wav" in failed[0]["error"]


def sets(**values: Any) -> list[str]:
    """Return `--set` arguments; two underscores stand for a dot."""
    return [part for name, value in values.items() for part in ("--set", f"{name.replace('__', '.')}={value}")]
