"""A stream says what the Animator says of the whole sound, however it was cut and whoever else streams."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from expclip import media
from expclip import postprocess as post
from expclip.animator import Animator
from expclip.errors import BadRequestError
from expclip.postprocess import PostOptions
from expclip.rig import FloatArray
from expclip.stream import Stream
from expclip.streamer import Streamer

SWITCHES = ("smoothing", "silence", "closure", "blinks", "limit", "clamp")


def speech(seconds: float, seed: int = 0, rate: int = 16_000) -> FloatArray:
    """Noise with pauses."""
    random = np.random.default_rng(seed)
    loud = np.repeat(random.random(int(seconds * 4) + 2) > 0.3, rate // 4)[: int(seconds * rate)]
    return (random.normal(0, 0.1, len(loud)) * loud).astype(np.float32)


def cuts(length: int, longest: int, seed: int) -> list[slice]:
    random, at, found = np.random.default_rng(seed), 0, []
    while at < length:
        step = int(random.integers(1, longest + 1))
        found.append(slice(at, at + step))
        at += step
    return found


def drain(streamer: Streamer, stream: Stream, *others: Stream) -> FloatArray:
    while streamer.advance([stream, *others]):
        pass
    return stream.take().weights_KC


def run(animator: Animator, sound: FloatArray, style: Any, *, longest: int = 2000, **how: Any) -> Any:
    pieces = [sound[cut] for cut in cuts(len(sound), longest, len(sound))]
    frames = list(animator.stream(pieces, style, **how))
    return np.concatenate([f.times_K for f in frames]), np.concatenate([f.weights_KC for f in frames])


@pytest.mark.parametrize("longest", [1, 100, 560, 3000, 100_000])
def test_pieces_of_any_length_give_the_whole(animator: Animator, longest: int) -> None:
    sound = speech(1.5 if longest == 1 else 6)
    whole = animator.animate(sound, "happy")
    times, weights = run(animator, sound, "happy", longest=longest)
    np.testing.assert_allclose(weights, whole.weights_TC, atol=1e-5)
    np.testing.assert_allclose(times, np.arange(len(whole)) / 30)


@pytest.mark.parametrize("fps", [1, 2.5, 23.976, 30, 60, 240])
@pytest.mark.parametrize("seconds", [0.001, 0.02, 0.19, 1.4, 3.777])
def test_frame_rates_and_lengths(animator: Animator, fps: float, seconds: float) -> None:
    sound = speech(seconds)
    whole = animator.animate(sound, "happy", fps=fps, seed=4)
    _, weights = run(animator, sound, "happy", fps=fps, seed=4)
    np.testing.assert_allclose(weights, whole.weights_TC, atol=1e-5)


@pytest.mark.parametrize("off", [(), *((name,) for name in SWITCHES), SWITCHES])
def test_every_switch(animator: Animator, off: tuple[str, ...]) -> None:
    options = replace(PostOptions(closure_threshold=0.5), **dict.fromkeys(off, False))
    sound = speech(4, seed=2)
    whole = animator.animate(sound, "happy", options=options, seed=9)
    _, weights = run(animator, sound, "happy", options=options, seed=9)
    np.testing.assert_allclose(weights, whole.weights_TC, atol=1e-5)


@pytest.mark.parametrize("rate", [8000, 44_100, 48_000])
def test_other_sample_rates(animator: Animator, rate: int) -> None:
    sound = speech(2, rate=rate)
    whole = animator.animate(media.resample_audio(sound, rate, 16_000), "happy")
    _, weights = run(animator, sound, "happy", rate=rate)
    np.testing.assert_allclose(weights, whole.weights_TC, atol=1e-5)


def test_silence(animator: Animator) -> None:
    sound = np.zeros(40_000, np.float32)
    _, weights = run(animator, sound, "happy")
    np.testing.assert_allclose(weights, animator.animate(sound, "happy").weights_TC, atol=1e-6)


def test_styles_that_change_while_it_runs(animator: Animator) -> None:
    sound, streamer = speech(5), Streamer(animator)
    first, second, third = animator.styles(["happy", "a longer sadness", "x"])
    stream = streamer.open(first)
    wanted, got = [(0.0, first)], []
    for k, cut in enumerate(cuts(len(sound), 1500, 3)):
        stream.push(sound[cut])
        got.append(drain(streamer, stream))
        if k == 20:
            wanted.append((stream.change(second, transition=0.7), second, 0.7))
            assert wanted[-1][0] == stream.seconds
        if k == 30:
            wanted.append((stream.change(third, transition=0.0, at=3.9), third, 0.0))
        if k == 33:
            wanted.append((stream.change(first), first))
    stream.end()
    got.append(drain(streamer, stream))
    assert stream.finished
    whole = animator.animate(sound, wanted)
    assert np.abs(whole.weights_TC - animator.animate(sound, first).weights_TC).max() > 0.01
    np.testing.assert_allclose(np.concatenate(got), whole.weights_TC, atol=1e-5)


def test_a_style_planned_for_the_past_begins_now(animator: Animator) -> None:
    stream = Streamer(animator).open("happy")
    stream.push(speech(1))
    assert stream.change(animator.style("sad"), at=0.2) == 1.0


def test_streams_that_share_passes_do_not_mix(animator: Animator) -> None:
    streamer, random = Streamer(animator), np.random.default_rng(0)
    sounds = [speech(random.uniform(0.5, 3), seed=k) for k in range(12)]
    options = [PostOptions(), PostOptions(blinks=False)]
    open_: dict[int, Stream] = {}
    at, got = [0] * 12, [[] for _ in range(12)]
    order = list(range(12))
    while order or open_:
        if order and len(open_) < 5:
            k = order.pop()
            open_[k] = streamer.open("x" * (k + 1), seed=k, options=options[k % 2])
        for k, stream in open_.items():
            if at[k] < len(sounds[k]):
                step = int(random.integers(1, 2000))
                stream.push(sounds[k][at[k] : at[k] + step])
                at[k] += step
            else:
                stream.end()
        streamer.advance(open_.values(), most=int(random.integers(1, 17)))
        for k, stream in list(open_.items()):
            got[k].append(stream.take().weights_KC)
            if stream.finished:
                streamer.close(open_.pop(k))
    for k, sound in enumerate(sounds):
        whole = animator.animate(sound, "x" * (k + 1), seed=k, options=options[k % 2])
        np.testing.assert_allclose(np.concatenate(got[k]), whole.weights_TC, atol=1e-5)


def test_no_frame_waits_longer_than_stated(animator: Animator) -> None:
    streamer = Streamer(animator)
    stream = streamer.open("happy", fps=50)
    for k in range(60):
        stream.push(speech(0.02, seed=k))
        streamer.advance([stream])
        assert stream.frames == max(0, k + 1 - round(streamer.latency * 50) + 1)
    assert streamer.latency <= 0.2
    assert stream.backlog == 0


def test_an_interrupted_stream_begins_anew_where_the_face_was(animator: Animator) -> None:
    streamer, sound = Streamer(animator), speech(2, seed=5)
    options = PostOptions(blinks=False)
    stream = streamer.open("happy", fps=50, options=options)
    stream.push(sound)
    last = drain(streamer, stream)[-1]
    stream.push(sound)
    stream.interrupt()
    assert stream.seconds == 0
    assert len(stream.take()) == 0
    stream.push(sound)
    stream.end()
    again = drain(streamer, stream)
    whole = animator.animate(sound, "happy", fps=50, options=options).weights_TC
    np.testing.assert_allclose(again[10:], whole[10:], atol=1e-5)
    assert np.abs(again[0] - last).max() <= post.MAX_STEP + 1e-6


def test_a_stream_without_sound_ends_without_frames(animator: Animator) -> None:
    streamer = Streamer(animator)
    stream = streamer.open("happy")
    stream.end()
    assert stream.finished
    assert len(drain(streamer, stream)) == 0


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda s: s.push(np.array([np.nan], np.float32)), "finite"),
        (lambda s: s.push(np.zeros((2, 2), np.float32)), r"shape \(2, 2\)"),
        (lambda s: (s.end(), s.push(np.zeros(2, np.float32))), "after the end"),
        (lambda s: s.change(s.changes[0].style, transition=-1), "transition -1"),
        (lambda s: s.change(s.changes[0].style, at=float("inf")), "not a time"),
    ],
)
def test_bad_requests_are_named(animator: Animator, call: Any, message: str) -> None:
    with pytest.raises(BadRequestError, match=message):
        call(Streamer(animator).open("happy"))


def test_slots_are_used_again(animator: Animator) -> None:
    streamer = Streamer(animator)
    slots = set()
    for _ in range(30):
        stream = streamer.open("happy")
        slots.add(stream.slot)
        streamer.close(stream)
    assert len(slots) == 1
    for rate, fps in ((1, 30.0), (16_000, 0.0)):
        with pytest.raises(BadRequestError):
            streamer.open("happy", rate=rate, fps=fps)
    assert streamer.open("happy").slot in slots  # a refused stream holds none


def test_an_encoder_that_hears_the_whole_cannot_stream(animator: Animator) -> None:
    animator.generator.encoder = type("Whole", (type(animator.generator.norm),), {"source": "wav2vec2"})(4)
    with pytest.raises(BadRequestError, match="'wav2vec2' hears the whole"):
        Streamer(animator)


@pytest.mark.model
def test_the_checkpoint_that_ships_streams(babble: FloatArray) -> None:
    from expclip import animator as animators

    shipped = animators.load()
    whole = shipped.animate(babble, "a shy smile")
    _, weights = run(shipped, babble, "a shy smile")
    np.testing.assert_allclose(weights, whole.weights_TC, atol=1e-4)
