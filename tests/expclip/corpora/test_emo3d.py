"""Emo3D in its own layout: cells of text with 52 numbers in MediaPipe's order."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from expclip.corpora import emo3d
from expclip.errors import BadRequestError
from expclip.rig import load_rig, order

RIG, NAMES = load_rig(), order("mediapipe")


def cell(**values: float) -> str:
    """Return a cell as the corpus prints it: square brackets, blanks and line ends between numbers."""
    numbers = np.zeros(52)
    for name, value in values.items():
        numbers[NAMES.index(name)] = value
    return np.array2string(numbers, precision=3, max_line_width=60)


def sample(number: int, kind: str, *cells: str | None) -> dict[str, Any]:
    faces = [*cells, *[None] * (4 - len(cells))]
    return {
        "sample_id": number, "prompt_type": kind,
        "text_1": "This woman looks happy.", "text_2": "A glad face", "text_3": None,
        **dict.fromkeys(emo3d.EMOTIONS, 0.0), "happiness": 0.8, "surprise": 0.3,
        **{f"img_{k}": f"{kind}_images_0_1000/{number}_{k - 1}.jpeg" if faces[k - 1] else None for k in range(1, 5)},
        **{f"blenshape_score_{k}": faces[k - 1] for k in range(1, 5)},
    }  # fmt: skip


@pytest.fixture
def root(tmp_path: Path) -> Path:
    smile = cell(mouthSmileLeft=0.7, mouthSmileRight=0.7, browDownLeft=0.25)
    rows = [
        sample(0, "prompt1", smile, None, cell(jawOpen=0.6)),
        sample(0, "prompt2", smile),
        sample(1, "prompt1", "[0. 1. 2.]", cell().replace("0.", "x"), cell(jawOpen=1.5)),
    ]
    data = tmp_path / "data"
    data.mkdir()
    pq.write_table(pa.Table.from_pylist(rows), data / "emo3d_data.parquet")
    for split, chosen in (("train", rows[:1]), ("test", rows[1:])):
        pa.Table.from_pylist(chosen).to_pandas().to_csv(data / f"{split}_data.csv", index=False)
    picture = data / "prompt1_images_0_1000" / "0_0.jpeg"
    picture.parent.mkdir()
    picture.write_bytes(b"not looked at")
    return tmp_path


def test_every_face_is_an_expression(root: Path, expressions: Callable[..., Any]) -> None:
    found = {row["id"]: row for row in expressions("emo3d", root)}
    smile = found["emo3d_prompt1_0_1"]
    assert smile["weights"][RIG.index("mouthSmileLeft")] == pytest.approx(0.7)
    assert smile["weights"][RIG.index("browDownLeft")] == pytest.approx(0.25)
    assert smile["weights"].sum() == pytest.approx(1.65)
    assert set(RIG.channels) - set(smile["mask"]) == {"tongueOut"}
    assert json.loads(smile["action_units"])["AU12"] == pytest.approx(0.7, abs=0.2)
    assert dict(smile["texts"]) == {"text_1": "This woman looks happy.", "text_2": "A glad face"}
    assert smile["emotion"] == "happiness"
    assert dict(smile["emotions"])["surprise"] == 0.3
    assert smile["source"] == str(root / "data" / "prompt1_images_0_1000" / "0_0.jpeg")
    assert (smile["split"], found["emo3d_prompt2_0_1"]["split"]) == ("train", "test")
    assert found["emo3d_prompt1_0_3"]["weights"][RIG.index("jawOpen")] == pytest.approx(0.6)


def test_broken_cells_are_their_own_errors(root: Path, expressions: Callable[..., Any]) -> None:
    errors = {row["id"]: row["error"] for row in expressions("emo3d", root) if "error" in row}
    assert errors == {
        "emo3d_prompt1_1_1": "3 weights, not 52",
        "emo3d_prompt1_1_2": "a weight is not a number",
        "emo3d_prompt1_1_3": "a weight is outside 0..1",
    }


def test_a_file_that_is_no_table_is_one_line(tmp_path: Path, refused: Callable[..., str]) -> None:
    (tmp_path / "emo3d_data.parquet").write_bytes(b"no table")
    assert "emo3d_data.parquet" in refused("emo3d", tmp_path)
    with pytest.raises(BadRequestError, match="not 52"):
        emo3d.weights("[]")
