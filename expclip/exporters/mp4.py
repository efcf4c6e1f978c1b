"""Export to .mp4: the face speaking, with its sound and the prompt as a caption. H.264 and AAC, plays everywhere.

Pictures go to ffmpeg through a pipe as they are drawn; nothing but the result and the sound touches the disk.
"""

import os
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from expclip import media
from expclip.render import Picture, Renderer
from expclip.rig import FloatArray, load_rig

if TYPE_CHECKING:
    from expclip.animation import Animation

SIZE = 512
"""Width and height in pixels."""
AUDIO_RATE = 48_000
"""AAC has 1,024 samples a packet: at 16 kHz the sound could end 64 ms late, at 48 kHz 21 ms."""
CAPTION_LINES = 2


def write(animation: "Animation", path: str) -> None:
    """Write the video to a local file; without sound in the animation it has no sound track.

    Sound is cut, or filled with silence, to the length of the picture. Raises RuntimeError with ffmpeg's own words
    if it fails.
    """
    with tempfile.TemporaryDirectory() as folder:
        sound = ""
        if animation.audio_N is not None:
            sound = os.path.join(folder, "sound.wav")
            media.write_audio(
                sound, _fitted(animation.audio_N, animation.seconds, animation.sample_rate), animation.sample_rate
            )
        _encode(_command(animation, sound, path), _pictures(animation), os.path.join(folder, "errors.txt"))


def _fitted(audio_N: FloatArray, seconds: float, rate: int) -> FloatArray:
    count = round(seconds * rate)
    return np.pad(audio_N[:count], (0, max(0, count - len(audio_N))))


def _command(animation: "Animation", sound: str, path: str) -> list[str]:
    import ffmpeg

    streams = [ffmpeg.input("pipe:", format="rawvideo", pix_fmt="rgb24", s=f"{SIZE}x{SIZE}", framerate=animation.fps)]
    options: dict[str, Any] = {"vcodec": "libx264", "preset": "veryfast", "crf": 20, "pix_fmt": "yuv420p"}
    if sound:
        streams.append(ffmpeg.input(sound))
        options |= {"acodec": "aac", "audio_bitrate": "128k", "ar": AUDIO_RATE}
    options |= {"format": "mp4", "movflags": "+faststart", "threads": 1, "metadata": f"comment={animation.prompt}"}
    job = ffmpeg.output(*streams, path, **options).global_args("-v", "error", "-filter_threads", "1")
    return list(job.compile(cmd=media.ffmpeg(), overwrite_output=True))


def _encode(command: list[str], pictures: Iterator[Picture], errors: str) -> None:
    """Feed the pictures to ffmpeg. Its messages go to a file, since a full pipe would stop both sides."""
    with open(errors, "w+b") as log:
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=log)
        assert process.stdin is not None
        try:
            with suppress(BrokenPipeError):  # ffmpeg has ended early; its message says why
                for picture in pictures:
                    process.stdin.write(picture.data)
        except BaseException:
            process.kill()
            raise
        finally:
            with suppress(BrokenPipeError):
                process.stdin.close()
            code = process.wait()
        if code:
            log.seek(0)
            lines = log.read().decode(errors="replace").strip().splitlines() or [f"exit status {code}"]
            raise RuntimeError(f"ffmpeg cannot write the video: {lines[-1]}")


def _pictures(animation: "Animation") -> Iterator[Picture]:
    weights_TC = load_rig().reorder(animation.weights_TC, animation.names)
    caption = _caption(animation.prompt)
    top = SIZE - len(caption)
    for picture in _renderer().frames(weights_TC):
        if len(caption):
            share = caption[..., 3:]
            strip = picture[top:] * (1 - share) + caption[..., :3] * share
            picture[top:] = strip.astype(np.uint8)
        yield picture


@lru_cache(maxsize=1)
def _renderer() -> Renderer:
    return Renderer(size=SIZE)


def _caption(text: str) -> FloatArray:
    """Return the strip at the bottom, (rows, SIZE, 4): colour 0..255 and coverage 0..1; no rows for no text."""
    from PIL import Image, ImageDraw, ImageFont

    font = ImageFont.load_default(SIZE // 28)
    lines = _wrap(" ".join(text.split()), lambda line: font.getlength(line) <= 0.9 * SIZE)
    step, margin = SIZE // 22, SIZE // 40
    strip = Image.new("RGBA", (SIZE, (len(lines) * step + 2 * margin) if lines else 0), (14, 17, 22, 150))
    pen = ImageDraw.Draw(strip)
    for k, line in enumerate(lines):
        pen.text((SIZE / 2, margin + (k + 0.5) * step), line, font=font, anchor="mm", fill=(240, 240, 240, 255))
    pixels = np.asarray(strip, np.float32).copy()
    pixels[..., 3] /= 255
    return pixels


def _wrap(text: str, fits: Callable[[str], bool]) -> list[str]:
    """Return at most CAPTION_LINES lines that fit; what is too long ends in an ellipsis."""
    lines: list[str] = []
    for word in text.split():
        if lines and fits(f"{lines[-1]} {word}"):
            lines[-1] += " " + word
        else:
            lines.append(word)
    cut = lines[:CAPTION_LINES]
    if len(lines) > CAPTION_LINES:
        cut[-1] += "..."
    for k, line in enumerate(cut):
        while not fits(cut[k]):
            line = line[:-1]
            cut[k] = line + "..."
    return cut
