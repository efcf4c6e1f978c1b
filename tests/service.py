"""A small OpenAI-compatible service on loopback that answers well by default and misbehaves on command."""

import json
import re
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass(frozen=True)
class Say:
    """What the service does with one request; without `text` it answers well."""

    status: int = 200
    text: str | None = None  # the whole body
    content: str | None = None  # the model's words in a good body
    headers: dict[str, str] = field(default_factory=dict)
    delay: float = 0.0  # seconds
    cut: bool = False  # end the connection in the middle of the body


GOOD = Say()
Body = dict[str, Any]


class Service:
    """Counts requests; `script(number, body)` says what to do with each, numbers from 1."""

    def __init__(self) -> None:
        self.script: Callable[[int, Body], Say] = lambda number, body: GOOD
        self.bodies: list[Body] = []
        self.headers: list[dict[str, str]] = []
        self.times: list[float] = []
        self.answered: list[str] = []  # last message of each request that was answered well
        self.running = self.most = 0
        self._lock = threading.Lock()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._server.daemon_threads = True
        self._server.handle_error = lambda request, address: None  # type: ignore[method-assign]  # clients that die
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}/v1"

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def receive(self, body: Body, headers: dict[str, str]) -> Say:
        with self._lock:
            self.bodies.append(body)
            self.headers.append(headers)
            self.times.append(time.monotonic())
            self.running += 1
            self.most = max(self.most, self.running)
            return self.script(len(self.bodies), body)

    def leave(self) -> None:
        with self._lock:
            self.running -= 1

    def sent(self, body: Body) -> None:
        with self._lock:
            self.answered.append(question(body))


def question(body: Body) -> str:
    """The last message of a request."""
    return str(body["messages"][-1]["content"])


def answer(body: Body, **change: Any) -> str:
    """A good answer: the fields that the request's instructions name, with texts of their own for each question."""
    fields = re.search(r"with the fields ([\w, ]+), and nothing else", body["messages"][0]["content"])
    assert fields
    seed = body["seed"]
    values = {
        "emotion": "calm joy", "category": "happiness", "valence": 0.5, "arousal": 0.1, "tag": "calm joy",
        "prompt": f"Say it as if the sun were out on day {seed}.",
        "situation": f"The train number {seed} is on time and the seat by the window is free.",
        "description": f"Lip corners up a little, cheeks lifted, look number {seed}.",
        "action_units": [{"unit": "AU12", "intensity": 0.42}, {"unit": "AU6", "intensity": 0.3}],
    }  # fmt: skip
    return json.dumps({name: values[name] for name in fields[1].split(", ")} | change)


def _handler(service: Service) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            say = service.receive(body, dict(self.headers))
            try:
                time.sleep(say.delay)
                self._send(say, _completion(body, say.content) if say.text is None else say.text)
                if say.status == 200 and say.text is None and not say.cut:
                    service.sent(body)
            except (BrokenPipeError, ConnectionResetError):
                pass  # the client went away
            finally:
                service.leave()

        def _send(self, say: Say, text: str) -> None:
            content = text.encode()
            self.send_response(say.status)
            for name, value in {"Content-Length": str(len(content)), **say.headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(content[: len(content) // 2] if say.cut else content)
            self.close_connection = say.cut

        def log_message(self, *given: Any) -> None:
            pass

    return Handler


def _completion(body: Body, content: str | None) -> str:
    message = {"role": "assistant", "content": answer(body) if content is None else content}
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    return json.dumps({"choices": [choice], "usage": {"prompt_tokens": 100, "completion_tokens": 20}})
