"""Job `synthesize` on a local cluster: tables, files, restart."""

from pathlib import Path
from typing import Any

import pytest
import soundfile

from expclip import corpora
from expclip.corpora import phones
from expclip.errors import BadRequestError
from expclip.schema import CLIPS
from ray_jobs import synthesize
from ray_jobs.cluster import Resources

pytestmark = [
    pytest.mark.ray,
    pytest.mark.filterwarnings(r"ignore::DeprecationWarning:ray\."),  # Ray warns of its own settings
]
ONE = Resources(workers=1)


def test_a_corpus_is_made_once_and_grows(ray_local: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("hibari", reason="hibari-tts is not installed (extra `synthesize`)")
    pytest.importorskip("onnx", reason="onnx is not installed (extra `synthesize`)")
    small = synthesize.Config(str(tmp_path), hours=0.003, seed=4, resources=ONE)
    assert synthesize.run(small)["made"] == 2
    clips, tracks = corpora.read(str(tmp_path))
    assert list(clips[0]) == CLIPS.names
    assert [row["clip_id"] for row in clips] == ["synth-4-000000", "synth-4-000001"] == sorted(tracks)
    for row in clips:
        seconds = soundfile.info(row["audio"]).duration
        assert len(tracks[row["clip_id"]]["weights"][0]) == pytest.approx(seconds * 50, abs=1)
        assert phones.from_json(row["phones"])
    Path(clips[1]["audio"]).unlink()
    more = synthesize.run(synthesize.Config(str(tmp_path), hours=0.0045, seed=4, resources=ONE))
    assert (more["made"], more["clips"], more["failed"]) == (2, 3, 0)
    assert "3 clips" in capsys.readouterr().out


@pytest.mark.parametrize("hours", [0.0, -1.0, float("nan")])
def test_hours_must_be_some(tmp_path: Path, hours: float) -> None:
    with pytest.raises(BadRequestError, match="hours"):
        synthesize.run(synthesize.Config(str(tmp_path), hours=hours))
