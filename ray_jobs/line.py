"""`expclip animate line.wav -p PROMPT -o FILE`: one line, in process, without Ray."""

import os
from collections.abc import Sequence
from dataclasses import dataclass

from expclip import checkpoint, exporters, storage
from expclip.animation import check_fps
from expclip.catalogue import check_cut
from expclip.errors import BadRequestError, unknown
from expclip.style import check_intensity, check_prompt
from ray_jobs.animate import DEFAULT_FORMATS


@dataclass(frozen=True)
class Request:
    """One line to animate."""

    audio: str
    prompt: str
    outputs: tuple[str, ...]
    formats: tuple[str, ...] = ()
    checkpoint: str | None = None
    intensity: float = 1.0
    seed: int = 0
    fps: float = 30.0
    start: float = 0.0
    end: float | None = None
    without: tuple[str, ...] = ()


def run(request: Request) -> None:
    """Check everything that is cheap to check, then animate and write; prints a line for each file."""
    check_prompt(request.prompt)
    check_intensity(request.intensity)
    check_fps(request.fps)
    check_cut(request.start, request.end)
    if request.seed < 0:
        raise BadRequestError(f"seed {request.seed} is not a whole number from 0")
    files = targets(request.audio, request.outputs, request.formats)
    checkpoint.check(request.checkpoint)

    from expclip import media

    # Decoded before a model is loaded: a file that is no sound is refused at once.
    audio_N = media.read_audio(request.audio, start=request.start, end=request.end)
    for path in files:
        storage.check_writable(storage.parent(path))

    from expclip import animator
    from ray_jobs.animate import options

    chosen = options(request.without)
    model = animator.load(request.checkpoint)
    style = model.style(request.prompt, intensity=request.intensity)
    animation = model.animate(audio_N, style, fps=request.fps, seed=request.seed, options=chosen)
    for path, format in files.items():
        exporters.save(animation, path, format=format)
        print(f"{path}  {animation.seconds:.2f} s", flush=True)


def targets(audio: str, outputs: Sequence[str], formats: Sequence[str]) -> dict[str, str]:
    """Return path -> format of the files to write.

    An output whose suffix tells its format is that file. A folder (one that is there, or a name that ends in `/`)
    takes the sound's name with each of `formats`, or the bulk job's formats where none are named. Any other name
    takes each of `formats` as its suffix. Formats that no output takes up go beside the first file.
    """
    for format in formats:
        if format not in exporters.EXPORTERS:
            raise unknown("format", format, exporters.EXPORTERS)
    stem = os.path.splitext(audio.rsplit("/", 1)[-1])[0]
    found: dict[str, str] = {}
    for output in outputs or (["./"] if formats else []):
        if output.endswith("/") or storage.is_folder(output):
            found |= {storage.join(output, f"{stem}.{format}"): format for format in formats or DEFAULT_FORMATS}
        else:
            found |= _file(output, formats)
    if not found:
        raise BadRequestError("no output; say where with -o FILE, such as -o line.livelink.csv")
    if not storage.is_remote(audio) and any(_same(audio, path) for path in found):
        raise BadRequestError(f"{audio} would be written over by its own animation")
    return found


def _file(output: str, formats: Sequence[str]) -> dict[str, str]:
    """Return the files that a name stands for."""
    try:
        own = exporters.format_of(output)
    except BadRequestError:
        if not formats or _has_suffix(output):
            raise
        return {f"{output}.{format}": format for format in formats}
    base = output[: -len(own) - 1]
    return {output: own} | {f"{base}.{format}": format for format in formats if format != own}


def _has_suffix(output: str) -> bool:
    """Whether a name looks as if it meant a format we do not know: `face.fbx`, but not `scene.v2`."""
    suffix = os.path.splitext(output)[1]
    return len(suffix) > 1 and suffix[1:].isalpha()


def _same(one: str, other: str) -> bool:
    return not storage.is_remote(other) and os.path.realpath(one) == os.path.realpath(other)
