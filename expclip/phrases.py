"""Words for action units: endless descriptions and commands with their exact expression, to learn muscles from.

In: an expression as `{AU: intensity}` and a random generator. Out: a sentence that names what is visible, side and
degree included. TEAD's own descriptions are few; these teach the text tower which words move which muscle. The words
themselves are data: `data/phrases.toml`.
"""

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any, TypeVar

import numpy as np

Random = np.random.Generator
Expression = dict[str, float]
Scale = Sequence[tuple[float, Sequence[str]]]
"""Upper limit of intensity -> words of that degree, ascending."""
Group = tuple[Sequence[str], Sequence[str]]
"""Units and the phrases for them."""
T = TypeVar("T")

_NAMES = {"L": "left", "R": "right"}


@dataclass(frozen=True)
class Lexicon:
    """The words of `data/phrases.toml`."""

    adverbs: Scale
    adjectives: Scale
    paired: Mapping[str, Group]  # unit -> names of one side's part, what it does
    whole: Mapping[str, Sequence[str]]  # unit -> phrases for both sides at once
    sideways: Mapping[str, Sequence[str]]
    eyes: Mapping[str, Sequence[str]]
    verbs: Mapping[str, str]
    together: Sequence[Group]
    rest: Sequence[Group]

    @property
    def units(self) -> tuple[str, ...]:
        """All units that have words."""
        return tuple(dict.fromkeys((*self.paired, *self.whole, *self.sideways)))


@cache
def lexicon() -> Lexicon:
    """Return the words, read once."""
    table: dict[str, Any] = tomllib.loads((resources.files("expclip") / "data" / "phrases.toml").read_text("utf-8"))
    for name in ("adverbs", "adjectives"):
        table[name] = [(row["below"], row["words"]) for row in table[name]]
    for name in ("together", "rest"):
        table[name] = [(row["units"], row["phrases"]) for row in table[name]]
    table["paired"] = {unit: (row["parts"], row["states"]) for unit, row in table["paired"].items()}
    table["sideways"]["AU62"] = table["sideways"]["AU61"]
    return Lexicon(**table)


def describe(expression: Mapping[str, float], random: Random, *, rest: bool = True) -> str:
    """Return a sentence that says what an expression shows, region by region or in any order.

    Without `rest` it says nothing of what the expression does not show.
    """
    left = dict(expression)
    clauses: list[str] = []
    for units, phrases in _shuffled(lexicon().together, random):
        values = [left.get(unit, 0.0) for unit in units]
        if min(values) > 0 and max(values) - min(values) <= 0.25 and random.random() < 0.6:
            clauses.append(_filled(_pick(phrases, random), float(np.mean(values)), random))
            for unit in units:
                del left[unit]
    clauses += _gaze(left, random)
    clauses += [_clause(code, value, random) for code, value in left.items()]
    random.shuffle(clauses)
    if (random.random() < 0.3 and rest) or not clauses:
        clauses.append(_rest(expression, random))
    return _sentence(clauses, random)


def command(expression: Mapping[str, float], random: Random) -> str:
    """Return an order as users type it, such as `raise your left eyebrow`."""
    left = dict(expression)
    orders = _gaze(left, random)
    for code, value in left.items():
        base, side = split_code(code)
        if base in lexicon().paired and random.random() < 0.8:
            parts, states = lexicon().paired[base]
            known = [state for state in states if state in lexicon().verbs]
            if known:
                which = _side(side, random) if side else ""
                owner = _pick(("your ", "the ", "", "her ", "his "), random)
                part = _pick(parts, random) if side else plural(_pick(parts, random))
                degree = _word(lexicon().adverbs, value, random)
                orders.append(f"{lexicon().verbs[_pick(known, random)]} {owner}{which}{part} {degree}")
                continue
        orders.append(_clause(code, value, random))
    return " ".join(_pick((" and ", ", "), random).join(orders).split())


def plural(part: str) -> str:
    """Return the name of both sides' parts: `inner end of the brow` -> `inner ends of the brows`."""
    if part.endswith((" lip", "the nose", "the mouth")):
        return part if " of " not in part else part.replace(" of ", "s of ", 1)
    return part.replace(" of ", "s of ", 1).replace(" at its", "s at the", 1) + "s"


def split_code(code: str) -> tuple[str, str]:
    """Split `AU12L` into `AU12` and `L`."""
    return (code[:-1], code[-1]) if code[-1] in "LR" else (code, "")


def mirrored(expression: Mapping[str, float]) -> Expression:
    """Return the expression with left and right exchanged, gaze included."""
    swap = {"AU61": "AU62", "AU62": "AU61"}
    out = {}
    for code, value in expression.items():
        base, side = split_code(code)
        out[swap.get(base, base) + {"L": "R", "R": "L", "": ""}[side]] = value
    return out


