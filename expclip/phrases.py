"""Words for action units: endless descriptions and commands with their exact expression, to learn muscles from.

In: an expression as `{AU: intensity}` and a random generator. Out: a sentence that names what is visible, side and
degree included. TEAD's own descriptions are few; these teach the text tower which words move which muscle.
"""

from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import TypeVar

import numpy as np

Random = np.random.Generator
Expression = dict[str, float]
T = TypeVar("T")

_DEGREES: tuple[tuple[float, tuple[str, ...]], ...] = (
    (0.18, ("barely", "just a hair", "a trace", "only just", "ever so slightly", "almost imperceptibly", "by a hair")),
    (0.33, ("slightly", "a little", "a bit", "softly", "gently", "a touch", "mildly", "lightly", "faintly")),
    (0.52, ("", "", "clearly", "somewhat", "noticeably", "visibly", "moderately", "plainly", "fairly")),
    (0.72, ("strongly", "firmly", "hard", "well", "markedly", "very", "a lot", "sharply", "tightly")),
    (0.9, ("very strongly", "very hard", "far", "severely", "steeply", "powerfully", "intensely")),
    (1.01, ("as far as possible", "to the limit", "extremely", "to the maximum", "violently", "all the way")),
)
"""Upper limit of intensity -> adverbs of that degree."""

_PAIRED: Mapping[str, tuple[tuple[str, ...], tuple[str, ...]]] = MappingProxyType(
    {
        "AU1": (
            ("inner brow", "inner eyebrow", "inner end of the brow", "brow at its inner end", "inner corner of the brow"),
            ("raised", "lifted", "up", "drawn up", "pulled up", "tilted up", "peaked", "pinched upward", "steepled",
             "rising", "slanting upward", "creeping up", "tented"),
        ),
        "AU2": (
            ("outer brow", "outer eyebrow", "brow tail", "brow at its outer end", "brow"),
            ("raised", "lifted", "up", "arched", "cocked", "hoisted", "flicked up", "high", "hiked", "shot up", "hitched"),
        ),
        "AU4": (
            ("brow", "eyebrow"),
            ("lowered", "drawn together", "pulled down", "knitted", "furrowed", "down", "knotted", "pinched together",
             "drawn down and together", "crushed down", "creased", "bunched", "slammed down", "low", "nudged together"),
        ),
        "AU5": (
            ("upper lid", "upper eyelid", "eye"),
            ("raised", "wide", "opened wide", "lifted", "widened", "staring", "flung open", "stretched open", "popping",
             "wide open", "showing white above the iris", "round"),
        ),
        "AU6": (
            ("cheek",),
            ("raised", "lifted", "bunched", "full", "pushed up", "rounded under the eye", "bulging", "high",
             "crinkling the eye"),
        ),
        "AU7": (
            ("lower lid", "eyelid", "eye", "lid"),
            ("tightened", "narrowed", "tense", "squeezed", "squinting", "tight", "narrowed to a slit", "tensed",
             "hardened", "screwed up"),
        ),
        "AU9": (
            ("side of the nose", "wing of the nose"),
            ("wrinkled", "crinkled", "scrunched", "creased", "drawn up"),
        ),
        "AU10": (
            ("upper lip", "side of the upper lip"),
            ("raised", "lifted", "curled", "hitched", "peeled up", "pulled up", "squared off the teeth", "drawn up"),
        ),
        "AU11": (
            ("fold beside the nose", "nasolabial fold", "furrow from the nostril"),
            ("deepened", "deep", "carved in", "etched", "drawn deeper"),
        ),
        "AU12": (
            ("lip corner", "mouth corner", "corner of the mouth"),
            ("pulled up", "raised", "lifted", "curled up", "upturned", "drawn up and back", "smiling", "quirked up",
             "tugged upward", "rising", "spread in a smile"),
        ),
        "AU13": (
            ("lip corner", "corner of the mouth"),
            ("pulled sharply up", "hooked sharply upward", "drawn steeply up", "puffing the cheek as it rises"),
        ),
        "AU14": (
            ("lip corner", "mouth corner", "corner of the mouth"),
            ("tucked in", "dimpled", "dented", "pressed inward", "pulled into a dimple", "tucked", "tightened inward",
             "pressed into the cheek"),
        ),
        "AU15": (
            ("lip corner", "mouth corner", "corner of the mouth"),
            ("pulled down", "down", "turned down", "lowered", "drooping", "sagging", "sinking", "dragged down",
             "weighed down", "depressed"),
        ),
        "AU16": (
            ("lower lip", "side of the lower lip"),
            ("pulled down", "dragged down off the teeth", "lowered", "drawn down", "down so the lower teeth show"),
        ),
        "AU20": (
            ("lip corner", "side of the mouth", "mouth corner"),
            ("stretched sideways", "pulled back", "drawn sideways", "stretched toward the ear", "stretched",
             "yanked aside", "drawn back"),
        ),
        "AU38": (("nostril",), ("flared", "spread", "dilated", "wide", "widened")),
        "AU43": (
            ("upper lid", "eyelid", "lid", "eye"),
            ("drooping", "lowered", "half shut", "heavy", "sagging", "hanging low", "hooded", "half closed", "sleepy"),
        ),
    }
)  # fmt: skip
"""Unit -> names of one side's part, what it does."""

