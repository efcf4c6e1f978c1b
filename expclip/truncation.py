"""Sound files that end before they should: what a header declares against what is there.

Decoders read a file that was cut off (a broken copy, a full disk) as far as it goes and say nothing.
"""

import os
import re
import subprocess
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Literal

_UNKNOWN_SIZE = 0x7FFFF000
"""Sizes from here are what programs write that cannot know the length when they begin."""
_PAGE = 65_307
"""Bytes of the longest Ogg page."""
_SLACK = 0.2
"""Seconds by which decoded sound may fall short of the declared length: padding of codecs."""


def missing_bytes(path: str) -> bool:
    """Whether a local wav, aiff or ogg file ends before its own header or last page says; False for other kinds."""
    with open(path, "rb") as file:
        kind = file.read(4)
    check = _CHECKS.get(kind)
    return check is not None and check(path)


def _chunk(path: str, order: Literal["little", "big"]) -> bool:
    with open(path, "rb") as file:
        size = int.from_bytes(file.read(8)[4:], order)
    return 0 < size < _UNKNOWN_SIZE and size + 8 > os.path.getsize(path) + 1  # a last pad byte is often left out


def _ogg(path: str) -> bool:
    with open(path, "rb") as file:
        file.seek(max(0, os.path.getsize(path) - 2 * _PAGE))
        tail = file.read()
    page = tail.rfind(b"OggS")
    return page < 0 or len(tail) < page + 6 or not tail[page + 5] & 4  # the flag "end of stream"


_CHECKS: Mapping[bytes, Callable[[str], bool]] = MappingProxyType(
    {
        b"RIFF": lambda path: _chunk(path, "little"),
        b"FORM": lambda path: _chunk(path, "big"),
        b"OggS": _ogg,
    }
)
"""First four bytes of a file -> whether its end is missing."""


def falls_short(path: str, seconds: float, *, ffmpeg: str) -> bool:
    """Whether the `seconds` decoded of a local file are fewer than its container declares, as ffmpeg reads it."""
    shown = subprocess.run([ffmpeg, "-hide_banner", "-i", f"file:{path}"], capture_output=True, check=False)
    found = re.search(rb"Duration: (\d+):(\d+):([\d.]+)", shown.stderr)
    if found is None:
        return False
    hours, minutes, rest = (float(group) for group in found.groups())
    return seconds < 3600 * hours + 60 * minutes + rest - _SLACK
