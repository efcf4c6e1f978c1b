"""Backend `template`: no language model at all; our own phrasebook, words for states and scenes, ExpCLIP for texts.

An expression gets the words of the vocabulary whose faces are nearest, an order and a description from the phrasebook
and a scene of the category that TEAD's nearest records have. A text gets the expression that ExpCLIP decodes for it.
The same request always has the same answer.
"""

import json
import tomllib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache
from importlib import resources
from typing import Any

import numpy as np

from expclip import action_units, annotate, phrases, tead
from expclip.items import Item
from expclip.llm import Reply, Request, Revise, Settings, stands
from expclip.llm.cache import Cache
from expclip.phrases import Random
from expclip.prompts import vocabulary
from expclip.rig import FloatArray, load_rig

VERSION = "phrasebook-1"
_NEAREST = 5
_WRITINGS = 16
_STRONG, _FAINT = 0.85, 0.3


class Template:
    """Writes answers in the form that a model is asked for.

    `llm.model` names the checkpoint whose ExpCLIP reads texts; empty: the one that ships.
    """

    def __init__(self, settings: Settings, cache: Cache) -> None:
        self._checkpoint, self.model = settings.model or None, VERSION

    def complete(self, requests: Sequence[Request], revise: Revise = stands) -> Iterator[Reply]:
        """Return the answers, each written when it is asked for; `revise` would only get the same again."""
        return (Reply(json.dumps(self._answer(request), ensure_ascii=False)) for request in requests)

    def _answer(self, request: Request) -> dict[str, Any]:
        item = Item(**request.task["item"])
        random = np.random.default_rng(request.seed)
        names = annotate.wanted(item)
        aus = dict(item.aus) if "action_units" not in names else self._expression(next(iter(item.texts.values())))
        weights_C = _seen(action_units.to_weights(aus), item)
        answer: dict[str, Any] = {**_affect(weights_C, item), **_texts(aus, weights_C, item, random)}
        answer["situation"] = _situation(answer["category"], random)
        answer["action_units"] = [{"unit": code, "intensity": value} for code, value in aus.items()]
        return {name: answer[name] for name in names}

    def _expression(self, text: str) -> dict[str, float]:
        """Return what ExpCLIP decodes for a text."""
        import torch

        from expclip import review

        model = review.load_model(self._checkpoint)
        vector_1D = torch.from_numpy(model.style_from_text(text).vector_D[None])
        with torch.inference_mode():
            units_1U, _ = model.decode_expression(vector_1D)
        return tead.reconciled(action_units.from_vector(np.clip(units_1U[0].numpy(), 0, 1)))


def _seen(weights: FloatArray, item: Item) -> FloatArray:
    """Return weights (..., C) with the regions that an item was not measured in at 0."""
    seen = weights.copy()
    for region in item.unseen:
        seen[..., load_rig().region(region)] = 0
    return seen


@cache
def _vocabulary() -> tuple[tuple[str, ...], FloatArray]:
    """Return words, and their expressions in weights (N, C)."""
    words = [(word, aus) for word, aus in vocabulary() if len(word.split()) <= 3]
    return tuple(word for word, _ in words), np.stack([action_units.to_weights(aus) for _, aus in words])


@cache
def _records() -> tuple[tuple[tead.Record, ...], FloatArray]:
    """Return TEAD's train split with its expressions in weights (N, C)."""
    records = annotate.seed_records()
    return records, np.stack([action_units.to_weights(record.aus) for record in records])


def _nearest(weights_C: FloatArray, known_NC: FloatArray) -> list[int]:
    """Return the rows that differ least, nearest first."""
    return [int(k) for k in np.argsort(np.linalg.norm(known_NC - weights_C, axis=1), kind="stable")[:_NEAREST]]


def _affect(weights_C: FloatArray, item: Item) -> dict[str, Any]:
    """Return category, valence and arousal of the nearest records."""
    records, known_NC = _records()
    near = [records[k] for k in _nearest(weights_C, _seen(known_NC, item))]
    return {
        "category": Counter(record.category for record in near).most_common(1)[0][0] if weights_C.any() else "neutral",
        "valence": _step(float(np.mean([record.valence for record in near]))),
        "arousal": _step(float(np.mean([record.arousal for record in near]))),
    }


def _step(value: float) -> float:
    return round(value * 20) / 20


def _texts(aus: Mapping[str, float], weights_C: FloatArray, item: Item, random: Random) -> dict[str, str]:
    words, known_NC = _vocabulary()
    near = [words[k] for k in _nearest(weights_C, _seen(known_NC, item))]
    tag = _degree(str(random.choice(near)), aus)
    return {
        "emotion": near[0],
        "tag": tag,
        "prompt": _fitting("prompt", lambda number: _prompt(tag, aus, random)),
        "description": _fitting("description", lambda number: _description(aus, item, number, random)),
    }


def _prompt(tag: str, aus: Mapping[str, float], random: Random) -> str:
    strongest = dict(list(aus.items())[: int(random.integers(1, 3))])
    order = phrases.command(strongest, random) if strongest else "keep a still face"
    text = str(random.choice(_situations()["prompts"])).format(tag=tag, order=order).replace(" ,", ",")
    return text[:1].upper() + text[1:]


def _description(aus: Mapping[str, float], item: Item, number: int, random: Random) -> str:
    """Return a description; where several were too long, one that leaves out the weakest units."""
    told = dict(list(aus.items())[: max(2, len(aus) - number // 3)])
    return phrases.describe(told, random, rest=not item.unseen)


def _fitting(kind: str, write: Callable[[int], str]) -> str:
    """Return the first of a few writings that a record may hold, or the last; they are numbered from 0."""
    text = write(0)
    for number in range(1, _WRITINGS):
        if not any(tead.text_problems(kind, text)):
            break
        text = write(number)
    return text


def _degree(word: str, aus: Mapping[str, float]) -> str:
    """Return a single word with one of degree, where the face is very faint or very strong."""
    strongest = max(aus.values(), default=0.5)
    if " " in word or _FAINT < strongest < _STRONG:
        return word
    return f"slightly {word}" if strongest <= _FAINT else f"extremely {word}"


def _situation(category: str, random: Random) -> str:
    scenes = _situations()["situations"][category]
    text = f"{random.choice(scenes['openings'])}, {random.choice(scenes['turns'])}."
    text = text.replace("{who}", str(random.choice(_situations()["who"])))
    return text[:1].upper() + text[1:]


@cache
def _situations() -> dict[str, Any]:
    return tomllib.loads((resources.files("expclip") / "data" / "situations.toml").read_text("utf-8"))
