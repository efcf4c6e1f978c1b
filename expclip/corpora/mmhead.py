"""MMHead (Wu et al. 2024): 49 h of talking heads as FLAME motion with texts on action, emotion, face and pose.

Read are `audio/NAME.wav` or `audio.zip`, `text_annotations/KIND/NAME.txt` and the lists `talking_subset.json` and
`t2m_subset.json`, whose splits are kept (test goes before val, val before train). Its motion is FLAME, not ARKit
weights, and is left out; the texts become rows of EXPRESSIONS without weights.
"""

import json
import re
from collections.abc import Iterator
from typing import Any

from expclip import storage
from expclip.corpora import Found, Options, Row, Source, packed, rows
from expclip.corpora.tree import Tree, stem
from expclip.errors import BadRequestError

LICENCE = "MMHead (Wu et al. 2024): by agreement with its authors"
BRINGS = "speech with texts on action, emotion, face and pose; motion is FLAME and left out"
LAYOUT = "audio/ or audio.zip and text_annotations/KIND/NAME.txt"

KINDS = ("action", "emotion", "detail_expression", "detail_head_pose", "emotion_scenario")
_PROMPTS = ("emotion", "action")
"""Kinds of text that say how the clip is performed, the better one first."""
_SPLITS = {"train": "train", "val": "val", "valid": "val", "validation": "val", "test": "test"}
_RANK = ("train", "val", "test")
_LISTS = ("talking_subset.json", "t2m_subset.json")


def clips(tree: Tree, options: Options) -> Iterator[Source]:
    """Yield every sound; see `corpora`."""
    texts = _texts(tree)
    if not texts:
        return
    sounds = dict(_sounds(tree))
    split = _splits(tree, {*texts, *sounds})
    for name, files in sorted(sounds.items()):
        speaker = _speaker(name)
        row = rows.clip_row(
            rows.slug("mmhead", name),
            corpus="mmhead",
            speaker=f"mmhead_{speaker}",
            split=split.get(name) or rows.split_of(speaker),
            audio=files.get("sound", ""),
            licence=LICENCE,
        )
        prompt = next((texts[name][kind] for kind in _PROMPTS if kind in texts.get(name, {})), "")
        yield Source(row, files | ({"prompt": prompt} if prompt else {}), name)


def _speaker(name: str) -> str:
    """Return the video that a name was cut from."""
    return re.sub(r"_\d+$", "", name)


def _texts(tree: Tree) -> dict[str, dict[str, str]]:
    """Return name -> kind -> path of its text."""
    found: dict[str, dict[str, str]] = {}
    for file, match in tree.match(rf"(?:.*/)?text_annotations/({'|'.join(KINDS)})/[^/]+\.txt"):
        found.setdefault(stem(file), {})[match[1].lower()] = tree.path(file)
    return found


def _sounds(tree: Tree) -> Iterator[tuple[str, dict[str, str]]]:
    for file, _ in tree.match(r"(?:.*/)?audio\.zip"):
        for member in packed.names(tree.path(file)):
            if member.lower().endswith(".wav"):
                yield stem(member), {"zip": tree.path(file)}
    for file, _ in tree.match(r"(?:.*/)?audio/[^/]+\.wav"):
        yield stem(file), {"sound": tree.path(file)}


def _splits(tree: Tree, names: set[str]) -> dict[str, str]:
    """Return the split of each name that the lists hold, however they are nested."""
    found: dict[str, str] = {}
    for path in filter(None, map(tree.first, _LISTS)):
        try:
            content = json.loads(storage.read_text(path))
        except ValueError as error:
            raise BadRequestError(f"{path} is not JSON: {error}") from None
        for name, split in _listed(content, ""):
            if name in names and _RANK.index(split) >= _RANK.index(found.get(name, "train")):
                found[name] = split
    return found


def _listed(value: Any, split: str) -> Iterator[tuple[str, str]]:
    """Yield (name, split) for all texts below a key that is the name of a split."""
    if isinstance(value, str) and split:
        yield stem(value), split
    elif isinstance(value, dict):
        split = _SPLITS.get(str(value.get("split", "")).lower(), split)
        for key, below in value.items():
            yield from _listed(below, _SPLITS.get(key.lower(), split))
    elif isinstance(value, list):
        for below in value:
            yield from _listed(below, split)


def read(source: Source, audio_folder: str) -> Found:
    """Take a clip's sound out of the archive, if it is in one, and read how it is performed."""
    clip = dict(source.clip)
    if "zip" in source.files:
        clip["audio"] = storage.join(audio_folder, f"{clip['clip_id']}.wav")
        storage.write_bytes(clip["audio"], packed.read(source.files["zip"], source.key))
    if "prompt" in source.files:
        clip["prompt"] = _text(source.files["prompt"])
    return Found(clip, None, ("motion: FLAME, not ARKit weights, left out",))


def _text(path: str) -> str:
    return " ".join(storage.read_bytes(path).decode("utf-8").split())


def expressions(tree: Tree) -> Iterator[Row]:
    """Yield the texts of every motion, without weights."""
    texts = _texts(tree)
    split = _splits(tree, set(texts))
    for name, kinds in sorted(texts.items()):
        identity = rows.slug("mmhead", name)
        try:
            found = {kind: text for kind in KINDS if kind in kinds and (text := _text(kinds[kind]))}
        except (OSError, UnicodeDecodeError) as error:
            yield {"id": identity, "error": f"{type(error).__name__}: {error}"}
            continue
        if not found:
            yield {"id": identity, "error": "all its texts are empty"}
            continue
        yield rows.expression_row(
            identity,
            corpus="mmhead",
            source=f"facial_motion/{name}.pkl",
            split=split.get(name) or rows.split_of(_speaker(name)),
            texts=found,
            licence=LICENCE,
            notes="motion: FLAME, not ARKit weights, left out",
        )