_WHOLE: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "AU1": ("brows {d} raised in the middle", "brows {d} tilted up at the centre", "brow centres {d} up"),
        "AU2": ("arched brows", "brows {d} arched at the tails"),
        "AU4": ("a {j} frown between the brows", "forehead {d} furrowed", "brows {d} scowling", "a {j} scowl",
                "a {j} crease between the brows", "frowning {d}"),
        "AU5": ("eyes {d} widened", "wide eyes", "a {j} stare", "eyes {d} popping open", "eyes enormous"),
        "AU6": ("cheeks {d} lifted under the eyes", "crow's feet", "eyes {d} crinkled at the corners"),
        "AU7": ("eyes {d} narrowed", "squinting {d}", "narrowed eyes", "eyes squeezed {d}", "a {j} squint"),
        "AU9": ("nose {d} wrinkled", "a {j} wrinkle of the nose", "scrunched nose", "nose {d} scrunched",
                "nose crinkled {d} at the bridge"),
        "AU10": ("upper lip {d} lifted", "a {j} sneer", "upper teeth bared", "upper lip curled {d}"),
        "AU11": ("deepened folds from nose to mouth", "folds beside the nose {d} deepened"),
        "AU12": ("a {j} smile", "smiling {d}", "a {j} smile", "the corners of the mouth {d} turned up", "a {j} grin",
                 "a {j} upward curve of the lips"),
        "AU13": ("a {j} sharp-cornered smile", "corners of the mouth hooked {d} up"),
        "AU14": ("{j} dimples at the mouth", "both corners tucked {d} in", "a flat {j} tuck of the lips"),
        "AU15": ("mouth {d} turned down", "a {j} downturned mouth", "the corners of the mouth {d} sinking"),
        "AU16": ("lower lip {d} pulled down", "lower teeth bared", "lower lip dropped {d}"),
        "AU17": ("chin {d} pushed up", "chin {d} raised", "chin {d} bunched", "chin puckered {d}",
                 "lower lip {d} pushed up by the chin", "a {j} trembling chin", "chin boss {d} tight", "chin dimpled {d}"),
        "AU18": ("lips {d} puckered", "a {j} pout", "lips {d} pursed", "lips {d} pushed forward as for a kiss",
                 "mouth {d} pursed"),
        "AU19": ("tongue {d} out", "tongue tip {d} showing", "tongue {d} stuck out", "tongue {d} between the teeth",
                 "the tongue {d} visible"),
        "AU20": ("lips {d} stretched sideways", "mouth {d} stretched wide and flat", "lips drawn {d} back",
                 "a {j} grimace", "mouth pulled {d} sideways"),
        "AU22": ("lips {d} funnelled", "lips {d} rounded and flared forward", "mouth {d} funnelled into an o",
                 "lips flared {d} outward"),
        "AU23": ("lips {d} tightened", "lips {d} thinned", "lips {d} narrowed and tight", "mouth {d} drawn tight",
                 "tight thin lips"),
        "AU24": ("lips {d} pressed together", "lips {d} clamped", "mouth {d} pressed shut", "lips {d} sealed",
                 "lips pressed into a line"),
        "AU25": ("lips {d} parted", "lips {d} apart", "mouth {d} open", "teeth {d} showing", "lips {d} open"),
        "AU26": ("jaw {d} dropped", "jaw {d} slack", "mouth hanging {d} open", "jaw {d} lowered", "mouth {d} agape"),
        "AU27": ("mouth stretched {d} open", "mouth {d} gaping", "mouth {d} wide open", "jaw pulled {d} wide",
                 "mouth thrown {d} open"),
        "AU28": ("lips {d} sucked in", "lips {d} rolled inward", "lips {d} bitten", "lips {d} folded in over the teeth",
                 "lower lip {d} sucked in", "lip caught {d} between the teeth"),
        "AU29": ("jaw {d} thrust forward", "jaw {d} jutting", "chin {d} jutted out", "lower jaw {d} forward"),
        "AU34": ("cheeks {d} puffed", "cheeks {d} blown out", "cheeks {d} full of air", "{j} puffed cheeks"),
        "AU38": ("nostrils {d} flared", "flaring nostrils", "nostrils spread {d}"),
        "AU43": ("eyes {d} half closed", "lids {d} drooping", "heavy lids", "eyelids {d} at half mast", "sleepy eyes"),
        "AU63": ("eyes rolled {d} up", "gaze {d} upward", "looking {d} up", "eyes {d} turned to the ceiling"),
        "AU64": ("gaze {d} lowered", "looking {d} down", "eyes {d} downcast", "gaze dropped {d}",
                 "eyes cast {d} to the floor"),
    }
)  # fmt: skip
"""Unit -> phrases for both sides at once; {d} an adverb, {j} an adjective of degree."""

