"""Answers that were given before: looked up, followed through repeated questions, never invented."""

import pytest

from expclip import annotate, llm
from expclip.errors import BadRequestError
from expclip.items import Item
from expclip.llm import Reply, Request, Settings
from expclip.llm.cache import Cache

SETTINGS = Settings(model="m")


def test_answers_are_looked_up_and_followed() -> None:
    cache = Cache()
    asked = [annotate.build(Item(f"i{k}", {"AU12": 0.4, "AU6": 0.2}, (0.1,))) for k in range(3)]
    follow = annotate.again(asked[1], Reply("bad"), "no JSON")
    cache.put(llm.request_key(SETTINGS, asked[0]), Reply("good"))
    cache.put(llm.request_key(SETTINGS, asked[1]), Reply("bad"))
    cache.put(llm.request_key(SETTINGS, follow), Reply("better"))

    def revise(request: Request, reply: Reply) -> Request | None:
        return annotate.again(request, reply, "no JSON") if reply.text == "bad" else None

    replies = list(llm.load("vllm", SETTINGS, cache).complete(asked, revise))
    assert [(r.text, r.attempt) for r in replies] == [("good", 1), ("better", 2), ("", 1)]
    assert [bool(r.error) for r in replies] == [False, False, True]


def test_a_model_must_be_named() -> None:
    with pytest.raises(BadRequestError, match=r"needs llm\.model"):
        llm.load("vllm", Settings(), Cache())
