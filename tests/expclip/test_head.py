"""The head: what each shape does to it, left and right, lids and lips that close, sound triangles."""

import numpy as np
import pytest

from expclip import head_form as form
from expclip.head import Head, load_head
from expclip.rig import FloatArray, load_rig

RIG = load_rig()
LEFT = [name for name in RIG.channels if name.endswith("Left")]
FLIP = np.array([-1, 1, 1], np.float32)


@pytest.fixture(scope="module")
def head() -> Head:
    return load_head()


def delta(head: Head, name: str) -> FloatArray:
    return np.asarray(head.deltas_CV3[RIG.index(name)])


def moved(head: Head, name: str) -> FloatArray:
    """Return how far (cm) each vertex goes."""
    return np.asarray(np.linalg.norm(delta(head, name), axis=1), np.float32)


def nearest(head: Head, part: str, point: tuple[float, float, float]) -> int:
    """Return the vertex of a part that is nearest to a point."""
    rows = head.parts[part]
    return int(rows.start) + int(np.linalg.norm(head.vertices_V3[rows] - np.array(point), axis=1).argmin())


def corner(head: Head) -> int:
    return nearest(head, "skin", (2.5, -5.85, 8.2))


def test_every_channel_has_a_finite_shape_that_moves_something(head: Head) -> None:
    assert head.deltas_CV3.shape == (len(RIG), len(head.vertices_V3), 3)
    for array in (head.vertices_V3, head.colors_V3, head.gloss_V, head.deltas_CV3):
        assert array.dtype == np.float32
        assert np.isfinite(array).all()
    largest_C = np.linalg.norm(head.deltas_CV3, axis=2).max(1)
    assert (largest_C > 0.2).all()
    assert (largest_C < 7).all()


def test_triangles_are_sound(head: Head) -> None:
    triangles_F3 = head.triangles_F3
    assert triangles_F3.dtype == np.int32
    assert set(np.unique(triangles_F3)) == set(range(len(head.vertices_V3)))
    a_F3, b_F3, c_F3 = (head.vertices_V3[triangles_F3[:, k]].astype(np.float64) for k in range(3))
    assert np.linalg.norm(np.cross(b_F3 - a_F3, c_F3 - a_F3), axis=1).min() > 1e-8
    edges_N2 = np.concatenate([triangles_F3[:, [k, (k + 1) % 3]] for k in range(3)])
    assert len(np.unique(edges_N2, axis=0)) == len(edges_N2), "an edge is run twice in the same direction"


def test_skin_is_open_only_at_neck_and_behind_the_lids(head: Head) -> None:
    skin = head.parts["skin"]
    triangles_F3 = head.triangles_F3[(head.triangles_F3 < skin.stop).all(1)]
    edges = {(int(a), int(b)) for k in range(3) for a, b in triangles_F3[:, [k, (k + 1) % 3]]}
    open_V = np.array([a for a, b in edges if (b, a) not in edges])
    eye_V = np.linalg.norm(head.vertices_V3[open_V] * [1, 1, 1] - np.abs(form.EYE), axis=1) < form.EYE_RADIUS
    eye_V |= np.linalg.norm(head.vertices_V3[open_V] * FLIP - np.abs(form.EYE), axis=1) < form.EYE_RADIUS
    assert eye_V.any()
    assert (eye_V | (head.vertices_V3[open_V, 1] < -11)).all()


def test_skin_faces_outwards(head: Head) -> None:
    crown, chin = nearest(head, "skin", (0, 12, -1)), nearest(head, "skin", (0, -9, 8))
    for vertex, away_3 in ((crown, (0, 1, 0)), (chin, (0, 0, 1))):
        a_F3, b_F3, c_F3 = head.vertices_V3[head.triangles_F3[(head.triangles_F3 == vertex).any(1)]].transpose(1, 0, 2)
        assert (np.cross(b_F3 - a_F3, c_F3 - a_F3) @ np.array(away_3) > 0).all()


def test_mirror_image(head: Head) -> None:
    mirror_V = head.mirror_V
    np.testing.assert_array_equal(mirror_V[mirror_V], np.arange(len(mirror_V)))
    np.testing.assert_allclose(head.vertices_V3[mirror_V] * FLIP, head.vertices_V3, atol=1e-5)
    mirrored_C = list(RIG.mirror_order)
    np.testing.assert_allclose(head.deltas_CV3[mirrored_C][:, mirror_V] * FLIP, head.deltas_CV3, atol=1e-5)


