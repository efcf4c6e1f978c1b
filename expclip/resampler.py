"""Resampling of sound that comes in pieces: the same filter as `media.resample_audio`, whatever the pieces are.

M output samples, K taps of the filter for one of them.
"""

from functools import lru_cache
from math import gcd

import numpy as np

from expclip.errors import BadRequestError
from expclip.media import SAMPLE_RATE
from expclip.rig import FloatArray

RATES = (8_000, 48_000)
"""Lowest and highest sample rate that a stream may have."""
_HALF = 10
"""Zero crossings of the filter on each side, and the window's shape: scipy's, so that a file sounds the same."""
_KAISER = 5.0


def check_rate(rate: int) -> int:
    """Return the sample rate; raises BadRequestError unless it is a whole number within 8000..48000."""
    if isinstance(rate, bool) or not isinstance(rate, int) or not RATES[0] <= rate <= RATES[1]:
        raise BadRequestError(f"sample rate {rate!r} is not a whole number within {RATES[0]}..{RATES[1]}")
    return rate


class Resampler:
    """Sound at one rate in, at 16 kHz out, piece by piece; it waits for at most 1.3 ms of what follows."""

    def __init__(self, rate: int) -> None:
        divisor = gcd(check_rate(rate), SAMPLE_RATE)
        self._up, self._down = SAMPLE_RATE // divisor, rate // divisor
        self._half = _HALF * max(self._up, self._down)
        self._received = self._sent = 0
        self._kept_N = np.zeros(0 if self._same else self._taps - 1, np.float32)

    @property
    def _same(self) -> bool:
        return self._up == self._down

    @property
    def _taps(self) -> int:
        return 2 * self._half // self._up + 1

    def push(self, audio_N: FloatArray) -> FloatArray:
        """Return what can be said now of samples (N,) and all before them."""
        self._received += len(audio_N)
        if self._same:
            return audio_N
        # Output m is centred on input m * down / up and hears half / up samples on both sides of it.
        count = ((self._received * self._up - 1 - self._half) // self._down + 1) - self._sent
        return self._filtered(audio_N, max(0, count))

    def finish(self) -> FloatArray:
        """Return the rest, as if silence followed."""
        if self._same:
            return np.zeros(0, np.float32)
        count = -(-self._received * self._up // self._down) - self._sent
        silence_N = np.zeros(self._half // self._up + 1, np.float32)
        self._received += len(silence_N)
        return self._filtered(silence_N, count)

    def _filtered(self, audio_N: FloatArray, count: int) -> FloatArray:
        """Return the next `count` outputs."""
        self._kept_N = np.concatenate([self._kept_N, audio_N])
        if not count:
            return np.zeros(0, np.float32)
        table_PK = _filter(self._up, self._down)
        position_M = np.arange(self._sent, self._sent + count) * self._down + self._half
        newest_M = position_M // self._up - (self._received - len(self._kept_N))
        heard_MK = np.lib.stride_tricks.sliding_window_view(self._kept_N, self._taps)[newest_M - self._taps + 1]
        if self._up == 1:  # from 48 or 32 kHz: the filter has one phase
            out_M = heard_MK @ table_PK[0]
        else:
            out_M = np.einsum("mk,mk->m", heard_MK, table_PK[position_M % self._up])
        self._sent += count
        first = (self._sent * self._down + self._half) // self._up - self._taps + 1
        self._kept_N = self._kept_N[max(0, first - (self._received - len(self._kept_N))) :]
        return np.asarray(out_M, np.float32)


@lru_cache(maxsize=8)
def _filter(up: int, down: int) -> FloatArray:
    """Return the low-pass filter by phase, (up, K): row p holds taps p, p + up, ..., the last for the newest sample."""
    from scipy.signal import firwin

    half = _HALF * max(up, down)
    taps = firwin(2 * half + 1, 1 / max(up, down), window=("kaiser", _KAISER)) * up
    columns = 2 * half // up + 1
    table = np.zeros(columns * up, np.float32)
    table[: len(taps)] = taps[: len(table)]
    return np.ascontiguousarray(table.reshape(columns, up).T[:, ::-1])