def mirrored_text(text: str) -> str:
    """Return a text with the words left and right exchanged."""
    swap = {"left": "right", "right": "left", "Left": "Right", "Right": "Left"}
    words = text.replace("-", " - ").split(" ")
    out = []
    for word in words:
        core = word.rstrip(".,;:!?")
        out.append(swap.get(core, core) + word[len(core) :])
    return " ".join(out).replace(" - ", "-")


def _gaze(left: Expression, random: Random) -> list[str]:
    """Take sideways looks out of an expression, alone or with the look up or down that goes with them."""
    clauses = []
    for code, side in (("AU61", "left"), ("AU62", "right")):
        if code in left:
            value = left.pop(code)
            where = _own(side, random)
            phrase = _pick(lexicon().sideways["AU61"], random).replace("{s}", where)
            for vertical, word in (("AU63", "up"), ("AU64", "down")):
                if vertical in left and abs(left[vertical] - value) <= 0.25 and random.random() < 0.7:
                    value = (value + left.pop(vertical)) / 2
                    phrase = _pick(
                        (f"gaze {{d}} {word} and to the {where}", f"eyes {{d}} {word} to the {where}"), random
                    )
            clauses.append(_filled(phrase, value, random))
    return clauses


def _clause(code: str, value: float, random: Random) -> str:
    base, side = split_code(code)
    if base == "AU30":
        return _filled(
            _pick(lexicon().sideways["AU30"], random).replace("{s}", _own(_NAMES[side], random)), value, random
        )
    if base == "AU43" and value >= 0.85:
        return _filled(
            _pick(lexicon().eyes["one" if side else "closed"], random).replace("{s}", _NAMES.get(side, "")),
            value,
            random,
        )
    if side and base not in lexicon().paired:
        phrase = _pick(lexicon().whole[base], random)
        return _filled(f"{phrase} on the {_own(_NAMES[side], random)}", value, random)
    if side or (base in lexicon().paired and (base not in lexicon().whole or random.random() < 0.6)):
        return _paired(base, side, value, random)
    return _filled(_pick(lexicon().whole[base], random), value, random)


def _paired(base: str, side: str, value: float, random: Random) -> str:
    parts, states = lexicon().paired[base]
    part, state = _pick(parts, random), _pick(states, random)
    degree = _word(lexicon().adverbs, value, random)
    if not side:
        subject = _pick(("", "", "both ", "the "), random) + plural(part)
    else:
        subject = _side(side, random) + part
        if random.random() < 0.2:
            return " ".join(f"the {part} {state} {degree} on the {_own(_NAMES[side], random)}".split())
    order = (f"{subject} {degree} {state}", f"{subject} {state} {degree}")
    return " ".join(_pick(order, random).split())


def _side(side: str, random: Random) -> str:
    return _pick((f"{_NAMES[side]} ", f"the {_NAMES[side]} ", f"one ({_NAMES[side]}) ", f"own {_NAMES[side]} "), random)


def _own(side: str, random: Random) -> str:
    return _pick((side, side, f"own {side}", f"person's own {side}", f"character's own {side}", f"{side} side"), random)


def _filled(phrase: str, value: float, random: Random) -> str:
    phrase = phrase.replace("{d}", _word(lexicon().adverbs, value, random)).replace(
        "{j}", _word(lexicon().adjectives, value, random)
    )
    return " ".join(phrase.split())


def _word(scale: Scale, value: float, random: Random) -> str:
    return _pick(next(words for limit, words in scale if value < limit), random)


def _rest(expression: Mapping[str, float], random: Random) -> str:
    bases = {split_code(code)[0] for code in expression}
    fitting = [phrases for units, phrases in lexicon().rest if not bases & set(units) and (units or expression)]
    return _pick(_pick(fitting, random), random) if fitting else "the rest of the face still"


def _sentence(clauses: list[str], random: Random) -> str:
    glue = _pick((", ", ", ", ", ", "; ", ", with ", " and "), random)
    text = glue.join(clauses) if len(clauses) < 3 or random.random() < 0.5 else (
        ", ".join(clauses[:-1]) + _pick((" and ", ", and ", ", "), random) + clauses[-1]
    )  # fmt: skip
    style = random.random()
    return text if style < 0.3 else text[:1].upper() + text[1:] + _pick((".", ".", ""), random)


def _pick(choices: Sequence[T], random: Random) -> T:
    return choices[int(random.integers(len(choices)))]


def _shuffled(choices: Sequence[T], random: Random) -> list[T]:
    return [choices[int(k)] for k in random.permutation(len(choices))]
