"""Each switch does its own thing, and nothing when off."""

from dataclasses import replace

import numpy as np
import pytest

from expclip import postprocess as post
from expclip.postprocess import PostOptions
from expclip.rig import load_rig

RIG = load_rig()
OFF = PostOptions(smoothing=False, silence=False, closure=False, blinks=False, limit=False, clamp=False)
LOUD = -20.0


def run(weights, *, closure=0.0, level=LOUD, rest=None, seed=0, options=OFF):
    frames = len(weights)
    return post.postprocess(
        weights,
        RIG.zeros(frames) if rest is None else rest,
        np.broadcast_to(np.float32(closure), (frames,)).astype(np.float32),
        np.broadcast_to(np.float32(level), (frames,)).astype(np.float32),
        seed=seed,
        options=options,
    )


@pytest.fixture
def talking() -> np.ndarray:
    weights = RIG.zeros(200)
    time = np.arange(200) / post.RATE
    weights[:, RIG.index("jawOpen")] = 0.3 + 0.25 * np.sin(2 * np.pi * 3 * time)
    weights[:, RIG.index("mouthSmileLeft")] = 0.6
    return weights


def test_all_off_changes_nothing(talking):
    np.testing.assert_array_equal(run(talking, closure=1, level=-90), talking)


def test_closure_shuts_the_lips_under_any_expression(talking):
    closure = np.zeros(200, np.float32)
    closure[100] = 0.9
    out = run(talking, closure=closure, options=replace(OFF, closure=True))
    jaw, close = out[:, RIG.index("jawOpen")], out[:, RIG.index("mouthClose")]
    np.testing.assert_allclose(close[100:102], jaw[100:102], atol=1e-6)
    np.testing.assert_array_equal(out[:97], talking[:97])
    np.testing.assert_array_equal(out[105:], talking[105:])
    assert out[100, RIG.index("mouthSmileLeft")] > out[100, RIG.index("mouthSmileRight")] == 0


def test_a_closure_is_seen_at_thirty_frames_a_second():
    for shift in range(20):
        closure = np.zeros(50, np.float32)
        closure[10 + shift] = 1
        envelope = post.closure_envelope(closure)
        at_30 = np.interp(np.arange(30) / 30, np.arange(50) / 50, envelope)
        assert at_30.max() > 0.8


def test_silence_rests_the_mouth_and_leaves_the_upper_face(talking):
    talking[:, RIG.index("browInnerUp")] = 0.4
    rest = RIG.zeros(200)
    rest[:, RIG.index("mouthFrownLeft")] = 0.3
    level = np.where(np.arange(200) < 100, LOUD, -90).astype(np.float32)
    out = run(talking, level=level, rest=rest, options=replace(OFF, silence=True))
    np.testing.assert_allclose(out[120:, RIG.region("mouth")], rest[120:, RIG.region("mouth")], atol=1e-6)
    np.testing.assert_allclose(out[:95], talking[:95], atol=1e-6)
    np.testing.assert_array_equal(out[:, RIG.index("browInnerUp")], talking[:, RIG.index("browInnerUp")])


def test_blinks_are_seeded_and_the_same_in_a_longer_clip():
    options = replace(OFF, blinks=True)
    lids = [run(RIG.zeros(1000), seed=s, options=options)[:, RIG.index("eyeBlinkLeft")] for s in (1, 1, 2)]
    np.testing.assert_array_equal(lids[0], lids[1])
    assert (lids[0] != lids[2]).any()
    assert lids[0].max() == 1
    shorter = run(RIG.zeros(400), seed=1, options=options)[:, RIG.index("eyeBlinkLeft")]
    np.testing.assert_array_equal(shorter, lids[0][:400])
    assert 3 <= ((lids[0][1:] == 1) & (lids[0][:-1] < 1)).sum() <= 12  # in 20 seconds


def test_blinks_do_not_open_drooping_lids():
    weights = RIG.zeros(300)
    weights[:, RIG.index("eyeBlinkRight")] = 0.4
    out = run(weights, options=replace(OFF, blinks=True))
    assert out[:, RIG.index("eyeBlinkRight")].min() == pytest.approx(0.4)


def test_speed_limit_holds_for_every_channel():
    noise = np.random.default_rng(0).random((300, 52), np.float32)
    out = run(noise, options=replace(OFF, limit=True))
    assert np.abs(np.diff(out, axis=0)).max() <= post.MAX_STEP + 1e-6
    calm = noise * 0.1
    np.testing.assert_array_equal(run(calm, options=replace(OFF, limit=True)), calm)


def test_clamp_keeps_the_corrective_below_the_jaw():
    wild = np.random.default_rng(0).normal(0, 1, (50, 52)).astype(np.float32)
    out = run(wild, options=replace(OFF, clamp=True))
    assert out.min() == 0
    assert out.max() == 1
    assert (out[:, RIG.index("mouthClose")] <= out[:, RIG.index("jawOpen")]).all()


def test_smoothing_keeps_a_held_face_and_dampens_a_flicker():
    held = RIG.zeros(20) + np.float32(0.3)
    np.testing.assert_allclose(run(held, options=replace(OFF, smoothing=True)), held)
    flicker = RIG.zeros(20)
    flicker[10] = 1
    assert run(flicker, options=replace(OFF, smoothing=True)).max() == 0.5


def test_nothing_looks_further_ahead_than_stated(talking):
    rng = np.random.default_rng(0)
    closure, level = rng.random(200).astype(np.float32), rng.uniform(-80, -10, 200).astype(np.float32)
    whole = run(talking, closure=closure, level=level, options=PostOptions())
    later = talking.copy()
    later[100:], closure[100:], level[100:] = 0.9, 0, -90
    changed = run(later, closure=closure, level=level, options=PostOptions())
    np.testing.assert_array_equal(whole[: 100 - post.LOOKAHEAD], changed[: 100 - post.LOOKAHEAD])


def test_sound_level_is_in_dbfs():
    level = post.sound_level(np.full(640, 0.1, np.float32), 3)
    np.testing.assert_allclose(level, [-20, -20, -120], atol=1e-4)
