"""The bulk job on a true cluster, with an Animator that costs nothing: quarantine, resume, kill, object storage."""

import json
import os
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.dataset as pads
import pytest
import soundfile
from ray import cloudpickle

from expclip import media, storage
from expclip.animation import Animation
from expclip.rig import load_rig
from expclip.style import Style, check_prompt
from ray_jobs import animate
from ray_jobs.animate import Config
from ray_jobs.cluster import Resources

cloudpickle.register_pickle_by_value(sys.modules[__name__])
pytestmark = [
    pytest.mark.ray,
    pytest.mark.filterwarnings(r"ignore::DeprecationWarning:ray\."),  # Ray warns of its own settings
]


class FakeAnimator:
    """Opens the jaw by the length of the prompt; leaves a mark for each call; dies of the prompt `die`."""

    def __init__(self, marks: str) -> None:
        self.marks = marks

    def styles(self, prompts: list[str]) -> list[Style]:
        return [self.style(prompt) for prompt in prompts]

    def style(self, prompt: str, *, intensity: float = 1.0) -> Style:
        return Style(np.eye(4, dtype=np.float32)[0], 0.5, intensity, check_prompt(prompt))

    def animate(self, audio: str, style: Style, **how: Any) -> Animation:
        if style.prompt == "die":
            os._exit(1)
        audio_N = media.read_audio(audio, start=how["start"], end=how["end"])
        with open(f"{self.marks}/{os.getpid()}", "a") as file:
            file.write(style.prompt + "\n")
        frame = load_rig().weights({"jawOpen": len(style.prompt) / 100})
        count = round(len(audio_N) / media.SAMPLE_RATE * how["fps"])
        return Animation(np.tile(frame, (count, 1)), how["fps"], prompt=style.prompt)


class Job:
    """A folder with sounds, and a catalogue that tests change."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.marks, self.out = folder, folder / "marks", str(folder / "out")
        self.marks.mkdir(parents=True)
        soundfile.write(folder / "tone.wav", np.sin(np.arange(8_000) / 20) / 2, 16_000)
        (folder / "text.wav").write_text("no sound")
        self.rows = {f"c{k}": {"audio": "tone.wav", "prompt": f"prompt {k}"} for k in range(10)}

    def run(self, **settings: Any) -> Any:
        text = "\n".join(json.dumps({"clip_id": clip_id} | row) for clip_id, row in self.rows.items())
        catalogue = self.folder / "catalogue.jsonl"
        catalogue.write_text(text, "utf-8")
        marks = str(self.marks)
        config = Config(str(catalogue), self.out, ("npz",), resources=Resources(workers=2), **settings)
        return animate.run(config, lambda: FakeAnimator(marks))  # type: ignore[arg-type, return-value]

    def calls(self) -> list[str]:
        """Prompts animated since the last time this was asked."""
        found = [line for file in self.marks.iterdir() for line in file.read_text().splitlines()]
        for file in self.marks.iterdir():
            file.write_text("")
        return sorted(found)


def rows(folder: str) -> dict[str, Any]:
    """Return the table's rows by clip_id; every clip_id is there once."""
    table = pads.dataset(storage.listing(folder, ".parquet")).to_table().to_pylist()
    assert len({row["clip_id"] for row in table}) == len(table)
    return {row["clip_id"]: row for row in table}