@pytest.mark.parametrize("name", LEFT)
def test_left_is_the_subjects_own(head: Head, name: str) -> None:
    way_V = moved(head, name)
    if name in ("jawLeft", "mouthLeft"):
        assert delta(head, name)[:, 0].sum() > 0
    else:
        assert (way_V * head.vertices_V3[:, 0]).sum() / way_V.sum() > 0.8
        assert way_V[head.vertices_V3[:, 0] < -2].max() < 0.05


def test_eyes_look_where_the_shape_says(head: Head) -> None:
    left = head.parts["eye left"]
    pupil = nearest(head, "eye left", (form.EYE[0], 0, form.EYE[2] + form.EYE_RADIUS))
    for name, axis, sign in (("Out", 0, 1), ("In", 0, -1), ("Up", 1, 1), ("Down", 1, -1)):
        shape = f"eyeLook{name}Left"
        assert sign * delta(head, shape)[pupil, axis] > 0.5
        turned_V3 = head.vertices_V3[left] + delta(head, shape)[left] - np.array(form.EYE)
        radius_V = np.linalg.norm(turned_V3, axis=1)
        assert np.allclose(radius_V, form.EYE_RADIUS, atol=0.03)
        assert moved(head, shape)[head.parts["eye right"]].max() == 0


def open_columns(head: Head, weights: dict[str, float]) -> int:
    """Return at how many places across the left eye a ray from the front meets the ball before a lid."""
    vertices_V3 = head.shape(RIG.weights(weights)).astype(np.float64)
    skin = head.triangles_F3[(head.triangles_F3 < head.parts["skin"].stop).all(1)]
    near = np.linalg.norm(vertices_V3[skin].mean(1) - np.array(form.EYE), axis=1) < 3.2
    corners_F32 = vertices_V3[skin[near]][:, :, :2]
    front = (vertices_V3[skin[near]][:, :, 2] > form.EYE[2]).all(1)
    x, y = np.meshgrid(np.linspace(-1.4, 1.4, 29), np.linspace(-0.8, 0.8, 33))
    points_N2 = np.stack([x.ravel(), y.ravel()], 1) + np.array(form.EYE[:2])
    a, b, c = (corners_F32[front][:, k][:, None] - points_N2 for k in range(3))
    sides = [p[..., 0] * q[..., 1] - p[..., 1] * q[..., 0] for p, q in ((a, b), (b, c), (c, a))]
    covered_N = (np.min(sides, axis=0) >= 0).any(0)
    return int((~covered_N).sum())


def test_blink_covers_the_ball(head: Head) -> None:
    assert open_columns(head, {}) > 400
    assert 0 < open_columns(head, {"eyeBlinkLeft": 0.5}) < 0.7 * open_columns(head, {})
    for also in ({}, {"eyeLookDownLeft": 1}, {"eyeSquintLeft": 1}, {"eyeLookUpLeft": 1}, {"browDownLeft": 1}):
        assert open_columns(head, {"eyeBlinkLeft": 1, **also}) == 0


@pytest.mark.parametrize("blink", [0.25, 0.5, 0.75, 1.0])
def test_lids_stay_outside_the_ball(head: Head, blink: float) -> None:
    skin = head.parts["skin"]
    lid_V = moved(head, "eyeBlinkLeft")[skin] > 0.3
    outer_V = np.linalg.norm(head.vertices_V3[skin] - np.array(form.EYE), axis=1) > form.LID_RADIUS - 0.02
    moved_V3 = head.shape(RIG.weights({"eyeBlinkLeft": blink}))[skin][lid_V & outer_V]
    assert np.linalg.norm(moved_V3 - np.array(form.EYE), axis=1).min() > form.EYE_RADIUS


def test_eyes_widen_and_squint(head: Head) -> None:
    rest = open_columns(head, {})
    assert open_columns(head, {"eyeSquintLeft": 1}) < 0.75 * rest
    assert open_columns(head, {"eyeWideLeft": 1}) > 1.05 * rest


def test_jaw_opens_the_lips_evenly(head: Head) -> None:
    weights_TC = RIG.zeros(11)
    assert head.lip_gap(weights_TC[0]) < 0.5
    weights_TC[:, RIG.index("jawOpen")] = np.linspace(0, 1, 11)
    gap_T = head.lip_gap(weights_TC)
    assert gap_T.shape == (11,)
    assert (np.diff(gap_T) > 1).all()
    assert 25 < gap_T[-1] < 35
    for part in ("lower teeth", "tongue"):
        assert delta(head, "jawOpen")[head.parts[part], 1].max() < -0.5
    assert moved(head, "jawOpen")[head.parts["upper teeth"]].max() == 0


