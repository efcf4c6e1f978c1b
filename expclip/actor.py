"""Actor: an Animator that plays a clip once for a style and remembers it, so that all figures read the same faces."""

from collections.abc import Callable
from functools import cached_property

from expclip.animator import Animator
from expclip.evaluator import EMOTIONS
from expclip.faceformer import FaceFormer
from expclip.held import FPS, Held
from expclip.rig import FloatArray
from expclip.style import Style

_KEPT = 64_000_000
"""Weights in memory (256 MB); the face that was not asked for longest goes first."""


class Actor:
    """Faces of clips under styles, at 30 frames a second, always with blinks of seed 0; and those of a baseline."""

    def __init__(self, animator: Animator, baseline: FaceFormer | None = None) -> None:
        self.animator, self.baseline = animator, baseline
        self._faces: dict[tuple[str, int, bytes], FloatArray] = {}
        self._size = 0

    def style(self, prompt: str) -> Style:
        """Return the style of a prompt."""
        return self.animator.style(prompt)

    @cached_property
    def zero(self) -> Style:
        """The style that asks for nothing: what the generator makes of the sound alone."""
        return self.animator.style("neutral", intensity=0)

    @cached_property
    def categories(self) -> dict[str, Style]:
        """The styles of the eight category words."""
        return dict(zip(EMOTIONS, self.animator.styles(EMOTIONS), strict=True))

    def category(self, style: Style) -> str:
        """Return the emotion whose word lies nearest to a style."""
        return max(self.categories, key=lambda name: float(self.categories[name].embedding_D @ style.embedding_D))

    def label(self, style: Style) -> Style:
        """Return the style of that word: what a generator with eight labels would get."""
        return self.categories[self.category(style)]

    def face(self, clip: Held, style: Style) -> FloatArray:
        """Return the weights (T, C) of a clip under a style."""
        key = (clip.clip_id, len(clip.audio_N), (style.vector_D + 0.0).tobytes())  # -0 is 0
        return self._kept(key, lambda: self.animator.animate(clip.audio_N, style, fps=FPS).weights_TC)

    def rival(self, clip: Held, emotion: str) -> FloatArray:
        """Return the baseline's weights (T, C) of a clip under a label."""
        assert self.baseline is not None
        baseline, key = self.baseline, (clip.clip_id, len(clip.audio_N), emotion.encode())
        return self._kept(key, lambda: baseline.animate(clip.audio_N, emotion, clip.frames, FPS))

    def _kept(self, key: tuple[str, int, bytes], make: Callable[[], FloatArray]) -> FloatArray:
        found = self._faces.pop(key, None)
        if found is None:
            found = make()
            self._size += found.size
        self._faces[key] = found
        while self._size > _KEPT:
            self._size -= self._faces.pop(next(iter(self._faces))).size
        return found
