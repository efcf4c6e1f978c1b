"""Progress for people and for machines, and the ledger that stays."""

import json
from pathlib import Path

import pytest

from expclip.errors import BadRequestError
from ray_jobs import ledger, progress
from ray_jobs.pipeline import Failure, Summary
from ray_jobs.progress import Progress


def drive(how: str) -> None:
    """A job of three tasks: one was there, one is done, one fails."""
    told, summary = Progress("out/tracks", how), Summary(3, there=1)
    told.begin(summary, "starting Ray")
    summary.done, summary.seconds, summary.work_s = 1, 2.5, 0.5
    told(summary)
    summary.failures.append(Failure("c2", "{}", "no face"))
    told(summary)
    told.end(summary)


def lines(text: str) -> list[dict[str, object]]:
    return [json.loads(line) for line in text.splitlines()]


def test_people_get_lines(capsys: pytest.CaptureFixture[str]) -> None:
    drive("text")
    out, err = capsys.readouterr()
    assert out.startswith("  tracks: 2 of 3 to do; starting Ray\n")
    assert "tracks: 3/3   1 failed   2.5 s of sound" in out
    assert not err


def test_machines_get_one_object_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    drive("json")
    out, err = capsys.readouterr()
    assert not out
    told = lines(err)
    assert [each["event"] for each in told] == ["begun", "failed", "progress", "ended"]
    assert (told[1]["clip_id"], told[1]["error"]) == ("c2", "no face")
    last = {key: told[-1][key] for key in ("table", "total", "there", "done", "failed", "seconds", "work_s")}
    assert last == {
        "table": "out/tracks", "total": 3, "there": 1, "done": 1, "failed": 1, "seconds": 2.5, "work_s": 0.5,
    }  # fmt: skip


def test_a_file_is_appended_to(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "deep" / "p.ndjson"
    for _ in range(2):
        drive(str(path))
    assert len(lines(path.read_text())) == 8
    assert "3/3   1 failed" in capsys.readouterr().out


def test_progress_that_says_little_is_not_told(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    told, summary = Progress("t", "json"), Summary(1000)
    for summary.done in range(1, 1000):
        told(summary)
    assert not capsys.readouterr().err
    monkeypatch.setattr(progress, "_SECONDS", 0.0)
    told(summary)
    assert len(lines(capsys.readouterr().err)) == 1


def test_a_remote_file_cannot_be_appended_to() -> None:
    with pytest.raises(BadRequestError, match="local file only, not to s3://x/p"):
        Progress("t", "s3://x/p")


def test_the_ledger_grows_and_shows_who_died(tmp_path: Path) -> None:
    table = str(tmp_path / "t")
    with ledger.entry(table, Summary(5), {"extractor": "x"}):
        pass
    with pytest.raises(ZeroDivisionError), ledger.entry(table, Summary(5), {}):
        raise ZeroDivisionError("by zero")
    killed = ledger.entry(table, Summary(5, there=2), {})
    killed.__enter__()
    found = ledger.read(table)
    assert [entry["event"] for entry in found] == ["begun", "ended", "begun", "ended", "begun"]
    assert found[0]["about"] == {"extractor": "x"}
    assert set(found[0]["versions"]) == {"expclip", "python", "ray", "host"}
    assert [found[k]["error"] for k in (1, 3)] == ["", "ZeroDivisionError: by zero"]
    assert found[4]["there"] == 2
    before = sorted(path.name for path in Path(f"{table}.ledger").iterdir())
    killed.__exit__(None, None, None)
    assert set(before) < {path.name for path in Path(f"{table}.ledger").iterdir()}
