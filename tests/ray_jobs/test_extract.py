"""Job `extract` on a local cluster with an extractor that costs nothing: all kinds of media, gaps, kill, restart."""

import json
import os
import re
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ray import cloudpickle

from expclip import clip_table, corpora, extractors, tracks
from expclip.corpora import rows
from expclip.errors import BadRequestError
from expclip.extract import Options
from expclip.extractors import Face, Settings, Source, nothing_seen
from expclip.rig import load_rig
from expclip.schema import CLIPS, MEASURED, TRACKS
from expclip.video import Frames
from ray_jobs import extract, ledger
from ray_jobs.cluster import Resources

cloudpickle.register_pickle_by_value(sys.modules[__name__])
pytestmark = [
    pytest.mark.ray,
    pytest.mark.filterwarnings(r"ignore::DeprecationWarning:ray\."),  # Ray warns of its own settings
]
Maker = Callable[..., str]
JAW = load_rig().index("jawOpen")
MOVING = "color=gray:s=64x48:r=25:d=3,hue=b='2*sin(18*t)'"
SOUND = "aevalsrc='0.3*sin(1900*t)*abs(sin(9*t))':s=16000:d=3"


class FakeExtractor:
    """Takes a picture for a face whose jaw is as open as the picture is light; leaves a mark for each clip."""

    version = "fake 1"
    needs_video = True

    def __init__(self, marks: str, slow: float = 0.0) -> None:
        self.marks, self.slow = marks, slow

    def measure(self, source: Source) -> list[Face]:
        if "die" in source.clip_id:
            os._exit(1)
        time.sleep(self.slow)
        with open(f"{self.marks}/{os.getpid()}", "a") as file:
            file.write(source.clip_id + "\n")
        with Frames(source.video, start=source.start, end=source.end) as frames:
            seen = [(frame.time, float(frame.picture.mean()) / 255) for frame in frames]
        times, lightness = np.array(seen).T
        if lightness.max() < 0.15:
            raise nothing_seen(source.video, len(seen), float(lightness.max()))
        weights = load_rig().zeros(len(seen))
        weights[:, JAW] = lightness
        weights[lightness < 0.15] = np.nan
        flat = np.full(len(seen), np.nan, np.float32)
        return [Face(times, weights, np.zeros((len(seen), 6), np.float32), flat, flat, flat, mask=("jawOpen",))]


class Job:
    """A corpus folder, written by hand, whose videos tests make."""

    def __init__(self, folder: Path, make_video: Maker) -> None:
        self.folder, self.make, self.marks = folder, make_video, folder / "marks"
        self.marks.mkdir(parents=True)
        self.clips: list[dict[str, Any]] = []

    def video(self, name: str, source: str = MOVING, *options: str, sound: str = SOUND) -> str:
        return self.make(
            self.folder / name, None, *options, "-c:a", "aac",
            before=("-f", "lavfi", "-i", source, "-f", "lavfi", "-i", sound),
        )  # fmt: skip

    def clip(self, clip_id: str, path: str, **given: Any) -> None:
        self.clips.append(rows.clip_row(clip_id, **{"speaker": "x", "audio": path, "video": path, **given}))

    def run(self, monkeypatch: pytest.MonkeyPatch, **settings: Any) -> dict[str, Any]:
        corpora.write_table(str(self.folder / "clips" / "0.parquet"), self.clips, CLIPS)
        monkeypatch.setitem(extractors.EXTRACTORS, "fake", f"{__name__}:make")
        os.environ["FAKE_MARKS"] = str(self.marks)
        settings = {
            "tracks": str(self.folder / "tracks"),
            "extractor": "fake",
            "resources": Resources(workers=2),
        } | settings
        return extract.run(extract.Config(str(self.folder), **settings))

    def measured(self) -> list[str]:
        """Clips measured since this was asked last."""
        found = [line for file in self.marks.iterdir() for line in file.read_text().splitlines()]
        for file in self.marks.iterdir():
            file.write_text("")
        return sorted(found)

    def errors(self) -> dict[str, str]:
        return {row["clip_id"]: row["error"] for row in corpora.table(str(self.folder / "tracks.errors")).to_pylist()}


