"""A folder of recordings with phone times: sounds beside a `phones.json`, no faces. Test material for closures.

`phones.json`: name of the sound -> {"text", "words": [{"word", "start", "end", "phones": [[start, end, phone], ...]}]},
times in seconds, ARPAbet; `speaker` and `emotion` are optional.
"""

import json
from collections.abc import Iterator

from expclip import storage
from expclip.corpora import Options, Source, rows
from expclip.corpora.tree import Tree
from expclip.errors import BadRequestError

LICENCE = "the user's own"
BRINGS = "sound, words and phone times"
LAYOUT = "phones.json beside NAME.wav, .flac or .ogg"

SUFFIXES = (".wav", ".flac", ".ogg")


def clips(tree: Tree, options: Options) -> Iterator[Source]:
    """Yield every sound that the table names; see `corpora`."""
    table = tree.first("phones.json")
    if not table:
        return
    try:
        entries = dict(json.loads(storage.read_text(table)))
    except ValueError as error:
        raise BadRequestError(f"{table} is not a JSON object: {error}") from None
    for name, entry in entries.items():
        spoken = [phone for word in entry["words"] for phone in word["phones"]]
        row = rows.clip_row(
            rows.slug("aligned", name),
            corpus="aligned",
            speaker=entry.get("speaker", name),
            split="test",
            audio=tree.beside(f"{name}.wav", SUFFIXES) or tree.path(f"{name}.wav"),
            text=entry.get("text", ""),
            language="en",
            emotion=entry.get("emotion", ""),
            phones=json.dumps(spoken),
            licence=LICENCE,
        )
        yield Source(row)
