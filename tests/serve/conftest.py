"""The service as plain ASGI, with tiny random models and without Ray."""

import io
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import soundfile
from starlette.testclient import TestClient

from serve.api import build_api
from serve.service import Service
from serve.settings import Settings, load


@pytest.fixture
def make_client(animator: Any) -> Iterator[Callable[..., TestClient]]:
    """A function (settings by name) -> a client of a running service; `client.app.state.service` is what it holds."""
    open_: list[TestClient] = []

    def make(**arguments: Any) -> TestClient:
        settings: Settings = load({"models.tiny": "", **arguments})
        client = TestClient(build_api(lambda: Service(settings, {"tiny": animator, "other": animator})))
        client.__enter__()
        open_.append(client)
        return client

    yield make
    for client in open_:
        client.__exit__(None, None, None)


@pytest.fixture
def client(make_client: Callable[..., TestClient]) -> TestClient:
    return make_client()


@pytest.fixture(scope="session")
def wav(babble: np.ndarray) -> bytes:
    """Two seconds of speech-like sound as a 16-bit wav."""
    file = io.BytesIO()
    soundfile.write(file, babble, 16_000, format="WAV", subtype="PCM_16")
    return file.getvalue()


@pytest.fixture(scope="session")
def heard(wav: bytes) -> np.ndarray:
    """The samples of `wav` as any reader finds them."""
    return soundfile.read(io.BytesIO(wav), dtype="float32")[0]
