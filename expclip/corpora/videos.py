"""A folder of videos of people speaking: every video is a clip; `extract` measures the faces.

A file's name is its speaker unless a `speakers.json` (stem -> speaker) lies beside. All clips are test material:
a tracker's estimate of a stranger is for measuring with, not for learning from.
"""

import json
from collections.abc import Iterator
from pathlib import Path

from expclip import storage
from expclip.corpora import Row, rows
from expclip.errors import BadRequestError

SUFFIXES = (".mp4", ".mov", ".mpg", ".mkv", ".webm", ".avi")


def clips(root: str, *, audio_folder: str = "") -> Iterator[tuple[Row, Row | None]]:
    """Yield every video under `root`; see `corpora.Corpus`."""
    files = sorted(p for p in Path(root).rglob("*") if p.suffix.lower() in SUFFIXES)
    if not files:
        raise BadRequestError(f"{root} holds no video ({', '.join(SUFFIXES)})")
    table = Path(root) / "speakers.json"
    speakers = json.loads(storage.read_text(str(table))) if table.is_file() else {}
    for file in files:
        clip_id = f"video_{file.stem}"
        row = rows.clip_row(
            clip_id,
            corpus="videos",
            speaker=speakers.get(file.stem, file.stem),
            split="test",
            audio=str(file),
            video=str(file),
            licence="the user's own",
        )
        yield row, None
