"""`expclip style TEXT...`: what a prompt asks of the face, as words, as JSON or as a picture."""

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from expclip import checkpoint, storage
from expclip.errors import BadRequestError
from expclip.rig import FloatArray
from expclip.style import check_intensity, check_prompt

_STRONGEST = 8
_SEEN = 0.01
"""Weights below this are not listed in words."""


@dataclass(frozen=True)
class Asked:
    """What one text asks for."""

    text: str
    strength: float  # of the text itself, 0..1
    action_units: dict[str, float]
    weights_C: FloatArray


def run(
    texts: Sequence[str],
    *,
    as_json: bool = False,
    picture: str | None = None,
    folder: str | None = None,
    intensity: float = 1.0,
) -> None:
    """Print what each text asks for (`-` reads texts from standard input, one a line); draw the faces to `picture`."""
    texts = _piped() if list(texts) == ["-"] else list(texts)
    if not texts:
        raise BadRequestError("no text; give one or more, or - for one a line on standard input")
    for number, text in enumerate(texts, 1):
        try:
            check_prompt(text)
        except BadRequestError as error:
            raise BadRequestError(f"text {number} of {len(texts)}: {error}" if len(texts) > 1 else str(error)) from None
    check_intensity(intensity)
    if picture is not None:
        if not picture.lower().endswith(".png"):
            raise BadRequestError(f"{picture}: unknown suffix; valid: .png")
        storage.check_writable(storage.parent(picture))
    checkpoint.check(folder)
    answers = asked(texts, folder, intensity)
    for answer in answers:
        print(json.dumps(_record(answer), ensure_ascii=False) if as_json else _readable(answer))
    if picture is not None:
        _draw(answers, picture)


def _piped() -> list[str]:
    """Return the texts of standard input, one a line; blank lines at its end are none."""
    try:
        text = sys.stdin.read().rstrip()
    except UnicodeDecodeError:
        raise BadRequestError("standard input is not text in UTF-8") from None
    return text.split("\n") if text else []  # not splitlines, which also parts at U+2028 within a text


def asked(texts: Sequence[str], folder: str | None, intensity: float) -> list[Asked]:
    """Return what each text asks for, all encoded together."""
    from expclip import action_units, animator

    model = animator.load(folder)
    answers = []
    for text, style in zip(texts, model.styles(texts, [intensity] * len(texts)), strict=True):
        units_U, weights_C = model.expression(style)
        answers.append(Asked(text, style.strength, action_units.from_vector(np.clip(units_U, 0, 1)), weights_C))
    return answers


def _record(answer: Asked) -> dict[str, Any]:
    from expclip.rig import load_rig

    named = zip(load_rig().channels, answer.weights_C.tolist(), strict=True)
    return {
        "text": answer.text,
        "strength": round(answer.strength, 4),
        "action_units": answer.action_units,
        "weights": {name: round(value, 4) for name, value in named},
    }


def _readable(answer: Asked) -> str:
    from expclip import action_units
    from expclip.rig import load_rig

    lines = [f"{answer.text}   (strength {answer.strength:.2f})", "  action units"]
    phrases = action_units.describe(answer.action_units)
    for (code, value), phrase in zip(answer.action_units.items(), phrases, strict=True):
        lines.append(f"    {code:<6}{value:5.2f}  {phrase}")
    lines += ["    none: a neutral face"] if not phrases else []
    strongest = [k for k in np.argsort(-answer.weights_C, kind="stable")[:_STRONGEST] if answer.weights_C[k] >= _SEEN]
    lines += ["  strongest blendshapes"] if strongest else []
    for k in strongest:
        value = float(answer.weights_C[k])
        lines.append(f"    {load_rig().channels[k]:<20}{value:5.2f}  {'#' * round(20 * min(value, 1.0))}")
    return "\n".join(lines)


def _draw(answers: Sequence[Asked], picture: str) -> None:
    from expclip import render

    if len(answers) == 1:
        render.save_png(picture, answers[0].weights_C)
    else:
        render.contact_sheet(np.stack([a.weights_C for a in answers]), [a.text for a in answers], picture)
