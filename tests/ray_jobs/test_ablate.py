"""Job `ablate` on a local cluster: every variant and seed once, a table and pictures; only what is missing again."""

from pathlib import Path
from typing import Any

import pytest

from expclip import ablation, tables
from expclip.errors import BadRequestError
from expclip.generator import GeneratorConfig
from expclip.train_generator import Config as Training
from ray_jobs import ablate
from ray_jobs.cluster import Resources

pytestmark = [
    pytest.mark.ray,
    pytest.mark.filterwarnings(r"ignore::DeprecationWarning:ray\."),  # Ray warns of its own settings
]


@pytest.fixture
def settings(toy_corpus: str, toy_expclip: str, toy_tead: str, tmp_path: Path) -> ablate.Config:
    sizes = GeneratorConfig(width=16, encoder_blocks=2, blocks=1, lookahead=3, style=8)
    base = Training(
        toy_expclip, {"toy": toy_corpus}, tead=toy_tead, model=sizes, steps=2, batch=2, crop=40, look=0, device="cpu"
    )
    variants: dict[str, dict[str, Any]] = {"full": {}, "no EPA": {"epa.share": 0.0}, "no critic": {"losses.sync": 0.0}}
    return ablate.Config(
        base, str(tmp_path / "out"), variants, seeds=(0,), clips=(toy_corpus,), limit=1, texts=3,
        resources=Resources(workers=1),
    )  # fmt: skip


def test_each_variant_and_seed_is_trained_and_judged_once(
    ray_local: Any, settings: ablate.Config, capsys: pytest.CaptureFixture[str]
) -> None:
    summary = ablate.run(settings)
    assert (summary.total, summary.done, summary.failed) == (2, 2, 0)  # without a critic there is none to take away
    out = Path(settings.output)
    assert {path.name for path in (out / "checkpoints").iterdir()} == {"full-0", "no_EPA-0"}
    lines = (out / "results.md").read_text().splitlines()
    assert [line.split(" | ")[0] for line in lines[2:]] == ["| full", "| no EPA"]
    assert "jawOpen r" in lines[0]
    assert lines[0] in capsys.readouterr().out
    assert len(list(out.glob("figure-*.svg"))) == len(ablation.COLUMNS)
    rows = [row for path in (out / "cells").glob("*.parquet") for row in tables.read(str(path), ["seed"]).to_pylist()]
    assert sorted(row["seed"] for row in rows) == [0, 0]
    assert ablate.run(settings).done == 0


def test_what_cannot_be_compared_is_refused(settings: ablate.Config) -> None:
    import dataclasses

    for change, message in (
        ({"clips": ()}, "no clips to evaluate on"),
        ({"seeds": ()}, "no seeds"),
        ({"only": ("half",)}, "unknown variant 'half'"),
        ({"variants": {"odd": {"epa.sharee": 1}}}, "unknown setting 'epa.sharee'"),
    ):
        with pytest.raises(BadRequestError, match=message):
            ablate.run(dataclasses.replace(settings, **change))  # type: ignore[arg-type]
    assert not Path(settings.output).exists()
