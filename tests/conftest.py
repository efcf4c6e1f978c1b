"""Fixtures for the whole suite: one local Ray cluster a run, optional material, a little speech-like sound."""

import importlib.util
import os
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

os.environ.pop("RAY_ADDRESS", None)
for _name, _value in {
    "RAY_AUTH_MODE": "disabled",
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_DATA_DISABLE_PROGRESS_BARS": "1",
    "RAY_DATA_USE_DATASOURCE_V2": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "OMP_NUM_THREADS": "1",
    "HF_HUB_OFFLINE": "1",
}.items():
    os.environ.setdefault(_name, _value)  # before ray, torch or transformers is imported

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Real material that does not ship with the project; tests that want it skip where it is absent."""
    folder = Path(os.environ.get("EXPCLIP_TEST_DATA", ROOT.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"no test material at {folder} (set EXPCLIP_TEST_DATA)")
    return folder


@pytest.fixture(scope="session")
def ray_local() -> Iterator[Any]:
    """One local cluster for all tests that need Ray: 4 logical CPUs, its own short temporary folder."""
    import ray

    with tempfile.TemporaryDirectory(prefix="r", ignore_cleanup_errors=True) as folder:
        ray.init(
            address="local",
            num_cpus=4,
            include_dashboard=False,
            _temp_dir=folder,
            log_to_driver=False,
            object_store_memory=200 << 20,
            runtime_env={"env_vars": {"PYTHONPATH": str(ROOT)}},
        )
        yield ray
        ray.shutdown()


@pytest.fixture
def data_context(ray_local: Any) -> Iterator[Any]:
    """Ray Data's global settings, put back after the test."""
    import copy

    from ray.data import DataContext

    before = DataContext.get_current()
    DataContext._set_current(copy.deepcopy(before))
    yield DataContext.get_current()
    DataContext._set_current(before)


@pytest.fixture(scope="session")
def s3_server() -> Iterator[str]:
    """Address of an S3 imitation on loopback."""
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def s3_folder(s3_server: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A new folder `s3://...` with the environment that reaches it, for this process and those it starts."""
    import s3fs

    for name, value in {
        "AWS_ENDPOINT_URL": s3_server,
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
    }.items():
        monkeypatch.setenv(name, value)
    s3fs.S3FileSystem.clear_instance_cache()
    s3fs.S3FileSystem().makedirs("expclip-tests", exist_ok=True)
    yield f"s3://expclip-tests/{uuid.uuid4().hex[:8]}"
    s3fs.S3FileSystem.clear_instance_cache()


@pytest.fixture(scope="session")
def service_module() -> Any:
    """The module `tests/service.py`, which no path leads to."""
    spec = importlib.util.spec_from_file_location("service", ROOT / "tests" / "service.py")
    assert spec
    assert spec.loader
    module = sys.modules["service"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def service(service_module: Any) -> Iterator[Any]:
    """A language model's service on loopback that does as a test says."""
    running = service_module.Service()
    yield running
    running.stop()


@pytest.fixture(scope="session")
def make_video() -> Callable[..., str]:
    """A function (path, lavfi source or None, *options, before=options): ffmpeg makes a file, whose path comes back."""
    from expclip import media

    def make(path: Path, source: str | None, *options: str, before: Sequence[str] = ()) -> str:
        inputs = (*before, *(("-f", "lavfi", "-i", source) if source else ()))
        command = [media.ffmpeg(), "-nostdin", "-v", "error", "-y", *inputs, *options, str(path)]
        subprocess.run(command, check=True, timeout=120)
        return str(path)

    return make


@pytest.fixture
def animator() -> Any:
    """An Animator of tiny random models, style vectors of 8 places, without a text tower.

    Texts are embedded by their length, expressions by the first places of the vector; `encoded` lists the texts.
    """
    import torch

    from expclip.animator import Animator
    from expclip.generator import Generator, GeneratorConfig
    from expclip.rig import load_rig

    rig, places = load_rig(), 8

    class FakeExpCLIP(torch.nn.Module):
        encoded: list[str] = []

        def encode_text(self, texts: list[str]) -> tuple[torch.Tensor, torch.Tensor]:
            self.encoded = [*self.encoded, *texts]
            vectors = torch.stack([torch.linspace(-1, 1, places) * len(t) + torch.arange(places) for t in texts])
            return torch.nn.functional.normalize(vectors, dim=-1), torch.full((len(texts),), 0.8)

        def encode_expression(self, weights: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            return torch.nn.functional.normalize(weights[:, -places:] + 0.1, dim=-1), weights.amax(-1)

        def decode_expression(self, vector: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            weights = torch.zeros(*vector.shape[:-1], len(rig))
            weights[..., rig.indices(("browInnerUp", "mouthSmileLeft"))] = vector[..., -2:].clamp(0, 1)
            return weights, weights

    torch.manual_seed(0)
    generator = Generator(GeneratorConfig(width=16, encoder_blocks=3, blocks=2, style=places))
    fake: Any = FakeExpCLIP()
    return Animator(fake, generator, digest="tiny")


@pytest.fixture(scope="session")
def babble() -> np.ndarray[Any, Any]:
    """Two seconds of speech-like sound at 16 kHz, samples (32000,): syllables of a buzz, silence at both ends."""
    time = np.arange(32_000) / 16_000
    buzz = np.sign(np.sin(2 * np.pi * 120 * time)) * np.exp(-((time * 120 % 1) * 4))
    syllables = np.clip(np.sin(2 * np.pi * 2.5 * (time - 0.3)), 0, 1) * ((time > 0.3) & (time < 1.7))
    return (0.4 * buzz * syllables).astype(np.float32)
