"""The generator step by step: the same network as `Generator.forward`, with caches in the place of the past.

Sound of many streams in, n steps of 20 ms each; motion of the n steps that lie `lookahead` before them out, in one pass
for all streams. A step costs the same however long a stream has run.
B streams of a pass, N samples, n steps, C channels, D style dimension, W width, L cached steps.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch.nn import functional

from expclip.errors import BadRequestError
from expclip.generator import Generator, Motion
from expclip.speech import STUDENT, Block, LogMel, Student

ENDLESS = 1 << 62
"""Number of steps of a stream that has not ended."""
_TAIL = LogMel.overlap


MOST = 16
"""Steps that one pass can take."""


@dataclass(frozen=True, eq=False)
class _Layer:
    """A block with what it remembers of every stream: the last steps, each at the place that its number names."""

    block: Block
    film: torch.nn.Linear | None
    taps_KW: torch.Tensor
    """Weights of its depthwise convolution, one row for each tap."""
    near: "_Ring"
    """What its convolution hears."""
    held: "_Ring | None"
    """What its residual connection waits with, if it looks ahead."""
    delay: int
    """Steps by which its input lags behind the sound."""


class _Ring:
    """Rows of the last steps of all streams, (slots x length, W)."""

    def __init__(self, past: int, width: int, like: torch.Tensor) -> None:
        self.length = past + MOST
        self.rows_XW = torch.zeros(0, width, device=like.device)

    def grow(self, slots: int) -> None:
        self.rows_XW = functional.pad(self.rows_XW, (0, 0, 0, slots * self.length))

    def clear(self, slot: int) -> None:
        self.rows_XW[slot * self.length : (slot + 1) * self.length] = 0


class _Places:
    """Where the rows of a pass stand in rings; rings of one length share them."""

    def __init__(self, slot_B: torch.Tensor, step_Bn: torch.Tensor) -> None:
        self.slot_B, self.step_Bn = slot_B, step_Bn
        self._found: dict[tuple[int, int, int], torch.Tensor] = {}

    def __call__(self, length: int, *, count: int = 1, apart: int = 0) -> torch.Tensor:
        """Return places (B n count,) of each step and those before it: `count` of them, `apart` steps apart."""
        key = (length, count, apart)
        if key not in self._found:
            back_K = torch.arange(count - 1, -1, -1) * apart if count > 1 else torch.tensor([apart])
            step_BnK = (self.step_Bn[..., None] - back_K) % length
            self._found[key] = (self.slot_B[:, None, None] * length + step_BnK).flatten()
        return self._found[key]


class Stepper:
    """A generator and the memory of its streams, each known by the number of its slot; not thread-safe."""

    def __init__(self, generator: Generator) -> None:
        if not isinstance(generator.encoder, Student):
            source = generator.encoder.source
            raise BadRequestError(f"speech encoder {source!r} hears the whole sound; only {STUDENT!r} streams")
        self.generator, self.encoder = generator, generator.encoder
        self._layers = self._lay_out()
        self._tail_SN = torch.zeros(0, _TAIL, device=generator.norm.weight.device)
        self._free: list[int] = []

    def _lay_out(self) -> list[_Layer]:
        generator, layers, delay = self.generator, [], 0
        films: list[Any] = [None] * len(self.encoder.blocks) + list(generator.films)
        for block, film in zip([*self.encoder.blocks, *generator.blocks], films, strict=True):
            taps_KW, width = block.time.weight[:, 0].t().contiguous(), block.norm.weight.shape[0]
            near = _Ring(block.left + block.right, width, taps_KW)
            held = _Ring(block.right, width, taps_KW) if block.right else None
            layers.append(_Layer(block, film, taps_KW, near, held, delay))
            delay += block.right
        return layers

    @property
    def _rings(self) -> Iterator[_Ring]:
        for layer in self._layers:
            yield layer.near
            if layer.held:
                yield layer.held

    @property
    def lookahead(self) -> int:
        """Steps by which the motion lags behind the sound."""
        return self.encoder.lookahead

    def open(self) -> int:
        """Return the slot of a new stream, whose memory is to be cleared."""
        if not self._free:
            count, more = len(self._tail_SN), max(8, len(self._tail_SN))
            for ring in self._rings:
                ring.grow(more)
            self._tail_SN = functional.pad(self._tail_SN, (0, 0, 0, more))
            self._free = list(range(count + more - 1, count - 1, -1))
        return self._free.pop()

    def clear(self, slot: int) -> None:
        """Make a stream's memory blank, as before its first step."""
        for ring in self._rings:
            ring.clear(slot)
        self._tail_SN[slot] = 0

    def close(self, slot: int) -> None:
        """Give a slot back."""
        self._free.append(slot)

    def step(
        self, slot_B: torch.Tensor, audio_BN: torch.Tensor, style_BnD: torch.Tensor, expression_BnC: torch.Tensor,
        *, begin_B: torch.Tensor, steps_B: torch.Tensor,
    ) -> Motion:  # fmt: skip
        """Return the motion of the n steps from `begin_B - lookahead` for the n steps of sound from `begin_B`.

        At most `MOST` steps. Style and expression are those of the steps returned. `steps_B` is each stream's length in
        steps, ENDLESS while it runs; what is returned of steps before 0 or after the last has no meaning.
        """
        n = style_BnD.shape[1]
        step_Bn = begin_B[:, None] + torch.arange(n)
        inside = bool((begin_B >= self.lookahead).all() and (begin_B + n <= steps_B).all())
        padded = torch.cat([self._tail_SN[slot_B], audio_BN], 1)
        self._tail_SN[slot_B] = padded[:, -_TAIL:]
        hidden = self.encoder.inner(self.encoder.mel.of_windows(padded).reshape(len(audio_BN), n, -1))
        code_BnK, places = self.generator.style(style_BnD), _Places(slot_B, step_Bn)
        for k, layer in enumerate(self._layers):
            if k == len(self.encoder.blocks):
                features = self.encoder.norm(hidden)
                hidden = self.generator.inner(features) + self.generator.expression(expression_BnC)
            valid = None
            if not inside:
                lag_Bn = step_Bn - layer.delay
                valid = ((lag_Bn >= 0) & (lag_Bn < steps_B[:, None]))[..., None]
            film = None if layer.film is None else layer.film(code_BnK).chunk(2, -1)
            near = _convolve(layer, hidden, places, valid)
            if layer.held:
                rows_XW, length = layer.held.rows_XW, layer.held.length
                rows_XW.index_copy_(0, places(length), hidden.flatten(0, 1))
                hidden = rows_XW.index_select(0, places(length, apart=layer.block.right)).view_as(hidden)
            hidden = layer.block.dense(hidden, near, film)
        return self.generator.speak(hidden, features, expression_BnC)


def _convolve(layer: _Layer, hidden: torch.Tensor, places: _Places, valid: torch.Tensor | None) -> torch.Tensor:
    """Return what a block's convolution hears (B, n, W), `block.right` steps behind its input.

    For few steps these gathered rows are many times faster than a Conv1d.
    """
    normed, convolution = layer.block.norm(hidden), layer.block.time
    if valid is not None:
        normed = normed * valid
    rows_XW, length, taps_KW = layer.near.rows_XW, layer.near.length, layer.taps_KW
    rows_XW.index_copy_(0, places(length), normed.flatten(0, 1))
    at = places(length, count=len(taps_KW), apart=convolution.dilation[0])
    heard = rows_XW.index_select(0, at).view(*hidden.shape[:2], *taps_KW.shape)
    assert convolution.bias is not None
    return (heard * taps_KW).sum(2) + convolution.bias
