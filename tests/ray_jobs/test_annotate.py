"""Job `annotate`: the step by itself, and the job on a local cluster against a service that misbehaves."""

import json
import os
import subprocess
import sys
import textwrap
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.dataset as pads
import pytest

from expclip import corpora, schema, storage, tead
from expclip.corpora.rows import clip_row, track_row
from expclip.errors import BadRequestError
from expclip.items import SourceOptions
from expclip.llm import Settings
from expclip.review import ReviewOptions
from expclip.rig import load_rig
from ray_jobs import annotate, cli
from ray_jobs.annotate import AnnotateStep, Config
from ray_jobs.cluster import Resources

LAX = ReviewOptions(quality=-1, alike=2)
RIG = load_rig()
NAMES = [name for name in RIG.channels if not name.startswith(("eye", "jawLeft", "jawRight"))]


def faces(folder: Path, count: int) -> str:
    """A corpus's folder with that many tracks, each holding a face of its own for a second."""
    random = np.random.default_rng(0)
    rows = []
    for k in range(count):
        weights = RIG.weights(dict.fromkeys(random.choice(NAMES, 12, replace=False), 0.8))
        rows.append(track_row(f"c{k:03d}", np.tile(weights, (50, 1)), np.ones(50, bool), RIG.channels, "made"))
    corpora.write_table(str(folder / "tracks/p.parquet"), rows, schema.TRACKS)
    clips = [clip_row(f"c{k:03d}", corpus="made", split="train", licence="CC0") for k in range(count)]
    corpora.write_table(str(folder / "clips/p.parquet"), clips, schema.CLIPS)
    return str(folder)


def config(source: str, output: Path, url: str, **change: Any) -> Config:
    settings = Settings(url=url, model="m", tries=2, in_flight=4, price_in=1.0, price_out=10.0)
    given = {"backend": "openai", "llm": settings, "review": LAX, "resources": Resources(workers=1)} | change
    return annotate._checked(Config(source, str(output), **given))


def rows(folder: Path | str) -> dict[str, dict[str, Any]]:
    """Rows of a table by clip_id; each is there once."""
    files = storage.listing(str(folder), ".parquet")
    table = pads.dataset(files).to_table().to_pylist() if files else []
    assert len({row["clip_id"] for row in table}) == len(table)
    return {row["clip_id"]: row for row in table}


def task(key: str, text: str) -> dict[str, Any]:
    return {"item": {"key": key, "texts": {"prompt": text}}, "variant": 1}


def test_the_step_asks_ahead_and_makes_rows(service: Any, service_module: Any, tmp_path: Path) -> None:
    service.script = lambda number, body: service_module.Say(delay=0.05)
    step = AnnotateStep(config("x", tmp_path / "out", service.url))
    given = [task(f"t{k}", f"Say number {k} with joy.") for k in range(8)]
    step.prepare(given)
    made = [step(row) for row in given if row is not given[2]]  # a row that is passed by
    step.close()
    assert [row["id"] for row in made] == [f"t{k}-v1" for k in (0, 1, 3, 4, 5, 6, 7)]
    assert dict(made[1]["texts"])["prompt"] == "Say number 1 with joy."
    assert dict(made[1]["aus"]) == {"AU12": 0.4, "AU6": 0.3}
    assert made[0]["signature"]
    assert (len(service.bodies), service.most) == (8, 4)


def test_the_step_says_why_a_row_is_rejected(service: Any, service_module: Any, tmp_path: Path) -> None:
    say = {
        "Say alpha": service_module.Say(content=service_module.answer({**BODY, "seed": 1}, category="rage")),
        "Say bravo": service_module.Say(500, "crash"),
        "Say charly": service_module.Say(content="never JSON"),
    }
    service.script = lambda number, body: next(
        (how for begin, how in say.items() if any(begin in m["content"] for m in body["messages"][1:])),
        service_module.GOOD,
    )
    step = AnnotateStep(config("x", tmp_path / "out", service.url, attempts=2))
    given = [task(name[0], f"Say {name} with joy.") for name in ("alpha", "bravo", "charly", "delta")]
    step.prepare(given)
    reasons = []
    for row in given[:3]:
        with pytest.raises(BadRequestError) as raised:
            step(row)
        reasons.append(str(raised.value))
    assert step(given[3])["id"] == "d-v1"
    step.close()
    assert reasons == [
        "answer 2 of 2: unknown category 'rage'",
        "http 500: crash (tried 2 times)",
        "answer 2 of 2: the answer is not a JSON object",
    ]


