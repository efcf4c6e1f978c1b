"""Sound in pieces sounds like the whole, at every rate."""

import numpy as np
import pytest

from expclip.errors import BadRequestError
from expclip.media import resample_audio
from expclip.resampler import Resampler


@pytest.mark.parametrize("rate", [8000, 11_025, 16_000, 44_100, 48_000, 12_347])
@pytest.mark.parametrize("longest", [1, 700, 100_000])
def test_pieces_sound_like_the_whole(rate: int, longest: int) -> None:
    random = np.random.default_rng(rate)
    sound = random.normal(0, 0.1, rate // 10 + 7).astype(np.float32)
    resampler, out, at = Resampler(rate), [], 0
    while at < len(sound):
        step = int(random.integers(1, longest + 1))
        out.append(resampler.push(sound[at : at + step]))
        at += step
    got = np.concatenate([*out, resampler.finish()])
    np.testing.assert_allclose(got, resample_audio(sound, rate, 16_000), atol=1e-6)


def test_little_waits_for_what_follows() -> None:
    for rate in (8000, 44_100, 48_000):
        sent = len(Resampler(rate).push(np.zeros(rate, np.float32)))
        assert 16_000 - 0.0014 * 16_000 <= sent <= 16_000


@pytest.mark.parametrize("rate", [7999, 48_001, 16_000.0, True, "16000"])
def test_other_rates_are_refused(rate: int) -> None:
    with pytest.raises(BadRequestError, match="8000..48000"):
        Resampler(rate)
