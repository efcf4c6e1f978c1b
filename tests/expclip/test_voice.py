"""Speech from text: needs hibari-tts and pocketsphinx (extra `synthesize`)."""

import numpy as np
import pytest

from expclip.corpora import phones
from expclip.errors import BadRequestError
from expclip.voice import Speaker, Voice

TEXT = "Please bring my umbrella, the big blue one."


@pytest.fixture(scope="module")
def speaker() -> Speaker:
    pytest.importorskip("hibari", reason="hibari-tts is not installed (extra `synthesize`)")
    pytest.importorskip("onnx", reason="onnx is not installed (extra `synthesize`)")
    return Speaker()


def pitch(audio_N: np.ndarray) -> float:
    """Return the frequency in Hz at which most voiced frames repeat."""
    found = []
    for frame in audio_N[: len(audio_N) // 800 * 800].reshape(-1, 800):
        same = np.correlate(frame, frame, "full")[799:]
        lag = 40 + int(same[40:250].argmax())
        if same[0] > 1 and same[lag] > 0.6 * same[0]:
            found.append(16_000 / lag)
    return float(np.median(found))


def brightness(audio_N: np.ndarray) -> float:
    """Return the middle of the spectrum's power in Hz."""
    power = np.abs(np.fft.rfft(audio_N)) ** 2
    return float(np.searchsorted(np.cumsum(power), power.sum() / 2) * 16_000 / len(audio_N))


def test_speech_is_seeded_and_its_phones_cover_it(speaker: Speaker) -> None:
    audio_N, spoken = speaker.say(TEXT, Voice(), seed=3)
    np.testing.assert_array_equal(audio_N, speaker.say(TEXT, Voice(), seed=3)[0])
    assert spoken[0][0] == 0
    assert spoken[-1][1] == pytest.approx(len(audio_N) / 16_000, abs=0.05)
    assert all(a[1] == pytest.approx(b[0]) for a, b in zip(spoken, spoken[1:], strict=False))
    assert " ".join(p for *_, p in spoken if p != "SIL").startswith("P L IY Z B R IH NG M AY")


def test_phone_times_agree_with_forced_alignment(speaker: Speaker) -> None:
    if not phones.available():
        pytest.skip("pocketsphinx is not installed (extra `synthesize`)")
    audio_N, spoken = speaker.say(TEXT, Voice())
    aligned = phones.align(audio_N, phones.spoken_words(TEXT))
    ours = [start for start, _, name in spoken if name in ("P", "B", "M")]
    theirs = [start for start, _, name in aligned if name in ("P", "B", "M")]
    assert len(ours) == len(theirs) == 7
    assert np.median(np.abs(np.subtract(ours, theirs))) < 0.03


def test_a_voice_is_as_high_as_asked(speaker: Speaker) -> None:
    low, high = (pitch(speaker.say(TEXT, Voice(pitch=factor, pitch_range=0.3))[0]) for factor in (0.65, 1.3))
    assert high / low == pytest.approx(2.0, rel=0.15)


def test_a_short_vocal_tract_is_brighter_and_keeps_the_times(speaker: Speaker) -> None:
    (long_N, one), (short_N, two) = (speaker.say(TEXT, Voice(tract=factor)) for factor in (0.87, 1.14))
    assert brightness(short_N) > 1.1 * brightness(long_N)
    assert len(long_N) == len(short_N)
    assert one == two


def test_speed_shortens_the_line(speaker: Speaker) -> None:
    slow, quick = (len(speaker.say(TEXT, Voice(speed=factor))[0]) for factor in (0.8, 1.3))
    assert slow > 1.25 * quick


def test_what_cannot_be_spoken_is_refused(speaker: Speaker) -> None:
    with pytest.raises(BadRequestError, match="holds nothing that can be spoken"):
        speaker.say("...", Voice())
