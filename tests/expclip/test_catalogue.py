"""Catalogues: the three formats agree, a bad file is refused as a whole, a bad row alone."""

import csv
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from expclip import catalogue
from expclip.catalogue import Line
from expclip.errors import BadRequestError

GOOD = {"clip_id": "a", "audio": "a.wav", "prompt": "a shy smile, eyes lowered"}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "a.wav").write_bytes(b"RIFF")
    return tmp_path


def write(folder: Path, rows: list[dict[str, Any]], suffix: str = ".jsonl") -> str:
    path = folder / f"catalogue{suffix}"
    if suffix == ".parquet":
        pq.write_table(pa.Table.from_pylist(rows), path)
    elif suffix == ".csv":
        with path.open("w", newline="", encoding="utf-8-sig") as file:
            writer = csv.DictWriter(file, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)
    else:
        path.write_text("\n".join(map(json.dumps, rows)), "utf-8")
    return str(path)


@pytest.mark.parametrize("suffix", catalogue.SUFFIXES)
def test_formats_agree(folder: Path, suffix: str) -> None:
    rows = [
        GOOD | {"intensity": 1.25, "start": 0.5, "end": 2, "seed": 7, "fps": 60},
        GOOD | {"clip_id": "b-2.x", "intensity": None, "start": None, "end": None, "seed": None, "fps": None},
    ]
    lines, bad = catalogue.read(write(folder, rows, suffix), Line("", "", "", 0.75, seed=3, fps=24.0))
    assert not bad
    audio = str(folder / "a.wav")
    assert [(x.clip_id, x.audio, x.prompt) for x in lines] == [(i, audio, GOOD["prompt"]) for i in ("a", "b-2.x")]
    assert [(x.intensity, x.start, x.end, x.fps) for x in lines] == [(1.25, 0.5, 2.0, 60.0), (0.75, 0.0, None, 24.0)]
    assert lines[0].seed == 7


def test_rows_without_a_seed_get_one_each(folder: Path) -> None:
    rows = [GOOD | {"clip_id": name} for name in ("a", "b")]
    (a, b), _ = catalogue.read(write(folder, rows))
    (again, _), _ = catalogue.read(write(folder, rows))
    (other, _), _ = catalogue.read(write(folder, rows), Line("", "", "", seed=1))
    assert a.seed == again.seed
    assert len({a.seed, b.seed, other.seed}) == 3


def test_another_sound_under_the_same_name_is_noticed(folder: Path) -> None:
    path = write(folder, [GOOD])
    (before,), _ = catalogue.read(path)
    (folder / "a.wav").write_bytes(b"RIFF, but longer")
    (after,), _ = catalogue.read(path)
    assert before.stamp != after.stamp


def test_end_left_empty_by_pandas_means_to_the_end(folder: Path) -> None:
    (line,), _ = catalogue.read(write(folder, [GOOD | {"end": float("nan")}], ".parquet"))
    assert line.end is None


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"clip_id": "../a"}, "clip_id '../a'"),
        ({"clip_id": "a b"}, "clip_id 'a b'"),
        ({"clip_id": ".hidden"}, "clip_id '.hidden'"),
        ({"clip_id": None}, "clip_id ''"),
        ({"audio": "gone.wav"}, "no such file: .*gone.wav"),
        ({"audio": ""}, "audio is empty"),
        ({"prompt": "  "}, "prompt is empty"),
        ({"prompt": "x" * 1001}, "1001 characters"),
        ({"intensity": "nan"}, "intensity nan"),
        ({"intensity": 1.6}, "intensity 1.6 is outside"),
        ({"intensity": "much"}, "intensity 'much' is not a number"),
        ({"intensity": True}, "intensity True is not a number"),
        ({"start": 2.0, "end": 1.0}, "end 1 s is not after start 2 s"),
        ({"start": 1.0, "end": 1.0}, "not after start"),
        ({"start": -1.0}, "start -1.0"),
        ({"start": "inf"}, "start inf"),
        ({"seed": -1}, "seed -1"),
        ({"seed": 0.5}, "seed 0.5"),
        ({"fps": 0}, "fps 0"),
        ({"fps": "nan"}, "fps nan"),
    ],
)
def test_bad_row_alone_is_left_out(folder: Path, change: dict[str, Any], message: str) -> None:
    lines, bad = catalogue.read(write(folder, [GOOD | {"clip_id": "good"}, GOOD | change]))
    assert [line.clip_id for line in lines] == ["good"]
    with pytest.raises(BadRequestError, match=message):
        raise BadRequestError(bad[0].error)
    assert "\n" not in bad[0].error


def test_row_with_an_unquoted_comma(folder: Path) -> None:
    path = folder / "c.csv"
    path.write_text("clip_id,audio,prompt\nx,a.wav,happy\ny,a.wav,sad, but brave\n", "utf-8")
    lines, bad = catalogue.read(str(path))
    assert [line.clip_id for line in lines] == ["x"]
    assert "more cells than columns" in bad[0].error


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("c.csv", b"", "the catalogue is empty"),
        ("c.csv", b"clip_id,audio,prompt\n", "the catalogue is empty"),
        ("c.csv", b"clip_id,audio\na,a.wav\n", "missing column 'prompt'"),
        ("c.csv", b"clip_id,audio,prompt,mood\na,a.wav,x,y\n", "unknown column.*'mood'.*intensity"),
        ("c.csv", b"clip_id,audio,audio,prompt\na,b,c,d\n", "named twice"),
        ("c.csv", b"clip_id,audio,prompt\na,a.wav,x\na,b.wav,y\n", "duplicate clip_id 'a'"),
        ("c.csv", b"clip_id,audio,prompt\na,a.wav,x\nA,b.wav,y\n", "duplicate clip_id 'a'"),
        ("c.csv", b"clip_id,audio,prompt\n\xff\xfe,a.wav,x\n", "not a readable catalogue"),
        ("c.parquet", b"PAR1 nonsense", "not a readable catalogue"),
        ("c.jsonl", b'{"clip_id": ', "not a readable catalogue"),
        ("c.jsonl", b"[1, 2]\n", "line 1 is no JSON object"),
        ("c.txt", b"", "unknown suffix"),
    ],
)
def test_bad_file_is_refused(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(BadRequestError, match=message) as caught:
        catalogue.read(str(path))
    assert "\n" not in str(caught.value)


def test_missing_file_and_folder_are_refused(tmp_path: Path) -> None:
    with pytest.raises(BadRequestError, match="no such file"):
        catalogue.read(str(tmp_path / "none.csv"))
    (tmp_path / "folder.csv").mkdir()
    with pytest.raises(BadRequestError, match="is a folder"):
        catalogue.read(str(tmp_path / "folder.csv"))
