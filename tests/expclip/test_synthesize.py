"""Made clips: the same by number, closed lips on p, b, m, silences and emotions where they belong."""

import json

import numpy as np
import pyarrow as pa
import pytest

from expclip import synthesize
from expclip.augment import compose
from expclip.corpora import phones
from expclip.rig import load_rig
from expclip.schema import CLIPS, TRACKS
from expclip.synthesize import EMOTIONS, Made, Options, Synthesizer, animate, insert_silence

RIG = load_rig()


@pytest.fixture(scope="module")
def made() -> list[Made]:
    pytest.importorskip("hibari", reason="hibari-tts is not installed (extra `synthesize`)")
    pytest.importorskip("onnx", reason="onnx is not installed (extra `synthesize`)")
    maker = Synthesizer(5, Options(emotional=0.5))
    return [maker.make(index) for index in range(8)]


def closed_share(clip: Made) -> tuple[int, int]:
    """Return how many p, b, m of a clip have a frame with touching lips, and how many there are."""
    weights_TC = np.asarray(clip.track["weights"])
    gap_T = weights_TC[:, RIG.index("jawOpen")] - weights_TC[:, RIG.index("mouthClose")]
    time_T, shut, count = np.arange(len(gap_T)) / 50, 0, 0
    for start, end, name in phones.from_json(clip.clip["phones"]):
        if name in ("P", "B", "M"):
            count += 1
            shut += bool((gap_T[(time_T >= start - 0.011) & (time_T <= end + 0.011)] < 0.02).any())
    return shut, count


def test_lips_close_on_every_p_b_m_whatever_is_felt(made: list[Made]) -> None:
    shares = [closed_share(clip) for clip in made]
    assert sum(count for _, count in shares) > 10
    assert all(shut == count for shut, count in shares)


def test_clips_are_the_same_by_seed_and_number(made: list[Made]) -> None:
    again = Synthesizer(5, Options(emotional=0.5)).make(3)
    np.testing.assert_array_equal(again.audio_N, made[3].audio_N)
    np.testing.assert_array_equal(again.track["weights"], made[3].track["weights"])
    assert repr(again.clip) == repr(made[3].clip)
    assert Synthesizer(6).make(3).clip["text"] != made[3].clip["text"]


def test_rows_fit_the_tables_and_tracks_fit_the_sound(made: list[Made]) -> None:
    for clip in made:
        pa.Table.from_pylist([clip.clip], CLIPS)
        pa.Table.from_pylist([{**clip.track, "weights": list(clip.track["weights"])}], TRACKS)
        assert len(clip.track["weights"]) == -(-len(clip.audio_N) // 320)
        assert np.abs(clip.audio_N).max() <= 1
        assert not any(name.startswith("eyeBlink") for name in clip.track["mask"])
    assert len({clip.clip["speaker"] for clip in made}) > 3


def test_emotional_clips_show_what_their_row_says(made: list[Made]) -> None:
    assert {bool(clip.clip["action_units"]) for clip in made} == {True, False}
    for clip in made:
        upper = np.asarray(clip.track["weights"])[:, RIG.region("mouth")].mean()
        assert upper > 0
        if clip.clip["emotion"] == "neutral":
            assert (clip.clip["prompt"], clip.clip["action_units"]) == ("neutral", "")
        else:
            assert json.loads(clip.clip["action_units"])
            assert clip.clip["prompt"] in dict(EMOTIONS[clip.clip["emotion"]].expressions)


def test_the_expression_is_composed_with_the_speech() -> None:
    spoken = [(0.0, 0.5, "SIL"), (0.5, 0.6, "AA"), (0.6, 0.7, "P"), (0.7, 0.8, "AA"), (0.8, 1.2, "SIL")]
    audio_N = np.zeros(19_200, np.float32)
    neutral, happy = (animate(audio_N, spoken, units) for units in ({}, {"AU12": 0.6}))
    smile = RIG.index("mouthSmileLeft")
    assert neutral.shape == happy.shape == (60, 52)
    assert neutral[2, smile] == 0
    assert happy[2, smile] > 0.4
    assert (happy[:, smile] >= neutral[:, smile]).all()
    assert happy[33, RIG.index("mouthClose")] == pytest.approx(happy[33, RIG.index("jawOpen")])
    assert compose.__module__ == "expclip.augment"


def test_silence_put_in_moves_what_comes_after() -> None:
    spoken = [(0.0, 0.2, "SIL"), (0.2, 0.3, "AA"), (0.3, 0.5, "SIL"), (0.5, 0.6, "IY")]
    audio_N = np.ones(9600, np.float32)
    longer_N, moved = insert_silence(audio_N, spoken, at=0.4, seconds=0.5)
    assert moved == [(0.0, 0.2, "SIL"), (0.2, 0.3, "AA"), (0.3, 1.0, "SIL"), (1.0, 1.1, "IY")]
    assert len(longer_N) == 17_600
    assert not longer_N[6400:14_400].any()
    _, late = insert_silence(audio_N, spoken[1:], at=0.0, seconds=1.0)
    assert late[0] == (0.0, 1.0, "SIL")
    assert late[1] == (1.2, 1.3, "AA")


def test_taught_channels_leave_out_blinks_and_gaze() -> None:
    taught = synthesize.taught()
    assert "jawOpen" in taught
    assert "browInnerUp" in taught
    assert not [name for name in taught if name.startswith(("eyeBlink", "eyeLook"))]
