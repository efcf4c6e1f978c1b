"""The README cannot rot: its Python runs, and every verb, format, column and variable has its line."""

import dataclasses
import importlib
import inspect
import os
import re
from pathlib import Path

import pytest

from expclip import catalogue, corpora, exporters, schema
from expclip.corpora import checks
from ray_jobs import cli, ingest
from serve import animate, api, settings

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text("utf-8")
JOBS = (ROOT / "ray_jobs" / "README.md").read_text("utf-8")
SERVE = (ROOT / "serve" / "README.md").read_text("utf-8")
ALL = README + JOBS + SERVE + (ROOT / "infra" / "README.md").read_text("utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, re.S)


@pytest.mark.model
def test_the_python_in_the_readme_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "expclip").symlink_to(ROOT / "expclip")
    monkeypatch.chdir(tmp_path)
    assert blocks("python")
    for block in blocks("python"):
        exec(compile(block, "README.md", "exec"), {})
    assert {p.name for p in tmp_path.iterdir()} >= {"line_01.livelink.csv", "line_01.glb"}


@pytest.mark.parametrize("verb", [*cli.JOBS, "animate", "style", "rig"])
def test_every_verb_is_in_the_readme(verb: str) -> None:
    assert f"`expclip {verb}" in README


def test_every_verb_in_the_readme_exists(capsys: pytest.CaptureFixture[str]) -> None:
    for verb in set(re.findall(r"^expclip ([a-z-]+)", "\n".join(blocks("sh")), re.M)):
        with pytest.raises(SystemExit) as stopped:
            cli.main([verb, "--help"])
        assert stopped.value.code == 0
    capsys.readouterr()


def test_every_job_has_its_row_and_a_commented_config() -> None:
    for verb, job in cli.JOBS.items():
        assert f"| `{verb}`" in JOBS
        module = importlib.import_module(job.module)
        assert dataclasses.is_dataclass(module.Config)
        assert callable(module.run)


def test_every_format_and_column_is_documented() -> None:
    for name in exporters.EXPORTERS:
        assert f"`.{name}`" in README
    for column in catalogue.COLUMNS:
        assert f"`{column}`" in README
    for table in (schema.CLIPS, schema.TRACKS, schema.EXPRESSIONS, schema.CUTS, schema.ANIMATIONS):
        assert all(field.metadata and field.metadata[b"comment"] for field in table)


def test_every_corpus_has_its_terms_and_every_note_its_meaning() -> None:
    for name in corpora.CORPORA:
        importer = corpora.load(name)
        assert f"| `{name}` | {importer.brings} | {importer.licence} |" in JOBS
        assert importer.layout
        assert name in inspect.getsource(ingest.Config)
    for kind, meaning in checks.KINDS.items():
        assert f"| `{kind}` | {meaning} |" in JOBS


def test_every_environment_variable_is_documented() -> None:
    code = "\n".join(
        p.read_text("utf-8") for folder in ("expclip", "ray_jobs", "serve") for p in (ROOT / folder).rglob("*.py")
    )
    used = set(re.findall(r"\bEXPCLIP_[A-Z0-9_]+\b", code))
    assert used
    assert {name for name in used if name not in ALL} == set()


def test_every_setting_and_endpoint_of_the_service_has_its_line() -> None:
    for prefix, kind in (("", settings.Settings), ("limits.", settings.Limits), ("scaling.", settings.Scaling)):
        for field in dataclasses.fields(kind):
            if not dataclasses.is_dataclass(getattr(settings.Settings(), field.name, None)):
                assert f"`{prefix}{field.name}`" in SERVE or f"`{prefix}{field.name}." in SERVE
    for route in api.router.routes:
        path = getattr(route, "path", "/")
        assert path == "/" or re.search(rf"`(GET|POST|WS) {path}`", SERVE)
    for name in animate.FORMATS:
        assert f"`{name}`" in SERVE


def test_make_targets_in_the_readme_exist() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text("utf-8"), re.M))
    told = set(re.findall(r"(?:^|`)make ([a-z-]+)", README, re.M))
    assert told
    assert told <= targets


def test_the_tree_in_the_readme_matches() -> None:
    for name in re.findall(r"^(\w+)/ ", README, re.M):
        assert (ROOT / name).is_dir()
    for name in os.listdir(ROOT):
        if (ROOT / name / "__init__.py").exists():
            assert f"{name}/" in README
