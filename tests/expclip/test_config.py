"""Defaults < recipe < --set."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import pytest

from expclip import config
from expclip.errors import BadRequestError


@dataclass(frozen=True)
class Optim:
    lr: float = 1e-3
    steps: int = 10


@dataclass(frozen=True)
class Job:
    clips: str
    size: Literal["tiny", "base"] = "base"
    optim: Optim = field(default_factory=Optim)
    corpora: dict[str, float] = field(default_factory=dict)
    names: tuple[str, ...] = ()
    limit: int | None = None


def test_later_sources_win(tmp_path: Path) -> None:
    recipe = tmp_path / "r.toml"
    recipe.write_text('[train]\nclips = "a"\nsize = "tiny"\n[train.optim]\nlr = 0.5\nsteps = 3\n')
    job = config.load(Job, str(recipe), "train", ["optim.lr=0.25", "corpora.grid=2", "names=['x', 'y']", "limit=4"])
    assert job == Job("a", "tiny", Optim(0.25, 3), {"grid": 2.0}, ("x", "y"), 4)
    assert config.load(Job, str(recipe), "train", clips="b").clips == "b"


@pytest.mark.parametrize(
    ("sets", "message"),
    [
        (["optim.rate=1"], "unknown setting 'optim.rate'; valid: optim.lr, optim.steps"),
        (["optim.steps=1.5"], "optim.steps must be int, not 1.5"),
        (["optim.steps=true"], "optim.steps must be int, not True"),
        (["size=huge"], "'huge'; valid: tiny, base"),
        (["limit"], "not of the form a.b=value"),
        (["optim=3"], "optim is a table, not 3"),
        (["limit=many"], "limit cannot be 'many'"),
    ],
)
def test_wrong_settings_are_named(sets: list[str], message: str) -> None:
    with pytest.raises(BadRequestError, match=message.replace(".", r"\.")):
        config.load(Job, sets=["clips=a", *sets])


def test_missing_settings_and_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(BadRequestError, match="missing setting: clips"):
        config.load(Job)
    with pytest.raises(BadRequestError, match="no such recipe"):
        config.load(Job, str(tmp_path / "none.toml"))
    (tmp_path / "bad.toml").write_text("a = = 1")
    with pytest.raises(BadRequestError, match="not valid TOML"):
        config.load(Job, str(tmp_path / "bad.toml"))


@dataclass(frozen=True)
class OwnDefault:
    optim: Optim = field(default_factory=lambda: Optim(lr=0.5))


def test_a_part_of_a_table_leaves_the_rest_at_its_default(tmp_path: Path) -> None:
    """Also where the default is not that of the table's class."""
    assert config.load(OwnDefault, sets=["optim.steps=3"]) == OwnDefault(Optim(0.5, 3))
    assert config.part(Optim, Optim(0.1)) == Optim(0.1)
