"""Style: what an expression prompt of any kind becomes, a direction in ExpCLIP's space and a strength."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import numpy as np

from expclip.errors import BadRequestError
from expclip.rig import FloatArray

MAX_INTENSITY = 1.5
"""Strongest multiple of what the prompt asks for."""


@dataclass(frozen=True, eq=False)
class Style:
    """A style embedding (D,) of unit length, how strong the prompt itself is (0..1), and a multiple of that (0..1.5).

    Direction and strength are apart: scaling `intensity` never changes which feeling is shown.
    """

    embedding_D: FloatArray
    strength: float
    intensity: float = 1.0
    prompt: str = field(default="")

    @property
    def vector_D(self) -> FloatArray:
        """What the generator is given: direction times strength times intensity; zero means neutral."""
        return self.embedding_D * np.float32(self.strength * self.intensity)

    def scaled(self, intensity: float) -> "Style":
        """Return the same style at another intensity."""
        return replace(self, intensity=check_intensity(intensity))


TRANSITION = 0.4
"""Seconds over which one timed style turns into the next, unless told otherwise."""
_LONGEST_TRANSITION = 60.0


class StyleChange(NamedTuple):
    """A style that begins at a second of the sound and is reached `transition` seconds later."""

    second: float
    style: Style
    transition: float = TRANSITION


TimedStyle = Sequence[StyleChange | tuple[float, Style]]


def check_transition(transition: float) -> float:
    """Return the seconds of a transition; raises BadRequestError unless they lie within 0..60."""
    if not 0 <= transition <= _LONGEST_TRANSITION:  # NaN fails, too
        raise BadRequestError(f"transition {transition!r} is outside 0..{_LONGEST_TRANSITION:g} s")
    return float(transition)


def timed(style: Style | TimedStyle) -> list[StyleChange]:
    """Return the changes of a style that may change, in order of time; raises BadRequestError if there are none."""
    if isinstance(style, Style):
        return [StyleChange(0.0, style)]
    changes = sorted((StyleChange(*entry) for entry in style), key=lambda change: change.second)
    if not changes:
        raise BadRequestError("the list of timed styles is empty")
    for change in changes:
        check_transition(change.transition)
        if not np.isfinite(change.second):
            raise BadRequestError(f"style at {change.second!r} s: not a time")
    return changes


def vectors(changes: Sequence[StyleChange], second_T: np.ndarray[Any, Any]) -> FloatArray:
    """Return the style vector (T, D) at each second; the first style holds from the start."""
    vector_TD = np.broadcast_to(changes[0].style.vector_D, (len(second_T), len(changes[0].style.vector_D)))
    for second, style, transition in changes[1:]:
        share_T = np.clip((second_T - second) / max(transition, 1e-6), 0, 1).astype(np.float32)[:, None]
        vector_TD = vector_TD * (1 - share_T) + style.vector_D * share_T
    return np.array(vector_TD, np.float32)


def check_intensity(intensity: float) -> float:
    """Return the intensity; raises BadRequestError unless it lies within 0..1.5."""
    if not 0 <= intensity <= MAX_INTENSITY:  # NaN fails, too
        raise BadRequestError(f"intensity {intensity!r} is outside 0..{MAX_INTENSITY:g}")
    return float(intensity)


def blend(first: Style, second: Style, share: float) -> Style:
    """Return the style that is `share` (0..1) of the way from the first to the second, along the great circle.

    Strength and intensity are interpolated linearly. Raises BadRequestError for a share outside 0..1.
    """
    if not 0 <= share <= 1:
        raise BadRequestError(f"share {share!r} is outside 0..1")
    mixed_D = slerp(first.embedding_D, second.embedding_D, share)
    prompt = " + ".join(filter(None, (first.prompt, second.prompt)))
    strength = first.strength * (1 - share) + second.strength * share
    return Style(mixed_D, strength, first.intensity * (1 - share) + second.intensity * share, prompt)


def slerp(first_D: FloatArray, second_D: FloatArray, share: float) -> FloatArray:
    """Interpolate two unit vectors (D,) on the sphere; opposite ones go through an arbitrary side."""
    angle = float(np.arccos(np.clip(first_D @ second_D, -1, 1)))
    if angle < 1e-4:
        return first_D
    mixed = (np.sin((1 - share) * angle) * first_D + np.sin(share * angle) * second_D) / max(np.sin(angle), 1e-6)
    return np.asarray(mixed / max(float(np.linalg.norm(mixed)), 1e-6), np.float32)


MAX_PROMPT = 1000
"""Longest prompt in characters."""


def check_prompt(prompt: str) -> str:
    """Return the prompt without outer blanks; raises BadRequestError if it is empty or longer than 1,000 characters."""
    text = " ".join(prompt.split())
    if not text.isascii() and any(0xD800 <= ord(letter) <= 0xDFFF for letter in text):
        raise BadRequestError("the prompt is not text in UTF-8")
    if not text:
        raise BadRequestError("the prompt is empty; say a feeling, such as 'a shy smile'")
    if len(prompt) > MAX_PROMPT:
        raise BadRequestError(f"the prompt has {len(prompt)} characters; at most {MAX_PROMPT} are valid")
    return text
