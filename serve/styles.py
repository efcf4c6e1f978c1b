"""Styles as requests say them -> Style; each content is encoded once, prompts that wait together in one batch.

A style is a text, or an object with one of `prompt`, `emotion`, `action_units`, `weights`, `image` or `mix` and, if
wanted, `intensity` (0..1.5). `mix` is a list of styles with a `share` each. A track is a list of styles with `at`
(seconds) and, if wanted, `transition` (seconds).
"""

import asyncio
import base64
import binascii
import hashlib
import io
import json
import math
import tempfile
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from expclip import action_units
from expclip.animator import Animator
from expclip.errors import BadRequestError, unknown
from expclip.style import (
    MAX_INTENSITY,
    TRANSITION,
    Style,
    StyleChange,
    blend,
    check_prompt,
    check_transition,
    timed,
)

EMOTIONS: Mapping[str, str] = {
    "neutral": "",
    "amazement": "amazed, eyes wide, brows raised, jaw dropped a little",
    "anger": "very angry, brows drawn down, glaring, lips tight",
    "cheekiness": "cheeky, a playful smirk, one brow up",
    "disgust": "disgusted, nose wrinkled, upper lip raised",
    "fear": "afraid, eyes wide, brows raised and drawn together",
    "grief": "grieving, in tears, inner brows raised, corners of the mouth down",
    "joy": "joyful, a big bright smile, cheeks raised",
    "outofbreath": "exhausted and out of breath, mouth open, brows drawn together",
    "pain": "in pain, eyes squeezed, brows drawn down, lips stretched",
    "sadness": "sad, inner brows raised, corners of the mouth pulled down",
}
"""Named emotions (neutral and the ten of Audio2Face-3D) -> the prompts that we take them for."""

_SOURCES = ("prompt", "emotion", "action_units", "weights", "image", "mix")
_MORE = ("intensity", "share", "at", "transition")
_CACHED = 4096
_MOST_STYLES = 64
"""Styles in a mix or a track."""
_MOST_PIXELS = 16_000_000
_IMAGE_BYTES = 8 << 20


def parse(text: str) -> Any:
    """Return a style given as a form's or query's text: JSON where it begins like it, else a prompt."""
    if not text.lstrip().startswith(("{", "[")):
        return text
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        raise BadRequestError("style begins like JSON but is none") from None


