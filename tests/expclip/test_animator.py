"""The one predictor, on tiny random models: lengths, seams, timed styles, switches, errors."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from expclip import animator as animators
from expclip import checkpoint, media
from expclip.animator import Animator
from expclip.errors import BadRequestError
from expclip.postprocess import PostOptions
from expclip.rig import load_rig
from expclip.style import Style

RIG = load_rig()
D = 8
OFF = PostOptions(smoothing=False, silence=False, closure=False, blinks=False, limit=False, clamp=False)


def noise(seconds: float, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, 0.1, int(seconds * 16_000)).astype(np.float32)


@pytest.mark.parametrize(("seconds", "fps"), [(2.0, 30), (2.01, 60), (0.01, 30), (1.0, 23.976)])
def test_frames_cover_the_sound(animator: Animator, seconds: float, fps: float) -> None:
    animation = animator.animate(noise(seconds), "happy", fps=fps)
    assert len(animation) == max(1, round(seconds * fps))
    assert animation.fps == fps
    assert animation.weights_TC.min() >= 0
    assert animation.weights_TC.max() <= 1
    assert animation.provenance["checkpoint"] == "tiny"


def test_pieces_leave_no_seam(animator: Animator, monkeypatch: pytest.MonkeyPatch) -> None:
    style = animator.style("happy")
    whole = animator.animate(noise(4), style, fps=50).weights_TC
    monkeypatch.setattr(animators, "CHUNK_SECONDS", 0.5)
    np.testing.assert_allclose(animator.animate(noise(4), style, fps=50).weights_TC, whole, atol=1e-5)


def test_the_future_beyond_the_look_ahead_does_not_matter(animator: Animator) -> None:
    sound = noise(3)
    later = sound.copy()
    later[32_000:] = noise(3, seed=1)[32_000:]
    style = animator.style("happy")
    first, second = (animator.animate(s, style, fps=50).weights_TC for s in (sound, later))
    steps = 100 - animator.generator.lookahead - 3
    np.testing.assert_allclose(first[:steps], second[:steps], atol=1e-6)
    assert steps >= 100 - 10  # 200 ms
    assert np.abs(first[100:] - second[100:]).max() > 1e-4


def test_intensity_zero_is_the_neutral_face(animator: Animator) -> None:
    neutral = animator.animate(noise(1), Style(np.zeros(D, np.float32), 0.0))
    still = animator.animate(noise(1), animator.style("furious", intensity=0))
    np.testing.assert_allclose(still.weights_TC, neutral.weights_TC, atol=1e-6)


def test_a_timed_style_changes_when_told(animator: Animator) -> None:
    happy, sad = animator.style("happy"), animator.style("a longer sadness").scaled(1.5)
    mixed = animator.animate(noise(3), [(1.5, sad), (0, happy)], fps=50, options=OFF)
    alone = animator.animate(noise(3), happy, fps=50, options=OFF)
    after = animator.animate(noise(3), sad, fps=50, options=OFF)
    np.testing.assert_allclose(mixed.weights_TC[:70], alone.weights_TC[:70], atol=1e-5)
    np.testing.assert_allclose(mixed.weights_TC[-10:], after.weights_TC[-10:], atol=1e-3)
    assert mixed.prompt == "happy | a longer sadness"


def test_the_seed_moves_the_lids_alone(animator: Animator) -> None:
    first, second = (animator.animate(noise(8), "happy", seed=s).weights_TC for s in (0, 1))
    changed = {RIG.channels[k] for k in np.flatnonzero((first != second).any(0))}
    assert changed
    assert changed <= {"eyeBlinkLeft", "eyeBlinkRight", "eyeWideLeft", "eyeWideRight"}
    np.testing.assert_array_equal(animator.animate(noise(8), "happy", seed=1).weights_TC, second)


def test_silence_keeps_the_expression_and_a_still_mouth(animator: Animator) -> None:
    style = animator.style("happy")
    weights = animator.animate(np.zeros(48_000, np.float32), style).weights_TC
    mouth = weights[:, RIG.region("mouth")]
    assert np.ptp(mouth, axis=0).max() == 0
    expression = animator.expression(style)[1]
    assert weights[0, RIG.index("mouthSmileLeft")] == pytest.approx(expression[RIG.index("mouthSmileLeft")], abs=1e-5)


def test_prompts_are_encoded_once_and_together(animator: Animator) -> None:
    styles = animator.styles(["happy", "sad", " happy "], [1.0, 0.5, 0.25])
    animator.style("sad")
    fake: Any = animator.expclip
    assert fake.encoded == ["happy", "sad"]
    assert [s.intensity for s in styles] == [1.0, 0.5, 0.25]
    np.testing.assert_array_equal(styles[0].embedding_D, styles[2].embedding_D)


def test_an_expression_is_a_style_too(animator: Animator) -> None:
    style = animator.style(weights=RIG.weights({"browInnerUp": 0.6}), intensity=0.5)
    named = animator.style(weights={"browInnerUp": 0.6}, intensity=0.5)
    assert np.array_equal(style.vector_D, named.vector_D)
    assert style.strength == pytest.approx(0.6)
    assert style.intensity == 0.5


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda a: a.style(""), "prompt is empty"),
        (lambda a: a.style("x" * 1001), "at most 1000"),
        (lambda a: a.style("x", intensity=float("nan")), "intensity nan"),
        (lambda a: a.style("x", image="face.png"), "give one of"),
        (lambda a: a.animate(noise(1), "x", fps=0), "fps 0"),
        (lambda a: a.animate(noise(1), []), "timed styles is empty"),
        (lambda a: a.animate(np.zeros(0, np.float32), "x"), "shape"),
        (lambda a: a.animate(np.full(100, np.nan, np.float32), "x"), "NaN"),
        (lambda a: a.animate("nowhere.wav", "x"), "no such file: nowhere.wav"),
    ],
)
def test_bad_requests_are_named(animator: Animator, call: Any, message: str) -> None:
    with pytest.raises(BadRequestError, match=message):
        call(animator)


def test_files_and_cuts(animator: Animator, tmp_path: Path) -> None:
    path = str(tmp_path / "a.flac")
    media.write_audio(path, noise(2))
    animation = animator.animate(path, "happy", start=0.5, end=1.5)
    assert animation.seconds == pytest.approx(1.0)
    assert animation.audio_N is not None
    assert len(animation.audio_N) == 16_000


def test_a_checkpoint_without_a_generator_is_named(tmp_path: Path) -> None:
    checkpoint.save(str(tmp_path / "half"), {"expclip": checkpoint.Part({}, {})}, {})
    with pytest.raises(BadRequestError):
        animators.load(str(tmp_path / "half"))
