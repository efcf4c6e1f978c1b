"""MEAD (Wang et al. 2020): 60 actors, eight emotions in three strengths, filmed from seven sides.

Read are `ACTOR/video/VIEW/EMOTION/level_N/NNN.mp4` and `ACTOR/audio/EMOTION/level_N/NNN.m4a` in any folder. The view
from the front is the clip's picture; the other six repeat its sound and are left aside.
"""

from collections.abc import Iterator

from expclip.corpora import Found, Options, Source, checks, rows
from expclip.corpora.tree import Tree

LICENCE = "MEAD (Wang et al. 2020): research only, by agreement"
BRINGS = "video and sound of actors, 8 emotions in three strengths"
LAYOUT = "ACTOR/video/front/EMOTION/level_N/NNN.mp4 and ACTOR/audio/EMOTION/level_N/NNN.m4a, ACTOR such as M003"

EMOTIONS = ("angry", "contempt", "disgusted", "fear", "happy", "neutral", "sad", "surprised")
_STRENGTHS = {1: "slight", 2: "medium", 3: "strong"}
_PLACE = r"(?P<emotion>[^/]+)/level_(?P<level>\d+)/(?P<number>\d+)"


def clips(tree: Tree, options: Options) -> Iterator[Source]:
    """Yield the utterances that have sound or a picture from the front; see `corpora`."""
    found: dict[tuple[str, str, int, str], dict[str, str]] = {}
    pattern = rf"(?:.*/)?(?P<actor>[MW]\d{{3}})/(?:(?P<kind>audio)|(?P<view>video/front))/{_PLACE}\.(m4a|wav|mp4)"
    for file, match in tree.match(pattern):
        key = (match["actor"].upper(), match["emotion"].lower(), int(match["level"]), match["number"])
        found.setdefault(key, {})["audio" if match["kind"] else "video"] = tree.path(file)
    for (actor, emotion, level, number), files in sorted(found.items()):
        strength = "" if emotion == "neutral" else _STRENGTHS.get(level, "")
        row = rows.clip_row(
            rows.slug("mead", actor, emotion, str(level), number),
            corpus="mead",
            speaker=f"mead_{actor}",
            split=rows.split_of(f"mead_{actor}"),
            audio=files.get("audio") or files["video"],
            video=files.get("video", ""),
            language="en",
            emotion=emotion,
            prompt=f"{emotion}, {strength}" if strength else "",
            licence=LICENCE,
        )
        yield Source(row)


def read(source: Source, audio_folder: str) -> Found:
    """Return the clip with what is odd about its name."""
    return Found(source.clip, None, checks.label("emotion", source.clip["emotion"], EMOTIONS))
