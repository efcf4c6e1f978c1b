"""Peaks of made tracks: the held faces come back, blinks, phones and unmeasured frames do not."""

import dataclasses

import numpy as np
import pytest

from expclip import peaks
from expclip.peaks import PeakOptions
from expclip.rig import load_rig

RIG = load_rig()
FPS = 50.0
ALL = RIG.channels


def track(*faces: tuple[float, float, dict[str, float]], seconds: float = 6.0) -> tuple[np.ndarray, np.ndarray]:
    """Weights and validity of faces that are held from one second to another."""
    weights = RIG.zeros(round(seconds * FPS))
    for begin, end, values in faces:
        weights[round(begin * FPS) : round(end * FPS)] = np.maximum(
            weights[round(begin * FPS) : round(end * FPS)], RIG.weights(values)
        )
    return weights, np.ones(len(weights), bool)


SMILE = {"mouthSmileLeft": 0.6, "mouthSmileRight": 0.6, "cheekSquintLeft": 0.4, "cheekSquintRight": 0.4}
FROWN = {"browDownLeft": 0.8, "browDownRight": 0.8, "mouthFrownLeft": 0.5, "mouthFrownRight": 0.5}


def found(
    weights: np.ndarray, valid: np.ndarray, mask: tuple[str, ...] = ALL, **options: float
) -> list[tuple[int, np.ndarray]]:
    return peaks.peaks(weights, valid, FPS, mask=mask, options=dataclasses.replace(PeakOptions(), **options))  # type: ignore[arg-type]


def test_held_faces_are_found_strongest_first() -> None:
    result = found(*track((1, 2, SMILE), (4, 5, FROWN)))
    assert [4 * FPS <= result[0][0] < 5 * FPS, FPS <= result[1][0] < 2 * FPS, len(result)] == [True, True, 2]
    np.testing.assert_allclose(result[0][1], RIG.weights(FROWN))
    np.testing.assert_allclose(result[1][1], RIG.weights(SMILE))


def test_the_same_face_twice_is_one_and_a_weak_one_none() -> None:
    assert len(found(*track((1, 2, SMILE), (4, 5, SMILE)))) == 1
    assert not found(*track((1, 2, {"mouthSmileLeft": 0.2})))


def test_blinks_and_phones_are_too_short() -> None:
    weights, valid = track((1, 3, SMILE))
    weights[90:96] = np.maximum(weights[90:96], RIG.weights({"eyeBlinkLeft": 1, "eyeBlinkRight": 1, "jawOpen": 0.7}))
    (frame, held), *others = found(weights, valid)
    assert not others
    np.testing.assert_allclose(held, RIG.weights(SMILE))


def test_what_a_speaking_mouth_does_is_no_expression() -> None:
    """Syllables of 0.2 s on a smile and under raised brows: the smile and the brows are found, the jaw is not."""
    smile, valid = track((0.5, 5.5, SMILE), (3, 5.5, {"browInnerUp": 0.9}))
    syllables_T = 0.6 * np.clip(np.sin(2 * np.pi * 2.5 * np.arange(len(smile)) / FPS), 0, 1)
    speech = smile.copy()
    for name in ("jawOpen", "mouthPucker", "mouthFunnel"):
        speech[:, RIG.index(name)] = syllables_T
    result = found(speech, valid)
    assert [held[RIG.index("browInnerUp")] for _, held in result] == [pytest.approx(0.9), 0]
    for _, held in result:
        assert not held[RIG.indices(["jawOpen", "mouthPucker", "mouthFunnel"])].any()
        assert held[RIG.index("mouthSmileLeft")] == pytest.approx(0.6)
    neutral = speech - smile
    assert not found(neutral, valid)
    (_, gasp), *_ = found(*track((1, 2, {"jawOpen": 0.7, "eyeWideLeft": 0.8})))  # an open mouth that is held counts
    assert gasp[RIG.index("jawOpen")] == pytest.approx(0.7)


def test_a_clip_gives_few_peaks_apart_from_each_other() -> None:
    faces = [
        (k, k + 0.9, {name: 0.9}) for k, name in enumerate(("jawOpen", "mouthPucker", "cheekPuff", "noseSneerLeft"))
    ]
    assert len(found(*track(*faces))) == 3
    assert len(found(*track(*faces), per_clip=9)) == 4
    assert len(found(*track(*faces), per_clip=9, apart=2.5)) == 2


def test_only_measured_frames_and_known_channels_count() -> None:
    weights, valid = track((1, 2, SMILE), (4, 5, FROWN))
    valid[180:260] = False
    weights[180:260] = 1.0
    assert len(found(weights, valid)) == 1
    mouth = tuple(RIG.regions["mouth"])
    (_, held), *_ = found(*track((1, 2, SMILE)), mask=mouth)
    assert held[RIG.index("cheekSquintLeft")] == 0
    assert held[RIG.index("mouthSmileLeft")] == pytest.approx(0.6)
    assert not found(*track((1, 2, SMILE)), mask=())
    assert not found(weights, np.zeros(len(weights), bool))


def test_of_like_expressions_the_strongest_stays() -> None:
    base = RIG.weights(SMILE)
    rows = np.stack([base * 0.9, base, RIG.weights(FROWN), base * 0.95, base * 0.5])
    assert peaks.distinct(rows, 0.3) == [1, 2, 4]
    assert peaks.distinct(rows, 0.0) == [0, 1, 2, 3, 4]
    assert peaks.distinct(rows[:0], 0.3) == []
