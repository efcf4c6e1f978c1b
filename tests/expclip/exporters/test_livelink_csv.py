"""Live Link Face CSV: byte-exact header, order by name, time from the timecode, captures with their quirks."""

import hashlib
from pathlib import Path

import numpy as np
import pytest

from expclip.animation import Animation
from expclip.errors import BadRequestError
from expclip.exporters import livelink_csv
from expclip.rig import load_rig, order

RIG = load_rig()


def ramp(frames: int = 3, fps: float = 60.0) -> Animation:
    """Channel k holds k / 100 in every frame."""
    return Animation(np.tile(np.arange(len(RIG), dtype=np.float32) / 100, (frames, 1)), fps)


def written(tmp_path: Path, animation: Animation) -> list[str]:
    path = tmp_path / "x.livelink.csv"
    livelink_csv.write(animation, str(path))
    return path.read_text("utf-8").splitlines()


def test_header_is_byte_exact(tmp_path: Path) -> None:
    header = written(tmp_path, ramp())[0]
    assert hashlib.sha256(header.encode()).hexdigest()[:16] == "f64767e2777ae60a"
    assert header.count(",") == 62


def test_ramp_stands_under_its_names_and_two_pairs_are_exchanged(tmp_path: Path) -> None:
    lines = written(tmp_path, ramp())
    row = dict(zip(lines[0].split(","), lines[1].split(","), strict=True))
    assert row["Timecode"] == "00:00:00:00.000"
    assert row["BlendshapeCount"] == "61"
    for k, name in enumerate(RIG.channels):
        assert float(row[name[0].upper() + name[1:]]) == pytest.approx(k / 100, abs=1e-7)
    assert all(row[name] == "0.0000000000" for name in row if name.endswith(("Yaw", "Pitch", "Roll")))
    columns = lines[1].split(",")[2:]
    enum = order("livelink_udp")
    differ = [enum[k] for k in range(52) if abs(float(columns[k]) - k / 100) > 1e-6]
    assert differ == ["JawLeft", "JawRight", "MouthLeft", "MouthRight"]


def test_ten_decimals_at_sixty_frames_a_second(tmp_path: Path) -> None:
    weights = RIG.zeros(2)
    weights[1, RIG.index("jawOpen")] = 1
    lines = written(tmp_path, Animation(weights, 30.0))
    jaw = lines[0].split(",").index("JawOpen")
    assert [line.split(",")[jaw] for line in lines[1:]] == ["0.0000000000", "0.5000000000"] + ["1.0000000000"] * 2
    assert [line.split(",")[0][-6:] for line in lines[1:]] == ["00.000", "01.000", "02.000", "03.000"]


def test_timecode_counts_to_the_end_of_a_day() -> None:
    assert livelink_csv._timecode(3661 * 60 + 59) == b"01:01:01:59.000"
    assert livelink_csv._timecode(24 * 3600 * 60) == b"00:00:00:00.000"


def test_one_sided_smile_and_blinks_stay_where_they_are(tmp_path: Path) -> None:
    weights = np.stack([RIG.weights({"mouthSmileLeft": 0.8, "eyeBlinkRight": t / 10}) for t in range(11)])
    path = tmp_path / "x.livelink.csv"
    livelink_csv.write(Animation(weights, 60.0), str(path))
    back = livelink_csv.read(str(path))
    np.testing.assert_allclose(back.weights_TC, weights, atol=1e-9)
    assert back.channel("mouthSmileRight").max() == 0
    assert back.channel("EyeBlinkRight").max() == 1


def test_values_outside_the_usual_range_are_written_as_they_are(tmp_path: Path) -> None:
    weights = np.stack([RIG.weights({"jawOpen": -0.25, "mouthPucker": 12.5})] * 2)
    path = tmp_path / "x.livelink.csv"
    livelink_csv.write(Animation(weights, 60.0), str(path))
    np.testing.assert_allclose(livelink_csv.read(str(path)).weights_TC, weights, atol=1e-9)


def capture(tmp_path: Path, rows: list[tuple[str, float | None]], header: str = "") -> str:
    """Write a capture of jawOpen; None is a row without a face."""
    names = order("livelink_csv")
    lines = [header or ",".join(("Timecode", "BlendShapeCount", *names))]
    for timecode, jaw in rows:
        values = [str(jaw if name == "JawOpen" else 0.0) for name in names]
        lines.append(f"{timecode},0" if jaw is None else f"{timecode},61,{','.join(values)}")
    path = tmp_path / "capture.csv"
    path.write_text("\n".join(lines) + "\n", "utf-8")
    return str(path)


def test_capture_is_rebased_past_midnight_and_gaps_are_bridged(tmp_path: Path) -> None:
    rows = [("23:59:59:58.000", 0.0), ("23:59:59:59.000", None), ("00:00:00:00.000", 0.4), ("00:00:00:01.000", 0.5)]
    back = livelink_csv.read(capture(tmp_path, rows))
    assert back.fps == 60
    np.testing.assert_allclose(back.channel("jawOpen"), [0, 0.2, 0.4, 0.5], atol=1e-6)


def test_slow_clock_of_a_capture_is_followed_by_time(tmp_path: Path) -> None:
    """Real captures advance 1.0017 frames a row: the value at a time is what counts, not the row's number."""
    stamps = [k * 1.0017 for k in range(600)]
    rows = [(f"10:00:{int(s // 60):02d}:{s % 60:06.3f}", s / 1000) for s in stamps]
    back = livelink_csv.read(capture(tmp_path, rows))
    np.testing.assert_allclose(back.channel("jawOpen"), np.arange(len(back)) / 1000, atol=2e-5)


def test_thirty_frames_a_second_are_recognised(tmp_path: Path) -> None:
    rows = [(f"00:00:{k // 30:02d}:{k % 30:02d}.000", 0.1) for k in range(60)]
    back = livelink_csv.read(capture(tmp_path, rows))
    assert (back.fps, len(back)) == (30, 60)


@pytest.mark.parametrize(
    ("rows", "header", "message"),
    [
        ([("00:00:00:00.000", 0.1)], "frame,JawOpen", "not a Live Link Face CSV"),
        ([("nonsense", 0.1)], "", "timecode 'nonsense'"),
        ([("00:00:00:00.000", None)], "", "no row shows a face"),
        ([("00:00:02:00.000", 0.1), ("00:00:01:00.000", 0.1)], "", "do not run forward"),
        ([], "", "no row shows a face"),
    ],
)
def test_other_files_are_refused(
    tmp_path: Path, rows: list[tuple[str, float | None]], header: str, message: str
) -> None:
    with pytest.raises(BadRequestError, match=message):
        livelink_csv.read(capture(tmp_path, rows, header))
