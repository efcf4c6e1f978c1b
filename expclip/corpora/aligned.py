"""A folder of recordings with phone times: sounds beside a `phones.json`, no faces. Test material for closures.

`phones.json`: name of the sound -> {"text", "words": [{"word", "start", "end", "phones": [[start, end, phone], ...]}]},
times in seconds, ARPAbet; `speaker` and `emotion` are optional.
"""

import json
from collections.abc import Iterator
from pathlib import Path

from expclip import storage
from expclip.corpora import Row, rows
from expclip.errors import BadRequestError

SUFFIXES = (".wav", ".flac", ".ogg")


def clips(root: str, *, audio_folder: str = "") -> Iterator[tuple[Row, Row | None]]:
    """Yield every sound that the table names; see `corpora.Corpus`."""
    table = Path(root) / "phones.json"
    if not table.is_file():
        raise BadRequestError(f"{root} holds no phones.json")
    for name, entry in json.loads(storage.read_text(str(table))).items():
        sound = next((p for p in sorted(Path(root).glob(f"{name}.*")) if p.suffix in SUFFIXES), None)
        if sound is None:
            raise BadRequestError(f"{root} holds no sound {name} ({', '.join(SUFFIXES)})")
        spoken = [phone for word in entry["words"] for phone in word["phones"]]
        row = rows.clip_row(
            f"aligned_{name}",
            corpus="aligned",
            speaker=entry.get("speaker", name),
            split="test",
            audio=str(sound),
            text=entry.get("text", ""),
            language="en",
            emotion=entry.get("emotion", ""),
            phones=json.dumps(spoken),
            licence="the user's own",
        )
        yield row, None
