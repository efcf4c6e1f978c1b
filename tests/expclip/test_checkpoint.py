"""What is saved loads again; what is not ours is refused."""

import json
from pathlib import Path

import pytest
import torch

from expclip import checkpoint
from expclip.checkpoint import Part
from expclip.errors import BadRequestError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    part = Part({"width": 3}, {"w": torch.tensor([[0.5, -1.25]]), "n": torch.tensor([7])})
    checkpoint.save(str(tmp_path / "c"), {"expclip": part}, {"seed": 1})
    return tmp_path / "c"


def test_there_and_back(folder: Path) -> None:
    stored = checkpoint.load(str(folder))
    assert stored.part("expclip").config == {"width": 3}
    assert stored.provenance == {"seed": 1}
    assert stored.part("expclip").tensors["w"].dtype == torch.float32
    torch.testing.assert_close(stored.part("expclip").tensors["w"], torch.tensor([[0.5, -1.25]]))
    assert stored.part("expclip").tensors["n"].item() == 7
    with pytest.raises(BadRequestError, match="has no 'generator'; it has: expclip"):
        stored.part("generator")


def test_the_digest_follows_the_weights(folder: Path, tmp_path: Path) -> None:
    before = checkpoint.load(str(folder)).digest
    assert checkpoint.load(str(folder)).digest == before
    part = Part({"width": 3}, {"w": torch.tensor([[0.5, -1.0]]), "n": torch.tensor([7])})
    checkpoint.save(str(tmp_path / "d"), {"expclip": part}, {"seed": 1})
    assert checkpoint.load(str(tmp_path / "d")).digest != before


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: c.update(format=99), "has format 99"),
        (lambda c: c["rig"].update(digest="0"), "another order of rig arkit52"),
        (lambda c: c["rig"].update(name="flame"), "unknown rig 'flame'"),
        (lambda c: c.pop("parts"), "not a checkpoint's configuration"),
    ],
)
def test_another_format_or_rig_is_refused(folder: Path, change, message: str) -> None:
    config = json.loads((folder / "config.json").read_text())
    change(config)
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(BadRequestError, match=message):
        checkpoint.load(str(folder))


def test_what_is_no_checkpoint_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadRequestError, match="no such checkpoint: .*nowhere"):
        checkpoint.load(str(tmp_path / "nowhere"))
    (tmp_path / "config.json").write_text("not json")
    with pytest.raises(BadRequestError, match="not a checkpoint's configuration"):
        checkpoint.load(str(tmp_path))
    with pytest.raises(BadRequestError, match="unknown checkpoint part 'painter'"):
        checkpoint.save(str(tmp_path / "x"), {"painter": Part({}, {})}, {})
