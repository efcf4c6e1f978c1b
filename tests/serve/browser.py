"""A real Chromium, driven over its debugging protocol: no more of it than the studio page's tests need."""

import base64
import io
import itertools
import json
import shutil
import subprocess
import time
import urllib.request
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from PIL import Image
from websockets.sync.client import connect

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
_FLAGS = (
    *("--headless=new", "--no-sandbox", "--use-angle=swiftshader", "--enable-unsafe-swiftshader", "--mute-audio"),
    *("--no-first-run", "--disable-extensions", "--disable-background-networking", "--remote-debugging-port=0"),
)
_TOLD = "[...document.querySelectorAll('[role=status], output, dd, #line-name')].map(e => e.textContent).join(' | ')"
_KEYS = {" ": ("Space", 32), "Enter": ("Enter", 13), "Tab": ("Tab", 9), "End": ("End", 35), "Home": ("Home", 36)}


class Browser:
    """One page; `wrong` are the console's errors, `requested` all addresses that it asked for."""

    def __init__(self, folder: Path, *flags: str) -> None:
        assert CHROMIUM
        self.folder, self.wrong, self.requested = folder, list[str](), list[str]()
        command = [CHROMIUM, *_FLAGS, *flags, f"--user-data-dir={folder / 'profile'}", "about:blank"]
        self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self._numbers = itertools.count(1)
        self._open = ExitStack()
        try:
            self._socket = self._open.enter_context(connect(self._address(), max_size=None))
            for domain in ("Page", "Runtime", "Log", "Network", "DOM"):
                self.call(f"{domain}.enable")
            self.call("Browser.setDownloadBehavior", behavior="allow", downloadPath=str(folder))
        except BaseException:
            self.close()
            raise

    def _address(self) -> str:
        file = self.folder / "profile" / "DevToolsActivePort"
        for _ in range(600):
            if file.exists() and file.read_text().count("\n"):
                break
            time.sleep(0.1)
        with urllib.request.urlopen(f"http://127.0.0.1:{file.read_text().split()[0]}/json/list", timeout=60) as answer:
            return str(next(t for t in json.load(answer) if t["type"] == "page")["webSocketDebuggerUrl"])

    def close(self) -> None:
        self._open.close()
        self._process.terminate()
        try:
            self._process.wait(20)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def call(self, method: str, **given: Any) -> dict[str, Any]:
        number = next(self._numbers)
        self._socket.send(json.dumps({"id": number, "method": method, "params": given}))
        while True:
            message = json.loads(self._socket.recv(timeout=90))
            if message.get("id") == number:
                assert "error" not in message, message["error"]
                return dict(message["result"])
            self._note(message.get("method"), message.get("params", {}))

    def _note(self, event: str, told: dict[str, Any]) -> None:
        if event == "Network.requestWillBeSent":
            self.requested.append(told["request"]["url"])
        elif event == "Runtime.exceptionThrown":
            self.wrong.append(json.dumps(told["exceptionDetails"])[:500])
        elif event == "Log.entryAdded" and told["entry"]["level"] == "error":
            self.wrong.append(f"{told['entry']['text']} {told['entry'].get('url', '')}")

    def evaluate(self, script: str) -> Any:
        result = self.call("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in result, result["exceptionDetails"]
        return result["result"].get("value")

    def wait(self, script: str, seconds: float = 120) -> Any:
        """What a script gives, once that is true."""
        end = time.monotonic() + seconds
        while not (value := self.evaluate(script)):
            assert time.monotonic() < end, f"waited for {script}; the page says {self.evaluate(_TOLD)}; {self.wrong}"
            time.sleep(0.1)
        return value

    def text(self, selector: str) -> str:
        return str(self.evaluate(f"document.querySelector({selector!r}).innerText"))

    def go(self, url: str, *, width: int = 1280, height: int = 800, dark: bool = True, scale: int = 1) -> None:
        size = {"width": width, "height": height, "deviceScaleFactor": scale, "mobile": width < 600}
        self.call("Emulation.setDeviceMetricsOverride", **size)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", features=[scheme])
        self.call("Page.navigate", url=url)
        self.wait("document.readyState === 'complete' && location.protocol.startsWith('http')")

    def click(self, selector: str, x: float = 0.5) -> None:
        """Click an element, `x` of its width from its left."""
        self.evaluate(f"document.querySelector({selector!r}).scrollIntoView({{block: 'nearest'}})")
        box = self._box(selector)
        at = {"x": box["x"] + x * box["width"], "y": box["y"] + box["height"] / 2, "button": "left", "clickCount": 1}
        for kind in ("mousePressed", "mouseReleased"):
            self.call("Input.dispatchMouseEvent", type=kind, **at)

    def _box(self, selector: str) -> dict[str, float]:
        box = self.evaluate(f"document.querySelector({selector!r}).getBoundingClientRect().toJSON()")
        return {name: box[name] for name in ("x", "y", "width", "height")}

    def write(self, selector: str, text: str) -> None:
        """Replace what stands in a field by typing."""
        self.click(selector)
        self.evaluate(f"document.querySelector({selector!r}).select()")
        self.call("Input.insertText", text=text)

    def press(self, key: str) -> None:
        code, number = _KEYS[key]
        text = {" ": " ", "Enter": "\r"}.get(key, "")
        given = {"key": key, "code": code, "windowsVirtualKeyCode": number, "text": text}
        self.call("Input.dispatchKeyEvent", type="keyDown", **given)
        self.call("Input.dispatchKeyEvent", type="keyUp", **given)

    def choose(self, selector: str, files: Sequence[Path]) -> None:
        root = self.call("DOM.getDocument")["root"]["nodeId"]
        node = self.call("DOM.querySelector", nodeId=root, selector=selector)["nodeId"]
        self.call("DOM.setFileInputFiles", nodeId=node, files=[str(f) for f in files])

    def picture(self, selector: str = "") -> Image.Image:
        """The page, or an element of it, as it is seen."""
        clip = {}
        if selector:
            clip = {"clip": self._box(selector) | {"scale": 1}}
        data = self.call("Page.captureScreenshot", format="png", **clip)["data"]
        return Image.open(io.BytesIO(base64.b64decode(data))).convert("RGB")
