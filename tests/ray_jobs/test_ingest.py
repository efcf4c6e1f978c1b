"""Job `ingest` on a local cluster: tables, errors, restart; what is refused leaves nothing."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import soundfile

from expclip import corpora
from expclip.corpora import Cut, Options
from expclip.rig import load_rig, order
from expclip.schema import CLIPS, EXPRESSIONS
from ray_jobs import ingest, shards
from ray_jobs.cli import main
from ray_jobs.cluster import Resources

pytestmark = pytest.mark.filterwarnings(r"ignore::DeprecationWarning:ray\.")  # Ray warns of its own settings
ONE, RIG = Resources(workers=1), load_rig()


def write_sound(path: Path, seconds: float = 2.0, pause: float = 0.0) -> None:
    """Write noise, with a pause in its middle."""
    path.parent.mkdir(parents=True, exist_ok=True)
    samples = 0.1 * np.random.default_rng(len(path.name)).standard_normal(round(seconds * 16_000))
    middle = len(samples) // 2
    samples[middle : middle + round(pause * 16_000)] = 0
    soundfile.write(path, samples, 16_000)


def written(folder: Path) -> dict[str, int]:
    return {p.name: p.stat().st_mtime_ns for p in folder.glob("*/*.parquet")}


@pytest.fixture
def facegood(tmp_path: Path) -> Path:
    root = tmp_path / "root"
    for key in ("1_1_1", "1_1_2", "1_1_3"):
        write_sound(root / f"{key}.wav")
    (root / "1_1_2.wav").write_bytes(b"no sound at all")
    moving = np.linspace(0, 0.5, 60)[:, None] * np.ones(52)
    np.savez(root / "1_1_1.npz", arkit=moving, arkit_names=np.array(RIG.channels), fps=np.array(30.0))
    return root


@pytest.mark.ray
def test_clips_tracks_errors_and_terms(
    ray_local: Any, facegood: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "out"
    config = ingest.Config("facegood", str(facegood), str(output), resources=ONE)
    assert ingest.run(config) == {"clips": 2, "tracks": 1, "expressions": 0, "failed": 1}
    printed = capsys.readouterr().out
    assert "terms: MIT, (c) 2022-2032 The FACEGOOD Authors" in printed
    assert "  mirror: 1 rows, such as facegood_1_1_1: left and right correlate at 1.00" in printed
    clips, tracks = corpora.read(str(output))
    assert sorted(row["clip_id"] for row in clips) == ["facegood_1_1_1", "facegood_1_1_3"]
    assert list(clips[0])[:-1] == CLIPS.names
    assert {row["licence"] for row in clips} == {"MIT, (c) 2022-2032 The FACEGOOD Authors"}
    assert [Path(row["audio"]).parent for row in clips] == [facegood] * 2
    assert list(tracks) == ["facegood_1_1_1"]
    [error] = corpora.table(str(output / "clips.errors")).to_pylist()
    assert "1_1_2.wav" in error["error"]
    stored = json.loads((output / "ingest.json").read_text())
    assert stored["notes"]["mirror"]["rows"] == 1
    assert stored["licence"].startswith("MIT")

    before = written(output)
    (facegood / "1_1_2.wav").write_bytes(b"still no sound")
    assert ingest.run(config)["failed"] == 1
    unchanged = {name for name, time in written(output).items() if before.get(name) == time}
    assert len(unchanged) == len([name for name in before if name != "part-0.parquet"])

    write_sound(facegood / "1_1_2.wav")
    write_sound(facegood / "1_1_3.wav", 3.0)
    (facegood / "1_1_1.npz").unlink()
    assert ingest.run(config) == {"clips": 3, "tracks": 0, "expressions": 0, "failed": 0}
    assert corpora.read(str(output))[1] == {}
    assert not list((output / "clips.errors").glob("*"))


@pytest.mark.ray
def test_recordings_are_cut_and_cut_anew(ray_local: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root, output = tmp_path / "root", tmp_path / "out"
    write_sound(root / "long.wav", 8.0, pause=1.5)
    write_sound(root / "copy.wav", 2.0)
    soundfile.write(
        root / "short.wav", np.concatenate([np.ones(3200), np.zeros(32_000), np.ones(32_000)]) * 0.1, 16_000
    )
    (root / "same.wav").write_bytes((root / "copy.wav").read_bytes())
    (root / "broken.mp4").write_bytes(b"no video")
    told = ["ingest", "folder", str(root), "-o", str(output), "--set", "resources.workers=1"]
    assert main(told) == 3
    captured = capsys.readouterr()
    assert "copy: 1 groups of clips with the same sound or face" in captured.out
    assert "silence: 1 rows, such as folder_short.wav: 1 pieces shorter than 1 s left out" in captured.out
    rows = {row["clip_id"]: row for row in corpora.table(str(output / "clips")).to_pylist()}
    assert set(rows) == {
        f"folder_{n}" for n in ("long.wav_0000", "long.wav_0001", "copy.wav_0000", "same.wav_0000", "short.wav_0000")
    }
    assert rows["folder_long.wav_0001"]["start"] == pytest.approx(5.25, abs=0.05)
    [error] = corpora.table(str(output / "clips.errors")).to_pylist()
    assert error["clip_id"] == "folder_broken.mp4"
    assert "broken.mp4: neither a video nor a sound" in error["error"]

    before = written(output)
    (root / "broken.mp4").unlink()
    assert main(told) == 0
    assert {name: time for name, time in before.items() if name != "part-0.parquet"} == written(output)
    assert main([*told, "--set", "options.cut.pause=2.0"]) == 0
    assert set(corpora.table(str(output / "clips"))["clip_id"].to_pylist()) == {
        f"folder_{n}" for n in ("long.wav_0000", "copy.wav_0000", "same.wav_0000", "short.wav_0000")
    }


@pytest.mark.ray
def test_faces_and_rests_in_workers(ray_local: Any, tmp_path: Path) -> None:
    names, output = order("alphabetical"), tmp_path / "out"
    for k in range(3):
        path = tmp_path / "root" / f"RD_Radio1_00{k}"
        write_sound(path.with_suffix(".wav"))
        weights_TC = np.full((60, 52), 0.2, np.float32)
        weights_TC[30:, names.index("jawOpen")] = 0.2 + 0.2 * k
        np.save(path.with_suffix(".npy"), weights_TC)
    config = ingest.Config("3d-etf", str(tmp_path / "root"), str(output), resources=Resources(workers=2, block_rows=1))
    assert ingest.run(config) == {"clips": 3, "tracks": 3, "expressions": 0, "failed": 0}
    _, tracks = corpora.read(str(output))
    jaw = RIG.index("jawOpen")
    highest = {name: max(frame[jaw] for frame in track["weights"][0].as_py()) for name, track in tracks.items()}
    assert [highest[f"3d-etf_RD_Radio1_00{k}"] for k in range(3)] == pytest.approx([0, 0.2, 0.4])


def test_expressions_need_no_cluster_and_are_written_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cell = str(np.round(np.linspace(0, 0.51, 52), 2)).replace("\n", " ")
    row = {"sample_id": 1, "prompt_type": "prompt1", "text_1": "a smile", "happiness": 1.0}
    table = pa.Table.from_pylist([row | {"blenshape_score_1": cell, "blenshape_score_2": "[1. 2.]"}])
    (tmp_path / "root").mkdir()
    pq.write_table(table, tmp_path / "root" / "emo3d_data.parquet")
    output = tmp_path / "out"
    told = ["ingest", "emo3d", str(tmp_path / "root"), "-o", str(output)]
    assert main(told) == 3
    assert "terms: MIT, Emo3D" in capsys.readouterr().out
    found = corpora.table(str(output / "expressions"))
    assert found.schema.equals(EXPRESSIONS)
    assert found["texts"].to_pylist() == [[("text_1", "a smile")]]
    assert corpora.table(str(output / "expressions.errors"))["error"].to_pylist() == ["2 weights, not 52"]
    before = written(output)
    assert main(told) == 3
    assert "1 expressions, 1 failed" in capsys.readouterr().out
    assert written(output) == before


@pytest.mark.parametrize(
    ("told", "message"),
    [
        (("lrs3", "root"), "unknown corpus 'lrs3'; valid: 3d-etf, aligned, beat"),
        (("beat", "nowhere"), "no such folder"),
        (("beat", "root"), "holds nothing for corpus 'beat': expected SPEAKER_NAME_TYPE_FIRST_LAST.json"),
        (("ravdess", "root"), "it looks like facegood"),
        (("facegood", "root", "--set", "options.cut.pauses=1"), "unknown setting 'options.cut.pauses'"),
        (("facegood",), "ingest needs ROOT"),
    ],
)
def test_bad_requests_leave_nothing(
    facegood: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
    told: tuple[str, ...], message: str,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    assert main(["ingest", *told, "-o", "out"]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert message in error
    assert not Path("out").exists()


def test_an_output_that_cannot_be_written_to_is_told(
    facegood: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("")
    assert main(["ingest", "facegood", str(facegood), "-o", str(tmp_path / "file" / "out")]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_what_decides_a_clip_decides_its_request(facegood: Path) -> None:
    importer = corpora.load("facegood")
    tree = corpora.tree(importer, str(facegood), Options())

    def requests(cut: Cut = Cut()) -> list[str]:  # noqa: B008 - frozen
        sources = list(importer.clips(tree, Options(cut=cut)))
        return [task.request for task in ingest._tasks(sources, {"facegood_woman": sources})]

    first = requests()
    assert requests() == first
    np.savez(facegood / "1_1_1.npz", arkit=np.zeros((9, 52)), arkit_names=np.array(RIG.channels), fps=np.array(30.0))
    assert [a == b for a, b in zip(first, requests(), strict=True)] == [False, True, True]


def test_a_side_table_is_written_before_the_table(tmp_path: Path, block: Callable[[list[int]], Any]) -> None:
    from ray_jobs import pipeline

    class Step:
        def prepare(self, rows: Any) -> None:
            pass

        def __call__(self, row: Any) -> dict[str, Any]:
            return {"value": 1.0, "side": {"clip_id": "?", "more": "x"} if row["n"] else None}

    schema = shards.with_request(pa.schema({"clip_id": pa.string(), "value": pa.float64()}))
    side = shards.with_request(pa.schema({"clip_id": pa.string(), "more": pa.string()}))
    guard = pipeline._Guard(Step, pipeline._Output(str(tmp_path / "main"), schema, {"side": side}), 1.0)
    guard(block([0, 1, 2]))
    assert shards.done(str(tmp_path / "main")) == {"c0": {"r0"}, "c1": {"r1"}, "c2": {"r2"}}
    assert shards.done(str(tmp_path / "side")) == {"c1": {"r1"}, "c2": {"r2"}}


@pytest.fixture
def block() -> Callable[[list[int]], Any]:
    return lambda numbers: pa.table({
        "clip_id": [f"c{n}" for n in numbers], "request": [f"r{n}" for n in numbers],
        "row": [json.dumps({"n": n}) for n in numbers],
    })  # fmt: skip
