"""The studio page: what the service serves for it, and the page itself in a real Chromium with the shipped models."""

import csv
import importlib.util
import json
import re
import struct
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from PIL import Image
from starlette.testclient import TestClient

from expclip import load_rig
from expclip.exporters import a2f_json, livelink_csv, npz
from serve import studio
from serve.api import build_api
from serve.service import Service, load_models
from serve.settings import load

WEB = Path(studio.__file__).parent / "web"
DEMO = studio.DEMO


def glb_json(data: bytes) -> dict[str, Any]:
    magic, version, size = struct.unpack_from("<4sII", data)
    assert (magic, version, size) == (b"glTF", 2, len(data))
    return dict(json.loads(data[20 : 20 + struct.unpack_from("<I", data, 12)[0]]))


def respelt(data: bytes, respell: Callable[[list[str]], list[str]]) -> bytes:
    """A glb whose morph targets have other names."""
    document = glb_json(data)
    names = document["meshes"][0]["extras"]["targetNames"]
    document["meshes"][0]["extras"]["targetNames"] = respell(names)
    text = json.dumps(document).encode()
    text += b" " * (-len(text) % 4)
    binary = data[20 + struct.unpack_from("<I", data, 12)[0] :]
    return struct.pack("<4sIII4s", b"glTF", 2, 20 + len(text) + len(binary), len(text), b"JSON") + text + binary


# What the service serves


def test_unbuilt_it_says_how_to_build_it(client: TestClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(studio, "DIST", tmp_path)
    answer = client.get("/")
    assert answer.status_code == 200
    assert "make web" in answer.text
    assert client.get("/assets/index.js").status_code == 404


def test_built_it_is_served_and_nothing_beside_it(
    client: TestClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(studio, "DIST", tmp_path)
    (tmp_path / "assets").mkdir()
    (tmp_path / "index.html").write_text("<p>page")
    (tmp_path / "assets" / "index-1.js").write_text("let a")
    page = client.get("/")
    assert page.text == "<p>page"
    assert "default-src 'none'" in page.headers["content-security-policy"]
    asset = client.get("/assets/index-1.js")
    assert asset.text == "let a"
    assert "javascript" in asset.headers["content-type"]
    assert "immutable" in asset.headers["cache-control"]
    for path in ("/assets/index-2.js", "/assets/..%2findex.html", "/assets/%2e%2e/index.html", "/assets/"):
        assert client.get(path).status_code == 404, path


def test_our_head_comes_with_its_channels(client: TestClient) -> None:
    packed, plain = (client.get("/v1/head.glb", headers={"accept-encoding": e}) for e in ("gzip", "identity"))
    assert packed.headers["content-encoding"] == "gzip"
    assert packed.content == plain.content
    document = glb_json(plain.content)
    assert document["meshes"][0]["extras"]["targetNames"] == list(load_rig().channels)
    assert "animations" not in document


def test_the_demo_s_lines(client: TestClient) -> None:
    lines = client.get("/v1/demo").json()
    with (DEMO / "catalogue.csv").open(newline="") as file:
        ours = [(row["clip_id"], row["prompt"], float(row["intensity"])) for row in csv.DictReader(file)]
    assert [(line["id"], line["prompt"], line["intensity"]) for line in lines] == ours
    for line in lines:
        assert set(line) == {"id", "words", "prompt", "intensity"}
        assert client.get(f"/v1/demo/{line['id']}").content[:4] == b"OggS"
    for name in ("nothing", "..%2fdemo%2f01_birthday", "README"):
        answer = client.get(f"/v1/demo/{name}")
        assert answer.status_code == 404
        assert answer.headers["content-type"] == "application/problem+json"


def test_the_page_names_no_other_place() -> None:
    for path in [WEB / "index.html", *WEB.glob("src/*"), *WEB.glob("public/*")]:
        assert not re.findall(r"(?:https?:)?//(?!www\.w3\.org/2000/svg)[\w-]+\.\w+", path.read_text("utf-8")), path


# The page in a browser


class Running:
    """The service on loopback, with the models that ship; it can be stopped and started again."""

    def __init__(self, models: dict[str, Any], port: int, **arguments: Any) -> None:
        import uvicorn

        self.service = build_api(lambda: Service(load(arguments), models))
        config = uvicorn.Config(
            self.service, "127.0.0.1", port, log_level="error", ws="websockets-sansio", timeout_graceful_shutdown=1
        )
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._server.run, daemon=True)
        self._thread.start()
        while not self._server.started:
            assert self._thread.is_alive()
            time.sleep(0.05)
        self.port = self._server.servers[0].sockets[0].getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}/"

    def stop(self) -> None:
        self._server.should_exit = True
        self._thread.join(30)
        assert not self._thread.is_alive()


