"""`expclip evaluate` and `expclip train-evaluator`: what is asked wrongly is one line, and nothing is written."""

from pathlib import Path

import pytest

from expclip import checkpoint
from ray_jobs import cli, evaluate, train_evaluator


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["evaluate"], "no clips to evaluate on; name folders with --set clips=[FOLDER]"),
        (["evaluate", "--set", "clips=['x']", "-o", "r.pdf"], "r.pdf: unknown suffix of a report; valid: .json, .html"),
        (["evaluate", "--set", "clips=['x']", "--set", "split=train"], "unknown value of setting split: 'train'"),
        (["evaluate", "--set", "clips=['x']", "--set", "limit=0"], "limit 0 is less than 1"),
        (["evaluate", "gone", "--set", "clips=['x']"], "no such checkpoint: gone"),
        (["train-evaluator", "-o", "out"], "no neutral train clip with a track"),
    ],
)
def test_what_is_wrong_is_told_in_a_line(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert cli.main(arguments) == cli.BAD_REQUEST
    told = capsys.readouterr().err
    assert message in told
    assert told.count("\n") == 1
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_a_checkpoint_without_a_generator_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    checkpoint.save(str(tmp_path / "half"), {}, {})
    assert cli.main(["evaluate", str(tmp_path / "half"), "--set", "clips=['x']"]) == cli.BAD_REQUEST
    assert "has no 'expclip'" in capsys.readouterr().err


def test_settings_reach_the_job(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["evaluate", "ck", "--set", "clips=['a','b']", "-o", "r.html", "--dry-run"]) == cli.DONE
    told = capsys.readouterr().out
    for part in ('"checkpoint": "ck"', '"report": "r.html"', '"b"'):
        assert part in told
    assert evaluate.Config().split == "test"
    assert train_evaluator.Config().steps > 0
