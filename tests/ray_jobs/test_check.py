"""`expclip check`: the screen, the page, and what the exit code says."""

import json
from pathlib import Path

import pytest

from expclip import tead
from ray_jobs import cli


def lines(folder: Path, **change: object) -> str:
    records = [vars(record) for record in tead.load()[:3]]
    records[1] = records[1] | change
    folder.mkdir(exist_ok=True)
    (folder / "A.jsonl").write_text("\n".join(map(json.dumps, records)))
    return str(folder)


def test_a_good_table_ends_with_zero_and_a_page(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page = tmp_path / "out" / "page.html"
    assert cli.main(["check", lines(tmp_path / "tead"), "-o", str(page), "--set", "samples=1"]) == cli.DONE
    told = capsys.readouterr().out
    assert told.startswith(f"TEAD  {tmp_path / 'tead'}: 3 rows\n")
    assert told.endswith(f"{page}\n")
    text = page.read_text("utf-8")
    assert text.count("data:image/png") == 1
    assert tead.load()[0].texts["situation"] in text


def test_problems_end_with_three(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["check", lines(tmp_path / "tead", valence=4.0)]) == cli.SOME_FAILED
    told = capsys.readouterr().out
    assert "1 problem\n" in told
    assert "valence 4.0 is outside -1..1" in told


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["gone"], "no such file or folder: gone"),
        (["{}"], "holds no table"),
        (["{}", "-o", "{}/page.pdf"], "unknown suffix of a report; valid: .html"),
        (["{}", "--set", "samples=-1"], "samples -1 is less than 0"),
        ([], "check needs PATH"),
    ],
)
def test_without_a_table_the_request_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    assert cli.main(["check", *(argument.format(tmp_path) for argument in arguments)]) == cli.BAD_REQUEST
    assert message in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