@pytest.fixture(scope="module")
def models() -> dict[str, Any]:
    return load_models(load())


@pytest.fixture(scope="module")
def running(models: dict[str, Any]) -> Iterator[Running]:
    server = Running(models, 0)
    yield server
    server.stop()


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    path = Path(__file__).with_name("browser.py")
    spec = importlib.util.spec_from_file_location("browser", path)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    if module.CHROMIUM is None:
        pytest.skip("no chromium on the path")
    if not (studio.DIST / "index.html").is_file():
        pytest.skip("the page is not built (make web)")
    chromium = module.Browser(
        tmp_path_factory.mktemp("browser"), "--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"
    )
    yield chromium
    chromium.close()


@pytest.fixture
def page(browser: Any, running: Running) -> Iterator[Any]:
    """The page, ready, touched once as a person would; whatever a test does, no error may stand in its console."""
    browser.evaluate("0")  # takes in what the last test left
    browser.wrong.clear()
    browser.requested.clear()
    browser.go(running.url, width=880, height=520)
    browser.wait("document.documentElement.dataset.ready")
    browser.click("#transport")
    yield browser
    assert browser.wrong == []
    assert [u for u in browser.requested if not u.startswith((running.url, "blob:", "data:"))] == []


@pytest.fixture(scope="module")
def long_line(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A quarter of a minute of speech."""
    path = tmp_path_factory.mktemp("sound") / "long.wav"
    names = ("03_ultimatum", "07_weather", "12_detective", "01_birthday")
    lines = [soundfile.read(DEMO / f"{name}.ogg") for name in names]
    soundfile.write(path, np.concatenate([samples for samples, _ in lines]), lines[0][1])
    return path


def take_line(page: Any, path: Path = DEMO / "03_ultimatum.ogg") -> None:
    page.choose("#file", [path])
    page.wait(f"document.querySelector('#line-name').textContent === '{path.name}'")
    if page.wait("document.querySelector('#play:enabled') && document.querySelector('#play').ariaLabel") == "Pause":
        page.click("#play")


def downloaded(page: Any, kind: str) -> Path:
    for old in page.folder.glob(f"*.{kind}"):
        old.unlink()
    page.click(f"[data-format='{kind}']")
    end = time.monotonic() + 60
    while not (found := [p for p in page.folder.glob(f"*.{kind}") if p.stat().st_size]):
        assert time.monotonic() < end, page.text("#panel")
        time.sleep(0.1)
    time.sleep(0.2)
    return Path(found[0])


def seen_at(page: Any, second: float) -> np.ndarray:
    """The canvas of the face at a second of the line, (H, W, 3)."""
    length = page.evaluate("+document.querySelector('#graph').ariaValueMax")
    page.click("#graph", second / length)
    page.wait(f"Math.abs(document.querySelector('#now').value - {second}) < 0.02")
    for _ in range(3):
        page.evaluate("new Promise(go => requestAnimationFrame(go))")
    picture: Image.Image = page.picture("#face")
    return np.asarray(picture, np.float32)


def change(first: np.ndarray, second: np.ndarray, part: str) -> float:
    """Mean difference of two pictures (0..255) in a part of the face, which stands in the middle."""
    height, width = first.shape[:2]
    top, bottom = {"mouth": (0.62, 0.85), "brows": (0.3, 0.48), "corner": (0.0, 0.1)}[part]
    left, right = (0.0, 0.1) if part == "corner" else (0.4, 0.6)
    rows, columns = slice(int(top * height), int(bottom * height)), slice(int(left * width), int(right * width))
    return float(np.abs(first[rows, columns] - second[rows, columns]).mean())


@pytest.mark.model
def test_type_animate_see_switch_and_download(page: Any) -> None:
    page.write("#prompt", "very happy, a big smile")
    page.press("Enter")
    page.wait("document.querySelector('#reading').textContent.includes('lip corner')")
    take_line(page)
    told = json.loads(downloaded(page, "json").read_text())
    jaw_T = np.array(told["weights"])[:, told["names"].index("jawOpen")]
    loud, silent = float(jaw_T.argmax()) / told["fps"], float(jaw_T[5:-5].argmin() + 5) / told["fps"]

    open_, shut, again = seen_at(page, loud), seen_at(page, silent), seen_at(page, loud)
    assert change(open_, again, "mouth") < 0.5
    assert change(open_, shut, "mouth") > 4
    assert change(open_, shut, "corner") < 0.5

    page.click("#examples li:nth-child(3) button")
    page.wait("document.querySelector('#prompt').value.includes('rage')")
    page.wait("document.querySelector('#reading').textContent.includes('brow lowerer')")
    page.wait("document.querySelector('#legend').textContent.includes('browDownLeft')")
    assert change(open_, seen_at(page, loud), "brows") > 2

    assert livelink_csv.read(str(downloaded(page, "livelink.csv"))).seconds == pytest.approx(jaw_T.size / 30, abs=0.1)
    assert len(a2f_json.read(str(downloaded(page, "a2f.json")))) == jaw_T.size
    assert npz.read(str(downloaded(page, "npz"))).prompt == "cold rage behind clenched teeth"
    assert glb_json(downloaded(page, "glb").read_bytes())["animations"]


@pytest.mark.model
def test_two_feelings_mixed_and_how_much_of_them(page: Any) -> None:
    page.write("#prompt", "joyful")
    page.click("label[for=how-mix]")
    page.write("#prompt-b", "furious")
    page.press("Tab")
    page.wait("document.querySelector('#reading').textContent.length > 20")
    mixed = page.text("#reading")
    page.evaluate("document.querySelector('#balance').focus()")
    page.press("End")
    page.wait(f"document.querySelector('#reading').textContent !== {json.dumps(mixed)}")
    assert page.text("#balance-out") == "0 : 100"
    page.evaluate("document.querySelector('#intensity').focus()")
    page.press("Home")
    page.wait("document.querySelector('#reading').textContent === 'a face at rest'")


@pytest.mark.model
def test_live_speech_changes_its_feeling_and_becomes_a_take(page: Any, long_line: Path) -> None:
    take_line(page, long_line)
    page.click("#relive")
    page.wait("document.querySelector('#stat-first').textContent.endsWith('ms')")
    page.click("#examples li:nth-child(5) button")
    page.wait("document.querySelector('#legend').textContent.includes('jawOpen')")
    page.wait("document.querySelector('#line-name').textContent.endsWith(', live')")
    assert page.evaluate("document.querySelector('#stats').hidden")
    told = json.loads(downloaded(page, "json").read_text())
    weights = np.array(told["weights"])
    brows_T = weights[:, told["names"].index("browInnerUp")]
    assert brows_T[-1] > brows_T[0] + 0.2  # terror came while it spoke
    assert weights[:, told["names"].index("jawOpen")].max() > 0.2


@pytest.mark.model
def test_a_microphone_s_take_and_a_file_that_takes_its_place(page: Any) -> None:
    page.click("#mic")
    page.wait("document.querySelector('#stat-first').textContent.endsWith('ms')")
    page.click("#mic")
    page.wait(
        "document.querySelector('#line-name').textContent === 'take 1' && document.querySelector('#stats').hidden"
    )
    assert page.evaluate("+document.querySelector('#graph').ariaValueMax") > 0.2
    page.click("#mic")
    page.wait("document.documentElement.dataset.live === 'true'")
    take_line(page)
    assert page.text("#mic") == "Speak live"


@pytest.mark.model
def test_the_service_restarts_while_somebody_speaks(browser: Any, models: dict[str, Any], long_line: Path) -> None:
    server = Running(models, 0)
    browser.go(server.url, width=880, height=520)
    browser.wait("document.documentElement.dataset.ready")
    browser.click("#transport")
    take_line(browser, long_line)
    browser.click("#relive")
    browser.wait("document.querySelector('#stat-first').textContent.endsWith('ms')")
    server.stop()
    browser.wait("document.querySelector('#sound-told').textContent.includes('Trying again')")
    server = Running(models, server.port)
    browser.wait("document.querySelector('#line-name').textContent.endsWith(', live')")
    server.stop()
    browser.write("#prompt", "proud")
    browser.press("Enter")
    browser.wait("document.querySelector('#service').textContent.includes('does not answer')")
    server = Running(models, server.port)
    browser.wait("document.querySelector('#service').textContent === ''")
    browser.wait("document.querySelector('#reading').textContent !== 'a face at rest'")
    server.stop()


@pytest.mark.model
def test_a_head_of_ones_own(page: Any, client: TestClient, tmp_path: Path) -> None:
    ours = client.get("/v1/head.glb").content

    def respell(names: list[str]) -> list[str]:
        named = [f"Head.{n[0].upper()}{n[1:]}".replace("Left", "_L").replace("Right", "_R") for n in names]
        return ["nothing" if n.endswith(("CheekPuff", "TongueOut")) else n for n in named]

    (tmp_path / "mine.glb").write_bytes(respelt(ours, respell))
    (tmp_path / "other.glb").write_bytes(respelt(ours, lambda names: [f"shape{k}" for k in range(len(names))]))
    (tmp_path / "broken.glb").write_bytes(b"not a model")
    page.choose("#model-file", [tmp_path / "mine.glb"])
    page.wait("document.querySelector('#head-told').textContent.includes('of 52 channels found')")
    assert page.text("#head-told").startswith("46 of 52")
    missing = page.evaluate("document.querySelector('#missing-names').textContent")
    assert set(missing.split(", ")) == {"cheekPuff", "tongueOut", "jawLeft", "jawRight", "mouthLeft", "mouthRight"}
    for bad, words in (("other", "named like a channel"), ("broken", "cannot be read")):
        page.choose("#model-file", [tmp_path / f"{bad}.glb"])
        page.wait(f"document.querySelector('#head-told').textContent.includes('{words}')")
    page.click("#ours")
    page.wait("document.querySelector('#ours').hidden")


@pytest.mark.model
def test_problems_are_told_in_words_where_they_belong(page: Any, tmp_path: Path) -> None:
    (tmp_path / "noise.wav").write_bytes(b"this is no sound at all")
    page.choose("#file", [tmp_path / "noise.wav"])
    page.wait("document.querySelector('#sound-told.wrong')?.textContent.includes('in no known container')")
    assert page.text("#style-told") == ""
    page.wrong.clear()  # the browser notes each answer of 400


@pytest.mark.model
def test_keyboard_and_a_phone_s_width(page: Any, running: Running) -> None:
    take_line(page)
    page.evaluate("document.activeElement.blur()")
    page.press(" ")
    page.wait("document.querySelector('#play').ariaLabel === 'Pause'")
    page.press(" ")
    page.wait("document.querySelector('#play').ariaLabel === 'Play'")
    page.evaluate("document.querySelector('#graph').focus()")
    page.press("End")
    page.wait("document.querySelector('#graph').ariaValueNow === document.querySelector('#graph').ariaValueMax")
    unnamed = """[...document.querySelectorAll('button, input, select, textarea, canvas')].filter(e =>
      !e.ariaLabel && !e.textContent.trim() && !e.labels?.length).map(e => e.id)"""
    assert page.evaluate(unnamed) == []
    page.go(running.url, width=390, height=844)
    page.wait("document.documentElement.dataset.ready")
    assert page.evaluate("document.scrollingElement.scrollWidth") <= 390


@pytest.mark.model
def test_a_key_is_asked_for_and_kept(
    browser: Any, models: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EXPCLIP_API_KEYS", "sesame")
    server = Running(models, 0)
    browser.go(server.url, width=880, height=520)
    browser.wait("!document.querySelector('#access').hidden")
    browser.write("#key", "wrong")
    browser.press("Enter")
    browser.wait("document.querySelector('#key-told').textContent.includes('does not take')")
    browser.write("#key", "sesame")
    browser.press("Enter")
    browser.wait("document.documentElement.dataset.ready")
    assert browser.evaluate("document.querySelector('#access').hidden")
    browser.go(server.url, width=880, height=520)
    browser.wait("document.documentElement.dataset.ready")
    take_line(browser)
    browser.click("#relive")  # the websocket takes it, too
    browser.wait("document.querySelector('#stat-first').textContent.endsWith('ms')")
    browser.evaluate("sessionStorage.clear()")
    server.stop()