BODY = {"messages": [{"content": "with the fields emotion, category, valence, arousal, action_units, tag, situation, "
                      "description, and nothing else"}]}  # fmt: skip


def test_a_killed_step_pays_for_nothing_twice(service: Any, service_module: Any, tmp_path: Path) -> None:
    """SIGKILL of the process in the middle of a block: what it had received is not asked again."""
    service.script = lambda number, body: service_module.Say(delay=0.1)
    script = tmp_path / "first.py"
    script.write_text(
        textwrap.dedent(f"""
        from pathlib import Path
        from ray_jobs.annotate import AnnotateStep, Config, _checked
        from expclip.llm import Settings
        given = {[task(f"t{k}", f"Say number {k} with joy.") for k in range(60)]!r}
        step = AnnotateStep(_checked(Config("x", {str(tmp_path / "out")!r}, backend="openai",
                                            llm=Settings(url={service.url!r}, model="m", in_flight=4))))
        for reply in step._complete(given):
            pass
        """)
    )
    first = subprocess.Popen([sys.executable, str(script)], env=os.environ | {"PYTHONPATH": os.getcwd()})
    deadline = time.monotonic() + 120
    while first.poll() is None and len(service.answered) < 20 and time.monotonic() < deadline:
        time.sleep(0.01)
    first.kill()
    first.wait()
    time.sleep(0.3)  # the service ends what it had begun
    asked = len(service.bodies)
    assert 20 <= asked < 60
    step = AnnotateStep(config("x", tmp_path / "out", service.url))
    replies = list(step._complete([task(f"t{k}", f"Say number {k} with joy.") for k in range(60)]))
    step.close()
    assert not any(reply.error for reply in replies)
    times = Counter(map(service_module.question, service.bodies))
    repeated = sum(times.values()) - 60
    assert len(times) == 60
    assert repeated <= 4  # at most what was in flight when the process died


