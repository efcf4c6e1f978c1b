"""The command: what works writes what it says, what is wrong is one line, exit code 2 and no file."""

import io
import json
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import soundfile
from PIL import Image

from expclip import animator as animators
from expclip.animation import Animation
from expclip.exporters import livelink_csv
from expclip.rig import load_rig
from expclip.style import Style
from ray_jobs import cli

RIG = load_rig()
Run = Callable[..., tuple[int, str, str]]


class FakeAnimator:
    """Answers as the true one does, from the length of the texts; counts how texts arrive."""

    calls: list[int] = []

    def styles(self, prompts: Sequence[str], intensities: Sequence[float]) -> list[Style]:
        self.calls.append(len(prompts))
        direction = np.eye(4, dtype=np.float32)[0]
        return [Style(direction, len(p) / 100, i, p) for p, i in zip(prompts, intensities, strict=True)]

    def style(self, prompt: str, *, intensity: float = 1.0) -> Style:
        return self.styles([prompt], [intensity])[0]

    def expression(self, style: Style) -> tuple[Any, Any]:
        from expclip import action_units

        units_U = action_units.to_vector({"AU12L": min(1.0, float(style.vector_D[0]))})
        return units_U, action_units.vector_to_weights(units_U)

    def animate(self, audio: Any, style: Style, *, fps: float, seed: int, **_: Any) -> Animation:
        count = round(len(audio) / 16_000 * fps)
        weights = np.tile(RIG.weights({"jawOpen": seed / 10}), (count, 1))
        return Animation(weights, fps, prompt=style.prompt, audio_N=audio, provenance={"seed": seed})


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run the command in a folder with `line.wav` and some files that are none; the models are fakes."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(animators, "load", lambda checkpoint=None, device="cpu": FakeAnimator())
    (tmp_path / "ckpt").mkdir()
    (tmp_path / "ckpt" / "config.json").write_text("{}")
    soundfile.write("line.wav", np.sin(np.arange(16_000) / 20).astype(np.float32) / 2, 16_000)
    Path("empty.wav").touch()
    Path("text.wav").write_text("no sound at all")
    Path("text.raw").write_text("no sound at all")
    Image.new("RGB", (8, 8)).save("picture.png")
    Path("cut.wav").write_bytes(Path("line.wav").read_bytes()[:30])

    def command(*argv: str) -> tuple[int, str, str]:
        code = cli.main(argv)
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return command


def test_one_line_into_several_formats(run: Run, tmp_path: Path) -> None:
    code, out, err = run(
        *("animate", "line.wav", "-p", "barely holding back tears", "--checkpoint", "ckpt", "--seed", "5"),
        *("-o", "out/line.livelink.csv", "-o", "line.npz", "--fps", "60"),
    )
    assert (code, err) == (0, "")
    assert "out/line.livelink.csv  1.00 s" in out
    assert livelink_csv.read("out/line.livelink.csv").channel("jawOpen").max() == pytest.approx(0.5)
    with np.load("line.npz") as table:
        assert table["weights"].shape == (60, 52)
        assert str(table["prompt"]) == "barely holding back tears"


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--format", "npz,a2f.json", "-o", "take"], {"take.npz", "take.a2f.json"}),
        (["--format", ".npz", "-o", "scene.v2"], {"scene.v2.npz"}),
        (["--format", "npz", "-o", "new/"], {"new/line.npz"}),
        (["--format", "npz"], {"line.npz"}),
        (["-o", "ckpt"], {"ckpt/line.livelink.csv", "ckpt/line.a2f.json"}),
        (["--format", "npz,a2f.json", "-o", "x.npz"], {"x.npz", "x.a2f.json"}),
    ],
)
def test_where_files_go(run: Run, tmp_path: Path, arguments: list[str], expected: set[str]) -> None:
    before = {p for p in tmp_path.rglob("*") if p.is_file()}
    assert run("animate", "line.wav", "-p", "happy", "--checkpoint", "ckpt", *arguments)[0] == 0
    assert {str(p.relative_to(tmp_path)) for p in tmp_path.rglob("*") if p.is_file() and p not in before} == expected


LINE = ("animate", "line.wav", "-p", "happy", "--checkpoint", "ckpt", "-o", "out/x.npz")


