"""Rows of segments become one track a clip; older tables, and tables of other rates, read as before."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from expclip import corpora, schema, tracks
from expclip.rig import load_rig
from expclip.tracks import Track

JAW = load_rig().index("jawOpen")


def row(clip_id: str, begin: float, jaw: list[float], **more: object) -> dict[str, object]:
    weights = load_rig().zeros(len(jaw))
    weights[:, JAW] = jaw
    pose = np.tile(np.arange(6, dtype=np.float32), (len(jaw), 1))
    return {
        "clip_id": clip_id, "segment": 0, "begin": begin, "fps": 10.0, "weights": list(weights), "pose": list(pose),
        "valid": [True] * len(jaw), "confidence": [1.0] * len(jaw), "mask": ["jawOpen"], "extractor": "test",
        "offset_s": 0.04, "offset_r": 0.6, **more,
    }  # fmt: skip


def test_segments_stand_where_they_belong_and_between_them_nothing_is_known() -> None:
    rows = [row("a", 0.5, [0.3, 0.4]), row("b", 0.0, [0.9]), row("a", 0.1, [0.1, 0.2])]
    found = tracks.by_clip(pa.Table.from_pylist(rows, schema.TRACKS))
    assert set(found) == {"a", "b"}
    track = Track.of(found["a"])
    np.testing.assert_allclose(track.weights_TC[:, JAW], [0, 0.1, 0.2, 0, 0, 0.3, 0.4], atol=1e-6)
    assert track.valid_T.tolist() == [False, True, True, False, False, True, True]
    assert np.isnan(track.pose_T6[[0, 3, 4]]).all()
    assert track.pose_T6[1].tolist() == [0, 1, 2, 3, 4, 5]
    assert (track.begin, track.fps, track.mask, track.offset_s, track.offset_r) == (0, 10, ("jawOpen",), 0.04, 0.6)
    assert Track.of(found["b"]).weights_TC[:, JAW] == pytest.approx(0.9)


def test_tables_from_before_segments_still_read(tmp_path: Path) -> None:
    old = pa.schema([schema.TRACKS.field(name) for name in ("clip_id", "fps", "weights", "valid", "mask", "extractor")])
    plain = {name: value for name, value in row("a", 0, [0.1, 0.2]).items() if name in old.names}
    for name, target, rows in (
        (
            "clips",
            schema.CLIPS,
            [dict.fromkeys(schema.CLIPS.names, "") | {"clip_id": c, "start": 0, "end": 1} for c in "ab"],
        ),
        ("tracks", old, [plain]),
    ):
        (tmp_path / name).mkdir()
        pq.write_table(pa.Table.from_pylist(rows, target), tmp_path / name / "0.parquet")
    pq.write_table(pa.Table.from_pylist([row("b", 0.2, [0.5])], schema.TRACKS), tmp_path / "tracks" / "1.parquet")
    _, found = corpora.read(str(tmp_path))
    first, second = Track.of(found["a"]), Track.of(found["b"])
    assert first.weights_TC[:, JAW] == pytest.approx([0.1, 0.2])
    assert np.isnan(first.pose_T6).all()
    assert np.isnan([first.offset_s, first.offset_r]).all()
    assert second.weights_TC[:, JAW] == pytest.approx([0, 0, 0.5])
    assert tracks.places(str(tmp_path / "tracks"))["b"].endswith("1.parquet")


def test_a_slice_of_a_table_reads_its_own_rows() -> None:
    table = pa.Table.from_pylist([row(c, 0, [k / 10] * (k + 1)) for k, c in enumerate("abc")], schema.TRACKS)
    for k in range(3):
        assert Track.of(table.slice(k, 1)).weights_TC[:, JAW] == pytest.approx([k / 10] * (k + 1))
