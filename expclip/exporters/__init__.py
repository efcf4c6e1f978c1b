"""Exporters: one file a format, chosen by suffix or by name; the table below is all there is to add to.

An exporter is a module with `write(animation, path)`, which writes a local file. `save` chooses it and makes
sure that the file appears whole or not at all, locally or on s3://.
"""

import importlib
from typing import TYPE_CHECKING, Protocol, cast

from expclip import storage
from expclip.errors import BadRequestError, unknown

if TYPE_CHECKING:
    from expclip.animation import Animation

EXPORTERS = {
    "livelink.csv": "expclip.exporters.livelink_csv",
    "a2f.json": "expclip.exporters.a2f_json",
    "glb": "expclip.exporters.glb",
    "mp4": "expclip.exporters.mp4",
    "npz": "expclip.exporters.npz",
}
"""Format name (which is also the file's suffix) -> module."""


class Exporter(Protocol):
    """What a format's module offers."""

    def write(self, animation: "Animation", path: str) -> None:
        """Write the animation to a local file."""


def format_of(path: str) -> str:
    """Return the format that a path's suffix names; raises BadRequestError with the valid ones."""
    name = path.rsplit("/", 1)[-1].lower()
    for format in EXPORTERS:
        if name.endswith("." + format) and name != "." + format:
            return format
    raise BadRequestError(f"{path}: unknown suffix; valid: {', '.join('.' + f for f in EXPORTERS)}")


def load(format: str) -> Exporter:
    """Return the exporter of a format by name."""
    if format not in EXPORTERS:
        raise unknown("format", format, EXPORTERS)
    return cast(Exporter, importlib.import_module(EXPORTERS[format]))


def save(animation: "Animation", path: str, *, format: str | None = None) -> None:
    """Write an animation to `path`, local or s3://, in the format named or told by the suffix."""
    exporter = load(format or format_of(path))
    with storage.write_once(path) as name:
        exporter.write(animation, name)