def changed(*change: str) -> tuple[str, ...]:
    """The good command with its last words replaced."""
    return (*LINE[:-2], *change)


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (("animate", "gone.wav", *LINE[2:]), "no such file: gone.wav"),
        (("animate", "empty.wav", *LINE[2:]), "empty.wav: the file is empty"),
        (("animate", "text.wav", *LINE[2:]), "text.wav: cannot be read as sound"),
        (("animate", "cut.wav", *LINE[2:]), "cut.wav: "),
        (("animate", "ckpt", *LINE[2:]), "ckpt is a folder"),
        (("animate", "line.wav", "-o", "out/x.npz"), "no prompt"),
        (("animate", "line.wav", "-p", " ", "-o", "out/x.npz"), "the prompt is empty"),
        (("animate", "line.wav", "-p", "x" * 1001, "-o", "out/x.npz"), "1001 characters"),
        ((*LINE, "--intensity", "nan"), "intensity nan"),
        ((*LINE, "--intensity", "2"), "intensity 2.0 is outside 0..1.5"),
        ((*LINE, "--intensity", "much"), "invalid float value: 'much'"),
        ((*LINE, "--fps", "0"), "fps 0.0"),
        ((*LINE, "--seed", "-1"), "seed -1"),
        ((*LINE, "--start", "0.5", "--end", "0.5"), "end 0.5 s is not after start 0.5 s"),
        ((*LINE, "--start", "0.6", "--end", "0.5"), "end 0.5 s is not after start 0.6 s"),
        ((*LINE, "--start", "3"), "start 3 s lies behind its end"),
        ((*LINE, "--start", "nan"), "start nan"),
        ((*LINE, "--format", "fbx"), "unknown format 'fbx'; valid: livelink.csv"),
        ((*LINE, "--without", "noise"), "unknown post-processing switch 'noise'; valid: smoothing"),
        ((*LINE, "--checkpoint", "none"), "no such checkpoint: none"),
        ((*LINE, "--dry-run"), "--dry-run is for catalogues"),
        (changed("-o", "out/x.fbx"), "out/x.fbx: unknown suffix; valid: .livelink.csv"),
        (changed("-o", "out/x.csv"), "unknown suffix"),
        (changed("-o", "line.wav/x.npz"), "line.wav"),
        (changed("-o", "/proc/none/x.npz"), "/proc/none"),
        (changed(), "no output"),
        (("animate", "c.csv", "-o", "out"), "no such file: c.csv"),
        (("animate", "c.csv"), "animate needs -o OUTPUT"),
        (("animate", "c.csv", "-o", "out/x.npz"), "'out/x.npz' is the name of a file"),
        (("animate", "c.csv", "-o", "out", "--fps", "0"), "fps 0.0"),
        (("animate", "c.csv", "-o", "out", "--intensity", "nan"), "intensity nan"),
        (("style", "\udcff bad"), "not text in UTF-8"),
        (("animate", "text.raw", *LINE[2:]), "text.raw: cannot be read as sound"),
        (("animate", "picture.png", *LINE[2:]), "picture.png: no sound in the file"),
        (("ingest", "grid", "-o", "x"), "ingest needs ROOT"),
        ((*LINE, "--end", "inf"), "end inf is not a time"),
        (("animate", "c.csv", "-p", "happy", "-o", "out"), "a catalogue has a column"),
        (("animate", "c.csv", "-o", "out", "--set", "outptu=x"), "unknown setting 'outptu'"),
        (("animate", "c.csv", "-o", "out", "--format", "fbx"), "unknown format 'fbx'"),
        (("animate", "c.csv", "-o", "out", "-o", "other"), "a catalogue fills one folder"),
        (("style",), "no text"),
        (("style", "happy", "", "--checkpoint", "ckpt"), "the prompt is empty"),
        (("style", "happy", "-o", "out/x.jpg"), "unknown suffix; valid: .png"),
        (("style", "happy", "--intensity", "nan"), "intensity nan"),
        (("style", "happy", "--checkpoint", "none"), "no such checkpoint: none"),
        (("extract", "ckpt", "-o", "out"), "ckpt holds no clips/*.parquet"),
        (("extract", "ckpt"), "extract needs -o TRACKS"),
        (("extract", "ckpt", "-o", "out", "--set", "options.fps=0"), "fps 0"),
        (("extract", "ckpt", "-o", "out", "--set", "options.gate.turn=5"), "gate.turn is two values"),
        (("rig", "arkit53"), "unknown rig 'arkit53'"),
        (("evaluate", "a", "b"), "surplus argument 'b'"),
        (("evaluate", "--recipe", "none.toml"), "no such recipe"),
        (("dance",), "invalid choice: 'dance'"),
        ((), "required: VERB"),
    ],
)
def test_bad_requests(run: Run, tmp_path: Path, argv: tuple[str, ...], message: str) -> None:
    before = sorted(tmp_path.rglob("*"))
    code, out, err = run(*argv)
    assert (code, out) == (2, "")
    assert err.startswith("expclip: ")
    assert message in err
    assert err.count("\n") == 1
    assert sorted(p for p in tmp_path.rglob("*") if p.is_file()) == [p for p in before if p.is_file()]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ("clip_id,audio,prompt\n", "the catalogue is empty"),
        ("clip_id,audio,prompt,mood\na,line.wav,x,y\n", "'mood'"),
        ("clip_id,audio,prompt\na,line.wav,x\na,line.wav,y\n", "duplicate clip_id 'a'"),
    ],
)
def test_bad_catalogues(run: Run, tmp_path: Path, rows: str, message: str) -> None:
    Path("c.csv").write_text(rows)
    code, _, err = run("animate", "c.csv", "-o", "out", "--checkpoint", "ckpt")
    assert code == 2
    assert message in err
    assert not Path("out").exists()


