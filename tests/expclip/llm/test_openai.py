"""The HTTP backend against a service that misbehaves on command; every wait is short or faked."""

import json
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import pytest

from expclip import annotate, llm
from expclip.errors import BadRequestError
from expclip.items import Item
from expclip.llm import Reply, Request, Settings
from expclip.llm import openai as backend
from expclip.llm.cache import Cache

Make = Callable[..., backend.OpenAI]


def request(number: int = 0) -> Request:
    item = Item(f"i{number}", {"AU12": 0.4, "AU6": 0.3}, (0.1,))
    return annotate.build(item, examples=1)


@pytest.fixture
def make(service: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Make]:
    """Make backends for the service that wait little between tries; they are closed at the end."""
    monkeypatch.setattr(backend, "_LONGEST_WAIT", 0.02)
    monkeypatch.delenv("EXPCLIP_LLM_KEY", raising=False)
    made: list[backend.OpenAI] = []

    def new(folder: str | None = None, **settings: Any) -> backend.OpenAI:
        chosen = Settings(**{"url": service.url, "model": "m", "tries": 3} | settings)
        made.append(backend.OpenAI(chosen, Cache(str(tmp_path / "cache") if folder is None else folder)))
        return made[-1]

    yield new
    for one in made:
        one.close()


def test_answers_come_in_order_with_their_tokens(service: Any, service_module: Any, make: Make) -> None:
    service.script = lambda number, body: service_module.Say(content=service_module.question(body)[-4:], delay=0.01)
    requests = [annotate.build(Item(f"i{k}", texts={"prompt": f"say it {k:04d}"})) for k in range(20)]
    replies = list(make(in_flight=4).complete(requests))
    assert [reply.text for reply in replies] == [f"{k:04d}" for k in range(20)]
    assert {(reply.tokens_in, reply.tokens_out, reply.error) for reply in replies} == {(100, 20, "")}
    assert service.most == 4


