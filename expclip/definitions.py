"""What each figure of an evaluation means: unit, better direction, definition; from `data/definitions.toml`."""

import tomllib
from dataclasses import dataclass
from functools import cache
from importlib import resources


@dataclass(frozen=True)
class Definition:
    """A figure's unit, its better direction and its meaning."""

    unit: str
    better: str  # low, high, near 0, near 1, like the truth, or empty
    text: str


@cache
def load() -> dict[str, Definition]:
    """Return all definitions by the figure's name."""
    text = (resources.files("expclip") / "data" / "definitions.toml").read_text("utf-8")
    return {name: Definition(**values) for name, values in tomllib.loads(text).items()}


def of(name: str) -> Definition | None:
    """Return the definition of a figure by its last name, `@MESH` aside."""
    last = name.rpartition(" / ")[2]
    return load().get(last) or load().get(last.partition("@")[0])