def make(settings: Settings) -> FakeExtractor:
    return FakeExtractor(os.environ["FAKE_MARKS"])


@pytest.fixture
def job(tmp_path: Path, make_video: Maker) -> Job:
    return Job(tmp_path / "corpus", make_video)


def content(folder: Path | str) -> dict[tuple[str, int], dict[str, Any]]:
    """Return the rows of a table of tracks by clip and segment, without what a run leaves by chance."""
    table = corpora.table(str(folder)).to_pylist()
    found = {(row["clip_id"], row["segment"]): row for row in table}
    assert len(found) == len(table)
    return found


def test_every_kind_of_media_works_or_says_why_not(
    ray_local: Any, job: Job, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    plain = job.video("plain.mp4")
    whole = Path(plain).read_bytes()
    good = {
        "plain": plain,
        "variable": job.video("vfr.mp4", f"{MOVING},select='lt(n,20)+not(mod(n,3))'", "-fps_mode", "vfr"),
        "rotated": job.make(job.folder / "r.mp4", None, "-c", "copy", before=("-display_rotation", "90", "-i", plain)),
        "extension": str(Path(job.video("e.mp4")).rename(job.folder / "e.txt")),
        "quick": job.video("q.mp4", MOVING.replace("r=25", "r=1000")),
        "large": job.video("l.mp4", MOVING.replace("64x48", "2560x1440").replace("d=3", "d=1"), "-preset", "ultrafast"),
    }
    (job.folder / "cut.mp4").write_bytes(whole[: len(whole) // 2])
    front = job.video("front.mp4", MOVING, "-movflags", "+faststart")
    (job.folder / "cut_front.mp4").write_bytes(Path(front).read_bytes()[: Path(front).stat().st_size * 2 // 3])
    (job.folder / "text.mp4").write_text("not a video\n" * 99)
    damage = "noise=amount=1"
    bad = {
        "cut": (job.folder / "cut.mp4", "cannot be read as video: moov atom not found"),
        "cut_front": (job.folder / "cut_front.mp4", "the picture breaks off at"),
        "text": (job.folder / "text.mp4", "cannot be read as video"),
        "no_picture": (job.make(job.folder / "n.m4a", SOUND, "-c:a", "aac"), "no picture in the file"),
        "no_sound": (job.make(job.folder / "s.mp4", MOVING), "no sound in the file"),
        "no_face": (job.video("d.mp4", "color=0x1c1c1c:s=64x48:r=25:d=2"), "no face in any of 50 frames"),
        "black": (job.video("b.mp4", "color=black:s=64x48:r=25:d=10"), "the picture is black throughout"),
        "one_frame": (job.video("o.mp4", "color=gray:s=64x48:r=25:d=0.04"), r"the picture lasts 0 s \(1 frame"),
        "slow": (job.video("w.mp4", MOVING.replace("r=25", "r=2")), "2 frames a second are too few"),
        "huge": (
            job.make(job.folder / "h.avi", None, "-c:v", "mjpeg", "-c:a", "pcm_s16le", before=(
                "-f", "lavfi", "-i", "color=red:s=12000x9000:r=1:d=1", "-f", "lavfi", "-i", SOUND)),
            "Picture size 12000x9000 exceeds",
        ),
        "bad_sound": (job.make(job.folder / "a.mp4", None, "-c", "copy", "-bsf:a", damage, before=("-i", plain)),
                      "cannot be read as sound|the sound is damaged"),
        "gone": (job.folder / "gone.mp4", "no such file"),
    }  # fmt: skip
    for name, video in good.items():
        job.clip(name, video)
    for name, (path, _) in bad.items():
        job.clip(name, str(path))
    job.clip("behind", plain, start=7.0)
    job.clip("no_video", plain, video="")
    reasons = {name: reason for name, (_, reason) in bad.items()} | {"behind": "no frames in the picture from 7 s on"}
    progress = job.folder / "progress.ndjson"
    result = job.run(monkeypatch, resources=Resources(workers=2, progress=str(progress)))
    errors = job.errors()
    assert set(errors) == set(reasons)
    for name, reason in reasons.items():
        assert re.search(reason, errors[name]), (name, errors[name])
    stripped = {re.sub(r"\S*/(\w+)\.\w+", "", error) for error in errors.values()}
    assert len(stripped) == len(errors) - 1  # `cut` and `text` both lack an index
    assert {clip_id for clip_id, _ in content(job.folder / "tracks")} == set(good)
    assert (result["clips"], result["failed"]) == (len(good), len(errors))
    told = [json.loads(line) for line in progress.read_text().splitlines()]
    assert {each["clip_id"] for each in told if each["event"] == "failed" and each["table"].endswith("tracks")} == set(
        errors
    )
    last = told[-1]
    assert (last["event"], last["total"], last["done"], last["failed"]) == ("ended", 19, len(good), len(errors))
    printed = capsys.readouterr().out
    assert "no face in any of 50 frames" in printed
    assert "1 clips are of sound alone and have no face" in printed


def test_tracks_are_even_rest_at_zero_and_split_at_gaps(
    ray_local: Any, job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    moving = job.video("a.mp4")
    vfr = job.video("v.mp4", f"{MOVING},select='lt(n,20)+not(mod(n,3))'", "-fps_mode", "vfr")
    dark = job.video("g.mp4", f"{MOVING},drawbox=c=black:t=fill:enable='between(t,0.8,1.19)'")
    for name, video in (("plain", moving), ("vfr", vfr), ("gap", dark)):
        job.clip(name, video)
    job.clip("part", moving, start=0.5, end=1.5)
    job.clip("other", job.video("o.mp4", MOVING.replace("2*sin", "1*sin")), speaker="")
    job.clip("mute", moving, audio="")
    monkeypatch.setattr(extract, "INLINE", 0)  # all three tables by workers
    assert job.run(monkeypatch)["failed"] == 0
    made = content(job.folder / "tracks")
    assert set(made) == {("plain", 0), ("vfr", 0), ("gap", 0), ("gap", 1), ("part", 0), ("other", 0), ("mute", 0)}
    assert np.isnan([made["mute", 0][name] for name in ("offset_s", "offset_r", "offset_lead")]).all()
    plain, part, second = made["plain", 0], made["part", 0], made["gap", 1]
    assert (plain["fps"], plain["mask"], plain["extractor"], plain["begin"]) == (50.0, ["jawOpen"], "fake 1", 0.0)
    assert len(plain["weights"]) == len(plain["valid"]) == len(plain["confidence"]) == len(plain["pose"]) == 149
    assert plain["neutral"] == made["vfr", 0]["neutral"]
    assert plain["neutral"][JAW] + 0.05 < made["other", 0]["neutral"][JAW]
    curve = np.array(plain["weights"])[:, JAW]
    assert curve.min() < 0.01
    assert curve.max() > 0.2
    other = np.array(made["vfr", 0]["weights"])[:, JAW]
    assert np.abs(curve[: len(other)] - other).mean() < 0.05  # by time: the frames that are missing do not shift it
    first = round((0.5 + part["begin"]) * 50)
    cut = np.array(part["weights"])[:, JAW]
    np.testing.assert_allclose(curve[first : first + len(cut)], cut, atol=0.01)
    assert second["begin"] == pytest.approx(1.2)
    assert np.isfinite([plain["offset_s"], plain["offset_r"], plain["offset_lead"]]).all()
    table, _ = clip_table.load({"fake": str(job.folder)})
    joined = {clip.clip_id: clip for clip in table}
    assert set(joined) == {"plain", "vfr", "gap", "part", "other"}
    assert joined["gap"].taught_TC[:, JAW].sum() == sum(len(made["gap", k]["valid"]) for k in (0, 1))
    assert not joined["gap"].taught_TC[45:55].any()
    assert {e.clip_id: e.offset_s for e in table.entries}["plain"] == plain["offset_s"]


def test_only_what_changed_is_done_again(ray_local: Any, job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    videos = {name: job.video(f"{name}.mp4", f"{MOVING},hue=s={k}") for k, name in enumerate("abc")}
    for name, video in videos.items():
        job.clip(name, video)
    assert job.run(monkeypatch) == {"clips": 3, "made": 3, "failed": 0}
    assert job.measured() == ["a", "b", "c"]
    before = content(job.folder / "tracks")
    assert job.run(monkeypatch) == {"clips": 3, "made": 0, "failed": 0}
    assert job.measured() == []
    assert job.run(monkeypatch, options=Options(fps=25.0)) == {"clips": 3, "made": 3, "failed": 0}
    assert job.measured() == []
    assert {row["fps"] for row in content(job.folder / "tracks").values()} == {25.0}
    job.video("b.mp4", MOVING.replace("2*sin", "3*sin"))
    job.clip("d", videos["a"])
    job.run(monkeypatch)
    assert job.measured() == ["b", "d"]
    after = content(job.folder / "tracks")
    assert {clip_id for clip_id, _ in after} == set("abcd")
    assert after["a", 0]["neutral"][JAW] < before["a", 0]["neutral"][JAW]  # of the speaker, over all clips
    assert np.array(after["a", 0]["weights"])[10, JAW] > np.array(before["a", 0]["weights"])[10, JAW]
    entries = ledger.read(str(job.folder / "tracks"))
    assert [entry["event"] for entry in entries] == ["begun", "ended"] * 4
    assert entries[0]["about"]["extractor"] == "fake"
    assert entries[-1]["done"] == 4
    assert entries[0]["versions"]["expclip"]


def test_a_clip_that_kills_its_worker_is_reported(ray_local: Any, job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    video = job.video("a.mp4")
    for name in ("one", "die", "two"):
        job.clip(name, video)
    assert job.run(monkeypatch)["failed"] == 1
    assert "worker died" in job.errors()["die"]
    assert {clip_id for clip_id, _ in content(job.folder / "tracks")} == {"one", "two"}


def test_a_killed_job_loses_and_repeats_nothing(
    ray_local: Any, job: Job, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """SIGKILL in the middle of a run on a cluster of its own, then the same here; content as of a run left in peace."""
    video = job.video("a.mp4", MOVING.replace("d=3", "d=1"), sound=SOUND.replace("d=3", "d=1"))
    for k in range(40):
        job.clip(f"c{k:02d}", video, start=k / 100)
    corpora.write_table(str(job.folder / "clips" / "0.parquet"), job.clips, CLIPS)
    script = tmp_path / "first.py"
    script.write_text(
        textwrap.dedent(f"""
        import importlib.util, sys
        spec = importlib.util.spec_from_file_location("job_test", {__file__!r})
        module = sys.modules["job_test"] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        module.make = lambda settings: module.FakeExtractor({str(job.marks)!r}, slow=0.3)
        module.extractors.EXTRACTORS["fake"] = "job_test:make"
        module.extract.run(module.extract.Config(
            {str(job.folder)!r}, {str(job.folder / "tracks")!r}, "fake", resources=module.Resources(workers=2)
        ))
        """)
    )
    shards = job.folder / "tracks.work" / "measured"
    first = subprocess.Popen([sys.executable, str(script)], env=os.environ | {"PYTHONPATH": os.getcwd()})
    deadline = time.monotonic() + 180
    while first.poll() is None and len(list(shards.glob("part-*"))) < 4 and time.monotonic() < deadline:
        time.sleep(0.05)
    first.kill()
    first.wait()
    time.sleep(2)  # its workers notice and end
    kept = {row["clip_id"] for row in corpora.table(str(shards)).to_pylist()}
    assert 0 < len(kept) < 40
    assert kept <= set(job.measured())
    assert job.run(monkeypatch) == {"clips": 40, "made": 40, "failed": 0}
    repeated = job.measured()
    assert sorted(repeated) == sorted({clip["clip_id"] for clip in job.clips} - kept)
    entries = ledger.read(str(shards))
    assert [entry["event"] for entry in entries] == ["begun", "begun", "ended"]
    assert (entries[1]["there"], entries[2]["done"]) == (len(kept), 40 - len(kept))
    job.run(monkeypatch, tracks=str(tmp_path / "peace" / "tracks"))
    peace, ours = content(tmp_path / "peace" / "tracks"), content(job.folder / "tracks")
    assert peace.keys() == ours.keys()
    assert len(peace) == 40
    for key, row in peace.items():
        assert {k: repr(v) for k, v in row.items()} == {k: repr(v) for k, v in ours[key].items()}  # NaN is not itself


def test_tracks_that_a_corpus_brought_go_the_same_way(
    ray_local: Any, job: Job, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    sound = job.make(job.folder / "a.wav", SOUND)
    weights = load_rig().zeros(150)
    weights[:, JAW] = 0.2 + 0.3 * np.abs(np.sin(9 * np.arange(150) / 50))
    for name in ("a", "b"):
        job.clip(name, "", audio=sound)
    job.clip("c", "", audio=sound)
    brought = [rows.track_row(name, weights, np.arange(150) != 50, ["jawOpen"], "studio") for name in ("a", "b")]
    corpora.write_table(str(job.folder / "tracks" / "0.parquet"), brought, TRACKS)
    with pytest.raises(BadRequestError, match="is what is read: choose another output"):
        job.run(monkeypatch, extractor="precomputed")
    with pytest.raises(BadRequestError, match=r"was not written by a job that can be continued"):
        job.run(monkeypatch)
    output = str(tmp_path / "new" / "tracks")
    assert job.run(monkeypatch, extractor="precomputed", tracks=output) == {"clips": 2, "made": 2, "failed": 1}
    clips, found = corpora.read(str(tmp_path / "new"))
    assert [row["clip_id"] for row in clips] == ["a", "b", "c"]
    track = tracks.Track.of(found["a"])
    assert track.extractor == "studio"
    assert track.weights_TC[:, JAW].min() == 0
    assert track.weights_TC[:, JAW].max() == pytest.approx(0.28, abs=0.02)
    assert (~track.valid_T).sum() == 1
    assert abs(track.offset_s) < 0.04
    assert len(clip_table.load({"x": str(tmp_path / "new")})[0]) == 2


def test_what_cannot_be_asked_for_is_refused_before_the_work(
    tmp_path: Path, job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(BadRequestError, match=r"holds no clips/\*.parquet"):
        extract.run(extract.Config(str(tmp_path / "none"), str(tmp_path / "out")))
    job.clip("a", "a.mp4")
    for settings, message in (
        ({"extractor": "deep"}, "unknown extractor 'deep'"),
        ({"side": 0}, "side 0 is less than 1"),
        ({"options": Options(fps=1000.0)}, "fps 1000.0"),
        ({"extractor": "precomputed", "tracks": str(tmp_path / "out")}, "no tracks in"),
    ):
        with pytest.raises(BadRequestError, match=message):
            job.run(monkeypatch, **settings)
    job.clips[0]["video"] = ""
    with pytest.raises(BadRequestError, match="none of 1 clips has a video, and fake needs one"):
        job.run(monkeypatch)
    assert not (tmp_path / "out").exists()
    assert not (job.folder / "tracks").exists()


def test_the_folder_or_its_table_of_clips_may_be_named(
    ray_local: Any, job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    job.clip("a", job.video("a.mp4"))
    job.run(monkeypatch)
    os.environ["FAKE_MARKS"] = str(job.marks)
    again = extract.Config(
        str(job.folder / "clips"), str(job.folder / "tracks"), "fake", resources=Resources(workers=1)
    )
    assert extract.run(again)["made"] == 0
    assert corpora.table(str(job.folder / "tracks.work" / "measured")).schema.names[: len(MEASURED)] == MEASURED.names