def test_a_request_is_what_the_service_documents(service: Any, make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_KEY", "secret")
    asked = request()
    one = make(key_variable="MY_KEY", temperature=0.3, max_tokens=50, body={"top_p": 0.9, "max_tokens": ""})
    assert not next(one.complete([asked])).error
    body = service.bodies[0]
    assert service.headers[0]["Authorization"] == "Bearer secret"
    assert (body["model"], body["temperature"], body["top_p"], body["seed"]) == ("m", 0.3, 0.9, asked.seed)
    assert "max_tokens" not in body
    assert body["messages"] == [dict(message) for message in asked.messages]
    wanted = body["response_format"]["json_schema"]
    assert (body["response_format"]["type"], wanted["strict"], wanted["schema"]) == ("json_schema", True, asked.schema)


def test_no_key_sends_none(service: Any, make: Make) -> None:
    next(make().complete([request()]))
    assert "Authorization" not in service.headers[0]


@pytest.mark.parametrize(
    "trouble",
    [
        {"status": 500, "text": "oh no"},
        {"status": 429, "text": "slow down"},
        {"status": 503, "text": "", "headers": {"Retry-After": "0.05"}},
        {"text": "<html>a proxy's page</html>"},
        {"text": '{"choices": []}'},
        {"text": "null"},
        {"cut": True},
        {"delay": 0.6},
    ],
    ids=str,
)
def test_what_fails_once_is_tried_again(service: Any, service_module: Any, make: Make, trouble: dict[str, Any]) -> None:
    service.script = lambda number, body: service_module.Say(**trouble) if number == 1 else service_module.GOOD
    reply = next(make(timeout_s=0.3).complete([request()]))
    assert (reply.error, json.loads(reply.text)["tag"]) == ("", "calm joy")
    assert len(service.bodies) == 2
    assert service.bodies[0] == service.bodies[1]


def test_retry_after_stops_all_requests(service: Any, service_module: Any, make: Make) -> None:
    busy = service_module.Say(429, "busy", headers={"Retry-After": "0.4"})
    service.script = lambda number, body: busy if number == 1 else service_module.GOOD
    replies = list(make(in_flight=1).complete([request(k) for k in range(3)]))
    assert not any(reply.error for reply in replies)
    assert service.times[1] - service.times[0] >= 0.39


def test_a_busy_service_is_no_failure(service: Any, service_module: Any, make: Make) -> None:
    busy = service_module.Say(429, "busy", headers={"Retry-After": "0.01"})
    service.script = lambda number, body: busy if number < 10 else service_module.GOOD
    assert not next(make(tries=2).complete([request()])).error


def test_seconds_and_dates_of_retry_after_are_read() -> None:
    later = format_datetime(datetime.now(UTC) + timedelta(seconds=90), usegmt=True)
    assert backend.retry_after({"Retry-After": "1.5"}) == 1.5
    assert backend.retry_after({"Retry-After": later}) == pytest.approx(90, abs=2)
    assert backend.retry_after({"Retry-After": "soon"}) is None
    assert backend.retry_after({}) is None


@pytest.mark.parametrize("status", [401, 403, 404])
def test_a_service_that_refuses_is_not_asked_on(service: Any, service_module: Any, make: Make, status: int) -> None:
    refusal = json.dumps({"error": {"message": "Incorrect API key provided"}})
    service.script = lambda number, body: service_module.Say(status, refusal)
    replies = list(make(in_flight=2).complete([request(k) for k in range(20)]))
    assert all(f"http {status}: Incorrect API key provided" in reply.error for reply in replies)
    assert "refuses" in replies[-1].error
    assert len(service.bodies) <= 4


def test_an_endpoint_that_is_down_rejects_with_the_reason(service: Any, make: Make) -> None:
    one = make(in_flight=2)
    service.stop()
    replies = list(one.complete([request(k) for k in range(20)]))
    assert all("no connection" in reply.error for reply in replies)
    assert any("tried 3 times" in reply.error for reply in replies)
    assert "is down" in next(one.complete([request(99)])).error
    assert len(one._cache) == 0


def test_one_poisoned_request_does_not_condemn_the_service(service: Any, service_module: Any, make: Make) -> None:
    poison = request(0).seed
    service.script = lambda number, body: (
        service_module.Say(500, "crash") if body["seed"] == poison else service_module.GOOD
    )
    replies = list(make(in_flight=2).complete([request(k) for k in range(12)]))
    assert replies[0].error == "http 500: crash (tried 3 times)"
    assert not any(reply.error for reply in replies[1:])


@pytest.mark.parametrize("status", [400, 422, 500])
def test_other_ways_of_asking_for_json_are_found_once(
    service: Any, service_module: Any, make: Make, status: int
) -> None:
    """Like llama.cpp's server, which knows no json_schema: the first request finds the way, later ones know it."""

    def strict(number: int, body: dict[str, Any]) -> Any:
        known = body.get("response_format", {}).get("type") == "json_object"
        return service_module.GOOD if known else service_module.Say(status, "unknown response_format")

    service.script = strict
    one = make()
    assert not next(one.complete([request(0)])).error
    assert not next(one.complete([request(1)])).error
    kinds = [body.get("response_format", {}).get("type") for body in service.bodies]
    assert kinds == ["json_schema", "json_object", "json_object"]
    assert service.bodies[1]["response_format"]["schema"] == request(0).schema


def test_a_request_no_way_pleases_fails_with_the_first_reason(service: Any, service_module: Any, make: Make) -> None:
    service.script = lambda number, body: service_module.Say(400, f"complaint {number}")
    assert next(make().complete([request()])).error == "http 400: complaint 1"
    assert len(service.bodies) == len(backend.ANSWERS)


def test_an_answer_that_cannot_be_used_is_asked_for_again(service: Any, service_module: Any, make: Make) -> None:
    service.script = lambda number, body: (
        service_module.Say(content="no JSON at all") if len(body["messages"]) < 6 else service_module.GOOD
    )

    def revise(asked: Request, reply: Reply) -> Request | None:
        return None if reply.text.startswith("{") else annotate.again(asked, reply, "no JSON")

    one = make()
    reply = next(one.complete([request()], revise))
    assert (reply.attempt, len(service.bodies)) == (2, 2)
    assert service.bodies[1]["messages"][-2] == {"role": "assistant", "content": "no JSON at all"}
    assert "no JSON" in service.bodies[1]["messages"][-1]["content"]
    assert next(one.complete([request()], revise)).attempt == 2
    assert len(service.bodies) == 2  # both answers were known


def test_nothing_is_paid_for_twice(service: Any, make: Make, tmp_path: Path) -> None:
    first = [reply.text for reply in make().complete([request(k) for k in range(5)])]
    again = [reply.text for reply in make().complete([request(k) for k in range(6)])]
    assert again[:5] == first
    assert len(service.bodies) == 6
    assert not next(make(temperature=0.1).complete([request(0)])).error
    assert len(service.bodies) == 7  # another temperature is another request


def test_requests_keep_within_the_limit_a_minute(service: Any, make: Make) -> None:
    list(make(requests_per_minute=1200).complete([request(k) for k in range(5)]))
    assert service.times[-1] - service.times[0] >= 4 * 0.05 - 0.01


def test_abandoned_requests_are_not_sent(service: Any, service_module: Any, make: Make) -> None:
    service.script = lambda number, body: service_module.Say(delay=0.05)
    replies = make(in_flight=1).complete([request(k) for k in range(50)])
    next(replies)
    replies.close()  # type: ignore[attr-defined]
    time.sleep(0.3)
    assert len(service.bodies) <= 3


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"model": ""}, "needs llm.model"),
        ({"answer": "xml"}, "unknown value of llm.answer 'xml'"),
        ({"url": "notaurl"}, "llm.url 'notaurl' is no address"),
        ({"price_in": -3.0}, "llm.price_in -3.0 is less than 0"),
    ],
)
def test_settings_that_cannot_work_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(BadRequestError, match=message):
        llm.load("openai", Settings(**{"model": "m"} | settings), Cache())


def test_unknown_backends_are_named() -> None:
    with pytest.raises(BadRequestError, match="unknown backend 'gpt'; valid: template, openai, vllm"):
        llm.load("gpt", Settings(), Cache())
