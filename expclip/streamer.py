"""Many streams, one Animator: each pass takes all that have sound a few steps on, together.

    streamer = Streamer(animator)
    stream = streamer.open(animator.style("a shy smile"), rate=48_000, fps=30)
    stream.push(samples); streamer.advance([stream]); frames = stream.take()

What comes out does not depend on how the sound was cut, and is what `Animator.animate` says of the whole of it. A step
of 20 ms costs the same however long a stream runs.
B streams of a pass, n steps of it, N samples, L frames of a window, D style dimension, C channels.
"""

from collections.abc import Iterable, Iterator

import numpy as np
import torch

from expclip import augment, media
from expclip import postprocess as post
from expclip.animation import check_fps
from expclip.animator import Animator
from expclip.postprocess import PostOptions
from expclip.resampler import check_rate
from expclip.rig import FloatArray
from expclip.speech import HOP
from expclip.stepwise import StepwiseGenerator
from expclip.stream import KEPT, Frames, Look, Stream
from expclip.style import Style, TimedStyle, vectors


class Streamer:
    """An Animator that many streams share; not thread-safe."""

    def __init__(self, animator: Animator) -> None:
        self.animator = animator
        self.network = StepwiseGenerator(animator.generator)
        self.delay = self.network.lookahead + post.LOOKAHEAD
        """Steps that a frame waits for after its own."""

    @property
    def latency(self) -> float:
        """Seconds of sound that the first frame needs."""
        return (self.delay + 1) / post.RATE

    def open(
        self, style: Style | str | TimedStyle, *, rate: int = media.SAMPLE_RATE, fps: float = 30.0, seed: int = 0,
        options: PostOptions | None = None,
    ) -> Stream:  # fmt: skip
        """Return a new stream; raises BadRequestError for a rate outside 8000..48000 or a frame rate outside 1..240."""
        changes = self.animator.changes(style)
        check_rate(rate)
        check_fps(fps)
        return Stream(
            changes, slot=self.network.open(), lookahead=self.network.lookahead, channels=len(self.animator.rig),
            rate=rate, fps=fps, seed=seed, options=options or PostOptions(),
        )  # fmt: skip

    def close(self, stream: Stream) -> None:
        """Free what the streamer remembers of a stream, which cannot be used any more."""
        self.network.close(stream.slot)

    def frames(
        self, chunks: Iterable[FloatArray], style: Style | str | TimedStyle, *, rate: int = media.SAMPLE_RATE,
        fps: float = 30.0, seed: int = 0, options: PostOptions | None = None,
    ) -> Iterator[Frames]:  # fmt: skip
        """Give the frames of one stream as its pieces of sound come; see `Animator.stream`."""
        stream = self.open(style, rate=rate, fps=fps, seed=seed, options=options)
        try:
            for chunk in chunks:
                stream.push(chunk)
                yield from self._known(stream)
            stream.end()
            yield from self._known(stream)
        finally:
            self.close(stream)

    def _known(self, stream: Stream) -> Iterator[Frames]:
        while self.advance([stream]):
            frames = stream.take()
            if len(frames):
                yield frames

    @torch.inference_mode()
    def advance(self, streams: Iterable[Stream], *, most: int = 16) -> int:
        """Take each stream at most `most` steps of 20 ms on, all those that take as many in one pass.

        Return how many streams moved; 0 says that all wait for sound.
        """
        groups: dict[tuple[int, PostOptions], list[Stream]] = {}
        for stream in streams:
            if steps := stream.steps_ready(most):
                groups.setdefault((steps, stream.options), []).append(stream)
        for (steps, options), group in groups.items():
            self._pass(group, steps, options)
        return sum(map(len, groups.values()))

    def _pass(self, group: list[Stream], n: int, options: PostOptions) -> None:
        channels, lookahead = len(self.animator.rig), self.network.lookahead
        for stream in group:
            if stream.fresh:
                self.network.clear(stream.slot)
                stream.fresh = False
        begin_B, steps_B = (np.array([getattr(s, name) for s in group]) for name in ("step", "steps"))
        audio_BN = np.stack([stream.take_audio(n * HOP) for stream in group])
        look = self._conditions(group, n)
        motion = self.network.step(
            torch.tensor([stream.slot for stream in group]), torch.from_numpy(audio_BN).to(self.animator.device),
            look.vector, look.expression, begin_B=torch.from_numpy(begin_B), steps_B=torch.from_numpy(steps_B),
        )  # fmt: skip
        raw_BnX = torch.cat([motion.weights_BTC, look.rest, motion.closure_BT[..., None]], -1).cpu().numpy()
        raw_BLX = np.concatenate([np.stack([stream.raw_LX for stream in group]), raw_BnX], 1)
        level_BL = np.stack([stream.level_L for stream in group])
        level_BL = np.concatenate([level_BL, post.level(audio_BN.reshape(len(group), n, HOP))], 1)
        first_B = KEPT + lookahead - begin_B
        window = post.Window(
            raw_BLX[..., :channels], raw_BLX[..., channels:-1], raw_BLX[..., -1], level_BL[:, : KEPT + n],
            first_B, first_B + steps_B - 1,
        )  # fmt: skip
        self._finish(group, window, begin_B - self.delay, options)
        for stream, raw_LX, level_L in zip(group, raw_BLX, level_BL, strict=True):
            stream.raw_LX, stream.level_L = raw_LX[n:], level_L[n:]
            stream.step += n
            _settle(stream, lookahead)

    def _finish(self, group: list[Stream], window: post.Window, first_B: post.IntArray, options: PostOptions) -> None:
        """Finish a window's middle, which begins at step `first_B` of each stream, and show it."""
        rig, n = self.animator.rig, window.weights_BLC.shape[1] - KEPT
        step_Bn = first_B[:, None] + np.arange(n)
        most_Bn = np.where(step_Bn < 0, 0, post.MAX_STEP).astype(np.float32)  # before its first frame, a face waits
        blink_Bn, before_BC = np.zeros((len(group), n), np.float32), rig.zeros(len(group))
        for k, (stream, first) in enumerate(zip(group, first_B.tolist(), strict=True)):
            begin = min(n, max(0, -first))
            blink_Bn[k, begin:] = stream.blinks.take(n - begin)
            if stream.before_C is not None:
                before_BC[k] = stream.before_C
            elif begin < n:
                most_Bn[k, begin] = np.inf
        out_BnC = post.finish(window, blink_Bn, most_Bn, before_BC, options=options, rig=rig)
        shown_BnC = post.clamp(out_BnC, rig) if options.clamp else out_BnC
        for stream, out_nC, shown_nC, first in zip(group, out_BnC, shown_BnC, first_B.tolist(), strict=True):
            if first + n > 0:
                stream.before_C = out_nC[-1]
            stream.show(shown_nC, first)

    def _conditions(self, group: list[Stream], n: int) -> Look:
        """Return the styles (B, n, ...) of the steps that a pass returns; those that change are decoded together."""
        rows: list[Look | None] = []
        turning: list[FloatArray] = []
        for stream in group:
            if len(stream.changes) == 1:
                stream.look = stream.look or self._looks(stream.changes[0].style.vector_D[None])
                rows.append(stream.look)
            else:
                seconds = (np.arange(n) + stream.step - self.network.lookahead) / post.RATE
                turning.append(vectors(stream.changes, seconds))
                rows.append(None)
        turned = self._looks(np.concatenate(turning)) if turning else None
        parts = iter(range(0, n * len(turning), n))
        looks = []
        for row in rows:
            if row:
                looks.append(Look(*(part.expand(n, -1) for part in row)))
            elif turned:
                at = next(parts)
                looks.append(Look(*(part[at : at + n] for part in turned)))
        return Look(*(torch.stack(p) for p in zip(*looks, strict=True)))

    def _looks(self, vector_XD: FloatArray) -> Look:
        """Return styles as the models take them."""
        vector = torch.from_numpy(np.ascontiguousarray(vector_XD)).to(self.animator.device)
        expression = self.animator.expclip.decode_expression(vector)[1]
        return Look(vector, expression, augment.at_rest(expression, self.animator.rig))


def _settle(stream: Stream, lookahead: int) -> None:
    """Forget the styles before the last one that is fully reached by the stream's next step."""
    second = (stream.step - lookahead) / post.RATE
    for k in range(len(stream.changes) - 1, 0, -1):
        if second >= stream.changes[k].second + max(stream.changes[k].transition, 1e-6):
            stream.changes, stream.look = stream.changes[k:], None
            return
