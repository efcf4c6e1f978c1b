"""Any videos and sounds of people speaking, cut into clips where they pause and where the scene changes.

What a file holds decides, not its suffix: a picture without sound is cut by scenes and length alone and makes clips
whose `audio` is empty, a sound without a picture makes clips whose `video` is.

A file's name is its speaker, unless a `speakers.json` (name without suffix -> speaker) lies in the folder. `NAME.txt`
beside a file that makes one clip is what is said in it, in English. There are no tracks: the verb `extract` tracks the
faces.
"""

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict

from expclip import media, storage
from expclip.corpora import Cut, Found, Options, Row, Source, rows
from expclip.corpora.tree import Tree, stem
from expclip.errors import BadRequestError

LICENCE = "the user's own"
BRINGS = "clips of your own videos and sounds"
LAYOUT = "videos (.mp4 .mov .mpg .mkv .webm .avi) or sounds (.wav .flac .ogg .mp3 .m4a)"

VIDEOS = (".mp4", ".mov", ".mpg", ".mpeg", ".mkv", ".webm", ".avi", ".m4v")
SOUNDS = (".wav", ".flac", ".ogg", ".opus", ".mp3", ".m4a", ".aac")
_MARGIN = 0.25
"""Seconds of a pause that stay with the speech on each side, at most half of it."""

Span = tuple[float, float]
"""Start and end in seconds."""


def clips(tree: Tree, options: Options) -> Iterator[Source]:
    """Yield the recordings, uncut; see `corpora`. A sound beside a video of the same name is the video's sound."""
    _check(options.cut)
    suffixes = "|".join(s[1:] for s in VIDEOS + SOUNDS)
    named = speakers(tree)
    files = [file for file, _ in tree.match(rf".*\.({suffixes})") if not _is_sound_of_video(tree, file)]
    who = {file: named.get(stem(file), stem(file)) for file in files}
    split = rows.split_by(who)
    for file in files:
        filmed = file.lower().endswith(VIDEOS)
        row = rows.clip_row(
            rows.slug("folder", *file.split("/")),
            corpus="folder",
            speaker=f"folder_{who[file]}",
            split=split[file],
            audio=(filmed and tree.beside(file, SOUNDS)) or tree.path(file),
            video=tree.path(file) if filmed else "",
            licence=LICENCE,
        )
        text = tree.beside(file, (".txt",))
        yield Source(row, {"text": text} if text else {}, options=asdict(options.cut))


def _check(cut: Cut) -> None:
    """Raise BadRequestError for a cut that makes no sense."""
    allowed = {
        "pause": 0.05 <= cut.pause <= 60,
        "level": -120 <= cut.level < 0,
        "scene": 0 < cut.scene <= 1,
        "longest": 1 <= cut.longest <= 3600,
        "shortest": 0.1 <= cut.shortest <= cut.longest / 4,
    }
    for name, good in allowed.items():
        if not good:
            raise BadRequestError(
                f"cut.{name} is {getattr(cut, name):g}; valid: pause 0.05..60, level -120..0, scene 0..1, "
                "shortest 0.1..longest/4, longest 1..3600"
            )


def _is_sound_of_video(tree: Tree, file: str) -> bool:
    return file.lower().endswith(SOUNDS) and bool(tree.beside(file, VIDEOS))


def speakers(tree: Tree) -> Mapping[str, str]:
    """Return the content of `speakers.json`, if there is one; raises BadRequestError if it is no table of names."""
    path = tree.first("speakers.json")
    if not path:
        return {}
    try:
        return {str(name): str(speaker) for name, speaker in json.loads(storage.read_text(path)).items()}
    except (ValueError, AttributeError) as error:
        raise BadRequestError(f"{path} is not a JSON object of name -> speaker: {error}") from None


