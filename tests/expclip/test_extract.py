"""From what was seen to tracks: confidence, the speaker, the resting face, gaps, an even rate."""

import dataclasses

import numpy as np
import pytest

from expclip import extract, sync
from expclip.errors import BadRequestError
from expclip.extract import Gate, Options, Rest, confidence, segments
from expclip.extractors import Face
from expclip.rig import load_rig

RIG = load_rig()
JAW = RIG.index("jawOpen")
NEUTRAL = RIG.zeros()


def face(times: np.ndarray, jaw: np.ndarray | float = 0.5, **given: np.ndarray) -> Face:
    """A face seen well in every frame, unless said otherwise."""
    count = len(times)
    weights = RIG.zeros(count)
    weights[:, JAW] = jaw
    size, light, detail = (np.full(count, value, np.float32) for value in (150.0, 0.5, 0.4))
    pose = np.zeros((count, 6), np.float32)
    made = Face(np.asarray(times, float), weights, pose, size, light, detail, mask=("jawOpen",))
    return dataclasses.replace(made, **given)  # type: ignore[arg-type]


def unseen(whole: Face, frames: slice) -> Face:
    weights = whole.weights_TC.copy()
    weights[frames] = np.nan
    return dataclasses.replace(whole, weights_TC=weights)


AT_25 = np.arange(100) / 25


@pytest.mark.parametrize(
    ("part", "value", "expected"),
    [
        ("turn", 10, 1.0), ("turn", -40, 0.5), ("turn", 60, 0.0), ("nod", -30, 0.8), ("tilt", 35, 0.5),
        ("size_T", 44, 0.5), ("size_T", 20, 0.0), ("light_T", 0.05, 0.5), ("light_T", 0.99, 0.0),
        ("detail_T", 0.19, 0.5), ("size_T", np.nan, 1.0), ("turn", np.nan, 1.0),
    ],
)  # fmt: skip
def test_confidence_falls_with_pose_size_and_quality(part: str, value: float, expected: float) -> None:
    seen = face(AT_25[:3])
    if part in ("nod", "turn", "tilt"):
        seen.pose_T6[1, ("nod", "turn", "tilt").index(part)] = value
    else:
        getattr(seen, part)[1] = value
    assert confidence(seen, Gate()) == pytest.approx([1, expected, 1], abs=0.01)


def test_what_is_not_seen_has_no_confidence() -> None:
    assert confidence(unseen(face(AT_25[:4]), slice(1, 3)), Gate()).tolist() == [1, 0, 0, 1]


def test_tracks_follow_time_not_frame_numbers() -> None:
    times = np.cumsum(np.random.default_rng(0).uniform(0.02, 0.12, 60))
    (one,) = segments(face(times, 0.1 * times), NEUTRAL, Options())
    place = one.begin + np.arange(len(one.valid_T)) / 50
    np.testing.assert_allclose(one.weights_TC[:, JAW], np.clip(0.1 * place, 0, 1), atol=1e-5)
    assert times[0] <= one.begin < times[0] + 0.02
    assert times[-1] - 0.02 < place[-1] <= times[-1]
    assert one.valid_T.all()


def test_short_gaps_are_bridged_and_marked_long_ones_split() -> None:
    jaw = np.linspace(0, 0.99, 100)
    away = unseen(unseen(face(AT_25, jaw), slice(30, 34)), slice(60, 70))
    first, second = segments(away, NEUTRAL, Options())
    assert (first.begin, second.begin) == (0, pytest.approx(70 / 25))
    bridged = first.weights_TC[:, JAW]
    np.testing.assert_allclose(bridged, np.linspace(0, 0.59, len(bridged)), atol=1e-5)
    assert (~first.valid_T).sum() / 50 == pytest.approx(4 / 25, abs=0.03)
    assert not first.valid_T[62:66].any()
    assert (first.confidence_T[~first.valid_T] == 0).all()
    assert second.valid_T.all()
    assert len(segments(away, NEUTRAL, Options(bridge=1.0))) == 1
    assert len(segments(away, NEUTRAL, Options(bridge=0.1))) == 3


