"""A corpus in object storage from end to end: brought in, extracted, checked, and nothing done twice."""

import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest
import soundfile

from expclip import corpora, storage
from expclip.rig import load_rig

pytestmark = pytest.mark.ray

SCRIPT = textwrap.dedent(
    """
    import json, sys
    from ray_jobs import cluster
    from ray_jobs.cli import main

    base, told = sys.argv[1:]
    one = ["--set", "resources.workers=1"]
    ingest = ["ingest", "facegood", f"{base}/root", "-o", f"{base}/corpus", *one]
    extract = ["extract", f"{base}/corpus", "-o", f"{base}/new/tracks", "--set", "extractor=precomputed", *one]
    with cluster.kept():
        codes = [main(command) for command in (ingest, extract, ingest, extract, ["check", f"{base}/new"])]
    with open(told, "w") as file:
        json.dump(codes, file)
    """
)


def test_a_corpus_in_object_storage(s3_folder: str, tmp_path: Path) -> None:
    """The workers need the storage's address, so the jobs have a process, and a cluster, of their own."""
    time, rig = np.arange(48_000) / 16_000, load_rig()
    for k in range(2):
        name = f"1_1_{k}"
        loud = 0.2 * np.abs(np.sin((7 + k) * time))
        soundfile.write(tmp_path / f"{name}.wav", loud * np.random.default_rng(k).standard_normal(48_000), 16_000)
        moving = np.abs(np.sin((7 + k) * np.arange(90) / 30))[:, None] * np.linspace(0.3, 0.5, 52)
        np.savez(tmp_path / f"{name}.npz", arkit=moving, arkit_names=np.array(rig.channels), fps=np.array(30.0))
        for suffix in ("wav", "npz"):
            content = (tmp_path / f"{name}.{suffix}").read_bytes()
            storage.write_bytes(f"{s3_folder}/root/{name}.{suffix}", content)
    (tmp_path / "jobs.py").write_text(SCRIPT)
    done = subprocess.run(
        [sys.executable, str(tmp_path / "jobs.py"), s3_folder, str(tmp_path / "codes.json")],
        env=os.environ | {"PYTHONPATH": os.getcwd(), "PYTHONWARNINGS": "ignore"},
        capture_output=True, text=True, timeout=240,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    assert json.loads((tmp_path / "codes.json").read_text()) == [0, 0, 0, 0, 0], done.stdout + done.stderr
    clips, tracks = corpora.read(f"{s3_folder}/new")
    assert sorted(row["clip_id"] for row in clips) == ["facegood_1_1_0", "facegood_1_1_1"]
    assert set(tracks) == {row["clip_id"] for row in clips}
    assert all(storage.exists(row["audio"]) and row["audio"].startswith("s3://") for row in clips)
    lines = [line for line in done.stdout.splitlines() if "clips in" in line]
    assert ["2 of them new" in line for line in lines] == [True, False]
    assert done.stdout.count("starting Ray on this machine") == 1
