"""Animator: speech and a style in, an Animation out; the one predictor behind command, bulk job and service.

`expclip.load(checkpoint)` builds it; `style()` embeds a prompt once, `animate()` uses it for many lines.
B batch, T frames at 50 Hz, N samples, C channels, D style dimension.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from expclip import __version__, augment, media
from expclip import checkpoint as checkpoints
from expclip import postprocess as post
from expclip.animation import Animation, check_fps, sample_at
from expclip.errors import BadRequestError
from expclip.generator import Generator
from expclip.model import ExpCLIP
from expclip.postprocess import PostOptions
from expclip.rig import FloatArray, Rig, load_rig
from expclip.style import Style, StyleChange, TimedStyle, blend, check_intensity, check_prompt, timed, vectors

if TYPE_CHECKING:
    from expclip.stream import Frames

CHUNK_SECONDS = 30.0
"""Speech is generated in pieces of this length, with the context that makes the seams exact."""
_CACHED_STYLES = 4096


class Animator:
    """ExpCLIP and a generator of one checkpoint, ready to use; not thread-safe."""

    def __init__(self, expclip: ExpCLIP, generator: Generator, *, rig: Rig | None = None, digest: str = "") -> None:
        self.expclip = expclip.eval()
        self.generator = generator.eval()
        self.rig = rig or load_rig()
        self.digest = digest
        self._styles: dict[str, Style] = {}

    @property
    def device(self) -> torch.device:
        """Where the models compute."""
        parameter: torch.nn.Parameter = next(self.generator.parameters())
        return parameter.device

    def style(
        self,
        prompt: str = "",
        *,
        image: str | None = None,
        weights: FloatArray | Mapping[str, float] | None = None,
        intensity: float = 1.0,
    ) -> Style:
        """Return the style of one of: a prompt, an image file, an expression in weights ((C,) or by channel name).

        `intensity` (0..1.5) multiplies the strength that the prompt itself has. Raises BadRequestError for an empty
        or over-long prompt, an intensity out of range, or an image when the checkpoint has no image tower.
        """
        if isinstance(weights, Mapping):
            weights = self.rig.weights(weights)
        given = [bool(prompt.strip()), image is not None, weights is not None]
        if sum(given) > 1:
            raise BadRequestError("give one of prompt, image and weights")
        if image is not None or weights is not None:
            return self._style_of(image, weights).scaled(intensity)
        return self.styles([prompt], [intensity])[0]

    @torch.inference_mode()
    def styles(self, prompts: Sequence[str], intensities: Iterable[float] | None = None) -> list[Style]:
        """Return the styles of many prompts, encoded together; each text is encoded once in the Animator's life."""
        texts = [check_prompt(prompt) for prompt in prompts]
        factors = [check_intensity(i) for i in intensities] if intensities is not None else [1.0] * len(texts)
        new = [text for text in dict.fromkeys(texts) if text not in self._styles]
        for start in range(0, len(new), 64):
            batch = new[start : start + 64]
            embedding_BD, strength_B = self.expclip.encode_text(batch)
            for text, embedding_D, strength in zip(batch, embedding_BD, strength_B, strict=True):
                self._styles[text] = Style(embedding_D.cpu().numpy(), float(strength), prompt=text)
        found = [self._styles[text].scaled(factor) for text, factor in zip(texts, factors, strict=True)]
        while len(self._styles) > _CACHED_STYLES:
            self._styles.pop(next(iter(self._styles)))
        return found

    @torch.inference_mode()
    def _style_of(self, image: str | None, weights: FloatArray | None) -> Style:
        if image is not None:
            from PIL import Image

            with Image.open(image) as picture:
                embedding_BD, strength_B = self.expclip.encode_image([picture.convert("RGB")])
        else:
            weights_BC = torch.from_numpy(np.asarray(weights, np.float32)[None]).to(self.device)
            embedding_BD, strength_B = self.expclip.encode_expression(weights_BC)
        return Style(embedding_BD[0].cpu().numpy(), float(strength_B[0]), prompt=image or "")

    @torch.inference_mode()
    def expression(self, style: Style) -> tuple[FloatArray, FloatArray]:
        """Return what a style asks of a silent face: action units (U,), as `action_units.units()`, and weights (C,)."""
        vector_BD = torch.from_numpy(style.vector_D[None]).to(self.device)
        units_BU, weights_BC = self.expclip.decode_expression(vector_BD)
        return units_BU[0].cpu().numpy(), weights_BC[0].cpu().numpy()

    def animate(
        self,
        audio: str | Path | FloatArray,
        style: Style | str | TimedStyle,
        *,
        fps: float = 30.0,
        seed: int = 0,
        start: float = 0.0,
        end: float | None = None,
        options: PostOptions | None = None,
    ) -> Animation:
        """Return the face that says `audio` (a file of any kind, or samples (N,) at 16 kHz) in a style.

        `style` is a Style, a prompt, or a list of (second, Style) or (second, Style, seconds of transition) for one
        that changes. `start` and `end` cut a file. `seed` decides the blinks. Frame k shows time k / fps of the cut.
        """
        check_fps(fps)
        changes = self.changes(style)
        if isinstance(audio, str | Path):
            audio_N = media.read_audio(str(audio), start=start, end=end)
        else:
            audio_N = _checked_samples(audio)
        options = options or PostOptions()
        weights_TC = self._weights(audio_N, changes, seed, options)
        count = max(1, round(len(audio_N) / media.SAMPLE_RATE * fps))
        prompt = " | ".join(s.prompt for _, s, _ in changes)
        return Animation(
            sample_at(weights_TC, post.RATE, np.arange(count) / fps), float(fps), self.rig, prompt, audio_N,
            provenance=self._provenance(changes, seed, options),
        )  # fmt: skip

    def changes(self, style: Style | str | TimedStyle) -> list[StyleChange]:
        """Return a style of any kind that `animate` takes as what holds from when on."""
        return timed(self.style(style) if isinstance(style, str) else style)

    @torch.inference_mode()
    def _weights(
        self, audio_N: FloatArray, changes: Sequence[StyleChange], seed: int, options: PostOptions
    ) -> FloatArray:
        """Return finished weights (T, C) at 50 Hz."""
        frames = -(-len(audio_N) // self.generator.hop)
        style_TD, expression_TC = self._conditions(changes, frames)
        weights_TC, closure_T = self._generate(audio_N, style_TD, expression_TC)
        rest_TC = augment.at_rest(expression_TC, self.rig)
        level_T = post.sound_level(audio_N, frames)
        return post.postprocess(
            weights_TC, rest_TC.cpu().numpy(), closure_T, level_T, seed=seed, options=options, rig=self.rig
        )

    def _conditions(self, changes: Sequence[StyleChange], frames: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Return style (T, D) and its expression (T, C) for each frame; both views are constant for one style."""
        if len(changes) == 1:
            style_TD = torch.from_numpy(np.array(changes[0].style.vector_D[None])).to(self.device)
            return style_TD.expand(frames, -1), self.expclip.decode_expression(style_TD)[1].expand(frames, -1)
        style_TD = torch.from_numpy(vectors(changes, np.arange(frames) / post.RATE)).to(self.device)
        return style_TD, self.expclip.decode_expression(style_TD)[1]

    def _generate(
        self, audio_N: FloatArray, style_TD: torch.Tensor, expression_TC: torch.Tensor
    ) -> tuple[FloatArray, FloatArray]:
        """Run the generator piece by piece; each piece sees its past and look-ahead, so that no seam shows."""
        hop, frames = self.generator.hop, len(style_TD)
        step = int(CHUNK_SECONDS * post.RATE)
        weights, closures = [], []
        for begin in range(0, frames, step):
            stop = min(begin + step, frames)
            first, last = max(0, begin - self.generator.context), min(frames, stop + self.generator.lookahead)
            piece_N = torch.from_numpy(np.ascontiguousarray(audio_N[first * hop : last * hop])).to(self.device)
            motion = self.generator(piece_N[None], style_TD[None, first:last], expression_TC[None, first:last])
            keep = slice(begin - first, stop - first)
            weights.append(motion.weights_BTC[0, keep].cpu().numpy())
            closures.append(motion.closure_BT[0, keep].cpu().numpy())
        return np.concatenate(weights), np.concatenate(closures)

    def stream(
        self, chunks: Iterable[FloatArray], style: Style | str | TimedStyle, *, rate: int = media.SAMPLE_RATE,
        fps: float = 30.0, seed: int = 0, options: PostOptions | None = None,
    ) -> "Iterator[Frames]":  # fmt: skip
        """Give the frames of sound that comes in pieces, samples (N,) at `rate` Hz, as soon as they can be known.

        They are the frames of `animate`, whatever the pieces; each needs at most 200 ms of the sound after it.
        """
        from expclip.streamer import Streamer

        return Streamer(self).frames(chunks, style, rate=rate, fps=fps, seed=seed, options=options)

    def _provenance(self, changes: Sequence[StyleChange], seed: int, options: PostOptions) -> dict[str, Any]:
        return {
            "expclip": __version__,
            "checkpoint": self.digest,
            "rig": self.rig.name,
            "seed": seed,
            "styles": [[second, style.prompt, style.intensity, turn] for second, style, turn in changes],
            "postprocess": asdict(options),
        }


def load(checkpoint: str | None = None, *, device: str = "cpu") -> Animator:
    """Return an Animator from a checkpoint folder, local or s3:// (default: the one that ships).

    Raises BadRequestError if there is no such checkpoint or it lacks a part.
    """
    stored = checkpoints.load(checkpoint)
    expclip = ExpCLIP.from_part(stored.part("expclip")).to(device)
    generator = Generator.from_part(stored.part("generator")).to(device)
    return Animator(expclip, generator, rig=stored.rig, digest=stored.digest)


def _checked_samples(audio: FloatArray) -> FloatArray:
    audio_N = np.asarray(audio, np.float32)
    if audio_N.ndim != 1 or not len(audio_N):
        raise BadRequestError(f"audio samples of shape {audio_N.shape}; (samples,) at 16 kHz, mono, are valid")
    if not np.isfinite(audio_N).all():
        raise BadRequestError("the sound holds NaN or infinity")
    return audio_N


__all__ = ["Animator", "blend", "load"]