def test_doubtful_frames_are_gaps_though_a_face_was_seen() -> None:
    turned = face(AT_25)
    turned.pose_T6[40:60, 1] = 50
    parts = segments(turned, NEUTRAL, Options())
    assert [round(part.begin, 2) for part in parts] == [0, 2.4]
    assert len(segments(turned, NEUTRAL, Options(confidence=0.1))) == 1


def test_short_segments_are_left_out() -> None:
    seen = unseen(unseen(face(AT_25), slice(5, 20)), slice(60, 90))
    assert [part.begin for part in segments(seen, NEUTRAL, Options())] == [20 / 25]
    assert len(segments(seen, NEUTRAL, Options(shortest=0.1))) == 3


def test_the_resting_face_is_taken_off() -> None:
    neutral = RIG.weights({"jawOpen": 0.2, "mouthSmileLeft": 0.1})
    (one,) = segments(face(AT_25, 0.5), neutral, Options())
    assert one.weights_TC[:, JAW] == pytest.approx(0.3)
    assert one.weights_TC.min() == 0


@pytest.mark.parametrize(
    ("seen", "reason"),
    [
        (face(AT_25[:5]), "the picture lasts 0.16 s"),
        (face(np.arange(10) * 2.0), "0.5 frames a second are too few"),
        (unseen(face(AT_25), slice(10, None)), "no stretch of 0.5 s with a face: seen in 10 of 100 frames"),
        (face(AT_25, pose_T6=np.full((100, 6), 70, np.float32)), "never seen well enough .* turn 70, tilt 70 degrees"),
        (face(AT_25, size_T=np.full(100, 20, np.float32)), "never seen well enough .* 20 pixels high"),
    ],
)
def test_why_there_is_no_track(seen: Face, reason: str) -> None:
    with pytest.raises(BadRequestError, match=reason):
        segments(seen, NEUTRAL, Options())


def test_the_resting_face_is_that_of_all_clips_together() -> None:
    random, rest = np.random.default_rng(0), Rest()
    jaws = [0.1 + 0.5 * random.random(200) for _ in range(5)] + [0.6 + 0.3 * random.random(200)]
    for jaw in jaws:
        rest.add(face(np.arange(200) / 25, jaw), Options())
    doubtful = face(AT_25, 0.0)
    doubtful.pose_T6[:, 1] = 80
    rest.add(doubtful, Options())
    assert rest.frames == 1200
    assert rest.weights(5)[JAW] == pytest.approx(np.percentile(np.concatenate(jaws), 5), abs=0.004)
    assert rest.weights(0).max() == Rest().weights(5).max() == 0


def test_the_face_that_moves_with_the_sound_is_chosen() -> None:
    time = np.arange(150) / 25
    random = np.random.default_rng(3)
    level = np.interp(np.arange(300) / 50, np.arange(40) * 0.17, random.random(40)).astype(np.float32)
    speaker = face(time, 0.4 * np.interp(time, np.arange(300) / 50, level))
    listener, chewer = face(time, 0.05), face(time, 0.4 * np.interp(time, np.arange(40) * 0.17, random.random(40)))
    for faces in ([listener, speaker], [speaker, chewer], [chewer, listener, speaker]):
        assert extract.choose(faces, level) is speaker
    away = unseen(listener, slice(100, None))
    assert extract.choose([away, listener], level) is listener
    assert len(extract.mouth(away)) == int(time[-1] * sync.RATE) + 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (Options(fps=0.0), "fps 0.0"),
        (Options(bridge=-1.0), "bridge -1.0 is outside 0..10"),
        (Options(confidence=float("nan")), "confidence nan is outside 0..1"),
        (Options(gate=Gate(turn=(30.0,))), r"gate.turn is two values"),
        (Options(gate=Gate(size=(30.0, 30.0))), r"gate.size is two values"),
    ],
)
def test_options_without_sense_are_refused(options: Options, message: str) -> None:
    with pytest.raises(BadRequestError, match=message):
        extract.check(options)