def test_style_as_json_encodes_all_lines_at_once(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("\n".join("x" * k for k in range(1, 81)) + "\n\n"))
    FakeAnimator.calls.clear()
    code, out, _ = run("style", "-", "--json", "--checkpoint", "ckpt", "--intensity", "0.5")
    records = [json.loads(line) for line in out.splitlines()]
    assert code == 0
    assert FakeAnimator.calls == [80]
    assert [len(record["text"]) for record in records] == list(range(1, 81))
    assert records[59]["strength"] == pytest.approx(0.6)
    assert records[59]["action_units"] == {"AU12L": pytest.approx(0.3)}
    assert tuple(records[59]["weights"]) == RIG.channels
    assert records[59]["weights"]["mouthSmileLeft"] > 0 == records[59]["weights"]["mouthSmileRight"]


@pytest.mark.parametrize(("piped", "texts"), [("a\u2028b\nc\n", ["a\u2028b", "c"]), ("a\r\nb", ["a", "b"])])
def test_only_ends_of_lines_part_texts(run: Run, monkeypatch: pytest.MonkeyPatch, piped: str, texts: list[str]) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(piped, newline=None))
    code, out, _ = run("style", "-", "--json", "--checkpoint", "ckpt")
    assert (code, [json.loads(line)["text"] for line in out.split("\n") if line]) == (0, texts)


def test_style_in_words_and_as_a_picture(run: Run) -> None:
    code, out, _ = run(
        "style", "a smug grin that only one side of the face shows", "-o", "a/f.png", "--checkpoint", "ckpt"
    )
    assert code == 0
    assert "lip corner puller (own left)" in out
    assert "mouthSmileLeft" in out
    assert Path("a/f.png").read_bytes().startswith(b"\x89PNG")


def test_dry_run_resolves_defaults_recipe_and_settings(run: Run) -> None:
    Path("r.toml").write_text('[animate]\nformats = ["npz"]\nfps = 25\n[animate.resources]\nworkers = 3\n')
    argv = ("animate", "c.csv", "-o", "out", "--recipe", "r.toml", "--set", "resources.cpus=2", "--seed", "4")
    code, out, _ = run(*argv, "--dry-run")
    resolved = json.loads(out)
    assert code == 0
    assert (resolved["formats"], resolved["fps"], resolved["seed"]) == (["npz"], 25.0, 4)
    assert (resolved["resources"]["workers"], resolved["resources"]["cpus"]) == (3, 2.0)
    assert not Path("out").exists()


def test_help_of_a_job_is_its_commented_configuration(run: Run) -> None:
    code, out, _ = run("evaluate", "--help")
    assert code == 0
    assert out.startswith("usage: expclip evaluate")
    assert "class Config" in out
    assert "# " in out


@pytest.mark.parametrize("verb", [verb for verb, job in cli.JOBS.items() if job.output])
def test_every_job_takes_its_output_and_positional_settings(run: Run, verb: str) -> None:
    given = {name: f"a {name}" for name in cli.JOBS[verb].positional} | {cli.JOBS[verb].output: "there"}
    needs = {"train-generator": "expclip=x", "ablate": "base.expclip=x"}
    needed = ["--set", needs[verb]] if verb in needs else []
    code, out, _ = run(verb, *[given[name] for name in cli.JOBS[verb].positional], "-o", "there", *needed, "--dry-run")
    assert code == 0
    assert given.items() <= json.loads(out).items()


def test_settings_with_an_option_of_their_own(run: Run) -> None:
    code, out, _ = run(
        "extract", "folder", "-o", "t", "--model", "face.task", "--extractor", "precomputed", "--dry-run"
    )
    assert code == 0
    assert {"model": "face.task", "extractor": "precomputed", "clips": "folder", "tracks": "t"}.items() <= json.loads(
        out
    ).items()
    assert "[--extractor EXTRACTOR] [--model MODEL]" in run("extract", "--help")[1]


def test_rig_lists_channels_and_units(run: Run) -> None:
    code, out, _ = run("rig")
    assert code == 0
    assert all(name in out for name in RIG.channels)
    assert RIG.digest in out


def test_failed_rows_and_interruption_have_their_codes(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    from ray_jobs import evaluate

    monkeypatch.setattr(evaluate, "run", lambda config: SimpleNamespace(failed=1))
    assert run("evaluate")[0] == 3
    monkeypatch.setattr(evaluate, "run", lambda config: {"failed": 0})
    assert run("evaluate")[0] == 0

    def interrupted(config: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(evaluate, "run", interrupted)
    assert run("evaluate")[0] == 130


def test_help_loads_nothing_heavy() -> None:
    code = (
        "import sys\nfrom ray_jobs import cli\ntry: cli.main(['--help'])\nexcept SystemExit as end: print(end.code)\n"
        "print([m for m in ('torch', 'ray', 'numpy', 'pyarrow', 'transformers') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-2:] == ["0", "[]"]