_ADJECTIVES: tuple[tuple[float, tuple[str, ...]], ...] = (
    (0.18, ("barely visible", "faint", "ghostly", "hint of a", "tiny")),
    (0.33, ("slight", "small", "little", "soft", "light")),
    (0.52, ("", "clear", "moderate", "gentle", "fair")),
    (0.72, ("strong", "broad", "firm", "marked", "big")),
    (0.9, ("very strong", "deep", "very big", "huge", "hard")),
    (1.01, ("extreme", "enormous", "maximal", "violent")),
)

_TOGETHER: tuple[tuple[tuple[str, ...], tuple[str, ...]], ...] = (
    (("AU1", "AU2"), ("brows {d} raised", "eyebrows {d} lifted", "brows {d} up", "both brows {d} high", "brows shot {d} up",
                      "raised eyebrows", "brows {d} flung up", "brows {d} hoisted")),
    (("AU1", "AU4"), ("inner brows {d} drawn up and together", "brows {d} pinched up in the middle",
                      "brows pulled {d} together with the inner ends up", "brows {d} knotted upward at the centre",
                      "brows {d} worried", "inner brows {d} lifted and knitted")),
    (("AU1", "AU2", "AU4"), ("brows {d} raised and drawn together", "brows {d} up and knotted", "brows lifted {d} and pinched")),
    (("AU6", "AU12"), ("a {j} smile that lifts the cheeks", "smiling {d} with crinkled eyes", "a {j} smile reaching the eyes",
                       "cheeks {d} raised by a smile", "a {j} genuine smile", "beaming {d}")),
    (("AU12", "AU25"), ("a {j} open smile", "a {j} smile with teeth", "smiling {d} with parted lips", "a {j} toothy grin")),
    (("AU9", "AU10"), ("nose {d} wrinkled and upper lip up", "nose and upper lip {d} drawn up", "a {j} snarl of nose and lip")),
    (("AU25", "AU26"), ("jaw {d} dropped with the lips apart", "mouth {d} fallen open", "mouth {d} open", "an open mouth")),
    (("AU25", "AU27"), ("mouth flung {d} open", "mouth {d} stretched wide open", "mouth {d} gaping wide")),
    (("AU15", "AU17"), ("mouth {d} turned down over a raised chin", "corners {d} down and chin pushed up")),
    (("AU10", "AU25"), ("upper teeth {d} bared", "upper lip {d} raised off the teeth")),
    (("AU20", "AU25"), ("lips {d} stretched sideways and apart", "teeth showing between {d} stretched lips")),
    (("AU43", "AU7"), ("eyes {d} squeezed shut", "eyes {d} screwed shut", "eyes pressed {d} shut")),
    (("AU4", "AU7"), ("brows {d} lowered over narrowed eyes", "a {j} glare", "glowering {d}")),
    (("AU4", "AU5"), ("a {j} glare under lowered brows", "glaring {d}", "brows down over {d} staring eyes")),
)  # fmt: skip
"""Phrases for units that are often named in one breath; their intensities must be alike."""

