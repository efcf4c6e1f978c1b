"""Annotation: an expression gets texts, or a text gets an expression; the words in which a model is asked for them.

In: items (`items.py`). Out: requests, whose answers `answers.py` reads. All wording that a model sees is here and has
one version; a change of it means a new `PROMPT_VERSION`. Examples are records of TEAD's train split alone.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np

from expclip import action_units, tead
from expclip.items import Item
from expclip.llm import Reply, Request
from expclip.rig import load_rig

PROMPT_VERSION = "1"
SETS = 16
"""Sets of examples, of which an item's key chooses one: few, so that services can keep the beginning of requests."""

_INTRODUCTION = """You write training data for facial animation: single facial expressions, held while speaking, \
and texts that ask for them. An expression is a list of FACS action units with an intensity from 0.05 (a trace) to 1 \
(the most a face can do), in steps of 0.05. L or R behind a unit is the person's own left or right side; without a \
letter both sides act.

Action units: {units}.

What the fields mean:
- emotion: the state in free words, such as "faint disappointment".
- category: one of {categories}.
- valence: from -1 (unpleasant) to 1 (pleasant); arousal: from -1 (calm) to 1 (excited); in steps of 0.05.
- tag: 1 to 5 words that name the style.
- prompt: 3 to 32 words, an instruction as a director or a user would type it.
- situation: 6 to 36 words, a scene that implies the feeling without naming it, and without any part of a face.
- description: 4 to 40 words, only what can be seen in the face, sides and degrees included, no unit numbers.
- action_units: what the face shows, 2 to 9 units (none or one only if the category is neutral).

Rules: plain English; every text must fit the expression and its strength; no two texts alike; invent, never repeat \
the examples; describe no movement over time. Never together: AU5 with AU43, AU26 with AU27, AU24 with AU26; AU12 with \
AU15 only if the category is mixed. Use at most one of AU25, AU26 and AU27. AU30 needs a side; AU61 to AU64 have none. \
Do not judge the person, only what is asked.

Answer with one JSON object with the fields {fields}, and nothing else."""
_EXPRESSION = "Here is an expression. Write what is missing.\n{units}"
_TEXT = "Here is a text. Write the expression that it asks for, and what is missing.\n{texts}"
_UNSEEN = "Not measured: {regions}. Say nothing about them."
_HINTS = "The source says of it: {hints}"
_REJECTED = "That answer cannot be used: {problem}. Answer again with the whole JSON object."
_REGIONS = {"mouth": "mouth and jaw", "upper": "brows, lids, cheeks and nose", "gaze": "direction of the eyes"}


def wanted(item: Item) -> tuple[str, ...]:
    """Return the fields that an item lacks, in the order in which they are asked for."""
    given = set(item.texts)
    units = () if item.aus or item.direction == "expression" else ("action_units",)
    return ("emotion", "category", "valence", "arousal", *units, *(kind for kind in tead.KINDS if kind not in given))


def build(item: Item, variant: int = 1, *, examples: int = 3, seed: int = 0) -> Request:
    """Return the request for an item: instructions, examples, and the item itself."""
    shown = shown_examples(item, variant, examples, seed)
    messages = [{"role": "system", "content": _system(item)}]
    for record in shown:
        example = _as_item(record, item)
        answer = {name: _field(record, name) for name in wanted(item)}
        messages.append({"role": "user", "content": question(example)})
        messages.append({"role": "assistant", "content": json.dumps(answer, ensure_ascii=False)})
    messages.append({"role": "user", "content": question(item)})
    task = {"item": vars(item), "variant": variant, "examples": examples, "seed": seed}
    return Request(tuple(messages), answer_schema(item), task, _number(seed, item.key, variant))


def again(request: Request, reply: Reply, problem: str) -> Request:
    """Return the request that follows an answer which cannot be used."""
    messages = (
        *request.messages,
        {"role": "assistant", "content": reply.text[:2000]},
        {"role": "user", "content": _REJECTED.format(problem=problem)},
    )
    return replace(request, messages=messages, attempt=request.attempt + 1)