@pytest.mark.ray
@pytest.mark.filterwarnings(r"ignore::DeprecationWarning:ray\.")
def test_the_job_rejects_resumes_and_counts(
    ray_local: Any, service: Any, service_module: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bad = service_module.Say(content="never JSON")
    service.script = lambda number, body: (
        bad if "AU" not in body["messages"][-1]["content"] or number == 3 else service_module.GOOD
    )
    source, out = faces(tmp_path / "corpus", 12), tmp_path / "tead"
    chosen = config(source, out, service.url, attempts=1)
    summary = annotate.run(chosen)
    assert (summary.total, summary.done, summary.failed) == (12, 11, 1)
    told = capsys.readouterr().out
    assert "answers paid for                    12" in told
    assert "tokens                              1200 in, 240 out" in told
    assert "cost                                0.0036" in told
    assert "answer 1 of 1: the answer is not a JSON object" in told
    (failed,) = rows(f"{out}.errors").values()
    assert json.loads(failed["row"])["item"]["corpus"] == "made"
    made = rows(out)
    assert len(made) == 11
    row = next(iter(made.values()))
    assert (row["direction"], row["backend"], row["model"], row["licence"]) == ("expression", "openai", "m", "CC0")
    assert max(row["weights"]) == pytest.approx(0.8)

    records = tead.load(str(out))
    assert {record.split for record in records} == {"train"}
    assert tead.validate(records) == []
    assert len(tead.load(f"seed,{out}")) == len(tead.load()) + 11

    service.script = lambda number, body: service_module.GOOD
    again = annotate.run(chosen)
    assert (again.there, again.failed, len(service.bodies)) == (11, 1, 12)  # the bad answer was paid for, too
    once_more = annotate.run(replace(chosen, attempts=2))
    assert (once_more.done, once_more.failed, len(service.bodies)) == (12, 0, 13)
    assert not storage.listing(f"{out}.errors", ".parquet")


@pytest.mark.ray
@pytest.mark.filterwarnings(r"ignore::DeprecationWarning:ray\.")
def test_an_endpoint_that_is_down_ends_with_three_and_is_asked_again_later(
    ray_local: Any, service: Any, service_module: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source, out = tmp_path / "t.txt", tmp_path / "tead"
    source.write_text("\n".join(f"Say number {k} with quiet joy." for k in range(5)))
    other = service_module.Service()
    other.stop()
    command = ["annotate", str(source), "-o", str(out), "--set", "backend=openai", "--set", "llm.model=m",
               "--set", "llm.tries=2", "--set", "review.quality=-1", "--set", "review.alike=2",
               "--set", "resources.workers=1"]  # fmt: skip
    assert cli.main([*command, "--set", f"llm.url={other.url}"]) == cli.SOME_FAILED
    errors = rows(f"{out}.errors")
    assert len(errors) == 5
    assert all("no connection" in row["error"] for row in errors.values())
    assert cli.main([*command, "--set", f"llm.url={service.url}"]) == cli.DONE
    assert len(rows(out)) == 5
    assert not storage.listing(f"{out}.errors", ".parquet")
    capsys.readouterr()


@pytest.mark.ray
@pytest.mark.model
@pytest.mark.filterwarnings(r"ignore::DeprecationWarning:ray\.")
def test_without_a_model_texts_become_records_and_repeats_are_taken_out(
    ray_local: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source, out = tmp_path / "t.csv", tmp_path / "tead"
    source.write_text("id,text\na,beaming with joy\nb,cold fury\nc,Cold  fury\nd,Say it like a happy child.\n"
                      "e,Say it like a happy child!\n")  # fmt: skip
    assert cli.main(["annotate", str(source), "-o", str(out), "--set", "resources.workers=1"]) == cli.SOME_FAILED
    assert set(rows(out)) == {"a-v1", "b-v1", "d-v1"}
    reasons = {key: row["error"] for key, row in rows(f"{out}.errors").items()}
    assert reasons == {
        "c": "the same text as in row 2", "e-v1": "prompt is nearly the same as that of d-v1"
    }  # fmt: skip
    assert {record.category for record in tead.load(str(out))} <= set(tead.CATEGORIES)
    again = annotate.run(Config(str(source), str(out), resources=Resources(workers=1)))
    assert (again.there, again.done, again.failed) == (3, 0, 2)
    assert "written now                         3" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"backend": "gpt"}, "unknown backend 'gpt'; valid: template, openai, vllm"),
        ({"backend": "openai"}, "needs llm.model"),
        ({"variants": 0}, "variants 0 is outside 1..1000"),
        ({"examples": 12}, "examples 12 is outside 0..9"),
        ({"input": "gone"}, "no such file or folder: gone"),
        ({"checkpoint": "gone"}, "no such checkpoint"),
        ({"review": ReviewOptions(quality=5.0)}, r"review.quality 5.0 is outside -1..1"),
        ({"source": SourceOptions(split="tarin")}, "unknown split 'tarin'"),
    ],
)
def test_bad_requests_write_nothing(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    (tmp_path / "t.txt").write_text("smug\n")
    given = {"input": str(tmp_path / "t.txt"), "output": str(tmp_path / "out")} | change
    with pytest.raises(BadRequestError, match=message):
        annotate.run(Config(**given))
    assert [path.name for path in tmp_path.iterdir()] == ["t.txt"]


def test_tracks_without_an_expression_say_why(tmp_path: Path) -> None:
    """A mouth that speaks and nothing else is no expression; nor are faces of another split."""
    jaw_TC = RIG.zeros(100)
    jaw_TC[:, RIG.index("jawOpen")] = 0.6 * np.abs(np.sin(np.arange(100) / 5))
    corpora.write_table(str(tmp_path / "clips/0.parquet"), [clip_row("a", split="train")], schema.CLIPS)
    track = track_row("a", jaw_TC, np.ones(100, bool), RIG.channels, "made")
    corpora.write_table(str(tmp_path / "tracks/0.parquet"), [track], schema.TRACKS)
    for split, message in (("train", r"none of 1 rows of TRACKS holds .* strength 0.35"), ("val", "of the val split")):
        with pytest.raises(BadRequestError, match=message):
            annotate.run(Config(str(tmp_path), str(tmp_path / "out"), source=SourceOptions(split=split)))
    assert not (tmp_path / "out").exists()


def test_the_key_goes_to_the_workers_with_the_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("EXPCLIP_LLM_KEY", raising=False)
    annotate.AnnotateStep(Config("x", str(tmp_path)), "secret")
    assert os.environ.pop("EXPCLIP_LLM_KEY") == "secret"


def test_limits_are_shared_among_workers(tmp_path: Path) -> None:
    settings = Settings(model="m", in_flight=10, requests_per_minute=600, tokens_per_minute=9000)
    chosen = annotate._checked(Config("x", str(tmp_path), "openai", settings, resources=Resources(workers=3)))
    assert (chosen.llm.in_flight, chosen.llm.requests_per_minute, chosen.llm.tokens_per_minute) == (3, 200, 3000)
    alone = annotate._checked(Config("x", str(tmp_path), "openai", settings))
    assert (alone.resources.workers, alone.llm.in_flight, alone.resources.block_rows) == (1, 10, 160)