def test_quarantine_resume_and_change(ray_local: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    job = Job(tmp_path)
    job.rows["c3"]["audio"] = "gone.wav"
    job.rows["c5"]["audio"] = "text.wav"
    job.rows["c7"]["prompt"] = "die"
    first = job.run()
    assert (first.done, first.failed, first.there) == (7, 3, 0)
    assert set(rows(job.out + "/animations")) == {f"c{k}" for k in (0, 1, 2, 4, 6, 8, 9)}
    errors = rows(job.out + "/animations.errors")
    assert "no such file" in errors["c3"]["error"]
    assert "cannot be read as sound" in errors["c5"]["error"]
    assert "worker died" in errors["c7"]["error"]
    assert json.loads(errors["c7"]["row"])["prompt"] == "die"
    row = rows(job.out + "/animations")["c4"]
    assert np.array(row["weights"]).shape == (15, 52)
    assert (row["files"], row["seconds"], row["prompt"]) == (["c4.npz"], 0.5, "prompt 4")
    assert "real-time factor" in capsys.readouterr().out
    job.calls()

    job.rows["c7"]["prompt"] = "no success"
    job.rows["c2"]["prompt"] = "changed"
    Path(job.out, "c8.npz").unlink()
    second = job.run()
    assert job.calls() == ["changed", "no success", "prompt 8"]
    assert (second.done, second.failed, second.there) == (3, 2, 5)
    assert rows(job.out + "/animations")["c2"]["prompt"] == "changed"
    assert set(rows(job.out + "/animations.errors")) == {"c3", "c5"}

    del job.rows["c3"], job.rows["c5"]
    third = job.run()
    assert (third.done, third.failed, third.there, job.calls()) == (0, 0, 8, [])
    assert not storage.listing(job.out + "/animations.errors")

    job.folder = tmp_path.with_name("link")
    job.folder.symlink_to(tmp_path)
    assert (job.run().done, job.calls()) == (0, [])  # the same files by another path


def test_killed_driver_loses_and_repeats_nothing(ray_local: Any, tmp_path: Path) -> None:
    """SIGKILL in the middle of a run on a cluster of its own, then the same command here."""
    job = Job(tmp_path)
    job.rows = {f"c{k:02d}": {"audio": "tone.wav", "prompt": f"prompt {k}"} for k in range(48)}
    script = tmp_path / "first.py"
    script.write_text(
        textwrap.dedent(f"""
        import importlib.util, sys, time
        from pathlib import Path
        spec = importlib.util.spec_from_file_location("job_test", {__file__!r})
        module = sys.modules["job_test"] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        class Slow(module.FakeAnimator):
            def animate(self, *given, **how):
                time.sleep(0.3)
                return super().animate(*given, **how)
        module.FakeAnimator = Slow
        job = object.__new__(module.Job)
        job.folder, job.marks, job.out = Path({str(tmp_path)!r}), Path({str(job.marks)!r}), {job.out!r}
        job.rows = {job.rows!r}
        job.run()
        """)
    )
    table = job.out + "/animations"
    first = subprocess.Popen([sys.executable, str(script)], env=os.environ | {"PYTHONPATH": os.getcwd()})
    deadline = time.monotonic() + 120
    while first.poll() is None and len(storage.listing(table, ".parquet")) < 3 and time.monotonic() < deadline:
        time.sleep(0.05)
    first.kill()
    first.wait()
    time.sleep(2)  # its workers notice and end
    kept = rows(table)
    assert 0 < len(kept) < 48
    job.calls()
    second = job.run()
    assert (second.there, second.done, second.failed) == (len(kept), 48 - len(kept), 0)
    assert len(rows(table)) == 48
    assert not {row["prompt"] for row in kept.values()} & set(job.calls())


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """An empty bucket of a local object store."""
    import s3fs
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    for name, value in {
        "AWS_ENDPOINT_URL": f"http://{host}:{port}",
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
    }.items():
        monkeypatch.setenv(name, value)
    s3fs.S3FileSystem.clear_instance_cache()
    s3fs.S3FileSystem().mkdir("studio")
    yield "s3://studio"
    s3fs.S3FileSystem.clear_instance_cache()
    server.stop()


def test_catalogue_sound_and_output_in_object_storage(ray_local: Any, bucket: str, tmp_path: Path) -> None:
    marks = tmp_path / "marks"
    marks.mkdir()
    media.write_audio(f"{bucket}/in/tone.wav", np.sin(np.arange(8_000, dtype=np.float32) / 20) / 2)
    storage.write_bytes(f"{bucket}/in/c.csv", b"clip_id,audio,prompt\na,tone.wav,happy\nb,gone.wav,sad\n")
    config = Config(f"{bucket}/in/c.csv", f"{bucket}/out", ("livelink.csv",), resources=Resources(workers=1))
    environment = {name: os.environ[name] for name in os.environ if name.startswith("AWS_")}

    def load() -> Any:
        os.environ.update(environment)  # the cluster of the tests is older than this bucket
        return FakeAnimator(str(marks))

    summary = animate.run(config, load)
    assert (summary.done, [f.error for f in summary.failures]) == (1, [f"no such file: {bucket}/in/gone.wav"])
    assert storage.read_text(f"{bucket}/out/a.livelink.csv").startswith("Timecode,BlendshapeCount")
    assert storage.listing(f"{bucket}/out/animations", ".parquet")
    assert storage.listing(f"{bucket}/out/animations.errors", ".parquet")
    assert animate.run(config, load).there == 1
