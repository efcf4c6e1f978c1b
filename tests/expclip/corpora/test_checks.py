"""Every check speaks where it should and is silent on sound data."""

from typing import Any

import numpy as np
import pytest

from expclip.corpora import Calibration, Measured, checks, rows
from expclip.rig import load_rig

RIG = load_rig()


def measured(weights_TC: Any = None, **values: Any) -> Measured:
    """Return two seconds at 30 fps in which all channels move, each in its own way."""
    if weights_TC is None:
        weights_TC = 0.1 + 0.1 * np.random.default_rng(0).random((60, 52)).astype(np.float32)
    given: dict[str, Any] = {
        "time_T": rows.uniform(len(weights_TC), 30), "valid_T": np.ones(len(weights_TC), bool),
        "channels": RIG.channels, "mask": RIG.channels, "extractor": "test", "stated_fps": 30.0,
    }  # fmt: skip
    return Measured(weights_TC, **(given | values))


def found(face: Measured, seconds: float = 2.0) -> dict[str, str]:
    calibration = rows.calibrate(face.weights_TC, face.valid_T)
    notes = checks.face(face, calibration, seconds)
    kinds = [note.split(": ")[0] for note in notes]
    assert set(kinds) <= set(checks.KINDS)
    return dict(note.split(": ", 1) for note in notes)


def test_good_data_has_only_its_rest_noted() -> None:
    assert set(found(measured())) == {"rest"}
    assert found(measured(measured().weights_TC - 0.1)) == {}


def test_lengths() -> None:
    assert found(measured(), 2.09).keys() == {"rest"}
    assert found(measured(), 2.3)["length"] == "face 2.00 s, sound 2.30 s"
    assert "(26.09 fps would fit)" in found(measured(timed=False), 2.3)["length"]


def test_rates_and_gaps_of_time() -> None:
    assert "rate" not in found(measured(time_T=rows.uniform(60, 29.95)))
    assert found(measured(time_T=rows.uniform(60, 25)), 2.4)["rate"] == "25.00 fps by time, 30 stated"
    jump = rows.uniform(60, 30) + np.where(np.arange(60) > 30, 0.5, 0)
    assert found(measured(time_T=jump), 2.5)["gap"] == "times jump by up to 0.53 s"


def test_frames_without_a_face() -> None:
    valid_T = np.arange(60) > 2
    assert found(measured(valid_T=valid_T))["gap"] == "3 of 60 frames without a face"
    assert found(measured(valid_T=np.zeros(60, bool))) == {"gap": "60 of 60 frames without a face"}


def test_constant_channels_count_only_what_was_measured() -> None:
    weights_TC = measured().weights_TC.copy()
    weights_TC[:, [RIG.index("cheekPuff"), RIG.index("tongueOut")]] = 0.05
    assert found(measured(weights_TC))["constant"] == "2 of 52 channels (cheekPuff, tongueOut)"
    known = tuple(name for name in RIG.channels if name != "tongueOut")
    assert found(measured(weights_TC, channels=known))["constant"] == "1 of 51 channels (cheekPuff)"


def test_values_outside() -> None:
    weights_TC = measured().weights_TC.copy()
    weights_TC[0, 3], weights_TC[1, 4] = -0.02, 1.25
    assert found(measured(weights_TC))["range"] == "3.3 % of frames outside 0..1 (-0.020..1.250)"


def test_averaged_sides() -> None:
    weights_TC = measured().weights_TC
    even_TC = (weights_TC + RIG.mirror(weights_TC)) / 2
    assert found(measured(even_TC))["mirror"] == "left and right correlate at 1.00 in 14 pairs"


def test_the_rest_is_told_by_its_largest() -> None:
    weights_TC = measured().weights_TC - 0.1
    weights_TC[:, RIG.index("mouthSmileLeft")] += 0.4
    assert found(measured(weights_TC))["rest"].startswith("1 channels (mouthSmileLeft 0.4")
    none = Calibration(RIG.zeros(), np.ones(52, np.float32))
    assert not [note for note in checks.face(measured(), none, 2.0) if note.startswith("rest")]


def test_labels() -> None:
    assert checks.label("emotion", "happy", ("happy", "sad")) == ()
    assert checks.label("emotion", "joy", ("happy", "sad")) == ("label: unknown emotion 'joy'",)


@pytest.mark.parametrize("frames", [0, 1])
def test_hardly_any_frames(frames: int) -> None:
    face = measured(RIG.zeros(frames))
    assert "length" in found(face)