def parts(source: Source) -> Row:
    """Return the row of CUTS of a recording: its clips by pauses of its sound and scenes of its picture."""
    cut, (audio, video) = Cut(**source.options), _streams(source.clip["audio"], source.clip["video"])
    seconds, silences = (
        media.find_silences(audio, level=cut.level, least=cut.pause) if audio else (media.picture_seconds(video), ())
    )
    if audio and not video:
        media.check_whole(audio, seconds)
    scenes = media.find_scenes(video, change=cut.scene) if video else ()
    spans, short = spans_of(seconds, silences, scenes, cut)
    if not spans:
        raise BadRequestError(f"{audio or video}: {_why_none(seconds, short, cut, heard=bool(audio))}")
    notes = [f"silence: {len(short)} pieces shorter than {cut.shortest:g} s left out"] if short else []
    cuts = {"cuts": json.dumps(spans), "audio": audio, "video": video}
    return cuts | {"notes": rows.join_notes(notes), "seconds": seconds}


def _why_none(seconds: float, short: Sequence[Span], cut: Cut, *, heard: bool) -> str:
    """Say why a recording has no clip, given the pieces of it that are too short."""
    if seconds < cut.shortest:
        return f"it lasts {seconds:.2f} s, less than the shortest clip (cut.shortest, {cut.shortest:g} s)"
    if heard and not short:
        return f"silent throughout: all of its {seconds:.2f} s are below {cut.level:g} dB (cut.level)"
    longest = max((end - start for start, end in short), default=0.0)
    parted = "pauses and changes of scene" if heard else "changes of scene"
    return f"no piece between {parted} is as long as a clip (cut.shortest, {cut.shortest:g} s): at most {longest:.2f} s"


def _streams(audio: str, video: str) -> tuple[str, str]:
    """Return the paths of a recording's sound and picture, each empty if there is none."""
    sound, picture = media.holds(audio)
    if not video or video == audio:
        return audio if sound else "", audio if picture else ""
    return (audio if sound else ""), (video if media.holds(video)[1] else "")


def read(source: Source, audio_folder: str) -> Found:
    """Return the clip, with its words if the recording is one clip and they are written beside it."""
    text = storage.read_text(source.files["text"]).strip() if "text" in source.files and source.options["whole"] else ""
    return Found(source.clip | ({"text": text, "language": "en"} if text else {}))


def spans_of(
    seconds: float, silences: Sequence[Span], scenes: Sequence[float], cut: Cut
) -> tuple[list[Span], list[Span]]:
    """Return the clips of a recording, and the pieces of speech that are too short to be one.

    Speech is what lies between silences, with a little of them on both sides. No clip spans a change of scene or a
    silence of twice `cut.pause`; shorter ones part clips only where the speech would be longer than `cut.longest`.
    """
    edges = [0.0, *sorted(t for t in set(scenes) if 0 < t < seconds), seconds]
    pieces = [
        part
        for low, high in zip(edges, edges[1:], strict=False)
        for span in _speech(low, high, silences, least=2 * cut.pause)
        for part in _shortened(span, silences, cut.longest)
    ]
    rounded = [(round(a, 3), round(min(b, seconds), 3)) for a, b in pieces]
    return [p for p in rounded if p[1] - p[0] >= cut.shortest], [p for p in rounded if p[1] - p[0] < cut.shortest]


def _speech(low: float, high: float, silences: Sequence[Span], *, least: float) -> list[Span]:
    """Return what lies between the silences of at least `least` seconds, or at the edges, within a scene."""
    inside = [(max(a, low), min(b, high)) for a, b in silences if b > low and a < high]
    gaps = [(a, b) for a, b in inside if b - a >= least or a <= low or b >= high]
    spans, start, margin = [], low, 0.0
    for a, b in [*gaps, (high, high)]:
        after = min(_MARGIN, (b - a) / 2)
        if a > start:
            spans.append((start - margin, a + after))
        start, margin = b, after
    return spans


def _shortened(span: Span, silences: Sequence[Span], longest: float) -> list[Span]:
    """Return a span in parts of at most `longest` seconds, cut in the longest pause of its middle, else hard."""
    (low, high), spans = span, []
    while high - low > longest:
        latest = min(low + longest, high - longest / 4)
        pauses = [(b - a, (a + b) / 2) for a, b in silences if low + longest / 4 < (a + b) / 2 < latest]
        at = max(pauses)[1] if pauses else low + (high - low) / math.ceil((high - low) / longest)
        spans.append((low, at))
        low = at
    return [*spans, (low, high)]