_SIDEWAYS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "AU30": ("jaw {d} pushed to the {s}", "jaw {d} shifted to the {s}", "lower jaw slid {d} {s}", "jaw skewed {d} {s}"),
        "AU61": ("eyes {d} to the {s}", "gaze sliding {d} {s}", "looking {d} to the {s}", "eyes cut {d} {s}",
                 "a {j} glance to the {s}", "eyes aimed {d} {s}", "gaze turned {d} aside to the {s}"),
    }
)  # fmt: skip

_REST: tuple[tuple[tuple[str, ...], tuple[str, ...]], ...] = (
    (("AU1", "AU2", "AU4"), ("brows at rest", "brows level", "brows still", "forehead smooth", "brows unmoved",
                             "the forehead stays smooth", "without moving the brows")),
    (("AU5", "AU7", "AU43", "AU6"), ("eyes as usual", "lids at their usual height", "eyes relaxed", "eyes uninvolved",
                                     "the smile does not reach the eyes", "eyes flat and still")),
    (("AU9", "AU10", "AU38"), ("nose at rest", "nose smooth")),
    (("AU12", "AU15", "AU20", "AU14", "AU24", "AU23", "AU17", "AU18"), ("mouth at rest", "lips relaxed", "mouth neutral",
                                                                      "the mouth gives nothing away", "lips unmoved")),
    (("AU25", "AU26", "AU27"), ("lips closed", "mouth closed", "lips together", "jaw closed")),
    (("AU6",), ("cheeks flat", "cheeks relaxed", "cheeks unmoved")),
    ((), ("everything else relaxed", "the rest of the face still", "nothing else moves", "all else at rest")),
)  # fmt: skip
"""Units that must be absent -> statements that something does not move."""

_CLOSED = (
    "eyes closed",
    "eyes shut",
    "eyelids all the way down",
    "eyes fully closed",
    "eyes {d} shut",
    "both eyes closed",
)
_ONE_EYE = (
    "{s} eye closed",
    "winking with the {s} eye",
    "a wink of the {s} eye",
    "{s} eye shut",
    "{s} lid all the way down",
)
_IMPERATIVES: Mapping[str, str] = MappingProxyType(
    {
        "raised": "raise", "lifted": "lift", "lowered": "lower", "narrowed": "narrow", "wrinkled": "wrinkle",
        "furrowed": "furrow", "arched": "arch", "flared": "flare", "dropped": "drop", "pressed together": "press together",
        "puffed": "puff", "widened": "widen", "parted": "part", "pulled down": "pull down", "pulled up": "pull up",
        "puckered": "pucker", "cocked": "cock", "tightened": "tighten", "stretched": "stretch", "closed": "close",
        "opened wide": "open wide", "tucked in": "tuck in", "knitted": "knit", "pursed": "purse", "curled": "curl",
    }
)  # fmt: skip
"""What is done -> the verb that orders it."""


