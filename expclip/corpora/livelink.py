"""Takes of Live Link Face (Epic's capture app): a CSV of ARKit weights at 60 fps and a video, or sound of one's own.

Read is every `TAKE.csv` with `TAKE.wav`, `.flac`, `.m4a`, `.mov` or `.mp4` beside it, or in a folder of its own with
one such file; sound goes before video. `TAKE_cal.csv`, calibrated, goes before `TAKE.csv` and `TAKE_raw.csv`. The
folder below the root is the speaker, unless a `speakers.json` (take -> speaker) lies there; `TAKE.txt` is what is said.
"""

import re
from collections.abc import Iterator

import numpy as np

from expclip import storage
from expclip.corpora import Found, Measured, Options, Source, folder, rows
from expclip.corpora.tree import Tree, stem, suffix
from expclip.exporters import livelink_csv
from expclip.rig import load_rig

LICENCE = "the user's own"
BRINGS = "ARKit tracks of 52 channels with sound or video, by Live Link Face"
LAYOUT = "TAKE.csv with the header Timecode,BlendshapeCount,... and TAKE.wav, .mov or .mp4"

SOUNDS = (".wav", ".flac", ".m4a")
VIDEOS = (".mov", ".mp4")
_KIND = re.compile(r"_(cal|raw|neutral)$")
_ORDER = {"cal": 0, "": 1, "raw": 2}
_HEADER = b"timecode,blendshapecount"


def clips(tree: Tree, options: Options) -> Iterator[Source]:
    """Yield the takes; see `corpora`."""
    takes: dict[str, tuple[int, str]] = {}
    for file, _ in tree.match(r".*\.csv"):
        found = _KIND.search(stem(file))
        kind = found[1] if found else ""
        take = file.removesuffix(suffix(file)).removesuffix(f"_{kind}" if kind else "")
        if kind != "neutral" and _is_take(tree, file, take):
            takes[take] = min(takes.get(take, (9, "")), (_ORDER[kind], file))
    named = folder.speakers(tree)
    who = {t: named.get(stem(t)) or (t.split("/")[0] if t.count("/") > 1 else tree.name) for t in takes}
    split = rows.split_by(who)
    for take, (_, file) in sorted(takes.items()):
        sound, video = _beside(tree, take, SOUNDS), _beside(tree, take, VIDEOS)
        row = rows.clip_row(
            rows.slug("livelink", *take.split("/")),
            corpus="livelink",
            speaker=f"livelink_{who[take]}",
            split=split[take],
            audio=sound or video or tree.path(f"{take}.wav"),
            video=video,
            licence=LICENCE,
        )
        text = tree.first(f"{take}.txt")
        yield Source(row, {"weights": tree.path(file)} | ({"text": text} if text else {}))


def _is_take(tree: Tree, file: str, take: str) -> bool:
    """Whether a csv is a take: by its header, or by what lies beside it if it has none."""
    return bool(_beside(tree, take, SOUNDS + VIDEOS)) or _starts(tree.path(file))


def _starts(path: str) -> bool:
    with storage.open_read(path) as file:
        return file.read(len(_HEADER) + 3).removeprefix(b"\xef\xbb\xbf").lower().startswith(_HEADER)


def _beside(tree: Tree, take: str, suffixes: tuple[str, ...]) -> str:
    """Return the file of that name, else the only one of its kind in the take's own folder."""
    exact = tree.beside(f"{take}.csv", suffixes)
    if exact or "/" not in take:
        return exact
    base = take.rpartition("/")[0] + "/"
    near = [f for f in tree.within(base) if suffix(f).lower() in suffixes]
    return tree.path(near[0]) if len(near) == 1 else ""


def read(source: Source, audio_folder: str) -> Found:
    """Open a take's weights and words."""
    table = livelink_csv.read_rows(source.files["weights"])
    channels = load_rig().channels
    measured = Measured(
        table.weights_TC,
        table.time_T,
        table.seen_T & np.isfinite(table.weights_TC).all(1),
        channels,
        channels,
        "Live Link Face",
        stated_fps=float(table.nominal_fps),
    )
    text = storage.read_text(source.files["text"]).strip() if "text" in source.files else ""
    return Found(source.clip | {"text": text, "language": "en" if text else ""}, measured)
