"""CLIPS drawn from joined rows, also from those of an earlier version."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from expclip import corpora
from expclip.corpora import rows
from expclip.schema import CLIPS, TRACKS
from ray_jobs import corpus, shards


@pytest.mark.parametrize("lacks", [(), ("notes", "face_digest")])
def test_clips_are_drawn_from_joined_rows(tmp_path: Path, lacks: tuple[str, ...]) -> None:
    joined = corpus.joined(TRACKS)
    older = pa.schema([field for field in joined if field.name not in lacks], metadata=joined.metadata)
    track = rows.track_row("b", np.zeros((5, 52), np.float32), np.ones(5, bool), ["jawOpen"], "test")
    for name, target in (("a", joined), ("b", older)):
        row = {**track, **rows.clip_row(name, text="hi"), "request": "r"}
        shards.write(str(tmp_path / "tracks"), name, [row], shards.with_request(target))
    assert corpus.write_clips(str(tmp_path)) == 2
    clips = corpora.table(str(tmp_path / "clips"))
    assert clips.schema.names == CLIPS.names
    assert clips["clip_id"].to_pylist() == ["a", "b"]
    assert clips["notes"].to_pylist() == ["", None if lacks else ""]
    assert corpus.write_clips(str(tmp_path / "nothing")) == 0