def _number(*parts: object) -> int:
    return int(hashlib.sha256("\0".join(map(str, parts)).encode()).hexdigest()[:7], 16)


def _system(item: Item) -> str:
    names = load_rig().action_units
    return _INTRODUCTION.format(
        units=", ".join(f"{code} {names[code].name}" for code in tead.UNITS),
        categories=", ".join(tead.CATEGORIES),
        fields=", ".join(wanted(item)),
    )


def question(item: Item) -> str:
    """Return the words in which an item is put to a model."""
    if item.direction == "expression" or item.aus:
        phrases = zip(item.aus.items(), action_units.describe(item.aus), strict=True)
        lines = [
            _EXPRESSION.format(units="\n".join(f"- {code} {value:g}: {words}" for (code, value), words in phrases))
        ]
        lines += [f"{kind}: {text}" for kind, text in item.texts.items()]
    else:
        lines = [_TEXT.format(texts="\n".join(f"{kind}: {text}" for kind, text in item.texts.items()))]
    if item.unseen:
        lines.append(_UNSEEN.format(regions="; ".join(_REGIONS[region] for region in item.unseen)))
    if item.hints:
        lines.append(_HINTS.format(hints="; ".join(item.hints)[:600]))
    return "\n".join(lines)


def shown_examples(item: Item, variant: int, count: int, seed: int) -> list[tead.Record]:
    """Return the records that go before an item: of different categories, the same for many items."""
    return _example_set(_number(item.key, variant) % SETS, seed)[:count]


@cache
def _example_set(number: int, seed: int) -> list[tead.Record]:
    records = seed_records()
    chosen: dict[str, tead.Record] = {}
    for k in np.random.default_rng([seed, number]).permutation(len(records)):
        chosen.setdefault(records[k].category, records[k])
    return list(chosen.values())


@cache
def seed_records() -> tuple[tead.Record, ...]:
    """Return TEAD's train split, which alone may serve as examples."""
    return tead.load(split="train")


def _as_item(record: tead.Record, item: Item) -> Item:
    """Return a record as an item of which the same is known as of another one."""
    given = {kind: record.texts[kind] for kind in item.texts}
    known = item.direction == "expression" or bool(item.aus)
    return Item(record.id, dict(record.aus) if known else {}, texts=given)


def _field(record: tead.Record, name: str) -> Any:
    if name == "action_units":
        return [{"unit": code, "intensity": value} for code, value in record.aus.items()]
    return record.texts[name] if name in tead.KINDS else getattr(record, name)


def answer_schema(item: Item) -> dict[str, Any]:
    """Return the JSON schema of an item's answer, in the subset that strict services know.

    Numbers are chosen from steps of 0.05: few services keep to a minimum and a maximum.
    """
    unit = {"unit": {"type": "string", "enum": _codes()}, "intensity": {"type": "number", "enum": _steps(1, 20)}}
    kinds: dict[str, dict[str, Any]] = {
        "category": {"type": "string", "enum": list(tead.CATEGORIES)},
        "valence": {"type": "number", "enum": _steps(-20, 20)},
        "arousal": {"type": "number", "enum": _steps(-20, 20)},
        "action_units": {"type": "array", "maxItems": tead.MAX_UNITS, "items": _object(unit)},
    }
    return _object({name: kinds.get(name, {"type": "string"}) for name in wanted(item)})


def _steps(first: int, last: int) -> list[float]:
    return [step / 20 for step in range(first, last + 1)]


def _object(properties: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "type": "object", "properties": dict(properties), "required": list(properties), "additionalProperties": False
    }  # fmt: skip


def _codes() -> list[str]:
    """Return all codes of action units that a record may have, with the sides that each may have."""
    gaze = ("AU61", "AU62", "AU63", "AU64")
    sides = {code: ("",) if code in gaze else ("L", "R") if code == "AU30" else ("", "L", "R") for code in tead.UNITS}
    return [code + side for code, each in sides.items() for side in each]