class Styles:
    """Reads styles for one model; its texts are encoded in a thread, not where the streams run."""

    def __init__(self, animator: Animator) -> None:
        self.animator = animator
        self._cache: OrderedDict[str, Style] = OrderedDict()
        self._waiting: dict[str, asyncio.Future[Style]] = {}
        self._work: asyncio.Task[None] | None = None
        self._one_at_a_time = asyncio.Lock()

    def neutral(self) -> Style:
        """Return the style that asks for nothing."""
        return Style(np.zeros(self.animator.generator.config.style, np.float32), 0.0)

    async def changes(self, spec: Any) -> list[StyleChange]:
        """Return a style or a track as what holds from when on; raises BadRequestError for what is neither."""
        track = spec.get("track") if isinstance(spec, Mapping) and "track" in spec else spec
        if not isinstance(track, list):
            return timed(await self.style(track))
        if not 1 <= len(track) <= _MOST_STYLES:
            raise BadRequestError(f"a track of {len(track)} styles; 1 to {_MOST_STYLES} are valid")
        changes = []
        for entry in track:
            if not isinstance(entry, Mapping) or "at" not in entry:
                raise BadRequestError("each style of a track is an object with `at` in seconds")
            at = number(entry["at"], "at", 0, math.inf)
            transition = check_transition(number(entry.get("transition", TRANSITION), "transition", 0, math.inf))
            changes.append(StyleChange(at, await self.style(entry), transition))
        return timed(changes)

    async def style(self, spec: Any) -> Style:
        """Return a style; raises BadRequestError for what is none."""
        if spec is None:
            return self.neutral()
        if isinstance(spec, str):
            spec = {"prompt": spec} if spec.strip() else {"emotion": "neutral"}
        if not isinstance(spec, Mapping):
            raise BadRequestError(f"a style is a text or an object with one of {', '.join(_SOURCES)}")
        for key in spec:
            if key not in _SOURCES + _MORE:
                raise unknown("part of a style", key, _SOURCES + _MORE)
        given = [key for key in _SOURCES if spec.get(key) is not None]
        if len(given) != 1:
            raise BadRequestError(f"a style has one of {', '.join(_SOURCES)}; this one has {len(given)}")
        intensity = number(spec.get("intensity", 1.0), "intensity", 0, MAX_INTENSITY)
        style = await self._source(given[0], spec[given[0]])
        return style.scaled(min(MAX_INTENSITY, intensity * style.intensity))

    async def _source(self, kind: str, value: Any) -> Style:
        if kind == "mix":
            return await self._mixed(value)
        if kind == "emotion":
            if value not in tuple(EMOTIONS):  # a value of any type
                raise unknown("emotion", str(value)[:40], EMOTIONS)
            return await self._prompt(EMOTIONS[value]) if EMOTIONS[value] else self.neutral()
        if kind == "prompt":
            if not isinstance(value, str):
                raise BadRequestError("a prompt is a text")
            return await self._prompt(check_prompt(value))
        return await self._computed(kind, value)

    async def _mixed(self, value: Any) -> Style:
        """Blend one by one along great circles, each by its share of those so far."""
        if not isinstance(value, list) or not 1 <= len(value) <= _MOST_STYLES:
            raise BadRequestError(f"a mix is a list of 1 to {_MOST_STYLES} styles")
        mixed, total = self.neutral(), 0.0
        for entry in value:
            if isinstance(entry, Mapping) and "mix" in entry:
                raise BadRequestError("a mix within a mix")
            share = number(entry.get("share", 1.0), "share", 0, 1e6) if isinstance(entry, Mapping) else 1.0
            style = await self.style(entry)
            if not share:
                continue
            mixed = _towards(mixed, style, share / (total + share)) if total else style
            total += share
        return mixed

    async def _prompt(self, prompt: str) -> Style:
        """Return a prompt's style; those asked for while one batch is encoded make up the next."""
        if prompt in self._cache:
            self._cache.move_to_end(prompt)
            return self._cache[prompt]
        if prompt not in self._waiting:
            self._waiting[prompt] = asyncio.get_running_loop().create_future()
        future = self._waiting[prompt]
        if self._work is None or self._work.done():
            self._work = asyncio.create_task(self._encode())
        return await asyncio.shield(future)

    async def _encode(self) -> None:
        while self._waiting:
            batch, self._waiting = self._waiting, {}
            try:
                async with self._one_at_a_time:
                    found = await asyncio.to_thread(self.animator.styles, list(batch))
            except Exception as error:
                for future in batch.values():
                    future.set_exception(error)
                continue
            for (prompt, future), style in zip(batch.items(), found, strict=True):
                self._keep(prompt, style)
                future.set_result(style)

    async def _computed(self, kind: str, value: Any) -> Style:
        make: Callable[[], Style]
        if kind == "image":
            data = _image_bytes(value)
            key, make = hashlib.sha256(data).hexdigest(), lambda: self._of_image(data)
        else:
            numbers = _numbers(value, kind)
            weights_C = (
                action_units.to_weights(numbers, self.animator.rig)
                if kind == "action_units"
                else self.animator.rig.weights(numbers)
            )
            key, make = kind + weights_C.tobytes().hex(), lambda: self.animator.style(weights=weights_C)
        if key not in self._cache:
            async with self._one_at_a_time:
                self._keep(key, await asyncio.to_thread(make))
        return self._cache[key]

    def _keep(self, key: str, style: Style) -> None:
        self._cache[key] = style
        while len(self._cache) > _CACHED:
            self._cache.popitem(last=False)

    def _of_image(self, data: bytes) -> Style:
        """Return a picture's style; it is decoded as one of three formats and no other, and only if it is not huge."""
        from PIL import Image, UnidentifiedImageError

        try:
            with Image.open(io.BytesIO(data), formats=("PNG", "JPEG", "WEBP")) as picture:
                if picture.width * picture.height > _MOST_PIXELS:
                    raise BadRequestError(f"the image has more than {_MOST_PIXELS} pixels")
                small = picture.convert("RGB")
        except (UnidentifiedImageError, OSError, ValueError, SyntaxError) as error:
            if isinstance(error, BadRequestError):
                raise
            raise BadRequestError("the image cannot be read; valid: png, jpeg, webp") from None
        with tempfile.NamedTemporaryFile(suffix=".png") as file:
            small.save(file, "PNG")
            file.flush()
            style = self.animator.style(image=file.name)
        return Style(style.embedding_D, style.strength, style.intensity, "(image)")


def _towards(first: Style, second: Style, share: float) -> Style:
    """Blend; a neutral style has no direction, so it only weakens the other."""
    if not first.strength or not second.strength:
        strong, kept = (second, share) if second.strength else (first, 1 - share)
        return Style(strong.embedding_D, strong.strength * kept, strong.intensity, strong.prompt)
    return blend(first, second, share)


def number(value: Any, name: str, low: float, high: float) -> float:
    """Return a number within low..high; raises BadRequestError for any other value."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
        raise BadRequestError(f"{name} {str(value)[:40]!r} is not a number within {low:g}..{high:g}")
    return float(value)


def _numbers(value: Any, kind: str) -> dict[str, float]:
    if not isinstance(value, Mapping) or not value or len(value) > 256:
        raise BadRequestError(f"{kind} is an object of names and numbers")
    return {str(name): number(item, f"{kind} {str(name)[:40]}", 0, 1) for name, item in value.items()}


def _image_bytes(value: Any) -> bytes:
    if isinstance(value, str):
        if len(value) > _IMAGE_BYTES * 4 // 3 + 64:
            raise BadRequestError(f"the image is larger than {_IMAGE_BYTES >> 20} MB")
        try:
            return base64.b64decode(value.partition("base64,")[2] or value, validate=True)
        except (binascii.Error, ValueError):
            raise BadRequestError("image is not base64") from None
    if isinstance(value, bytes) and value:
        if len(value) > _IMAGE_BYTES:
            raise BadRequestError(f"the image is larger than {_IMAGE_BYTES >> 20} MB")
        return value
    raise BadRequestError("image is base64 text, or a file of its own in a form")
