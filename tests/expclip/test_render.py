"""The renderer: what moves in the face moves in the picture, there and nowhere else."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from expclip import render, shading
from expclip.head import load_head
from expclip.render import Renderer
from expclip.rig import load_rig

SIZE = 128


@pytest.fixture(scope="module")
def renderer() -> Renderer:
    return Renderer(size=SIZE)


@pytest.fixture(scope="module")
def neutral(renderer: Renderer) -> render.Picture:
    return renderer.draw(load_rig().zeros())


def changed(renderer: Renderer, neutral: render.Picture, weights: Mapping[str, float]) -> np.ndarray:
    """Return positions (x, y) of the pixels that differ clearly from the neutral face, 0..1 from the top left."""
    picture = renderer.draw(load_rig().weights(weights)).astype(int)
    rows, columns = np.nonzero(np.abs(picture - neutral).max(2) > 24)
    return np.stack([columns, rows], 1) / SIZE


def test_the_face_stands_before_a_backdrop(neutral: render.Picture) -> None:
    assert neutral.shape == (SIZE, SIZE, 3)
    assert neutral.dtype == np.uint8
    corner, cheek = neutral[2, 2].astype(int), neutral[SIZE * 6 // 10, SIZE * 4 // 10].astype(int)
    assert corner[2] > corner[0], "the backdrop is bluish"
    assert cheek[0] > cheek[2] + 20, "skin is warm"
    assert neutral.std() > 30


def test_the_backdrop_stays(renderer: Renderer, neutral: render.Picture) -> None:
    picture = renderer.draw(np.full(52, 0.5, np.float32))
    np.testing.assert_array_equal(picture[:, : SIZE // 16], neutral[:, : SIZE // 16])
    assert (picture != neutral).any()


def test_the_same_weights_give_the_same_picture(neutral: render.Picture) -> None:
    other = Renderer(size=SIZE)
    other.draw(np.full(52, 0.7, np.float32))
    np.testing.assert_array_equal(other.draw(load_rig().zeros()), neutral)


def test_an_open_jaw_changes_the_lower_face(renderer: Renderer, neutral: render.Picture) -> None:
    places = changed(renderer, neutral, {"jawOpen": 0.8})
    assert len(places) > 0.01 * SIZE * SIZE
    assert places[:, 1].min() > 0.5
    assert abs(places[:, 0].mean() - 0.5) < 0.05


@pytest.mark.parametrize(("side", "sign"), [("Left", 1), ("Right", -1)])
def test_a_blink_is_on_the_subjects_own_side(renderer: Renderer, neutral: render.Picture, side: str, sign: int) -> None:
    places = changed(renderer, neutral, {f"eyeBlink{side}": 1.0})
    assert len(places) > 20
    assert (sign * (places[:, 0] - 0.5) > 0).all(), "the subject's left is on the picture's right"
    assert (places[:, 1] > 0.3).all()
    assert (places[:, 1] < 0.6).all()


def test_mirrored_weights_move_the_other_half(renderer: Renderer, neutral: render.Picture) -> None:
    left = changed(renderer, neutral, {"mouthSmileLeft": 1.0})
    right = changed(renderer, neutral, {"mouthSmileRight": 1.0})
    assert left[:, 0].mean() > 0.5 > right[:, 0].mean()
    assert left[:, 0].mean() + right[:, 0].mean() == pytest.approx(1, abs=0.06)


def test_a_turn_to_the_left_brings_the_nose_to_the_right() -> None:
    head = load_head()
    tip = int(np.argmax(head.vertices_V3[:, 2]))
    turned = Renderer(head, 64, turn=40)
    assert turned._vertices_V3[tip, 0] > 3
    assert (turned.draw(load_rig().zeros()) != Renderer(head, 64).draw(load_rig().zeros())).mean() > 0.1


def test_zoom_enlarges_the_target(neutral: render.Picture) -> None:
    close = Renderer(size=64, zoom=3, target_3=(0, -5, 8)).draw(load_rig().zeros()).astype(int)
    assert (close[..., 0] > close[..., 2]).mean() > 0.9, "skin and lips fill the picture"


def test_edges_are_soft(neutral: render.Picture) -> None:
    """Many rows have a pixel between backdrop and hair that is neither, which one sample a pixel never gives."""
    soft = 0
    for row in neutral[SIZE // 8 : SIZE // 3].astype(int).sum(2):
        edge = int(np.argmax(row[: SIZE // 2] < row[0] - 100))  # the first pixel that is clearly hair
        soft += row[edge - 1] < row[edge - 2] - 20
    assert soft > 5


def test_frames_are_pictures_in_order(renderer: Renderer) -> None:
    moving = load_rig().zeros(3)
    moving[:, load_rig().index("jawOpen")] = [0, 0.5, 1]
    pictures = list(renderer.frames(moving))
    assert len(pictures) == 3
    for picture, weights_C in zip(pictures, moving, strict=True):
        np.testing.assert_array_equal(picture, renderer.draw(weights_C))


def test_save_png(tmp_path: Path) -> None:
    path = tmp_path / "face.png"
    render.save_png(str(path), load_rig().zeros(), size=48)
    with Image.open(path) as picture:
        assert (picture.size, picture.mode, picture.format) == ((48, 48), "RGB", "PNG")


def test_contact_sheet(tmp_path: Path, renderer: Renderer, neutral: render.Picture) -> None:
    path = tmp_path / "sheet.png"
    weights_KC = load_rig().zeros(3)
    render.contact_sheet(weights_KC, ["one", "two", "three"], str(path), renderer=renderer, columns=2)
    with Image.open(path) as picture:
        sheet = np.asarray(picture)
    assert sheet.shape == (2 * SIZE, 2 * SIZE, 3)
    np.testing.assert_array_equal(sheet[SIZE // 4 : SIZE, :SIZE], neutral[SIZE // 4 :])
    assert not sheet[SIZE:, SIZE:].any(), "the fourth place is empty"
    with pytest.raises(ValueError, match="zip"):
        render.contact_sheet(weights_KC, ["one"], str(path), renderer=renderer)


def test_a_shadow_falls_behind_what_stands_in_the_light() -> None:
    depth_MM = np.zeros((16, 16), np.float32)
    depth_MM[4:12, 4:12] = 10
    seen_V3 = np.array([[8, 8, 10], [8, 8, 5], [14, 14, 5], [99, 8, 5]], np.float32)
    arrives_V = np.empty(4, np.float32)
    shading.arriving(seen_V3, depth_MM, 0.5, arrives_V)
    np.testing.assert_allclose(arrives_V, [1, 0, 1, 1])


def test_tone_curve_rises_from_black_to_white() -> None:
    curve = shading.tone_curve().astype(int)
    assert (curve[0], curve[-1]) == (0, 255)
    assert (np.diff(curve) >= 0).all()
    half = curve[round(0.214 / shading.TONE_MAX * (shading.TONE_STEPS - 1))]
    assert half == pytest.approx(127, abs=2), "sRGB's middle grey is 21 % of the light"


def test_to_linear_of_srgb() -> None:
    np.testing.assert_allclose(shading.to_linear(np.array([0, 0.04, 0.5, 1])), [0, 0.0030960, 0.2140411, 1], atol=1e-6)


def test_measure_counts_pictures() -> None:
    assert render.measure(frames=2, size=32) > 1