@pytest.mark.parametrize("jaw", [0.1, 0.3, 1.0])
def test_mouth_close_closes_an_open_jaw(head: Head, jaw: float) -> None:
    weights_C = RIG.weights({"jawOpen": jaw, "mouthClose": jaw})
    assert head.lip_gap(weights_C) < 0.5
    chin = nearest(head, "skin", (0, -9.2, 8.2))
    assert head.shape(weights_C)[chin, 1] < head.vertices_V3[chin, 1] - 1.5 * jaw


def test_lip_gap_is_never_negative(head: Head) -> None:
    assert head.lip_gap(RIG.weights({"mouthClose": 1})) == 0


@pytest.mark.parametrize(
    ("name", "across", "up"),
    [
        ("mouthSmileLeft", 0.5, 0.6),
        ("mouthFrownLeft", None, -0.5),
        ("mouthStretchLeft", 0.5, -0.1),
        ("mouthPucker", -0.5, None),
        ("mouthFunnel", -0.3, None),
        ("mouthDimpleLeft", 0.25, None),
    ],
)
def test_corner_of_the_mouth(head: Head, name: str, across: float | None, up: float | None) -> None:
    x, y, _ = delta(head, name)[corner(head)]
    assert across is None or x * np.sign(across) >= abs(across)
    assert up is None or y * np.sign(up) >= abs(up)


def test_lips_go_where_the_shape_says(head: Head) -> None:
    upper, lower = head.inner_lips
    for name in ("mouthFunnel", "mouthPucker"):
        assert delta(head, name)[[upper, lower], 2].min() > 0.4
    gap = {name: float(head.lip_gap(RIG.weights({name: 1}))) for name in RIG.channels}
    assert gap["mouthFunnel"] > 5
    for name in ("mouthUpperUpLeft", "mouthLowerDownLeft", "tongueOut"):
        assert gap[name] > 1
    for name in ("mouthPucker", "mouthSmileLeft", "mouthFrownRight", "mouthPressLeft", "mouthRollLower", "cheekPuff"):
        assert gap[name] < 1
    assert all(
        float(head.lip_gap(RIG.weights({"jawOpen": 0.2, name: 1}))) > 3 for name in ("mouthRollLower", "mouthPressLeft")
    )
    tongue = head.shape(RIG.weights({"tongueOut": 1}))[head.parts["tongue"], 2].max()
    assert tongue > head.vertices_V3[lower, 2] + 1


def test_shapes_keep_to_their_part_of_the_face(head: Head) -> None:
    for name in ("browDownLeft", "browInnerUp", "browOuterUpRight"):
        assert moved(head, name)[head.vertices_V3[:, 1] < -4].max() == 0
        assert delta(head, name)[head.parts["brow"]].any()
    for name in RIG.channels:
        for part in ("hair", "ear", "shirt", "upper teeth"):
            assert moved(head, name)[head.parts[part]].max() == 0
        if not name.startswith("eyeLook"):
            assert moved(head, name)[head.parts["eye left"]].max() == 0
    for name in ("mouthSmileLeft", "jawOpen", "mouthPucker", "cheekPuff"):
        assert moved(head, name)[head.vertices_V3[:, 1] > 3].max() == 0


def test_brows_and_cheeks(head: Head) -> None:
    brow, cheek = nearest(head, "brow", (1.5, 2.6, 8.6)), nearest(head, "skin", (3.9, -3.0, 8))
    hollow = nearest(head, "skin", (4.3, -5.9, 7))
    assert delta(head, "browDownLeft")[brow, 1] < -0.4
    assert delta(head, "browInnerUp")[brow, 1] > 0.6
    assert delta(head, "cheekSquintLeft")[cheek, 1] > 0.3
    assert delta(head, "cheekPuff")[hollow, [0, 2]].min() > 0.3


def test_same_head_every_time(head: Head) -> None:
    load_head.cache_clear()
    again = load_head()
    np.testing.assert_array_equal(again.vertices_V3, head.vertices_V3)
    np.testing.assert_array_equal(again.deltas_CV3, head.deltas_CV3)
    assert load_head() is again
