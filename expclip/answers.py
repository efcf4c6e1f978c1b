"""Answers to annotation requests: from a model's words to TEAD records, or the reason why not.

Everything here is cheap and needs no model, so that an answer that cannot be used is asked for again at once.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from typing import Any

from expclip import action_units, language, tead
from expclip.annotate import PROMPT_VERSION, again, shown_examples, wanted
from expclip.errors import BadRequestError
from expclip.items import Item
from expclip.llm import Reply, Request


def record_id(item: Item, variant: int) -> str:
    """Return the id of the record that an item becomes; variants count from 1."""
    return f"{item.key}-v{variant}"


def parse(item: Item, reply: Reply, variant: int = 1) -> tead.Record:
    """Return the record that an answer makes of an item.

    Raises BadRequestError if the answer is no JSON object, lacks a field or has one of another type.
    """
    answer = _json(reply)
    names = wanted(item)
    for name in names:
        if name not in answer:
            raise BadRequestError(f"field {name!r} is missing")
    texts = {kind: item.texts.get(kind) or _words(answer, kind) for kind in tead.KINDS}
    return tead.Record(
        record_id(item, variant),
        _words(answer, "emotion"),
        _words(answer, "category"),
        _float(answer, "valence"),
        _float(answer, "arousal"),
        texts,
        dict(item.aus) if "action_units" not in names else _units(answer["action_units"]),
    )


_THOUGHT = re.compile(r"<think>.*?</think>", re.DOTALL)


def _json(reply: Reply) -> Mapping[str, Any]:
    """Return the JSON object in an answer, whatever stands around it."""
    text = _THOUGHT.sub("", reply.text)
    try:
        answer = json.loads(text[text.index("{") : text.rindex("}") + 1])
    except ValueError:
        cut = "; it was cut off at the most tokens of an answer" if reply.cut else ""
        raise BadRequestError(f"the answer is not a JSON object{cut}") from None
    if not isinstance(answer, dict):
        raise BadRequestError("the answer is not a JSON object")
    return answer


def _words(answer: Mapping[str, Any], name: str) -> str:
    value = answer[name]
    if not isinstance(value, str) or not value.strip():
        raise BadRequestError(f"field {name!r} is no text")
    return " ".join(value.split()).strip('"')


def _float(answer: Mapping[str, Any], name: str) -> float:
    value = answer[name]
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise BadRequestError(f"field {name!r} is no number")
    return float(value)


def _units(units: Any) -> dict[str, float]:
    """Return the intensities of an answer, in steps of 0.05; what is no unit stays, to be named as the problem."""
    found: dict[str, float] = {}
    if not isinstance(units, list):
        raise BadRequestError("field 'action_units' is no list")
    for unit in units:
        if not isinstance(unit, dict) or not isinstance(unit.get("unit"), str):
            raise BadRequestError("an action unit is not an object with unit and intensity")
        found[unit["unit"]] = round(_float({"intensity": unit.get("intensity")}, "intensity") * 20) / 20
    return {code: value for code, value in found.items() if value != 0}


def problems(item: Item, record: tead.Record, examples: Sequence[tead.Record] = ()) -> Iterator[str]:
    """Yield what is wrong with a record that an answer made: TEAD's rules, language, copies. Needs no model."""
    yield from tead.problems(record)
    written = {kind: text for kind, text in record.texts.items() if kind not in item.texts}
    for kind, text in written.items():
        if problem := language.problem(text):
            yield f"{kind} {problem}"
    copied = {text.casefold() for example in examples for kind, text in example.texts.items() if kind != "tag"}
    seen: set[str] = set()
    for kind, text in record.texts.items():
        if kind in written and kind != "tag" and (text.casefold() in copied or text.casefold() in seed_texts()):
            yield f"{kind} repeats an example"
        if text.casefold() in seen:
            yield f"{kind} says the same as another text"
        seen.add(text.casefold())


@cache
def seed_texts() -> frozenset[str]:
    """Return all prompts, situations and descriptions of the set that ships, in small letters."""
    return frozenset(t.casefold() for record in tead.load() for kind, t in record.texts.items() if kind != "tag")


def revise(request: Request, reply: Reply, *, attempts: int) -> Request | None:
    """Return the request that asks again for an answer which cannot be used; None if it can, or after `attempts`."""
    if request.attempt >= attempts:
        return None
    problem = fault(request, reply)
    return again(request, reply, problem) if problem else None


def fault(request: Request, reply: Reply) -> str:
    """Return the first thing that is wrong with the answer to a request; empty if nothing is."""
    task = request.task
    item, variant = Item(**task["item"]), int(task["variant"])
    try:
        record = parse(item, reply, variant)
    except BadRequestError as error:
        return str(error)
    shown = shown_examples(item, variant, task["examples"], task["seed"])
    return "; ".join(list(problems(item, record, shown))[:3])


def table_row(item: Item, record: tead.Record, *, backend: str, model: str) -> dict[str, Any]:
    """Return the row of TEAD that a record becomes, with where it comes from; the review's columns are not in it."""
    weights = item.weights or action_units.to_weights(record.aus).tolist()
    return {
        **vars(record),
        "texts": list(record.texts.items()),
        "aus": list(record.aus.items()),
        "weights": list(weights),
        "direction": item.direction,
        "corpus": item.corpus,
        "source": item.source,
        "licence": item.licence,
        "backend": backend,
        "model": model,
        "prompt_version": PROMPT_VERSION,
    }