def describe(expression: Mapping[str, float], random: Random) -> str:
    """Return a sentence that says what an expression shows, region by region or in any order."""
    left = dict(expression)
    clauses: list[str] = []
    for units, phrases in _shuffled(_TOGETHER, random):
        values = [left.get(unit, 0.0) for unit in units]
        if min(values) > 0 and max(values) - min(values) <= 0.25 and random.random() < 0.6:
            clauses.append(_filled(_pick(phrases, random), float(np.mean(values)), random))
            for unit in units:
                del left[unit]
    clauses += _gaze(left, random)
    clauses += [_clause(code, value, random) for code, value in left.items()]
    random.shuffle(clauses)
    if random.random() < 0.3 or not clauses:
        clauses.append(_rest(expression, random))
    return _sentence(clauses, random)


def command(expression: Mapping[str, float], random: Random) -> str:
    """Return an order as users type it, such as `raise your left eyebrow`."""
    left = dict(expression)
    orders = _gaze(left, random)
    for code, value in left.items():
        base, side = split_code(code)
        if base in _PAIRED and random.random() < 0.8:
            parts, states = _PAIRED[base]
            known = [state for state in states if state in _IMPERATIVES]
            if known:
                which = _side(side, random) if side else _pick(("", "both "), random)
                owner = _pick(("your ", "the ", "", "her ", "his "), random)
                part = _pick(parts, random) + ("" if side else "s")
                degree = _word(_DEGREES, value, random)
                orders.append(f"{_IMPERATIVES[_pick(known, random)]} {owner}{which}{part} {degree}")
                continue
        orders.append(_clause(code, value, random))
    return " ".join(_pick((" and ", ", "), random).join(orders).split())


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
            phrase = _pick(_SIDEWAYS["AU61"], random).replace("{s}", where)
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
        return _filled(_pick(_SIDEWAYS["AU30"], random).replace("{s}", _own(_NAMES[side], random)), value, random)
    if base == "AU43" and value >= 0.85:
        return _filled(_pick(_ONE_EYE if side else _CLOSED, random).replace("{s}", _NAMES.get(side, "")), value, random)
    if side or (base in _PAIRED and (base not in _WHOLE or random.random() < 0.6)):
        return _paired(base, side, value, random)
    return _filled(_pick(_WHOLE[base], random), value, random)


_NAMES: Mapping[str, str] = MappingProxyType({"L": "left", "R": "right"})


def _paired(base: str, side: str, value: float, random: Random) -> str:
    parts, states = _PAIRED.get(base, (("side of the face",), ("tensed",)))
    part, state = _pick(parts, random), _pick(states, random)
    degree = _word(_DEGREES, value, random)
    if not side:
        both = _pick(("", "", "both ", "the "), random)
        plural = part.replace(" of the mouth", "s of the mouth") if part.endswith("of the mouth") else part + "s"
        subject = (
            "upper lip" if part.endswith("upper lip") else "lower lip" if part.endswith("lower lip") else both + plural
        )
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
    phrase = phrase.replace("{d}", _word(_DEGREES, value, random)).replace("{j}", _word(_ADJECTIVES, value, random))
    return " ".join(phrase.replace("a hint of a", "a hint of a").split())


def _word(scale: Iterable[tuple[float, tuple[str, ...]]], value: float, random: Random) -> str:
    return _pick(next(words for limit, words in scale if value < limit), random)


def _rest(expression: Mapping[str, float], random: Random) -> str:
    bases = {split_code(code)[0] for code in expression}
    fitting = [phrases for units, phrases in _REST if not bases & set(units) and (units or expression)]
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


def _shuffled(choices: tuple[T, ...], random: Random) -> list[T]:
    return [choices[int(k)] for k in random.permutation(len(choices))]


UNITS = (*_PAIRED, *(unit for unit in (*_WHOLE, *_SIDEWAYS, "AU62") if unit not in _PAIRED))
"""All units that have words."""
SIDED = tuple(_PAIRED)
"""Units that can show on one side alone."""
