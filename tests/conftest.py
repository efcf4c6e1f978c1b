"""Fixtures for the whole suite: one local Ray cluster a run, optional material, a little speech-like sound."""

import importlib.util
import json
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
    "RAY_TRAIN_HEALTH_CHECK_INTERVAL_S": "0.2",
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


@pytest.fixture(scope="session")
def tiny_bert(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Folder of a BERT of one layer that knows a few words."""
    import torch
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers
    from transformers import BertConfig, BertModel

    folder = tmp_path_factory.mktemp("bert")
    words = ["[PAD]", "[UNK]", "happy", "sad", "a", "very", "smile"]
    tokenizer = Tokenizer(models.WordPiece({word: k for k, word in enumerate(words)}, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.save(str(folder / "tokenizer.json"))
    torch.manual_seed(0)
    BertModel(
        BertConfig(vocab_size=7, hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=24)
    ).save_pretrained(folder)
    return str(folder)


@pytest.fixture(scope="session")
def toy_corpus(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Seven clips of 2 s: bursts of noise with a B before each, the jaw follows the sound; c0 is angry by its units."""
    from expclip import corpora, media
    from expclip.rig import load_rig
    from expclip.schema import CLIPS, TRACKS

    folder, rig = tmp_path_factory.mktemp("corpus"), load_rig()
    random, rows, tracks = np.random.default_rng(0), [], []
    for k in range(7):
        loud_T = (np.sin(np.arange(100) / (5 + k)) > 0).astype(np.float32)
        sound_N = 0.2 * np.repeat(loud_T, 320) * random.standard_normal(32_000)
        media.write_audio(str(folder / "audio" / f"c{k}.wav"), sound_N.astype(np.float32))
        weights_TC = rig.zeros(100)
        weights_TC[:, rig.index("jawOpen")] = 0.6 * loud_T
        starts = np.flatnonzero(np.diff(loud_T) > 0) / 50
        phones = [[float(s), float(s) + 0.06, "B"] for s in starts] or [[0.0, 2.0, "AA"]]
        rows.append(dict.fromkeys(CLIPS.names, "") | {
            "clip_id": f"c{k}", "corpus": "toy", "split": {5: "test", 6: "val"}.get(k, "train"),
            "audio": f"audio/c{k}.wav", "start": 0.0, "end": float("nan"), "phones": json.dumps(phones),
            "action_units": '{"AU4": 0.8}' if k == 0 else "",
        })  # fmt: skip
        tracks.append({
            "clip_id": f"c{k}", "fps": 50.0, "weights": list(weights_TC), "valid": [True] * 90 + [False] * 10,
            "mask": ["jawOpen"], "extractor": "toy",
        })  # fmt: skip
    corpora.write_table(str(folder / "clips" / "0.parquet"), rows, CLIPS)
    corpora.write_table(str(folder / "tracks" / "0.parquet"), tracks, TRACKS)
    return str(folder)


@pytest.fixture(scope="session")
def toy_expclip(tmp_path_factory: pytest.TempPathFactory, tiny_bert: str) -> str:
    """A checkpoint with a tiny untrained ExpCLIP."""
    import torch

    from expclip import checkpoint
    from expclip.model import ExpCLIP, ExpCLIPConfig

    folder = str(tmp_path_factory.mktemp("expclip"))
    torch.manual_seed(0)
    model = ExpCLIP(ExpCLIPConfig(tower=tiny_bert, embedding=8, hidden=8, lora_rank=0))
    checkpoint.save(folder, {"expclip": model.to_part()}, {})
    return folder


@pytest.fixture(scope="session")
def toy_tead(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Forty records of TEAD, written by hand: half smile, half frown."""
    folder = tmp_path_factory.mktemp("tead")
    texts = dict.fromkeys(("tag", "prompt", "situation", "description"), "a happy smile")
    rows = [
        {"id": f"A-{k:04}", "emotion": "joy", "category": "happiness", "valence": 0.5, "arousal": 0.5, "texts": texts,
         "aus": {"AU12": 0.7} if k % 2 else {"AU4": 0.6}}
        for k in range(40)
    ]  # fmt: skip
    (folder / "A.jsonl").write_text("\n".join(map(json.dumps, rows)) + "\n")
    return str(folder)
