"""Pictures with their times: every kind of container that cameras make, and what is wrong with the broken ones."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from expclip import media, video
from expclip.errors import BadRequestError
from expclip.video import Frames, Reading

Maker = Callable[..., str]


def read(path: str | Path, **how: object) -> tuple[list[float], list[np.ndarray]]:
    with Frames(str(path), **how) as frames:  # type: ignore[arg-type]
        found = list(frames)
    return [frame.time for frame in found], [frame.picture for frame in found]


def test_frames_come_whole_upright_and_at_their_times(make_video: Maker, tmp_path: Path) -> None:
    path = make_video(tmp_path / "a.mp4", "color=red:s=64x48:r=25:d=2,drawbox=c=blue:w=16:h=48:t=fill")
    times, pictures = read(path)
    np.testing.assert_allclose(times, np.arange(50) / 25, atol=1e-4)
    assert pictures[0].shape == (48, 64, 3)
    assert pictures[0][24, 4, 2] > 150 > 90 > pictures[0][24, 4, 0]  # blue on the left
    assert pictures[0][24, 50, 0] > 150


def test_a_variable_rate_keeps_each_frame_at_its_time(make_video: Maker, tmp_path: Path) -> None:
    path = make_video(
        tmp_path / "a.mp4", "testsrc2=s=64x48:r=25:d=2,select='lt(n,20)+not(mod(n,5))'", "-fps_mode", "vfr"
    )
    times, _ = read(path)
    np.testing.assert_allclose(times, [n / 25 for n in range(50) if n < 20 or n % 5 == 0], atol=1e-3)


def test_a_recording_held_upright_is_turned(make_video: Maker, tmp_path: Path) -> None:
    plain = make_video(tmp_path / "a.mp4", "color=red:s=64x48:r=25:d=1,drawbox=c=blue:w=16:h=48:t=fill")
    turned = make_video(tmp_path / "b.mp4", None, "-c", "copy", before=("-display_rotation", "90", "-i", plain))
    _, pictures = read(turned)
    assert pictures[0].shape == (64, 48, 3)
    assert pictures[0][60, 24, 2] > 150 > pictures[0][60, 24, 0]  # 90 degrees counter-clockwise: left is below


def test_pixels_become_square_and_large_pictures_small(make_video: Maker, tmp_path: Path) -> None:
    wide = make_video(tmp_path / "a.mp4", "testsrc2=s=64x64:r=25:d=1,setsar=2")
    assert read(wide)[1][0].shape == (64, 128, 3)
    large = make_video(tmp_path / "b.mp4", "testsrc2=s=640x480:r=25:d=1")
    with Frames(large, reading=Reading(side=120)) as frames:
        shapes = {frame.picture.shape for frame in frames}
        assert shapes == {(120, 160, 3)}
        assert frames.scale == 4


def test_a_cut_begins_at_zero(make_video: Maker, tmp_path: Path) -> None:
    path = make_video(tmp_path / "a.mp4", "testsrc2=s=64x48:r=25:d=4")
    times, _ = read(path, start=1.01, end=1.99)
    np.testing.assert_allclose(times, 1.04 - 1.01 + np.arange(24) / 25, atol=1e-3)


def test_of_a_thousand_frames_a_second_enough_are_left(make_video: Maker, tmp_path: Path) -> None:
    path = make_video(tmp_path / "a.mp4", "testsrc2=s=64x48:r=1000:d=1")
    times, _ = read(path)
    assert 55 <= len(times) <= 66
    assert times[-1] == pytest.approx(0.99, abs=0.02)
    sixty = make_video(tmp_path / "b.mp4", "testsrc2=s=64x48:r=60:d=1")
    assert len(read(sixty)[0]) == 60


def test_times_stay_exact_far_into_a_file(make_video: Maker, tmp_path: Path) -> None:
    path = make_video(tmp_path / "a.mkv", "testsrc2=s=16x16:r=25:d=1", "-output_ts_offset", "12345")
    np.testing.assert_allclose(np.diff(read(path)[0]), 0.04, atol=1e-6)


def test_a_walk_can_be_left_early(make_video: Maker, tmp_path: Path) -> None:
    path = make_video(tmp_path / "a.mp4", "testsrc2=s=320x240:r=25:d=4")
    with Frames(path) as frames:
        first = next(iter(frames))
    assert first.time == 0
    assert frames._process.returncode is not None


@pytest.fixture
def broken(make_video: Maker, tmp_path: Path) -> Path:
    """A folder of files that are no good video, each in its own way."""
    plain = make_video(tmp_path / "plain.mp4", "testsrc2=s=320x240:r=25:d=4")
    front = make_video(tmp_path / "front.mp4", "testsrc2=s=320x240:r=25:d=4", "-movflags", "+faststart")
    for name, source in (("cut.mp4", plain), ("cut_front.mp4", front)):
        content = Path(source).read_bytes()
        (tmp_path / name).write_bytes(content[: len(content) // 2])
    make_video(tmp_path / "sound.mp4", None, "-c:a", "aac", before=("-f", "lavfi", "-i", "sine=d=1"))
    make_video(tmp_path / "huge.avi", "color=red:s=12000x9000:r=1:d=1", "-c:v", "mjpeg")
    (tmp_path / "text.mp4").write_text("a shopping list, no video at all\n" * 20)
    (tmp_path / "empty.mp4").touch()
    return tmp_path


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("cut.mp4", "cannot be read as video: moov atom not found"),
        ("cut_front.mp4", r"the picture breaks off at [\d.]+ s of 4.00 s: \S+"),
        ("sound.mp4", "no picture in the file"),
        ("huge.avi", "cannot be read as video: Picture size 12000x9000 exceeds"),
        ("text.mp4", "cannot be read as video: "),
        ("empty.mp4", "cannot be read as video: "),
    ],
)
def test_what_is_no_video_is_named(broken: Path, name: str, reason: str) -> None:
    with pytest.raises(BadRequestError, match=f"{name}: {reason}") as error:
        read(broken / name)
    assert "\n" not in str(error.value)


def test_a_cut_behind_the_end_has_no_frames(make_video: Maker, tmp_path: Path) -> None:
    path = make_video(tmp_path / "a.mp4", "testsrc2=s=64x48:r=25:d=1")
    with pytest.raises(BadRequestError, match="no frames in the picture from 5 s on"):
        read(path, start=5.0)


def test_an_extension_says_nothing(make_video: Maker, tmp_path: Path) -> None:
    path = make_video(tmp_path / "a.mp4", "testsrc2=s=64x48:r=25:d=1")
    wrong = Path(path).rename(tmp_path / "a.wav")
    assert len(read(wrong)[0]) == 25


def test_the_option_that_keeps_frames_fits_the_program() -> None:
    assert video._passthrough()[0] in ("-fps_mode", "-vsync")
    assert media.ffmpeg()
